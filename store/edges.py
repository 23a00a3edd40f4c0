"""Edges as people read and edit them: between nodes, each over one or more edges between aliases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from store.record import Conn

Direction = Literal["downstream", "upstream"]


def _valid(at: datetime | None) -> str:
    """Condition on edge e: it holds now, or held at %(at)s."""
    when = (
        "i.valid_to is null"
        if at is None
        else "i.valid_from <= %(at)s and (i.valid_to is null or i.valid_to > %(at)s)"
    )
    return f"exists (select 1 from edge_interval i where i.edge_id = e.id and {when})"


def _step(direction: str, at: datetime | None) -> str:
    """near, far of every edge that leaves %(ids)s in a direction."""
    near, far = ("source", "target") if direction == "downstream" else ("target", "source")
    return f"""select distinct na.node_id as near, fa.node_id as far
                 from unnest(%(ids)s::uuid[]) w(id) join alias na on na.node_id = w.id
                 join edge e on e.{near} = na.id join alias fa on fa.id = e.{far}
                where {_valid(at)} and na.node_id <> fa.node_id"""


_RANK = "n.health in ('failed', 'late') desc, n.criticality nulls last, n.last_seen desc, n.id"


def neighbours(
    conn: Conn, ids: Iterable[UUID], direction: str, at: datetime | None, shown: int, shown_bad: int
) -> list[dict[str, Any]]:
    """near, far, bad, n: of each node at most ``shown`` neighbours in a direction, failed and late ones first (of
    these up to ``shown_bad``), then the most critical, then the last seen; ``n`` is how many there are."""
    return conn.execute(
        f"""select * from (
              select s.near, s.far, n.health in ('failed', 'late') as bad,
                     row_number() over (partition by s.near order by {_RANK}) as rank,
                     count(*) over (partition by s.near) as n
                from ({_step(direction, at)}) s join node n on n.id = s.far
               where n.retired_at is null) r
             where rank <= %(shown)s or (bad and rank <= %(shown_bad)s)
             order by near, rank""",
        {"ids": list(ids), "at": at, "shown": shown, "shown_bad": shown_bad},
    ).fetchall()


def neighbour_ids(
    conn: Conn,
    node: UUID,
    direction: str,
    at: datetime | None,
    without: Iterable[UUID],
    limit: int,
    offset: int,
) -> tuple[list[UUID], int]:
    """(a page of the neighbours of one node in a direction, how many there are), but for ``without``; same order."""
    rows = conn.execute(
        f"""select n.id, count(*) over () as total
              from ({_step(direction, at)}) s join node n on n.id = s.far
             where n.retired_at is null and not n.id = any(%(without)s::uuid[])
             order by {_RANK} limit %(limit)s offset %(offset)s""",
        {"ids": [node], "at": at, "without": list(without), "limit": limit, "offset": offset},
    ).fetchall()
    return [r["id"] for r in rows], rows[0]["total"] if rows else 0


def degrees(conn: Conn, ids: Iterable[UUID], at: datetime | None) -> dict[tuple[UUID, str], int]:
    """How many neighbours each node has, by (node, direction); 0 is left out."""
    out: dict[tuple[UUID, str], int] = {}
    for direction in ("downstream", "upstream"):
        for r in conn.execute(
            f"""select s.near, count(*) as n from ({_step(direction, at)}) s join node n on n.id = s.far
                 where n.retired_at is null group by s.near""",
            {"ids": list(ids), "at": at},
        ):
            out[r["near"], direction] = r["n"]
    return out


def induced(conn: Conn, ids: Iterable[UUID], at: datetime | None) -> list[dict[str, Any]]:
    """The edges among these nodes: source, target (nodes), ids (of the alias edges below it), provenance,
    first_seen, last_seen, version."""
    return conn.execute(
        f"""with w as materialized (select a.id, a.node_id from unnest(%(ids)s::uuid[]) w(id)
                                      join alias a on a.node_id = w.id)
            select s.node_id as source, t.node_id as target, array_agg(e.id order by e.id) as ids,
                   (select array_agg(distinct p order by p)
                      from edge x, unnest(x.provenance) p where x.id = any(array_agg(e.id))) as provenance,
                   min(e.first_seen) as first_seen, max(e.last_seen) as last_seen
              from w s join edge e on e.source = s.id join w t on t.id = e.target
             where {_valid(at)} and s.node_id <> t.node_id
             group by s.node_id, t.node_id
             order by s.node_id, t.node_id""",
        {"ids": list(ids), "at": at},
    ).fetchall()
