"""The fields of a kind of check: what a form asks for and what ``config`` holds. Pure, standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from errors import Invalid

#: text: one line; area: several lines; sql: a query; number: any; whole: an integer; duration: seconds, or words such as
#: "15 min"; choice: one of ``choices``; switch: true or false
FIELD_KINDS = ("text", "area", "sql", "number", "whole", "duration", "choice", "switch")

_UNITS = {
    "s": 1,
    "sec": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "day": 86400,
    "days": 86400,
    "w": 604800,
}
_LONGEST = {"text": 500, "area": 2000, "sql": 10_000}


@dataclass(frozen=True)
class Field:
    """One field. ``low`` and ``high`` bound numbers and durations (in seconds); ``only`` is (field, values): it counts,
    and is shown, only where that choice or switch has one of these values. ``limit``: it only says what is still good,
    so that changing it forgets nothing of what the check learnt."""

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    default: Any = None
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    low: float | None = None
    high: float | None = None
    only: tuple[str, tuple[Any, ...]] | None = None
    example: str = ""
    limit: bool = False

    def counts(self, config: Mapping[str, Any]) -> bool:
        """Whether the field has a say beside what the others hold."""
        return self.only is None or config.get(self.only[0]) in self.only[1]


def checked(fields: Sequence[Field], said: Mapping[str, Any], *, prefix: str = "config") -> dict[str, Any]:
    """A whole config: defaults filled in, values of their right type, fields that do not count left out.

    Raises :class:`errors.Invalid` with ``field`` = ``config.NAME``.
    """
    known = {f.name: f for f in fields}
    for name in said:
        if name not in known:
            hint = "one of " + ", ".join(known) if known else "this kind has no fields"
            raise Invalid(f"{name} is no field of this kind", field=f"{prefix}.{name}", hint=hint)
    whole: dict[str, Any] = {}
    for f in fields:  # in their order: ``only`` names a field that stands before
        if not f.counts(whole):
            continue
        value = said.get(f.name)
        if isinstance(value, str):
            value = value.strip()
        if value in (None, ""):
            value = f.default
        if value is None:
            if f.required:
                raise Invalid(f"{f.label.lower()} is needed", field=f"{prefix}.{f.name}", hint=f.help or None)
            continue
        whole[f.name] = _value(f, value, f"{prefix}.{f.name}")
    return whole


def _value(f: Field, value: Any, at: str) -> Any:
    label = f.label.lower()
    if f.kind == "choice":
        if value not in [c[0] for c in f.choices]:
            said = ", ".join(c[0] for c in f.choices)
            raise Invalid(f"{label}: {str(value)[:60]!r} is no choice", field=at, hint=f"one of {said}")
        return value
    if f.kind == "switch":
        if not isinstance(value, bool):
            raise Invalid(f"{label} is true or false", field=at)
        return value
    if f.kind in _LONGEST:
        if not isinstance(value, str) or "\x00" in value:
            raise Invalid(f"{label} is text", field=at)
        if len(value) > _LONGEST[f.kind]:
            raise Invalid(f"{label} is longer than {_LONGEST[f.kind]:,} characters", field=at)
        return value
    number = _seconds(value, label, at) if f.kind == "duration" else _number(value, label, at)
    if f.kind == "whole" and number != int(number):
        raise Invalid(f"{label} is a whole number", field=at)
    if f.low is not None and number < f.low:
        raise Invalid(f"{label} is at least {_bound(f, f.low)}", field=at)
    if f.high is not None and number > f.high:
        raise Invalid(f"{label} is at most {_bound(f, f.high)}", field=at)
    return int(number) if number == int(number) else number


def _number(value: Any, label: str, at: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value.replace("_", "").replace(" ", ""))
        except ValueError:
            raise Invalid(f"{label} is a number", field=at) from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Invalid(f"{label} is a number", field=at)
    if abs(value) > 1e18:
        raise Invalid(f"{label} is too large", field=at)
    return float(value)


def _seconds(value: Any, label: str, at: str) -> float:
    if isinstance(value, str):
        try:
            return seconds(value)
        except ValueError:
            raise Invalid(f"{label} is a time such as 90 s, 15 min, 6 h or 2 d", field=at) from None
    return _number(value, label, at)


def seconds(text: str) -> float:
    """'90', '90 s', '15 min', '1 h 30 min' as seconds; ValueError where it is none of these."""
    text = text.strip().lower()
    if re.fullmatch(r"\d{1,12}(\.\d{1,6})?", text):
        return float(text)
    parts = re.findall(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)", text)
    if not parts or re.sub(r"(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]+)", "", text).strip(" ,"):
        raise ValueError(text)
    if any(unit not in _UNITS for _, unit in parts):
        raise ValueError(text)
    return sum(float(n) * _UNITS[unit] for n, unit in parts)


def in_words(value: float) -> str:
    """Seconds as people read them: '90 s', '15 min', '1 h 30 min', '2 d'."""
    value = round(value)
    if value < 120:
        return f"{value} s"
    out = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        n, value = divmod(value, size)
        if n:
            out.append(f"{n:,} {unit}")
    return " ".join(out[:2])


def _bound(f: Field, value: float) -> str:
    return in_words(value) if f.kind == "duration" else f"{value:,g}"
