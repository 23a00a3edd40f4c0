"""Questions about lineage: impact, neighbourhood, causes, paths; and the impact list as a file."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Response
from pydantic import Field

from answers import causes, export, impact, lineage, paths
from api.nodes import NodeOut
from api.resource import Call, Given, Out, PageQuery, Resource, Text, When
from auth.roles import READER

resource = Resource("lineage questions")

Direction = Literal["downstream", "upstream"]


class Reach(Given):
    direction: Direction = "downstream"
    depth: int | None = Field(
        None, ge=1, le=1000, description="Hops, which count datasets; all where left out"
    )
    type: list[Literal["dataset", "job"]] = []
    kind: list[Text] = []
    system: list[Text] = []
    environment: list[Text] = []
    owner: list[Text] = Field([], description="Team id or name, or none")
    team: list[Text] = Field([], description="The same as owner")
    tag: list[Text] = []
    as_of: When | None = None

    def filters(self) -> dict[str, Any]:
        return self.model_dump(include={"type", "kind", "system", "environment", "owner", "team", "tag"})


class ImpactQuery(Reach, PageQuery):
    limit: int = Field(200, ge=1, le=5000)


class Count(Out):
    key: str | int | None
    n: int
    name: str | None = None


class HopNode(NodeOut):
    hop: int


class ImpactOut(Out):
    node: NodeOut
    direction: Direction
    total: int = Field(description="Exact, even where the list is cut")
    by_hop: list[Count]
    by_kind: list[Count]
    by_system: list[Count]
    by_team: list[Count]
    items: list[HopNode] = Field(description="Nearest first")
    next: str | None
    cut: bool
    as_of: datetime | None


class LineageQuery(Given):
    up: int = Field(1, ge=0, le=lineage.MAX_DEPTH)
    down: int = Field(1, ge=0, le=lineage.MAX_DEPTH)
    as_of: When | None = None
    jobs: bool = Field(True, description="false: from dataset to dataset")
    group: bool = Field(False, description="Keep nodes of one DAG, application or project together")
    grown_up: list[UUID] = Field([], max_length=200, description="Further nodes to open by one hop upstream")
    grown_down: list[UUID] = Field([], max_length=200)
    also: list[UUID] = Field([], max_length=500, description="Single nodes picked from a fold")


class LineageOut(Out):
    node: UUID
    nodes: list[dict[str, Any]] = Field(description="Nodes with x, y and how many neighbours are not drawn")
    edges: list[dict[str, Any]]
    folded: list[dict[str, Any]] = Field(description="node, direction, count")
    cut: bool
    as_of: datetime | None


class FoldedQuery(PageQuery):
    direction: Direction
    shown: list[UUID] = Field([], max_length=1000, description="What is drawn already")
    as_of: When | None = None


class FoldedOut(Out):
    items: list[NodeOut]
    total: int
    next: str | None


class Cause(NodeOut):
    root: bool
    hop: int
    path: list[UUID] = Field(description="From the cause to the node, both included")
    error: str
    log_url: str | None


class CausesOut(Out):
    node: NodeOut
    items: list[Cause] = Field(description="Roots first, then the nearest")
    total: int
    cut: bool


class PathQuery(Given):
    from_: UUID = Field(alias="from")
    to: UUID
    limit: int = Field(10, ge=1, le=paths.MAX_PATHS)


class PathsOut(Out):
    paths: list[list[UUID]]
    nodes: list[NodeOut]
    cut: bool


@resource.get("/nodes/{id}/impact", need=READER, query=ImpactQuery, returns=ImpactOut, etag=True)
def impact_of(call: Call, id: UUID) -> dict[str, Any]:
    """The blast radius: everything downstream (or upstream) by hop. Filters select results and never prune paths."""
    q = call.query
    return impact.impact(call.dlv, id, q.direction, q.depth, q.filters(), q.as_of, q.limit, q.cursor)


@resource.get("/nodes/{id}/impact.csv", need=READER, query=Reach, media="text/csv")
def impact_csv(call: Call, id: UUID) -> Response:
    """The impact list as CSV, up to 100,000 rows. Written to the audit log."""
    return _file(call, id, "csv")


@resource.get("/nodes/{id}/impact.json", need=READER, query=Reach, returns=ImpactOut)
def impact_json(call: Call, id: UUID) -> Response:
    """The impact list as a JSON file, up to 100,000 rows. Written to the audit log."""
    return _file(call, id, "json")


def _file(call: Call, id_: UUID, format_: str) -> Response:
    q = call.query
    text, name = export.impact_file(
        call.dlv, call.actor, format_, id_, q.direction, q.depth, q.filters(), q.as_of
    )
    media = "text/csv; charset=utf-8" if format_ == "csv" else "application/json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, 200, headers, content_type=media)


@resource.get("/nodes/{id}/lineage", need=READER, query=LineageQuery, returns=LineageOut, etag=True)
def lineage_of(call: Call, id: UUID) -> dict[str, Any]:
    """The neighbourhood for the canvas, laid out, large fans folded."""
    q = call.query
    grown = [(n, "upstream") for n in q.grown_up] + [(n, "downstream") for n in q.grown_down]
    return lineage.around(
        call.dlv, id, q.up, q.down, q.as_of, q.jobs, grown=grown, also=q.also, group=q.group
    )


@resource.get("/nodes/{id}/folded", need=READER, query=FoldedQuery, returns=FoldedOut, etag=True)
def folded(call: Call, id: UUID) -> dict[str, Any]:
    """What was folded away at a node, those that matter most first."""
    q = call.query
    return lineage.folded(call.dlv, id, q.direction, q.shown, q.as_of, q.limit, q.cursor)


@resource.get("/nodes/{id}/causes", need=READER, returns=CausesOut, etag=True)
def causes_of(call: Call, id: UUID) -> dict[str, Any]:
    """Failed and late ancestors, roots first, each with its path to the node."""
    return causes.causes(call.dlv, id)


@resource.get("/paths", need=READER, query=PathQuery, returns=PathsOut, etag=True)
def paths_between(call: Call) -> dict[str, Any]:
    """How data gets from one node to another, shortest first."""
    q = call.query
    return paths.between(call.dlv, q.from_, q.to, q.limit)
