"""From the record to the graph: read what is marked as it is now, write it, remove the marks that did not move.

There is one projector at a time, under an advisory lock. Killed at any moment it leaves marks, never a gap: a mark
goes only after the graph has what the record had when, or after, the mark was read. A transaction of a killed one
that is still on its way to the graph is undone there by the fence (:mod:`graph.project`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from errors import GraphAway
from graph import project, schema
from graph.driver import Graph
from graph.model import GraphEdge, GraphNode
from store import dirty, projection
from store.record import Conn, Record

log = logging.getLogger("dlv.projector")

#: marks brought over at a time
BATCH = 1000


def project_once(record: Record, graph: Graph, *, batch: int = BATCH) -> int:
    """Bring one batch of marks into the graph; returns how many marks were worked on, 0 where there was nothing to do
    or another projector does it. :class:`errors.GraphAway` where the graph does not answer: the marks stay.

    A graph that was lost, or that belongs to another or a later copy of the record, is rebuilt.
    """
    try:
        return _project(record, graph, batch)
    except project.Fenced as e:
        log.warning("stopped writing: %s", e)
        return 0
    except GraphAway:
        with record.tx() as conn:
            dirty.away(conn)
        raise


def _project(record: Record, graph: Graph, batch: int) -> int:
    with record.tx() as held:
        if not dirty.hold_projector(held):
            return 0
        state = dirty.state(held)
        if state["rebuild"] is not None and dirty.hold_rebuild(held):
            log.warning("a rebuild ended before it was done; readers keep the generation they had")
            dirty.rebuilding(held, None)
            state["rebuild"] = None
        said, change = read(record, batch)
        if not said:
            if state["away_since"] is not None and graph.check() is None:
                dirty.back(held)
            return 0
        if _is_ours(graph, state):
            change.write(graph, state["generation"], dirty.epoch(held))
            dirty.clear(held, said, redo=state["rebuild"] is not None)
            dirty.caught_up(held)
            return len(said)
    from workers.rebuild import rebuild

    log.warning("the graph is not the one of this record; rebuilding it")
    rebuild(record, graph)
    return len(said)


def _is_ours(graph: Graph, state: Mapping[str, Any]) -> bool:
    """Whether the graph is the one this record was projected to; where nothing ever was, an empty one is made."""
    if state["projected_at"] is None:
        schema.drop(graph, state["generation"])
        schema.prepare(graph, state["generation"])
        project.reset_fence(graph)
        return True
    highest = project.fence(graph)
    return highest is not None and highest <= state["last"]


@dataclass(frozen=True)
class Change:
    """What a batch of marks comes to. ``around``: nodes all edges of which are put right, not only those in hand."""

    nodes: list[GraphNode]
    gone: list[UUID]
    edges: set[GraphEdge]
    gone_edges: set[GraphEdge]
    around: list[UUID]

    def write(self, graph: Graph, generation: int, epoch: int) -> None:
        """In one transaction, so that a reader sees all of it or nothing."""
        there = {GraphEdge(a, b) for a, b in project.incident(graph, generation, self.around)}
        project.apply(
            graph,
            generation,
            self.nodes,
            self.gone,
            sorted(self.edges - there, key=_order),
            sorted(self.gone_edges | (there - self.edges), key=_order),
            epoch=epoch,
        )


def read(record: Record, batch: int) -> tuple[dirty.Claim, Change]:
    """Marks and what they mark, as of one moment."""
    with record.tx() as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        said = dirty.claim(conn, batch)
        return said, change(conn, said)


def change(conn: Conn, said: dirty.Claim) -> Change:
    """What these marks come to now. A marked node brings all its edges: after a merge or a split their ends moved."""
    if not said:
        return Change([], [], set(), set(), [])
    nodes = projection.nodes(conn, said.nodes) if said.nodes else []
    here = {n.id for n in nodes}
    gone = [n for n in said.nodes if n not in here]
    pairs = projection.pairs_of(conn, said.edges) if said.edges else set()
    holding = projection.holding(conn, pairs) if pairs else set()
    around = projection.incident(conn, here) if here else set()
    return Change(nodes, gone, holding | around, pairs - holding, sorted(here))


def _order(e: GraphEdge) -> tuple[UUID, UUID]:
    return e.target, e.source
