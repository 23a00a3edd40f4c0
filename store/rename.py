"""Move everything that hangs on one alias to another, as when a naming rule now reads its name differently."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ingest import ids
from store import dirty, intervals
from store.record import Conn

#: tables whose rows belong to an alias by one column, with the rest of their key
_OWNED = {
    "alias_field": ("alias_id", "field, source, value, set_by, set_at"),
    "schema_version": ("alias_id", "hash, fields, first_seen, last_seen"),
    "alias_facet": ("alias_id", "name, at, hash, body"),
    "assertion": ("alias_id", "name, column_name, severity, success, message, at, hash, run_key"),
    "dataset_drop": ("alias_id", "at, renamed_to"),
    "event_warning": ("alias_id", "producer_id, path, message, first_at, last_at"),
    "alias_sent": ("alias_id", "namespace, name, type, producer_id"),
}

#: columns that name an alias and are part of no key
_NAMED = (
    ("annotation", "object_id"),
    ("health_check", "node_id"),
    ("incident", "root_node"),
    ("incident_entry", "node_id"),
)


def move(conn: Conn, old: UUID, new: dict[str, Any]) -> set[UUID]:
    """Move all that is known of alias ``old`` to the alias described by ``new`` (id, environment, namespace, name,
    unresolved), made where missing, and remove ``old``. Returns the aliases whose node must be looked at again."""
    to: UUID = new["id"]
    conn.execute(
        """
        insert into alias (id, environment, namespace, name, type, kind, kind_rank, system, node_id, parent_id,
                           parent_at, unresolved, first_seen, last_seen)
        select %(id)s, %(environment)s, %(namespace)s, %(name)s, type, kind, kind_rank, system, %(id)s, parent_id,
               parent_at, %(unresolved)s, first_seen, last_seen from alias where id = %(old)s
        on conflict (id) do update set first_seen = least(alias.first_seen, excluded.first_seen),
            last_seen = greatest(alias.last_seen, excluded.last_seen)
        """,
        {**new, "old": old},
    )
    for table, (key, rest) in _OWNED.items():
        conn.execute(
            f"insert into {table} ({key}, {rest}) select %s, {rest} from {table} where {key} = %s on conflict do nothing",
            (to, old),
        )
    near = {to} | _evidence(conn, old, to)
    _runs(conn, old, to)
    _edges(conn, old, to)
    _columns(conn, old, to)
    conn.execute("update alias set parent_id = %s where parent_id = %s", (to, old))
    conn.execute("update run set parent_job = %s where parent_job = %s", (to, old))
    conn.execute("update dataset_drop set renamed_to = %s where renamed_to = %s", (to, old))
    for table, column in _NAMED:
        conn.execute(f"update {table} set {column} = %s where {column} = %s", (to, old))
    conn.execute(
        """insert into incident_member (incident_id, node_id, role, health, joined_at, last_good, recovered_at, run_key,
                                        cause, hop, reason)
           select incident_id, %s, role, health, joined_at, last_good, recovered_at, run_key, cause, hop, reason
             from incident_member
            where node_id = %s on conflict do nothing""",
        (to, old),
    )
    conn.execute("delete from incident_member where node_id = %s", (old,))
    for table in ("alert_rule", "silence"):
        conn.execute(
            f"update {table} set nodes = array_replace(nodes, %s, %s) where %s = any(nodes)", (old, to, old)
        )
    conn.execute("delete from alias where id = %s", (old,))
    return near


def remove(conn: Conn, alias: UUID) -> None:
    """Take an alias off the map with all that hangs on it: a rule now ignores its name."""
    edges = [
        r["id"]
        for r in conn.execute("select id from edge where source = %(a)s or target = %(a)s", {"a": alias})
    ]
    conn.execute(
        "delete from column_edge where %(a)s in (job_alias, source_alias, target_alias)", {"a": alias}
    )
    conn.execute("delete from edge where id = any(%s)", (edges,))
    conn.execute("delete from event_warning where alias_id = %s", (alias,))
    conn.execute("delete from health_check where node_id = %s", (alias,))
    conn.execute("delete from alias where id = %s", (alias,))


def _evidence(conn: Conn, old: UUID, to: UUID) -> set[UUID]:
    others: set[UUID] = set()
    for r in conn.execute("select * from evidence where a = %(o)s or b = %(o)s", {"o": old}).fetchall():
        other = r["b"] if r["a"] == old else r["a"]
        others.add(other)
        if other != to:
            conn.execute(
                "insert into evidence (a, b, kind, source, created_at) values (%s, %s, %s, %s, %s) on conflict do nothing",
                (min(other, to), max(other, to), r["kind"], r["source"], r["created_at"]),
            )
    return others


def _runs(conn: Conn, old: UUID, to: UUID) -> None:
    """Runs of a job whose alias moved get the key that their next event will have."""
    for r in conn.execute("select day, key, run_id from run where job_alias = %s", (old,)).fetchall():
        key = ids.run_key(to, r["run_id"])
        made = conn.execute(
            "insert into run_key (key, day) values (%s, %s) on conflict do nothing", (key, r["day"])
        ).rowcount
        if made:
            conn.execute(
                "update run set key = %s, job_alias = %s where day = %s and key = %s",
                (key, to, r["day"], r["key"]),
            )
        else:
            conn.execute("delete from run where day = %s and key = %s", (r["day"], r["key"]))
        conn.execute("delete from run_key where key = %s", (r["key"],))
        conn.execute(
            "insert into edge_run (edge_id, run_key, provenance, first_at, last_at) "
            "select edge_id, %s, provenance, first_at, last_at from edge_run where run_key = %s on conflict do nothing",
            (key, r["key"]),
        )
        conn.execute("delete from edge_run where run_key = %s", (r["key"],))


def _edges(conn: Conn, old: UUID, to: UUID) -> None:
    moved: set[UUID] = set()
    for e in conn.execute("select * from edge where source = %(o)s or target = %(o)s", {"o": old}).fetchall():
        source = to if e["source"] == old else e["source"]
        target = to if e["target"] == old else e["target"]
        edge = ids.edge_id(source, target)
        conn.execute(
            """
            insert into edge (id, source, target, provenance, first_seen, last_seen, version)
            values (%s, %s, %s, %s, %s, %s, %s)
            on conflict (id) do update set
                provenance = (select array_agg(distinct p order by p) from unnest(edge.provenance || excluded.provenance) p),
                first_seen = least(edge.first_seen, excluded.first_seen),
                last_seen = greatest(edge.last_seen, excluded.last_seen)
            """,
            (edge, source, target, e["provenance"], e["first_seen"], e["last_seen"], e["version"]),
        )
        conn.execute(
            """
            insert into edge_run (edge_id, run_key, provenance, first_at, last_at)
            select %s, case when run_key = %s then %s else run_key end, provenance, first_at, last_at
            from edge_run where edge_id = %s
            on conflict (edge_id, run_key, provenance) do update set
                first_at = least(edge_run.first_at, excluded.first_at), last_at = greatest(edge_run.last_at, excluded.last_at)
            """,
            (edge, e["id"], edge, e["id"]),
        )
        conn.execute(
            "insert into edge_retirement (edge_id, at, by) select %s, at, by from edge_retirement where edge_id = %s "
            "on conflict do nothing",
            (edge, e["id"]),
        )
        conn.execute("update annotation set object_id = %s where object_id = %s", (edge, e["id"]))
        conn.execute("delete from edge where id = %s", (e["id"],))
        moved.add(edge)
    intervals.recompute(conn, moved)
    dirty.mark(conn, "edge", moved)


def _columns(conn: Conn, old: UUID, to: UUID) -> None:
    rest = (
        "source_column, target_column, provenance, transformation, masking, confidence, first_seen, last_seen"
    )
    picked = ", ".join(
        f"case when {c} = %(o)s then %(t)s else {c} end"
        for c in ("job_alias", "source_alias", "target_alias")
    )
    where = "where %(o)s in (job_alias, source_alias, target_alias)"
    conn.execute(
        f"insert into column_edge (job_alias, source_alias, target_alias, {rest}) select {picked}, {rest} "
        f"from column_edge {where} on conflict do nothing",
        {"o": old, "t": to},
    )
    conn.execute(f"delete from column_edge {where}", {"o": old})
