"""Slots lie on a grid since the epoch; what is due is arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from checks import schedule

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
EVERY = st.integers(10, 7 * 86400)
OFFSET = st.integers(0, 7 * 86400)
WHEN = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))


def test_a_minute_check() -> None:
    assert schedule.slot_after(T0, 60, 5) == T0 + timedelta(seconds=5)
    assert schedule.slot_before(T0, 60, 5) == T0 - timedelta(seconds=55)
    assert schedule.due(T0 + timedelta(seconds=5), 60, 5, T0) is None
    assert schedule.due(T0, 60, 0, T0) == schedule.Due(T0, T0, 0, T0 + timedelta(minutes=1))


def test_after_a_stop_of_an_hour_only_the_newest_is_looked_at() -> None:
    due = schedule.due(T0, 60, 0, T0 + timedelta(hours=1, seconds=30))
    assert due == schedule.Due(T0, T0 + timedelta(hours=1), 60, T0 + timedelta(hours=1, minutes=1))


@given(WHEN, EVERY, OFFSET)
def test_slots_around_a_moment_are_neighbours_on_the_grid(at: datetime, every: int, offset: int) -> None:
    before, after = schedule.slot_before(at, every, offset), schedule.slot_after(at, every, offset)
    assert before <= at < after
    assert after - before == timedelta(seconds=every)
    assert (before.timestamp() - offset) % every == 0
    assert schedule.slot_before(before, every, offset) == before


@given(WHEN, EVERY, OFFSET, st.lists(st.integers(0, 100_000), min_size=1, max_size=6))
def test_however_time_passes_every_slot_comes_once(
    start: datetime, every: int, offset: int, waits: list[int]
) -> None:
    next_slot, now, made = schedule.slot_after(start, every, offset), start, 0
    for wait in waits:
        now += timedelta(seconds=wait)
        due = schedule.due(next_slot, every, offset, now)
        if due is None:
            assert next_slot > now
            continue
        assert due.first == next_slot
        assert due.newest <= now < due.after
        assert (due.newest - due.first).total_seconds() == due.missed * every
        made += due.missed + 1
        next_slot = due.after
    assert made == (next_slot - schedule.slot_after(start, every, offset)).total_seconds() // every


def test_checks_of_one_interval_are_spread() -> None:
    offsets = [schedule.offset_of(uuid4(), 60) for _ in range(600)]
    assert set(offsets) == set(range(60))
    assert max(offsets.count(n) for n in range(60)) < 40
    assert schedule.offset_of(UUID(int=7), 60) == schedule.offset_of(UUID(int=7), 60)
