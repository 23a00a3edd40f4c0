"""What the wall is drawn from: tiles, what changed in the last hours, own gaps, open incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from store import incidents, nodes
from store.record import Conn

#: worst first: the order of tiles where a limit cuts them
_WORST = "array_position(array['failed','late','warn','unknown','ok'], n.health)"

#: a node is worth a tile once anything was known of it, or somebody wants to know (a check)
_KNOWN = "(n.health <> 'unknown' or n.health_since is not null or c.node_id is not null)"

_CHECKED = """left join (
    select a.node_id, bool_and(h.paused_at is not null) as paused, bool_or(h.muted_until > now()) as muted
      from health_check h join alias a on a.id = h.node_id where h.retired_at is null
     group by a.node_id) c on c.node_id = n.id"""


def tiles(conn: Conn, filters: Mapping[str, Any], limit: int, *, unknown: bool) -> list[dict[str, Any]]:
    """Nodes on the map, the worst first; ``total`` on each row counts all that match. ``unknown``: also those of
    which nothing was ever known.
    """
    cond, args = nodes.where(filters)
    return conn.execute(
        f"""select n.id, n.type, n.kind, n.system, n.environment, n.namespace, n.name, n.owner_name, n.parent_id,
                   n.health, n.health_reason, n.health_since, n.running, n.criticality, n.first_seen,
                   n.tags, n.owner_id,
                   coalesce(c.paused, false) as paused, coalesce(c.muted, false) as muted, count(*) over () as total
              from node n {_CHECKED}
             where {cond} and n.dropped_at is null and (%(unknown)s or {_KNOWN})
             order by {_WORST}, n.criticality nulls last, n.name, n.id limit %(most)s""",
        args | {"unknown": unknown, "most": limit},
        prepare=False,
    ).fetchall()


def unheard(conn: Conn, filters: Mapping[str, Any]) -> int:
    """How many nodes on the map nothing was ever known of."""
    cond, args = nodes.where(filters)
    row = conn.execute(
        f"select count(*) as n from node n {_CHECKED} where {cond} and n.dropped_at is null and not {_KNOWN}",
        args,
        prepare=False,
    ).fetchone()
    return int(row["n"]) if row else 0


def pipelines(conn: Conn, ids: list[UUID]) -> dict[UUID, tuple[UUID, str]]:
    """{node: (id, name)} of the DAG, application or project: of a job its parent (a parent is its own), of a dataset
    that of the job seen last to write it. Nodes without one are left out.
    """
    rows = conn.execute(
        """with wanted as (select n.id, n.type, n.parent_id from unnest(%s::uuid[]) w(id) join node n on n.id = w.id),
                held as (
                  select id, coalesce(parent_id, (select w.id where exists (select 1 from node k where k.parent_id = w.id)))
                         as parent from wanted w where type = 'job'
                  union all
                  (select distinct on (w.id) w.id, j.parent_id from wanted w
                    join alias t on t.node_id = w.id join edge e on e.target = t.id and e.retired_at is null
                    join alias s on s.id = e.source join node j on j.id = s.node_id
                   where w.type = 'dataset' and j.parent_id is not null
                   order by w.id, e.last_seen desc, j.parent_id))
           select h.id, p.id as parent, p.name from held h join node p on p.id = h.parent""",
        (ids,),
    ).fetchall()
    return {r["id"]: (r["parent"], r["name"]) for r in rows}


def changed(conn: Conn, since: datetime) -> tuple[int, int]:
    """(how many transitions since then, the newest's id): what tells that the bars are still right."""
    row = conn.execute(
        "select count(*) as n, coalesce(max(id), 0) as newest from transition where at >= %s", (since,)
    ).fetchone()
    assert row
    return row["n"], row["newest"]


def transitions(conn: Conn, since: datetime) -> list[dict[str, Any]]:
    """Changes of own health since then by node, the oldest first."""
    return conn.execute(
        "select node_id, at, was, now from transition where at >= %s order by node_id, at, id", (since,)
    ).fetchall()


def gaps(conn: Conn, since: datetime) -> list[dict[str, Any]]:
    """When DLV itself did not look: {began_at, ended_at}. A dead alerter looks away from nobody."""
    return conn.execute(
        """select began_at, ended_at from own_gap
            where coalesce(ended_at, 'infinity') > %s and part <> 'alert' order by began_at""",
        (since,),
    ).fetchall()


def open_count(conn: Conn, environments: Sequence[str] = ()) -> dict[str, Any]:
    """{open, unacknowledged, by_severity: {1: n, …, 4: n}} of open incidents: the one count of incidents on any page."""
    cond, args = incidents.where({"status": "open", "environment": list(environments)})
    rows = conn.execute(
        f"""select i.severity, count(*) as n, count(*) filter (where i.acknowledged_at is null) as waiting
              from incident i where {cond} group by 1""",
        args,
    ).fetchall()
    by = dict.fromkeys((1, 2, 3, 4), 0) | {r["severity"]: r["n"] for r in rows}
    return {
        "open": sum(by.values()),
        "unacknowledged": sum(r["waiting"] for r in rows),
        "by_severity": {str(s): n for s, n in by.items()},
    }


def held(conn: Conn, ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """Which of these nodes are in an open incident and not recovered: {node: {incident, number, role}}; the most
    severe where there are several.
    """
    rows = conn.execute(
        """select distinct on (a.node_id) a.node_id, i.id as incident, i.number, i.severity, m.role
             from incident_member m join incident i on i.id = m.incident_id and i.status = 'open'
             join alias a on a.id = m.node_id
            where a.node_id = any(%s) and m.recovered_at is null
            order by a.node_id, i.severity, i.opened_at desc""",
        (ids,),
    ).fetchall()
    return {r["node_id"]: r for r in rows}


def incident_of(conn: Conn, node: UUID) -> dict[str, Any] | None:
    """The open incident that a node belongs to, whole; None where there is none."""
    return conn.execute(
        """select i.id, i.number, i.severity, i.title, i.error, i.log_url, i.opened_at, i.acknowledged_by,
                  i.acknowledged_at, i.assignee, i.version, i.blast, m.role, ra.node_id as root
             from incident_member m join incident i on i.id = m.incident_id and i.status = 'open'
             join alias a on a.id = m.node_id left join alias ra on ra.id = i.root_node
            where a.node_id = %s and m.recovered_at is null
            order by i.severity, i.opened_at desc limit 1""",
        (node,),
    ).fetchone()


def teams(conn: Conn, ids: list[UUID]) -> list[dict[str, Any]]:
    """Who to call: these teams with their people and channels."""
    return conn.execute(
        "select id, name, people, channels from team where id = any(%s) and retired_at is null order by lower(name)",
        (ids,),
    ).fetchall()


def of_badge(conn: Conn, kind: str, id_: UUID) -> list[dict[str, Any]]:
    """{id, name, health} of what a badge speaks of: one node, what a team owns, or a pipeline with its jobs."""
    cond = {
        "node": "n.id = (select node_id from alias where id = %(id)s)",
        "team": "n.owner_id = %(id)s",
        "pipeline": """(n.id = (select node_id from alias where id = %(id)s)
                        or n.parent_id = (select node_id from alias where id = %(id)s))""",
    }[kind]
    return conn.execute(
        f"select n.id, n.name, n.health from node n where {cond} and {nodes.ON_MAP}", {"id": id_}
    ).fetchall()


def figures(conn: Conn) -> dict[str, Any]:
    """For /metrics: open incidents by severity, checks by status, and what waits."""
    row = conn.execute(
        """select (select coalesce(jsonb_object_agg(severity, n), '{}') from
                    (select severity, count(*) as n from incident where status = 'open' group by 1) i) as incidents,
                  (select coalesce(jsonb_object_agg(status, n), '{}') from
                    (select coalesce(s.status, 'not_checked') as status, count(*) as n
                       from health_check h left join check_state s on s.check_id = h.id
                      where h.retired_at is null and h.paused_at is null group by 1) c) as checks,
                  (select coalesce(extract(epoch from dlv_now() - min(slot_at)), 0) from check_slot) as slots_lag,
                  (select count(*) from check_slot) as slots_pending,
                  (select coalesce(extract(epoch from now() - min(next_slot_at)), 0) from health_check
                    where next_slot_at < now() and retired_at is null and paused_at is null) as schedule_lag,
                  (select coalesce(extract(epoch from now() - min(marked_at)), 0) from transition_pending) as undecided,
                  (select count(*) from notification where status = 'pending') as told_pending,
                  (select count(*) from notification where status = 'failed'
                    and created_at > now() - interval '1 day') as told_failed,
                  (select extract(epoch from now() - received_at) from event
                    order by day desc, id desc limit 1) as event_age,
                  (select extract(epoch from now() - max(ended_at)) from check_result
                    where slot_at > now() - interval '1 hour' and ended_at is not null) as result_age"""
    ).fetchone()
    assert row
    return row
