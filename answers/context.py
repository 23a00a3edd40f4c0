"""What every question needs, in one bundle that is handed down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from settings import Settings
from store.record import Record

if TYPE_CHECKING:
    from graph.driver import Graph


#: seconds for which an answer about Redis is given again
_FRESH = 2.0


class Queue:
    """Whether Redis answers, as this process last saw it; ``ping`` raises where it does not.

    One caller in two seconds asks it, and nobody waits for that one: pages are not slower while Redis is away.
    """

    def __init__(self, ping: Callable[[], object] = lambda: None) -> None:
        self._ping = ping
        self._at = -1e9
        self._since: datetime | None = None
        self._asking = threading.Lock()

    def look(self) -> dict[str, Any]:
        """{ok, since, reason}; ``since`` is when this process first saw it away, None while it answers."""
        if time.monotonic() - self._at > _FRESH and self._asking.acquire(blocking=False):
            try:
                self._since = self._ask()
                self._at = time.monotonic()
            finally:
                self._asking.release()
        since = self._since
        reason = f"Redis does not answer since {since:%H:%M:%S} UTC" if since else None
        return {"ok": since is None, "since": since, "reason": reason}

    def _ask(self) -> datetime | None:
        try:
            self._ping()
        except Exception:  # however it fails, nobody is woken through it
            return self._since or datetime.now(UTC)
        return None


@dataclass(frozen=True)
class Dlv:
    """The settings, the record (Postgres), the graph, and how the queue (Redis) is. Pages and api take it from
    ``flask.current_app.extensions["dlv"]``.
    """

    settings: Settings
    record: Record
    graph: Graph
    queue: Queue = field(default_factory=Queue)
