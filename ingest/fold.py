"""Fold: stored events → the record. A batch is one transaction; nothing is half-written."""

from __future__ import annotations

import logging
import zlib
from datetime import UTC, datetime
from typing import Any

import psycopg

from errors import DlvError
from ingest import openlineage
from ingest.facts import Facts
from ingest.naming import Rules
from ingest.reading import rules_of
from ingest.translate import Source, translate
from store import edges, events, health, materialise, pending
from store import facts as facts_store
from store.record import Conn, Record

log = logging.getLogger("dlv.fold")

#: the queue is drained this many events a transaction
BATCH = 400
#: a second worker lends a hand where, beside the first one's batch, so many events wait: two that share a trickle have
#: twice as many small batches, which cost far more than one
MANY = 200


def fold_pending(record: Record, *, limit: int = BATCH, now: datetime | None = None) -> int:
    """Fold the oldest pending events in one transaction; returns how many were taken, 0 when there is nothing to do.

    Any number of workers may call this; all but one leave it alone while little waits. An event that breaks the batch
    is found by folding its batch one by one, and set aside after a few tries.
    """
    now = now or datetime.now(UTC)
    rows: list[dict[str, Any]] = []
    try:
        with record.tx() as conn:
            if not pending.foremost(conn) and not pending.at_least(conn, limit + MANY):
                return 0
            rows = pending.claim(conn, limit)
            if rows:
                fold(conn, rows, now)
                pending.finish(conn, [r["id"] for r in rows])
            return len(rows)
    except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
        return len(rows)
    except DlvError:
        raise
    except Exception:
        if not rows:
            raise
        log.warning(
            "a batch of %s events could not be folded; folding them one by one", len(rows), exc_info=True
        )
    return _one_by_one(record, [r["id"] for r in rows], now)


def _one_by_one(record: Record, event_ids: list[int], now: datetime) -> int:
    for event_id in event_ids:
        try:
            with record.tx() as conn:
                rows = pending.claim_one(conn, event_id)
                fold(conn, rows, now)
                pending.finish(conn, [event_id])
        except DlvError:
            raise
        except Exception as e:
            log.error("event %s cannot be folded: %s", event_id, e)
            with record.tx() as conn:
                pending.failed(conn, event_id, f"{type(e).__name__}: {e}")
    return len(event_ids)


def fold(conn: Conn, rows: list[dict[str, Any]], now: datetime) -> None:
    """Fold these claimed events: facts, node rows, health, transitions and graph marks, all in ``conn``'s transaction."""
    facts = Facts()
    rules = rules_of(conn)
    for row in rows:
        _read(facts, row, rules)
    touched = facts_store.write(conn, facts, now)
    materialise.refresh(conn, touched.nodes | materialise.seen_again(conn, touched.seen - touched.changed))
    if touched.opened:
        edges.cover(conn, touched.opened)
    news = touched.nodes | set(facts_store.nodes_of(conn, touched.judged).values())
    # lateness is judged as far as DLV has heard: what waits behind this batch may be the end of what it began
    heard = min(now, max(r["received_at"] for r in rows))
    health.judge(conn, health.affected(conn, news, touched.runs), heard)


def _read(facts: Facts, row: dict[str, Any], rules: Rules) -> None:
    event = openlineage.parse(zlib.decompress(row["body"]), row["received_at"], bytes(row["hash"]))
    translate(event, Source(row["producer_id"], row["producer"], row["environment"]), rules, facts)


def rejudge(record: Record, *, now: datetime | None = None) -> int:
    """Judge again the nodes whose time has come: a run that should have ended, one that is due, a limit that passes.

    While events wait to be folded, only as far as DLV has heard; returns how many changed their health.
    """
    now = now or datetime.now(UTC)
    oldest = events.backlog(record)["oldest_at"]
    heard = min(now, oldest) if oldest else now
    rows = record.all(
        "select id from node where judge_at <= %s and retired_at is null order by judge_at limit 20000",
        (heard,),
    )
    changed = 0
    for start in range(0, len(rows), 200):
        with record.tx() as conn:
            changed += len(health.judge(conn, [r["id"] for r in rows[start : start + 200]], heard))
    return changed
