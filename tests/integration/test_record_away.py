"""Postgres is stopped for real under `dlv web`: whoever sends events hears 503 and when to come again, on both ways."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import serving
from serving import Served

from embedded.postgres import Postgres
from embedded.stack import make_home
from settings import Settings
from store import partitions
from store.record import Record, migrate
from tests.conftest import eventually
from tests.integration import processes

pytestmark = pytest.mark.slow


@pytest.fixture
def own(settled: Settings) -> Iterator[tuple[Served, Postgres]]:
    """A web process on a Postgres that only this test uses, and may stop."""
    with processes.place() as folder:
        home = folder / "home"
        make_home(home)
        postgres = Postgres(home)
        postgres.start()
        try:
            migrate(postgres.url)
            record = Record(postgres.url)
            partitions.ensure_ahead(record)
            record.close()
            with serving.serving(settled.with_(database_url=postgres.url), folder) as served:
                yield served, postgres
        finally:
            postgres.stop()


@contextmanager
def stopped(postgres: Postgres) -> Iterator[None]:
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


def event(n: int) -> bytes:
    return json.dumps({
        "eventType": "COMPLETE", "eventTime": datetime.now(UTC).isoformat(), "run": {"runId": str(uuid.uuid4())},
        "job": {"namespace": "etl", "name": f"job_{n}"}, "producer": "https://example.com",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    }).encode()  # fmt: skip


def sent(s: Served, key: str, first: int) -> dict[str, requests.Response]:
    """The same kind of event on every way: the short one, the whole one, and as a batch."""
    zipped = {"Content-Encoding": "gzip"}
    batch = b"[" + event(first + 2) + b"," + event(first + 3) + b"]"
    return {
        "plain": s.post("/api/v1/lineage", event(first), key),
        "gzip": s.post("/api/v1/lineage", gzip.compress(event(first + 1)), key, **zipped),
        "batch": s.post("/api/v1/lineage/batch", batch, key),
        "batch gzip": s.post("/api/v1/lineage/batch", gzip.compress(batch), key, **zipped),
    }


def test_events_hear_503_and_when_to_come_again_while_the_record_is_away(
    own: tuple[Served, Postgres],
) -> None:
    served, postgres = own
    key, stranger = served.key(), "dlv_" + "x" * 43
    before = sent(served, key, 0)
    assert {way: r.status_code for way, r in before.items()} == {
        "plain": 201, "gzip": 201, "batch": 200, "batch gzip": 200,
    }  # fmt: skip
    with stopped(postgres):
        for way, answer in sent(served, key, 10).items():
            refused(way, answer)
        # of a key that nobody remembers nothing can be said either: never 401, upon which clients drop the event
        refused("unknown key", served.post("/api/v1/lineage", event(99), stranger))
        assert requests.get(f"{served.base}/healthz", timeout=10).status_code == 200
    eventually(lambda: served.post("/api/v1/lineage", event(20), key).status_code == 201, timeout=60)
    after = sent(served, key, 30)
    assert {r.status_code for r in after.values()} == {200, 201}
    assert served.post("/api/v1/lineage", event(99), stranger).status_code == 401
    # nothing of what was refused was taken half
    served.fold()
    known = {r["name"] for r in served.record.all("select name from node")}
    assert known == {f"job_{n}" for n in (0, 1, 2, 3, 20, 30, 31, 32, 33)}
    assert "Traceback" not in served.said()


def refused(way: str, answer: requests.Response) -> None:
    assert answer.status_code == 503, (way, answer.status_code, answer.text)
    assert 0 < int(answer.headers["Retry-After"]) <= 60, way
    assert answer.headers["Content-Type"] == "application/json"
    said: dict[str, Any] = answer.json()
    assert set(said) == {"error"} and said["error"]["code"] == "record_away", (way, said)
    assert set(said["error"]) <= {"code", "message", "hint", "field", "request_id"}
    assert said["error"]["message"] and said["error"]["request_id"], way
