"""`dlv up` pointed at a real Neo4j: from an event to its blast radius, with nothing of the graph embedded."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from graph.driver import Graph
from settings import Settings
from tests.conftest import eventually
from tests.integration import processes
from tests.integration.processes import Dlv

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

PASSWORD = "a quiet long walk"
PG = "postgres://db.example:5432"


def test_an_event_is_on_the_map_of_a_real_neo4j(settled: Settings, neo4j_lts: Graph) -> None:
    assert neo4j_lts._auth is not None
    user, password = neo4j_lts._auth
    with processes.place() as folder:
        dlv = Dlv(
            processes.ourselves(), folder / "home", "up", DLV_DATABASE_URL=settled.database_url,
            DLV_REDIS_URL=settled.redis_url, DLV_GRAPH_URL=neo4j_lts.url, DLV_GRAPH_USER=user,
            DLV_GRAPH_PASSWORD=password, DLV_ADMIN_PASSWORD=PASSWORD,
        )  # fmt: skip
        try:
            assert "starting nothing embedded" in dlv.wait_for("Ctrl-C stops it")
            _asked(dlv, neo4j_lts)
            assert "Traceback" not in dlv.said()
        finally:
            dlv.stop()


def _asked(dlv: Dlv, graph: Graph) -> None:
    base = f"http://127.0.0.1:{dlv.port}/api/v1"
    said = {"username": "admin", "password": PASSWORD}
    token = requests.post(f"{base}/auth/login", json=said, timeout=30).json()["access_token"]
    admin = {"Authorization": f"Bearer {token}"}

    def get(path: str, **params: Any) -> requests.Response:
        return requests.get(base + path, params=params, headers=admin, timeout=30)

    wanted = {"name": "a client", "scopes": ["lineage:write"]}
    key = requests.post(f"{base}/api-keys", json=wanted, headers=admin, timeout=30).json()["key"]
    for job, source, target in (("first", "shop.s.a", "shop.s.b"), ("second", "shop.s.b", "shop.s.c")):
        event = {
            "eventType": "COMPLETE", "eventTime": datetime.now(UTC).isoformat(), "run": {"runId": str(uuid.uuid4())},
            "job": {"namespace": "etl", "name": job}, "inputs": [{"namespace": PG, "name": source}],
            "outputs": [{"namespace": PG, "name": target}], "producer": "https://example.com",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        }  # fmt: skip
        sent = requests.post(
            f"{base}/lineage", data=json.dumps(event), headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        assert sent.status_code == 201, sent.text

    def impact() -> Any:
        items = get("/nodes", name="shop.s.a").json()["items"]
        if not items:
            return None
        answer = get(f"/nodes/{items[0]['id']}/impact")
        assert answer.status_code == 200, answer.text
        return {(i["name"], i["hop"]) for i in answer.json()["items"]}

    everything = {("first", 1), ("shop.s.b", 1), ("second", 2), ("shop.s.c", 2)}
    eventually(lambda: impact() == everything, timeout=60)
    assert get("/status").json()["parts"]["graph"]["ok"] is True
    # it is this server that knows, and no other
    a = get("/nodes", name="shop.s.a").json()["items"][0]["id"]
    assert "neo4j" in graph.dialect
    found = graph.read("MATCH (n {id: $id}) RETURN count(n) AS n", id=a)
    assert found == [{"n": 1}]
