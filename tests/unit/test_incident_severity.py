"""How bad an incident is: thresholds, and that the reasons say what decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.severity import Radius, Thing, weigh

NOW = datetime(2026, 11, 27, 5, 50, tzinfo=UTC)


def thing(name: str = "mart.orders", hop: int = 2, **more: Any) -> Thing:
    return Thing(UUID(int=1), name, more.pop("word", "table"), hop, **more)


def radius(*things: Thing, failed: int = 1, late: int = 0, total: int | None = 5, teams: int = 1) -> Radius:
    return Radius(failed, late, total, teams, things)


@pytest.mark.parametrize(
    ("said", "severity", "reason"),
    [
        (radius(), 4, "nothing critical and no SLA is below it"),
        (radius(total=20), 3, "20 nodes lie below it"),
        (radius(total=500), 2, "500 nodes lie below it"),
        (radius(total=None), 3, "what lies below it is not known: the graph is away"),
        (radius(teams=3), 3, "3 teams own what it touches"),
        (radius(failed=11), 3, "11 nodes have failed"),
        (
            radius(thing("Executive revenue", 3, criticality=1, word="dashboard")),
            2,
            "feeds 1 dashboard of criticality 1 (Executive revenue), the nearest 3 hops away",
        ),
        (
            radius(*(thing(n, h, criticality=1) for h, n in enumerate("abcde", 1))),
            2,
            "feeds 5 tables of criticality 1 (a, b, c and 2 more), the nearest 1 hop away",
        ),
        (
            radius(thing("pay", 0, criticality=1, health="failed")),
            1,
            "pay, of criticality 1, has failed",
        ),
        (
            radius(thing(breaks_at=NOW + timedelta(minutes=40))),
            2,
            "next SLA breaks in 40 min: mart.orders at 06:30 UTC",
        ),
        (
            radius(thing(breaks_at=NOW + timedelta(minutes=40), criticality=1)),
            1,
            "next SLA breaks in 40 min: mart.orders at 06:30 UTC",
        ),
        (radius(thing(breaks_at=NOW + timedelta(hours=5))), 3, "next SLA breaks in 5 h: mart.orders at 10:50 UTC"),
        (radius(thing(breaks_at=NOW + timedelta(hours=25))), 4, "nothing critical and no SLA is below it"),
        (radius(thing(breaks_at=NOW)), 2, "the SLA of mart.orders is broken"),
        (radius(failed=0, late=3, total=500), 3, "500 nodes lie below it"),
        (radius(thing(breaks_at=NOW, criticality=1), failed=0, late=3), 1, "the SLA of mart.orders is broken"),
    ],
)  # fmt: skip
def test_what_decides_is_said_first(said: Radius, severity: int, reason: str) -> None:
    assert (weigh(said, NOW)[0], weigh(said, NOW)[1][0]) == (severity, reason)


def test_what_is_bad_below_is_a_member_and_not_at_risk() -> None:
    assert weigh(radius(thing(criticality=1, health="failed")), NOW)[0] == 4


THINGS = st.builds(
    thing,
    hop=st.integers(0, 4),
    health=st.sampled_from(["ok", "failed", "late"]),
    criticality=st.sampled_from([None, 1, 2, 3, 4]),
    breaks_at=st.one_of(st.none(), st.integers(-100, 3000).map(lambda m: NOW + timedelta(minutes=m))),
)


@given(st.lists(THINGS, max_size=6), st.integers(0, 30), st.integers(0, 30), st.integers(0, 900), THINGS)
def test_more_below_never_makes_it_better(
    things: list[Thing], failed: int, late: int, total: int, more: Thing
) -> None:
    severity, reasons = weigh(Radius(failed, late, total, 1, things), NOW)
    assert 1 <= severity <= 4
    assert reasons
    assert weigh(Radius(failed, late, total + 1, 2, [*things, more]), NOW)[0] <= severity
