"""What slots ended as: read back, counted by minute, hour and day, and dropped when they are old."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from store.record import Conn, Record

#: how many days counts by each width are kept; results themselves by a setting
KEEP = {"minute": 2, "hour": 60, "day": 800}
#: rows deleted in one transaction
_AT_ONCE = 20_000


def recompute(conn: Conn, checks: Iterable[UUID], since: datetime) -> None:
    """Count the results of these checks anew, in every bucket that reaches beyond ``since``. Counts are kept right by
    every result that is written, so only what takes results away needs this."""
    ids = list(checks)
    if not ids:
        return
    args = {"ids": ids, "since": since}
    conn.execute(
        "delete from check_rollup where check_id = any(%(ids)s) and at >= date_trunc(grain, %(since)s::timestamptz, 'UTC')",
        args,
    )
    conn.execute(
        """insert into check_rollup (grain, at, check_id, ok, warn, fail, error, not_checked, muted,
                                     value_min, value_max, value_sum, value_n)
           select g, date_trunc(g, slot_at, 'UTC'), check_id, count(*) filter (where status = 'ok'),
                  count(*) filter (where status = 'warn'), count(*) filter (where status = 'fail'),
                  count(*) filter (where status = 'error'), count(*) filter (where status = 'not_checked'),
                  count(*) filter (where status = 'muted'), min(value), max(value), sum(value), count(value)
             from unnest(array['minute', 'hour', 'day']) g
             join check_result r on r.slot_at >= date_trunc(g, %(since)s::timestamptz, 'UTC')
            where r.check_id = any(%(ids)s) group by 1, 2, 3""",
        args,
    )


def expire(record: Record) -> None:
    """Delete the counts that are older than :data:`KEEP`, and gaps older than all of them."""
    for grain, days in KEEP.items():
        while True:
            with record.tx() as conn:
                gone = conn.execute(
                    """delete from check_rollup where ctid = any(array(
                         select ctid from check_rollup where grain = %s and at < dlv_now() - %s * interval '1 day' limit %s))""",
                    (grain, days, _AT_ONCE),
                )
            if gone.rowcount < _AT_ONCE:
                break
    with record.tx() as conn:
        conn.execute("delete from own_gap where ended_at < dlv_now() - %s * interval '1 day'", (KEEP["day"],))
