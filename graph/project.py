"""What writes the graph: nodes and edges as the record has them now, put there or taken away.

Every change goes in a transaction that first takes the fence: a projector that was thought dead and still has a
transaction on its way finds a higher epoch there, and its transaction is undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import neo4j

from graph.driver import Graph
from graph.model import GraphEdge, GraphNode, brief, line_code
from graph.schema import names

#: keys in one statement, statements in one transaction
BATCH = 1000
#: the projector's fence. Its number is that of the layout: a graph that an earlier DLV laid out has no such fence, and
#: the projector, which takes it for lost, rebuilds it
PROJECTOR = "projector-2"


#: what a node in the graph is made with, all at once: ArcadeDB scatters a record that grows after it was made, and a
#: walk then takes half as long again
_WHOLE = "{" + ", ".join(f"{k}: r.{k}" for k in ("id", "type", "tags", "facets", "line")) + "}"


class Fenced(Exception):
    """Another projector with a higher epoch has written meanwhile; ``epoch`` is its own."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"a projector with epoch {epoch} has taken over")
        self.epoch = epoch


def apply(
    graph: Graph,
    generation: int,
    nodes: Sequence[GraphNode] = (),
    gone: Sequence[UUID] = (),
    edges: Sequence[GraphEdge] = (),
    gone_edges: Sequence[GraphEdge] = (),
    *,
    epoch: int | None = None,
) -> None:
    """Put ``nodes`` and ``edges``, take ``gone`` and ``gone_edges`` away, in one transaction.

    Doing it again changes nothing. An edge one end of which is not there is left out: whoever puts that node puts
    its edges. With ``epoch`` it raises :class:`Fenced` where a higher one was here.
    """
    n = names(generation)
    remove = f"UNWIND $rows AS r MATCH (n:{n.node} {{id: r}}) DETACH DELETE n"
    change = f"UNWIND $rows AS r MATCH (n:{n.node} {{id: r.id}}) SET n += r RETURN collect(r.id) AS known"
    create = f"UNWIND $rows AS r CREATE (:{n.node} {_WHOLE})"
    between: list[tuple[str, list[Any]]] = [
        # from the consumer's side: it has few inputs, where a hub has many consumers to look through
        (
            f"UNWIND $rows AS r MATCH (b:{n.node} {{id: r[1]}})<-[e:{n.flow}]-(a:{n.node} {{id: r[0]}}) DELETE e",
            _pairs(gone_edges),
        ),
        (
            f"UNWIND $rows AS r MATCH (a:{n.node} {{id: r[0]}}) MATCH (b:{n.node} {{id: r[1]}}) "
            f"MERGE (b)<-[:{n.flow}]-(a)",
            _pairs(edges),
        ),
    ]

    def work(tx: neo4j.ManagedTransaction) -> None:
        if epoch is not None:
            _take_fence(tx, epoch)
        for ids in _batches([str(i) for i in gone]):
            tx.run(remove, rows=ids).consume()
        for rows in _batches([properties(g) for g in nodes]):
            known = set(tx.run(change, rows=rows).single(strict=True)["known"])
            new = {r["id"]: r for r in rows if r["id"] not in known}
            if new:
                tx.run(create, rows=list(new.values())).consume()
        for text, pairs in between:
            for some in _batches(pairs):
                tx.run(text, rows=some).consume()

    graph.transact(work)


def fill(
    graph: Graph,
    generation: int,
    nodes: Sequence[GraphNode] = (),
    edges: Sequence[GraphEdge] = (),
    *,
    epoch: int,
) -> None:
    """Put into a generation that only this rebuild writes what is not there yet; faster than :func:`apply`.

    Rebuilds have a fence of their own, so that a projector goes on beside one.
    """
    n = names(generation)
    statements: list[tuple[str, list[Any]]] = [
        (
            f"UNWIND $rows AS r CREATE (:{n.node} {_WHOLE})",
            [properties(g) for g in nodes],
        ),
        (
            f"UNWIND $rows AS r MATCH (a:{n.node} {{id: r[0]}}) MATCH (b:{n.node} {{id: r[1]}}) "
            f"CREATE (a)-[:{n.flow}]->(b)",
            _pairs(edges),
        ),
    ]

    def work(tx: neo4j.ManagedTransaction) -> None:
        _take_fence(tx, epoch, "rebuild")
        for text, rows in statements:
            if rows:
                tx.run(text, rows=rows).consume()

    graph.transact(work)


def incident(graph: Graph, generation: int, ids: Iterable[UUID]) -> set[tuple[UUID, UUID]]:
    """All edges the graph has at these nodes, either end."""
    n = names(generation)
    keys = [str(i) for i in ids]
    found: set[tuple[UUID, UUID]] = set()
    for i in range(0, len(keys), BATCH):
        for text in (
            f"UNWIND $keys AS k MATCH (a:{n.node} {{id: k}})-[:{n.flow}]->(b:{n.node}) "
            "RETURN collect([a.id, b.id]) AS edges",
            f"UNWIND $keys AS k MATCH (b:{n.node} {{id: k}})<-[:{n.flow}]-(a:{n.node}) "
            "RETURN collect([a.id, b.id]) AS edges",
        ):
            for a, b in graph.read(text, keys=keys[i : i + BATCH])[0]["edges"]:
                found.add((UUID(a), UUID(b)))
    return found


def reset_fence(graph: Graph) -> None:
    """Forget the highest epoch: the graph came from another record, or from a later copy of this one."""
    graph.write("MATCH (f:Fence) DETACH DELETE f")


def properties(g: GraphNode) -> dict[str, Any]:
    """What a node in the graph carries: no more than reach reads, because a walk loads it all."""
    return {
        "id": str(g.id),
        "type": g.type,
        "tags": list(g.tags),
        "facets": facets(g),
        "line": line(g),
    }


def facets(g: GraphNode) -> str:
    """What a node is counted by, in one text, '' for a stand-in (see :data:`graph.reach.FACETS`).

    With room for an owner where nobody owns it yet: most nodes get theirs later, and the record is not to grow then.
    """
    owner = g.owner.ljust(len(str(g.id)))
    return "" if g.standin else "\t".join((g.type, g.kind, g.system, g.environment, owner))


def line(g: GraphNode) -> str:
    """All that reach wants of a node in one text, as short as it can be, because ArcadeDB reads and compares one at each
    edge: d or j, the id (:func:`graph.model.brief`), a code of facets and tags (:func:`graph.model.line_code`)."""
    return f"{g.type[0]}{brief(g.id)}{line_code(facets(g), g.tags)}"


def _batches(rows: list[Any]) -> Iterable[list[Any]]:
    return (rows[i : i + BATCH] for i in range(0, len(rows), BATCH))


def _pairs(edges: Sequence[GraphEdge]) -> list[list[str]]:
    return [[str(e.source), str(e.target)] for e in edges]


def raise_fence(graph: Graph, name: str, epoch: int) -> None:
    """From now on nobody with a lower epoch writes: ``name`` is :data:`PROJECTOR` or rebuild."""
    graph.transact(lambda tx: _take_fence(tx, epoch, name))


def fence(graph: Graph) -> int | None:
    """The highest epoch that has written; None where nobody has, or the graph was lost since."""
    rows = graph.read("MATCH (f:Fence {id: $name}) RETURN f.epoch AS epoch", name=PROJECTOR)
    return int(rows[0]["epoch"]) if rows else None


def _take_fence(tx: neo4j.ManagedTransaction, epoch: int, name: str = PROJECTOR) -> None:
    """Lock the fence by writing to it, and only then read it: what is read cannot change before we commit."""
    tx.run("MERGE (f:Fence {id: $name}) SET f.held = $epoch", name=name, epoch=epoch).consume()
    row = tx.run(
        "MATCH (f:Fence {id: $name}) "
        "SET f.epoch = CASE WHEN coalesce(f.epoch, 0) < $epoch THEN $epoch ELSE f.epoch END "
        "RETURN f.epoch AS epoch",
        name=name,
        epoch=epoch,
    ).single()
    if row is None or row["epoch"] != epoch:
        raise Fenced(int(row["epoch"]) if row else 0)
