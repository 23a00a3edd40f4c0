"""A connection opened for one look: fields and secrets in plain, and the guard that every socket passes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from connections.guard import Guard


@dataclass(frozen=True)
class Link:
    """What a kind of check or a test is handed. Secrets are in ``secret`` and never in ``repr``, logs or errors."""

    id: UUID
    name: str
    kind: str
    fields: Mapping[str, Any]
    guard: Guard
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
