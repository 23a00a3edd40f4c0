"""Node rows from what is known of their aliases: names, kinds, and fields by precedence of who said them."""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from ingest.ids import STANDIN_NAMESPACE
from store import dirty
from store.record import Conn

#: by hand outranks a file, that a pattern, that events
SOURCES = ("manual", "file", "pattern", "event")

_COLUMNS = (
    "type kind system environment namespace name parent_id standin owner_id owner_name owner_source sla_kind "
    "sla_minutes tags criticality description first_seen last_seen dropped_at aliases unresolved sources"
).split()

#: systems whose names are paths: a table is shown by its name and not by where it lies
PATH_SYSTEMS = {"file", "s3", "gs", "hdfs", "abfss", "wasbs", "adl", "dbfs", "oss", "cos", "sftp"}

#: what the graph knows of a node; a change of anything else is none of its business
_IN_GRAPH = ("type", "kind", "system", "environment", "owner_id", "tags", "criticality", "standin")


def refresh(conn: Conn, node_ids: Iterable[UUID]) -> None:
    """Rebuild these nodes' rows; a node that no alias belongs to any more goes. Marks what the graph must learn."""
    wanted = sorted(set(node_ids))
    if not wanted:
        return
    aliases: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for r in conn.execute(
        """
        select a.*, p.node_id as parent_node, d.at as drop_at
        from alias a
        left join alias p on p.id = a.parent_id
        left join lateral (select max(at) as at from dataset_drop where alias_id = a.id) d on a.type = 'dataset'
        where a.node_id = any(%s) order by a.id
        """,
        (wanted,),
    ):
        aliases[r["node_id"]].append(r)
    fields = _fields(conn, wanted)
    teams = _Teams(conn)
    rows = {n: _row(n, aliases[n], fields.get(n, {}), teams) for n in wanted if n in aliases}
    before = {
        r["id"]: r
        for r in conn.execute(
            f"select id, {', '.join(_COLUMNS)} from node where id = any(%s) order by id for update", (wanted,)
        )
    }
    changed = {
        n for n, row in rows.items() if n not in before or any(before[n][c] != row[c] for c in _COLUMNS)
    }
    if changed:
        _write(conn, {n: rows[n] for n in sorted(changed)})
    gone = [n for n in wanted if n not in rows and n in before]
    if gone:
        conn.execute("delete from node where id = any(%s)", (gone,))
    seen = {n for n in changed if n not in before or any(before[n][c] != rows[n][c] for c in _IN_GRAPH)}
    dirty.mark(conn, "node", seen | set(gone))


def seen_again(conn: Conn, alias_ids: Iterable[UUID]) -> set[UUID]:
    """Move first and last seen of the nodes of these aliases, of which nothing else changed; returns the nodes that
    need :func:`refresh` all the same: of several aliases another may now be the one shown, and what was dropped is back.
    """
    rows = conn.execute(
        """
        with s as (select id, node_id, first_seen, last_seen from alias where id = any(%s)),
        plain as (
            select s.* from s join node n on n.id = s.node_id and n.dropped_at is null
            where s.id = s.node_id and not exists (select from alias o where o.node_id = s.node_id and o.id <> s.id)),
        moved as (
            update node n set first_seen = least(n.first_seen, p.first_seen), last_seen = greatest(n.last_seen, p.last_seen)
            from plain p where n.id = p.node_id and (p.last_seen > n.last_seen or p.first_seen < n.first_seen))
        select distinct node_id from s where id not in (select id from plain)
        """,
        (list(alias_ids),),
    )
    return {r["node_id"] for r in rows}


def _fields(conn: Conn, node_ids: list[UUID]) -> dict[UUID, dict[str, dict[str, dict[str, Any]]]]:
    """node → field → source → the newest statement."""
    out: dict[UUID, dict[str, dict[str, dict[str, Any]]]] = defaultdict(lambda: defaultdict(dict))
    for r in conn.execute(
        """
        select a.node_id, f.field, f.source, f.value, f.set_by, f.set_at
        from alias_field f join alias a on a.id = f.alias_id where a.node_id = any(%s)
        order by f.set_at, f.set_by, f.value::text, f.alias_id
        """,
        (node_ids,),
    ):
        out[r["node_id"]][r["field"]][r["source"]] = r
    return out


class _Teams:
    """Teams by id, by name and by the patterns that give them nodes."""

    def __init__(self, conn: Conn) -> None:
        rows = conn.execute("select id, name from team where retired_at is null").fetchall()
        self.by_id = {str(r["id"]): r for r in rows}
        self.by_name = {r["name"].lower(): r for r in rows}
        self.patterns = [
            (r["pattern"], str(r["team_id"]))
            for r in conn.execute(
                "select p.pattern, p.team_id from team_pattern p join team t on t.id = p.team_id "
                "where t.retired_at is null order by length(p.pattern) desc, p.pattern, p.id"
            )
        ]

    def by_pattern(self, names: list[str]) -> dict[str, Any] | None:
        """The longest pattern wins: it says most."""
        for pattern, team in self.patterns:
            if any(fnmatch.fnmatchcase(n.lower(), pattern.lower()) for n in names):
                return self.by_id[team]
        return None


def _best(said: dict[str, dict[str, Any]]) -> tuple[Any, str | None]:
    for source in SOURCES:
        if source in said:
            return said[source]["value"], source
    return None, None


def _shown(aliases: list[dict[str, Any]]) -> dict[str, Any]:
    """The alias a node is shown by: resolved before unresolved, a table before the files it lies in, then last seen."""
    return max(
        aliases,
        key=lambda a: (
            a["unresolved"] is None, a["system"] not in PATH_SYSTEMS, a["kind_rank"], a["last_seen"], str(a["id"]),
        ),
    )  # fmt: skip


def _row(node: UUID, aliases: list[dict[str, Any]], said: dict[str, Any], teams: _Teams) -> dict[str, Any]:
    shown = _shown(aliases)
    parents = [(a["parent_at"], str(a["parent_node"]), a["parent_node"]) for a in aliases if a["parent_node"]]
    parent = max(parents)[2] if parents else None
    last_seen = max(a["last_seen"] for a in aliases)
    drops = [a["drop_at"] for a in aliases if a["drop_at"]]
    dropped: datetime | None = max(drops) if drops and max(drops) >= last_seen else None
    sla, _ = _best(said.get("sla", {}))
    owner_id, owner_name, owner_source = _owner(said.get("owner", {}), aliases, teams)
    return {
        "type": shown["type"],
        "kind": _best(said.get("kind", {}))[0] or shown["kind"],
        "system": shown["system"],
        "environment": shown["environment"],
        "namespace": shown["namespace"],
        "name": _best(said.get("name", {}))[0] or shown["name"],
        "parent_id": parent if parent != node else None,
        "standin": shown["namespace"] == STANDIN_NAMESPACE,
        "owner_id": owner_id,
        "owner_name": owner_name,
        "owner_source": owner_source,
        "sla_kind": sla.get("kind") if isinstance(sla, dict) else None,
        "sla_minutes": sla.get("minutes") if isinstance(sla, dict) else None,
        "tags": _tags(said.get("tags", {})),
        "criticality": _best(said.get("criticality", {}))[0],
        "description": _best(said.get("description", {}))[0] or "",
        "first_seen": min(a["first_seen"] for a in aliases),
        "last_seen": last_seen,
        "dropped_at": dropped,
        "aliases": [
            {"id": str(a["id"])} | {k: a[k] for k in ("environment", "namespace", "name")} for a in aliases
        ],
        "unresolved": "; ".join(a["unresolved"] for a in aliases if a["unresolved"]) or None,
        "sources": {field: source for field in said if (source := _best(said[field])[1])},
    }


def _tags(said: dict[str, dict[str, Any]]) -> list[str]:
    value, _ = _best(said)
    return sorted({str(t) for t in value}) if isinstance(value, list) else []


def _owner(
    said: dict[str, dict[str, Any]], aliases: list[dict[str, Any]], teams: _Teams
) -> tuple[UUID | None, str, str | None]:
    for source in ("manual", "file"):
        if source in said:
            value = said[source]["value"]
            if value is None:
                return None, "", source
            team = teams.by_id.get(str(value)) or teams.by_name.get(str(value).lower())
            if team:
                return team["id"], team["name"], source
    team = teams.by_pattern([f"{a['namespace']}/{a['name']}" for a in aliases])
    if team:
        return team["id"], team["name"], "pattern"
    if "event" in said:
        name = str(said["event"]["value"])
        team = teams.by_name.get(name.lower())
        return (team["id"], team["name"], "event") if team else (None, name, "event")
    return None, "", None


def _write(conn: Conn, rows: dict[UUID, dict[str, Any]]) -> None:
    names = ", ".join(_COLUMNS)
    sets = ", ".join(f"{c} = excluded.{c}" for c in _COLUMNS)
    types = {
        "parent_id": "uuid", "standin": "bool", "owner_id": "uuid", "sla_minutes": "int", "tags": "text[]",
        "criticality": "smallint", "first_seen": "timestamptz", "last_seen": "timestamptz",
        "dropped_at": "timestamptz", "aliases": "jsonb", "sources": "jsonb",
    }  # fmt: skip
    typed = ", ".join(f"{c} {types.get(c, 'text')}" for c in _COLUMNS)
    conn.execute(
        f"insert into node (id, {names}) select id, {names} from jsonb_to_recordset(%s) as x(id uuid, {typed}) "
        # another limit is judged at the next turn
        f"on conflict (id) do update set {sets}, judge_at = case when (node.sla_kind, node.sla_minutes) is distinct from "
        "(excluded.sla_kind, excluded.sla_minutes) then now() else node.judge_at end",
        (Jsonb([{"id": n, **row} for n, row in rows.items()]),),
    )
