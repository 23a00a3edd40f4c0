"""One edge: what proves it, from when to when it held, what people wrote on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import nodes
from errors import NotFound
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
    with dlv.record.tx() as conn:
        row = store.get(conn, edge)
        if row is None:
            raise NotFound(f"no edge has the id {edge}", field="id")
        ids = row["ids"]
        return nodes.plain(row) | {
            "intervals": [nodes.plain(r) for r in store.intervals_of(conn, ids)],
            "runs": [nodes.plain(r) for r in store.proofs(conn, ids)],
            "annotations": [nodes.plain(r) for r in annotation_store.of_edges(conn, ids)],
        }
