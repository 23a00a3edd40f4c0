"""Alert rules: who is told of what, in the order in which they are looked at."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from pydantic import Field

from alerts import routing
from answers import nodes
from api.nodes import needed_version
from api.resource import Call, Given, Out, Page, Resource, Text, if_match
from auth.roles import ADMIN, READER
from store import alert_rules

resource = Resource("alert rules")


class AlertRuleOut(Out):
    id: UUID
    name: str
    position: int = Field(description="1 is looked at first")
    enabled: bool
    min_severity: int = Field(description="Incidents at least as bad: 1 is the worst, 4 is any")
    nodes: list[UUID]
    tags: list[str]
    teams: list[UUID]
    environments: list[str]
    channels: list[UUID]
    group_seconds: int | None
    repeat_minutes: int | None
    stop: bool
    version: int


_SEVERITY = Field(4, ge=1, le=4, description="Incidents at least as bad: 1 is the worst, 4 is any")
_GROUP = Field(
    None, ge=0, le=3600, description="Seconds failures gather before they are told; null: the default"
)
_REPEAT = Field(
    None, ge=5, le=10_080, description="Told again after so many minutes until acknowledged; null: once"
)


class NewAlertRule(Given):
    name: Text = Field(min_length=1, max_length=120)
    enabled: bool = True
    min_severity: int = _SEVERITY
    nodes: list[UUID] = Field([], max_length=1000, description="Root or members; empty: any")
    tags: list[Text] = Field([], max_length=200, description="Of root or members; empty: any")
    teams: list[UUID] = Field([], max_length=200, description="Owners of root or members; empty: any")
    environments: list[Text] = Field([], max_length=200, description="Of root or members; empty: any")
    channels: list[UUID] = Field(min_length=1, max_length=200, description="Who is told")
    group_seconds: int | None = _GROUP
    repeat_minutes: int | None = _REPEAT
    stop: bool = Field(False, description="Where it matches, rules below are not looked at")


class AlertRuleChange(Given):
    name: Text | None = Field(None, min_length=1, max_length=120)
    enabled: bool | None = None
    min_severity: int | None = Field(None, ge=1, le=4)
    nodes: list[UUID] | None = None
    tags: list[Text] | None = None
    teams: list[UUID] | None = None
    environments: list[Text] | None = None
    channels: list[UUID] | None = None
    group_seconds: int | None = _GROUP
    repeat_minutes: int | None = _REPEAT
    stop: bool | None = None
    position: int | None = Field(None, ge=1, le=1000, description="Move it to this place")
    version: int | None = Field(None, description="Instead of If-Match")


class Tried(Given):
    node: UUID = Field(description="The root of an incident that could be")
    severity: int = Field(1, ge=1, le=4)


class Told(Out):
    rule: UUID
    channel: UUID
    repeat_minutes: int | None


class TriedOut(Out):
    routes: list[Told]
    group_seconds: int


@resource.get("/alert-rules", need=READER, returns=Page[AlertRuleOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """All rules in their order."""
    with call.dlv.record.tx() as conn:
        return {"items": alert_rules.every(conn), "next": None}


@resource.post("/alert-rules", need=ADMIN, body=NewAlertRule, returns=AlertRuleOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A new rule, below all others. It holds for what is told from now on."""
    with call.dlv.record.tx() as conn:
        return alert_rules.create(conn, call.actor, call.body.model_dump())


@resource.get("/alert-rules/{id}", need=READER, returns=AlertRuleOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One rule."""
    with call.dlv.record.tx() as conn:
        return alert_rules.get(conn, id)


@resource.patch("/alert-rules/{id}", need=ADMIN, body=AlertRuleChange, returns=AlertRuleOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Change a rule, or its place in the order."""
    version = needed_version(call.body.version)
    said = call.body.model_dump(exclude_unset=True)
    said.pop("version", None)
    position = said.pop("position", None)
    nullable = ("group_seconds", "repeat_minutes")
    said = {k: v for k, v in said.items() if v is not None or k in nullable}
    with call.dlv.record.tx() as conn:
        row = alert_rules.edit(conn, call.actor, id, said, version)
        if position is not None:
            alert_rules.move(conn, call.actor, id, position)
            row = alert_rules.get(conn, id)
        return row


@resource.delete("/alert-rules/{id}", need=ADMIN, status=204)
def remove(call: Call, id: UUID) -> None:
    """Take a rule away. Who was told by it is still told how it ends."""
    with call.dlv.record.tx() as conn:
        alert_rules.remove(conn, call.actor, id, if_match())


@resource.post("/alert-rules/try", need=ADMIN, body=Tried, returns=TriedOut)
def attempt(call: Call) -> dict[str, Any]:
    """Who would be told of an incident with this root and severity. Nobody is."""
    with call.dlv.record.tx() as conn:
        node = nodes.resolve(call.dlv, call.body.node, "node")
        facts = list(alert_rules.facts(conn, [node]).values())
        rules = alert_rules.active(conn)
    default = call.dlv.settings.group_seconds
    return {
        "routes": [
            {"rule": r.rule, "channel": r.channel, "repeat_minutes": r.repeat_minutes}
            for r in routing.route(call.body.severity, facts, rules)
        ],
        "group_seconds": routing.group_seconds(facts, rules, default, call.body.severity),
    }
