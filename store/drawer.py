"""What the drawer of a node shows beside the node itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from store.record import Conn


def schemas(conn: Conn, node: UUID, limit: int = 20) -> list[dict[str, Any]]:
    """Versions of a dataset's fields over all its names, the current one first."""
    return conn.execute(
        """select encode(v.hash, 'hex') as hash, v.fields, min(v.first_seen) as first_seen, max(v.last_seen) as last_seen
             from schema_version v join alias a on a.id = v.alias_id
            where a.node_id = %s group by v.hash, v.fields
            order by max(v.last_seen) desc, min(v.first_seen) desc, v.hash limit %s""",
        (node, limit),
    ).fetchall()


def names(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """Each alias with the names as they were sent, by whom, and what could not be resolved."""
    return conn.execute(
        """select a.id, a.environment, a.namespace, a.name, a.kind, a.system, a.unresolved, a.first_seen, a.last_seen,
                  coalesce((select jsonb_agg(jsonb_build_object('namespace', s.namespace, 'name', s.name,
                                                                'producer', p.name) order by s.namespace, s.name, p.name)
                              from alias_sent s left join producer p on p.id = s.producer_id
                             where s.alias_id = a.id), '[]') as sent
             from alias a where a.node_id = %s order by a.id""",
        (node,),
    ).fetchall()


def evidence(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """Why the names of a node are one, and which were kept apart: kind, source, since when, and both names."""
    return conn.execute(
        """select e.kind, e.source, e.created_at, e.a, e.b, x.namespace || '/' || x.name as a_name,
                  y.namespace || '/' || y.name as b_name, x.node_id as a_node, y.node_id as b_node
             from evidence e join alias x on x.id = e.a join alias y on y.id = e.b
            where x.node_id = %(n)s or y.node_id = %(n)s
            order by e.kind, e.created_at, e.a, e.b limit 200""",
        {"n": node},
    ).fetchall()


def warnings(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """Where events about this node break the specification, the newest first."""
    return conn.execute(
        """select w.path, w.message, p.name as producer, min(w.first_at) as first_at, max(w.last_at) as last_at
             from event_warning w join alias a on a.id = w.alias_id left join producer p on p.id = w.producer_id
            where a.node_id = %s group by w.path, w.message, p.name order by max(w.last_at) desc, w.path limit 100""",
        (node,),
    ).fetchall()


def assertions(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """What is asserted of a dataset and how it went last, failures first."""
    return conn.execute(
        """select s.name, s.column_name, s.severity, s.success, s.message, s.at
             from assertion s join alias a on a.id = s.alias_id
            where a.node_id = %s order by s.success, s.name, s.column_name limit 200""",
        (node,),
    ).fetchall()


def facets(conn: Conn, node: UUID, names_: list[str]) -> dict[str, Any]:
    """The newest facet of each of these names over all aliases of the node."""
    rows = conn.execute(
        """select distinct on (f.name) f.name, f.body from alias_facet f join alias a on a.id = f.alias_id
            where a.node_id = %s and f.name = any(%s) and f.body is not null order by f.name, f.at desc, f.hash""",
        (node, names_),
    )
    return {r["name"]: r["body"] for r in rows}


def children(conn: Conn, node: UUID, limit: int = 200) -> list[dict[str, Any]]:
    """Tasks of a DAG, queries of an application, models of a project."""
    return conn.execute(
        """select id, name, kind, health from node where parent_id = %s and retired_at is null
            order by health in ('failed', 'late') desc, name, id limit %s""",
        (node, limit),
    ).fetchall()


def renamed(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """What a dataset was renamed to (``way`` to) and what it was called before (from), the last time first."""
    return conn.execute(
        """select 'to' as way, n.id, n.namespace, n.name, d.at
             from dataset_drop d join alias a on a.id = d.alias_id
             join alias b on b.id = d.renamed_to join node n on n.id = b.node_id
            where a.node_id = %(n)s and b.node_id <> a.node_id
           union
           select 'from', n.id, n.namespace, n.name, d.at
             from dataset_drop d join alias a on a.id = d.renamed_to
             join alias b on b.id = d.alias_id join node n on n.id = b.node_id
            where a.node_id = %(n)s and b.node_id <> a.node_id
            order by at desc, way, id limit 20""",
        {"n": node},
    ).fetchall()
