"""Silences and maintenance windows: times in which nobody is told of what they cover."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from answers import cursor as cursors
from answers.nodes import time_of, uuid_of
from api.nodes import needed_version
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, When, if_match
from auth.roles import READER, RESPONDER
from store import silences

resource = Resource("silences")


class SilenceOut(Out):
    id: UUID
    kind: Literal["silence", "maintenance"]
    reason: str
    nodes: list[UUID]
    tags: list[str]
    teams: list[UUID]
    producers: list[int]
    starts_at: datetime
    ends_at: datetime
    repeats: Literal["", "daily", "weekly"]
    state: Literal["upcoming", "active", "over"]
    created_by: str
    created_at: datetime
    ended_at: datetime | None
    version: int


class NewSilence(Given):
    kind: Literal["silence", "maintenance"] = Field(
        "silence",
        description="maintenance is planned: checks under it end as muted, and it keeps out of uptime",
    )
    reason: Text = Field(min_length=1, max_length=500)
    nodes: list[UUID] = Field(
        [], max_length=1000, description="nodes, tags, teams and producers all empty: everything"
    )
    tags: list[Text] = Field([], max_length=200, description="Nodes with one of these tags too")
    teams: list[UUID] = Field([], max_length=200, description="Nodes of these teams too")
    producers: list[int] = Field(
        [], max_length=200, description="Incidents about one of these producers too: it is quiet, or refused"
    )
    starts_at: When | None = Field(None, description="Now where it is left out")
    ends_at: When
    repeats: Literal["", "daily", "weekly"] = Field("", description="The same window again")


class SilenceChange(Given):
    kind: Literal["silence", "maintenance"] | None = None
    reason: Text | None = Field(None, min_length=1, max_length=500)
    nodes: list[UUID] | None = None
    tags: list[Text] | None = None
    teams: list[UUID] | None = None
    producers: list[int] | None = None
    starts_at: When | None = None
    ends_at: When | None = None
    repeats: Literal["", "daily", "weekly"] | None = None
    version: int | None = Field(None, description="Instead of If-Match")


class SilenceQuery(PageQuery):
    over: bool = Field(False, description="Those that have ended too")


@resource.get("/silences", need=READER, query=SilenceQuery, returns=Page[SilenceOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Silences and maintenance windows, the last to begin first."""
    q = call.query
    after = None
    if q.cursor:
        at, id_ = cursors.decode(q.cursor, 2)
        after = (time_of(at, "cursor"), uuid_of(id_, "cursor"))
    with call.dlv.record.tx() as conn:
        rows = silences.page(conn, over=q.over, limit=q.limit + 1, after=after)
    items = rows[: q.limit]
    more = len(rows) > q.limit
    return {
        "items": items,
        "next": cursors.encode([items[-1]["starts_at"].isoformat(), str(items[-1]["id"])]) if more else None,
    }


@resource.post("/silences", need=RESPONDER, body=NewSilence, returns=SilenceOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """Be quiet about something for a while. It still opens incidents; who is open at the end is told of then."""
    said = {k: v for k, v in call.body.model_dump().items() if v is not None}
    with call.dlv.record.tx() as conn:
        return silences.create(conn, call.actor, said)


@resource.get("/silences/{id}", need=READER, returns=SilenceOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One silence."""
    with call.dlv.record.tx() as conn:
        return silences.get(conn, id)


@resource.patch("/silences/{id}", need=RESPONDER, body=SilenceChange, returns=SilenceOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Change a silence that was not ended. What it kept back is looked at again."""
    version = needed_version(call.body.version)
    said = call.body.model_dump(exclude_unset=True)
    with call.dlv.record.tx() as conn:
        return silences.edit(
            conn, call.actor, id, {k: v for k, v in said.items() if k != "version" and v is not None}, version
        )


@resource.delete("/silences/{id}", need=RESPONDER, returns=SilenceOut)
def end(call: Call, id: UUID) -> dict[str, Any]:
    """End it now. People are told of what it kept back and is still open."""
    with call.dlv.record.tx() as conn:
        return silences.end(conn, call.actor, id, if_match())
