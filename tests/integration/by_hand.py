"""Small estates for tests, written through the store as the fold and the forms write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from ingest import ids
from store import edges as edge_store  # noqa: F401 - the tests reach it from here
from store import intervals, node_edits
from store.audit import Actor
from store.record import Conn

ADMIN = Actor("user", "0", "ada", "127.0.0.1")
SEEN = datetime.now(UTC) - timedelta(hours=1)


def node(conn: Conn, name: str, type_: str = "dataset", **fields: Any) -> UUID:
    """A node by hand; the name says what it is, namespace and the rest have defaults."""
    base = {
        "type": type_,
        "kind": "table" if type_ == "dataset" else "task",
        "system": "postgres" if type_ == "dataset" else "airflow",
        "environment": "default",
        "namespace": "postgres://shop:5432" if type_ == "dataset" else "airflow",
        "name": name,
    }
    said = base | fields
    return node_edits.create(conn, ADMIN, said, (said["namespace"], said["name"]))


def seen(
    conn: Conn, source: UUID, target: UUID, *, first: datetime = SEEN, last: datetime | None = None
) -> UUID:
    """An observed edge between two nodes, proved by a run that is not kept."""
    edge = ids.edge_id(source, target)
    conn.execute(
        """insert into edge (id, source, target, provenance, first_seen, last_seen)
           values (%s, %s, %s, '{openlineage}', %s, %s) on conflict (id) do nothing""",
        (edge, source, target, first, last or first),
    )
    conn.execute(
        "insert into edge_run (edge_id, run_key, provenance, first_at, last_at) values (%s, %s, 'openlineage', %s, %s)",
        (edge, ids.run_key(target, f"{edge}"), first, last or first),
    )
    intervals.recompute(conn, {edge})
    return edge


def chain(conn: Conn, *names: str) -> dict[str, UUID]:
    """Nodes in a row, datasets and jobs in turn, each leading to the next."""
    out = {n: node(conn, n, "job" if i % 2 else "dataset") for i, n in enumerate(names)}
    for a, b in pairwise(names):
        seen(conn, out[a], out[b])
    return out


def sick(
    conn: Conn, id_: UUID, health: str = "failed", *, since: datetime = SEEN, reason: str = "boom"
) -> None:
    conn.execute(
        "update node set health = %s, health_since = %s, health_reason = %s where id = %s",
        (health, since, reason, id_),
    )


def project(record: Any, graph: Any) -> None:
    """All of the record into an empty graph, as a rebuild does."""
    from graph import project as into
    from graph import schema
    from store import projection
    from store.standing import graph_state

    with record.tx() as conn:
        generation = graph_state(conn)["generation"]
        # in parts, as a rebuild does: what one transaction holds is in the engine's memory as a whole
        nodes = list(projection.all_nodes(conn, 5000))
        edges = list(projection.all_edges(conn, 5000))
    schema.prepare(graph, generation)
    for some in nodes:
        into.apply(graph, generation, some)
    for some_edges in edges:
        into.apply(graph, generation, edges=some_edges)
    with record.tx() as conn:
        conn.execute("update graph_state set projected_at = clock_timestamp()")
