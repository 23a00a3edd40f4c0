"""Producers: what sends events, and whether it has gone quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

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
        description="Seconds; silent for longer, it is quiet. null: not watched"
    )
    quiet: bool


class ProducerChange(Given):
    expected_every: int | None = Field(
        ge=60, le=366 * 86400, description="Seconds between events at most; null stops watching"
    )


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
    """Say how often events are expected from it."""
    every = call.body.expected_every
    with call.dlv.record.tx() as conn:
        return shown(
            producers.expect(conn, call.actor, id, None if every is None else timedelta(seconds=every))
        )


def shown(row: dict[str, Any]) -> dict[str, Any]:
    every: timedelta | None = row["expected_every"]
    last = row["last_event_at"] or row["created_at"]
    return row | {
        "id": str(row["id"]),
        "expected_every": None if every is None else int(every.total_seconds()),
        "quiet": every is not None and datetime.now(UTC) - last > every,
    }
