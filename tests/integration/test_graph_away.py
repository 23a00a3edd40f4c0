"""The graph of a real `dlv up` is gone for a while: everything but reach goes on, it is said since when, and what was
done meanwhile is on the map afterwards without anybody's help."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
import requests

from tests.conftest import eventually
from tests.integration import processes
from tests.integration.processes import Dlv

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("graph-away")]

PASSWORD = "a quiet long walk"
PG = "postgres://db.example:5432"


@pytest.fixture(scope="module")
def dlv() -> Iterator[Dlv]:
    with processes.place() as folder:
        made = Dlv(processes.ourselves(), folder / "home", "up", DLV_ADMIN_PASSWORD=PASSWORD)
        try:
            made.wait_for("Ctrl-C stops it")
            yield made
        finally:
            made.stop()


@contextmanager
def killed_again_and_again(dlv: Dlv) -> Iterator[None]:
    """ArcadeDB is killed as often as the supervisor starts it; that it comes back at the end is the supervisor's work."""
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            with suppress(OSError, ValueError, IndexError):
                os.kill(dlv.pid("arcadedb"), signal.SIGKILL)

    hunter = threading.Thread(target=kill)
    hunter.start()
    try:
        yield
    finally:
        over.set()
        hunter.join()


class Person:
    """Somebody who signed in over REST just now."""

    def __init__(self, dlv: Dlv) -> None:
        self.base = f"http://127.0.0.1:{dlv.port}"
        answer = requests.post(
            f"{self.base}/api/v1/auth/login", json={"username": "admin", "password": PASSWORD}, timeout=30
        )
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def ask(self, method: str, path: str, **how: Any) -> requests.Response:
        return requests.request(method, self.base + path, headers=self.headers, timeout=60, **how)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def node(self, name: str) -> Any:
        """The node of this name, or None as long as there is none."""
        return next(iter(self.get("/api/v1/nodes", name=name)["items"]), None)

    def edited(self, node: dict[str, Any], **fields: Any) -> dict[str, Any]:
        said = self.ask("PATCH", f"/api/v1/nodes/{node['id']}", json={**fields, "version": node["version"]})
        assert said.status_code == 200, said.text
        got: dict[str, Any] = said.json()
        return got

    def graph(self) -> Any:
        return self.get("/api/v1/status")["parts"]["graph"]


def event(job: str, source: str, target: str, state: str) -> bytes:
    return json.dumps({
        "eventType": state, "eventTime": datetime.now(UTC).isoformat(), "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "etl", "name": job}, "inputs": [{"namespace": PG, "name": source}],
        "outputs": [{"namespace": PG, "name": target}], "producer": "https://example.com",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }).encode()  # fmt: skip


def test_all_but_reach_goes_on_and_the_graph_catches_up(dlv: Dlv) -> None:
    before, middle, new = "shop.public.before", "shop.public.middle", "shop.public.new"
    first = Person(dlv)
    key = first.ask(
        "POST", "/api/v1/api-keys", json={"name": "a client", "scopes": ["lineage:write"]}
    ).json()["key"]

    def send(job: str, source: str, target: str, state: str = "COMPLETE") -> None:
        answer = requests.post(
            f"{first.base}/api/v1/lineage", data=event(job, source, target, state),
            headers={"Authorization": f"Bearer {key}"}, timeout=30,
        )  # fmt: skip
        assert answer.status_code == 201, answer.text

    send("first", before, middle)
    eventually(lambda: first.node(before))
    eventually(lambda: first.graph()["waiting"] == 0)
    began = datetime.now(UTC)
    with killed_again_and_again(dlv):
        # an event is taken and folded, and the map is drawn from the record
        send("second", middle, new, "FAIL")
        node = eventually(lambda: first.node(new))
        drawn = first.get(f"/api/v1/nodes/{node['id']}/lineage", up=2, down=0)
        assert {n["name"] for n in drawn["nodes"]} == {
            new, "second", middle, "first", before,
        }  # fmt: skip
        # somebody signs in, and what an admin fills in is kept
        person = Person(dlv)
        assert person.edited(node, description="made while the graph was away")["version"] == 2
        drawn_by_hand = person.ask(
            "POST", "/api/v1/edges", json={"source": person.node(before)["id"], "target": node["id"]}
        )
        assert drawn_by_hand.status_code == 201, drawn_by_hand.text
        # what needs the graph says that it is away, and everybody can read since when
        refused = person.ask("GET", f"/api/v1/nodes/{node['id']}/impact")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "graph_away"), refused.text
        assert int(refused.headers["Retry-After"]) > 0
        said = eventually(lambda: (graph := person.graph())["ok"] is False and graph["since"] and graph)
        assert began <= datetime.fromisoformat(said["since"]) <= datetime.now(UTC)
        assert said["reason"] and said["waiting"] > 0
        counts = person.get("/api/v1/status")
        assert counts["roots"] is None and counts["at_risk"] is None and counts["total"] > 0
        ready = requests.get(f"{person.base}/readyz", timeout=30).json()["parts"]["graph"]
        assert ready["ok"] is False and ready["since"]

    # nobody does anything: the graph is back, with what was done meanwhile
    def caught_up() -> Any:
        found = person.ask("GET", f"/api/v1/nodes/{node['id']}/impact", params={"direction": "upstream"})
        return found.status_code == 200 and {(i["name"], i["hop"]) for i in found.json()["items"]}

    wanted = {
        ("second", 1), (middle, 1), (before, 1), ("first", 2),
    }  # fmt: skip
    eventually(lambda: caught_up() == wanted, timeout=120)
    eventually(lambda: person.graph()["ok"], timeout=60)
    with psycopg.connect(dlv.known().database_url) as conn:
        eventually(lambda: conn.execute("select count(*) from graph_dirty").fetchone() == (0,))
        conn.rollback()
        assert conn.execute("select away_since from graph_state").fetchone() == (None,)
    assert person.get("/api/v1/status")["roots"] is not None
    assert person.node("second")["role"] == "root"
    assert "Traceback" not in dlv.said()
