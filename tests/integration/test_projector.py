from __future__ import annotations

import random
from uuid import UUID

from estates import put, random_estate

from graph import schema
from graph.driver import Graph
from store import projection
from store.record import Record
from workers import projector


def content(graph: Graph, generation: int) -> tuple[dict[str, dict[str, object]], list[tuple[UUID, UUID]]]:
    n = schema.names(generation)
    nodes = graph.read(f"MATCH (n:{n.node}) RETURN collect(properties(n)) AS nodes")[0]["nodes"]
    edges = graph.read(f"MATCH (a:{n.node})-[:{n.flow}]->(b:{n.node}) RETURN collect([a.id, b.id]) AS edges")[
        0
    ]["edges"]
    return {p.pop("id"): p for p in nodes}, sorted((UUID(a), UUID(b)) for a, b in edges)


def wanted(record: Record) -> tuple[dict[str, dict[str, object]], list[tuple[UUID, UUID]]]:
    from graph.project import properties

    with record.tx() as conn:
        nodes = [n for some in projection.all_nodes(conn, 500) for n in some]
        edges = [(e.source, e.target) for some in projection.all_edges(conn, 500) for e in some]
    return {str(n.id): properties(n) for n in nodes}, sorted(edges)


def test_smoke(record: Record, graph: Graph) -> None:
    estate = random_estate(random.Random(1), 50, 50, 200)
    with record.tx() as conn:
        put(conn, estate)
    n = 0
    while d := projector.project_once(record, graph, batch=70):
        n += d
    assert n == len(estate.nodes) + len(estate.edges)
    assert content(graph, 1) == wanted(record)
    from workers import rebuild

    rebuild.rebuild(record, graph)
    assert content(graph, 2) == wanted(record)
    assert content(graph, 1) == ({}, [])
