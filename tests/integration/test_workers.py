"""Workers and scheduler as real processes: woken, killed, and cut off from their stores."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from embedded.stack import make_home
from embedded.valkey import Valkey
from errors import RecordAway
from ingest import fold
from settings import Settings, load, to_env
from store import events, pending, producers
from store.record import Record
from tests.conftest import eventually
from tests.integration import processes
from workers import jobs, scheduler, wake
from workers.supervise import child_environment


@contextmanager
def running(settings: Settings, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """`dlv COMMAND`, stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, processes.ROOT / "cli.py", *command],
        env=child_environment(settings),
        cwd=processes.ROOT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _event(n: int) -> bytes:
    return orjson.dumps(
        {
            "eventType": "COMPLETE",
            "eventTime": f"2026-11-01T10:00:{n % 60:02}Z",
            "producer": "https://example.com/test",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            "run": {"runId": f"01890000-0000-7000-8000-{n:012}"},
            "job": {"namespace": "tests", "name": f"job{n}"},
            "inputs": [{"namespace": "postgres://db:5432", "name": "a.public.t"}],
            "outputs": [],
        }
    )


def _send(record: Any, *numbers: int) -> None:
    with record.tx() as conn:
        row = conn.execute(
            "insert into producer (name) values ('p') on conflict (name) do update set name = 'p' returning id"
        ).fetchone()
    bodies = [_event(n) for n in numbers]
    events.take(record, row["id"], [(hashlib.sha256(b).digest(), b) for b in bodies])


def _waiting(record: Any) -> int:
    return int(record.one("select count(*) n from event_pending")["n"])


def _jobs(record: Any) -> set[str]:
    return {r["name"] for r in record.all("select name from node where type = 'job'")}


def test_one_wake_up_waits_however_often_it_is_asked_for(redis_url: str) -> None:
    with wake.connect(redis_url) as client:
        assert [wake.wake(client, wake.FOLD) for _ in range(3)] == [True, False, False]
        assert wake.wake(client, wake.PROJECT) is True


def test_a_waker_shrugs_at_a_dead_redis() -> None:
    wake.Waker("redis://127.0.0.1:1/0")(wake.FOLD)


def test_events_and_marks_wake_their_queues(record: Any, redis_url: str) -> None:
    with wake.connect(redis_url) as client:
        assert scheduler.tick(record, client) == []
        _send(record, 1)
        assert scheduler.tick(record, client) == [wake.FOLD]
        record.all("insert into graph_dirty values ('node', gen_random_uuid(), 1) returning key")
        assert scheduler.tick(record, client) == [wake.PROJECT]  # a wake-up for fold waits already


def test_an_event_gets_into_the_record_and_the_graph_unasked(
    record: Any, graph: Any, settled: Settings
) -> None:
    with (
        running(settled, "worker", "fold"),
        running(settled, "worker", "project"),
        running(settled, "scheduler"),
    ):
        _send(record, *range(20))
        eventually(lambda: _waiting(record) == 0, timeout=90)
        assert _jobs(record) == {f"job{n}" for n in range(20)}
        eventually(lambda: record.one("select count(*) n from graph_dirty")["n"] == 0, timeout=90)
        assert graph.read("MATCH (n:N1) RETURN count(n) AS n")[0]["n"] == 21


def test_killing_the_worker_and_its_job_loses_nothing(record: Any, settled: Settings) -> None:
    with running(settled, "scheduler"):
        sent = 0
        for _ in range(2):
            with running(settled, "worker", "fold") as worker:
                _send(record, *range(sent, sent + 200))
                sent += 200
                horses = eventually(lambda w=worker: psutil.Process(w.pid).children(), timeout=60)
                os.kill(worker.pid, signal.SIGKILL)
                worker.wait()
                assert processes.gone(horses) == []  # the job ends with its worker
        with running(settled, "worker", "fold"):
            eventually(lambda: _waiting(record) == 0, timeout=90)
    assert _jobs(record) == {f"job{n}" for n in range(sent)}


def test_a_stop_reaches_the_running_job(record: Any, settled: Settings) -> None:
    with running(settled, "worker", "fold") as worker:
        with wake.connect(settled.redis_url) as client:
            wake.wake(client, wake.FOLD)
        horses = eventually(lambda: psutil.Process(worker.pid).children(), timeout=60)
        _send(record, 1)
        eventually(lambda: _waiting(record) == 0, timeout=60)
        worker.terminate()
        assert worker.wait(60) == 0
        assert processes.gone(horses, timeout=1) == []


def test_workers_outlive_redis(record: Any, settled: Settings) -> None:
    with processes.place() as folder:
        home = folder / "home"
        make_home(home)
        valkey = Valkey(home)
        valkey.start()
        settings = settled.with_(redis_url=valkey.url)
        try:
            with running(settings, "worker", "fold") as worker, running(settings, "scheduler") as loop:
                _send(record, 1)
                eventually(lambda: _waiting(record) == 0, timeout=60)
                assert valkey.process is not None
                valkey.process.kill()
                valkey.process.wait()
                _send(record, 2)
                for leftover in Path(home, "valkey", "appendonlydir").iterdir():
                    leftover.unlink()  # and all that was queued is lost
                valkey.start()
                eventually(lambda: _waiting(record) == 0, timeout=90)
                assert worker.poll() is None and loop.poll() is None
        finally:
            valkey.stop()


def test_a_store_that_is_away_is_waited_for_and_then_left_to_the_scheduler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jobs, "AWAY_SECONDS", 0.0)
    asked = []

    def step() -> int:
        asked.append(1)
        raise RecordAway("away")

    assert jobs.drain(step) is False
    assert asked


def test_a_job_makes_place_after_its_time_and_says_that_work_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "RUN_SECONDS", 0.05)
    assert jobs.drain(lambda: 1) is True
    monkeypatch.setattr(jobs, "RUN_SECONDS", 60.0)
    monkeypatch.setattr(jobs, "LINGER_SECONDS", 0.0)
    left = [3, 2, 0]
    assert jobs.drain(lambda: left.pop(0) if left else 0) is False
    assert left == []


def test_the_rest_is_asked_for_once_a_lull() -> None:
    """Ten looks a second that find no event must not each ask for SQL that nobody has read."""
    events, texts, asked = [2, 0, 0, 0, 0, 3, 0, 0], [1, 1, 0, 1, 0], []

    def rest() -> int:
        asked.append(len(events))
        return texts.pop(0)

    step = jobs.between(lambda: events.pop(0), rest)
    assert [step() for _ in range(8)] == [2, 1, 1, 0, 0, 3, 1, 0]
    assert asked == [6, 5, 4, 1, 0], "on while it finds something, then again only after events"


def test_children_are_told_the_same_settings() -> None:
    s = load({"DLV_HOME": "/somewhere", "DLV_GRAPH_PASSWORD": "p", "DLV_DEMO": "0", "DLV_EVENT_DAYS": "7"})
    assert load(to_env(s)) == s


def test_a_second_fold_worker_helps_only_where_much_waits(record: Record) -> None:
    with record.tx() as conn:
        who = producers.for_key(conn, "a client", None)
    given = [(hashlib.sha256(b).digest(), b) for b in map(_event, range(fold.BATCH + fold.MANY))]
    events.take(record, who, given[: fold.MANY])
    with record.tx() as first:
        assert pending.foremost(first)
        assert fold.fold_pending(record) == 0
        events.take(record, who, given[fold.MANY :])
        assert fold.fold_pending(record) == fold.BATCH
        assert fold.fold_pending(record) == 0, "what is left is the first one's"
    assert fold.fold_pending(record) == fold.MANY
    assert record.one("select count(*) as n from run") == {"n": fold.BATCH + fold.MANY}
