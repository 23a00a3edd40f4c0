"""Why a node is bad or at risk: its failed and late ancestors, roots first, each with the way it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import nodes, status
from graph import reach
from store import runs
from store import standing as record_of

if TYPE_CHECKING:
    from answers.context import Dlv

#: causes that are described with their path; more than anybody reads
SHOWN = 50


def causes(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """{node, total, items: [{…node, root, hop, path: [node id], error, log_url, run_id}], cut}.

    Items are failed and late ancestors, roots first, then the nearest. ``path`` leads from the cause to the node,
    both included. ``error`` is the first line of what went wrong. A cycle is one root, its earliest.
    """
    node = nodes.get(dlv, id_)
    me = UUID(node["id"])
    now = status.standing(dlv)
    with dlv.record.read() as conn:
        generation = record_of.graph_state(conn)["generation"]
        bad = [r["id"] for r in record_of.bad(conn) if r["id"] != me]
    hops = dict(reach.ancestors_among(dlv.graph, generation, me, bad)) if bad else {}
    hops.pop(me, None)
    roots = now.roots or frozenset()
    order = sorted(hops, key=lambda n: (n not in roots, hops[n], str(n)))
    whole = nodes.many(dlv, order[:SHOWN])
    with dlv.record.read() as conn:
        errors = runs.last_errors(conn, order[:SHOWN])
    items = []
    for n in whole:
        key = UUID(n["id"])
        path = reach.shortest(dlv.graph, generation, key, me)
        said = errors.get(key, {})
        items.append(
            n
            | {
                "root": key in roots,
                "hop": hops[key],
                "path": [str(p) for p in path],
                "error": said.get("error") or n["health_reason"],
                "log_url": said.get("log_url"),
                "run_id": said.get("run_id"),
            }
        )
    return {"node": node, "total": len(order), "items": items, "cut": len(order) > SHOWN}
