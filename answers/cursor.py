"""Opaque cursors: where the next page starts, as one string that a client hands back unread."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from errors import Invalid


def encode(parts: list[Any]) -> str:
    raw = json.dumps(parts, separators=(",", ":"), default=str).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(text: str, length: int) -> list[Any]:
    """The parts again, or :class:`errors.Invalid` where it is not a cursor of ``length`` parts."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4)))
    except (binascii.Error, ValueError, UnicodeError, RecursionError):
        parts = None
    if not isinstance(parts, list) or len(parts) != length:
        raise Invalid(
            "cursor is not one that this call gave",
            field="cursor",
            hint="hand back `next` of the page before, with the same filters, or leave it out",
        )
    return parts
