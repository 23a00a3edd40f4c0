"""API keys: what clients and scripts sign in with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from flask import current_app
from pydantic import Field

import auth.keys
from api import cursor
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, When
from auth.roles import ADMIN_PERSON
from errors import Invalid
from store import keys

resource = Resource("api-keys")

Scope = Literal["lineage:write", "read", "write"]


class KeyOut(Out):
    id: UUID
    name: str
    prefix: str = Field(description="The first characters, to recognise it by")
    scopes: list[Scope]
    producer: str | None
    environment: str | None
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewKeyOut(KeyOut):
    key: str = Field(description="The key itself: shown now and never again")


class NewKey(Given):
    name: Text = Field(
        min_length=1,
        max_length=100,
        pattern=r"^\S(.*\S)?$",
        description="What sends events with it is the producer of that name; a new key of the same name continues it",
    )
    scopes: list[Scope] = Field(min_length=1, max_length=3)
    environment: Text | None = Field(
        None,
        min_length=1,
        max_length=60,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Jobs that it sends are in this environment",
    )
    expires_at: When | None = None


@resource.get("/api-keys", need=ADMIN_PERSON, query=PageQuery, returns=Page[KeyOut])
def list_keys(call: Call) -> dict[str, Any]:
    """All keys, newest first, revoked ones too."""
    after = cursor.time_and_id(call.query.cursor)
    with call.dlv.record.tx() as conn:
        rows = keys.page(conn, call.query.limit + 1, after)
    more = len(rows) > call.query.limit
    rows = rows[: call.query.limit]
    last = rows[-1] if more else None
    return {"items": rows, "next": cursor.encode([last["created_at"], last["id"]]) if last else None}


@resource.post("/api-keys", need=ADMIN_PERSON, body=NewKey, returns=NewKeyOut, status=201)
def create_key(call: Call) -> dict[str, Any]:
    """Make a key. The answer holds it once; only its hash is kept."""
    said = call.body
    if said.expires_at is not None and said.expires_at <= datetime.now(UTC):
        raise Invalid(
            "expires_at: is in the past", field="expires_at", hint="leave it out, or say a time to come"
        )
    if said.environment and "lineage:write" not in said.scopes:
        raise Invalid(
            "environment: only a key that sends lineage has one",
            field="environment",
            hint="add lineage:write",
        )
    key, hash_, prefix = auth.keys.new()
    with call.dlv.record.tx() as conn:
        row = keys.create(
            conn,
            call.actor,
            said.name,
            list(said.scopes),
            hash_,
            prefix,
            environment=said.environment,
            expires_at=said.expires_at,
        )
    return row | {"key": key}


@resource.get("/api-keys/{id}", need=ADMIN_PERSON, returns=KeyOut)
def get_key(call: Call, id: UUID) -> dict[str, Any]:
    """One key, without the key itself."""
    with call.dlv.record.tx() as conn:
        return keys.get(conn, id)


@resource.delete("/api-keys/{id}", need=ADMIN_PERSON, status=204)
def revoke_key(call: Call, id: UUID) -> None:
    """Revoke a key: refused from now on, within two seconds in other web processes."""
    with call.dlv.record.tx() as conn:
        keys.revoke(conn, call.actor, id)
    current_app.extensions["dlv_gate"].keys.forget()
