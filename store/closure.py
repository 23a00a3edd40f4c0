"""Reach as of a date, from the record: breadth-first over the intervals of edges, by the same rules as the graph.

Names are joined to nodes as they are now; an edge between two nodes held at a time if any edge between their
aliases did. A node that was retired by then is not there, and nothing leads through it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any
from uuid import UUID

from graph.model import Direction, Filters, Reach, edges_of, hop_of
from store.record import Conn

#: steps that are asked one by one; a longer way (a ring of a thousand) is fetched whole and walked in memory
STEPS = 32


def closure_as_of(
    conn: Conn, node_id: UUID, direction: Direction, at: datetime, max_edges: int | None = None
) -> list[tuple[UUID, int]]:
    """(node, fewest edges to it) of everything a node led to, or came from, at a time, nearest first; stand-in jobs
    too, the node itself never.
    """
    found: dict[UUID, int] = {node_id: 0}
    here = conn.execute(
        "select 1 from node where id = %s and (retired_at is null or retired_at > %s)", (node_id, at)
    ).fetchone()
    frontier = [node_id] if here else []
    length = 0
    while frontier and length < STEPS and (max_edges is None or length < max_edges):
        length += 1
        frontier = [n for n in _step(conn, frontier, direction, at) if n not in found]
        found |= dict.fromkeys(frontier, length)
    if frontier and (max_edges is None or length < max_edges):
        _walk(_edges_beyond(conn, frontier, direction, at), frontier, found, length, max_edges)
    del found[node_id]
    return sorted(found.items(), key=lambda f: (f[1], f[0]))


def _walk(
    out: dict[UUID, list[UUID]],
    frontier: list[UUID],
    found: dict[UUID, int],
    length: int,
    max_edges: int | None,
) -> None:
    while frontier and (max_edges is None or length < max_edges):
        length += 1
        frontier = list(dict.fromkeys(t for n in frontier for t in out.get(n, ()) if t not in found))
        found |= dict.fromkeys(frontier, length)


def _arrow(direction: Direction) -> tuple[str, str]:
    return ("source", "target") if direction == "downstream" else ("target", "source")


_HELD = """exists (select 1 from edge_interval i where i.edge_id = e.id
                    and i.valid_from <= %(at)s and (i.valid_to is null or %(at)s < i.valid_to))"""


def _step(conn: Conn, frontier: list[UUID], direction: Direction, at: datetime) -> list[UUID]:
    near, far = _arrow(direction)
    rows = conn.execute(
        f"""select distinct n.id from alias a join edge e on e.{near} = a.id join alias b on b.id = e.{far}
              join node n on n.id = b.node_id and (n.retired_at is null or n.retired_at > %(at)s)
             where a.node_id = any(%(f)s) and {_HELD}""",
        {"f": frontier, "at": at},
    )
    return [r["id"] for r in rows]


def _edges_beyond(
    conn: Conn, frontier: list[UUID], direction: Direction, at: datetime
) -> dict[UUID, list[UUID]]:
    """All edges, near → far, of everything the frontier leads to: a closure by UNION, which ends in rings too."""
    near, far = _arrow(direction)
    rows = conn.execute(
        f"""with recursive c(id) as (
                select unnest(%(f)s::uuid[])
              union
                select n.id from c join alias a on a.node_id = c.id join edge e on e.{near} = a.id
                  join alias b on b.id = e.{far}
                  join node n on n.id = b.node_id and (n.retired_at is null or n.retired_at > %(at)s)
                 where {_HELD})
            select c.id as near, array_agg(distinct n.id) as far
              from c join alias a on a.node_id = c.id join edge e on e.{near} = a.id
              join alias b on b.id = e.{far}
              join node n on n.id = b.node_id and (n.retired_at is null or n.retired_at > %(at)s)
             where {_HELD} group by c.id""",
        {"f": frontier, "at": at},
    )
    out: dict[UUID, list[UUID]] = defaultdict(list)
    for r in rows:
        out[r["near"]] = r["far"]
    return out


def impact(
    conn: Conn,
    node: UUID,
    from_dataset: bool,
    direction: Direction,
    depth: int | None,
    filters: Filters | None,
    at: datetime,
    limit: int,
    after: tuple[int, UUID] | None = None,
) -> Reach:
    """As :func:`graph.reach.impact`, as of a time; nodes are filtered and counted by what they are now."""
    steps = None if depth is None else edges_of(depth, from_dataset)
    lengths = dict(closure_as_of(conn, node, direction, at, steps))
    found = []
    for n in _wanted(conn, lengths, filters or Filters()):
        found.append((hop_of(lengths[n["id"]], from_dataset), n["id"], n))
    found.sort(key=lambda f: f[:2])
    page = [f for f in found if after is None or f[:2] > after]
    return Reach(
        total=len(found),
        items=[(i, hop) for hop, i, _ in page[:limit]],
        by_hop=dict(Counter(hop for hop, _, _ in found)),
        by_kind=dict(Counter(n["kind"] for _, _, n in found)),
        by_system=dict(Counter(n["system"] for _, _, n in found)),
        by_owner=dict(Counter(n["owner"] for _, _, n in found)),
        cut=len(page) > limit,
    )


def _wanted(conn: Conn, ids: Iterable[UUID], filters: Filters) -> list[dict[str, Any]]:
    conditions = ["not n.standin"]
    params: dict[str, Any] = {"ids": list(ids)}
    for f in fields(filters):
        values = getattr(filters, f.name)
        if not values:
            continue
        params[f.name] = list(values)
        if f.name == "tag":
            conditions.append("n.tags && %(tag)s::text[]")
        elif f.name == "owner":
            conditions.append("coalesce(n.owner_id::text, '') = any(%(owner)s)")
        else:
            conditions.append(f"n.{f.name} = any(%({f.name})s)")
    return conn.execute(
        f"""select n.id, n.kind, n.system, coalesce(n.owner_id::text, '') as owner
              from unnest(%(ids)s::uuid[]) w(id) join node n on n.id = w.id where {" and ".join(conditions)}""",
        params,
    ).fetchall()
