"""Checks: what is verified on a schedule on a node; and the kinds there are, with the fields of their forms."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from answers import cursor as cursors
from answers import nodes as node_answers
from answers.nodes import uuid_of
from api.heartbeats import Urls, urls
from api.nodes import needed_version
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, When, if_match
from auth.gate import new_token
from auth.roles import ADMIN, READER, RESPONDER
from checks import edits, offer
from checks.kind import Kind
from checks.registry import KINDS
from store import checks

resource = Resource("checks")

States = Literal["ok", "warn", "late", "failed", "unknown", "paused", "muted", "retired"]
Statuses = Literal["ok", "warn", "fail", "error", "not_checked", "muted"]


class CheckFieldOut(Out):
    name: str
    label: str
    kind: str = Field(description="text, area, sql, number, whole, duration (seconds), choice or switch")
    required: bool
    default: Any
    choices: list[list[str]] = Field(description="[value, label] of each")
    help: str
    example: str
    low: float | None
    high: float | None
    only: list[Any] | None = Field(description="[field, [values]]: it counts only beside one of these")


class CheckKindOut(Out):
    name: str
    label: str
    says: str = Field(description="What a failure of it means")
    fields: list[CheckFieldOut]
    connections: list[str] = Field(description="Kinds of connection it looks through; * is any, empty none")
    systems: list[str]
    types: list[str]
    every_seconds: int = Field(description="How often it looks where nobody says otherwise")
    unit: str = Field(description="What its number counts")
    accepts: bool = Field(description="POST /checks/{id}/accept makes what was seen the new normal")


class CheckKinds(Out):
    items: list[CheckKindOut]


class CheckWay(Out):
    id: UUID
    name: str
    kind: str
    matches: bool = Field(description="It leads to the node's own host")


class CheckOfferOut(Out):
    kind: CheckKindOut
    fits: bool = Field(description="Made for the node's system")
    connections: list[CheckWay]
    name: str = Field(description="What such a check may be called")


class CheckOffers(Out):
    items: list[CheckOfferOut]


class CheckOut(Out):
    id: UUID
    name: str
    kind: str
    node_id: UUID
    node_name: str
    connection_id: UUID | None
    connection_name: str | None
    config: dict[str, Any]
    severity: Literal["error", "warn"]
    every_seconds: int
    state: States = Field(description="Its health, or why it says nothing")
    status: Statuses = Field(description="Of the newest result")
    health: Literal["ok", "warn", "late", "failed", "unknown"] = Field(description="What it says of its node")
    reason: str
    since: datetime | None = Field(description="Slot of the first result of this health")
    slot_at: datetime | None = Field(description="Slot of the newest result")
    value: float | None
    paused_at: datetime | None
    muted_until: datetime | None
    next_slot_at: datetime | None
    accepted_at: datetime | None
    retired_at: datetime | None
    has_url: bool = Field(description="A heartbeat's URL was made")
    version: int


class MadeOut(CheckOut):
    urls: Urls | None = Field(description="Of a heartbeat, shown this once")


class CheckQuery(PageQuery):
    q: Text = Field("", max_length=200, description="Words that all occur in name, kind or node")
    state: list[States] = []
    status: list[Statuses] = []
    kind: list[Text] = []
    node: list[UUID] = Field([], description="Of these nodes, by any of their ids")
    connection: list[UUID] = []
    system: list[Text] = []
    environment: list[Text] = []
    team: list[Text] = Field([], description="Id or name of the team that owns the node, or none")
    retired: bool = Field(False, description="Removed ones too")


class NewCheck(Given):
    kind: Text = Field(max_length=60)
    name: Text = Field(min_length=1, max_length=160)
    node_id: UUID
    connection_id: UUID | None = None
    config: dict[Text, Any] = Field({}, description="Fields of the kind: GET /check-kinds")
    severity: Literal["error", "warn"] = Field("error", description="warn: a failure only warns")
    every_seconds: int | None = Field(None, description="Between two looks; the kind's own where left out")


class CheckChange(Given):
    name: Text | None = Field(None, min_length=1, max_length=160)
    node_id: UUID | None = None
    connection_id: UUID | None = None
    config: dict[Text, Any] | None = Field(None, description="Fields that change; null is the default again")
    severity: Literal["error", "warn"] | None = None
    every_seconds: int | None = None
    retired: bool | None = Field(None, description="Remove it, or bring it back")
    version: int | None = Field(None, description="Instead of If-Match")


class Mute(Given):
    until: When | None = Field(description="null: no longer muted")


def kind_out(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.name, "label": kind.label, "says": kind.says, "connections": list(kind.connections),
        "systems": list(kind.systems), "types": list(kind.types), "every_seconds": kind.every_seconds, "unit": kind.unit,
        "accepts": kind.accepts,
        "fields": [
            {
                "name": f.name, "label": f.label, "kind": f.kind, "required": f.required, "default": f.default,
                "choices": [list(c) for c in f.choices], "help": f.help, "example": f.example, "low": f.low, "high": f.high,
                "only": [f.only[0], list(f.only[1])] if f.only else None,
            }
            for f in kind.fields
        ],
    }  # fmt: skip


# ---------------------------------------------------------------- kinds


@resource.get("/check-kinds", need=READER, returns=CheckKinds, etag=True)
def kinds(call: Call) -> dict[str, Any]:
    """The kinds of check, with the fields of each."""
    return {"items": [kind_out(k) for k in KINDS.values()]}


@resource.get("/nodes/{id}/check-kinds", need=READER, returns=CheckOffers)
def offers(call: Call, id: UUID) -> dict[str, Any]:
    """The kinds that fit a node, those made for its system first, with the connections that lead to it."""
    node = node_answers.resolve(call.dlv, id)
    with call.dlv.record.tx() as conn:
        found = offer.for_node(conn, node)
    return {"items": [o | {"kind": kind_out(o["kind"])} for o in found]}


# ---------------------------------------------------------------- checks


@resource.get("/checks", need=READER, query=CheckQuery, returns=Page[CheckOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Checks by name, with what they last said."""
    q = call.query
    after = None
    if q.cursor:
        name, id_ = cursors.decode(q.cursor, 2)
        after = (str(name), uuid_of(id_, "cursor"))
    with call.dlv.record.tx() as conn:
        rows = checks.page(conn, q.model_dump(exclude={"limit", "cursor"}), q.limit + 1, after)
    items = rows[: q.limit]
    more = len(rows) > q.limit
    return {
        "items": items,
        "next": cursors.encode([items[-1]["name"].lower(), str(items[-1]["id"])]) if more else None,
    }


@resource.post("/checks", need=ADMIN, body=NewCheck, returns=MadeOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A new check; it looks at once. The answer to a heartbeat has its URLs, which are shown this once."""
    said = call.body.model_dump(exclude_none=True)
    token, hash_ = new_token()
    with call.dlv.record.tx() as conn:
        made = edits.create(conn, call.actor, said)
        called = KINDS[made["kind"]].called
        if called:
            edits.new_url(conn, call.actor, made["id"], hash_)
            made["has_url"] = True
    return made | {"urls": urls(token) if called else None}


@resource.get("/checks/{id}", need=READER, returns=CheckOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One check with what it last said."""
    with call.dlv.record.tx() as conn:
        return checks.get(conn, id)


@resource.patch("/checks/{id}", need=ADMIN, body=CheckChange, returns=CheckOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Change a check. One that looks at something else from now on forgets what it learnt and saw."""
    version = needed_version(call.body.version)
    said = call.body.model_dump(exclude_unset=True, exclude={"version"})
    retired = said.pop("retired", None)
    said = {k: v for k, v in said.items() if v is not None or k == "connection_id"}
    with call.dlv.record.tx() as conn:
        row = edits.edit(conn, call.actor, id, said, version)
        if retired is not None and retired != (row["retired_at"] is not None):
            row = (checks.retire if retired else checks.unretire)(conn, call.actor, id)
    return row


@resource.delete("/checks/{id}", need=ADMIN, returns=CheckOut)
def retire(call: Call, id: UUID) -> dict[str, Any]:
    """Remove it. Its results stay until they expire, and it can be brought back."""
    with call.dlv.record.tx() as conn:
        return checks.retire(conn, call.actor, id, if_match())


@resource.post("/checks/{id}/run", need=RESPONDER, returns=CheckOut, status=202)
def run(call: Call, id: UUID) -> dict[str, Any]:
    """Look at once. The result comes with the next worker that is free; 409 where the check does not look now."""
    with call.dlv.record.tx() as conn:
        return checks.run(conn, call.actor, id)


@resource.post("/checks/{id}/pause", need=ADMIN, returns=CheckOut)
def pause(call: Call, id: UUID) -> dict[str, Any]:
    """Look no more until it is resumed."""
    with call.dlv.record.tx() as conn:
        return checks.pause(conn, call.actor, id, if_match())


@resource.post("/checks/{id}/resume", need=ADMIN, returns=CheckOut)
def resume(call: Call, id: UUID) -> dict[str, Any]:
    """Look again."""
    with call.dlv.record.tx() as conn:
        return checks.resume(conn, call.actor, id, if_match())


@resource.post("/checks/{id}/mute", need=RESPONDER, body=Mute, returns=CheckOut)
def mute(call: Call, id: UUID) -> dict[str, Any]:
    """Say nothing until a time; null ends it."""
    with call.dlv.record.tx() as conn:
        return checks.mute(conn, call.actor, id, call.body.until)


@resource.post("/checks/{id}/accept", need=ADMIN, returns=CheckOut)
def accept(call: Call, id: UUID) -> dict[str, Any]:
    """What the newest look saw is the new normal: the columns of a schema, the volume of a table."""
    with call.dlv.record.tx() as conn:
        return edits.accept(conn, call.actor, id)
