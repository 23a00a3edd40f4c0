"""When a check is due: slots lie at offset + k * every seconds since the epoch. Pure, standard library only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Due:
    """What is due of one check: ``newest`` is looked at, the ``missed`` before it (their number) are not;
    ``first`` is the first slot of all, ``after`` the next slot that is not due yet."""

    first: datetime
    newest: datetime
    missed: int
    after: datetime


def slot_before(at: datetime, every: int, offset: int) -> datetime:
    """The newest slot at or before ``at``."""
    seconds = (at - _EPOCH) // timedelta(seconds=1)
    return _EPOCH + timedelta(seconds=(seconds - offset) // every * every + offset)


def slot_after(at: datetime, every: int, offset: int) -> datetime:
    """The first slot after ``at``: what next_slot_at of a check is when it is made, resumed, or given another interval."""
    return slot_before(at, every, offset) + timedelta(seconds=every)


def offset_of(check: UUID, every: int) -> int:
    """An offset that spreads checks of one interval evenly, always the same for the same check."""
    return int.from_bytes(hashlib.blake2b(check.bytes, digest_size=8).digest(), "big") % every


def due(next_slot: datetime, every: int, offset: int, now: datetime) -> Due | None:
    """What is due at ``now`` of a check whose next slot was ``next_slot``; None where nothing is.

    After a stop many slots have passed: only the newest is worth looking at, the catch-up.
    """
    first = slot_after(next_slot - timedelta(microseconds=1), every, offset)
    if first > now:
        return None
    newest = slot_before(now, every, offset)
    missed = int((newest - first).total_seconds()) // every
    return Due(first, newest, missed, newest + timedelta(seconds=every))
