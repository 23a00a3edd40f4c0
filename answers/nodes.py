"""Nodes as people see them: one, a page of them, while typing, and all about one in the drawer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from alerts import routing
from answers import cursor as cursors
from answers import status
from answers.status import Standing, iso
from errors import Invalid, NotFound
from store import annotations as annotation_store
from store import checks as check_store
from store import drawer as drawer_of
from store import edges as edge_store
from store import nodes as store
from store import runs as run_store
from store import silences

if TYPE_CHECKING:
    from answers.context import Dlv

MAX_PAGE = 1000


def uuid_of(text: str | UUID, field: str = "id") -> UUID:
    """An id from outside, or :class:`errors.NotFound`: what is no id cannot name anything."""
    if isinstance(text, UUID):
        return text
    try:
        return UUID(str(text))
    except ValueError:
        raise NotFound(
            f"{field} {str(text)[:80]!r} is not an id", field=field, hint="ids are UUIDs"
        ) from None


def no_such(id_: str | UUID, field: str = "id") -> NotFound:
    return NotFound(f"no node has the id {id_}", field=field, hint="search for it by name")


def _shown(described: dict[str, Any], now: Standing) -> dict[str, Any]:
    """What the record tells of a node, as the API shows it: with its role, and times as :func:`status.iso` writes them."""
    for key in store.TIMES:
        at = described[key]
        if at is not None:
            described[key] = (at if len(at) == _SECONDS else at.ljust(_MICROSECONDS, "0")) + "Z"
    role = now.role(UUID(described["id"]))
    described["role"] = role
    described["at_risk"] = None if now.at_risk is None else role == "at_risk"
    return described


#: lengths of a time in text, without its zone
_SECONDS, _MICROSECONDS = len("2026-11-23T20:15:00"), len("2026-11-23T20:15:00.000000")


def many(dlv: Dlv, ids: Iterable[UUID]) -> list[dict[str, Any]]:
    """These nodes in this order, in one query; what is gone is left out."""
    now = status.standing(dlv)
    with dlv.record.read() as conn:
        return [_shown(d, now) for d in store.described(conn, ids)]


def resolve(dlv: Dlv, id_: str | UUID, field: str = "id") -> UUID:
    """The node that an id leads to, its own or any alias's; :class:`errors.NotFound` where there is none."""
    wanted = uuid_of(id_, field)
    with dlv.record.read() as conn:
        node = store.resolve(conn, wanted)
    if node is None:
        raise no_such(wanted, field)
    return node


def get(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """One node, retired ones too; :class:`errors.NotFound` where an id leads to none."""
    found = many(dlv, [resolve(dlv, id_)])
    if not found:
        raise no_such(id_)
    return found[0]


def page(
    dlv: Dlv,
    filters: Mapping[str, Any] | None = None,
    limit: int = 50,
    cursor: str | None = None,
    *,
    sort: str = "name",
    descending: bool = False,
    offset: int = 0,
    total: bool = False,
) -> dict[str, Any]:
    """{items, next, total?}. Filters as in `store.nodes.where`; ``health`` also takes root, symptom and at_risk."""
    if sort not in store.SORTS:
        raise Invalid(f"cannot sort by {sort!r}", field="sort", hint="one of " + ", ".join(store.SORTS))
    limit = max(1, min(limit, MAX_PAGE))
    wanted = _roles(dlv, dict(filters or {}))
    after = None
    if cursor:
        key, id_ = cursors.decode(cursor, 2)
        after = (key, uuid_of(id_, "cursor"))
    now = status.standing(dlv)
    with dlv.record.read() as conn:
        rows = store.page(
            conn, wanted, limit + 1, sort=sort, descending=descending, after=after, offset=offset
        )
        items = [_shown(d, now) for d in store.described(conn, [r["id"] for r in rows[:limit]])]
        out: dict[str, Any] = {"items": items, "next": None}
        if total:
            out["total"] = store.count(conn, wanted)
    if len(rows) > limit:
        last = rows[limit - 1]
        out["next"] = cursors.encode([last["key"], str(last["id"])])
    return out


def _roles(dlv: Dlv, filters: dict[str, Any]) -> dict[str, Any]:
    """root, symptom and at_risk asked as health become the ids that are just that."""
    asked = filters.get("health")
    values = [asked] if isinstance(asked, str) else list(asked or [])
    roles = [v for v in values if v in ("root", "symptom", "at_risk")]
    if not roles:
        return filters
    if len(roles) < len(values):
        raise Invalid(
            "health cannot mix own health with root, symptom or at_risk", field="health", hint="ask twice"
        )
    now = status.standing(dlv)
    if now.reason:
        return {**filters, "health": None, "ids": []}
    named = {"root": now.roots, "symptom": now.symptoms, "at_risk": now.at_risk}
    ids: set[UUID] = set().union(*(named[r] or () for r in roles))
    return {**filters, "health": None, "ids": ids}


def search(dlv: Dlv, q: str, limit: int = 12) -> list[dict[str, Any]]:
    """What matches while it is being typed, best first: name, namespace, owner, tag."""
    with dlv.record.read() as conn:
        ids = store.search(conn, q, max(1, min(limit, 100)))
    return many(dlv, ids)


RUNS_SHOWN = 14


def drawer(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """All about one node: {node, parent, children, names, evidence, schema, schema_versions, runs, edges, annotations,
    warnings, assertions, checks, renamed, silence, sql, upstream, downstream}.

    ``names`` are its aliases with the names as sent; ``evidence`` says why they are one, ``runs`` are the last 14
    (of a dataset: of the jobs that write it), ``upstream`` and ``downstream`` count direct neighbours, ``edges`` say
    what proves them and until when they held, ``silence`` ({id, kind, reason, until} or None) why nobody is told of it.
    """
    now = datetime.now(UTC)
    node = get(dlv, id_)
    me = UUID(node["id"])
    with dlv.record.read() as conn:
        versions = drawer_of.schemas(conn, me)
        edges = edge_store.of_node(conn, me)
        facets = drawer_of.facets(conn, me, ["sql", "documentation", "sourceCodeLocation", "jobType"])
        degrees = edge_store.degrees(conn, [me], None)
        held = routing.quiet(silences.facts(conn, [me]).values(), silences.active(conn, now), now).get(me)
        said = {
            "names": drawer_of.names(conn, me),
            "evidence": drawer_of.evidence(conn, me),
            "runs": [run_shape(r) for r in run_store.last(conn, me, RUNS_SHOWN)],
            "annotations": annotation_store.of_node(conn, me),
            "warnings": drawer_of.warnings(conn, me),
            "assertions": drawer_of.assertions(conn, me),
            "checks": check_store.of_node(conn, me),
            "children": drawer_of.children(conn, me),
            "renamed": drawer_of.renamed(conn, me),
        }
    parent = node["parent_id"]
    out = {k: [plain(r) for r in rows] for k, rows in said.items()}
    return out | {
        "node": node,
        "parent": {"id": parent, "name": node["parent_name"]} if parent else None,
        "schema": versions[0]["fields"] if versions else [],
        "schema_versions": [plain(v) for v in versions],
        "edges": [plain(e) | {"direction": "downstream" if e["source"] == me else "upstream"} for e in edges],
        "sql": (facets.get("sql") or {}).get("query"),
        "documentation": (facets.get("documentation") or {}).get("description"),
        "source_url": (facets.get("sourceCodeLocation") or {}).get("url"),
        "silence": plain({k: getattr(held[0], k) for k in ("id", "kind", "reason")} | {"until": held[1]})
        if held
        else None,
        "upstream": degrees.get((me, "upstream"), 0),
        "downstream": degrees.get((me, "downstream"), 0),
    }


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON takes it: ids as text, times in ISO 8601 with Z."""
    out: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, UUID):
            value = str(value)
        elif isinstance(value, datetime):
            value = iso(value)
        elif isinstance(value, list):
            value = [str(v) if isinstance(v, UUID) else v for v in value]
        out[key] = value
    return out


def run_shape(row: Mapping[str, Any]) -> dict[str, Any]:
    """A run as the API shows it; ``duration`` in seconds where it started and ended."""
    start, end = row["started_at"], row["ended_at"]
    lasted = (end - start).total_seconds() if start and end and end >= start else None
    return plain({k: v for k, v in row.items() if k != "key"}) | {"key": str(row["key"]), "duration": lasted}


def runs(dlv: Dlv, id_: str | UUID, limit: int = 50, cursor: str | None = None) -> dict[str, Any]:
    """{items, next}: runs of a job, or of the jobs that write a dataset, newest due first."""
    me = resolve(dlv, id_)
    limit = max(1, min(limit, MAX_PAGE))
    before = None
    if cursor:
        at, key = cursors.decode(cursor, 2)
        before = (time_of(at, "cursor"), uuid_of(key, "cursor"))
    with dlv.record.read() as conn:
        rows = run_store.last(conn, me, limit + 1, before)
    items = [run_shape(r) for r in rows[:limit]]
    more = len(rows) > limit
    return {"items": items, "next": cursors.encode([items[-1]["due_at"], items[-1]["key"]]) if more else None}


def schema(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """{fields, versions}: the current fields of a dataset and every version seen, the current first."""
    me = resolve(dlv, id_)
    with dlv.record.read() as conn:
        versions = [plain(v) for v in drawer_of.schemas(conn, me, MAX_PAGE)]
    return {"fields": versions[0]["fields"] if versions else [], "versions": versions}


def time_of(text: object, field: str) -> datetime:
    """A time from outside: ISO 8601; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        raise Invalid(
            f"{field} {str(text)[:60]!r} is not a time",
            field=field,
            hint="ISO 8601, e.g. 2026-11-01T06:00:00Z",
        ) from None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def options(dlv: Dlv) -> dict[str, Any]:
    """What can be filtered by: {type, kind, system, environment, tag, team: [{key, n, name?}]}, the most frequent
    first."""
    with dlv.record.read() as conn:
        return {k: [plain(r) for r in rows] for k, rows in store.options(conn).items()}
