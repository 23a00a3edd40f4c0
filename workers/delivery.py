"""Telling people: what is due goes out, at least once, with a log of every try."""

from __future__ import annotations

from settings import Settings
from store.record import Record


def deliver(record: Record, settings: Settings) -> int:
    """Send what is due; how many messages ended."""
    return 0
