"""Short ways to say an event and to fold it, for tests that speak of nodes and not of transport."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson

from ingest import fold
from store.record import Record

T0 = datetime(2026, 11, 1, 6, tzinfo=UTC)
_ids = itertools.count(1)
_RUNS = UUID(int=7)

Facets = dict[str, Any]


def at(minutes: float) -> str:
    return (T0 + timedelta(minutes=minutes)).isoformat()


def dataset(namespace: str, name: str, **facets: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "facets": {k: _facet(v) for k, v in facets.items()}}


def _facet(body: dict[str, Any]) -> dict[str, Any]:
    return {"_producer": "https://tests", "_schemaURL": "https://tests", **body}


def event(
    job: str,
    reads: list[dict[str, Any]] | None = None,
    writes: list[dict[str, Any]] | None = None,
    *,
    state: str = "COMPLETE",
    minute: float = 0,
    run: str | None = None,
    namespace: str = "tests",
    job_facets: Facets | None = None,
    run_facets: Facets | None = None,
) -> dict[str, Any]:
    """A run event as OpenLineage has it; ``minute`` counts from :data:`T0`."""
    return {
        "eventType": state,
        "eventTime": at(minute),
        "producer": "https://tests",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {
            "runId": str(uuid5(_RUNS, run or f"{namespace}/{job}/{minute}")),
            "facets": {k: _facet(v) for k, v in (run_facets or {}).items()},
        },
        "job": {
            "namespace": namespace,
            "name": job,
            "facets": {k: _facet(v) for k, v in (job_facets or {}).items()},
        },
        "inputs": reads or [],
        "outputs": writes or [],
    }


def producer(record: Record, name: str, environment: str | None = None) -> int:
    """The id of the producer of that name, made when missing."""
    with record.tx() as conn:
        row = conn.execute(
            "insert into producer (name, environment) values (%s, %s) on conflict (name) do update set name = excluded.name "
            "returning id",
            (name, environment),
        ).fetchone()
        assert row
        return int(row["id"])


def say(record: Record, *events: dict[str, Any], by: str = "tester", now: datetime | None = None) -> None:
    """Fold these events as one batch, as if ``by`` had sent them."""
    who = producer(record, by)
    rows = []
    for e in events:
        body = orjson.dumps(e)
        rows.append(
            {
                "id": next(_ids), "day": T0.date(), "producer_id": who, "received_at": T0, "producer": by,
                "hash": hashlib.sha256(body).digest(), "body": zlib.compress(body), "environment": None,
            }
        )  # fmt: skip
    with record.tx() as conn:
        fold.fold(conn, rows, now or T0 + timedelta(days=1))


def nodes(record: Record, type_: str | None = None) -> set[str]:
    """Names of the nodes on the map."""
    rows = record.all("select name from node where %(t)s::text is null or type = %(t)s", {"t": type_})
    return {r["name"] for r in rows}


def edges(record: Record, at_: datetime | None = None) -> set[tuple[str, str]]:
    """Pairs of node names between which an edge holds, now or at a time."""
    rows = record.all(
        """
        select distinct s.name as s, t.name as t from edge_interval i join edge e on e.id = i.edge_id
        join alias a on a.id = e.source join node s on s.id = a.node_id
        join alias b on b.id = e.target join node t on t.id = b.node_id
        where case when %(at)s::timestamptz is null then i.valid_to is null
                   else i.valid_from <= %(at)s and (i.valid_to is null or i.valid_to > %(at)s) end
        """,
        {"at": at_},
    )
    return {(r["s"], r["t"]) for r in rows}


def node(record: Record, name: str) -> dict[str, Any]:
    rows = record.all("select * from node where name = %s", (name,))
    assert len(rows) == 1, f"{len(rows)} nodes are named {name}"
    return rows[0]
