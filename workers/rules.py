"""Applying the naming rules to what is on record, when somebody asked for it. It survives restarts: what is not done is
begun again, and moving names is one transaction.
"""

from __future__ import annotations

import logging
import time

from errors import DlvError, Unavailable
from ingest import refold
from store import rule_jobs
from store.audit import Actor
from store.record import Conn, Record

log = logging.getLogger("dlv.rules")

#: seconds between two notes of how far it is
NOTE_EVERY = 0.5


def apply_asked(record: Record) -> int:
    """Do the one that waits; 0 where there is none, or another worker is at it. Raises :class:`errors.Unavailable` where
    the record went away: then it is begun again later."""
    with record.tx() as held:
        if not rule_jobs.waits(held) or not rule_jobs.hold(held):
            return 0
        with record.tx() as conn:
            job = rule_jobs.begin(conn)
        if job is None:
            return 0
        noted = 0.0

        def note(done: int, total: int) -> None:
            nonlocal noted
            if time.monotonic() - noted >= NOTE_EVERY:
                noted = time.monotonic()
                with record.tx() as conn:
                    rule_jobs.progress(conn, job["id"], done, total)

        def then(conn: Conn, one: refold.Refolded) -> None:
            result = {"moved": one.moved, "removed": one.removed, "queued": one.queued}
            rule_jobs.finish(conn, job["id"], Actor(**job["actor"]), result)

        try:
            refold.refold(record, progress=note, then=then)
        except Unavailable:
            raise
        except Exception as e:
            log.exception("applying the naming rules failed")
            why = e.message if isinstance(e, DlvError) else f"DLV's own fault: {type(e).__name__}"
            with record.tx() as conn:
                rule_jobs.fail(conn, job["id"], f"{why}; nothing was changed")
    return 1
