"""DLV watches itself: workers give signs of life, and the scheduler tells somebody outside, for as long as both it and the
alerter are alive (a dead man's switch: what stops is noticed by who waits for it)."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time

from connections import guard, http
from errors import DlvError, Unavailable
from settings import Settings
from store import beats, parts
from store.record import Record

log = logging.getLogger("dlv.watch")

#: seconds between two pings
PING_SECONDS = 60.0


class Life:
    """The signs of life of one worker process. It forks for each job, so nothing is kept open between two signs."""

    def __init__(self, settings: Settings, part: str) -> None:
        self._url, self._part = settings.database_url, part
        self._instance = f"{socket.gethostname()}:{os.getpid()}"
        self._last = -1e9

    def beat(self) -> None:
        """Give one where the last is some seconds old. Never raises: what is not written shows by its absence."""
        if time.monotonic() - self._last < beats.EVERY - 0.5:
            return
        self._last = time.monotonic()
        with contextlib.suppress(Unavailable, DlvError):
            record = Record(self._url, max_size=1, timeout=2.0)
            try:
                beats.beat(record, self._part, self._instance)
            finally:
                record.close()


class DeadMan:
    """Calls ``DLV_DEADMAN_URL`` once a minute, while scheduler and alerter give signs of life and nothing they should do
    waits. Whoever is behind the address calls people when it stops."""

    def __init__(self, settings: Settings, record: Record) -> None:
        self._url, self._record = settings.deadman_url, record
        self._guard = guard.from_settings(settings) if settings.deadman_url else None
        self._due = 0.0
        self._failed = ""

    def step(self) -> None:
        """Call it where it is time, on a thread of its own: the schedule does not wait for it."""
        now = time.monotonic()
        if not self._url or now < self._due or not self.alive():
            return
        self._due = now + PING_SECONDS
        threading.Thread(target=self.ping, name="deadman", daemon=True).start()

    def alive(self) -> bool:
        """Whether both give signs of life and keep up."""
        with self._record.tx() as conn:
            said = parts.look(conn)
        return all(said[p]["ok"] and said[p]["ago"] is not None for p in ("scheduler", "alert"))

    def ping(self) -> bool:
        """Call it once. A failure is logged when it begins and when it ends, and never with the address: it is a secret."""
        assert self._guard is not None
        said = ""
        try:
            with http.Session(self._guard, 10.0) as session, session.get(self._url, stream=True) as answer:
                if answer.status_code >= 400:
                    said = f"it answered {answer.status_code}"
        except DlvError as e:
            said = e.message
        except OSError as e:  # what requests raises is one
            said = type(e).__name__
        if said and not self._failed:
            log.warning("DLV_DEADMAN_URL could not be called: %s", said)
        elif self._failed and not said:
            log.warning("DLV_DEADMAN_URL is called again")
        self._failed = said
        return not said
