"""What a kind of check is: its fields, how it looks, how it judges. One module a kind under checks/kinds/."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from checks.fields import Field
from checks.result import Observation, Past, Spec, Verdict
from connections.link import Link

__all__ = ["Field", "Kind"]


@dataclass(frozen=True)
class Kind:
    """A kind of check.

    ``observe`` touches the outside and raises :class:`checks.result.CannotLook` where it does not reach it (a kind
    whose question is whether the target can be reached says so in its observation instead). ``judge`` is pure; it may
    raise CannotLook where what was seen says nothing (a table that was never analyzed has no row count).
    ``connections``: the kinds of connection it looks through, ``("*",)`` for any; empty: it needs none.
    ``systems``: nodes of these systems are offered the kind first. ``types``: the types of node it can speak of.
    ``learns``: how many past numbers judging wants; above 0 it is also handed ``Past.weekly``.
    ``says``: one sentence, what a failure of it means. ``unit`` is what its number counts, for people ("rows", "s").
    ``agree`` is handed a whole config and the kind of the connection (None: none) and raises :class:`errors.Invalid`
    where the fields contradict each other. ``through``: (field, values) beside which it looks through its connection at
    all; None: always.
    ``called``: it does not look, a job calls its URL.
    ``accepts``: people can declare what was seen to be the new normal (:attr:`checks.result.Spec.accepted`).
    """

    name: str
    label: str
    says: str
    fields: tuple[Field, ...]
    observe: Callable[[Spec, Link | None, datetime], Observation]
    judge: Callable[[Spec, Observation, Past], Verdict]
    connections: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    types: tuple[str, ...] = ("dataset", "job")
    every_seconds: int = 300
    learns: int = 0
    unit: str = ""
    accepts: bool = False
    called: bool = False
    agree: Callable[[Mapping[str, Any], str | None], None] | None = None
    through: tuple[str, tuple[Any, ...]] | None = None

    def needs_connection(self, config: Mapping[str, Any]) -> bool:
        """Whether a check of this config must have a connection."""
        return bool(self.connections) and (
            self.through is None or config.get(self.through[0]) in self.through[1]
        )

    def takes(self, connection_kind: str) -> bool:
        """Whether it looks through connections of this kind."""
        return "*" in self.connections or connection_kind in self.connections
