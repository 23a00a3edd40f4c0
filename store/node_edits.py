"""What people change of nodes. Fields are written to the smallest alias of a node (`alias_field`), so that merge and
split give them back, and the row is rebuilt from them; `version` counts these edits only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from errors import Changed, Conflict, Invalid, NotFound
from ingest import ids
from store import audit, dirty, evidence, health, materialise, nodes, settable
from store.audit import Actor
from store.record import Conn

FIELDS = ("owner", "sla", "tags", "criticality", "description", "name", "kind")
SLA_KINDS = ("freshness", "completion")
MAX_BULK = 1000
_MAX = {"name": 1000, "kind": 60, "system": 60, "environment": 60, "namespace": 1000, "description": 20_000}


# ---------------------------------------------------------------- what a field may be


def checked(conn: Conn, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as they are kept, or :class:`errors.Invalid` naming the first field that is wrong."""
    settable.only(changes, FIELDS)
    return {field: _CHECK[field](conn, field, value) for field, value in changes.items()}


def _owner(conn: Conn, field: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    row = conn.execute(
        """select id from team where retired_at is null and (id::text = lower(%(t)s) or lower(name) = lower(%(t)s))""",
        {"t": str(value)},
    ).fetchone()
    if row is None:
        raise Invalid(
            f"no team is called {str(value)[:80]!r}", field=field, hint="create the team first, or null"
        )
    return str(row["id"])


def _sla(_conn: Conn, field: str, value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    hint = '{"kind": "freshness" or "completion", "minutes": 1 to 525600}, or null'
    if not isinstance(value, Mapping) or set(value) - {"kind", "minutes"}:
        raise Invalid("sla is not an object of kind and minutes", field=field, hint=hint)
    minutes = value.get("minutes")
    if value.get("kind") not in SLA_KINDS:
        raise Invalid(f"sla.kind is {value.get('kind')!r}", field="sla.kind", hint=hint)
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= 525_600:
        raise Invalid(f"sla.minutes is {minutes!r}", field="sla.minutes", hint=hint)
    return {"kind": value["kind"], "minutes": minutes}


def _tags(_conn: Conn, field: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(t, str) for t in value):
        raise Invalid("tags is not a list of words", field=field, hint='e.g. ["pii", "finance"]')
    tags = sorted({t.strip().lower() for t in value if t.strip()})
    for tag in tags:
        if len(tag) > 60 or any(c.isspace() or not c.isprintable() for c in tag):
            raise Invalid(f"tag {tag[:60]!r} is longer than 60 characters or has spaces", field=field)
    if len(tags) > 50:
        raise Invalid(f"{len(tags)} tags are too many", field=field, hint="at most 50")
    return tags


def _criticality(_conn: Conn, field: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4:
        raise Invalid(f"criticality is {value!r}", field=field, hint="1 (most critical) to 4, or null")
    return value


def _text(_conn: Conn, field: str, value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _MAX[field] or "\x00" in value:
        raise Invalid(f"{field} is not text of at most {_MAX[field]} characters", field=field)
    return value.strip() or None


_CHECK = {
    "owner": _owner,
    "sla": _sla,
    "tags": _tags,
    "criticality": _criticality,
    "description": _text,
    "name": _text,
    "kind": _text,
}


# ---------------------------------------------------------------- create and edit


def create(conn: Conn, actor: Actor, said: Mapping[str, Any], sent: tuple[str, str]) -> UUID:
    """A node nobody observed. ``said`` holds type, kind, system, environment, namespace, name (normalised) and any
    field; ``sent`` is the (namespace, name) as it was typed. :class:`errors.Conflict` where the name is taken."""
    type_ = said.get("type")
    if type_ not in ("dataset", "job"):
        raise Invalid(f"type is {type_!r}", field="type", hint="dataset or job")
    base = {f: _required(said, f) for f in ("kind", "system", "environment", "namespace", "name")}
    fields = checked(conn, {k: v for k, v in said.items() if k in FIELDS and k not in ("name", "kind")})
    id_ = ids.alias_id(base["environment"], base["namespace"], base["name"], type_)
    taken = nodes.get(conn, id_)
    if taken:
        back = "bring it back instead" if taken["retired_at"] else "edit it instead"
        raise Conflict(f"{taken['name']} is on record already as {taken['id']}", field="name", hint=back)
    conn.execute(
        """insert into alias (id, environment, namespace, name, type, kind, kind_rank, system, node_id, first_seen, last_seen)
           values (%(id)s, %(environment)s, %(namespace)s, %(name)s, %(type)s, %(kind)s, 0, %(system)s, %(id)s, now(), now())""",
        base | {"id": id_, "type": type_},
    )
    conn.execute(
        "insert into alias_sent (namespace, name, type, producer_id, alias_id) values (%s, %s, %s, 0, %s)",
        (*sent, type_, id_),
    )
    _write(conn, id_, fields, "manual", actor.name)
    materialise.refresh(conn, [id_])
    audit.write(conn, actor, "node.create", "node", id_, None, base | {"type": type_} | fields)
    return id_


def _required(said: Mapping[str, Any], field: str) -> str:
    value = said.get(field)
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX[field] or "\x00" in value:
        raise Invalid(f"{field} is needed, at most {_MAX[field]} characters", field=field)
    return value.strip()


def edit(
    conn: Conn,
    actor: Actor,
    node: UUID,
    changes: Mapping[str, Any],
    version: int | None,
    unset: Iterable[str] = (),
) -> None:
    """Set fields by hand. ``unset`` takes back what was set by hand, so that file, pattern and events speak again.

    :class:`errors.Changed` where somebody edited since ``version``, with what each field is now and who set it.
    """
    said = checked(conn, changes)
    audits = _edit(conn, actor, node, said, version, tuple(unset))
    for args in audits:
        audit.write(*args)


def edit_many(
    conn: Conn,
    actor: Actor,
    wanted: Iterable[UUID],
    changes: Mapping[str, Any],
    versions: Mapping[UUID, int] | None = None,
    unset: Iterable[str] = (),
) -> int:
    """The same edit of many nodes, all or nothing, each with its audit row; returns how many changed."""
    nodes_ = sorted(set(wanted))
    if len(nodes_) > MAX_BULK:
        raise Invalid(f"{len(nodes_)} nodes are too many at once", field="ids", hint=f"at most {MAX_BULK}")
    said = checked(conn, changes)
    audits: list[Any] = []
    for node in nodes_:
        audits += _edit(conn, actor, node, said, (versions or {}).get(node), tuple(unset))
    for args in audits:
        audit.write(*args)
    return len(audits)


def _edit(
    conn: Conn, actor: Actor, node: UUID, said: dict[str, Any], version: int | None, unset: tuple[str, ...]
) -> list[Any]:
    for field in unset:
        if field not in FIELDS:
            raise Invalid(f"{field} cannot be unset", field="unset", hint="one of " + ", ".join(FIELDS))
    locked = conn.execute("select version from node where id = %s for update", (node,)).fetchone()
    if locked is None:
        raise NotFound(f"no node has the id {node}", field="id", hint="it was merged: ask for it again")
    before = current(conn, node)
    if version is not None and version != locked["version"]:
        raise Changed(
            "somebody else edited this node since you opened it",
            changes=_changes(conn, node, version, said, before),
            version=locked["version"],
            hint="look at what changed and save again with the new version",
        )
    said = {f: v for f, v in said.items() if f not in unset}
    if unset:
        conn.execute(
            """delete from alias_field f using alias a
                where a.id = f.alias_id and a.node_id = %s and f.source = 'manual' and f.field = any(%s)""",
            (node, list(unset)),
        )
    _write(conn, node, said, "manual", actor.name)
    materialise.refresh(conn, [node])
    conn.execute("update node set version = version + 1 where id = %s", (node,))
    after = current(conn, node)
    touched = [f for f in FIELDS if f in said or f in unset]
    was = {f: before[f] for f in touched} | {"version": locked["version"]}
    now = {f: after[f] for f in touched} | {"version": locked["version"] + 1}
    return [(conn, actor, "node.edit", "node", node, was, now)]


def current(conn: Conn, node: UUID) -> dict[str, Any]:
    """The fields people may edit, as they are now."""
    r = conn.execute("select * from node where id = %s", (node,)).fetchone()
    if r is None:
        raise NotFound(f"no node has the id {node}", field="id")
    return {
        "owner": str(r["owner_id"]) if r["owner_id"] else r["owner_name"] or None,
        "sla": {"kind": r["sla_kind"], "minutes": r["sla_minutes"]} if r["sla_kind"] else None,
        "tags": r["tags"],
        "criticality": r["criticality"],
        "description": r["description"],
        "name": r["name"],
        "kind": r["kind"],
    }


def _changes(
    conn: Conn, node: UUID, version: int, said: Mapping[str, Any], now: Mapping[str, Any]
) -> dict[str, Any]:
    """Of each field that others changed since, or that would be changed: yours (where there is one) and theirs."""
    since: dict[str, dict[str, Any]] = {}
    for row in conn.execute(
        """select actor_name, at, after from audit_log
            where object_type = 'node' and object_id = %s and (after ->> 'version')::int > %s order by seq""",
        (str(node), version),
    ):
        for field in row["after"]:
            if field in FIELDS:
                since[field] = {"by": row["actor_name"], "at": row["at"].astimezone(UTC).isoformat()}
    out: dict[str, Any] = {}
    for field in FIELDS:
        if field in since or (field in said and said[field] != now[field]):
            mine = {"yours": said[field]} if field in said else {}
            out[field] = mine | {"theirs": now[field]} | since.get(field, {})
    return out


def _write(conn: Conn, alias: UUID, fields: Mapping[str, Any], source: str, by: str) -> None:
    for field, value in sorted(fields.items()):
        conn.execute(
            """insert into alias_field (alias_id, field, source, value, set_by, set_at)
               values (%s, %s, %s, %s, %s, clock_timestamp())
               on conflict (alias_id, field, source) do update
                 set value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at""",
            (alias, field, source, Jsonb(value), by),
        )


def set_from_file(conn: Conn, node: UUID, fields: Mapping[str, Any], file: str) -> None:
    """Fields of a node as a file assigns them; what was set by hand outranks them. The caller refreshes and audits."""
    _write(conn, node, fields, "file", file)


# ---------------------------------------------------------------- retire, merge, split


def retire(conn: Conn, actor: Actor, node: UUID, version: int | None, *, back: bool = False) -> None:
    """Take a node off the map, or with ``back`` put it on again. Its history stays."""
    row = conn.execute(
        "select version, retired_at, name from node where id = %s for update", (node,)
    ).fetchone()
    if row is None:
        raise NotFound(f"no node has the id {node}", field="id")
    if version is not None and version != row["version"]:
        raise Changed(
            "somebody else edited this node since you opened it",
            changes=_changes(conn, node, version, {}, current(conn, node))
            | {"retired": {"yours": not back, "theirs": row["retired_at"] is not None}},
            version=row["version"],
            hint="look at what changed and try again",
        )
    if (row["retired_at"] is None) == back:
        return
    conn.execute(
        "update node set retired_at = case when %s then null else now() end, version = version + 1 where id = %s",
        (back, node),
    )
    _mark(conn, [node])
    audit.write(
        conn, actor, "node.unretire" if back else "node.retire", "node", node,
        {"name": row["name"], "retired": back, "version": row["version"]},
        {"name": row["name"], "retired": not back, "version": row["version"] + 1},
    )  # fmt: skip


def merge(conn: Conn, actor: Actor, node: UUID, other: UUID) -> UUID:
    """Make two nodes one: both histories stay, and a split undoes it. An earlier split of the two is taken back.

    Returns the id of the node they are now.
    """
    if node == other:
        raise Invalid("both ids are one node already", field="other", hint="choose another node")
    rows = {
        r["id"]: r
        for r in conn.execute(
            "select * from node where id = any(%s) order by id for update", ([node, other],)
        )
    }
    for field, id_ in (("id", node), ("other", other)):
        if id_ not in rows:
            raise NotFound(f"no node has the id {id_}", field=field)
    if rows[node]["type"] != rows[other]["type"]:
        raise Invalid(
            "a dataset and a job cannot be one node", field="other", hint="choose a node of the same type"
        )
    if rows[node]["standin"] or rows[other]["standin"]:
        raise Invalid("a stand-in job cannot be merged", field="other", hint="retire its edge instead")
    sides = [_aliases(conn, n) for n in (node, other)]
    conn.execute(
        """delete from evidence where kind = 'split'
              and ((a = any(%(x)s) and b = any(%(y)s)) or (a = any(%(y)s) and b = any(%(x)s)))""",
        {"x": sides[0], "y": sides[1]},
    )
    a, b = sorted((node, other))
    conn.execute(
        """insert into evidence (a, b, kind, source, created_at) values (%s, %s, 'merge', %s, now())
           on conflict (a, b, kind) do update set source = excluded.source, created_at = excluded.created_at""",
        (a, b, actor.name),
    )
    _rejoin(conn, [node, other], max(r["version"] for r in rows.values()) + 1)
    one = nodes.resolve(conn, node)
    if one is None or one != nodes.resolve(conn, other):
        raise Conflict(
            "an earlier split keeps some of their names apart", field="other", hint="merge those names first"
        )
    names = {str(i): f"{r['namespace']}/{r['name']}" for i, r in rows.items()}
    audit.write(conn, actor, "node.merge", "node", one, names, {"node": str(one), "merged": sorted(names)})
    return one


def split(conn: Conn, actor: Actor, node: UUID, alias: UUID) -> tuple[UUID, UUID]:
    """Take one name out of a node, for good: later events do not bring it back. Returns (node of the rest, node of the
    alias)."""
    row = conn.execute("select version from node where id = %s for update", (node,)).fetchone()
    if row is None:
        raise NotFound(f"no node has the id {node}", field="id")
    others = _aliases(conn, node)
    if alias not in others:
        raise Invalid("that is no name of this node", field="alias", hint="choose one of its aliases")
    others.remove(alias)
    if not others:
        raise Invalid("the node has only this name", field="alias", hint="there is nothing to split")
    for other in others:
        a, b = sorted((alias, other))
        conn.execute(
            """insert into evidence (a, b, kind, source, created_at) values (%s, %s, 'split', %s, now())
               on conflict do nothing""",
            (a, b, actor.name),
        )
    _rejoin(conn, [alias, *others], row["version"] + 1)
    rest, gone = nodes.resolve(conn, others[0]), nodes.resolve(conn, alias)
    assert rest and gone and rest != gone
    audit.write(
        conn, actor, "node.split", "node", node, {"node": str(node)}, {"alias": str(alias), "now": str(gone)}
    )
    return rest, gone


def _aliases(conn: Conn, node: UUID) -> list[UUID]:
    return [r["id"] for r in conn.execute("select id from alias where node_id = %s order by id", (node,))]


def _rejoin(conn: Conn, aliases: list[UUID], version: int) -> None:
    """Recompute what these aliases are part of, with rows, health and the graph's marks."""
    touched = evidence.components(conn, aliases)
    materialise.refresh(conn, touched)
    health.judge(conn, touched, datetime.now(UTC))
    conn.execute(
        "update node set version = greatest(version, %s) where id = any(%s)", (version, list(touched))
    )
    _mark(conn, touched)


def _mark(conn: Conn, wanted: Iterable[UUID]) -> None:
    """The graph must learn these nodes and every edge at them anew."""
    nodes_ = list(wanted)
    dirty.mark(conn, "node", nodes_)
    edges = conn.execute(
        "select e.id from edge e join alias a on a.id in (e.source, e.target) where a.node_id = any(%s)",
        (nodes_,),
    )
    dirty.mark(conn, "edge", [r["id"] for r in edges])
