"""What people may set of a thing: its fields, each put right or refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from errors import Invalid


def only(said: Iterable[str], fields: Iterable[str]) -> None:
    """Raises :class:`errors.Invalid` for the first that is none of ``fields``."""
    known = tuple(fields)
    for field in said:
        if field not in known:
            raise Invalid(f"{field} cannot be set", field=field, hint="one of " + ", ".join(known))


def checked(said: Mapping[str, Any], checks: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The values as they are stored. ``checks``: for each field that can be set what makes its value right, or raises
    :class:`errors.Invalid`.
    """
    only(said, checks)
    return {field: checks[field](value) for field, value in said.items()}


def named(value: Any, what: str, most: int = 120) -> str:
    """A name of one line. ``what`` says whose in the error: "a team's name"."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not 1 <= len(text) <= most or not text.isprintable():
        raise Invalid(f"{what} has 1 to {most} characters", field="name")
    return text
