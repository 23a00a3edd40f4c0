"""Owner, SLA, tags and criticality for many nodes at once, from a YAML or CSV file by selector, with a preview.

YAML::

    - select: {system: postgres, name: "shop.public.*"}   # kind, system, type, environment, tag: words;
      set: {owner: Finance, tags: [pii], criticality: 1,  # namespace, name: globs (* and ?)
            sla: {kind: freshness, minutes: 60}}

CSV has the columns kind, system, type, environment, namespace, name, tag (what selects) and owner, sla (such as
``freshness 60``), tags (``pii;finance``), criticality (what is set). An empty cell selects anything and sets nothing.
Later entries win over earlier ones. What was set by hand outranks the file, whenever it was set.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from errors import Invalid
from store import audit, materialise, node_edits, nodes
from store.audit import Actor
from store.record import Conn
from store.teams import regex

SELECTS = ("kind", "system", "type", "environment", "namespace", "name", "tag")
SETS = ("owner", "sla", "tags", "criticality")
MAX_ENTRIES = 5000
MAX_BYTES = 2_000_000
#: nodes that one file may set
MAX_NODES = 100_000
_CHUNK = 1000


@dataclass(frozen=True)
class Entry:
    """One rule of a file, and the line it begins in."""

    line: int
    select: dict[str, str]
    set: dict[str, Any]


# ---------------------------------------------------------------- reading the file (pure)


def parse(text: str, format_: str) -> list[Entry]:
    """The entries of a file, or :class:`errors.Invalid` that names line and field."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise Invalid("the file is larger than 2 MB", field="text", hint="split it")
    if "\x00" in text:
        raise Invalid("the file holds a NUL character", field="text", hint="save it as UTF-8 text")
    if format_ == "yaml":
        entries = _yaml(text)
    elif format_ == "csv":
        entries = _csv(text)
    else:
        raise Invalid(f"format is {format_!r}", field="format", hint="yaml or csv")
    if not entries:
        raise Invalid("the file sets nothing", field="text", hint="at least one entry with select and set")
    if len(entries) > MAX_ENTRIES:
        raise Invalid(f"{len(entries)} entries are too many", field="text", hint=f"at most {MAX_ENTRIES}")
    return entries


def _wrong(line: int, field: str, message: str, hint: str | None = None) -> Invalid:
    return Invalid(f"line {line}, {field}: {message}", field=field, hint=hint)


def _yaml(text: str) -> list[Entry]:
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):  # a few lines of them can stand for more than memory holds
                at = event.start_mark.line + 1 if event.start_mark else 1
                raise _wrong(at, "text", "anchors are not read", "write the values out")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise Invalid(f"line {line}: not YAML: {e.problem or e.context}", field="text") from None
    except (yaml.YAMLError, RecursionError) as e:
        raise Invalid(f"not YAML: {str(e).splitlines()[0]}", field="text") from None
    if root is None:
        return []
    if not isinstance(root, SequenceNode):
        raise _wrong(
            root.start_mark.line + 1, "text", "a list of entries is expected", "- select: …\n  set: …"
        )
    return [_entry(node) for node in root.value]


def _entry(node: Node) -> Entry:
    line = node.start_mark.line + 1
    parts = _mapping(node, "entry")
    for key, value in parts.items():
        if key not in ("select", "set"):
            raise _wrong(value.start_mark.line + 1, key, "there is no such field", "select and set")
    for key in ("select", "set"):
        if key not in parts:
            raise _wrong(line, key, "is missing", "every entry has select and set")
    select: dict[str, str] = {}
    for key, value in _mapping(parts["select"], "select").items():
        at = value.start_mark.line + 1
        if not isinstance(value, ScalarNode):
            raise _wrong(at, key, "is not a word", "one value; write a second entry for another")
        _select(select, at, key, value.value)
    _selects_something(line, select)
    sets: dict[str, Any] = {}
    for key, value in _mapping(parts["set"], "set").items():
        _set(sets, value.start_mark.line + 1, key, _plain(value))
    _sets_something(line, sets)
    return Entry(line, select, sets)


def _mapping(node: Node, name: str) -> dict[str, Node]:
    if not isinstance(node, MappingNode):
        raise _wrong(node.start_mark.line + 1, name, "is not a mapping", "key: value")
    out: dict[str, Node] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise _wrong(key.start_mark.line + 1, name, "has a key that is not a word")
        if key.value in out:
            raise _wrong(key.start_mark.line + 1, key.value, "is given twice")
        out[key.value] = value
    return out


_TAGS = {f"tag:yaml.org,2002:{t}" for t in ("str", "int", "float", "bool", "null", "seq", "map", "timestamp")}


def _plain(node: Node) -> Any:
    line = node.start_mark.line + 1
    if node.tag not in _TAGS:
        raise _wrong(line, "set", f"{node.tag[:80]} is not read", "plain words, numbers, lists")
    if isinstance(node, SequenceNode):
        return [_plain(n) for n in node.value]
    if isinstance(node, MappingNode):
        return {k: _plain(v) for k, v in _mapping(node, "set").items()}
    if node.tag.endswith("timestamp"):
        return node.value
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError):
        raise _wrong(line, "set", f"{node.value[:40]!r} is no value", "plain words, numbers, lists") from None


def _csv(text: str) -> list[Entry]:
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    try:
        header = [h.strip().lower() for h in next(rows, [])]
        for name in header:
            if name not in SELECTS + SETS:
                raise _wrong(1, name or "(empty)", "there is no such column", ", ".join(SELECTS + SETS))
            if header.count(name) > 1:
                raise _wrong(1, name, "is given twice")
        out = []
        for row in rows:
            if any(cell.strip() for cell in row):
                out.append(_row(rows.line_num, header, row))
    except csv.Error as e:
        raise Invalid(f"line {rows.line_num}: not CSV: {e}", field="text") from None
    return out


def _row(line: int, header: list[str], row: list[str]) -> Entry:
    if len(row) > len(header):
        raise _wrong(
            line, "text", f"has {len(row)} cells for {len(header)} columns", "quote cells that hold a comma"
        )
    select: dict[str, str] = {}
    sets: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=False):
        text = cell.strip()
        if not text:
            continue
        if name in SELECTS:
            _select(select, line, name, text)
        elif name == "tags":
            _set(sets, line, name, [t.strip() for t in text.split(";") if t.strip()])
        elif name == "sla":
            kind, _, minutes = text.partition(" ")
            if not minutes.strip().isdigit():
                raise _wrong(line, "sla", f"{text!r} is not a kind and minutes", "e.g. freshness 60")
            _set(sets, line, name, {"kind": kind, "minutes": int(minutes)})
        elif name == "criticality":
            if not text.isdigit():
                raise _wrong(line, "criticality", f"{text!r} is not a number", "1 to 4")
            _set(sets, line, name, int(text))
        else:
            _set(sets, line, name, text)
    _selects_something(line, select)
    _sets_something(line, sets)
    return Entry(line, select, sets)


def _select(select: dict[str, str], line: int, key: str, value: str) -> None:
    if key not in SELECTS:
        raise _wrong(line, key, "cannot be selected by", ", ".join(SELECTS))
    if len(value) > 1000:
        raise _wrong(line, key, "is longer than 1000 characters")
    if value.strip():
        select[key] = value.strip()


def _set(sets: dict[str, Any], line: int, key: str, value: Any) -> None:
    if key not in SETS:
        raise _wrong(line, key, "cannot be set by a file", ", ".join(SETS))
    if value is None:
        raise _wrong(line, key, "is empty", "leave it out to set nothing")
    sets[key] = value


def _selects_something(line: int, select: Mapping[str, str]) -> None:
    if not select:
        raise _wrong(line, "select", "selects every node", "say at least one of " + ", ".join(SELECTS))


def _sets_something(line: int, sets: Mapping[str, Any]) -> None:
    if not sets:
        raise _wrong(line, "set", "sets nothing", "at least one of " + ", ".join(SETS))


# ---------------------------------------------------------------- preview and apply


def preview(conn: Conn, text: str, format_: str) -> dict[str, Any]:
    """{changes: [{node, name, namespace, line, field, before, after, kept}], entries: [{line, matched}], nodes}.

    ``kept`` is None where the file changes the field, else the value that was set by hand and stays.
    """
    entries, wanted, matched = _wanted(conn, text, format_)
    now = _now(conn, list(wanted))
    team = {str(r["id"]): r["name"] for r in conn.execute("select id, name from team")}
    changes = []
    for id_, fields in wanted.items():
        row = now[id_]
        for field, (value, line) in sorted(fields.items()):
            before = row[field]
            manual = field in row["manual"]
            if before == value:
                continue
            said = {"before": before, "after": value}
            if field == "owner":
                said = {k: team.get(str(v), v) for k, v in said.items()}
            changes.append(
                {
                    "node": id_,
                    "namespace": row["namespace"],
                    "name": row["name"],
                    "line": line,
                    "field": field,
                    **said,
                    "kept": said["before"] if manual else None,
                    "manual": manual,
                }
            )
    changes.sort(key=lambda c: (c["namespace"], c["name"], str(c["node"]), c["field"]))
    return {
        "changes": changes,
        "entries": [{"line": e.line, "matched": n} for e, n in zip(entries, matched, strict=True)],
        "nodes": len({c["node"] for c in changes}),
    }


def apply(conn: Conn, actor: Actor, text: str, format_: str, file: str) -> dict[str, Any]:
    """Write what the preview shows, with an audit row for each node that changes; returns the preview."""
    seen = preview(conn, text, format_)
    _, wanted, _ = _wanted(conn, text, format_)
    name = file.strip()[:200] or f"file.{format_}"
    for id_, fields in wanted.items():
        node_edits.set_from_file(conn, id_, {f: v for f, (v, _) in fields.items()}, name)
    ids = sorted(wanted)
    for start in range(0, len(ids), _CHUNK):
        materialise.refresh(conn, ids[start : start + _CHUNK])
    by_node: dict[UUID, list[dict[str, Any]]] = {}
    for change in seen["changes"]:
        if not change["manual"]:
            by_node.setdefault(change["node"], []).append(change)
    for id_, changes in sorted(by_node.items()):
        audit.write(
            conn, actor, "node.assign", "node", id_,
            {c["field"]: c["before"] for c in changes},
            {c["field"]: c["after"] for c in changes} | {"file": name},
        )  # fmt: skip
    audit.write(
        conn,
        actor,
        "assign.apply",
        "file",
        name,
        None,
        {"nodes": len(by_node), "entries": len(seen["entries"])},
    )
    return seen


def _wanted(
    conn: Conn, text: str, format_: str
) -> tuple[list[Entry], dict[UUID, dict[str, tuple[Any, int]]], list[int]]:
    """Entries, what each selected node is to be (field → value and line), and how many nodes each entry selects."""
    entries = parse(text, format_)
    wanted: dict[UUID, dict[str, tuple[Any, int]]] = {}
    matched = []
    for entry in entries:
        try:
            values = node_edits.checked(conn, entry.set)
        except Invalid as e:
            raise _wrong(entry.line, e.field or "set", e.message, e.hint) from None
        ids = _select_nodes(conn, entry.select)
        matched.append(len(ids))
        for id_ in ids:
            wanted.setdefault(id_, {}).update({f: (v, entry.line) for f, v in values.items()})
        if len(wanted) > MAX_NODES:
            raise _wrong(entry.line, "select", f"more than {MAX_NODES} nodes are selected", "select fewer")
    return entries, wanted, matched


def _select_nodes(conn: Conn, select: Mapping[str, str]) -> list[UUID]:
    filters = {k: v for k, v in select.items() if k in ("kind", "system", "type", "environment", "tag")}
    if "tag" in filters:
        filters["tag"] = filters["tag"].lower()
    cond, args = nodes.where(filters)
    globs = [k for k in ("namespace", "name") if k in select]
    if globs:
        match = " and ".join(f"lower({{t}}.{k}) ~ %(glob_{k})s" for k in globs)
        cond += f""" and n.id in (select a.node_id from alias a where {match.format(t="a")}
                                  union select a.node_id from alias_sent s join alias a on a.id = s.alias_id
                                         where {match.format(t="s")})"""
        args |= {f"glob_{k}": regex(select[k].lower()) for k in globs}
    return [r["id"] for r in conn.execute(f"select n.id from node n where {cond} order by n.id", args)]


def _now(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    rows = conn.execute(
        """select n.id, n.namespace, n.name, n.tags, n.criticality, n.sla_kind, n.sla_minutes, n.owner_id, n.owner_name,
                  array(select f.field from alias a join alias_field f on f.alias_id = a.id
                         where a.node_id = n.id and f.source = 'manual') as manual
             from node n where n.id = any(%s)""",
        (list(ids),),
    )
    return {
        r["id"]: r
        | {
            "owner": str(r["owner_id"]) if r["owner_id"] else r["owner_name"] or None,
            "sla": {"kind": r["sla_kind"], "minutes": r["sla_minutes"]} if r["sla_kind"] else None,
        }
        for r in rows
    }
