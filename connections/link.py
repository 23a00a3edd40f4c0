"""A connection opened for one look: fields and secrets in plain, and the guard that every socket passes."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus
from uuid import UUID

from connections.guard import Guard

HIDDEN = "(hidden)"


@dataclass(frozen=True)
class Link:
    """What a kind of check or a test is handed. Secrets are in ``secret`` and never in ``repr``, logs or errors.

    ``timeout``: seconds for reaching and signing in. ``closed``: folders from which no file is opened (DLV's own);
    ``folders``: the only ones from which one is, where any are named.
    """

    id: UUID
    name: str
    kind: str
    fields: Mapping[str, Any]
    guard: Guard
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 10.0
    closed: tuple[Path, ...] = ()
    folders: tuple[Path, ...] = ()

    def get(self, name: str, default: Any = None) -> Any:
        """A plain field, or ``default`` where it is empty."""
        value = self.fields.get(name)
        return default if value in (None, "") else value

    def hide(self, text: str) -> str:
        """``text`` without any of the secrets, also as URLs and headers write them: for what others said."""
        for value in sorted(
            {s for v in self.secret.values() if v for s in self._forms(v)}, key=len, reverse=True
        ):
            text = text.replace(value, HIDDEN)
        return text

    def _forms(self, value: str) -> set[str]:
        user = str(self.get("username", ""))
        both = f"{user}:{value}".encode()
        forms = {
            value, quote(value), quote(value, safe=""), quote_plus(value), repr(value)[1:-1],
            base64.b64encode(value.encode()).decode(), base64.b64encode(both).decode(),
        }  # fmt: skip
        return {f for f in forms if f}
