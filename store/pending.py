"""The queue of events that are accepted and not folded yet. It is rows in the record: Redis only wakes the worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from store.record import LOCK_FOLD, Conn

#: an event that cannot be folded this often is set aside, with the reason, until `dlv refold`
TRIES = 3


def foremost(conn: Conn) -> bool:
    """Be the worker that takes whatever comes, until this transaction ends; False: another is."""
    row = conn.execute("select pg_try_advisory_xact_lock(%s) as mine", (LOCK_FOLD,)).fetchone()
    return bool(row and row["mine"])


def at_least(conn: Conn, n: int) -> bool:
    """Whether so many events are pending, those that another worker has at hand among them."""
    row = conn.execute(
        "select count(*) as n from (select 1 from event_pending where not set_aside limit %s) p", (n,)
    ).fetchone()
    return row is not None and row["n"] >= n


def claim(conn: Conn, limit: int) -> list[dict[str, Any]]:
    """The oldest pending events with their bodies, locked for this transaction; other workers skip them."""
    return _bodies(conn, "where not set_aside order by id limit %s for update skip locked", limit)


def claim_one(conn: Conn, event_id: int) -> list[dict[str, Any]]:
    """The one event, if it is still pending and nobody else has it."""
    return _bodies(conn, "where id = %s and not set_aside for update skip locked", event_id)


def _bodies(conn: Conn, which: str, param: int) -> list[dict[str, Any]]:
    return conn.execute(
        f"""
        with mine as (select id, day from event_pending {which})
        select e.id, e.day, e.producer_id, e.received_at, e.hash, e.body, p.name as producer, p.environment
        from mine join event e on e.day = mine.day and e.id = mine.id
        join producer p on p.id = e.producer_id
        order by e.id
        """,
        (param,),
    ).fetchall()


def finish(conn: Conn, ids: Iterable[int]) -> None:
    conn.execute("delete from event_pending where id = any(%s)", (list(ids),))


def failed(conn: Conn, event_id: int, why: str) -> None:
    """Count a failed fold; after :data:`TRIES` the event is set aside."""
    conn.execute(
        "update event_pending set attempts = attempts + 1, error = %s, set_aside = attempts + 1 >= %s where id = %s",
        (why[:2000], TRIES, event_id),
    )


def again(conn: Conn) -> int:
    """Queue every stored event once more; returns how many."""
    cur = conn.execute(
        "insert into event_pending (id, day) select id, day from event "
        "on conflict (id) do update set attempts = 0, error = null, set_aside = false"
    )
    return cur.rowcount
