"""The delivery log: who was told what, and what became of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from answers import cursor as cursors
from api.resource import Call, Out, Page, PageQuery, Resource
from auth.roles import ADMIN, READER
from errors import Invalid
from store import notifications

resource = Resource("notifications")

Status = Literal["pending", "delivered", "failed", "silenced", "superseded"]


class NotificationOut(Out):
    id: UUID
    incident_id: UUID | None = Field(description="null: a test")
    number: int | None
    title: str | None
    channel_id: UUID
    channel_name: str
    channel_kind: str
    rule_id: UUID | None
    rule_name: str | None
    event: str = Field(description="trigger, update, acknowledge, remind, resolve or test")
    loud: bool
    status: Status
    attempts: int
    error: str = Field(description="What the last try was told")
    answer: str = Field(description="What the receiver said when it took it")
    created_at: datetime
    next_try_at: datetime | None
    ended_at: datetime | None


class NotificationQuery(PageQuery):
    incident: UUID | None = None
    channel: UUID | None = None
    status: list[Status] = []


def shape(row: dict[str, Any]) -> dict[str, Any]:
    return {k: row[k] for k in NotificationOut.model_fields}


@resource.get(
    "/notifications", need=READER, query=NotificationQuery, returns=Page[NotificationOut], etag=True
)
def page(call: Call) -> dict[str, Any]:
    """Messages, the newest first."""
    q = call.query
    before = None
    if q.cursor:
        (before,) = cursors.decode(q.cursor, 1)
        if not isinstance(before, int) or isinstance(before, bool) or not 0 <= before < 1 << 62:
            raise Invalid("cursor is not one that this call gave", field="cursor")
    with call.dlv.record.tx() as conn:
        rows = notifications.page(
            conn,
            incident=q.incident,
            channel=q.channel,
            status=list(q.status),
            limit=q.limit + 1,
            before=before,
        )
    items = rows[: q.limit]
    return {
        "items": [shape(r) for r in items],
        "next": cursors.encode([items[-1]["seq"]]) if len(rows) > q.limit else None,
    }


@resource.get("/notifications/{id}", need=READER, returns=NotificationOut)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One message."""
    with call.dlv.record.tx() as conn:
        return shape(notifications.get(conn, id))


@resource.post("/notifications/{id}/retry", need=ADMIN, returns=NotificationOut)
def retry(call: Call, id: UUID) -> dict[str, Any]:
    """Send a message that waits or was given up now."""
    with call.dlv.record.tx() as conn:
        return shape(notifications.retry(conn, call.actor, id))
