"""Uptime and SLA attainment from changes, without the times in which DLV did not look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from checks import uptime

T0 = datetime(2026, 11, 1, tzinfo=UTC)


def h(n: float) -> datetime:
    return T0 + timedelta(hours=n)


def told(pieces: list[uptime.Piece]) -> list[tuple[float, float, str]]:
    return [
        ((p.since - T0).total_seconds() / 3600, (p.until - T0).total_seconds() / 3600, p.health)
        for p in pieces
    ]


def test_a_day_with_a_failure_a_warning_and_a_gap_of_ours() -> None:
    pieces = uptime.pieces(
        "ok", [(h(6), "failed"), (h(8), "ok"), (h(20), "warn")], h(0), h(24), [(h(7), h(10))]
    )
    assert told(pieces) == [
        (0, 6, "ok"), (6, 7, "failed"), (7, 8, "gap"), (8, 10, "gap"), (10, 20, "ok"), (20, 24, "warn"),
    ]  # fmt: skip
    share = uptime.share(pieces)
    assert (share.good, share.bad, share.gap) == (20 * 3600, 3600, 3 * 3600)
    assert share.percent == round(100 * 20 / 21, 4)


def test_what_is_not_known_is_neither_up_nor_down() -> None:
    assert uptime.share(uptime.pieces("unknown", [], h(0), h(24))).percent is None
    share = uptime.share(uptime.pieces("unknown", [(h(23), "ok")], h(0), h(24)))
    assert (share.percent, share.unknown) == (100.0, 23 * 3600)


def test_bars_begin_on_whole_hours_and_show_the_worst() -> None:
    bars = uptime.edges(h(0.5), h(2.25), timedelta(hours=1))
    assert bars == [(h(0.5), h(1)), (h(1), h(2)), (h(2), h(2.25))]
    pieces = uptime.pieces("ok", [(h(1.2), "late"), (h(1.3), "ok")], h(0.5), h(2.25))
    assert [uptime.worst(uptime.cut(pieces, *b)) for b in bars] == ["ok", "late", "ok"]


def test_freshness_is_late_between_the_limit_and_the_next_making() -> None:
    made = [h(-1), h(2), h(10)]
    pieces = uptime.freshness(made, timedelta(hours=4), h(0), h(24))
    assert told(pieces) == [(0, 2, "ok"), (2, 6, "ok"), (6, 10, "late"), (10, 14, "ok"), (14, 24, "late")]
    assert uptime.freshness([], timedelta(hours=4), h(0), h(24))[0].health == "unknown"


def test_completions_count_what_was_due_and_leave_our_gaps_out() -> None:
    due = [h(0), h(24), h(48), h(72)]
    ends = {h(0): h(0.5), h(24): h(30)}
    said = uptime.completions(due, ends, timedelta(hours=1), h(72.5), [(h(48), h(49))])
    assert said == [(h(0), True), (h(24), False)]


@given(
    st.lists(
        st.tuples(st.integers(0, 100), st.sampled_from(["ok", "warn", "late", "failed", "unknown"])),
        max_size=12,
    ),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20)), max_size=3),
)
def test_pieces_cover_the_time_once(changes: list[tuple[int, str]], holes: list[tuple[int, int]]) -> None:
    gaps, at = [], 0
    for start, length in sorted(holes):
        start = max(start, at)
        gaps.append((h(start), h(start + length)))
        at = start + length
    pieces = uptime.pieces("ok", [(h(n), s) for n, s in sorted(changes)], h(10), h(90), gaps)
    assert pieces[0].since == h(10)
    assert pieces[-1].until == h(90)
    assert all(a.until == b.since for a, b in pairwise(pieces))
    inside = sum(max(0.0, (min(e, h(90)) - max(s, h(10))).total_seconds()) for s, e in gaps)
    assert uptime.share(pieces).gap == inside
