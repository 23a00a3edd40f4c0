"""What events over HTTP become, asked over REST."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import serving
from serving import Served

served, served_by_module = serving.served, serving.served_by_module

NOW = datetime.now(UTC).replace(microsecond=0)
PG = "postgres://db.example:5432"
FACET = {"_producer": "https://example.com", "_schemaURL": "https://example.com/f.json"}


def dataset(name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": PG, "name": name, "facets": facets}


def event(job: str, inputs: list[Any], outputs: list[Any], **changes: Any) -> dict[str, Any]:
    said = {
        "eventType": "COMPLETE", "eventTime": NOW.isoformat(), "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "etl", "name": job}, "inputs": inputs, "outputs": outputs,
        "producer": "https://example.com/p",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }  # fmt: skip
    return said | changes


def send(s: Served, said: dict[str, Any], key: str) -> None:
    answer = s.post("/api/v1/lineage", json.dumps(said).encode(), key)
    assert answer.status_code == 201, answer.text


def get(s: Served, path: str, **params: Any) -> Any:
    answer = s.get(path, s.key("reader", "read"), **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def named(s: Served, name: str, **filters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = get(s, "/api/v1/nodes", name=name, **filters)["items"]
    return found


def detail(s: Served, name: str) -> Any:
    (node,) = named(s, name)
    return get(s, f"/api/v1/nodes/{node['id']}/detail")


def test_what_breaks_the_specification_is_a_warning_on_the_node_it_concerns(served: Served) -> None:
    key = served.key("sloppy")
    good = dataset("shop.public.good", schema={**FACET, "fields": [{"name": "id"}]})
    bad = dataset("shop.public.bad", schema={"fields": [{"name": "id"}]})
    said = event("loader", ["no dataset", good, bad], [dataset("shop.public.out")], eventType="DONE")
    del said["schemaURL"]
    send(served, said, key)
    send(served, event("other", [good], [dataset("shop.public.else")]), key)
    assert served.fold() == 2

    def warned(name: str) -> dict[str, str]:
        said = detail(served, name)["warnings"]
        assert {w["producer"] for w in said} <= {"sloppy"}
        return {w["path"]: w["message"] for w in said}

    of_job = warned("loader")
    assert set(of_job) == {"eventType", "schemaURL", "inputs[0]"}
    assert "left out" in of_job["inputs[0]"]
    assert set(warned("shop.public.bad")) == {"inputs[2].facets.schema"}
    for name in ("shop.public.good", "shop.public.out", "other", "shop.public.else"):
        assert warned(name) == {}, name
    # kept as far as it can be read: the run, its edges, and the schema that lacks a URL
    assert [r["state"] for r in detail(served, "loader")["runs"]] == ["OTHER"]
    assert [f["name"] for f in detail(served, "shop.public.bad")["schema"]] == ["id"]
