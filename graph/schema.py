"""Labels and relationship types, one pair a generation, so that a rebuild fills the next while readers use this one."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

from neo4j.exceptions import ClientError

from errors import GraphAway
from graph.driver import REST_SECONDS, Graph

#: nodes removed in one transaction when a generation is dropped
DROP_BATCH = 2000


@dataclass(frozen=True)
class Names:
    """What a generation is called in Cypher. Built from a number only, so it may be put into a text."""

    node: str
    flow: str


def names(generation: int) -> Names:
    n = int(generation)
    return Names(f"N{n}", f"F{n}")


def prepare(graph: Graph, generation: int) -> None:
    """Make the indexes of a generation where they are missing. The relationship index also creates the type, which
    ArcadeDB must know before a path can follow it; nothing is ever stored in it.
    """
    n = names(generation)
    graph.schema(f"CREATE CONSTRAINT n{generation}_id IF NOT EXISTS FOR (n:{n.node}) REQUIRE n.id IS UNIQUE")
    graph.schema(f"CREATE INDEX f{generation}_x IF NOT EXISTS FOR ()-[e:{n.flow}]-() ON (e.x)")
    graph.schema("CREATE CONSTRAINT fence_id IF NOT EXISTS FOR (f:Fence) REQUIRE f.id IS UNIQUE")


def size(graph: Graph, generation: int) -> tuple[int, int]:
    """How many nodes and edges a generation has."""
    n = names(generation)
    nodes = graph.read(f"MATCH (n:{n.node}) RETURN count(n) AS n")[0]["n"]
    edges = graph.read(f"MATCH (:{n.node})-[e:{n.flow}]->(:{n.node}) RETURN count(e) AS n")[0]["n"]
    return int(nodes), int(edges)


def drop(graph: Graph, generation: int) -> int:
    """Remove a generation nobody reads any more, some thousands of nodes at a time; returns how many.

    A hub with tens of thousands of edges can take longer than the server lets one statement last: then the edges go
    first, some at a time, which takes longer in all.
    """
    n = names(generation)
    nodes = f"MATCH (n:{n.node}) WITH n LIMIT {DROP_BATCH} DETACH DELETE n RETURN count(*) AS n"
    try:
        return _until_none(graph, nodes)
    except GraphAway:
        time.sleep(REST_SECONDS)
        _until_none(
            graph,
            f"MATCH (:{n.node})-[e:{n.flow}]->(:{n.node}) WITH e LIMIT {DROP_BATCH} DELETE e RETURN count(*) AS n",
        )
        return _until_none(graph, nodes)


def _until_none(graph: Graph, text: str) -> int:
    gone = 0
    while (rows := graph.write(text)) and rows[0]["n"]:
        gone += int(rows[0]["n"])
    return gone


def forget(graph: Graph, generation: int) -> None:
    """Remove the indexes of a generation that was dropped; where the server cannot, they stay, empty."""
    for statement in (f"DROP CONSTRAINT n{generation}_id IF EXISTS", f"DROP INDEX f{generation}_x IF EXISTS"):
        with contextlib.suppress(ClientError):
            graph.schema(statement)
