"""Producers: what sends events, and whether it has gone quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api import cursor
from api.resource import Call, Given, Out, Page, PageQuery, Resource
from auth.roles import ADMIN, READER
from store import producers

resource = Resource("producers")

ProducerId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class ProducerOut(Out):
    id: str
    name: str
    environment: str | None
    created_at: datetime
    last_event_at: datetime | None
    last_refused_at: datetime | None = Field(description="Newest use of an expired or revoked key of its")
    expected_every: int | None = Field(
        description="Seconds; silent for longer, it is quiet. null: learnt from when its jobs run"
    )
    quiet: bool
    quiet_since: datetime | None = Field(description="Newest event before its silence; null: it is not quiet")
    quiet_reason: str | None
    connection_id: UUID | None = Field(
        description="The connection to Airflow that tells what was missed after a silence"
    )
    retired: bool = Field(
        description="Nothing more is expected from it: it is never quiet and its jobs never late"
    )


class ProducerChange(Given):
    expected_every: int | None = Field(
        None, ge=60, le=366 * 86400, description="Seconds between events at most; null: learnt"
    )
    connection_id: UUID | None = Field(None, description="A connection of kind airflow; null: none")
    retired: bool | None = Field(None, description="Nothing more is expected from it")


@resource.get("/producers", need=READER, query=PageQuery, returns=Page[ProducerOut], etag=True)
def list_producers(call: Call) -> dict[str, Any]:
    """What sends events, by name."""
    with call.dlv.record.tx() as conn:
        rows = producers.page(conn, call.query.limit + 1, cursor.text(call.query.cursor))
    more = len(rows) > call.query.limit
    rows = rows[: call.query.limit]
    return {"items": [shown(r) for r in rows], "next": cursor.encode([rows[-1]["name"]]) if more else None}


@resource.get("/producers/{id}", need=READER, returns=ProducerOut)
def get_producer(call: Call, id: ProducerId) -> dict[str, Any]:
    """One producer."""
    with call.dlv.record.tx() as conn:
        return shown(producers.get(conn, id))


@resource.patch("/producers/{id}", need=ADMIN, body=ProducerChange, returns=ProducerOut)
def edit_producer(call: Call, id: ProducerId) -> dict[str, Any]:
    """Say how often events are expected from it, where to ask after a silence, and whether more is expected at all.
    What is not named stays as it is."""
    said = call.body
    with call.dlv.record.tx() as conn:
        if "expected_every" in said.model_fields_set:
            every = None if said.expected_every is None else timedelta(seconds=said.expected_every)
            producers.expect(conn, call.actor, id, every)
        if "connection_id" in said.model_fields_set:
            producers.connect(conn, call.actor, id, said.connection_id)
        if said.retired is not None:
            producers.retire(conn, call.actor, [id], datetime.now(UTC) if said.retired else None)
        return shown(producers.get(conn, id))


def shown(row: dict[str, Any]) -> dict[str, Any]:
    every: timedelta | None = row["expected_every"]
    return row | {
        "id": str(row["id"]),
        "expected_every": None if every is None else int(every.total_seconds()),
        "quiet": row["quiet_since"] is not None,
        "retired": row["retired_at"] is not None,
    }
