"""Own health of a node from its runs and assertions: the table of the design, row by row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from checks.health import (
    UNKNOWN,
    AssertionSeen,
    CheckSeen,
    Deaf,
    ParentRun,
    RunSeen,
    judge_assertions,
    judge_checks,
    judge_freshness,
    judge_runs,
    judge_sla,
    next_sla,
    worse,
)

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


# ---------------------------------------------------------------- late


def daily(days: int, **more: object) -> list[RunSeen]:
    return [run(d, "COMPLETE", trigger="scheduled", **more) for d in range(days)]


def at(day: float, minutes: float = 0) -> datetime:
    return T0 + timedelta(days=day, minutes=minutes)


@pytest.mark.parametrize(("runs", "becomes"), [(6, "ok"), (7, "late")])
def test_lateness_needs_seven_runs(runs: int, becomes: str) -> None:
    assert state(*daily(runs), now=at(runs, 120)) == becomes


def test_with_a_known_schedule_two_runs_are_enough() -> None:
    runs = daily(2)
    due = at(2)
    assert judge_runs(runs, at(2, 55), next_due=due).state == "ok"
    verdict = judge_runs(runs, at(2, 65), next_due=due)
    assert (verdict.state, verdict.reason) == ("late", "due at 2026-11-03 06:00 UTC and not started")


def test_the_moment_of_lateness_is_told_beforehand() -> None:
    verdict = judge_runs(daily(8), at(7, 30))
    assert verdict.state == "ok" and verdict.next_at is not None
    before, after = verdict.next_at, verdict.next_at + timedelta(seconds=1)
    assert (state(*daily(8), now=before), state(*daily(8), now=after)) == ("ok", "late")
    assert judge_runs(daily(8), after).next_at is None, "only news can change it from here on"


def test_weekends_are_not_late_and_monday_is() -> None:
    # T0 is a Sunday: the first workday is T0 + 1
    workdays = [
        run(d, "COMPLETE", trigger="scheduled")
        for d in range(1, 14)
        if (T0 + timedelta(days=d)).weekday() < 5
    ]
    assert state(*workdays, now=at(15, -60)) == "ok", "Saturday and Sunday"
    assert state(*workdays, now=at(15, 120)) == "late", "Monday"


def test_a_job_that_comes_irregularly_is_late_only_after_its_longest_gap() -> None:
    hours = [0, 1, 2, 3, 17, 18, 19, 20, 34, 35, 36, 37]
    runs = [run(h / 24, "COMPLETE", trigger="scheduled") for h in hours]
    assert state(*runs, now=at(40 / 24)) == "ok"
    assert state(*runs, now=at(52.5 / 24)) == "late", "14 hours and its margin later"


def test_one_day_left_out_long_ago_does_not_hide_the_next() -> None:
    runs = [r for r in daily(12) if r.due_at != at(6)]
    assert state(*runs, now=at(12, 120)) == "late"


def test_a_job_that_starts_late_now_and_then_has_that_time() -> None:
    slow = [
        RunSeen(UUID(int=d + 1), "COMPLETE", at(d), at(d, 150 if d % 3 else 5), at(d, 160), "scheduled")
        for d in range(9)
    ]
    assert state(*slow, now=at(9, 155)) == "ok"
    assert state(*slow, now=at(9, 400)) == "late"


def test_a_job_without_a_schedule_has_one_where_it_comes_like_a_clock() -> None:
    clock = [run(d, "COMPLETE") for d in range(8)]
    assert state(*clock, now=at(8, 120)) == "late"
    erratic = [run(d, "COMPLETE") for d in (0, 1, 2, 3.9, 5, 6, 8)]
    assert state(*erratic, now=at(20)) == "ok"
    assert judge_runs(clock, at(8, 120), has_parent=True).state == "ok", (
        "a query runs when its application does"
    )


@pytest.mark.parametrize("trigger", ["manual", "backfill"])
def test_manual_runs_and_backfills_have_no_rhythm_and_clear_lateness(trigger: str) -> None:
    assert state(*[run(d, "COMPLETE", trigger=trigger) for d in range(9)], now=at(20)) == "ok"
    assert state(run(8, "RUNNING", trigger=trigger), *daily(8), now=at(8, 50)) == "ok", "never late itself"
    by_hand = run(8.05, "COMPLETE", trigger=trigger)
    assert state(*daily(8), by_hand, now=at(8, 200)) == "ok"
    assert state(*daily(8), by_hand, now=at(9, 200)) == "late", "the next one is due all the same"


def test_a_stream_is_never_late() -> None:
    streams = [run(d, "COMPLETE", trigger="scheduled", streaming=True) for d in range(9)]
    assert state(*streams, now=at(30)) == "ok"


def test_a_run_whose_end_was_lost_is_old_news_once_a_newer_one_ended() -> None:
    lost = run(7, "START", trigger="scheduled")
    assert state(*daily(7), lost, now=at(7, 300)) == "late"
    assert state(*daily(7), lost, run(8, "COMPLETE", trigger="scheduled"), now=at(8, 300)) == "ok"


def test_failed_outweighs_late() -> None:
    assert state(*daily(8), run(8, "FAIL", trigger="scheduled"), now=at(12)) == "failed"


def test_what_may_have_happened_unheard_is_unknown() -> None:
    gap = Deaf(at(8, -10), at(8, 90), "airflow was quiet")
    verdict = judge_runs(daily(8), at(8, 200), deaf=[gap])
    assert (verdict.state, verdict.reason, verdict.blind) == ("unknown", "airflow was quiet", True)
    elsewhere = Deaf(at(6), at(6, 90), "airflow was quiet")
    assert judge_runs(daily(8), at(8, 200), deaf=[elsewhere]).state == "late"
    started = [*daily(8), run(8, "RUNNING", trigger="scheduled")]
    assert judge_runs(started, at(8, 300), deaf=[gap]).state == "unknown", "its end may have been in the gap"
    failed = [*daily(8), run(8, "FAIL", trigger="scheduled")]
    assert judge_runs(failed, at(9, 300), deaf=[Deaf(at(9), at(9, 90), "x")]).state == "failed", (
        "known to be bad"
    )


# ---------------------------------------------------------------- passed over


def dag(day: float, outcome: str, *, failed: tuple[str, ...] = (), trigger: str = "scheduled") -> ParentRun:
    return ParentRun(
        f"dag-{day}", outcome, at(day), at(day, 30) if outcome != "START" else None, trigger, True, failed
    )


def inside(day: float, outcome: str = "COMPLETE") -> RunSeen:
    return run(day, outcome, trigger="scheduled", nominal=True, parent_run=f"dag-{day}")


def test_what_a_failed_dag_passed_over_is_late_at_once_and_says_why() -> None:
    dags = [*[dag(d, "COMPLETE") for d in range(7)], dag(7, "FAIL", failed=("load_charges",))]
    verdict = judge_runs([inside(d) for d in range(7)], at(7, 31), parents=dags)
    assert (verdict.state, verdict.reason, verdict.since) == (
        "late", "not started: upstream load_charges failed", at(7, 30),
    )  # fmt: skip
    reached = judge_runs([inside(d) for d in range(8)], at(7, 31), parents=dags)
    assert reached.state == "ok"
    next_day = [*dags, dag(8, "COMPLETE")]
    assert judge_runs([*[inside(d) for d in range(7)], inside(8)], at(8, 31), parents=next_day).state == "ok"
    again = [*dags, dag(8, "FAIL", failed=("load_charges",))]
    assert judge_runs([inside(d) for d in range(7)], at(8, 31), parents=again).state == "late", (
        "the second day, too"
    )


@pytest.mark.parametrize(
    ("parents", "runs"),
    [
        ([*[dag(d, "COMPLETE") for d in range(6)], dag(6, "FAIL")], range(6)),
        ([*[dag(d, "COMPLETE") for d in range(7)], dag(7, "FAIL", trigger="manual")], range(7)),
        ([*[dag(d, "COMPLETE") for d in range(7)], dag(7, "FAIL", trigger="backfill")], range(7)),
        ([*[dag(d, "COMPLETE") for d in range(7)], dag(7, "COMPLETE")], range(7)),
        ([*[dag(d, "COMPLETE") for d in range(7)], dag(7, "START")], range(7)),
        ([*[dag(d, "COMPLETE") for d in range(8)], dag(8, "FAIL")], (0, 1, 2, 3, 5, 6, 7)),
    ],
    ids=["too few runs", "a manual DAG run", "a backfill", "left out by a branch", "still running", "not always part of it"],
)  # fmt: skip
def test_what_else_a_dag_passes_over_is_not_late(parents: list[ParentRun], runs: Iterable[int]) -> None:
    last = parents[-1].due_at
    assert judge_runs([inside(d) for d in runs], last + timedelta(minutes=40), parents=parents).state == "ok"


def test_a_dag_that_completed_past_a_failure_leaves_late_what_hung_on_it() -> None:
    dags = [*[dag(d, "COMPLETE") for d in range(7)], dag(7, "COMPLETE", failed=("a", "b", "c"))]
    verdict = judge_runs([inside(d) for d in range(7)], at(7, 31), parents=dags)
    assert (verdict.state, verdict.reason) == ("late", "not started: upstream a and 2 more failed")


def test_a_task_left_out_on_purpose_is_not_late_by_its_rhythm_either() -> None:
    dags = [dag(d, "COMPLETE") for d in range(10)]
    assert judge_runs([inside(d) for d in range(9)], at(9, 300), parents=dags).state == "ok", "skipped today"
    assert judge_runs([inside(d) for d in range(9)], at(10, 300), parents=dags).state == "late", (
        "no DAG run since"
    )
    dags = [dag(d, "COMPLETE") for d in range(12)]
    assert judge_runs([inside(d) for d in range(9)], at(20), parents=dags).state == "ok", (
        "taken out of its DAG"
    )


# ---------------------------------------------------------------- mapped tasks, Spark


def test_one_failed_instance_of_a_mapped_task_reddens_it() -> None:
    parts = [
        run(1, "FAIL" if n == 1 else "COMPLETE", took=10 + n, n=n, trigger="scheduled", part=str(n))
        for n in range(3)
    ]
    assert state(*parts) == "failed"
    retried = run(1, "COMPLETE", took=30, n=7, trigger="scheduled", part="1")
    assert state(*parts, retried) == "ok"


def test_an_application_that_completed_with_nothing_beneath_is_unknown_and_not_good() -> None:
    empty = run(1, "COMPLETE", hollow=True)
    verdict = judge_runs([run(0, "COMPLETE"), empty])
    assert (verdict.state, verdict.blind, verdict.made_at) == ("unknown", True, at(0, 10))
    assert verdict.reason == "says COMPLETE, but no job ran beneath it"
    assert state(empty, run(2, "COMPLETE")) == "ok"


# ---------------------------------------------------------------- limits


COMPLETION = {"sla_kind": "completion", "sla_minutes": 60}


def test_done_within_so_many_minutes_of_when_it_was_due() -> None:
    runs = daily(8)
    verdict, breaks = judge_sla(COMPLETION, runs, at(7, 10), at(8, 59))
    assert (verdict.state, breaks) == ("unknown", at(8, 60))
    late, _ = judge_sla(COMPLETION, runs, at(7, 10), at(8, 61))
    assert (late.state, late.since) == ("late", at(8, 60))
    assert "not done within 60 min of 2026-11-09 06:00 UTC" in late.reason
    running = [*runs, run(8, "RUNNING", trigger="scheduled")]
    assert judge_sla(COMPLETION, running, at(7, 10), at(8, 61))[0].state == "late", "begun is not done"
    done = [*runs, run(8, "COMPLETE", took=55, trigger="scheduled")]
    assert judge_sla(COMPLETION, done, at(8, 55), at(8, 61)) == (
        replace(UNKNOWN, next_at=at(9, 60)),
        at(9, 60),
    )
    by_hand = [*runs, run(8.02, "COMPLETE", trigger="manual")]
    assert judge_sla(COMPLETION, by_hand, at(8.02, 10), at(8, 61))[0].state == "unknown"


def test_the_interval_ends_when_the_completion_counts_from() -> None:
    nightly = [
        RunSeen(
            UUID(int=d + 1),
            "COMPLETE",
            at(d - 1),
            at(d, 1),
            at(d, 9),
            "scheduled",
            nominal=True,
            nominal_end=at(d),
        )
        for d in range(8)
    ]
    assert judge_sla(COMPLETION, nightly, at(7, 9), at(7, 30))[1] == at(8, 60)


def test_a_completion_limit_needs_a_schedule_that_is_known_or_learnt() -> None:
    assert judge_sla(COMPLETION, daily(3), at(2, 10), at(9)) == (UNKNOWN, None)
    assert judge_sla(COMPLETION, daily(3), at(2, 10), at(3, 61), next_due=at(3))[0].state == "late"
    assert judge_sla(COMPLETION, [], None, at(9)) == (UNKNOWN, None)


def test_the_next_sla_to_break_is_read_from_the_node() -> None:
    assert next_sla({"sla_at": at(2)}, at(1)) == at(2)
    assert next_sla({"sla_at": at(2)}, at(3)) is None
    assert next_sla({"sla_at": None}, at(1)) is None


# ---------------------------------------------------------------- checks


def a_check(name: str, status: str, health: str, since: datetime | None = T0) -> CheckSeen:
    return CheckSeen(UUID(int=len(name)), name, status, health, f"{name} said so", since)


def test_the_worst_check_speaks_and_one_that_cannot_look_only_makes_unknown() -> None:
    ok, blind = a_check("a", "ok", "ok"), a_check("bb", "not_checked", "unknown")
    late, fault = a_check("ccc", "fail", "late"), a_check("dddd", "error", "unknown")
    assert judge_checks([ok]).state == "ok"
    assert (judge_checks([ok, blind]).state, judge_checks([ok, blind]).check) == ("unknown", blind.id)
    assert judge_checks([ok, fault]).blind
    assert (judge_checks([ok, blind, late]).state, judge_checks([blind, late]).check) == ("late", late.id)
    assert judge_checks([a_check("e", "not_checked", "unknown", None)]) == UNKNOWN, "it never looked yet"
    assert judge_checks([ok, a_check("f", "muted", "unknown")]).state == "ok"


def test_what_could_not_be_looked_at_is_not_called_good_and_hides_nothing_bad() -> None:
    blind = judge_checks([a_check("a", "not_checked", "unknown")])
    assert worse(judge_runs([run(0, "COMPLETE")]), blind).blind
    assert worse(blind, UNKNOWN).blind
    assert worse(blind, judge_runs([run(0, "FAIL")])).state == "failed"
