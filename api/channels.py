"""Channels: where people are told. Secrets go in and never come out."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from alerts import channels
from answers import cursor as cursors
from answers.nodes import uuid_of
from api.nodes import needed_version
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, if_match
from auth.roles import ADMIN
from store import channels as store

resource = Resource("channels")


class Tested(Out):
    ok: bool
    message: str = Field(description="What the receiver said, or why it could not be reached")
    hint: str
    at: datetime | None = None


class Newest(Out):
    status: str
    at: datetime | None
    error: str


class ChannelOut(Out):
    id: UUID
    name: str
    kind: str
    fields: dict[str, Any] = Field(description="What is no secret")
    secrets: list[str] = Field(description="Names of the secrets that are set")
    rules: list[str] = Field(description="Names of the rules that tell it")
    waiting: int = Field(description="Messages that are not delivered yet")
    newest: Newest | None = Field(description="The newest message that ended")
    last_test: Tested | None
    created_at: datetime
    retired_at: datetime | None
    version: int


class NewChannel(Given):
    name: Text = Field(min_length=1, max_length=120)
    kind: Text = Field(max_length=40, description="email, slack, webhook or pagerduty")
    fields: dict[str, Any] = Field({}, description="As docs/alerts.md names them for each kind")
    secrets: dict[str, Any] = Field({}, description="Kept sealed, never shown again")


class ChannelChange(Given):
    name: Text | None = Field(None, min_length=1, max_length=120)
    fields: dict[str, Any] | None = Field(None, description="Only those that change")
    secrets: dict[str, Any] | None = Field(None, description="Only those that change; null takes one away")
    version: int | None = Field(None, description="Instead of If-Match")


class ChannelQuery(PageQuery):
    retired: bool = Field(False, description="Removed channels too")


def shape(row: dict[str, Any]) -> dict[str, Any]:
    """A channel as it is shown: of secrets only the names."""
    keys = ("id", "name", "kind", "fields", "rules", "waiting", "newest", "last_test", "created_at", "retired_at", "version")  # fmt: skip
    return {k: row[k] for k in keys} | {"secrets": sorted(row["secrets"])}


@resource.get("/channels", need=ADMIN, query=ChannelQuery, returns=Page[ChannelOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Channels by name, with how their deliveries go."""
    q = call.query
    after = None
    if q.cursor:
        name, id_ = cursors.decode(q.cursor, 2)
        after = (str(name), uuid_of(id_, "cursor"))
    with call.dlv.record.tx() as conn:
        rows = store.page(conn, retired=q.retired, limit=q.limit + 1, after=after)
    items = rows[: q.limit]
    more = len(rows) > q.limit
    return {
        "items": [shape(r) for r in items],
        "next": cursors.encode([items[-1]["name"].lower(), str(items[-1]["id"])]) if more else None,
    }


@resource.post("/channels", need=ADMIN, body=NewChannel, returns=ChannelOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A new channel. Nothing is sent to it before a rule names it or somebody tests it."""
    b = call.body
    with call.dlv.record.tx() as conn:
        return shape(
            channels.create(conn, call.dlv.settings, call.actor, b.name, b.kind, b.fields, b.secrets)
        )


@resource.get("/channels/{id}", need=ADMIN, returns=ChannelOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One channel."""
    with call.dlv.record.tx() as conn:
        return shape(store.get(conn, id))


@resource.patch("/channels/{id}", need=ADMIN, body=ChannelChange, returns=ChannelOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Change a channel. Where its secrets are sent to changes only with the secrets written again."""
    b = call.body
    version = needed_version(b.version)
    with call.dlv.record.tx() as conn:
        row = channels.edit(
            conn, call.dlv.settings, call.actor, id, name=b.name, fields=b.fields, given=b.secrets, version=version,
        )  # fmt: skip
        return shape(row)


@resource.delete("/channels/{id}", need=ADMIN, returns=ChannelOut)
def retire(call: Call, id: UUID) -> dict[str, Any]:
    """Remove a channel; 409 while a rule names it. Its deliveries stay in the log."""
    with call.dlv.record.tx() as conn:
        return shape(store.retire(conn, call.actor, id, if_match()))


@resource.post("/channels/{id}/test", need=ADMIN, returns=Tested)
def test(call: Call, id: UUID) -> dict[str, Any]:
    """Send a test message now, and say what the receiver answered. It is in the delivery log too."""
    return channels.test(call.dlv.record, call.dlv.settings, call.actor, id)
