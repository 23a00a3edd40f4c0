"""The wall's history: which hour is remembered by what, and when an hour is a gap of DLV's own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers import wall
from answers.wall import BARS, STATES

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
SINCE = datetime(2026, 11, 22, 13, tzinfo=UTC)
OK, WARN, LATE, FAILED, UNKNOWN = range(5)


def at(hour: float) -> datetime:
    """Hours from the beginning of the oldest bar."""
    return SINCE + timedelta(hours=hour)


def drawn(
    health: str, *changes: tuple[float, int, int], gaps: tuple[Any, ...] = (), first_seen: float = -100
) -> list[str]:
    row = {"health": health, "first_seen": at(first_seen)}
    hidden = wall.blind(
        [{"began_at": at(a), "ended_at": None if b is None else at(b)} for a, b in gaps], SINCE, NOW
    )
    text = wall.bars(row, [(at(h), was, now) for h, was, now in changes], SINCE, NOW, hidden)
    return wall.unpacked(text)


def test_without_a_change_every_hour_is_as_now() -> None:
    assert drawn("ok") == ["ok"] * BARS
    assert drawn("failed") == ["failed"] * BARS


def test_an_hour_is_remembered_by_the_worst_of_it() -> None:
    said = drawn("ok", (2.2, OK, FAILED), (2.6, FAILED, OK), (5.1, OK, LATE), (7.5, LATE, OK))
    assert [i for i, s in enumerate(said) if s == "failed"] == [2]
    assert [i for i, s in enumerate(said) if s == "late"] == [5, 6, 7]
    assert said.count("ok") == BARS - 4


def test_a_recovery_on_the_hour_leaves_the_next_hour_good() -> None:
    assert drawn("ok", (3.5, OK, FAILED), (5.0, FAILED, OK))[3:6] == ["failed", "failed", "ok"]


def test_before_it_was_seen_nothing_is_known() -> None:
    said = drawn("ok", first_seen=10.5)
    assert said == ["unknown"] * 10 + ["ok"] * 14
    assert drawn("failed", (11.0, UNKNOWN, FAILED), first_seen=10.9) == ["unknown"] * 11 + ["failed"] * 13


def test_an_hour_in_which_dlv_did_not_look_is_a_gap_and_never_good() -> None:
    said = drawn("ok", gaps=((4.0, 6.5), (10.0, 10.2)))
    assert [i for i, s in enumerate(said) if s == "gap"] == [4, 5, 6]


def test_what_is_known_to_be_bad_shows_through_a_gap() -> None:
    assert drawn("ok", (4.1, OK, FAILED), (5.9, FAILED, OK), gaps=((4.0, 7.0),))[4:7] == [
        "failed",
        "failed",
        "gap",
    ]


def test_a_gap_that_goes_on_reaches_the_hour_that_goes_on() -> None:
    assert drawn("ok", gaps=((22.0, None),))[-3:] == ["ok", "gap", "gap"]


@given(
    st.lists(
        st.tuples(st.integers(0, 84_000), st.integers(0, 4)), max_size=12, unique_by=lambda step: step[0]
    ),
    st.integers(0, 4),
)
def test_the_text_holds_what_was_drawn(steps: list[tuple[int, int]], first: int) -> None:
    """Each bar is the worst of the states that held in its hour, by a second way of counting."""
    states = [first, *(s for _, s in steps)]
    hours = sorted(second / 3600 for second, _ in steps)
    said = drawn(STATES[states[-1]], *((h, states[i], states[i + 1]) for i, h in enumerate(hours)))
    held = list(zip(states, pairwise([-1.0, *hours, 23.5]), strict=True))
    rank = ("unknown", "ok", "warn", "late", "failed")
    for hour in range(BARS):
        within = {STATES[s] for s, (a, b) in held if max(a, hour) < min(b, hour + 1)}
        assert said[hour] == max(within, key=rank.index), (hour, within)


def test_a_healthy_day_is_one_character() -> None:
    assert len(wall.bars({"health": "ok", "first_seen": at(-9)}, [], SINCE, NOW, frozenset())) == 1


def test_the_worst_is_first() -> None:
    def row(name: str, health: int, role: int, criticality: int = 0) -> list[Any]:
        return ["id", name, health, role, 0, 0, 0, 0, 0, "0", criticality << 3]

    rows = [
        row("fine", OK, 0), row("risk", OK, 3), row("warned", WARN, 0), row("symptom", FAILED, 2),
        row("root", FAILED, 1), row("critical root", FAILED, 1, 1), row("late root", LATE, 1), row("silent", UNKNOWN, 0),
    ]  # fmt: skip
    assert [r[1] for r in sorted(rows, key=wall._worst)] == [
        "critical root", "root", "late root", "symptom", "warned", "risk", "silent", "fine",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ({"graph": {"ok": True, "since": None}}, []),
        ({"graph": {"ok": False, "since": "2026-11-23T12:00:00Z"}}, ["The graph"]),
        ({"ingest": {"ok": False, "since": None, "oldest": None}}, []),
        ({"ingest": {"ok": True, "since": None, "oldest": "2026-11-23T12:00:00Z"}}, ["Reading of events"]),
        ({"alert": {"ok": False, "since": None}, "check": {"ok": False, "since": None}}, ["The alerter", "The check worker"]),
        ({"queue": {"ok": False, "since": "2026-11-23T12:00:00Z"}}, ["Redis"]),
        ({"new_part": {"ok": False, "since": None, "reason": "why"}}, ["New_part"]),
    ],
)  # fmt: skip
def test_parts_that_are_down_are_named(parts: dict[str, Any], names: list[str]) -> None:
    found = wall.down({"parts": parts})
    assert [d["name"] for d in found] == names and all(d["means"] for d in found)


def test_tiles_are_old_without_what_looks() -> None:
    said = {"ok": False, "oldest": "2026-11-23T12:00:00Z"}
    found = wall.down({"parts": dict.fromkeys(wall.PARTS, said)})
    assert {d["part"] for d in found if not d["blind"]} == {"graph", "project", "alert", "queue"}


def test_the_script_reads_the_rows_that_the_server_writes() -> None:
    text = (Path(__file__).parents[2] / "assets/js/8-wall.js").read_text()
    block = re.search(r"const ROW = \[(.*?)\];", text)
    assert block and tuple(re.findall(r'"(\w+)"', block[1])) == wall.ROW
