"""Nodes as people read and edit them. Rows are built by `store.materialise`; here is what asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from store.record import Conn

#: on the map: neither retired nor dropped, and no stand-in
ON_MAP = "n.retired_at is null and n.dropped_at is null and not n.standin"

#: what lists can be sorted by: column and whether nulls are possible
SORTS = {
    "name": "n.name",
    "namespace": "n.namespace",
    "kind": "n.kind",
    "system": "n.system",
    "environment": "n.environment",
    "owner": "lower(n.owner_name)",
    "criticality": "coalesce(n.criticality, 9)::int",
    "health": "array_position(array['failed','late','warn','unknown','ok'], n.health)::int",
    "last_seen": "n.last_seen",
}

#: moments that people are told of a node
TIMES = ("health_since", "first_seen", "last_seen", "made_at", "retired_at", "dropped_at")

#: nodes by id, each looked up by its key: before a statement is prepared Postgres would rather read the whole table
_OF = """
  from unnest(%(ids)s::uuid[]) with ordinality as w(id, ord)
  join lateral (select * from node where id = w.id offset 0) n on true
  left join node p on p.id = n.parent_id
 order by w.ord"""
_WHOLE = f"select n.*, p.name as parent_name {_OF}"
#: what is told that is not a column as it is
_OTHERWISE = {
    "owner": "n.owner_id",
    "sla": "case when n.sla_kind is not null"
    " then json_build_object('kind', n.sla_kind, 'minutes', n.sla_minutes) end",
} | {k: f"n.{k} at time zone 'UTC'" for k in TIMES}
_TOLD = (
    *"id type kind system environment namespace name parent_id owner owner_name sla tags criticality description".split(),
    *"health health_reason running standin version".split(),
    *TIMES,
    *"aliases unresolved sources parent_name".split(),
)
#: as one JSON without the names of what it tells: two hundred nodes take half as long as with as many rows
_DESCRIBED = f"""
select json_agg(json_build_array({", ".join(_OTHERWISE.get(k, f"n.{k}") for k in _TOLD)})) as nodes
  from ({_WHOLE}) n"""


def many(conn: Conn, ids: Iterable[UUID]) -> list[dict[str, Any]]:
    """Whole rows of these nodes in this order, in one query; ids that are no node are left out."""
    return conn.execute(_WHOLE, {"ids": list(ids)}).fetchall()


def described(conn: Conn, ids: Iterable[UUID]) -> list[dict[str, Any]]:
    """What people are told of these nodes, as :func:`many`, in JSON's own types: ids are text, and :data:`TIMES`, in UTC
    without saying so."""
    row = conn.execute(_DESCRIBED, {"ids": list(ids)}).fetchone()
    return [dict(zip(_TOLD, values, strict=True)) for values in (row and row["nodes"]) or []]


def resolve(conn: Conn, id_: UUID) -> UUID | None:
    """The node that an id leads to: its own, or that of any alias in it."""
    found = place(conn, id_)
    return found.id if found else None


@dataclass(frozen=True)
class Place:
    """Where a question about a node's reach begins, and of which graph: what it says holds until one of the last two
    changes.
    """

    id: UUID
    type: str
    generation: int
    projected_at: datetime | None


def place(conn: Conn, id_: UUID) -> Place | None:
    """The place of the node that an id leads to."""
    row = conn.execute(
        """select n.id, n.type, g.generation, g.projected_at from node n, graph_state g
           where n.id = coalesce((select node_id from alias where id = %(id)s), %(id)s)""",
        {"id": id_},
    ).fetchone()
    return Place(**row) if row else None


def likely(conn: Conn, limit: int) -> list[tuple[UUID, bool]]:
    """(id, whether it is a dataset) of so many nodes that are likely to be asked about: failed and late ones, then any."""
    rows = conn.execute(
        f"""(select id, type from node n where health in ('failed', 'late') and {ON_MAP} limit %(n)s)
            union all (select id, type from node n where {ON_MAP} order by id limit %(n)s)""",
        {"n": limit},
    )
    return list(islice({r["id"]: r["type"] == "dataset" for r in rows}.items(), limit))


def get(conn: Conn, id_: UUID) -> dict[str, Any] | None:
    """The whole row of the node that an id leads to, retired ones too; None where there is none."""
    node = resolve(conn, id_)
    rows = many(conn, [node]) if node else []
    return rows[0] if rows else None


def like(text: str) -> str:
    """Text with the wildcards of LIKE taken as themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def where(filters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """SQL condition over ``node n`` and its parameters. Several values of one filter mean any of them.

    Keys: q, type, kind, system, environment, namespace, name (as sent, by any alias), owner and team (id or name,
    'none' for nobody's), tag, health, criticality, parent_id, ids, retired ('with' shows retired ones too, 'only'
    nothing else).
    """
    cond: list[str] = ["not n.standin"]
    args: dict[str, Any] = {}
    retired = filters.get("retired")
    if retired == "only":
        cond.append("n.retired_at is not null")
    elif retired != "with":
        cond.append("n.retired_at is null")
    for key in ("type", "kind", "system", "environment", "health"):
        if filters.get(key):
            cond.append(f"n.{key} = any(%({key})s)")
            args[key] = _list(filters[key])
    if filters.get("criticality"):
        cond.append("n.criticality = any(%(criticality)s)")
        args["criticality"] = [int(v) for v in _list(filters["criticality"])]
    if filters.get("tag"):
        cond.append("n.tags && %(tag)s")
        args["tag"] = _list(filters["tag"])
    for key in ("owner", "team"):
        if filters.get(key):
            cond.append(
                f"""(n.owner_id in (select id from team where id::text = any(%({key})s) or lower(name) = any(%({key})s))
                     or lower(n.owner_name) = any(%({key})s)
                     or ('none' = any(%({key})s) and n.owner_name = ''))"""
            )
            args[key] = [str(v).lower() for v in _list(filters[key])]
    if filters.get("namespace") or filters.get("name"):
        both = [k for k in ("namespace", "name") if filters.get(k)]
        match = " and ".join(f"{{t}}.{k} = any(%({k})s)" for k in both)
        cond.append(
            f"""n.id in (select a.node_id from alias a where {match.format(t="a")}
                         union select a.node_id from alias_sent s join alias a on a.id = s.alias_id
                                where {match.format(t="s")})"""
        )
        for k in both:
            args[k] = _list(filters[k])
    if filters.get("parent_id"):
        cond.append("n.parent_id = any(%(parent_id)s::uuid[])")
        args["parent_id"] = _list(filters["parent_id"])
    if filters.get("ids") is not None:
        cond.append("n.id = any(%(ids)s::uuid[])")
        args["ids"] = list(filters["ids"])
    for i, word in enumerate(str(filters.get("q") or "").lower().split()[:8]):
        cond.append(f"n.search like %(q{i})s")
        args[f"q{i}"] = f"%{like(word)}%"
    return " and ".join(cond), args


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def page(
    conn: Conn,
    filters: Mapping[str, Any],
    limit: int,
    *,
    sort: str = "name",
    descending: bool = False,
    after: tuple[Any, UUID] | None = None,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Ids (and ``key``, what they are sorted by) of one page. ``after`` is (key, id) of the last row before it."""
    cond, args = where(filters)
    expr = SORTS[sort]
    order, than = ("desc", "<") if descending else ("asc", ">")
    if after:
        kind = (
            "timestamptz" if sort == "last_seen" else "int" if sort in ("criticality", "health") else "text"
        )
        cond += f" and ({expr}, n.id) {than} (%(after_key)s::{kind}, %(after_id)s::uuid)"
        args |= {"after_key": after[0], "after_id": after[1]}
    return conn.execute(
        f"""select n.id, {expr} as key from node n where {cond}
             order by {expr} {order}, n.id {order} limit %(limit)s offset %(offset)s""",
        args | {"limit": limit, "offset": offset},
        prepare=False,
    ).fetchall()


def count(conn: Conn, filters: Mapping[str, Any]) -> int:
    cond, args = where(filters)
    row = conn.execute(f"select count(*) as n from node n where {cond}", args, prepare=False).fetchone()
    return int(row["n"]) if row else 0


#: how many rows of one kind of match are ranked; more than anybody reads, few enough to rank while one types
_RANKED = 400

#: what follows the last dot or slash: of 'shop.public.orders' people type 'orders'
_LEAF = "lower(regexp_replace(n.name, '^.*[./]', ''))"

_SEARCH = """
with hit as ({hits}), best as (select id, min(match) as match from hit group by id)
select n.id from best join node n on n.id = best.id
 order by best.match, n.criticality nulls last, n.last_seen desc, n.id limit %(limit)s"""


def search(conn: Conn, q: str, limit: int) -> list[UUID]:
    """Ids that match what is being typed, best first: a whole name before its beginning before any part of name,
    namespace, owner or tag; among equals the more critical, then the one seen last. Several words must all match.

    One or two characters match beginnings of names and whole tags, from three on any part. Of each kind of match
    some hundreds are ranked: who finds more types on.
    """
    text = " ".join(q.lower().split())[:200]
    if not text:
        return []
    args: dict[str, Any] = {
        "q": text,
        "prefix": like(text) + "%",
        "tag": [text],
        "limit": limit,
        "cap": _RANKED,
    }
    hits = [(0, f"{c} = %(q)s") for c in ("lower(n.name)", _LEAF)]
    hits += [(1, f"{c} like %(prefix)s") for c in ("lower(n.name)", _LEAF)]
    found = _found(conn, hits, args)
    words = text.split()[:8]
    if len(found) >= limit:
        return found  # whatever else matches ranks below these
    hits.append((2, "n.tags @> %(tag)s"))
    if any(len(w) >= 3 for w in words):
        hits.append((2, " and ".join(f"n.search like %(w{i})s" for i in range(len(words)))))
        args |= {f"w{i}": f"%{like(w)}%" for i, w in enumerate(words)}
    return _found(conn, hits, args)


def _found(conn: Conn, hits: list[tuple[int, str]], args: dict[str, Any]) -> list[UUID]:
    parts = " union all ".join(
        f"(select n.id, {match} as match from node n where n.retired_at is null and not n.standin and {cond} limit %(cap)s)"
        for match, cond in hits
    )
    # a generic plan cannot know that a pattern is a prefix, and would read the whole table
    return [r["id"] for r in conn.execute(_SEARCH.format(hits=parts), args, prepare=False)]


def options(conn: Conn, limit: int = 200) -> dict[str, list[dict[str, Any]]]:
    """The values that nodes on the map have in what they are filtered by, with how many have them."""
    out: dict[str, list[dict[str, Any]]] = {
        k: [] for k in ("type", "kind", "system", "environment", "tag", "team")
    }
    for r in conn.execute(
        f"""select case when grouping(n.type) = 0 then 'type' when grouping(n.kind) = 0 then 'kind'
                        when grouping(n.system) = 0 then 'system' else 'environment' end as field,
                   coalesce(n.type, n.kind, n.system, n.environment) as key, count(*) as n
              from node n where {ON_MAP}
             group by grouping sets ((n.type), (n.kind), (n.system), (n.environment))
             order by 3 desc, 2"""
    ):
        if len(out[r["field"]]) < limit:
            out[r["field"]].append({"key": r["key"], "n": r["n"]})
    out["tag"] = conn.execute(
        f"""select t as key, count(*) as n from node n, unnest(n.tags) t where {ON_MAP}
             group by t order by 2 desc, 1 limit %s""",
        (limit,),
    ).fetchall()
    out["team"] = conn.execute(
        f"""select t.id as key, t.name, count(n.id) as n from team t
              left join node n on n.owner_id = t.id and {ON_MAP}
             where t.retired_at is null group by t.id order by 3 desc, lower(t.name) limit %s""",
        (limit,),
    ).fetchall()
    return out
