"""Edges: draw, read, retire, annotate."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from answers import edges, nodes
from api.nodes import AnnotationOut, Annotations, AnnotationText, needed_version
from api.resource import Call, Given, Out, Page, PageQuery, Resource, if_match
from auth.roles import ADMIN, READER, RESPONDER
from store import annotations as notes
from store import edges as store

resource = Resource("edges")


class EdgeOut(Out):
    id: UUID
    ids: list[UUID] = Field(description="The edges between single names that this one stands for")
    source: UUID
    target: UUID
    source_name: str
    target_name: str
    standin: UUID | None = Field(description="The job between two datasets where no job is known")
    provenance: list[str]
    first_seen: datetime
    last_seen: datetime
    holds: bool
    retired_at: datetime | None
    intervals: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    version: int


class EdgeRow(Out):
    id: UUID
    source: UUID
    target: UUID
    provenance: list[str]
    first_seen: datetime
    last_seen: datetime
    valid_to: datetime | None


class EdgeQuery(PageQuery):
    node: UUID = Field(description="The node at either end")


class NewEdge(Given):
    source: UUID
    target: UUID


class EdgeChange(Given):
    retired: bool
    version: int | None = Field(None, description="Instead of If-Match")


@resource.get("/edges", need=READER, query=EdgeQuery, returns=Page[EdgeRow], etag=True)
def of_node(call: Call) -> dict[str, Any]:
    """Edges at either end of a node, ended ones too, those that hold first."""
    return edges.of_node(call.dlv, call.query.node, call.query.limit, call.query.cursor)


@resource.post("/edges", need=ADMIN, body=NewEdge, returns=EdgeOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """Draw an edge. Between two datasets a stand-in job is put, and both halves are one edge."""
    source = nodes.resolve(call.dlv, call.body.source, "source")
    target = nodes.resolve(call.dlv, call.body.target, "target")
    with call.dlv.record.tx() as conn:
        edge = store.create(conn, call.actor, source, target)
    return edges.get(call.dlv, edge["id"])


@resource.get("/edges/{id}", need=READER, returns=EdgeOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One edge: what proves it, from when to when it held, what people wrote on it."""
    return edges.get(call.dlv, id)


@resource.patch("/edges/{id}", need=ADMIN, body=EdgeChange, returns=EdgeOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Retire an edge, or take its last retirement back."""
    version = needed_version(call.body.version)
    change = store.retire if call.body.retired else store.unretire
    with call.dlv.record.tx() as conn:
        change(conn, call.actor, id, version)
    return edges.get(call.dlv, id)


@resource.delete("/edges/{id}", need=ADMIN, returns=EdgeOut)
def retire(call: Call, id: UUID) -> dict[str, Any]:
    """End an edge, with both halves of a stand-in. What is seen again later opens it again."""
    with call.dlv.record.tx() as conn:
        store.retire(conn, call.actor, id, if_match())
    return edges.get(call.dlv, id)


@resource.get("/edges/{id}/annotations", need=READER, returns=Annotations, etag=True)
def annotations_of(call: Call, id: UUID) -> dict[str, Any]:
    """What people wrote on an edge, newest first."""
    return {"items": edges.get(call.dlv, id)["annotations"]}


@resource.post(
    "/edges/{id}/annotations", need=RESPONDER, body=AnnotationText, returns=AnnotationOut, status=201
)
def annotate(call: Call, id: UUID) -> dict[str, Any]:
    """Write on an edge."""
    edge = edges.get(call.dlv, id)
    with call.dlv.record.tx() as conn:
        return notes.write(conn, call.actor, "edge", UUID(edge["id"]), call.body.text)
