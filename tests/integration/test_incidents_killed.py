"""The alert worker killed in the middle of a storm, and two at once: nothing is lost, nothing is done twice."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from settings import Settings
from store.record import Record
from tests.conftest import eventually
from tests.integration.breaking import Breaking, layered, uid

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
pytestmark = pytest.mark.xdist_group("incidents")


def start(record: Record, s: Settings) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("deciding.py")
    worker = subprocess.Popen(
        [sys.executable, str(script), record.url, s.graph_url, s.graph_user, s.graph_password, s.graph_database],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert worker.stdout is not None
    assert worker.stdout.readline().strip() == "running"
    return worker


def waiting(record: Record) -> int:
    row = record.one("select count(*) as n from transition_pending")
    assert row
    return int(row["n"])


@pytest.mark.slow
def test_killed_in_the_middle_of_a_storm(record: Record, graph: Any, settled: Settings) -> None:
    estate = Breaking(record, graph, settled, layered(300, 200), NOW - timedelta(days=1))
    rng = random.Random(1)
    said = [(uid(n), rng.choice(["failed", "late"]), NOW + timedelta(seconds=n)) for n in range(201)]
    rng.shuffle(said)
    estate.turn_all(said)
    for wait in (0.3, 0.5, 0.1, 0.8):
        worker = start(record, settled)
        time.sleep(wait)  # somewhere in the middle
        worker.kill()
        worker.wait()
    two = [start(record, settled), start(record, settled)]
    try:
        eventually(lambda: waiting(record) == 0)
        eventually(
            lambda: not record.all("select 1 from incident where weigh_at <= now() and status = 'open'")
        )
    finally:
        for worker in two:
            worker.kill()
            worker.wait()
    assert estate.partition() == {uid(0): {uid(n) for n in range(201)}}
    assert record.one("select count(*) as n from incident where notify_at is not null") == {"n": 1}
    # every transition stands once in the timelines, wherever its incident was merged into
    lines = record.all(
        "select node_id, count(*) as n from incident_entry where kind = 'transition' group by node_id"
    )
    assert {r["node_id"]: r["n"] for r in lines} == {uid(n): 1 for n in range(201)}
