"""How long something was up, and how well it kept its SLA, without the times in which DLV itself did not look. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

#: health that counts as up, and as down; all else is not known and counts as neither
UP, DOWN = ("ok", "warn"), ("late", "failed")
#: of two in one bar the worse is shown
_WORSE = ("gap", "unknown", "ok", "warn", "late", "failed")

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Piece:
    """A time of one health; ``gap`` where DLV did not look."""

    since: datetime
    until: datetime
    health: str

    @property
    def seconds(self) -> float:
        return (self.until - self.since).total_seconds()


@dataclass(frozen=True)
class Share:
    """Seconds of each, and the share of what is known in which it was well, in percent; None: nothing is known."""

    good: float
    bad: float
    unknown: float
    gap: float

    @property
    def percent(self) -> float | None:
        known = self.good + self.bad
        return round(100 * self.good / known, 4) if known else None


def pieces(
    before: str,
    changes: Iterable[tuple[datetime, str]],
    since: datetime,
    until: datetime,
    gaps: Iterable[Span] = (),
) -> list[Piece]:
    """The time from ``since`` to ``until`` in pieces. ``before``: health at its beginning; ``changes``: (when, health
    from then on), oldest first; ``gaps``: merged and in order."""
    out: list[Piece] = []
    at, health = since, before
    for when, next_health in [*changes, (until, "")]:
        end = min(max(when, at), until)
        if end > at:
            out.append(Piece(at, end, health))
            at = end
        health = next_health
    for start, end in gaps:
        out = without(out, start, end)
    return out


def without(whole: Iterable[Piece], start: datetime, end: datetime) -> list[Piece]:
    """These pieces with a gap of ours in place of what lies between two moments."""
    return [p for one in whole for p in _without(one, start, end)]


def _without(piece: Piece, start: datetime, end: datetime) -> list[Piece]:
    if end <= piece.since or start >= piece.until or piece.health == "gap":
        return [piece]
    inner = Piece(max(start, piece.since), min(end, piece.until), "gap")
    around = (
        Piece(piece.since, inner.since, piece.health),
        inner,
        Piece(inner.until, piece.until, piece.health),
    )
    return [p for p in around if p.until > p.since]


def cut(whole: Sequence[Piece], since: datetime, until: datetime) -> list[Piece]:
    """What of these pieces lies between two moments."""
    return [
        Piece(max(p.since, since), min(p.until, until), p.health)
        for p in whole
        if p.until > since and p.since < until
    ]


def share(whole: Iterable[Piece], good: Sequence[str] = UP, bad: Sequence[str] = DOWN) -> Share:
    seconds = {"good": 0.0, "bad": 0.0, "unknown": 0.0, "gap": 0.0}
    for p in whole:
        name = (
            "good"
            if p.health in good
            else "bad"
            if p.health in bad
            else "gap"
            if p.health == "gap"
            else "unknown"
        )
        seconds[name] += p.seconds
    return Share(**seconds)


def worst(whole: Iterable[Piece]) -> str:
    """What a bar over these pieces shows."""
    return max((p.health for p in whole), key=_WORSE.index, default="unknown")


def edges(since: datetime, until: datetime, step: timedelta) -> list[Span]:
    """Bars of ``step`` (an hour or a day) that begin on whole hours or days of UTC; the first and last may be shorter."""
    begin = datetime.fromtimestamp(since.timestamp() // step.total_seconds() * step.total_seconds(), UTC)
    out = []
    while begin < until:
        out.append((max(begin, since), min(begin + step, until)))
        begin += step
    return out


def freshness(made: Iterable[datetime], allowed: timedelta, since: datetime, until: datetime) -> list[Piece]:
    """When data was fresh (ok) and when it was older than its limit (late), by the moments at which it was made."""
    changes: list[tuple[datetime, str]] = []
    moments = sorted(made)
    for n, at in enumerate(moments):
        changes.append((at, "ok"))
        stale = at + allowed
        if n + 1 == len(moments) or moments[n + 1] > stale:
            changes.append((stale, "late"))
    before = "unknown"
    for at, health in changes:
        if at <= since:
            before = health
    return pieces(before, [c for c in changes if c[0] > since], since, until)


def completions(
    due: Iterable[datetime],
    ends: dict[datetime, datetime],
    allowed: timedelta,
    now: datetime,
    gaps: Sequence[Span] = (),
) -> list[tuple[datetime, bool]]:
    """(due, whether done in time) of what was due, oldest first. ``ends``: when it first completed, by its due moment.
    What cannot be known yet, or fell into a gap, is left out."""
    out = []
    for at in sorted(set(due)):
        limit = at + allowed
        end = ends.get(at)
        if end is not None and end <= limit:
            out.append((at, True))
        elif limit <= now and not any(s < limit and e > at for s, e in gaps):
            out.append((at, False))
    return out
