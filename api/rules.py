"""Naming rules: how names are read."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from answers import cursor as cursors
from api.nodes import needed_version
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, if_match
from auth.roles import ADMIN, READER
from errors import Invalid, NotFound
from ingest import byhand
from store import rule_jobs, rules

resource = Resource("naming rules")

Kind = Literal["host_alias", "default_schema", "ignore", "environment", "partition"]


class RuleOut(Out):
    id: int
    kind: Kind
    pattern: str
    value: str
    producer_id: int | None
    producer: str | None
    created_at: datetime
    version: int


class NewRule(Given):
    kind: Kind
    pattern: Text = Field(min_length=1, max_length=500)
    value: Text = Field("", max_length=500)
    producer_id: int | None = None


class RuleChange(Given):
    kind: Kind | None = None
    pattern: Text | None = Field(None, max_length=500)
    value: Text | None = Field(None, max_length=500)
    producer_id: int | None = None
    version: int | None = Field(None, description="Instead of If-Match")


class RuleJobOut(Out):
    id: int
    asked_at: datetime
    asked_by: str
    started_at: datetime | None
    done: int = Field(description="Names moved so far")
    total: int | None
    ended_at: datetime | None = Field(description="null: it waits or runs")
    result: dict[str, int] | None
    error: str | None


class NameGiven(Given):
    type: Literal["dataset", "job"]
    namespace: Text = Field(min_length=1, max_length=2000)
    name: Text = Field(min_length=1, max_length=2000)
    producer: Text = Field("", max_length=200, description="Name of the producer that would send it")


class NameRead(Out):
    ignored: bool = Field(description="A rule keeps it off the map: the rest is null")
    environment: str | None = None
    namespace: str | None = None
    name: str | None = None
    kind: str | None = None
    system: str | None = None
    unresolved: str | None = Field(None, description="Why the name may not be whole, and what was tried")
    node_id: UUID | None = Field(None, description="The node it leads to; null: not on record yet")


class RuleQuery(PageQuery):
    kind: Kind | None = None


@resource.get("/naming-rules", need=READER, query=RuleQuery, returns=Page[RuleOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Rules in the order in which they are tried."""
    after = None
    if call.query.cursor:
        (after,) = cursors.decode(call.query.cursor, 1)
        if not isinstance(after, int) or isinstance(after, bool) or not 0 <= after < 1 << 62:
            raise Invalid("cursor is not one that this call gave", field="cursor")
    limit = call.query.limit
    with call.dlv.record.tx() as conn:
        rows = rules.page(conn, call.query.kind, limit + 1, after)
    items = rows[:limit]
    return {"items": items, "next": cursors.encode([items[-1]["id"]]) if len(rows) > limit else None}


@resource.post("/naming-rules", need=ADMIN, body=NewRule, returns=RuleOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A new rule, for events from now on; `dlv refold` applies it to those before."""
    with call.dlv.record.tx() as conn:
        return rules.create(conn, call.actor, call.body.model_dump())


@resource.post("/naming-rules/try", need=ADMIN, body=NameGiven, returns=NameRead)
def try_name(call: Call) -> dict[str, Any]:
    """What a name would be read as under the rules as they are now; nothing is stored."""
    with call.dlv.record.read() as conn:
        read = byhand.tried(conn, call.body.model_dump())
    return NameRead(ignored=read is None, **(read or {})).model_dump()


@resource.get("/naming-rules/{id}", need=READER, returns=RuleOut, etag=True)
def get(call: Call, id: int) -> dict[str, Any]:
    """One rule."""
    with call.dlv.record.tx() as conn:
        return rules.get(conn, _id(id))


@resource.patch("/naming-rules/{id}", need=ADMIN, body=RuleChange, returns=RuleOut)
def edit(call: Call, id: int) -> dict[str, Any]:
    """Change a rule, for events from now on; the version that was read guards against overwriting."""
    version = needed_version(call.body.version)
    said = {k: v for k, v in call.body.model_dump(exclude_unset=True).items() if k != "version"}
    with call.dlv.record.tx() as conn:
        return rules.edit(conn, call.actor, _id(id), said, version)


@resource.delete("/naming-rules/{id}", need=ADMIN, status=204)
def delete(call: Call, id: int) -> None:
    """Remove a rule, for events from now on."""
    with call.dlv.record.tx() as conn:
        rules.delete(conn, call.actor, _id(id), if_match())


@resource.post("/naming-rules/apply", need=ADMIN, returns=RuleJobOut, status=202)
def apply(call: Call) -> tuple[dict[str, Any], int]:
    """Apply the rules to everything on record.

    A worker does it; 409 where that waits or runs already.
    """
    with call.dlv.record.tx() as conn:
        return rule_jobs.ask(conn, call.actor), 202


@resource.get("/naming-rules/applied", need=READER, returns=RuleJobOut)
def applied(call: Call) -> dict[str, Any]:
    """The newest application of the rules: how far it is, or what came of it."""
    with call.dlv.record.tx() as conn:
        row = rule_jobs.newest(conn)
    if row is None:
        raise NotFound("the rules were never applied to everything", hint="POST /api/v1/naming-rules/apply")
    return row


def _id(id_: int) -> int:
    if not 0 < id_ < 1 << 62:
        raise NotFound(f"no naming rule has the id {id_}", field="id")
    return id_
