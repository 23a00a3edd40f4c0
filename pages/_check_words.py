"""How a check is told: its state in a word and a shape, its number with its unit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from checks.fields import in_words
from checks.registry import KINDS
from pages import _words as words

#: what a slot ended as
STATUS = {
    "ok": "Good",
    "warn": "Warning",
    "fail": "Failed",
    "error": "DLV's own fault",
    "not_checked": "Could not look",
    "muted": "Muted",
}
#: what a check is: its health, or why it says nothing
STATES = {
    "failed": "Failed",
    "late": "Late",
    "warn": "Warning",
    "unknown": "Unknown",
    "ok": "Healthy",
    "paused": "Paused",
    "muted": "Muted",
    "retired": "Removed",
}
#: shapes of those that are no health
_ICONS = {"paused": "player-pause", "muted": "bell-off", "retired": "eye-off"}


def kind(name: str) -> str:
    known = KINDS.get(name)
    return known.label if known else name


def state(c: Mapping[str, Any]) -> dict[str, str]:
    """As the list's cells take it: {state, word, title, icon?}."""
    said = c["state"]
    word = STATES[said]
    if said == "unknown":
        word = "Not looked yet" if c["slot_at"] is None else STATUS[c["status"]]
    if said == "muted":
        return {
            "state": "unknown",
            "word": word,
            "title": f"until {words.stamp(iso(c['muted_until']))}",
            "icon": _ICONS[said],
        }
    if said in _ICONS:
        return {"state": "unknown", "word": word, "title": c["reason"], "icon": _ICONS[said]}
    return {"state": said, "word": word, "title": c["reason"]}


def glyph_of(status: str, health: str = "failed") -> str:
    """The state whose shape and colour stand for what a slot ended as."""
    return {"ok": "ok", "warn": "warn", "fail": health if health in ("late", "warn") else "failed"}.get(
        status, "unknown"
    )


def number(kind_name: str, value: float | None, config: Mapping[str, Any] | None = None) -> str:
    """A number with what it counts; empty where there is none."""
    if value is None:
        return ""
    known = KINDS.get(kind_name)
    unit = known.unit if known else ""
    if kind_name == "sql":
        unit = str((config or {}).get("unit") or "")
    if unit == "s":
        return in_words(value)
    if unit == "ms":
        return f"{value:,.0f} ms" if value >= 10 else f"{value:,.1f} ms"
    said = f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"
    return f"{said} {unit}".strip()


def iso(at: datetime | str | None) -> str | None:
    """A time as the API writes it."""
    return at.isoformat() if isinstance(at, datetime) else at


def soon(at: datetime | None, now: datetime) -> str:
    """'in 40 s', 'in 5 min'; 'now' where it is due."""
    if at is None:
        return ""
    left = (at - now).total_seconds()
    return (
        "now" if left <= 1 else f"in {left:.0f} s" if left < 90 else "in " + in_words(round(left / 60) * 60)
    )
