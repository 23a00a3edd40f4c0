"""The check worker: takes due slots, looks, judges, and writes result, state and transition in one transaction."""

from __future__ import annotations

from settings import Settings
from store.record import Record


def run_due(record: Record, settings: Settings) -> int:
    """Look at what is due; how many slots were ended."""
    return 0
