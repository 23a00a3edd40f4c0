"""Own health of a node from its runs and assertions: the table of the design, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from checks.health import AssertionSeen, RunSeen, judge_assertions, judge_freshness, judge_runs, worse

T0 = datetime(2026, 11, 1, 6, tzinfo=UTC)


def run(day: float, state: str, *, took: float = 10, n: int = 0, **more: object) -> RunSeen:
    start = T0 + timedelta(days=day)
    end = start + timedelta(minutes=took) if state in ("COMPLETE", "FAIL", "ABORT") else None
    return RunSeen(UUID(int=int(day * 1000) + n + 1), state, start, start, end, **more)  # type: ignore[arg-type]


def state(*runs: RunSeen, now: datetime | None = None) -> str:
    return judge_runs(runs, now).state


def test_nothing_known_is_unknown() -> None:
    assert state() == "unknown"


def test_the_newest_due_run_decides() -> None:
    assert state(run(0, "FAIL"), run(1, "COMPLETE")) == "ok"
    assert state(run(1, "FAIL"), run(0, "COMPLETE")) == "failed"


def test_a_failure_is_since_the_first_of_its_streak() -> None:
    verdict = judge_runs([run(0, "COMPLETE"), run(1, "FAIL"), run(2, "FAIL", error="boom")])
    assert (verdict.state, verdict.reason) == ("failed", "boom")
    assert verdict.since == T0 + timedelta(days=1, minutes=10)


def test_a_fail_with_tries_left_warns_and_the_last_try_fails() -> None:
    first = run(1, "FAIL", trigger="scheduled", try_number=1, max_tries=2)
    assert state(first) == "warn"
    second = run(1, "FAIL", took=20, n=1, trigger="scheduled", try_number=2, max_tries=2)
    assert state(first, second) == "failed"
    assert (
        state(first, run(1, "COMPLETE", took=30, n=2, trigger="scheduled", try_number=2, max_tries=2)) == "ok"
    )


def test_abort_changes_nothing() -> None:
    assert state(run(0, "FAIL"), run(1, "ABORT")) == "failed"
    assert state(run(0, "COMPLETE"), run(1, "ABORT")) == "ok"


@pytest.mark.parametrize("trigger", ["manual", "backfill"])
def test_a_manual_run_or_backfill_never_reddens_and_may_clear(trigger: str) -> None:
    assert state(run(0, "COMPLETE", trigger="scheduled"), run(1, "FAIL", trigger=trigger)) == "ok"
    assert state(run(0, "FAIL", trigger="scheduled"), run(1, "COMPLETE", trigger=trigger)) == "ok"
    assert state(run(1, "FAIL", trigger=trigger)) == "unknown"


def test_an_older_interval_run_again_does_not_redden() -> None:
    rerun_of_old = RunSeen(
        UUID(int=99), "FAIL", T0, T0 + timedelta(days=2), T0 + timedelta(days=2, minutes=5), "scheduled"
    )
    assert state(run(1, "COMPLETE", trigger="scheduled"), rerun_of_old) == "ok"


def test_running_is_an_overlay() -> None:
    verdict = judge_runs([run(0, "FAIL"), run(1, "START")])
    assert (verdict.state, verdict.running) == ("failed", True)


def test_a_stream_that_runs_is_good_and_one_that_failed_is_not() -> None:
    verdict = judge_runs([run(0, "RUNNING", streaming=True)])
    assert (verdict.state, verdict.running) == ("ok", True)
    assert state(run(0, "FAIL", streaming=True), run(1, "RUNNING", streaming=True)) == "ok", (
        "it was started again"
    )
    assert state(run(1, "FAIL", streaming=True), run(0, "RUNNING", streaming=True)) == "failed"


def test_late_when_not_ended_in_its_usual_time_and_only_with_enough_runs() -> None:
    started = run(8, "RUNNING")
    now = T0 + timedelta(days=8, hours=2)
    assert state(*[run(d, "COMPLETE") for d in range(7)], started, now=now) == "late"
    assert state(*[run(d, "COMPLETE") for d in range(6)], started, now=now) == "ok"
    streaming = run(8, "RUNNING", streaming=True)
    assert state(*[run(d, "COMPLETE") for d in range(7)], streaming, now=now) == "ok"


def test_late_when_due_and_not_started_by_its_own_rhythm() -> None:
    daily = [run(d, "COMPLETE", trigger="scheduled") for d in range(9)]
    assert state(*daily, now=T0 + timedelta(days=9, minutes=5)) == "ok"
    assert state(*daily, now=T0 + timedelta(days=9, hours=8)) == "late"
    assert state(*daily[:5], now=T0 + timedelta(days=9, hours=8)) == "ok"


def test_assertions_by_severity() -> None:
    at = T0
    fine = AssertionSeen("not_null", "id", "error", True, at)
    assert judge_assertions([fine]).state == "ok"
    assert judge_assertions([fine, AssertionSeen("unique", "id", "warn", False, at)]).state == "warn"
    red = judge_assertions([fine, AssertionSeen("unique", "id", "error", False, at, "expected 0, got 3")])
    assert (red.state, red.reason) == ("failed", "unique on id failed: expected 0, got 3")


def test_the_worse_of_two_stands_and_unknown_speaks_least() -> None:
    ok, failed = judge_runs([run(0, "COMPLETE")]), judge_runs([run(0, "FAIL")])
    assert worse(ok, failed) is failed and worse(failed, ok) is failed
    assert worse(judge_runs([]), ok) is ok


def test_data_older_than_its_limit_is_late() -> None:
    sla = {"sla_kind": "freshness", "sla_minutes": 60}
    assert judge_freshness(sla, T0, T0 + timedelta(minutes=59)).state == "unknown"
    assert judge_freshness(sla, T0, T0 + timedelta(minutes=61)).state == "late"
    assert (
        judge_freshness({"sla_kind": "completion", "sla_minutes": 60}, T0, T0 + timedelta(days=1)).state
        == "unknown"
    )
