"""API keys: made, and checked with a memory of two seconds so that a busy producer costs no query an event."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable

from auth.roles import Principal
from errors import Unauthenticated
from store import keys, producers
from store.record import Record

PREFIX = "dlv_"
#: seconds a process may go on accepting a key that was revoked
REMEMBERED = 2.0
_MOST = 10_000


def new() -> tuple[str, bytes, str]:
    """A new key, its hash and the first characters by which people recognise it."""
    key = PREFIX + secrets.token_urlsafe(32)
    return key, digest(key), key[:12]


def digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


class Keys:
    """The keys this process has seen within :data:`REMEMBERED`."""

    def __init__(self, record: Record, clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._clock = clock
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._lock = threading.Lock()

    def known(self, key: str) -> Principal | None:
        """Who a key is, where that is remembered; asks nobody."""
        return self._remembered(digest(key))

    def check(self, key: str) -> Principal:
        """Who a key is. :class:`errors.Unauthenticated` where it is unknown, expired or revoked."""
        hash_ = digest(key)
        found = self._remembered(hash_)
        if found:
            return found
        who = self._look(hash_)
        with self._lock:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[hash_] = (self._clock(), who)
        return who

    def forget(self) -> None:
        """Here and now, after this process revoked one."""
        with self._lock:
            self._known.clear()

    def _remembered(self, hash_: bytes) -> Principal | None:
        found = self._known.get(hash_)
        return found[1] if found and self._clock() - found[0] < REMEMBERED else None

    def _look(self, hash_: bytes) -> Principal:
        with self._record.tx() as conn:
            row = keys.find(conn, hash_)
            if row is not None and not row["good"] and row["producer_id"] is not None:
                producers.refused(conn, row["producer_id"])
        if row is None or not row["good"]:
            with self._lock:
                self._known.pop(hash_, None)
            raise Unauthenticated(
                "the API key is not known" if row is None else "the API key is expired or revoked",
                field="Authorization",
                hint="make one under API keys, or POST /api/v1/api-keys",
            )
        return Principal(
            kind="api_key",
            id=row["id"],
            name=row["name"],
            scopes=frozenset(row["scopes"]),
            producer_id=row["producer_id"],
        )
