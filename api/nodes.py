"""Nodes: find, read, create, edit, merge, split, annotate."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from answers import nodes
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, if_match
from auth.roles import ADMIN, READER, RESPONDER, allows
from errors import Invalid
from ingest import byhand
from store import annotations as notes
from store import node_edits

resource = Resource("nodes")


class Alias(Out):
    id: UUID
    environment: str
    namespace: str
    name: str


class SlaOut(Out):
    kind: Literal["freshness", "completion"]
    minutes: int


class NodeOut(Out):
    id: UUID
    type: Literal["dataset", "job"]
    kind: str
    system: str
    environment: str
    namespace: str
    name: str
    aliases: list[Alias]
    parent_id: UUID | None
    parent_name: str | None
    owner: UUID | None = Field(description="The owning team")
    owner_name: str = Field(description="Its name, or the owner as events say it")
    sla: SlaOut | None
    tags: list[str]
    criticality: int | None = Field(description="1 (most critical) to 4")
    description: str
    health: Literal["ok", "warn", "late", "failed", "unknown"]
    health_reason: str
    health_since: datetime | None
    running: bool
    role: Literal["root", "symptom", "at_risk"] | None
    at_risk: bool | None = Field(description="null while the graph is away")
    unresolved: str | None = Field(description="Why a name could not be resolved, and what was tried")
    standin: bool
    sources: dict[str, str] = Field(description="Who set a field: manual, file, pattern or event")
    first_seen: datetime
    last_seen: datetime
    made_at: datetime | None
    retired_at: datetime | None
    dropped_at: datetime | None
    version: int


class NodeQuery(PageQuery):
    q: Text = Field(
        "", max_length=200, description="Words that all must occur in namespace, name, owner or tags"
    )
    type: list[Literal["dataset", "job"]] = []
    kind: list[Text] = []
    system: list[Text] = []
    environment: list[Text] = []
    namespace: list[Text] = Field([], description="Any alias, as it was sent or as DLV reads it")
    name: list[Text] = Field([], description="Any alias, as it was sent or as DLV reads it")
    owner: list[Text] = Field([], description="Team id or name, or none")
    team: list[Text] = Field([], description="The same as owner")
    tag: list[Text] = []
    health: list[Literal["ok", "warn", "late", "failed", "unknown", "root", "symptom", "at_risk"]] = []
    criticality: list[int] = []
    parent_id: list[UUID] = []
    retired: Literal["without", "with", "only"] = "without"
    sort: Literal[
        "name", "namespace", "kind", "system", "environment", "owner", "criticality", "health", "last_seen"
    ] = "name"
    descending: bool = False


class SearchQuery(Given):
    q: Text = Field(min_length=1, max_length=200)
    limit: int = Field(12, ge=1, le=100)


class Sla(Given):
    kind: Text
    minutes: int


class Fields(Given):
    owner: Text | None = Field(None, description="Team id or name; null: nobody, whatever events say")
    sla: Sla | None = None
    tags: list[Text] | None = None
    criticality: int | None = None
    description: Text | None = Field(None, max_length=20_000)


class NewNode(Fields):
    type: Literal["dataset", "job"]
    namespace: Text = Field(min_length=1, max_length=1000)
    name: Text = Field(min_length=1, max_length=1000)
    kind: Text | None = Field(None, max_length=60)
    system: Text | None = Field(None, max_length=60, description="Read from the namespace where left out")
    environment: Text | None = Field(
        None, max_length=60, description="By pattern on the namespace where left out"
    )


class NodeChange(Fields):
    name: Text | None = Field(None, max_length=1000)
    kind: Text | None = Field(None, max_length=60)
    unset: list[Text] = Field([], description="Fields in which file, pattern and events are to speak again")
    retired: bool | None = Field(None, description="Off the map, or back on it")
    version: int | None = Field(None, description="Instead of If-Match")


class BulkEdit(Given):
    ids: list[UUID] = Field(min_length=1, max_length=1000)
    versions: dict[UUID, int] = {}
    set: NodeChange


class Changed(Out):
    changed: int


class OtherNode(Given):
    other: UUID


class OneAlias(Given):
    alias: UUID


class SplitOut(Out):
    node: NodeOut
    split: NodeOut


class RunOut(Out):
    key: UUID
    run_id: str
    state: str
    job_id: UUID | None
    job_name: str | None
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration: float | None = Field(description="Seconds")
    error: str | None
    log_url: str | None


class SchemaOut(Out):
    fields: list[dict[str, Any]]
    versions: list[dict[str, Any]]


class AnnotationOut(Out):
    id: UUID
    text: str
    author: str
    created_at: datetime
    edited_at: datetime | None


class Annotations(Out):
    items: list[AnnotationOut]


class AnnotationText(Given):
    text: Text = Field(min_length=1, max_length=10_000)


class Nodes(Out):
    items: list[NodeOut]


class Option(Out):
    key: str
    n: int
    name: str | None = None


class Options(Out):
    type: list[Option]
    kind: list[Option]
    system: list[Option]
    environment: list[Option]
    tag: list[Option]
    team: list[Option]


class Detail(Out):
    node: NodeOut
    schema_: list[dict[str, Any]] = Field(alias="schema")
    runs: list[RunOut]
    edges: list[dict[str, Any]]
    names: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    annotations: list[AnnotationOut]
    warnings: list[dict[str, Any]]
    renamed: list[dict[str, Any]] = Field(
        description="What it was renamed to (way: to) and was called before (from): way, id, namespace, name, at"
    )
    silence: dict[str, Any] | None = Field(
        description="Why nobody is told of it now: id, kind, reason, until"
    )
    upstream: int
    downstream: int


@resource.get("/nodes", need=READER, query=NodeQuery, returns=Page[NodeOut], etag=True)
def page(call: Call) -> dict[str, Any]:
    """Nodes by filter. Several values of one filter mean any of them."""
    q = call.query
    filters = q.model_dump(exclude={"limit", "cursor", "sort", "descending"})
    return nodes.page(call.dlv, filters, q.limit, q.cursor, sort=q.sort, descending=q.descending)


@resource.get("/search", need=READER, query=SearchQuery, returns=Nodes)
def search(call: Call) -> dict[str, Any]:
    """Search as you type over name, namespace, owner and tag, best first."""
    return {"items": nodes.search(call.dlv, call.query.q, call.query.limit)}


@resource.get("/nodes/options", need=READER, returns=Options, etag=True)
def options(call: Call) -> dict[str, Any]:
    """What nodes can be filtered by, with how many there are of each."""
    return nodes.options(call.dlv)


@resource.post("/nodes", need=ADMIN, body=NewNode, returns=NodeOut, status=201)
def create(call: Call) -> dict[str, Any]:
    """A node by hand. Its name is read by the same rules as names that events send."""
    with call.dlv.record.tx() as conn:
        given = call.body.model_dump(exclude_unset=True)
        said = byhand.read(conn, given)
        id_ = node_edits.create(conn, call.actor, said, (given["namespace"], given["name"]))
    return nodes.get(call.dlv, id_)


@resource.post("/nodes/bulk-edit", need=ADMIN, body=BulkEdit, returns=Changed)
def bulk_edit(call: Call) -> dict[str, Any]:
    """The same edit of many nodes, all or nothing."""
    changes, unset, retired = _split_change(call.body.set)
    if retired is not None:
        raise Invalid(
            "many nodes cannot be retired at once", field="set.retired", hint="retire them one by one"
        )
    ids = [nodes.resolve(call.dlv, i, "ids") for i in call.body.ids]
    versions = {nodes.resolve(call.dlv, i, "versions"): v for i, v in call.body.versions.items()}
    with call.dlv.record.tx() as conn:
        return {"changed": node_edits.edit_many(conn, call.actor, ids, changes, versions, unset)}


@resource.get("/nodes/{id}", need=READER, returns=NodeOut, etag=True)
def get(call: Call, id: UUID) -> dict[str, Any]:
    """One node, by its id or that of any of its aliases."""
    return nodes.get(call.dlv, id)


@resource.patch("/nodes/{id}", need=ADMIN, body=NodeChange, returns=NodeOut)
def edit(call: Call, id: UUID) -> dict[str, Any]:
    """Set fields by hand: they outrank files, patterns and events. 412 says what somebody else changed meanwhile."""
    version = needed_version(call.body.version)
    changes, unset, retired = _split_change(call.body)
    node = nodes.resolve(call.dlv, id)
    with call.dlv.record.tx() as conn:
        if changes or unset:
            node_edits.edit(conn, call.actor, node, changes, version, unset)
            version += 1
        if retired is not None:
            node_edits.retire(conn, call.actor, node, version, back=not retired)
    return nodes.get(call.dlv, node)


@resource.delete("/nodes/{id}", need=ADMIN, returns=NodeOut)
def retire(call: Call, id: UUID) -> dict[str, Any]:
    """Take a node off the map; its history stays, and it can come back."""
    node = nodes.resolve(call.dlv, id)
    with call.dlv.record.tx() as conn:
        node_edits.retire(conn, call.actor, node, if_match())
    return nodes.get(call.dlv, node)


@resource.post("/nodes/{id}/merge", need=ADMIN, body=OtherNode, returns=NodeOut)
def merge(call: Call, id: UUID) -> dict[str, Any]:
    """Make two nodes one; a split undoes it."""
    node, other = nodes.resolve(call.dlv, id), nodes.resolve(call.dlv, call.body.other, "other")
    with call.dlv.record.tx() as conn:
        one = node_edits.merge(conn, call.actor, node, other)
    return nodes.get(call.dlv, one)


@resource.post("/nodes/{id}/split", need=ADMIN, body=OneAlias, returns=SplitOut)
def split(call: Call, id: UUID) -> dict[str, Any]:
    """Take one name out of a node, for good."""
    node = nodes.resolve(call.dlv, id)
    with call.dlv.record.tx() as conn:
        rest, gone = node_edits.split(conn, call.actor, node, call.body.alias)
    return {"node": nodes.get(call.dlv, rest), "split": nodes.get(call.dlv, gone)}


@resource.get("/nodes/{id}/detail", need=READER, returns=Detail, etag=True)
def detail(call: Call, id: UUID) -> dict[str, Any]:
    """All about one node: schema, last runs, provenance, names and why they are one, annotations, warnings."""
    return nodes.drawer(call.dlv, id)


@resource.get("/nodes/{id}/runs", need=READER, query=PageQuery, returns=Page[RunOut], etag=True)
def runs(call: Call, id: UUID) -> dict[str, Any]:
    """Runs of a job, or of the jobs that write a dataset, newest due first."""
    return nodes.runs(call.dlv, id, call.query.limit, call.query.cursor)


@resource.get("/nodes/{id}/schema", need=READER, returns=SchemaOut, etag=True)
def schema(call: Call, id: UUID) -> dict[str, Any]:
    """The fields of a dataset, and every version of them that was seen."""
    return nodes.schema(call.dlv, id)


@resource.get("/nodes/{id}/annotations", need=READER, returns=Annotations, etag=True)
def annotations_of(call: Call, id: UUID) -> dict[str, Any]:
    """What people wrote on a node, newest first."""
    node = nodes.resolve(call.dlv, id)
    with call.dlv.record.tx() as conn:
        return {"items": notes.of_node(conn, node)}


@resource.post(
    "/nodes/{id}/annotations", need=RESPONDER, body=AnnotationText, returns=AnnotationOut, status=201
)
def annotate(call: Call, id: UUID) -> dict[str, Any]:
    """Write on a node."""
    node = nodes.resolve(call.dlv, id)
    with call.dlv.record.tx() as conn:
        return notes.write(conn, call.actor, "node", node, call.body.text)


@resource.patch("/annotations/{id}", need=RESPONDER, body=AnnotationText, returns=AnnotationOut)
def edit_annotation(call: Call, id: UUID) -> dict[str, Any]:
    """Rewrite one's own annotation; an admin anybody's."""
    with call.dlv.record.tx() as conn:
        return notes.edit(conn, call.actor, id, call.body.text, any_author=allows(ADMIN, call.principal))


@resource.delete("/annotations/{id}", need=RESPONDER, status=204)
def delete_annotation(call: Call, id: UUID) -> None:
    """Take away one's own annotation; an admin anybody's."""
    with call.dlv.record.tx() as conn:
        notes.delete(conn, call.actor, id, any_author=allows(ADMIN, call.principal))


def needed_version(in_body: int | None) -> int:
    """The version that an edit is based on, from If-Match or the body."""
    version = if_match()
    version = in_body if version is None else version
    if version is None:
        raise Invalid(
            "an edit says which version it is based on",
            field="version",
            hint='If-Match: "3", or version in the body',
        )
    return version


def _split_change(change: NodeChange) -> tuple[dict[str, Any], list[str], bool | None]:
    said = change.model_dump(exclude_unset=True)
    unset = said.pop("unset", [])
    retired = said.pop("retired", None)
    said.pop("version", None)
    return said, unset, retired
