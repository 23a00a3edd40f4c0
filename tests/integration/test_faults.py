"""Faults, tried on real processes and servers: every slot still ends exactly once, a fault of DLV's own never reads as
a failure of the target, and all goes on by itself.

The faults are short; DLV_TEST_LONG=1 makes them as long as docs/schedule.md says they were tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import psutil
import pytest
from faulty import LONG, Stage, answering, hanging, lasting, stage
from telling import event, producer

from store import events
from tests.conftest import eventually
from workers import wake

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]


@pytest.fixture(scope="module")
def staged() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.fixture
def dlv(staged: Stage) -> Iterator[Stage]:
    staged.empty()
    yield staged
    staged.stop()


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with answering() as address:
        yield address


def test_a_hundred_kills_of_workers_and_work_horses(dlv: Stage, target: str) -> None:
    dlv.checks(60, target, apart=True)
    dlv.start("scheduler")
    workers = [dlv.start("worker", "check") for _ in range(3)]
    dlv.looked()
    dice, kills = random.Random(4), 0
    with wake.connect(dlv.settings.redis_url) as client:
        while kills < 100:
            horses = dlv.horses()
            if kills % 20 == 19 and workers:
                victim = workers.pop(0)
                victim.kill()
                victim.wait()
                workers.append(dlv.start("worker", "check"))
            elif horses:
                with contextlib.suppress(psutil.NoSuchProcess):
                    dice.choice(horses).kill()
            else:
                wake.wake(client, wake.CHECK)
                time.sleep(0.05)
                continue
            kills += 1
            wake.wake(client, wake.CHECK)
            time.sleep(dice.uniform(0, 0.4))
    dlv.looked(60)
    ended = dlv.end()
    assert set(ended) <= {"ok", "error", "not_checked"}
    assert ended["ok"] > 60
    assert [w.poll() for w in workers] == [None, None, None]


def test_three_schedulers_one_of_which_is_always_killed(dlv: Stage, target: str) -> None:
    checks = dlv.checks(20, target)
    schedulers = [dlv.start("scheduler") for _ in range(3)]
    worker = dlv.start("worker", "check")
    dlv.looked()
    end = time.monotonic() + lasting(10, 120)
    while time.monotonic() < end:
        time.sleep(lasting(1.5, 10))
        victim = schedulers.pop(0)
        victim.kill()
        victim.wait()
        schedulers.append(dlv.start("scheduler"))
    dlv.looked(len(checks))
    mostly_ok(dlv.end())
    assert worker.poll() is None


@pytest.mark.parametrize("away", [5, 60] if LONG else [5])
def test_redis_away_and_emptied(dlv: Stage, target: str, away: float) -> None:
    checks = dlv.checks(20, target)
    parts = dlv.start_all()
    dlv.looked()
    _kill(dlv.valkey)
    time.sleep(away)
    for leftover in Path(dlv.home, "valkey", "appendonlydir").iterdir():
        leftover.unlink()
    dlv.valkey.start()
    dlv.lives()
    dlv.looked(len(checks))
    with wake.connect(dlv.settings.redis_url) as client:
        client.flushall()
    dlv.lives()
    dlv.looked(len(checks))
    assert set(dlv.end()) <= {"ok", "not_checked"}
    assert [p.poll() for p in parts] == [None] * len(parts)


def test_postgres_away(dlv: Stage, target: str) -> None:
    checks = dlv.checks(20, target)
    parts = dlv.start_all()
    dlv.looked()
    _kill(dlv.postgres)
    time.sleep(lasting(8, 60))
    dlv.postgres.start()
    dlv.lives()
    dlv.looked(len(checks))
    assert set(dlv.end()) <= {"ok", "error", "not_checked"}
    assert [p.poll() for p in parts] == [None] * len(parts)


def test_checks_go_on_while_the_graph_is_away(dlv: Stage, target: str) -> None:
    """Nothing listens where the graph should: scheduler, checks and the fold do not need it."""
    dlv.checks(20, target)
    dlv.start("scheduler")
    parts = [dlv.start("worker", queue) for queue in ("check", "fold", "alert", "project")]
    dlv.looked()
    time.sleep(lasting(10, 600))
    done = event("dag.load", "COMPLETE", datetime.now(UTC))
    body = orjson.dumps(done)
    events.take(dlv.record, producer(dlv.record), [(hashlib.sha256(body).digest(), body)])
    eventually(lambda: dlv.record.one("select 1 from node where name = 'dag.load'"), timeout=60)
    mostly_ok(dlv.end())
    assert [p.poll() for p in parts] == [None] * len(parts)


def test_fifty_targets_that_accept_and_never_answer_hold_up_nobody(dlv: Stage, target: str) -> None:
    with hanging() as silent:
        hung = dlv.checks(50, silent, apart=True, timeout=lasting(12, 25))
        well = dlv.checks(20, target)
        dlv.start("scheduler")
        dlv.start("worker", "check")
        dlv.looked()
        time.sleep(lasting(12, 120))
        ended = dlv.end()
    rows = dlv.record.all(
        "select check_id, status, started_at - slot_at as lag from check_result where check_id = any(%s)",
        (well,),
    )
    assert {r["status"] for r in rows} == {"ok"}
    # far more than it takes, far less than the minutes for which those that hang would hold up a place
    assert max(r["lag"] for r in rows) < timedelta(seconds=60)
    rows = dlv.record.all("select distinct status from check_result where check_id = any(%s)", (hung,))
    assert {r["status"] for r in rows} <= {"fail", "not_checked"}
    assert "error" not in ended


def test_the_clock_an_hour_forward_and_back(dlv: Stage, target: str) -> None:
    checks = dlv.checks(10, target)
    scheduler, worker = dlv.start("scheduler"), dlv.start("worker", "check")
    dlv.looked()
    dlv.move_clock("1 hour")
    dlv.looked(len(checks))
    eventually(lambda: len(dlv.gaps()) == 1, timeout=60)
    dlv.move_clock("0 hours")
    dlv.looked(len(checks))
    assert [g.rsplit(" ", 3)[0] for g in dlv.gaps()] == ["the clock went forward", "the clock went back"]
    rows = dlv.record.all("select status from check_result where slot_at > now() and attempts = 0")
    assert rows == []
    dlv.record.all(
        "delete from check_result where slot_at > now() returning 1"
    )  # looked at while it was ahead
    assert set(dlv.end()) <= {"ok", "not_checked"}
    assert (scheduler.poll(), worker.poll()) == (None, None)


def test_an_hour_without_dlv(dlv: Stage, target: str) -> None:
    """Grey while it was away, one look each when it is back. The hour passes by the clock."""
    checks = dlv.checks(10, target)
    dlv.start("scheduler"), dlv.start("worker", "check")
    dlv.looked(len(checks))
    dlv.stop()
    dlv.move_clock("1 hour")
    back = dlv.record.one("select dlv_now() as now")
    assert back is not None
    dlv.start("scheduler"), dlv.start("worker", "check")
    dlv.looked(len(checks))
    ended = dlv.end()
    assert set(ended) == {"ok", "not_checked"}
    assert ended["not_checked"] >= len(checks) * 355
    assert dlv.gaps() == ["DLV did not run"]
    rows = dlv.record.all("select check_id, min(slot_at) as at from check_result where slot_at > %s - interval '11 s' and status = 'ok' group by 1", (back["now"],))  # fmt: skip
    assert {r["check_id"] for r in rows} == set(checks)


def mostly_ok(ended: dict[str, int]) -> None:
    """Nothing failed; on a machine with no time for anybody some slots may have found no worker in time."""
    assert set(ended) <= {"ok", "not_checked"}
    assert ended["ok"] > sum(ended.values()) / 2


def _kill(server: object) -> None:
    process = server.process  # type: ignore[attr-defined]
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    process.kill()
    process.wait()
