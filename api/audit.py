"""The audit log, for admins."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api import cursor
from api.resource import Call, Out, Page, PageQuery, Resource, Text, When
from auth.roles import ADMIN_PERSON
from store import audit

resource = Resource("audit")


class AuditRow(Out):
    seq: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    remote_addr: str
    action: str
    object_type: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditQuery(PageQuery):
    actor: Text | None = Field(None, max_length=200, description="Name of who acted")
    action: Text | None = Field(None, max_length=200, description="Start of the action, e.g. node.")
    object_type: Text | None = Field(None, max_length=200)
    object_id: Text | None = Field(None, max_length=200)
    since: When | None = None
    until: When | None = None


class Verified(Out):
    ok: bool
    broken_seq: int | None = Field(description="The first row that does not follow from the one before it")
    rows: int
    head: str = Field(
        description="Hash of the newest row: note it elsewhere to prove later that none was cut off"
    )


@resource.get("/audit", need=ADMIN_PERSON, query=AuditQuery, returns=Page[AuditRow])
def list_audit(call: Call) -> dict[str, Any]:
    """Who did what, newest first."""
    query = call.query
    before = cursor.integer(query.cursor)
    filters = query.model_dump(exclude={"limit", "cursor"})
    rows = audit.page(call.dlv.record, filters, before, query.limit + 1)
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return {"items": rows, "next": cursor.encode([rows[-1]["seq"]]) if more else None}


@resource.get("/audit/verify", need=ADMIN_PERSON, returns=Verified)
def verify_audit(call: Call) -> dict[str, Any]:
    """Walk the whole hash chain."""
    ok, broken = audit.verify(call.dlv.record)
    rows, head = audit.head(call.dlv.record)
    return {"ok": ok, "broken_seq": broken, "rows": rows, "head": head}
