"""One edge: what proves it, from when to when it held, what people wrote on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import cursor as cursors
from answers import nodes
from errors import Invalid, NotFound
from store import annotations as annotation_store
from store import edges as store

if TYPE_CHECKING:
    from answers.context import Dlv


def get(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """{id, ids, source, target, source_name, target_name, standin, provenance, first_seen, last_seen, intervals,
    runs, annotations, retired_at, version}.

    Source and target are nodes. Of two halves through a stand-in job one object is given, whichever half or stand-in
    is asked for. ``runs`` are the newest that prove it.
    """
    edge = nodes.uuid_of(id_)
    with dlv.record.read() as conn:
        row = store.get(conn, edge)
        if row is None:
            raise NotFound(f"no edge has the id {edge}", field="id")
        ids = row["ids"]
        return nodes.plain(row) | {
            "intervals": [nodes.plain(r) for r in store.intervals_of(conn, ids)],
            "runs": [nodes.plain(r) for r in store.proofs(conn, ids)],
            "annotations": [nodes.plain(r) for r in annotation_store.of_edges(conn, ids)],
        }


def of_node(dlv: Dlv, node: str | UUID, limit: int = 100, cursor: str | None = None) -> dict[str, Any]:
    """{items, next}: edges at either end of a node, ended ones too, those that hold and were seen last first."""
    me = nodes.resolve(dlv, node, "node")
    offset = 0
    if cursor:
        (offset,) = cursors.decode(cursor, 1)
        if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < 1 << 31:
            raise Invalid("cursor is not one that this call gave", field="cursor")
    with dlv.record.read() as conn:
        rows = store.of_node(conn, me, limit + 1, offset)
    return {
        "items": [nodes.plain(r) for r in rows[:limit]],
        "next": cursors.encode([offset + limit]) if len(rows) > limit else None,
    }
