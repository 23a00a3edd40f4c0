"""Signs of life of DLV's own parts: one row a process, written every few seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from store.record import Conn, Record

#: seconds between two signs of life
EVERY = 5.0
#: seconds without one after which a part is taken to be away
AWAY_SECONDS = 30


def beat(record: Record, part: str, instance: str, detail: Mapping[str, Any] | None = None) -> None:
    """Note that ``instance`` (host and process) of ``part`` lives. Raises :class:`errors.RecordAway`."""
    with record.tx() as conn:
        note(conn, part, instance, detail)


def note(conn: Conn, part: str, instance: str, detail: Mapping[str, Any] | None = None) -> None:
    """The same inside of a transaction."""
    conn.execute(
        """insert into part_beat (part, instance, at, detail) values (%s, %s, dlv_now(), %s)
           on conflict (part, instance) do update set at = excluded.at, detail = excluded.detail""",
        (part, instance, Jsonb(dict(detail or {}))),
    )


def newest(conn: Conn) -> list[dict[str, Any]]:
    """One row a part: {part, at, ago (seconds since its newest sign of life), instances (that live)}."""
    return conn.execute(
        """select part, max(at) as at, extract(epoch from dlv_now() - max(at))::float8 as ago,
                  count(*) filter (where at > dlv_now() - %s * interval '1 second') as instances
             from part_beat group by part order by part""",
        (AWAY_SECONDS,),
    ).fetchall()


def forget(conn: Conn) -> None:
    """Remove processes that are long gone; of each part the newest row stays, for it says since when it is away."""
    conn.execute(
        """delete from part_beat b where at < dlv_now() - interval '1 hour' and exists (
             select 1 from part_beat o where o.part = b.part and (o.at, o.instance) > (b.at, b.instance))"""
    )
