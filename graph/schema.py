"""Labels and relationship types, one pair a generation, so that a rebuild fills the next while readers use this one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from neo4j.exceptions import ClientError

from graph.driver import Graph

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
    """Remove a generation nobody reads any more, some thousands of nodes at a time; returns how many."""
    label = names(generation).node
    gone = 0
    while True:
        rows = graph.write(
            f"MATCH (n:{label}) WITH n LIMIT {DROP_BATCH} DETACH DELETE n RETURN count(*) AS n"
        )
        if not rows or not rows[0]["n"]:
            return gone
        gone += int(rows[0]["n"])


def forget(graph: Graph, generation: int) -> None:
    """Remove the indexes of a generation that was dropped; where the server cannot, they stay, empty."""
    for statement in (f"DROP CONSTRAINT n{generation}_id IF EXISTS", f"DROP INDEX f{generation}_x IF EXISTS"):
        with contextlib.suppress(ClientError):
            graph.schema(statement)
