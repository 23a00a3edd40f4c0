"""Incidents: what they are made of. Pure, standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class Change:
    """A transition of one node's own health, as the decision is handed it."""

    transition: int
    node: UUID
    at: datetime
    was: str
    now: str
    reason: str
