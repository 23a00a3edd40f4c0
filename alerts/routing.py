"""Who is told of an incident, when, and what: pure decisions over plain facts. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

#: how often a planned window comes again
EVERY = {"daily": timedelta(days=1), "weekly": timedelta(days=7)}


@dataclass(frozen=True)
class Facts:
    """What rules and silences look at of a node."""

    id: UUID
    tags: frozenset[str] = frozenset()
    team: UUID | None = None
    environment: str = ""


@dataclass(frozen=True)
class Rule:
    """Who is told of what. An empty condition means any. ``group_seconds`` None: the installation's default;
    ``repeat_minutes`` None: told once."""

    id: UUID
    name: str
    channels: tuple[UUID, ...]
    min_severity: int = 4
    nodes: frozenset[UUID] = frozenset()
    tags: frozenset[str] = frozenset()
    teams: frozenset[UUID] = frozenset()
    environments: frozenset[str] = frozenset()
    group_seconds: int | None = None
    repeat_minutes: int | None = None
    stop: bool = False
    enabled: bool = True

    def meets(self, node: Facts) -> bool:
        """Whether one node meets all of the rule's conditions on nodes."""
        return (
            (not self.nodes or node.id in self.nodes)
            and (not self.tags or bool(self.tags & node.tags))
            and (not self.teams or node.team in self.teams)
            and (not self.environments or node.environment in self.environments)
        )

    def everything(self) -> bool:
        return not (self.nodes or self.tags or self.teams or self.environments)


@dataclass(frozen=True)
class Silence:
    """A time in which nobody is told of what it covers; all four conditions empty: of anything."""

    id: UUID
    starts_at: datetime
    ends_at: datetime
    kind: str = "silence"
    reason: str = ""
    nodes: frozenset[UUID] = frozenset()
    tags: frozenset[str] = frozenset()
    teams: frozenset[UUID] = frozenset()
    producers: frozenset[int] = frozenset()
    repeats: str = ""

    def covers(self, node: Facts) -> bool:
        """Whether this node is meant. Here one condition is enough: a silence lists what is quiet."""
        return self.everything() or (
            node.id in self.nodes or bool(self.tags & node.tags) or node.team in self.teams
        )

    def everything(self) -> bool:
        return not (self.nodes or self.tags or self.teams or self.producers)

    def until(self, at: datetime) -> datetime | None:
        """When the window that holds at this moment ends; None where none holds."""
        start, end = self.starts_at, self.ends_at
        if self.repeats and at >= start:
            start += (at - start) // EVERY[self.repeats] * EVERY[self.repeats]
            end = start + (self.ends_at - self.starts_at)
        return end if start <= at < end else None


@dataclass(frozen=True)
class Route:
    """One channel to tell, and the rule by which."""

    rule: UUID
    channel: UUID
    repeat_minutes: int | None = None


def route(severity: int, nodes: Sequence[Facts], rules: Iterable[Rule]) -> list[Route]:
    """Who is told of an incident: ``nodes`` are its root and its members that are still bad; of a quiet producer, what it
    tells of.

    Rules are looked at in their order; a channel that two rules name is told once, by the first. A rule matches where
    one node meets all its conditions, or where it has none (a producer that was refused from the start has no node).
    """
    out: dict[UUID, Route] = {}
    for rule in rules:
        if not rule.enabled or severity > rule.min_severity or not _matches(rule, nodes):
            continue
        for channel in rule.channels:
            out.setdefault(channel, Route(rule.id, channel, rule.repeat_minutes))
        if rule.stop:
            break
    return list(out.values())


def _matches(rule: Rule, nodes: Sequence[Facts]) -> bool:
    return rule.everything() or any(rule.meets(n) for n in nodes)


def group_seconds(
    nodes: Sequence[Facts], rules: Iterable[Rule], default: int, severity: int | None = None
) -> int:
    """How long failures gather before they are told: the shortest time of the rules that match, in seconds.

    Without ``severity`` (it is not known when the first node fails) rules match whatever their severity.
    """
    waits = []
    for rule in rules:
        if (
            not rule.enabled
            or (severity is not None and severity > rule.min_severity)
            or not _matches(rule, nodes)
        ):
            continue
        waits.append(default if rule.group_seconds is None else rule.group_seconds)
        if rule.stop:
            break
    return min(waits, default=default)


def silenced(
    root: Facts | None,
    members: Sequence[Facts],
    silences: Iterable[Silence],
    at: datetime,
    producer: int | None = None,
) -> tuple[Silence, datetime] | None:
    """The silence under which nobody is told of an incident, and when it ends (the last to end of several).

    The root decides: planned work on it explains what lies below. Where the root is a ``producer``, that one has to be
    covered, or every node that it tells of.
    """
    about = [root] if root is not None else list(members)
    found: list[tuple[Silence, datetime]] = []
    for silence in silences:
        end = silence.until(at)
        if end is None:
            continue
        if (
            silence.everything()
            or producer in silence.producers
            or (about and all(silence.covers(n) for n in about))
        ):
            found.append((silence, end))
    return max(found, key=lambda f: f[1], default=None)


def quiet(
    nodes: Iterable[Facts], silences: Iterable[Silence], at: datetime
) -> dict[UUID, tuple[Silence, datetime]]:
    """The silence that covers each of these nodes at this moment, and when it ends (the last to end of several); nodes
    that none covers are left out."""
    ends = [(s, end) for s in silences if (end := s.until(at)) is not None]
    ends.sort(key=lambda held: held[1], reverse=True)
    out = {}
    for node in nodes if ends else ():
        held = next((h for h in ends if h[0].covers(node)), None)
        if held:
            out[node.id] = held
    return out


# ---------------------------------------------------------------- what there is to say


@dataclass(frozen=True)
class Said:
    """What a channel knows of an incident, or would know were it told now. ``status``: open, resolved or merged."""

    status: str
    severity: int
    root: str
    acknowledged: bool = False
    members: int = 0


@dataclass(frozen=True)
class Telling:
    """``event``: trigger, update, acknowledge, remind, resolve. ``loud``: people are to notice; what is not loud only
    edits what was said, where a channel can do that."""

    event: str
    loud: bool


def telling(before: Said | None, now: Said) -> Telling | None:
    """What a channel has still to be told; None where it knows. ``before`` None: it was never told.

    A channel that knows of no trouble hears of none that is over.
    """
    known = before is not None and before.status == "open"
    if now.status != "open":
        return Telling("resolve", now.status == "resolved") if known else None
    if before is None or not known:
        return Telling("trigger", True)
    if now.severity < before.severity:
        return Telling("update", True)
    if now.acknowledged and not before.acknowledged:
        return Telling("acknowledge", False)
    if now != before:
        return Telling("update", False)
    return None


# ---------------------------------------------------------------- trying again

#: tries of one message, and seconds before each of them but the first
TRIES = 8
WAITS = (10, 30, 60, 180, 600, 1500, 2700)
#: what a receiver asks for by Retry-After is honoured up to this many seconds
LONGEST = 3600.0


def wait(attempts: int, jitter: float, asked: float | None = None) -> float | None:
    """Seconds until the next try after ``attempts`` failed; None: given up. ``jitter`` is from 0 to 1; ``asked`` is what
    the receiver said it wants to be left alone."""
    if attempts >= TRIES:
        return None
    base = float(WAITS[min(attempts, len(WAITS)) - 1])
    seconds = base * (0.75 + 0.5 * jitter)
    return min(max(seconds, asked or 0.0), LONGEST)
