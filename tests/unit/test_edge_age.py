"""How old an edge looks: by when it was last seen, as of the moment that is asked about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from answers import lineage

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("ago", "age"),
    [
        (timedelta(0), "fresh"),
        (timedelta(days=7) - SECOND, "fresh"),
        (timedelta(days=7), "aging"),
        (timedelta(days=30) - SECOND, "aging"),
        (timedelta(days=30), "stale"),
        (timedelta(days=4000), "stale"),
        (-timedelta(hours=1), "fresh"),  # a clock that is ahead
    ],
)
def test_an_edge_ages_by_when_it_was_last_seen(ago: timedelta, age: str) -> None:
    assert lineage.age(NOW - ago, ["openlineage"], NOW) == age


def test_what_people_drew_does_not_age() -> None:
    assert lineage.age(NOW - timedelta(days=400), ["manual"], NOW) == "fresh"
    assert lineage.age(NOW - timedelta(days=400), ["manual", "openlineage"], NOW) == "fresh"


def _half(days: int) -> dict[str, object]:
    seen = NOW - timedelta(days=days)
    return {
        "id": str(uuid4()), "ids": [str(uuid4())], "provenance": ["openlineage"], "first_seen": seen.isoformat(),
        "last_seen": seen.isoformat(), "age": lineage.age(seen, ["openlineage"], NOW), "standin": False, "via": [],
    }  # fmt: skip


def test_two_halves_through_a_hidden_job_are_as_old_as_the_older_and_two_ways_as_fresh_as_the_fresher() -> (
    None
):
    a, b, job, other = (uuid4() for _ in range(4))
    whole = {n: {"standin": False} for n in (job, other)}
    one = {(a, job): _half(1), (job, b): _half(10)}
    edges, _ = lineage._through(one, {job}, whole)
    assert [e["age"] for e in edges.values()] == ["aging"]
    edges, _ = lineage._through(one | {(a, other): _half(40), (other, b): _half(1)}, {job, other}, whole)
    assert [e["age"] for e in edges.values()] == ["aging"], "of a stale and an aging way the aging one"
