"""What events over HTTP become, asked over REST: warnings on the node they concern, runs that share an id, environments of
keys, the runs that prove an edge."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
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


def test_two_jobs_with_one_run_id_are_two_runs_each_on_its_job(served: Served) -> None:
    """Spark sends all of an application's jobs with one runId."""
    key, run = served.key(), {"runId": str(uuid.uuid4())}
    later = (NOW + timedelta(minutes=2)).isoformat()
    send(served, event("first", [dataset("d.s.a")], [dataset("d.s.b")], run=run, eventType="START"), key)
    send(served, event("second", [dataset("d.s.b")], [dataset("d.s.c")], run=run, eventType="START"), key)
    send(served, event("first", [], [], run=run, eventTime=later), key)
    send(served, event("second", [], [], run=run, eventTime=later, eventType="FAIL"), key)
    assert served.fold() == 4
    for name, state, health in (("first", "COMPLETE", "ok"), ("second", "FAIL", "failed")):
        (node,) = named(served, name)
        (one,) = get(served, f"/api/v1/nodes/{node['id']}/runs")["items"]
        assert (one["run_id"], one["state"], one["job_name"]) == (run["runId"], state, name)
        assert node["health"] == health
    assert len(served.record.all("select 1 from run")) == 2
    assert named(served, "d.s.b")[0]["health"] == "ok"
    assert named(served, "d.s.c")[0]["health"] == "failed"


def test_one_table_by_two_keys_is_one_node_and_their_jobs_are_two(served: Served) -> None:
    """A job's environment comes from its key, a dataset's from a pattern on its namespace alone."""
    for environment in ("prod", "staging"):
        key = served.key(f"airflow {environment}", environment=environment)
        send(served, event("load", [dataset("shop.public.orders")], [dataset("shop.public.daily")]), key)
    send(served, event("load", [dataset("shop.public.orders")], []), served.key("no environment"))
    assert served.fold() == 3
    (table,) = named(served, "shop.public.orders")
    assert table["environment"] == "default" and len(table["aliases"]) == 1
    jobs = {n["environment"]: n for n in named(served, "load")}
    assert set(jobs) == {"prod", "staging", "default"}
    assert len({n["id"] for n in jobs.values()}) == 3
    assert [n["id"] for n in named(served, "load", environment="prod")] == [jobs["prod"]["id"]]
    below = get(served, f"/api/v1/nodes/{table['id']}/lineage", up=0, down=1)
    assert {n["environment"] for n in below["nodes"] if n["type"] == "job"} == {"prod", "staging", "default"}


def test_the_runs_that_prove_an_edge_are_listed_with_when_it_held(served: Served) -> None:
    key = served.key()
    runs = [str(uuid.uuid4()) for _ in range(3)]
    for n, run in enumerate(runs):
        at = (NOW - timedelta(days=len(runs) - n)).isoformat()
        said = event("load", [dataset("shop.public.raw")], [dataset("shop.public.daily")])
        send(served, said | {"run": {"runId": run}, "eventTime": at}, key)
    # a run of another job proves nothing here
    send(served, event("other", [dataset("shop.public.raw")], [dataset("shop.public.else")]), key)
    assert served.fold() == 4
    (job,) = named(served, "load")
    edges = get(served, "/api/v1/edges", node=job["id"])["items"]
    assert {(e["source_name"], e["target_name"]) for e in edges} == {
        ("shop.public.raw", "load"), ("load", "shop.public.daily"),
    }  # fmt: skip
    for edge in edges:
        whole = get(served, f"/api/v1/edges/{edge['id']}")
        assert [r["run_id"] for r in whole["runs"]] == runs[::-1], "the newest first"
        assert {r["job_name"] for r in whole["runs"]} == {"load"}
        assert whole["provenance"] == ["openlineage"]
        (held,) = whole["intervals"]
        assert datetime.fromisoformat(held["valid_from"]) == NOW - timedelta(days=3)
        assert held["valid_to"] is None
        assert datetime.fromisoformat(whole["last_seen"]) == NOW - timedelta(days=1)
