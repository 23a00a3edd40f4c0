"""Cursors of the API's own lists: the parts of :mod:`answers.cursor`, checked one by one."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from answers.cursor import decode, encode
from errors import Invalid

__all__ = ["encode", "integer", "text", "time_and_id"]


def text(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    (value,) = decode(cursor, 1)
    return value if isinstance(value, str) and "\x00" not in value else _refuse()


def integer(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    (value,) = decode(cursor, 1)
    return value if type(value) is int and abs(value) < 2**63 else _refuse()


def time_and_id(cursor: str | None) -> tuple[datetime, UUID] | None:
    if cursor is None:
        return None
    at, id_ = decode(cursor, 2)
    try:
        moment = datetime.fromisoformat(at)
        return (moment, UUID(id_)) if moment.tzinfo else _refuse()
    except (TypeError, ValueError, AttributeError):
        return _refuse()


def _refuse() -> Any:
    raise Invalid(
        "cursor is not one that this call gave", field="cursor", hint="hand back `next` of the page before"
    )
