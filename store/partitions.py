"""Events, runs and results of checks lie in one partition a day: made ahead of time, dropped whole when they expire."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from psycopg import errors as pg
from psycopg import sql

from store.record import LOCK_PARTITIONS, Conn, Record

#: how many days ahead of today partitions exist
AHEAD = 3
PARENTS = ("event", "run", "check_result")
#: rows of the key tables deleted in one transaction
KEYS_AT_ONCE = 20_000


def ensure(conn: Conn, day: date, days: int = 1) -> list[str]:
    """Make the partitions of ``days`` days from ``day`` on that do not exist yet; returns their names.

    Attached rather than created in place: that blocks nobody who reads or writes the other days.
    """
    return _make(conn, [(p, day + timedelta(days=n)) for n in range(days) for p in PARENTS])


def ensure_days(conn: Conn, parent: str, at: Iterable[datetime]) -> list[str]:
    """Make the partitions of one table that hold these moments, where they do not exist yet."""
    return _make(conn, [(parent, day) for day in sorted({a.astimezone(UTC).date() for a in at})])


def _make(conn: Conn, wanted: list[tuple[str, date]]) -> list[str]:
    made: list[str] = []
    if not _missing(conn, wanted):
        return made
    conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_PARTITIONS,))
    for parent, at in _missing(conn, wanted):
        name = _name(parent, at)
        conn.execute(
            sql.SQL("create table {} (like {} including defaults including constraints)").format(
                sql.Identifier(name), sql.Identifier(parent)
            )
        )
        conn.execute(
            sql.SQL("alter table {} attach partition {} for values from ({}) to ({})").format(
                sql.Identifier(parent),
                sql.Identifier(name),
                sql.Literal(at.isoformat()),
                sql.Literal((at + timedelta(days=1)).isoformat()),
            )
        )
        made.append(name)
    return made


def ensure_ahead(record: Record) -> list[str]:
    """Today's partitions, by the database's clock in UTC, and those of the days :data:`AHEAD` of it."""
    with record.tx() as conn:
        row = conn.execute("select (now() at time zone 'UTC')::date as today").fetchone()
        assert row is not None
        # from yesterday on: a web process may take the day from its own clock, a little behind
        return ensure(conn, row["today"] - timedelta(days=1), AHEAD + 2)


def expire(record: Record, event_days: int, run_days: int, result_days: int = 90) -> list[str]:
    """Drop the partitions that are older than so many days, and the keys that point into them.

    A day that still holds events waiting to be folded is kept until they are. Where a long read holds a
    partition, it is left for the next time rather than waited for. Returns the names dropped.
    """
    dropped: list[str] = []
    today_row = record.one("select (now() at time zone 'UTC')::date as today")
    assert today_row is not None
    today: date = today_row["today"]
    for parent, keep in (("event", event_days), ("run", run_days), ("check_result", result_days)):
        before = today - timedelta(days=keep)
        for name, day in _existing(record, parent):
            if day >= before:
                continue
            if parent == "event" and _still_pending(record, day):
                continue
            try:
                with record.tx() as conn:
                    conn.execute("set local lock_timeout = '2s'")
                    conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_PARTITIONS,))
                    conn.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(name)))
                    if parent == "event":  # what was set aside cannot be folded again without its body
                        conn.execute("delete from event_pending where day = %s", (day,))
            except pg.LockNotAvailable:
                continue
            dropped.append(name)
    _delete_keys(
        record,
        """delete from event_key where ctid = any(array(
             select k.ctid from event_key k where k.day < %(before)s and not exists (
               select 1 from event_pending p where p.day = k.day) limit %(n)s))""",
        today - timedelta(days=event_days),
    )
    # an edge keeps its newest proof, however old: its last sighting rests on it
    _delete_keys(
        record,
        """delete from edge_run where ctid = any(array(
             select r.ctid from run_key k join edge_run r on r.run_key = k.key
              where k.day < %(before)s and exists (
                select 1 from edge_run o where o.edge_id = r.edge_id and (o.last_at, o.run_key) > (r.last_at, r.run_key))
              limit %(n)s))""",
        today - timedelta(days=run_days),
    )
    _delete_keys(
        record,
        "delete from run_key where ctid = any(array(select ctid from run_key where day < %(before)s limit %(n)s))",
        today - timedelta(days=run_days),
    )
    return dropped


def _delete_keys(record: Record, query: str, before: date) -> None:
    while True:
        with record.tx() as conn:
            if conn.execute(query, {"before": before, "n": KEYS_AT_ONCE}).rowcount < KEYS_AT_ONCE:
                return


def _still_pending(record: Record, day: date) -> bool:
    found = record.one("select 1 from event_pending where day = %s and not set_aside limit 1", (day,))
    return found is not None


def _existing(record: Record, parent: str) -> list[tuple[str, date]]:
    rows = record.all(
        """select c.relname as name from pg_inherits i join pg_class c on c.oid = i.inhrelid
           where i.inhparent = %s::regclass order by 1""",
        (parent,),
    )
    found = []
    for row in rows:
        m = re.fullmatch(rf"{parent}_(\d{{4}})(\d\d)(\d\d)", row["name"])
        if m:
            found.append((row["name"], date(int(m[1]), int(m[2]), int(m[3]))))
    return found


def _missing(conn: Conn, wanted: list[tuple[str, date]]) -> list[tuple[str, date]]:
    names = [_name(p, d) for p, d in wanted]
    rows = conn.execute(
        "select n from unnest(%s::text[]) as n where to_regclass(n) is null", (names,)
    ).fetchall()
    missing = {r["n"] for r in rows}
    return [w for w, n in zip(wanted, names, strict=True) if n in missing]


def _name(parent: str, day: date) -> str:
    return f"{parent}_{day:%Y%m%d}"
