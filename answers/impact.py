"""Everything downstream or upstream of a node, by hop, counted exactly even where the list is cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import cursor as cursors
from answers import kept, nodes, status
from errors import Invalid
from graph import reach
from graph.model import Direction, Filters, Reach
from store import closure
from store import nodes as node_store
from store.nodes import Place

if TYPE_CHECKING:
    from answers.context import Dlv

DIRECTIONS = ("downstream", "upstream")
MAX_LIMIT = 5000


def impact(
    dlv: Dlv,
    id_: str | UUID,
    direction: str = "downstream",
    depth: int | None = None,
    filters: Mapping[str, Any] | None = None,
    as_of: datetime | None = None,
    limit: int = 200,
    cursor: str | None = None,
) -> dict[str, Any]:
    """{node, direction, total, by_hop, by_kind, by_system, by_team, items, next, cut, as_of}.

    Items are whole nodes with ``hop``, nearest first. Filters select what is listed and counted and never prune
    paths. With ``as_of`` reach is that of then, from the record; the nodes are described as they are now.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    after = None
    if cursor:
        hop, last = cursors.decode(cursor, 2)
        if not isinstance(hop, int):
            raise Invalid("cursor is not one that this call gave", field="cursor")
        after = (hop, nodes.uuid_of(last, "cursor"))
    return whole(dlv, id_, direction, depth, filters, as_of, limit, after)


def whole(
    dlv: Dlv,
    id_: str | UUID,
    direction: str,
    depth: int | None,
    filters: Mapping[str, Any] | None,
    as_of: datetime | None,
    limit: int,
    after: tuple[int, UUID] | None = None,
) -> dict[str, Any]:
    """As :func:`impact`, for any ``limit``."""
    way = check(direction, depth)
    start = nodes.uuid_of(id_)
    with dlv.record.read() as conn:
        place = node_store.place(conn, start)
    if place is None:
        raise nodes.no_such(id_)
    found = _reach(dlv, place, way, depth, wanted(dlv, filters), as_of, limit, after)
    described = nodes.many(dlv, [place.id, *(i for i, _ in found.items)])
    if not described or described[0]["id"] != str(place.id):
        raise nodes.no_such(id_)  # merged into another while the graph was asked
    node, *items = described
    hops = {str(i): hop for i, hop in found.items}
    for one in items:
        one["hop"] = hops[one["id"]]
    more = found.cut and bool(found.items)
    return {
        "node": node,
        "direction": direction,
        "depth": depth,
        "total": found.total,
        "by_hop": [{"key": k, "n": n} for k, n in sorted(found.by_hop.items())],
        "by_kind": _counted(found.by_kind),
        "by_system": _counted(found.by_system),
        "by_team": _teams(dlv, found.by_owner, described),
        "items": items,
        "next": cursors.encode([found.items[-1][1], str(found.items[-1][0])]) if more else None,
        "cut": found.cut,
        "as_of": status.iso(as_of),
    }


def check(direction: str, depth: int | None) -> Direction:
    if direction not in DIRECTIONS:
        raise Invalid(f"direction is {direction!r}", field="direction", hint="downstream or upstream")
    if depth is not None and not 1 <= depth <= 1000:
        raise Invalid(f"depth is {depth}", field="depth", hint="hops from 1 to 1000, or leave it out for all")
    return direction  # type: ignore[return-value]


def wanted(dlv: Dlv, filters: Mapping[str, Any] | None) -> Filters:
    """The filters of a request as the graph takes them; teams by name become ids."""
    said = {k: _tuple(v) for k, v in (filters or {}).items() if v}
    unknown = set(said) - {"type", "kind", "system", "environment", "owner", "team", "tag"}
    if unknown:
        name = sorted(unknown)[0]
        raise Invalid(
            f"cannot filter by {name}", field=name, hint="type, kind, system, environment, owner, team, tag"
        )
    owners = said.pop("owner", ()) + said.pop("team", ())
    if owners:
        low = [o.lower() for o in owners]
        rows = dlv.record.all(
            "select id::text as id from team where id::text = any(%(o)s) or lower(name) = any(%(o)s)",
            {"o": low},
        )
        # nobody bears the name: nothing may match, rather than everything
        ids = tuple(r["id"] for r in rows) or ("-",)
        if "none" in low:
            ids = (*(i for i in ids if i != "-"), "")
        said["owner"] = ids
    return Filters(**said)


def _tuple(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(str(v) for v in value)


def _reach(
    dlv: Dlv,
    place: Place,
    direction: Direction,
    depth: int | None,
    filters: Filters,
    as_of: datetime | None,
    limit: int,
    after: tuple[int, UUID] | None,
) -> Reach:
    from_dataset = place.type == "dataset"
    if as_of is not None:
        with dlv.record.read() as conn:
            return closure.impact(
                conn, place.id, from_dataset, direction, depth, filters, as_of, limit, after
            )

    def ask() -> Reach:
        return reach.impact(
            dlv.graph, place.generation, place.id, from_dataset, direction, depth, filters, limit, after
        )

    # what is kept would hide that the graph is away: it is asked, and says so
    if place.projected_at is None or status.standing(dlv).reason is not None:
        return ask()
    state = (place.generation, place.projected_at)
    return kept.answer(dlv.graph, state, (place.id, direction, depth, filters, limit, after), ask)


def _counted(by: Mapping[str, int]) -> list[dict[str, Any]]:
    return [{"key": k, "n": n} for k, n in sorted(by.items(), key=lambda kn: (-kn[1], kn[0]))]


def _teams(
    dlv: Dlv, by_owner: Mapping[str, int], described: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Counts by team with its name; what nobody owns has the key null."""
    # the nearest nodes say what most teams are called
    names = {n["owner"]: n["owner_name"] for n in described if n["owner"]}
    unnamed = [o for o in by_owner if o and o not in names]
    if unnamed:
        rows = dlv.record.all("select id::text as id, name from team where id = any(%s::uuid[])", (unnamed,))
        names |= {r["id"]: r["name"] for r in rows}
    return [{"key": c["key"] or None, "n": c["n"], "name": names.get(c["key"])} for c in _counted(by_owner)]
