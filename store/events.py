"""Events as they came: accepted in one transaction, recognised when sent again, folded later (store.pending)."""

from __future__ import annotations

import zlib
from typing import Any

from psycopg import errors as pg

from store import partitions, producers
from store.record import Conn, Record

#: fast, and still a sixth of the size: the body is compressed while a client waits
_LEVEL = 1

_ACCEPT = """
with given as (
  select * from unnest(%(hash)s::bytea[], %(size)s::int[], %(body)s::bytea[]) with ordinality
    as g (hash, size, body, place)),
today as (select (now() at time zone 'UTC')::date as day),
new as (
  -- in the order of the hashes: two batches that share events then wait for each other instead of deadlocking
  insert into event_key (producer_id, hash, day)
  select %(producer)s, hash, (select day from today) from given group by hash order by hash
  on conflict do nothing returning hash),
ordered as (
  select nextval('event_id_seq') as id, o.* from (
    select distinct on (g.hash) g.* from given g join new using (hash) order by g.hash, g.place) o
  order by o.place),
kept as (
  insert into event (day, id, producer_id, hash, size, body)
  select (select day from today), id, %(producer)s, hash, size, body from ordered order by id
  returning day, id)
insert into event_pending (id, day) select id, day from kept
"""


def accept(conn: Conn, producer_id: int, events: list[tuple[bytes, bytes]]) -> int:
    """Store (SHA-256 of the body as sent, redacted body) pairs and queue them; returns how many are new.

    The same event sent again by the same producer is stored once. Raises psycopg's CheckViolation where today's
    partition is missing (:func:`take` makes it).
    """
    if not events:
        return 0
    return conn.execute(
        _ACCEPT,
        {
            "producer": producer_id,
            "hash": [h for h, _ in events],
            "size": [len(b) for _, b in events],
            "body": [zlib.compress(b, _LEVEL) for _, b in events],
        },
    ).rowcount


def take(
    record: Record, producer_id: int, events: list[tuple[bytes, bytes]], *, note_producer: bool = False
) -> int:
    """:func:`accept` in a transaction of its own; makes today's partition where it is missing.

    ``note_producer`` also writes the producer's ``last_event_at``.
    """
    for last in (False, True):
        try:
            with record.tx() as conn:
                stored = accept(conn, producer_id, events)
                if note_producer:
                    producers.saw_event(conn, producer_id)
                return stored
        except pg.CheckViolation:
            if last:
                raise
            partitions.ensure_ahead(record)
    raise AssertionError("not reached")


def pending(record: Record, most: int) -> int:
    """Events not folded yet, counted up to ``most`` (that is cheap however long the queue is)."""
    row = record.one(
        "select count(*) as n from (select 1 from event_pending where not set_aside limit %s) p", (most,)
    )
    assert row is not None
    n: int = row["n"]
    return n


def backlog(record: Record) -> dict[str, Any]:
    """What waits to be folded: ``pending``, ``set_aside``, and ``oldest_at`` (null where nothing waits)."""
    row = record.one(
        """select (select count(*) from event_pending where not set_aside) as pending,
                  (select count(*) from event_pending where set_aside) as set_aside,
                  (select e.received_at from event_pending p join event e on e.day = p.day and e.id = p.id
                   where not p.set_aside order by p.id limit 1) as oldest_at"""
    )
    assert row is not None
    return row
