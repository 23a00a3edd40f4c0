"""Connections: how to reach a system. Their secrets go in and never come out."""

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
from connections import opening
from connections.kind import Kind
from connections.kinds import KINDS
from store import connections as store

resource = Resource("connections")

_SECRETS = "In plain, written only: no answer holds them"


class FieldOut(Out):
    name: str
    label: str
    kind: str = Field(description="text, host, port, url, hosts, number, choice, area, pem, header, path")
    required: bool
    default: Any
    choices: list[str]
    help: str
    secret: bool = Field(description="Goes under `secrets`, all else under `fields`")
    when: dict[str, list[str]] | None = Field(
        description="Counts only where that field has one of these values"
    )


class KindOut(Out):
    name: str
    label: str
    says: str
    fields: list[FieldOut]


class KindsOut(Out):
    items: list[KindOut]


class StepOut(Out):
    step: str = Field(description="name, route, tls, sign-in, permission")
    state: str = Field(description="ok, failed, skipped (not used), open (not come to)")


class TestedOut(Out):
    ok: bool
    step: str = Field(description="The step that failed, or the last one")
    message: str
    hint: str = Field(description="What to do")
    steps: list[StepOut]
    seconds: float


class ConnectionOut(Out):
    id: UUID
    name: str
    kind: str
    fields: dict[str, Any]
    secrets: dict[str, str] = Field(description="`set`, or `lost` where its key is missing; never what it is")
    last_test: dict[str, Any] | None
    retired_at: datetime | None
    created_at: datetime
    version: int


class NewConnection(Given):
    name: Text = Field(min_length=1, max_length=120)
    kind: Text = Field(max_length=40)
    fields: dict[Text, Any] = Field({}, max_length=60)
    secrets: dict[Text, Text | None] = Field({}, max_length=20, description=_SECRETS)


class ConnectionChange(Given):
    name: Text | None = Field(None, min_length=1, max_length=120)
    fields: dict[Text, Any] | None = Field(
        None, max_length=60, description="Only what changes; null empties one"
    )
    secrets: dict[Text, Text | None] | None = Field(
        None, max_length=20, description=f"{_SECRETS}. What is not named stays; null takes one away"
    )
    retired: bool | None = None
    version: int | None = Field(None, description="Instead of If-Match")


class Trial(Given):
    kind: Text = Field(max_length=40)
    fields: dict[Text, Any] = Field({}, max_length=60)
    secrets: dict[Text, Text | None] = Field({}, max_length=20, description=_SECRETS)
    id: UUID | None = Field(
        None, description="Of the stored connection whose secrets stand in for those not given"
    )


class ConnectionQuery(PageQuery):
    q: Text = Field("", max_length=120)
    kind: list[Text] = []
    retired: bool = Field(False, description="Retired ones too")


@resource.get("/connection-kinds", need=READER, returns=KindsOut)
def kinds(call: Call) -> dict[str, Any]:
    """The kinds of connection and their fields."""
    return {"items": [_kind(k) for k in KINDS.values()]}


def _kind(k: Kind) -> dict[str, Any]:
    return {
        "name": k.name, "label": k.label, "says": k.says,
        "fields": [
            {
                "name": f.name, "label": f.label, "kind": f.kind, "required": f.required, "default": f.default,
                "choices": [c[0] for c in f.choices], "help": f.help, "secret": f.secret,
                "when": {f.when[0]: list(f.when[1])} if f.when else None,
            }
            for f in k.fields
        ],
    }  # fmt: skip


@resource.get("/connections", need=ADMIN, query=ConnectionQuery, returns=Page[ConnectionOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Connections by name."""
    q = call.query
    after = None
    if q.cursor:
        name, id_ = cursors.decode(q.cursor, 2)
        after = (str(name), uuid_of(id_, "cursor"))
    with call.dlv.record.tx() as conn:
        rows = store.page(conn, q.q, q.kind, q.limit + 1, after, retired=q.retired)
    items = [opening.shown(call.dlv.settings, r) for r in rows[: q.limit]]
    more = len(rows) > q.limit
    return {
        "items": items,
        "next": cursors.encode([items[-1]["name"].lower(), str(items[-1]["id"])]) if more else None,
    }


@resource.post("/connections", need=ADMIN, body=NewConnection, returns=ConnectionOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A new connection. It is not tried by this: see test."""
    b = call.body
    with call.dlv.record.tx() as conn:
        return opening.create(conn, call.actor, call.dlv.settings, b.name, b.kind, b.fields, b.secrets)


@resource.post("/connections/test", need=ADMIN, body=Trial, returns=TestedOut)
def test_unsaved(call: Call) -> dict[str, Any]:
    """Try fields that are not saved.

    Answers within ten seconds with the step that failed. A stored secret is used only where `id` names its connection
    and the fields still lead to where it is meant for.
    """
    b = call.body
    done = opening.test_unsaved(
        call.dlv.record, call.actor, call.dlv.settings, b.kind, b.fields, b.secrets, b.id
    )
    return done.shown()


@resource.get("/connections/{id}", need=ADMIN, returns=ConnectionOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One connection, without its secrets."""
    with call.dlv.record.tx() as conn:
        return opening.shown(call.dlv.settings, store.sealed(conn, id, retired=True))


@resource.patch("/connections/{id}", need=ADMIN, body=ConnectionChange, returns=ConnectionOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Change a connection; the version that was read guards against overwriting.

    Where a field that says where secrets are sent to changes (host, port, address, TLS), those that are kept must be
    written again.
    """
    version = needed_version(call.body.version)
    said = {
        k: v for k, v in call.body.model_dump(exclude_unset=True).items() if k != "version" and v is not None
    }
    with call.dlv.record.tx() as conn:
        return opening.edit(conn, call.actor, call.dlv.settings, id, said, version)


@resource.delete("/connections/{id}", need=ADMIN, returns=ConnectionOut)
def retire(call: Call, id: UUID) -> dict[str, Any]:
    """The connection is offered nowhere and its checks do not look; it can be brought back."""
    with call.dlv.record.tx() as conn:
        return opening.edit(conn, call.actor, call.dlv.settings, id, {"retired": True}, if_match())


@resource.post("/connections/{id}/test", need=ADMIN, returns=TestedOut)
def test(call: Call, id: UUID) -> dict[str, Any]:
    """Try a connection and keep what came of it.

    Answers within ten seconds with the step that failed (name, route, TLS, sign-in, permission) and what to do.
    """
    return opening.test(call.dlv.record, call.actor, call.dlv.settings, id).shown()
