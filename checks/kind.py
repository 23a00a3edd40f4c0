"""What a kind of check is: its fields, how it looks, how it judges. One module a kind under checks/kinds/."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checks.result import Observation, Past, Spec, Verdict
from connections.link import Link


@dataclass(frozen=True)
class Field:
    """One field of a kind's form and of its ``config``. ``kind``: text, number, duration (seconds), choice, sql, switch."""

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    default: Any = None
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of check. ``connections``: the kinds of connection it looks through; empty: it needs none.

    ``observe`` touches the outside and raises :class:`checks.result.CannotLook` where it does not reach it (a kind
    whose question is whether the target can be reached says so in its observation instead). ``judge`` is pure.
    ``systems``: nodes of these systems are offered the kind first. ``learns`` tells how many past numbers judging wants.
    """

    name: str
    label: str
    says: str
    fields: tuple[Field, ...]
    observe: Callable[[Spec, Link | None, datetime], Observation]
    judge: Callable[[Spec, Observation, Past], Verdict]
    connections: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    every_seconds: int = 300
    learns: int = 0
