"""Slots from when they are due to what they end as: stories on a real Postgres, with the clock in the test's hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from scheduling import T0, Clock, add_check, add_connection, add_node, ended

from checks.result import Verdict
from store import beats, gaps, slots
from store.record import Record
from workers import scheduler

OK = Verdict("ok", "fine", value=1.0)


@pytest.fixture
def clock(record: Record) -> Clock:
    with record.tx() as conn:
        return Clock(conn)


@pytest.fixture
def worker(record: Record) -> Iterator[slots.Holder]:
    held = slots.holder(record)
    yield held
    held.close()


def go(record: Record, clock: Clock, seconds: float) -> None:
    with record.tx() as conn:
        clock.go(conn, seconds)


def take(record: Record, worker: slots.Holder, limit: int = 100) -> list[dict[str, Any]]:
    with record.tx() as conn:
        return slots.take(conn, limit, worker.key)


def finish(record: Record, row: dict[str, Any], verdict: Verdict = OK) -> bool:
    with record.tx() as conn:
        done = slots.finish(conn, row["check_id"], row["slot_at"], row["token"], verdict)
        slots.look_ended(conn, row["token"])
    return done


def plan(record: Record) -> None:
    scheduler.plan(record, 90)


def check(record: Record, **how: Any) -> UUID:
    with record.tx() as conn:
        return add_check(conn, add_node(conn), **how)


def state(record: Record, check_id: UUID) -> dict[str, Any]:
    row = record.one("select * from check_state where check_id = %s", (check_id,))
    assert row is not None
    return row


def test_a_slot_is_made_taken_and_ended_once(record: Record, clock: Clock, worker: slots.Holder) -> None:
    c = check(record)
    plan(record)
    assert take(record, worker) == []
    go(record, clock, 60)
    plan(record)
    plan(record)
    [row] = take(record, worker)
    assert (row["check_id"], row["slot_at"], row["attempts"]) == (c, T0 + timedelta(minutes=1), 1)
    assert take(record, worker) == []
    assert finish(record, row, Verdict("fail", "down", value=0.0))
    assert not finish(record, row)
    assert ended(record, c) == [(T0 + timedelta(minutes=1), "fail")]
    assert record.all("select * from check_slot") == []
    now = state(record, c)
    assert (now["status"], now["health"], now["since"]) == ("fail", "failed", T0 + timedelta(minutes=1))
    node = record.one("select health, health_reason from node")
    assert node and node["health"] == "failed"
    assert [(r["was"], r["now"]) for r in record.all("select was, now from transition")] == [
        ("unknown", "failed")
    ]


def test_after_an_hour_without_dlv_one_catch_up_runs_and_the_rest_is_grey(
    record: Record, clock: Clock, worker: slots.Holder
) -> None:
    c = check(record)
    alive = scheduler.Alive(record)
    alive.beat()
    go(record, clock, 3600)
    scheduler.Alive(record).beat()
    plan(record)
    rows = take(record, worker)
    assert [r["slot_at"] for r in rows] == [T0 + timedelta(hours=1)]
    assert finish(record, rows[0])
    wanted = [(T0 + timedelta(minutes=n), "not_checked") for n in range(1, 60)]
    assert ended(record, c) == [*wanted, (T0 + timedelta(hours=1), "ok")]
    reasons = {
        r["reason"] for r in record.all("select reason from check_result where status = 'not_checked'")
    }
    assert reasons == {"not looked at: DLV did not run"}
    with record.tx() as conn:
        assert gaps.between(conn, T0, clock.at) == [(T0, clock.at)]
    assert_counted(record)


def test_hundreds_of_thousands_of_missed_slots_do_not_hold_up_the_newest(
    record: Record, clock: Clock, worker: slots.Holder
) -> None:
    node = None
    with record.tx() as conn:
        node = add_node(conn)
        checks = [add_check(conn, node, every=10, offset=n) for n in range(30)]
    go(record, clock, 86_400)
    with record.tx() as conn:
        assert slots.due(conn) == 30
    assert {r["check_id"] for r in take(record, worker)} == set(checks)
    while True:
        with record.tx() as conn:
            if not slots.fill(conn, 90, limit=50_000):
                break
    row = record.one("select count(*) as n, count(distinct (check_id, slot_at)) as d from check_result")
    assert row and row["n"] == row["d"] == 30 * (8640 - 1)
    assert_counted(record)


def test_two_looks_at_once_through_a_connection(record: Record, clock: Clock, worker: slots.Holder) -> None:
    with record.tx() as conn:
        node, one, two = add_node(conn), add_connection(conn), add_connection(conn)
        for link in (one, one, one, two, None, None, None):
            add_check(conn, node, connection=link)
    go(record, clock, 60)
    plan(record)
    first = take(record, worker)
    links = [r["connection_id"] for r in first]
    assert sorted(map(str, links)) == sorted(map(str, [one, one, two, None, None, None]))
    other = slots.holder(record)
    assert take(record, other) == []
    assert finish(record, next(r for r in first if r["connection_id"] == one))
    assert [r["connection_id"] for r in take(record, other)] == [one]
    other.close()


def test_a_look_that_was_given_up_keeps_its_place_until_its_thread_ends(
    record: Record, clock: Clock, worker: slots.Holder
) -> None:
    with record.tx() as conn:
        node, link = add_node(conn), add_connection(conn)
        for _ in range(3):
            add_check(conn, node, connection=link)
    go(record, clock, 60)
    plan(record)
    hung = take(record, worker)[0]
    with record.tx() as conn:
        assert slots.finish(conn, hung["check_id"], hung["slot_at"], hung["token"], OK)
    assert take(record, worker) == []
    with record.tx() as conn:
        slots.look_ended(conn, hung["token"])
    assert len(take(record, worker)) == 1


def test_what_a_dead_worker_held_is_looked_at_again_at_once_then_ends_as_a_fault_of_ours(
    record: Record, clock: Clock
) -> None:
    c = check(record)
    go(record, clock, 60)
    plan(record)
    for n in (1, 2):
        died = slots.holder(record)
        [row] = take(record, died)
        assert row["attempts"] == n
        died.close()
        plan(record)
        assert not finish(record, row)
    assert ended(record, c) == [(T0 + timedelta(minutes=1), "error")]
    assert state(record, c)["health"] == "unknown"
    assert record.all("select now from transition where now = 'failed'") == []
    assert record.all("select * from check_look") == []


def test_a_late_result_is_refused_and_the_second_attempt_counts(
    record: Record, clock: Clock, worker: slots.Holder
) -> None:
    c = check(record)
    go(record, clock, 60)
    plan(record)
    [slow] = take(record, worker)
    go(record, clock, slots.ATTEMPT_SECONDS + 1)
    plan(record)
    [again] = [r for r in take(record, worker) if r["slot_at"] == slow["slot_at"]]
    assert not finish(record, slow, Verdict("fail", "late"))
    assert finish(record, again)
    assert ended(record, c) == [(T0 + timedelta(minutes=1), "ok")]


def test_what_nobody_takes_ends_as_not_checked(record: Record, clock: Clock) -> None:
    c = check(record)
    go(record, clock, 60)
    plan(record)
    go(record, clock, slots.WAIT_SECONDS + 1)
    plan(record)
    assert ended(record, c) == [(T0 + timedelta(minutes=1), "not_checked")]


def test_a_worker_whose_lock_is_gone_is_told_so(record: Record, clock: Clock) -> None:
    check(record)
    go(record, clock, 60)
    plan(record)
    lost = slots.holder(record)
    lost.close()

    def refused() -> bool:
        try:
            take(record, lost)
        except slots.HolderLost:
            return True
        return False

    from tests.conftest import eventually

    eventually(refused)


def test_an_older_slot_that_ends_late_does_not_move_the_state(
    record: Record, clock: Clock, worker: slots.Holder
) -> None:
    c = check(record, every=10)
    go(record, clock, 10)
    plan(record)
    [older] = take(record, worker)
    go(record, clock, 10)
    plan(record)
    [newer] = take(record, worker)
    assert finish(record, newer, Verdict("ok", "fine"))
    assert finish(record, older, Verdict("fail", "was down"))
    assert state(record, c)["status"] == "ok"
    assert [s for _, s in ended(record, c)] == ["fail", "ok"]


def test_muted_slots_end_without_a_look(record: Record, clock: Clock, worker: slots.Holder) -> None:
    c = check(record)
    with record.tx() as conn:
        conn.execute("update health_check set muted_until = %s", (T0 + timedelta(seconds=90),))
    go(record, clock, 60)
    plan(record)
    assert take(record, worker) == []
    go(record, clock, 60)
    plan(record)
    assert len(take(record, worker)) == 1
    assert ended(record, c) == [(T0 + timedelta(minutes=1), "muted")]


@pytest.mark.parametrize("kind", ["maintenance", "silence"])
def test_planned_maintenance_mutes_and_a_silence_does_not(
    record: Record, clock: Clock, worker: slots.Holder, kind: str
) -> None:
    c = check(record)
    with record.tx() as conn:
        conn.execute(
            """insert into silence (id, kind, reason, nodes, starts_at, ends_at, created_by)
               select gen_random_uuid(), %s, 'moving house', array[id], %s, %s, 'me' from node""",
            (kind, T0, T0 + timedelta(hours=1)),
        )
    go(record, clock, 60)
    plan(record)
    assert len(take(record, worker)) == (0 if kind == "maintenance" else 1)
    assert ended(record, c) == ([(T0 + timedelta(minutes=1), "muted")] if kind == "maintenance" else [])


def test_a_change_of_the_interval_loses_no_slot(record: Record, clock: Clock, worker: slots.Holder) -> None:
    c = check(record)
    go(record, clock, 130)  # two slots are due, and no scheduler has come by
    with record.tx() as conn:
        slots.due(conn, checks=[c])
        conn.execute(
            "update health_check set every_seconds = 10, next_slot_at = %s",
            (T0 + timedelta(seconds=140),),
        )
    go(record, clock, 10)
    plan(record)
    assert [r["slot_at"] for r in take(record, worker)] == [T0 + timedelta(seconds=s) for s in (120, 140)]
    assert ended(record, c) == [(T0 + timedelta(seconds=60), "not_checked")]


def test_the_clock_an_hour_back_stops_nothing(record: Record, clock: Clock, worker: slots.Holder) -> None:
    c = check(record)
    alive = scheduler.Alive(record)
    alive.beat()
    go(record, clock, 3600)
    alive._last = alive._last and alive._last - 5
    alive.beat()
    plan(record)
    for row in take(record, worker):
        assert finish(record, row)
    go(record, clock, 60)
    plan(record)
    [held] = take(record, worker)
    go(record, clock, -3600 + 5)
    alive._last = alive._last and alive._last - 5
    alive.beat()
    reasons = [
        r["reason"] for r in record.all("select reason from own_gap where part = 'scheduler' order by id")
    ]
    assert reasons == ["the clock went forward by 60 min", "the clock went back by 59 min"]
    assert not [r for r in ended(record, c) if r[0] > clock.at and r[1] == "not_checked"]
    assert finish(record, held)
    go(record, clock, 60)
    plan(record)
    [row] = take(record, worker)
    assert row["slot_at"] == T0 + timedelta(minutes=2)
    assert finish(record, row, Verdict("fail", "down"))
    assert state(record, c)["status"] == "fail"
    assert_counted(record)


def assert_counted(record: Record) -> None:
    """The counts are what counting the results gives."""
    wrong = record.all(
        """
        select * from (
            select g as grain, date_trunc(g, slot_at, 'UTC') as at, check_id, count(*) filter (where status = 'ok') as ok,
                   count(*) filter (where status = 'warn') as warn, count(*) filter (where status = 'fail') as fail,
                   count(*) filter (where status = 'error') as error, count(*) filter (where status = 'muted') as muted,
                   count(*) filter (where status = 'not_checked') as not_checked, sum(value) as value_sum
              from check_result, unnest(array['minute', 'hour', 'day']) g group by 1, 2, 3) r
        full join check_rollup u using (grain, at, check_id)
        where (r.ok, r.warn, r.fail, r.error, r.muted, r.not_checked, coalesce(r.value_sum, 0))
              is distinct from (u.ok, u.warn, u.fail, u.error, u.muted, u.not_checked, coalesce(u.value_sum, 0))
        """
    )
    assert wrong == []


def test_two_schedulers_that_come_back_note_one_gap(record: Record, clock: Clock) -> None:
    scheduler.Alive(record).beat()
    go(record, clock, 600)
    for _ in range(2):
        scheduler.Alive(record).beat()
    [gap] = record.all("select part, began_at, ended_at from own_gap")
    assert (gap["part"], gap["began_at"], gap["ended_at"]) == ("scheduler", T0, clock.at)


def test_the_time_without_a_check_worker_is_a_gap_until_one_is_back(record: Record, clock: Clock) -> None:
    alive = scheduler.Alive(record)

    def beat(seconds: float) -> None:
        go(record, clock, seconds)
        alive._last = alive._last and alive._last - seconds
        alive.beat()

    beat(0)
    beats.beat(record, "check", "one:1")
    beat(25)
    assert record.all("select * from own_gap") == []
    beat(25)
    [gap] = record.all("select * from own_gap")
    assert (gap["part"], gap["began_at"], gap["ended_at"]) == ("check", T0, None)
    with record.tx() as conn:
        assert gaps.between(conn, T0 - timedelta(hours=1), clock.at) == [(T0, clock.at)]
    beats.beat(record, "check", "two:2")
    beat(5)
    [gap] = record.all("select * from own_gap")
    assert gap["ended_at"] == clock.at
    go(record, clock, 7200)
    beats.beat(record, "check", "three:3")
    with record.tx() as conn:
        beats.forget(conn)
    left = record.all("select part, instance from part_beat order by part")
    assert [r["part"] for r in left] == ["check", "scheduler"]
    assert left[0]["instance"] == "three:3"
