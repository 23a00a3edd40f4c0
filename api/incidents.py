"""Incidents: what is open, one of them whole, and what people do about it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from flask import Response
from pydantic import Field

from answers import incidents
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, When, if_match
from auth.roles import READER, RESPONDER
from errors import Invalid
from store import incidents as store

resource = Resource("incidents")


class Brief(Out):
    id: UUID
    type: Literal["dataset", "job"]
    kind: str
    system: str
    environment: str
    namespace: str
    name: str
    health: Literal["ok", "warn", "late", "failed", "unknown"]
    criticality: int | None
    owner: UUID | None
    owner_name: str
    running: bool


class Other(Out):
    id: UUID
    number: int
    name: str
    title: str
    status: Literal["open", "resolved", "merged"]


class Members(Out):
    total: int
    failed: int
    late: int
    recovered: int


class IncidentOut(Out):
    id: UUID
    number: int
    name: str = Field(description="What people say: INC-42")
    key: str = Field(description="Dedup key under which people are told")
    status: Literal["open", "resolved", "merged"]
    title: str
    root_type: Literal["node", "producer"]
    root: Brief | None = Field(description="null where a producer is the root")
    producer: dict[str, Any] | None
    error: str = Field(description="First line of the root's error")
    log_url: str | None
    severity: int = Field(description="1 (the worst) to 4")
    severity_why: list[str] = Field(description="The reasons, the one that decided first")
    blast: dict[str, Any] = Field(
        description="total, by_hop, teams, critical, next_sla, datasets, at_risk, as_of; {} while the graph was away"
    )
    at_risk: int | None
    members: Members
    owner: UUID | None
    owner_name: str
    assignee: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    opened_at: datetime = Field(description="When it broke, by the time of the event")
    noted_at: datetime = Field(description="When DLV noticed")
    changed_at: datetime
    resolved_at: datetime | None
    reopened: int
    told_at: datetime | None
    told_severity: int | None
    notify_at: datetime | None
    possibly_caused_by: Other | None
    merged_into: Other | None
    graph_away: bool = Field(description="Decided without the graph; looked at again when it is back")
    version: int


class MemberOut(Brief):
    role: Literal["root", "symptom"]
    was: str = Field(description="failed or late; ok once it recovered")
    joined_at: datetime = Field(description="When it went bad")
    last_good: datetime | None
    recovered_at: datetime | None
    cause: UUID | None = Field(description="The member that it follows from")
    hop: int | None = Field(description="How many hops below the root; 0: the root; null: not known")
    reason: str


class EntryOut(Out):
    id: int
    at: datetime
    kind: str
    text: str
    actor: str
    node: UUID | None
    node_name: str | None
    detail: dict[str, Any] | None
    looks: int | None = Field(
        description="Of a check's result: how often it was seen with no other between; null: no line of a check"
    )
    until: datetime | None = Field(description="When it was seen last")


class WholeIncident(IncidentOut):
    member_list: list[MemberOut]
    timeline: Page[EntryOut] = Field(description="The newest lines, those stored last first")


class IncidentQuery(PageQuery):
    status: list[Literal["open", "resolved", "merged"]] = Field([], description="open where none is given")
    severity: list[int] = []
    team: list[Text] = Field([], description="Id or name of the owner, or none")
    node: list[UUID] = Field([], description="Root or member, by any of its ids")
    environment: list[Text] = Field([], description="Of the root; a quiet producer is of every one")
    acknowledged: bool | None = None
    since: When | None = Field(None, description="Broken at this moment or later")
    until: When | None = Field(None, description="Broken before this moment")
    sort: Literal["severity", "opened"] = "severity"


class Assignment(Given):
    assignee: Text | None = Field(None, max_length=120, description="A person's name; null: nobody")
    owner: UUID | None = Field(None, description="A team; null: nobody")


class Comment(Given):
    text: Text = Field(min_length=1, max_length=2000)


class Reason(Given):
    reason: Text = Field(min_length=1, max_length=1000, description="Why it is closed")


class Quiet(Given):
    reason: Text = Field(min_length=1, max_length=500)
    ends_at: When | None = Field(None, description="Either this")
    minutes: int | None = Field(None, ge=1, le=60 * 24 * 30, description="or how long from now")


class PostmortemQuery(Given):
    download: bool = Field(False, description="As a file to keep")


@resource.get("/incidents", need=READER, query=IncidentQuery, returns=Page[IncidentOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Incidents by filter, the worst first; the open ones where no status is given."""
    q = call.query
    said = q.model_dump(exclude={"limit", "cursor", "sort"})
    filters = {k: v for k, v in said.items() if v not in (None, [])}
    return incidents.page(call.dlv, filters, q.limit, q.cursor, sort=q.sort)


@resource.get("/incidents/{id}", need=READER, returns=WholeIncident, etag=True)
def get(call: Call, id: str) -> dict[str, Any]:
    """One incident, by its id or its number (42 or INC-42): members and the newest of its timeline."""
    return incidents.get(call.dlv, id)


@resource.get("/incidents/{id}/timeline", need=READER, query=PageQuery, returns=Page[EntryOut], etag=True)
def timeline(call: Call, id: str) -> dict[str, Any]:
    """Its timeline, the lines stored last first."""
    return incidents.timeline(call.dlv, id, call.query.limit, call.query.cursor)


@resource.get("/nodes/{id}/incidents", need=READER, query=PageQuery, returns=Page[IncidentOut], etag=True)
def of_node(call: Call, id: UUID) -> dict[str, Any]:
    """Incidents in which a node is or was a member, the newest first."""
    return incidents.of_node(call.dlv, id, call.query.limit, call.query.cursor)


@resource.post("/incidents/{id}/acknowledge", need=RESPONDER, returns=IncidentOut)
def acknowledge(call: Call, id: str) -> dict[str, Any]:
    """Say that somebody works on it: reminders stop."""
    with call.dlv.record.tx() as conn:
        return incidents.shape(store.acknowledge(conn, call.actor, incidents.resolve(conn, id), if_match()))


@resource.post("/incidents/{id}/unacknowledge", need=RESPONDER, returns=IncidentOut)
def unacknowledge(call: Call, id: str) -> dict[str, Any]:
    """Say that nobody works on it any more."""
    with call.dlv.record.tx() as conn:
        return incidents.shape(store.unacknowledge(conn, call.actor, incidents.resolve(conn, id), if_match()))


@resource.post("/incidents/{id}/assign", need=RESPONDER, body=Assignment, returns=IncidentOut)
def assign(call: Call, id: str) -> dict[str, Any]:
    """Give it to a person or to a team. What is left out stays as it is."""
    said = call.body.model_dump(exclude_unset=True)
    if not said:
        raise Invalid("say to whom", field="assignee", hint="assignee, owner or both")
    changes = {"owner_id" if k == "owner" else k: v for k, v in said.items()}
    with call.dlv.record.tx() as conn:
        return incidents.shape(
            store.assign(conn, call.actor, incidents.resolve(conn, id), changes, if_match())
        )


@resource.post("/incidents/{id}/comments", need=RESPONDER, body=Comment, returns=IncidentOut, status=201)
def comment(call: Call, id: str) -> dict[str, Any]:
    """Write into the timeline."""
    with call.dlv.record.tx() as conn:
        return incidents.shape(store.comment(conn, call.actor, incidents.resolve(conn, id), call.body.text))


@resource.post("/incidents/{id}/resolve", need=RESPONDER, body=Reason, returns=IncidentOut)
def resolve(call: Call, id: str) -> dict[str, Any]:
    """Close it by hand, whatever its members are like. One that breaks anew within the window opens it again."""
    with call.dlv.record.tx() as conn:
        return incidents.shape(
            store.resolve(conn, call.actor, incidents.resolve(conn, id), call.body.reason, if_match())
        )


@resource.post("/incidents/{id}/silence", need=RESPONDER, body=Quiet, returns=IncidentOut)
def silence(call: Call, id: str) -> dict[str, Any]:
    """Tell nobody of it for a while, by a silence over its root. If it is open at the end, people are told then."""
    q = call.body
    if (q.ends_at is None) == (q.minutes is None):
        raise Invalid("say until when, or for how many minutes", field="ends_at", hint="one of the two")
    ends_at = q.ends_at or datetime.now(UTC) + timedelta(minutes=q.minutes)
    with call.dlv.record.tx() as conn:
        return incidents.shape(
            store.silence(conn, call.actor, incidents.resolve(conn, id), ends_at, q.reason)
        )


@resource.get("/incidents/{id}/postmortem", need=READER, query=PostmortemQuery, media="text/markdown")
def postmortem(call: Call, id: str) -> Response:
    """What happened, as Markdown to go on writing on."""
    name, text = incidents.postmortem(call.dlv, id)
    headers = {"Cache-Control": "no-store"}
    if call.query.download:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Response(text, 200, headers, content_type="text/markdown; charset=utf-8")
