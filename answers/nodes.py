"""Nodes as people see them: one, a page of them, while typing, and all about one in the drawer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import cursor as cursors
from answers import status
from answers.status import Standing, iso
from errors import Invalid, NotFound
from store import nodes as store

if TYPE_CHECKING:
    from answers.context import Dlv

MAX_PAGE = 500


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


def shape(row: Mapping[str, Any], now: Standing) -> dict[str, Any]:
    """A whole row as the API shows it."""
    id_ = row["id"]
    role = now.role(id_)
    return {
        "id": str(id_),
        "type": row["type"],
        "kind": row["kind"],
        "system": row["system"],
        "environment": row["environment"],
        "namespace": row["namespace"],
        "name": row["name"],
        "aliases": row["aliases"],
        "parent_id": _str(row["parent_id"]),
        "parent_name": row["parent_name"],
        "owner": _str(row["owner_id"]),
        "owner_name": row["owner_name"],
        "sla": {"kind": row["sla_kind"], "minutes": row["sla_minutes"]} if row["sla_kind"] else None,
        "tags": row["tags"],
        "criticality": row["criticality"],
        "description": row["description"],
        "health": row["health"],
        "health_reason": row["health_reason"],
        "health_since": iso(row["health_since"]),
        "running": row["running"],
        "role": role,
        "at_risk": None if now.at_risk is None else role == "at_risk",
        "unresolved": row["unresolved"],
        "standin": row["standin"],
        "sources": row["sources"],
        "first_seen": iso(row["first_seen"]),
        "last_seen": iso(row["last_seen"]),
        "made_at": iso(row["made_at"]),
        "retired_at": iso(row["retired_at"]),
        "dropped_at": iso(row["dropped_at"]),
        "version": row["version"],
    }


def _str(value: Any) -> str | None:
    return None if value is None else str(value)


def many(dlv: Dlv, ids: Iterable[UUID]) -> list[dict[str, Any]]:
    """These nodes in this order, in one query; what is gone is left out."""
    now = status.standing(dlv)
    with dlv.record.tx() as conn:
        return [shape(row, now) for row in store.many(conn, ids)]


def resolve(dlv: Dlv, id_: str | UUID, field: str = "id") -> UUID:
    """The node that an id leads to, its own or any alias's; :class:`errors.NotFound` where there is none."""
    wanted = uuid_of(id_, field)
    with dlv.record.tx() as conn:
        node = store.resolve(conn, wanted)
    if node is None:
        raise NotFound(f"no node has the id {wanted}", field=field, hint="search for it by name")
    return node


def get(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """One node, retired ones too; :class:`errors.NotFound` where an id leads to none."""
    found = many(dlv, [resolve(dlv, id_)])
    if not found:
        raise NotFound(f"no node has the id {id_}", field="id", hint="search for it by name")
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
    with dlv.record.tx() as conn:
        rows = store.page(
            conn, wanted, limit + 1, sort=sort, descending=descending, after=after, offset=offset
        )
        items = [shape(r, now) for r in store.many(conn, [r["id"] for r in rows[:limit]])]
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
    with dlv.record.tx() as conn:
        ids = store.search(conn, q, max(1, min(limit, 100)))
    return many(dlv, ids)
