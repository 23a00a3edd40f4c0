"""Teams: people, channels, and what they own by pattern."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from answers import cursor as cursors
from answers.nodes import uuid_of
from api.nodes import needed_version
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, if_match
from auth.roles import ADMIN, READER
from store import teams

resource = Resource("teams")


class Person(Given):
    name: Text = ""
    email: Text = ""


class Channel(Given):
    kind: Text
    target: Text


class TeamOut(Out):
    id: UUID
    name: str
    description: str
    people: list[dict[str, str]]
    channels: list[dict[str, str]]
    patterns: list[str] = Field(description="Globs over namespace/name: the team owns what they match")
    owned: int
    retired_at: datetime | None
    version: int


class NewTeam(Given):
    name: Text = Field(min_length=1, max_length=120)
    description: Text = Field("", max_length=5000)
    people: list[Person] = Field([], max_length=200)
    channels: list[Channel] = Field([], max_length=200)
    patterns: list[Text] = Field([], max_length=200)


class TeamChange(Given):
    name: Text | None = Field(None, min_length=1, max_length=120)
    description: Text | None = Field(None, max_length=5000)
    people: list[Person] | None = None
    channels: list[Channel] | None = None
    patterns: list[Text] | None = None
    retired: bool | None = None
    version: int | None = Field(None, description="Instead of If-Match")


class Patterns(Given):
    patterns: list[Text] = Field(max_length=200, description="Globs over namespace/name")


class Match(Out):
    pattern: str
    nodes: int = Field(description="Nodes on the map that it matches, whoever owns them")


class Matches(Out):
    items: list[Match]


class TeamQuery(PageQuery):
    q: Text = Field("", max_length=120)
    retired: bool = Field(False, description="Retired teams too")


@resource.get("/teams", need=READER, query=TeamQuery, returns=Page[TeamOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Teams by name."""
    q = call.query
    after = None
    if q.cursor:
        name, id_ = cursors.decode(q.cursor, 2)
        after = (str(name), uuid_of(id_, "cursor"))
    with call.dlv.record.tx() as conn:
        rows = teams.page(conn, q.q, q.limit + 1, after, retired=q.retired)
    more = len(rows) > q.limit
    items = rows[: q.limit]
    return {
        "items": items,
        "next": cursors.encode([items[-1]["name"].lower(), str(items[-1]["id"])]) if more else None,
    }


@resource.post("/teams", need=ADMIN, body=NewTeam, returns=TeamOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A new team. Nodes that its patterns match are its own at once."""
    with call.dlv.record.tx() as conn:
        return teams.create(conn, call.actor, call.body.model_dump())


@resource.post("/teams/matched", need=ADMIN, body=Patterns, returns=Matches)
def matched(call: Call) -> dict[str, Any]:
    """How many nodes patterns would match; nothing is stored."""
    with call.dlv.record.read() as conn:
        found = teams.matched(conn, call.body.patterns)
    return {"items": [{"pattern": p, "nodes": n} for p, n in found.items()]}


@resource.get("/teams/{id}", need=READER, returns=TeamOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One team."""
    with call.dlv.record.tx() as conn:
        return teams.get(conn, id)


@resource.patch("/teams/{id}", need=ADMIN, body=TeamChange, returns=TeamOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Change a team and, with its name or patterns, what it owns."""
    version = needed_version(call.body.version)
    said = {
        k: v for k, v in call.body.model_dump(exclude_unset=True).items() if k != "version" and v is not None
    }
    with call.dlv.record.tx() as conn:
        return teams.edit(conn, call.actor, id, said, version)


@resource.delete("/teams/{id}", need=ADMIN, returns=TeamOut)
def retire(call: Call, id: UUID) -> dict[str, Any]:
    """The team owns nothing any more; it can be brought back."""
    with call.dlv.record.tx() as conn:
        return teams.retire(conn, call.actor, id, if_match())
