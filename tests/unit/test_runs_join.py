"""Two statements about a run join to the same, whatever their order and however often they come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ingest.facts import RunFact, join_runs

T0 = datetime(2026, 11, 23, 6, tzinfo=UTC)
KEY = UUID(int=1)


def run(state: str, minute: int, hash_: int = 0, **more: object) -> RunFact:
    at = T0 + timedelta(minutes=minute)
    return RunFact(
        KEY, UUID(int=2), "r", state, at, bytes([hash_]), at, at, 1,
        started_at=at if state == "START" else None,
        ended_at=at if state in ("COMPLETE", "FAIL", "ABORT") else None,
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


facts = st.builds(
    lambda s, m, h, e, p, t, d: run(
        s,
        m,
        h,
        error=e,
        parent_job=UUID(int=p) if p else None,
        parent_run_id=str(p) if p else None,
        trigger=t,
        detail=d,
    ),
    st.sampled_from(["START", "RUNNING", "OTHER", "COMPLETE", "FAIL", "ABORT"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.sampled_from([None, "boom", "bang"]),
    st.integers(0, 2),
    st.sampled_from(["unknown", "scheduled", "manual", "backfill"]),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2),
)


@given(st.lists(facts, min_size=1, max_size=6), st.randoms())
def test_any_order_and_any_repetition(said: list[RunFact], random: object) -> None:
    shuffled = said + said[: len(said) // 2]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert reduce(join_runs, shuffled) == reduce(join_runs, said)


def test_a_fail_is_not_overwritten_by_the_complete_that_spark_sends_after_it() -> None:
    joined = join_runs(run("COMPLETE", 5), run("FAIL", 4))
    assert (joined.state, joined.ended_at) == ("FAIL", T0 + timedelta(minutes=4))


def test_of_two_ends_at_one_time_the_fail_counts() -> None:
    assert join_runs(run("COMPLETE", 5, 9), run("FAIL", 5, 1)).state == "FAIL"


def test_other_before_start_and_an_end_without_start() -> None:
    assert join_runs(run("OTHER", 0), run("START", 1)).state == "START"
    only_end = run("COMPLETE", 3)
    assert only_end.started_at is None and only_end.due_at == T0 + timedelta(minutes=3)
