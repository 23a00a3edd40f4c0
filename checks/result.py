"""What a check says: its words, what it saw, how that was judged. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

#: what a slot ends as, exactly one of them. error: a fault of DLV's own; not_checked: DLV could not look. Neither
#: is ever a failure of the target, and neither ever counts as up
STATUSES = ("ok", "warn", "fail", "error", "not_checked", "muted")
#: those that say something of the target
SAID = ("ok", "warn", "fail")


@dataclass(frozen=True)
class About:
    """What the record knows of the node a check speaks of. ``names``: (namespace, name) of each of its aliases, the one
    the check was made on first, as normalised. ``made_at``: end of the newest good run that wrote it, or of it.
    ``event_at``: when an event last named it. ``quiet_since``: since when all who send events of it are quiet."""

    type: str = "dataset"
    kind: str = ""
    system: str = ""
    names: tuple[tuple[str, str], ...] = ()
    made_at: datetime | None = None
    event_at: datetime | None = None
    quiet_since: datetime | None = None


@dataclass(frozen=True)
class Beat:
    """A call of a heartbeat's URL, at DLV's clock. ``kind``: start, success or fail."""

    at: datetime
    kind: str
    note: str = ""


@dataclass(frozen=True)
class Spec:
    """A check as a kind is handed it.

    ``config`` is whole: ``checks.fields.checked`` filled in the defaults when it was saved. ``about`` and ``beats``
    (newest first; heartbeats only) are read from the record with it, so that a kind needs no store. ``accepted`` is
    what people last declared to be the new normal: {"at", "memory"}, memory as the check kept it at that time.
    ``begun_at``: since when it looks: when it was made, or last resumed.
    """

    id: UUID
    name: str
    kind: str
    node_id: UUID
    config: Mapping[str, Any]
    severity: str = "error"
    every_seconds: int = 60
    connection_id: UUID | None = None
    about: About = About()
    beats: tuple[Beat, ...] = ()
    accepted: Mapping[str, Any] | None = None
    begun_at: datetime | None = None


@dataclass(frozen=True)
class Past:
    """What is known from before, for judging: the state, and the numbers of the newest results, oldest first.

    ``weekly``: for kinds that learn, the mean of the same hour of the same weekday in each of the weeks before, oldest
    first. Numbers are of slots that ended as ok, warn or fail.
    """

    status: str = "not_checked"
    memory: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[tuple[datetime, float], ...] = ()
    weekly: tuple[tuple[datetime, float], ...] = ()


@dataclass(frozen=True)
class Observation:
    """What a kind saw of its target: figures and names, never row values."""

    at: datetime
    seen: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """A judged observation. A failing check is a value, not an exception.

    ``health`` is what a fail means for the node: failed, or late where data is too old. ``memory`` replaces what is
    kept for the next look; None keeps it as it was.
    """

    status: str
    reason: str
    value: float | None = None
    health: str = "failed"
    detail: Mapping[str, Any] | None = None
    memory: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"{self.status!r} is no status")


class CannotLook(Exception):
    """The collector did not reach its source, so nothing is known of the target: the slot ends as not_checked.

    ``step`` is how far it came: name, route, tls, sign-in, permission, answer.
    """

    def __init__(self, reason: str, *, step: str = "route", hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.step = step
        self.hint = hint


def node_health(verdict: Verdict, severity: str) -> str:
    """What a verdict says of its node: ok, warn, late, failed, or unknown where DLV could not look."""
    if verdict.status == "fail":
        return "warn" if severity == "warn" else verdict.health
    return verdict.status if verdict.status in ("ok", "warn") else "unknown"
