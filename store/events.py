"""Events as they came: accepted in one transaction, recognised when sent again, folded later (store.pending)."""

from __future__ import annotations

import zlib
from typing import Any

from psycopg import errors as pg

from store import partitions, producers
from store.record import Conn, Record

#: fast, and still a sixth of the size: the body is compressed while a client waits
_LEVEL = 1

#: (producer id, SHA-256 of the body as sent, redacted body)
Given = tuple[int, bytes, bytes]

_ACCEPT = """
with given as (
  select * from unnest(%(producer)s::bigint[], %(hash)s::bytea[], %(size)s::int[], %(body)s::bytea[]) with ordinality
    as g (producer_id, hash, size, body, place)),
today as (select (now() at time zone 'UTC')::date as day),
new as (
  -- in the order of the key: two transactions that share events then wait for each other instead of deadlocking
  insert into event_key (producer_id, hash, day)
  select producer_id, hash, (select day from today) from given group by producer_id, hash order by producer_id, hash
  on conflict do nothing returning producer_id, hash),
ordered as (
  select nextval('event_id_seq') as id, o.* from (
    select f.* from (
      select distinct on (g.producer_id, g.hash) g.* from given g join new using (producer_id, hash)
      order by g.producer_id, g.hash, g.place) f
    order by f.place) o),
kept as (
  insert into event (day, id, producer_id, hash, size, body)
  select (select day from today), id, producer_id, hash, size, body from ordered
  returning day, id)
insert into event_pending (id, day) select id, day from kept
"""


def accept(conn: Conn, producer_id: int, events: list[tuple[bytes, bytes]]) -> int:
    """Store (SHA-256 of the body as sent, redacted body) pairs and queue them; returns how many are new.

    The same event sent again by the same producer is stored once. Raises psycopg's CheckViolation where today's
    partition is missing (:func:`take` makes it).
    """
    return _accept(conn, [(producer_id, hash_, body) for hash_, body in events])


def _accept(conn: Conn, events: list[Given]) -> int:
    if not events:
        return 0
    return conn.execute(
        _ACCEPT,
        {
            "producer": [p for p, _, _ in events],
            "hash": [h for _, h, _ in events],
            "size": [len(b) for _, _, b in events],
            "body": [zlib.compress(b, _LEVEL) for _, _, b in events],
        },
    ).rowcount


def take(record: Record, producer_id: int, events: list[tuple[bytes, bytes]]) -> int:
    """:func:`accept` in a transaction of its own; makes today's partition where it is missing."""
    return take_all(record, [(producer_id, hash_, body) for hash_, body in events])


def take_all(record: Record, events: list[Given], *, note: set[int] | None = None) -> int:
    """:func:`take` for events of any producers; returns how many are new. ``note``: producers whose
    ``last_event_at`` is written too.
    """
    for last in (False, True):
        try:
            with record.tx() as conn:
                stored = _accept(conn, events)
                for producer_id in sorted(note or ()):
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
