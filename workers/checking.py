"""The check worker: takes due slots, looks, judges, and writes result, state and transition in one transaction.

One thread a look, so that targets that never answer stop nobody else. A look that does not come back is given up by
us and its slot ends as not_checked; its thread is left behind, and the process ends once there are too many of those.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from uuid import UUID

from checks import registry
from checks.result import Verdict
from connections import open_link
from errors import DlvError, RecordAway
from settings import Settings
from store import checks as check_store
from store import slots
from store.record import Record

log = logging.getLogger("dlv.check")

#: looks at once in this process
THREADS = 128
#: seconds a target may take beyond the look's own limit before we give up
MARGIN = 2.0
#: threads left behind after which this process makes place for a fresh one
LEFT_BEHIND = 48
#: seconds that looks have to end when the process stops; others begin again elsewhere
GRACE = 5.0

UNANSWERED = Verdict("not_checked", f"did not answer within {slots.LOOK_SECONDS} s")


@dataclass(eq=False)
class _Look:
    row: Mapping[str, Any]
    thread: threading.Thread | None = None
    began: float = field(default_factory=time.monotonic)
    given_up: bool = False
    freed: bool = False

    @property
    def token(self) -> UUID:
        token: UUID = self.row["token"]
        return token


class Looking:
    """What one process looks at. A context: at its end what still runs is given back, for another to look at."""

    def __init__(self, record: Record, settings: Settings) -> None:
        self._record = record
        self._settings = settings
        self._holder: slots.Holder | None = None
        self._looks: set[_Look] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def step(self) -> int:
        """Take what is due and begin to look; how much is under way. Raises :class:`errors.RecordAway`."""
        self._give_up()
        taken = self._take()
        for row in taken:
            look = _Look(row)
            look.thread = threading.Thread(target=self._run, args=(look,), daemon=True, name="look")
            with self._lock:
                self._looks.add(look)
            look.thread.start()
        busy = self.running()
        if busy and not taken:
            self._ended.clear()
            self._ended.wait(0.1)
        return busy

    def running(self) -> int:
        """How many looks are under way, without those that were given up."""
        with self._lock:
            return sum(not look.given_up for look in self._looks)

    def full(self) -> bool:
        """Whether so many looks never came back that a fresh process should go on."""
        with self._lock:
            return sum(look.given_up for look in self._looks) >= LEFT_BEHIND

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        end = time.monotonic() + GRACE
        while self.running() and time.monotonic() < end:
            self._give_up()
            time.sleep(0.05)
        with self._lock:
            left = [look.token for look in self._looks if not look.given_up]
        try:
            if left:
                with self._record.tx() as conn:
                    slots.give_back(conn, left)
        except DlvError as e:
            log.warning("%s looks are left to be found: %s", len(left), e.message)
        if self._holder is not None:
            self._holder.close()

    # ---- taking

    def _take(self) -> list[dict[str, Any]]:
        with self._lock:
            room = THREADS - len(self._looks)
        if room < 1:
            return []
        if self._holder is None:
            self._holder = slots.holder(self._record)
        try:
            with self._record.tx() as conn:
                return slots.take(conn, room, self._holder.key)
        except slots.HolderLost:
            # our connection broke: what we held is given to others, and what we see of it is refused
            self._holder.close()
            self._holder = None
            return []

    # ---- one look, in its thread

    def _run(self, look: _Look) -> None:
        try:
            self._write(look, look_at(self._record, self._settings, look.row))
        finally:
            self._free(look)
            with self._lock:
                self._looks.discard(look)
            self._ended.set()

    def _write(self, look: _Look, verdict: Verdict) -> None:
        """End the slot. While the record is away it is tried again for as long as the attempt counts."""
        failed = 0
        while True:
            try:
                with self._record.tx() as conn:
                    if not slots.finish(conn, look.row["check_id"], look.row["slot_at"], look.token, verdict):
                        log.info("%s: came too late, refused", look.row["name"])
                    slots.look_ended(conn, look.token)
                look.freed = True
                return
            except RecordAway:
                if time.monotonic() - look.began > slots.ATTEMPT_SECONDS:
                    return  # another attempt is made of it
                time.sleep(0.5)
            except Exception:
                failed += 1
                log.exception("%s: its result could not be written", look.row["name"])
                if failed == 3:  # a fault of ours, perhaps with what the check said
                    verdict = Verdict("error", "DLV could not write the result")
                elif failed > 3:
                    return
                time.sleep(0.05 * failed)

    def _free(self, look: _Look) -> None:
        if look.freed or look.row["connection_id"] is None:
            return
        for wait in (0.2, 1.0, 5.0, 0.0):
            try:
                with self._record.tx() as conn:
                    slots.look_ended(conn, look.token)
                return
            except Exception as e:
                log.warning("the place at %s is not free yet: %s", look.row["connection_id"], e)
                time.sleep(wait)

    def _give_up(self) -> None:
        now = time.monotonic()
        with self._lock:
            late = [x for x in self._looks if not x.given_up and now - x.began > slots.LOOK_SECONDS + MARGIN]
            for look in late:
                look.given_up = True
        for look in late:
            log.warning("%s: given up, its thread is left behind", look.row["name"])
            with self._record.tx() as conn:
                slots.finish(conn, look.row["check_id"], look.row["slot_at"], look.token, UNANSWERED)


def look_at(record: Record, settings: Settings, row: Mapping[str, Any]) -> Verdict:
    """Look and judge, as one value: a fault of ours is error or not_checked, never a failure of the target."""
    link = None
    try:
        with record.tx() as conn:
            spec = check_store.spec(conn, row["check_id"])
            if spec is None or row["paused_at"]:
                word = "removed" if spec is None else "paused"
                return Verdict("not_checked", f"it was {word} before it was looked at")
            if row["connection_id"]:
                link = open_link(conn, settings, row["connection_id"])
            kind = registry.KINDS.get(row["kind"])
            past = check_store.past(conn, spec.id, kind.learns if kind else 0, row["started_at"])
    except DlvError as e:
        return Verdict("not_checked", f"could not look: {e.message}")
    except Exception as e:
        log.exception("%s: could not be prepared", row["name"])
        return Verdict("error", f"DLV could not prepare the look: {type(e).__name__}")
    return registry.look(spec, link, past, row["started_at"])


def run_due(record: Record, settings: Settings) -> int:
    """Look at all that is due now, and wait for it; how many looks that were. For tests and commands."""
    done = 0
    with Looking(record, settings) as looking:
        while True:
            with record.tx() as conn:
                waits = slots.waiting(conn)
            busy = looking.step()
            done += busy
            if not waits and not looking.running():
                return done
