"""Results of checks, and the history of a node or a check: bars, uptime, how well it kept its SLA."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from answers import history
from api.resource import Call, Given, Out, Page, PageQuery, Resource, When
from auth.roles import READER

resource = Resource("results")

Status = Literal["ok", "warn", "fail", "error", "not_checked", "muted"]


class ResultOut(Out):
    check_id: UUID
    check_name: str | None
    kind: str | None
    node_id: UUID | None
    slot_at: datetime = Field(description="When it was due; with the check the identity of the slot")
    status: Status = Field(
        description="What the slot ended as. error: a fault of DLV's own; not_checked: DLV could not look"
    )
    attempts: int
    started_at: datetime | None = Field(description="null: nobody looked")
    ended_at: datetime
    value: float | None
    reason: str
    detail: dict[str, Any] | None


class OfCheck(PageQuery):
    status: list[Status] = Field([], description="Several: any of them")
    since: When | None = Field(None, description="Slots at or after")
    until: When | None = Field(None, description="Slots before")


class ResultQuery(OfCheck):
    check: list[UUID] = Field([], description="Several: of any of them", max_length=100)
    node: list[UUID] = Field([], description="Of all checks of these nodes", max_length=100)


class HistoryQuery(Given):
    days: int = Field(
        30, ge=1, le=history.MAX_DAYS, description="Up to 3 days the bars are hours, beyond days"
    )


class Bar(Out):
    at: datetime
    until: datetime
    health: Literal["ok", "warn", "late", "failed", "unknown", "gap"] = Field(
        description="The worst in it; gap: DLV itself did not look"
    )
    percent: float | None = Field(description="Share of what is known in which it was up")


class CheckBar(Out):
    at: datetime
    ok: int
    warn: int
    fail: int
    error: int
    not_checked: int
    muted: int
    value_min: float | None
    value_mean: float | None
    value_max: float | None


class CheckHistory(Out):
    check: UUID
    since: datetime
    until: datetime
    step_seconds: int
    bars: list[CheckBar]
    uptime: dict[str, float | None] = Field(
        description="By days (1, 7, 30, 90): percent of the slots that say something of the target; null: none does"
    )
    sla: dict[str, Any] | None = Field(
        description="How well its node kept its SLA: {kind, minutes, percent: by days}; null: it has none"
    )


class NodeHistory(Out):
    node: UUID
    since: datetime
    until: datetime
    step_seconds: int
    bars: list[Bar]
    uptime: dict[str, float | None] = Field(
        description="By days (1, 7, 30, 90): percent of the time that is known; DLV's own gaps are left out"
    )
    sla: dict[str, Any] | None = Field(description="{kind, minutes, percent, days: [{at, percent}]}")
    checks: list[dict[str, Any]]
    gaps: list[dict[str, Any]] = Field(description="When DLV itself did not look")


@resource.get("/results", need=READER, query=ResultQuery, returns=Page[ResultOut])
def list_results(call: Call) -> dict[str, Any]:
    """Results of checks, newest slot first."""
    q = call.query
    return history.page(call.dlv, q.model_dump(exclude={"limit", "cursor"}), q.limit, q.cursor)


@resource.get("/checks/{id}/results", need=READER, query=OfCheck, returns=Page[ResultOut])
def results_of_check(call: Call, id: UUID) -> dict[str, Any]:
    """Results of one check, newest slot first."""
    q = call.query
    filters = q.model_dump(exclude={"limit", "cursor"}) | {"check": [id]}
    return history.page(call.dlv, filters, q.limit, q.cursor)


@resource.get("/checks/{id}/history", need=READER, query=HistoryQuery, returns=CheckHistory, etag=True)
def history_of_check(call: Call, id: UUID) -> dict[str, Any]:
    """What the slots of a check ended as, by hour or day, and its uptime."""
    return history.check(call.dlv, id, call.query.days)


@resource.get("/nodes/{id}/history", need=READER, query=HistoryQuery, returns=NodeHistory, etag=True)
def history_of_node(call: Call, id: UUID) -> dict[str, Any]:
    """How a node was over days: bars, uptime, how well it kept its SLA, without the times in which DLV did not look."""
    return history.node(call.dlv, id, call.query.days)
