"""The invariant of the schedule, held against hypothesis: every (check, slot) ends as exactly one of ok, warn, fail,
error, not_checked, muted; never absent, never two; a fault of DLV's own is error or not_checked, never fail.

A machine drives the real store on a real Postgres: time passes, schedulers and workers come, die and come late, people
pause, mute and change intervals, the clock is moved. Beside it stands a model of nothing but which slots are due.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import scheduling
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from scheduling import T0, Clock, add_check, add_connection, add_node
from test_schedule import assert_counted

from checks import schedule
from checks.result import SAID, Verdict
from store import checks, partitions, slots
from store.audit import SYSTEM
from store.record import Record
from tests.conftest import eventually
from workers import scheduler

TABLES = """health_check, check_state, check_slot, check_missed, check_look, check_result, check_rollup, part_beat, own_gap,
            silence, transition, transition_pending, node, alias, connection"""
EVERY = (10, 30, 60)
VERDICTS = {
    s: Verdict(s, "as the test says", value=1.0) for s in ("ok", "warn", "fail", "error", "not_checked")
}


def machine(record: Record) -> type[RuleBasedStateMachine]:
    """The machine over this record, which is emptied for each run."""

    class Schedule(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.workers: list[slots.Holder] = []
            self.held: list[dict[str, Any]] = []
            self.lost: list[dict[str, Any]] = []
            self.expected: set[tuple[UUID, datetime]] = set()
            self.possible: set[tuple[UUID, datetime]] = set()
            self.said: dict[tuple[UUID, datetime], str] = {}
            self.seen: dict[tuple[UUID, datetime], str] = {}
            self.every: dict[UUID, int] = {}
            self.paused: set[UUID] = set()

        @initialize(n=st.integers(1, 4))
        def begin(self, n: int) -> None:
            with record.tx() as conn:
                conn.execute(f"truncate {TABLES} cascade")
                self.clock = Clock(conn)
                # made in time, as they are in life: who makes one waits for another who does
                days = [T0 + timedelta(days=d) for d in range(-2, 9)]
                partitions.ensure_days(conn, "check_result", days)
                node, link = add_node(conn), add_connection(conn)
                for k in range(n):
                    every = EVERY[k % 3]
                    id_ = add_check(
                        conn, node, every=every, connection=link if k % 2 else None, name=f"check {k}"
                    )
                    conn.execute(
                        "update health_check set offset_seconds = %s, next_slot_at = %s where id = %s",
                        (schedule.offset_of(id_, every), self._after(id_, every), id_),
                    )
                    self.every[id_] = every
            self.checks = sorted(self.every)
            self.alive = [scheduler.Alive(record), scheduler.Alive(record)]
            self._beat()

        # ---- the model: which slots are due

        def _after(self, id_: UUID, every: int) -> datetime:
            return schedule.slot_after(self.clock.at, every, schedule.offset_of(id_, every))

        def _pass(self, seconds: int) -> None:
            was = self.clock.at
            with record.tx() as conn:
                now = self.clock.go(conn, seconds)
            for id_ in set(self.checks) - self.paused:
                every = self.every[id_]
                at = schedule.slot_after(was, every, schedule.offset_of(id_, every))
                while at <= now:
                    self.expected.add((id_, at))
                    at += timedelta(seconds=every)
            self.possible |= self.expected
            for alive in self.alive:  # the clock that nobody sets goes on as well
                if alive._last is not None:
                    alive._last -= seconds

        def _beat(self) -> None:
            for alive in self.alive:
                alive._last = alive._last and alive._last - 10
                alive.beat()

        # ---- time and schedulers

        @rule(seconds=st.integers(1, 15))
        def a_little_time_passes(self, seconds: int) -> None:
            self._pass(seconds)

        @rule(seconds=st.sampled_from([45, 75, 200, 900]))
        def much_time_passes(self, seconds: int) -> None:
            self._pass(seconds)

        @rule(which=st.integers(0, 1))
        def a_scheduler_comes_by(self, which: int) -> None:
            self.alive[which].beat()
            scheduler.plan(record, 90)

        @rule(commits=st.booleans())
        def two_schedulers_at_once(self, commits: bool) -> None:
            """One is in the middle of its transaction while the other goes through; then it commits, or dies."""
            try:
                with record.tx() as conn:
                    slots.due(conn, 2)
                    with record.tx() as other:
                        slots.due(other, 2)
                    if not commits:
                        raise InterruptedError
            except InterruptedError:
                pass

        @rule()
        def some_of_what_was_missed_is_written(self) -> None:
            with record.tx() as conn:
                slots.fill(conn, 90, limit=7)

        # ---- workers

        @rule(limit=st.integers(1, 5), which=st.integers(0, 2))
        def a_worker_takes(self, limit: int, which: int) -> None:
            while len(self.workers) <= which:
                self.workers.append(slots.holder(record))
            with record.tx() as conn:
                rows = slots.take(conn, limit, self.workers[which].key)
            tokens = {r["token"] for r in self.held} & self._tokens()
            self.lost += [r for r in self.held if r["token"] not in tokens]
            self.held = [r for r in self.held if r["token"] in tokens]
            self.held += [r | {"worker": which} for r in rows]

        def _tokens(self) -> set[UUID]:
            return {r["token"] for r in record.all("select token from check_slot where token is not null")}

        @rule(
            status=st.sampled_from(sorted(VERDICTS)),
            pick=st.integers(0, 50),
            late=st.sampled_from([0, 0, 0, 1]),
        )
        def a_look_ends(self, status: str, pick: int, late: int) -> None:
            rows = self.lost if late else self.held
            if not rows:
                return
            row = rows.pop(pick % len(rows))
            mine = row["token"] in self._tokens()
            with record.tx() as conn:
                done = slots.finish(conn, row["check_id"], row["slot_at"], row["token"], VERDICTS[status])
                slots.look_ended(conn, row["token"])
            assert done is mine
            if done:
                self.said[row["check_id"], row["slot_at"]] = status

        @rule(which=st.integers(0, 2))
        def a_worker_dies(self, which: int) -> None:
            if which < len(self.workers):
                worker = self.workers[which]
                worker.close()
                eventually(lambda: not _holds(record, worker.key))
                self.workers[which] = slots.holder(record)
                self.lost += [r for r in self.held if r["worker"] == which]
                self.held = [r for r in self.held if r["worker"] != which]

        @rule(which=st.integers(0, 2))
        def a_worker_stops(self, which: int) -> None:
            mine = [r for r in self.held if r["worker"] == which]
            self.held = [r for r in self.held if r["worker"] != which]
            self.lost += mine
            with record.tx() as conn:
                slots.give_back(conn, [r["token"] for r in mine])
                for r in mine:
                    slots.look_ended(conn, r["token"])

        # ---- people

        @rule(pick=st.integers(0, 3))
        def pause_or_resume(self, pick: int) -> None:
            id_ = self.checks[pick % len(self.checks)]
            with record.tx() as conn:
                if id_ in self.paused:
                    checks.resume(conn, SYSTEM, id_)
                else:
                    checks.pause(conn, SYSTEM, id_)
            self.paused ^= {id_}
            self._looks_at_once(id_)

        @rule(pick=st.integers(0, 3), seconds=st.sampled_from([0, 20, 100]))
        def mute(self, pick: int, seconds: int) -> None:
            until = self.clock.at + timedelta(seconds=seconds) if seconds else None
            id_ = self.checks[pick % len(self.checks)]
            with record.tx() as conn:
                checks.mute(conn, SYSTEM, id_, until)
            self._looks_at_once(id_)

        @rule(pick=st.integers(0, 3), every=st.sampled_from(EVERY))
        def change_the_interval(self, pick: int, every: int) -> None:
            id_ = self.checks[pick % len(self.checks)]
            with record.tx() as conn:
                checks.edit(conn, SYSTEM, id_, {"every_seconds": every}, None)
            self.every[id_] = every
            self._looks_at_once(id_)

        def _looks_at_once(self, id_: UUID) -> None:
            """After some changes by people a check looks at once, beside its rhythm."""
            self.possible.add((id_, self.clock.at))

        # ---- the clock

        @rule()
        def the_clock_goes_an_hour_forward(self) -> None:
            for alive in self.alive:
                alive._last = (
                    alive._last and alive._last + 3600
                )  # only the clock goes: _pass takes it off again
            self._pass(3600)
            self._beat()

        @rule(seconds=st.sampled_from([20, 3600]))
        def the_clock_goes_back(self, seconds: int) -> None:
            self._beat()
            with record.tx() as conn:
                now = self.clock.go(conn, -seconds)
            self._beat()
            # what still lies ahead is made when it comes; what was looked at stays as it ended
            self.expected = {k for k in self.expected if k[1] <= now or k in self.said}
            for k in [
                k for k, s in self.seen.items() if k[1] > now and s == "not_checked" and k not in self.said
            ]:
                del self.seen[k]
            for id_ in self.checks:
                every = self.every[id_]
                self.possible.add((id_, schedule.slot_before(now, every, schedule.offset_of(id_, every))))

        # ---- what holds

        @invariant()
        def no_slot_is_in_two_places(self) -> None:
            assert not record.all(
                "select 1 from check_slot join check_result using (check_id, slot_at) limit 1"
            )

        @invariant()
        def two_looks_at_once_through_a_connection(self) -> None:
            assert not record.all(
                "select 1 from check_look group by connection_id having count(*) > %s", (slots.AT_ONCE,)
            )

        @invariant()
        def what_ended_stays_as_it_ended_and_only_a_look_says_ok_warn_or_fail(self) -> None:
            now = {
                (r["check_id"], r["slot_at"]): r["status"]
                for r in record.all("select check_id, slot_at, status from check_result")
            }
            assert {k: now.get(k) for k in self.seen} == self.seen
            self.seen = now
            assert {k: s for k, s in now.items() if s in SAID} == {
                k: s for k, s in self.said.items() if s in SAID
            }

        def teardown(self) -> None:
            try:
                if self.every:
                    self._settle()
            finally:
                for worker in self.workers:
                    worker.close()

        def _settle(self) -> None:
            """Everybody works for a while; then nothing that was due is left or lost."""
            for _ in range(40):
                self._beat()
                scheduler.plan(record, 90)
                self.a_worker_takes(100, 0)
                while self.held:
                    self.a_look_ends("ok", 0, 0)
                with record.tx() as conn:
                    conn.execute("delete from check_look")
                if not record.all("select 1 from check_slot union all select 1 from check_missed"):
                    break
                self._pass(5)
            else:
                raise AssertionError("slots never settled")
            self.what_ended_stays_as_it_ended_and_only_a_look_says_ok_warn_or_fail()
            ended = set(self.seen)
            assert {k for k in self.expected if k[1] <= self.clock.at} - ended == set()
            assert ended - self.possible == set()
            assert_counted(record)

    return Schedule


def _holds(record: Record, key: int) -> bool:
    return bool(
        record.all(
            "select 1 from pg_locks where locktype = 'advisory' and objid::bigint = %s and classid::bigint = %s",
            (key & 0xFFFFFFFF, key >> 32),
        )
    )


@pytest.fixture
def emptied(record: Record) -> Iterator[Record]:
    yield record


def test_every_slot_ends_exactly_once(emptied: Record) -> None:
    run_state_machine_as_test(
        machine(emptied),
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_a_slot_of_the_moment_to_which_the_clock_goes_back_stays(
    emptied: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written down as missed under an interval that was changed since, nothing would make it again."""
    # of all ids this one's slots of ten seconds lie on whole ten seconds, where the clock goes back to
    whole = next(u for u in (UUID(int=n, version=4) for n in range(1000)) if schedule.offset_of(u, 10) == 0)
    monkeypatch.setattr(scheduling, "uuid4", lambda: whole)
    steps = machine(emptied)()
    steps.begin(n=1)
    steps.a_scheduler_comes_by(which=0)
    steps.much_time_passes(seconds=200)
    steps.change_the_interval(pick=0, every=60)
    steps.the_clock_goes_back(seconds=20)
    assert (whole, steps.clock.at) in steps.expected
    steps.teardown()
