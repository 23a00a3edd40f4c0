"""How DLV says things: health in a word, times as people read them, what things are called (answers.look). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from answers.look import kind, system

__all__ = [
    "HEALTH",
    "ROLES",
    "ago",
    "kind",
    "lasted",
    "many",
    "minutes",
    "percent",
    "sla",
    "stamp",
    "system",
    "when",
]

#: own health and standing, in the order in which they matter
HEALTH = {
    "failed": "Failed",
    "late": "Late",
    "warn": "Warning",
    "unknown": "Unknown",
    "ok": "Healthy",
}
ROLES = {"root": "Root cause", "symptom": "Symptom", "at_risk": "At risk"}


def when(text: str | None) -> datetime | None:
    """A time of the API again."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def ago(text: str | None, now: datetime | None = None) -> str:
    """'4 min ago', '3 h ago', '2 days ago'; a dash where nothing is known."""
    at = when(text)
    if at is None:
        return "—"
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 0:
        return stamp(text)
    if seconds < 90:
        return "just now" if seconds < 45 else "1 min ago"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min ago"
    if seconds < 36 * 3600:
        return f"{round(seconds / 3600)} h ago"
    return f"{round(seconds / 86400)} days ago"


def stamp(text: str | None) -> str:
    """'23 Nov 2026, 06:12 UTC'."""
    at = when(text)
    return f"{at.day} {at:%b %Y, %H:%M} UTC" if at else "—"


def lasted(seconds: float | None) -> str:
    """'42 s', '6 min 40 s', '2 h 5 min'."""
    if seconds is None:
        return "—"
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60} s" if s % 60 else f"{s // 60} min"
    return f"{s // 3600} h {s % 3600 // 60} min"


def minutes(n: int | None) -> str:
    """'45 min', '6 h', '2 days', as people say a limit."""
    if n is None:
        return "—"
    if n % 1440 == 0:
        return f"{n // 1440} day" + ("s" if n > 1440 else "")
    return f"{n // 60} h" if n % 60 == 0 else lasted(n * 60)


def percent(share: float | None) -> str:
    """'99.95 %'; a dash where nothing is known. Only what is whole is '100 %', and only nothing is '0 %'."""
    if share is None:
        return "—"
    return f"{share if share in (0, 100) else min(max(round(share, 2), 0.01), 99.99):g} %"


def sla(node: Mapping[str, Any]) -> str:
    """'Fresh within 6 h', 'Done by 06:30 UTC'... or a dash where nobody promised anything."""
    said = node.get("sla")
    if not said:
        return "—"
    limit = minutes(said["minutes"])
    return f"Fresh within {limit}" if said["kind"] == "freshness" else f"Done within {limit}"


def many(n: int, one: str, more: str | None = None) -> str:
    """'1 node', '4 nodes', '12,000 nodes'."""
    return f"{n:,} {one if n == 1 else more or one + 's'}"
