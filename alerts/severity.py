"""How bad an incident is, by what it takes down, and why, in words. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

#: an SLA that breaks within this is as urgent as one that is broken
SOON = timedelta(hours=1)
#: one that breaks later than this says nothing yet
DAY = timedelta(hours=24)
#: so many nodes below, or teams touched, make an incident worse
WIDE, WIDER = 20, 500
MANY_TEAMS = 3
#: names given in a reason, the others are counted
NAMED = 3


@dataclass(frozen=True)
class Thing:
    """A node that is bad (``hop`` 0) or lies below one: what of it makes an incident worse.

    ``word`` is what people call such a node (table, dashboard); ``breaks_at`` when its SLA is, or was, broken if
    nothing changes.
    """

    id: UUID
    name: str
    word: str
    hop: int
    health: str = "ok"
    criticality: int | None = None
    breaks_at: datetime | None = None


@dataclass(frozen=True)
class Radius:
    """What an incident takes down. ``things``: those with a criticality of 1 or 2 or an SLA; ``total``: all below."""

    failed: int
    late: int
    total: int | None
    teams: int
    things: Sequence[Thing] = ()


def weigh(radius: Radius, now: datetime) -> tuple[int, list[str]]:
    """(severity from 1, the worst, to 4; the reasons, the one that decides first)."""
    found: list[tuple[int, str]] = []
    bad = [t for t in radius.things if t.hop == 0 and t.health in ("failed", "late")]
    below = [t for t in radius.things if t.hop > 0 and t.health not in ("failed", "late")]
    for criticality in (1, 2):
        here = [t for t in bad if t.criticality == criticality]
        if here:
            state = "failed" if any(t.health == "failed" for t in here) else "late"
            verb = (
                ("is" if len(here) == 1 else "are")
                if state == "late"
                else "has"
                if len(here) == 1
                else "have"
            )
            found.append((criticality, f"{_names(here)}, of criticality {criticality}, {verb} {state}"))
        there = [t for t in below if t.criticality == criticality]
        if there:
            near = min(t.hop for t in there)
            say = (
                f"feeds {_count(there)} of criticality {criticality} ({_names(there)}), "
                f"the nearest {near} {'hop' if near == 1 else 'hops'} away"
            )
            found.append((criticality + 1, say))
    found += _slas(radius.things, now)
    if radius.total is None:
        found.append((3, "what lies below it is not known: the graph is away"))
    elif radius.total >= WIDE:
        found.append((2 if radius.total >= WIDER else 3, f"{radius.total:,} nodes lie below it"))
    if radius.teams >= MANY_TEAMS:
        found.append((3, f"{radius.teams} teams own what it touches"))
    if radius.failed > 10:
        found.append((3, f"{radius.failed} nodes have failed"))
    if not found:
        found.append((4, "nothing critical and no SLA is below it"))
    found.sort(key=lambda f: f[0])
    severity = found[0][0]
    reasons = [text for _, text in found]
    if radius.failed == 0 and radius.late and severity < 4 and "SLA" not in reasons[0]:
        severity += 1
        reasons.append("so far only late, nothing has failed")
    return severity, reasons


def _slas(things: Iterable[Thing], now: datetime) -> list[tuple[int, str]]:
    """Only the SLA that breaks next is told, and how many are broken."""
    out: list[tuple[int, str]] = []
    due = sorted((t for t in things if t.breaks_at is not None), key=lambda t: (t.breaks_at, t.hop, t.name))
    broken = [t for t in due if t.breaks_at is not None and t.breaks_at <= now]
    coming = [t for t in due if t.breaks_at is not None and now < t.breaks_at <= now + DAY]
    if broken:
        worst = 1 if any(t.criticality == 1 for t in broken) else 2
        out.append((worst, f"the SLA of {_names(broken)} is broken"))
    if coming:
        first = coming[0]
        assert first.breaks_at is not None
        left = first.breaks_at - now
        soon = [t for t in coming if t.breaks_at is not None and t.breaks_at - now <= SOON]
        level = 3 if not soon else 1 if any(t.criticality == 1 for t in soon) else 2
        out.append((level, f"next SLA breaks in {_human(left)}: {first.name} at {first.breaks_at:%H:%M} UTC"))
    return out


def _count(things: Sequence[Thing]) -> str:
    words = {t.word for t in things}
    word = words.pop() if len(words) == 1 else "node"
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _names(things: Sequence[Thing]) -> str:
    order = sorted(things, key=lambda t: (t.hop, t.name))
    shown = ", ".join(t.name for t in order[:NAMED])
    more = len(order) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _human(left: timedelta) -> str:
    minutes = max(1, round(left.total_seconds() / 60))
    return f"{minutes} min" if minutes < 90 else f"{minutes / 60:.0f} h"
