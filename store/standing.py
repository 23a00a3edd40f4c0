"""What the record knows towards root, symptom and at risk; the reach between them is the graph's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from store.record import Conn

#: a node that recovered longer ago than this keeps nothing at risk, even what was never made anew
RECOVERED_WITHIN = timedelta(days=14)


def counts(conn: Conn, environments: Sequence[str] = ()) -> dict[str, Any]:
    """How many nodes on the map are in each state of health, how many run, how many there are; of these environments
    alone where some are given.
    """
    row = conn.execute(
        """select count(*) as total,
                  count(*) filter (where health = 'failed') as failed,
                  count(*) filter (where health = 'late') as late,
                  count(*) filter (where health = 'warn') as warn,
                  count(*) filter (where health = 'ok') as ok,
                  count(*) filter (where health = 'unknown') as unknown,
                  count(*) filter (where running) as running
             from node n where n.retired_at is null and n.dropped_at is null and not n.standin
              and (cardinality(%(env)s::text[]) = 0 or n.environment = any(%(env)s))""",
        {"env": list(environments)},
    ).fetchone()
    assert row
    return row


def environments(conn: Conn) -> list[str]:
    """The environments of nodes on the map, by name."""
    rows = conn.execute(
        """select distinct environment from node n
            where n.retired_at is null and n.dropped_at is null and not n.standin order by 1 limit 200"""
    )
    return [r["environment"] for r in rows]


def within(conn: Conn, ids: list[UUID], environments: Sequence[str]) -> frozenset[UUID]:
    """Which of these nodes are in these environments."""
    rows = conn.execute(
        "select id from node where id = any(%s) and environment = any(%s)", (ids, list(environments))
    )
    return frozenset(r["id"] for r in rows)


def bad(conn: Conn) -> list[dict[str, Any]]:
    """Failed and late nodes on the map, the earliest first; of one moment the job before what it writes."""
    return conn.execute(
        """select id, type, parent_id, health, health_since from node n
            where n.health in ('failed', 'late') and n.retired_at is null and n.dropped_at is null and not n.standin
            order by health_since nulls last, (type = 'job') desc, id"""
    ).fetchall()


def held(conn: Conn) -> dict[UUID, str]:
    """root or symptom of each node on the map that an open incident holds and that is not well again; root where one of
    several incidents began with it.
    """
    rows = conn.execute(
        """select n.id, min(m.role) as role
             from incident i join incident_member m on m.incident_id = i.id and m.recovered_at is null
             join alias a on a.id = m.node_id join node n on n.id = a.node_id
            where i.status = 'open' and n.health <> 'ok'
              and n.retired_at is null and n.dropped_at is null and not n.standin
            group by n.id"""
    ).fetchall()
    return {r["id"]: r["role"] for r in rows}


def recovered(conn: Conn) -> list[dict[str, Any]]:
    """Nodes that were failed or late not long ago and are not now, the last to recover first."""
    return conn.execute(
        """select id, recovered_at from node n
            where n.recovered_at > now() - %s and n.health not in ('failed', 'late')
              and n.retired_at is null and n.dropped_at is null
            order by recovered_at desc, id""",
        (RECOVERED_WITHIN,),
    ).fetchall()


def shown(conn: Conn, ids: list[UUID]) -> list[dict[str, Any]]:
    """Which of these are on the map and not bad themselves, with when they were last made."""
    return conn.execute(
        """select n.id, n.made_at from unnest(%s::uuid[]) w(id) join node n on n.id = w.id
            where n.health not in ('failed', 'late') and n.retired_at is null and n.dropped_at is null
              and not n.standin""",
        (ids,),
    ).fetchall()


def graph_state(conn: Conn) -> dict[str, Any]:
    """Which generation readers use, since when the graph is away, how much it has still to learn."""
    row = conn.execute(
        """select generation, projected_at, away_since, rebuild, d.waiting, d.oldest
             from graph_state, (select count(*) as waiting, min(marked_at) as oldest from graph_dirty) d"""
    ).fetchone()
    assert row
    return row


def queue(conn: Conn) -> dict[str, Any]:
    """How many events wait to be folded, how many were set aside, and since when the oldest waits."""
    row = conn.execute(
        """select count(*) filter (where not p.set_aside) as waiting, count(*) filter (where p.set_aside) as set_aside,
                  (select e.received_at from event_pending q join event e on e.day = q.day and e.id = q.id
                    where not q.set_aside order by q.id limit 1) as oldest
             from event_pending p"""
    ).fetchone()
    assert row
    return row
