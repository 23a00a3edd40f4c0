"""How data gets from one node to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import nodes
from graph import reach
from store import standing as record_of

if TYPE_CHECKING:
    from answers.context import Dlv

MAX_PATHS = 100


def between(dlv: Dlv, a: str | UUID, b: str | UUID, limit: int = 10) -> dict[str, Any]:
    """{from, to, paths: [[node id]], nodes, cut}, shortest first; no path: an empty list. ``nodes`` are all nodes on
    these paths, stand-in jobs left out of both."""
    start, end = nodes.resolve(dlv, a, "from"), nodes.resolve(dlv, b, "to")
    limit = max(1, min(limit, MAX_PATHS))
    found: list[list[UUID]] = []
    cut = False
    if start != end:
        with dlv.record.read() as conn:
            generation = record_of.graph_state(conn)["generation"]
        said = reach.paths(dlv.graph, generation, start, end, limit)
        found, cut = said.paths, said.cut
    whole = {n["id"]: n for n in nodes.many(dlv, dict.fromkeys(n for p in found for n in p))}
    shown = {i for i, n in whole.items() if not n["standin"]}
    return {
        "from": str(start),
        "to": str(end),
        "paths": [[str(n) for n in p if str(n) in shown] for p in found],
        "nodes": [whole[i] for i in whole if i in shown],
        "cut": cut,
    }
