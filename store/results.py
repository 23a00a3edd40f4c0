"""What slots ended as: read back, counted by minute, hour and day, and dropped when they are old."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from store.record import Conn, Record

#: how many days counts by each width are kept; results themselves by a setting
KEEP = {"minute": 2, "hour": 60, "day": 800}
#: rows deleted in one transaction
_AT_ONCE = 20_000

#: a page looks back so many days at first, then further: most pages are full with the newest days, and each day is a
#: partition that has to be planned for
_LOOKS = (2, 14, 4000)
_SHOWN = "r.check_id, r.slot_at, r.status, r.attempts, r.started_at, r.ended_at, r.value, r.reason, r.detail"


def page(
    conn: Conn,
    *,
    checks: Sequence[UUID] | None = None,
    statuses: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Results, newest slot first, with the check's name and node. ``checks`` None: of all; ``since`` is included,
    ``until`` is not; ``after``: (slot, check) of the last of the page before."""
    if checks is not None and not checks:
        return []
    row = conn.execute("select dlv_now() as now").fetchone()
    assert row is not None
    upper = until or row["now"] + timedelta(days=1)
    if after and after[0] < upper:
        upper = after[0] + timedelta(microseconds=1)
    found: list[dict[str, Any]] = []
    begin = min(upper, row["now"] + timedelta(days=1))
    for days in _LOOKS:
        lower = begin - timedelta(days=days)
        lower = max(lower, since) if since else lower
        if lower < upper:
            found += _window(conn, checks, statuses, lower, upper, after, limit - len(found))
        upper = min(upper, lower)
        if len(found) >= limit or (since and lower <= since):
            break
    return _named(conn, found)


def _window(
    conn: Conn,
    checks: Sequence[UUID] | None,
    statuses: Sequence[str],
    lower: datetime,
    upper: datetime,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """One part of a page. Planned each time, so that only the partitions between the two moments are; where ok is not
    asked for that is said too, for what is not ok has indexes of its own."""
    cond = ["r.slot_at >= %(lower)s and r.slot_at < %(upper)s"]
    if statuses:
        cond.append("r.status = any(%(statuses)s)")
        if "ok" not in statuses:
            cond.append("r.status <> 'ok'")
    if after:
        cond.append("(r.slot_at, r.check_id) < (%(after_at)s, %(after_id)s)")
    where = " and ".join(cond)
    source = (
        f"check_result r where {where}"
        if checks is None
        else f"""unnest(%(checks)s::uuid[]) c(id), lateral (select * from check_result r where r.check_id = c.id and {where}
                                                          order by r.slot_at desc limit %(limit)s) r"""
    )
    return conn.execute(
        f"select {_SHOWN} from {source} order by r.slot_at desc, r.check_id desc limit %(limit)s",
        {
            "lower": lower,
            "upper": upper,
            "checks": None if checks is None else list(checks),
            "statuses": list(statuses),
            "after_at": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
        prepare=False,
    ).fetchall()


def _named(conn: Conn, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {
        r["id"]: r
        for r in conn.execute(
            """select c.id, c.name, c.kind, a.node_id from health_check c join alias a on a.id = c.node_id
                where c.id = any(%s)""",
            (list({r["check_id"] for r in rows}),),
        )
    }
    for r in rows:
        of = names.get(r["check_id"])
        r |= {
            "check_name": of["name"] if of else None,
            "kind": of["kind"] if of else None,
            "node_id": of["node_id"] if of else None,
        }
    return rows


def checks_of(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """Every check that spoke of a node, retired ones too, those that look now first."""
    return conn.execute(
        """select c.id, c.name, c.kind, c.retired_at from health_check c join alias a on a.id = c.node_id
            where a.node_id = %s order by c.retired_at is not null, lower(c.name), c.id limit 500""",
        (node,),
    ).fetchall()


def counts(
    conn: Conn, checks: Sequence[UUID], grain: str, since: datetime, until: datetime
) -> list[dict[str, Any]]:
    """What slots ended as in each minute, hour or day from ``since`` to ``until``, oldest first."""
    return conn.execute(
        """select check_id, at, ok, warn, fail, error, not_checked, muted, value_min, value_max,
                  value_sum / nullif(value_n, 0) as value_mean
             from check_rollup where check_id = any(%s) and grain = %s
              and at >= date_trunc(%s, %s::timestamptz, 'UTC') and at < %s
            order by at, check_id""",
        (list(checks), grain, grain, since, until),
    ).fetchall()


def uptime(
    conn: Conn, checks: Sequence[UUID], until: datetime, days: Sequence[int]
) -> dict[UUID, dict[int, float | None]]:
    """Of each check, over so many days before ``until``: the share of its slots that were ok or warn, in percent, among
    those that say something of the target; None where none does. What DLV itself missed is in neither. By whole hours; by
    whole days where that is longer than hours are kept."""
    out: dict[UUID, dict[int, float | None]] = {c: dict.fromkeys(days) for c in checks}
    for grain in ("hour", "day"):
        of_grain = [n for n in days if (n < KEEP["hour"]) == (grain == "hour")]
        if not of_grain:
            continue
        for r in conn.execute(
            """select r.check_id, d.n, sum(ok + warn) as up, sum(ok + warn + fail) as said
                 from unnest(%(days)s::int[]) d(n)
                 join check_rollup r on r.at >= date_trunc(r.grain, %(until)s - d.n * interval '1 day', 'UTC')
                where r.check_id = any(%(checks)s) and r.grain = %(grain)s and r.at < %(until)s group by 1, 2""",
            {"days": of_grain, "until": until, "checks": list(checks), "grain": grain},
        ):
            if r["said"]:
                out[r["check_id"]][r["n"]] = round(100 * r["up"] / r["said"], 4)
    return out


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
