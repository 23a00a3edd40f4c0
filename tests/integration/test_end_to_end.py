"""From events over HTTP to one message: every process real, as `dlv up` starts them, and somebody who listens."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import serving
from alarms import a_rule, a_webhook
from receivers import Receiver, listening
from serving import Served
from telling import event

from settings import Settings
from tests.conftest import eventually
from tests.integration.test_workers import running

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("incidents")]

#: jobs: the root, and what lies below it three to a job
JOBS = 40
GROUP = 15
NOW = datetime.now(UTC).replace(microsecond=0)


def table(n: int) -> tuple[str, str]:
    return ("postgres://wh:5432", f"wh.mart.t{n}")


def run(k: int, state: str, days_ago: int, error: str = "") -> dict[str, Any]:
    """A run of job k, which reads what a job above it wrote and writes its own table."""
    due = NOW - timedelta(days=days_ago, hours=1)
    at = due + timedelta(minutes=5, seconds=20 * k)
    above = [table((k - 1) // 3)] if k else []
    return event(f"dag{k}.task{k}", state, at, due=due, inputs=above, outputs=[table(k)], error=error)


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def dlv(settled: Settings, graph: Any, hook: Receiver, tmp_path: Path) -> Iterator[Served]:
    """Web, scheduler and workers, with one rule that tells the hook of everything."""
    told = settled.with_(secrets_keys="main:" + "k" * 40, private_webhooks=True, group_seconds=GROUP)
    with ExitStack() as stack:
        web = stack.enter_context(serving.serving(told, tmp_path))
        a_rule(web.record, a_webhook(web.record, told, f"{hook.url}/hook"))
        stack.enter_context(running(told, "scheduler"))
        for queue in ("fold", "project", "alert"):
            stack.enter_context(running(told, "worker", queue))
        yield web


def test_a_failure_and_what_lies_below_it_is_one_message(dlv: Served, hook: Receiver) -> None:
    key, reader = dlv.key("airflow"), dlv.key("somebody", "read")

    def post(said: dict[str, Any]) -> None:
        answer = dlv.post("/api/v1/lineage", json.dumps(said).encode(), key)
        assert answer.status_code == 201, answer.text

    for days_ago in (3, 2, 1):
        for k in range(JOBS):
            post(run(k, "COMPLETE", days_ago))
    known = "select 1 from event_pending union all select 1 from graph_dirty limit 1"
    eventually(lambda: not dlv.record.all(known), timeout=90)
    assert dlv.record.all("select 1 from incident") == [] and hook.got == []

    below = list(range(1, JOBS))
    random.Random(4).shuffle(below)
    for k in below:
        post(run(k, "FAIL", 0, error=f"nothing in {table(k)[1]}"))
    post(run(0, "FAIL", 0, error="relation raw.orders does not exist"))
    final = time.monotonic()
    eventually(lambda: hook.got, timeout=90)
    assert hook.got[0].at - final < 90
    time.sleep(GROUP + 10)  # nobody is told of any of it a second time
    assert [b["event"] for b in hook.bodies()].count("trigger") == 1
    said = hook.bodies()[0]["incident"]
    assert (said["root"]["name"], said["error"]) == ("dag0.task0", "relation raw.orders does not exist")
    assert (said["failed"], said["late"]) == (2 * JOBS, 0), "each job, and the table that it writes"

    answer = dlv.get(f"/api/v1/incidents/{said['id']}", reader)
    assert answer.status_code == 200, answer.text
    members = {m["name"]: m["role"] for m in answer.json()["member_list"]}
    assert members == {
        name: "root" if name == "dag0.task0" else "symptom"
        for k in range(JOBS)
        for name in (f"dag{k}.task{k}", table(k)[1])
    }
    assert len(dlv.get("/api/v1/incidents", reader).json()["items"]) == 1
