"""From when to when an edge holds: a pure function of sightings and of what ends it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from store.intervals import life

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def t(hours: float) -> datetime:
    return T0 + timedelta(hours=hours)


def test_nothing_ends_it() -> None:
    assert life([t(2), t(1), t(3)], []) == [(t(1), t(3), None)]


def test_a_drop_ends_it_and_a_later_sighting_begins_anew() -> None:
    assert life([t(1), t(2), t(5)], [t(3)]) == [(t(1), t(2), t(3)), (t(5), t(5), None)]


def test_a_drop_that_nothing_follows() -> None:
    assert life([t(1)], [t(3)]) == [(t(1), t(1), t(3))]


def test_a_drop_before_the_first_sighting_ends_nothing() -> None:
    assert life([t(4)], [t(3)]) == [(t(4), t(4), None)]


def test_a_sighting_at_the_time_of_the_end_follows_it() -> None:
    assert life([t(1), t(3)], [t(3)]) == [(t(1), t(1), t(3)), (t(3), t(3), None)]


hours = st.lists(st.integers(0, 20).map(t), max_size=8)


@given(hours, hours)
def test_intervals_are_ordered_apart_and_hold_every_sighting(
    sightings: list[datetime], ends: list[datetime]
) -> None:
    intervals = life(sightings, ends)
    for (_, last, end), (start, _, _) in pairwise(intervals):
        assert end is not None and last < end <= start
    for s in sightings:
        assert sum(start <= s and (end is None or s < end) for start, _, end in intervals) == 1
    assert not any(start < e <= last for start, last, _ in intervals for e in ends)
