"""The record as the graph should show it: nodes on the map and the node-level edges that hold now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from graph.model import GraphEdge, GraphNode
from store.record import Conn

_NODE = """select n.id, n.type, n.kind, n.system, n.environment, n.owner_id, n.tags, n.criticality, n.standin
             from node n"""

#: an edge between nodes exists while any edge between their aliases has an open interval and both are on the map
_HOLDS = """exists (select 1 from edge_interval i where i.edge_id = e.id and i.valid_to is null)
              and e.retired_at is null and sn.retired_at is null and tn.retired_at is null
              and sn.id <> tn.id"""


def nodes(conn: Conn, ids: Iterable[UUID]) -> list[GraphNode]:
    """Those of these nodes that are on the map; the others are retired, or were joined to another."""
    rows = conn.execute(f"{_NODE} where n.id = any(%s) and n.retired_at is null", (list(ids),))
    return [_graph_node(r) for r in rows]


def pairs_of(conn: Conn, edge_ids: Iterable[UUID]) -> set[GraphEdge]:
    """Between which nodes these edges between aliases lie, whether they hold or not."""
    rows = conn.execute(
        """select distinct s.node_id as source, t.node_id as target from edge e
             join alias s on s.id = e.source join alias t on t.id = e.target where e.id = any(%s)""",
        (list(edge_ids),),
    )
    return {GraphEdge(r["source"], r["target"]) for r in rows}


def holding(conn: Conn, pairs: Iterable[GraphEdge]) -> set[GraphEdge]:
    """Those of these node-level edges that hold now."""
    wanted = list(pairs)
    rows = conn.execute(
        f"""select distinct sn.id as source, tn.id as target
              from unnest(%s::uuid[], %s::uuid[]) as p(source, target)
              join node sn on sn.id = p.source join node tn on tn.id = p.target
              join alias s on s.node_id = p.source join edge e on e.source = s.id
              join alias t on t.id = e.target and t.node_id = p.target
             where {_HOLDS}""",
        ([p.source for p in wanted], [p.target for p in wanted]),
    )
    return {GraphEdge(r["source"], r["target"]) for r in rows}


def incident(conn: Conn, node_ids: Iterable[UUID]) -> set[GraphEdge]:
    """All node-level edges that hold now at these nodes."""
    rows = conn.execute(
        f"""select sn.id as source, tn.id as target from edge e
              join alias s on s.id = e.source join alias t on t.id = e.target
              join node sn on sn.id = s.node_id join node tn on tn.id = t.node_id
             where e.id in (select x.id from alias a join edge x on x.source = a.id where a.node_id = any(%(n)s)
                      union select x.id from alias a join edge x on x.target = a.id where a.node_id = any(%(n)s))
               and {_HOLDS}""",
        {"n": list(node_ids)},
    )
    return {GraphEdge(r["source"], r["target"]) for r in rows}


def size(conn: Conn) -> tuple[int, int]:
    """How many nodes, and about how many edges, the graph will have."""
    row = conn.execute(
        """select (select count(*) from node where retired_at is null) as nodes,
                  (select count(*) from edge_interval where valid_to is null) as edges"""
    ).fetchone()
    assert row
    return int(row["nodes"]), int(row["edges"])


def all_nodes(conn: Conn, batch: int) -> Iterator[list[GraphNode]]:
    """Every node on the map, some at a time; memory stays small however many there are."""
    for rows in _batches(conn, f"{_NODE} where n.retired_at is null", batch):
        yield [_graph_node(r) for r in rows]


def all_edges(conn: Conn, batch: int) -> Iterator[list[GraphEdge]]:
    """Every node-level edge that holds now, once, some at a time."""
    query = f"""select distinct sn.id as source, tn.id as target from edge e
                  join alias s on s.id = e.source join alias t on t.id = e.target
                  join node sn on sn.id = s.node_id join node tn on tn.id = t.node_id
                 where {_HOLDS}"""
    for rows in _batches(conn, query, batch):
        yield [GraphEdge(r["source"], r["target"]) for r in rows]


def _batches(conn: Conn, query: str, batch: int) -> Iterator[list[dict[str, Any]]]:
    with conn.cursor(name="projection") as cur:
        cur.execute(query)
        while rows := cur.fetchmany(batch):
            yield rows


def _graph_node(r: dict[str, Any]) -> GraphNode:
    return GraphNode(
        id=r["id"],
        type=r["type"],
        kind=r["kind"],
        system=r["system"],
        environment=r["environment"],
        owner=str(r["owner_id"] or ""),
        tags=tuple(r["tags"]),
        criticality=r["criticality"] or 0,
        standin=r["standin"],
    )
