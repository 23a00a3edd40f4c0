"""Incidents as people see them: what is open, and one of them whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from alerts.postmortem import markdown
from answers import cursor as cursors
from answers import nodes
from answers.nodes import uuid_of
from answers.status import iso
from errors import Invalid
from graph.model import hop_of
from store import incidents as store

if TYPE_CHECKING:
    from answers.context import Dlv

STATUSES = ("open", "resolved", "merged")
SORTS = ("severity", "opened")
#: members and lines of the timeline that come with one incident
MEMBERS, ENTRIES = 1000, 200
#: lines of the timeline that a postmortem tells, the newest of them
POSTMORTEM_LINES = 5000


def page(
    dlv: Dlv,
    filters: Mapping[str, Any] | None = None,
    limit: int = 50,
    cursor: str | None = None,
    *,
    sort: str = "severity",
) -> dict[str, Any]:
    """{items, next}: incidents by filter, the worst first (``sort`` opened: the newest first).

    Filters as in `store.incidents.where`; without ``status`` the open ones. An item is what :func:`shape` gives.
    """
    if sort not in SORTS:
        raise Invalid(f"cannot sort by {sort!r}", field="sort", hint="one of " + ", ".join(SORTS))
    wanted = {"status": ["open"]} | dict(filters or {})
    after = None
    if cursor:
        severity, at, id_ = cursors.decode(cursor, 3)
        after = (_int(severity), _time(at), uuid_of(id_, "cursor"))
    with dlv.record.read() as conn:
        rows = store.page(conn, wanted, limit + 1, sort=sort, after=after)
        items = [shape(r) for r in store.many(conn, [r["id"] for r in rows[:limit]])]
    more = None
    if len(rows) > limit:
        last = rows[limit - 1]
        more = cursors.encode([last["severity"], last["opened_at"].isoformat(), str(last["id"])])
    return {"items": items, "next": more}


def get(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """One incident by its id or number (42, INC-42), with ``members`` and the newest lines of its ``timeline``."""
    with dlv.record.read() as conn:
        key = resolve(conn, id_)
        row = store.get(conn, key)
        found = store.members(conn, key, MEMBERS)
    members = [_member(m, hop) for m, hop in zip(found, hops(found), strict=True)]
    return shape(row) | {"member_list": members, "timeline": timeline(dlv, key)}


def resolve(conn: Any, id_: str | UUID) -> UUID:
    """The id behind an id or a number as people say it; :class:`errors.NotFound` where it is neither."""
    said = str(id_).strip()
    number = said[4:] if said.upper().startswith("INC-") else said
    if number.isdecimal() and number.isascii() and len(number) <= 18:
        return store.by_number(conn, int(number))
    return uuid_of(id_)


def timeline(dlv: Dlv, id_: str | UUID, limit: int = ENTRIES, cursor: str | None = None) -> dict[str, Any]:
    """{items: [{id, at, kind, text, actor, node, node_name, detail, looks, until}], next}, those stored last first.

    ``looks`` says of a check's result how often it was seen without another between, ``until`` when last.
    """
    before = None
    if cursor:
        (said,) = cursors.decode(cursor, 1)
        before = _int(said)
    with dlv.record.read() as conn:
        key = resolve(conn, id_)
        rows = store.entries(conn, key, limit + 1, before)
        looks = store.looks(conn, [r["id"] for r in rows if r["kind"] == "check"])
    items = [
        {
            "id": r["id"],
            "at": iso(r["at"]),
            "kind": r["kind"],
            "text": r["text"],
            "actor": r["actor"],
            "node": _str(r["node_id"]),
            "node_name": r["node_name"],
            "detail": r["detail"],
            "looks": looks[r["id"]]["looks"] if r["id"] in looks else None,
            "until": iso(looks[r["id"]]["until"]) if r["id"] in looks else None,
        }
        for r in rows[:limit]
    ]
    return {"items": items, "next": cursors.encode([items[-1]["id"]]) if len(rows) > limit else None}


def of_node(dlv: Dlv, node: str | UUID, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """Incidents in which a node is or was a member, of any status, the newest first."""
    key = nodes.resolve(dlv, node)
    filters = {"node": [str(key)], "status": list(STATUSES)}
    return page(dlv, filters, limit, cursor, sort="opened")


def postmortem(dlv: Dlv, id_: str | UUID) -> tuple[str, str]:
    """(name of the file, Markdown): what happened, whom it touched and what people did, ready to be written on."""
    found = get(dlv, id_)
    lines: list[dict[str, Any]] = []
    cursor: str | None = None
    while len(lines) < POSTMORTEM_LINES:
        part = timeline(dlv, found["id"], 1000, cursor)
        lines += part["items"]
        cursor = part["next"]
        if cursor is None:
            break
    link = f"{dlv.settings.public_url}/incidents/{found['id']}" if dlv.settings.public_url else ""
    text = markdown(found, lines, cut=cursor is not None, link=link)
    return f"{found['name']}.md", text


def shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """A whole row as the API shows it. ``members`` are counts of what is in the incident, ``at_risk`` how many nodes
    below it are not bad themselves (null: the graph was away as it was counted).
    """
    blast = row["blast"] or {}
    return {
        "id": str(row["id"]),
        "number": row["number"],
        "name": f"INC-{row['number']}",
        "key": row["key"],
        "status": row["status"],
        "title": row["title"],
        "root_type": row["root_type"],
        "root": _root(row),
        "producer": (
            {
                "id": str(row["producer_id"]),
                "name": row["producer_name"],
                "quiet_since": iso(row["quiet_since"]),
            }
            if row["producer_id"] is not None
            else None
        ),
        "error": row["error"],
        "log_url": row["log_url"],
        "severity": row["severity"],
        "severity_why": row["severity_why"],
        "blast": blast,
        "at_risk": blast.get("at_risk"),
        "members": {k: row[k] for k in ("total", "failed", "late", "recovered")},
        "owner": _str(row["owner_id"]),
        "owner_name": row["owner_name"] or "",
        "assignee": row["assignee"],
        "acknowledged_at": iso(row["acknowledged_at"]),
        "acknowledged_by": row["acknowledged_by"],
        "opened_at": iso(row["opened_at"]),
        "noted_at": iso(row["noted_at"]),
        "changed_at": iso(row["changed_at"]),
        "resolved_at": iso(row["resolved_at"]),
        "reopened": row["reopened"],
        # when somebody was reached: where no rule leads to a channel an incident counts as told, and nobody was
        "told_at": iso(row["heard_at"]),
        "told_severity": row["told_severity"],
        "notify_at": iso(row["notify_at"]),
        "possibly_caused_by": _other(row, "possibly_caused_by", "cause"),
        "merged_into": _other(row, "merged_into", "into"),
        "graph_away": row["graph_away"],
        "version": row["version"],
    }


def _root(row: Mapping[str, Any]) -> dict[str, Any] | None:
    if row["root_id"] is None:
        return None
    return {
        "id": str(row["root_id"]),
        "type": row["root_kind_of"],
        "kind": row["root_kind"],
        "system": row["root_system"],
        "environment": row["root_environment"],
        "namespace": row["root_namespace"],
        "name": row["root_name"],
        "health": row["root_health"],
        "criticality": row["root_criticality"],
        "owner": _str(row["root_owner_id"]),
        "owner_name": row["root_owner_name"],
        "running": row["root_running"],
    }


def hops(members: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """How many hops each member lies below the root, as everywhere in datasets: the edges along its causes, added up.
    0 for the root; None where a cause is not known, or is not among these."""
    by_id = {m["id"]: m for m in members}

    def edges(m: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]] | None:
        total, seen = 0, set()
        while m["role"] != "root":
            cause = by_id.get(m["cause"]) if m["cause"] is not None else None
            if cause is None or m["hop"] is None or m["id"] in seen:
                return None
            seen.add(m["id"])
            total, m = total + m["hop"], cause
        return total, m

    out: list[int | None] = []
    for m in members:
        far = edges(m)
        out.append(
            None if far is None else 0 if m["role"] == "root" else hop_of(far[0], far[1]["type"] == "dataset")
        )
    return out


def _member(m: Mapping[str, Any], hop: int | None) -> dict[str, Any]:
    return {
        "id": str(m["id"]),
        "type": m["type"],
        "kind": m["kind"],
        "system": m["system"],
        "environment": m["environment"],
        "namespace": m["namespace"],
        "name": m["name"] or str(m["id"]),
        "health": m["health"],
        "criticality": m["criticality"],
        "owner": _str(m["owner_id"]),
        "owner_name": m["owner_name"] or "",
        "running": bool(m["running"]),
        "role": m["role"],
        "was": m["member_health"],
        "joined_at": iso(m["joined_at"]),
        "last_good": iso(m["last_good"]),
        "recovered_at": iso(m["recovered_at"]),
        "cause": _str(m["cause"]),
        "hop": hop,
        "reason": m["reason"],
    }


def _other(row: Mapping[str, Any], field: str, prefix: str) -> dict[str, Any] | None:
    if row[field] is None:
        return None
    number = row[f"{prefix}_number"]
    return {
        "id": str(row[field]),
        "number": number,
        "name": f"INC-{number}",
        "title": row[f"{prefix}_title"],
        "status": row[f"{prefix}_status"],
    }


def _str(value: Any) -> str | None:
    return None if value is None else str(value)


def _int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62:
        return value
    raise _bad_cursor()


def _time(value: Any) -> datetime:
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _bad_cursor() from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _bad_cursor() -> Invalid:
    return Invalid("cursor is not one that this call gave", field="cursor", hint="hand back `next` unread")
