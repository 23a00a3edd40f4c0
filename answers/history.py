"""How a node or a check was over days: bars, uptime, and how well a node kept its SLA. DLV's own gaps count as neither."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import cursor as cursors
from answers import nodes
from answers.status import iso
from checks import uptime
from checks.health import may_redden
from errors import Invalid
from store import checks as check_store
from store import gaps as gap_store
from store import history as store
from store import nodes as node_store
from store import results as result_store

if TYPE_CHECKING:
    from answers.context import Dlv
    from store.record import Conn

#: uptime is told over these
DAYS = (1, 7, 30, 90)
#: a longer history is drawn by days, a shorter one by hours
HOURLY_DAYS = 3
MAX_DAYS = 400


def node(dlv: Dlv, id_: str | UUID, days: int = 30, now: datetime | None = None) -> dict[str, Any]:
    """{node, since, until, step_seconds, bars, uptime, sla, checks, gaps} of a node.

    bars: [{at, until, health, percent}], ``health`` the worst in it (gap: DLV did not look all the time); uptime: {"1":
    percent or null, …} over so many days; checks: as :func:`check` tells of each. Raises :class:`errors.NotFound`.
    """
    found = nodes.resolve(dlv, id_)
    until = now or _now()
    since = until - timedelta(days=_days(days))
    longest = until - timedelta(days=max(days, *DAYS))
    with dlv.record.read() as conn:
        [row] = node_store.many(conn, [found])
        before, changes = store.changes(conn, found, longest)
        gaps = gap_store.between(conn, longest, until)
        whole = uptime.pieces(before, changes, longest, until, gaps)
        sla = _sla(conn, row, since, until, gaps)
        checks = result_store.checks_of(conn, found)
        told = _checks(conn, [c["id"] for c in checks if c["retired_at"] is None], since, until)
    step = _step(days)
    return {
        "node": str(found),
        "since": iso(since),
        "until": iso(until),
        "step_seconds": int(step.total_seconds()),
        "bars": [
            {
                "at": iso(a),
                "until": iso(b),
                "health": uptime.worst(uptime.cut(whole, a, b)),
                "percent": uptime.share(uptime.cut(whole, a, b)).percent,
            }
            for a, b in uptime.edges(since, until, step)
        ],
        "uptime": {
            str(n): uptime.share(uptime.cut(whole, until - timedelta(days=n), until)).percent for n in DAYS
        },
        "sla": sla,
        "checks": [
            {"id": str(c["id"]), "name": c["name"], "kind": c["kind"]} | told[c["id"]]
            for c in checks
            if c["id"] in told
        ],
        "gaps": [{"began_at": iso(s), "ended_at": iso(e)} for s, e in uptime_gaps(gaps, since)],
    }


def check(dlv: Dlv, id_: UUID, days: int = 30, now: datetime | None = None) -> dict[str, Any]:
    """{check, since, until, step_seconds, bars, uptime, sla} of a check. bars: [{at, ok, warn, fail, error, not_checked,
    muted, value_min, value_mean, value_max}], only those in which a slot ended; sla: how well its node kept its SLA,
    {kind, minutes, percent: {"1": percent or null, …}}, or None. Raises :class:`errors.NotFound`."""
    until = now or _now()
    since = until - timedelta(days=_days(days))
    longest = until - timedelta(days=max(DAYS))
    with dlv.record.read() as conn:
        [row] = node_store.many(conn, [check_store.get(conn, id_)["node_id"]])
        told = _checks(conn, [id_], since, until)[id_]
        kept = _attained(conn, row, longest, until, gap_store.between(conn, longest, until))
        sla = {str(n): kept(until - timedelta(days=n), until) for n in DAYS} if kept else None
    return {
        "check": str(id_),
        "since": iso(since),
        "until": iso(until),
        "step_seconds": int(_step(days).total_seconds()),
        "sla": {"kind": row["sla_kind"], "minutes": row["sla_minutes"], "percent": sla} if sla else None,
    } | told


def page(dlv: Dlv, filters: Mapping[str, Any], limit: int = 100, cursor: str | None = None) -> dict[str, Any]:
    """{items, next}: results, newest slot first. ``filters``: check and node (ids), status, since, until."""
    after = None
    if cursor:
        at, id_ = cursors.decode(cursor, 2)
        try:
            after = datetime.fromisoformat(at), UUID(id_)
        except (TypeError, ValueError, AttributeError):
            raise Invalid("cursor is not one that this call gave", field="cursor") from None
    wanted: list[UUID] | None = list(filters.get("check") or []) or None
    if filters.get("node"):
        node_ids = [nodes.resolve(dlv, n, "node") for n in filters["node"]]
        with dlv.record.read() as conn:
            of = {c["id"] for n in node_ids for c in result_store.checks_of(conn, n)}
        wanted = sorted(of if wanted is None else of & set(wanted))
    with dlv.record.read() as conn:
        rows = result_store.page(
            conn,
            checks=wanted,
            statuses=filters.get("status") or (),
            since=filters.get("since"),
            until=filters.get("until"),
            after=after,
            limit=limit + 1,
        )
    more = len(rows) > limit
    rows = rows[:limit]
    following = cursors.encode([rows[-1]["slot_at"].isoformat(), rows[-1]["check_id"]]) if more else None
    return {"items": [_shape(r) for r in rows], "next": following}


def _shape(row: Mapping[str, Any]) -> dict[str, Any]:
    ids = {k: None if row[k] is None else str(row[k]) for k in ("check_id", "node_id")}
    times = {k: iso(row[k]) for k in ("slot_at", "started_at", "ended_at")}
    return dict(row) | ids | times


def _now() -> datetime:
    """To the minute, so that what is polled is the same until something happens."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def _days(days: int) -> int:
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(f"days is {days}, outside 1 to {MAX_DAYS}", field="days")
    return days


def _step(days: int) -> timedelta:
    return timedelta(hours=1) if days <= HOURLY_DAYS else timedelta(days=1)


def uptime_gaps(gaps: Sequence[uptime.Span], since: datetime) -> list[uptime.Span]:
    """Those that reach into the time that is shown."""
    return [(max(s, since), e) for s, e in gaps if e > since]


def _checks(conn: Conn, ids: list[UUID], since: datetime, until: datetime) -> dict[UUID, dict[str, Any]]:
    grain = "hour" if until - since <= timedelta(days=HOURLY_DAYS) else "day"
    out: dict[UUID, dict[str, Any]] = {c: {"bars": [], "uptime": {}} for c in ids}
    for r in result_store.counts(conn, ids, grain, since, until):
        out[r["check_id"]]["bars"].append(
            {k: v for k, v in r.items() if k not in ("check_id", "at")} | {"at": iso(r["at"])}
        )
    for c, percents in result_store.uptime(conn, ids, until, DAYS).items():
        out[c]["uptime"] = {str(n): percent for n, percent in percents.items()}
    return out


def _sla(
    conn: Conn, row: Mapping[str, Any], since: datetime, until: datetime, gaps: Sequence[uptime.Span]
) -> dict[str, Any] | None:
    """{kind, minutes, percent, days: [{at, percent}]} by the day; None where it has no SLA."""
    kept = _attained(conn, row, since, until, gaps)
    if kept is None:
        return None
    return {
        "kind": row["sla_kind"],
        "minutes": row["sla_minutes"],
        "percent": kept(since, until),
        "days": [
            {"at": iso(s), "percent": kept(s, e)} for s, e in uptime.edges(since, until, timedelta(days=1))
        ],
    }


def _attained(
    conn: Conn, row: Mapping[str, Any], since: datetime, until: datetime, gaps: Sequence[uptime.Span]
) -> Callable[[datetime, datetime], float | None] | None:
    """How well a node kept its SLA from one moment to another within these, in percent (None: nothing is known); None
    where it has no SLA.

    freshness: the share of the time in which its data was fresh; completion: the share of what was due that was done in
    time, by when it was due.
    """
    kind, minutes = row["sla_kind"], row["sla_minutes"]
    if kind is None or minutes is None:
        return None
    allowed = timedelta(minutes=minutes)
    runs = store.runs(conn, row["id"], row["type"], since - allowed)
    done = [r for r in runs if r["state"] == "COMPLETE" and r["ended_at"]]
    if kind == "freshness":
        fresh = uptime.freshness((r["ended_at"] for r in done), allowed, since, until)
        for s, e in gaps:
            fresh = uptime.without(fresh, s, e)
        return lambda a, b: uptime.share(uptime.cut(fresh, a, b)).percent
    due = [
        r["ready_at"]
        for r in runs
        if may_redden(r["trigger"]) and r["state"] != "ABORT" and since <= r["ready_at"] < until
    ]
    ends: dict[datetime, datetime] = {}
    for r in done:
        ends[r["ready_at"]] = min(r["ended_at"], ends.get(r["ready_at"], r["ended_at"]))
    kept = uptime.completions(due, ends, allowed, until, gaps)
    return lambda a, b: _kept([ok for at, ok in kept if a <= at < b])


def _kept(said: Sequence[bool]) -> float | None:
    return round(100 * sum(said) / len(said), 4) if said else None
