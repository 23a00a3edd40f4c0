"""What the record remembers of a node's health and of the runs that made it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from store.record import Conn


def changes(conn: Conn, node: UUID, since: datetime) -> tuple[str, list[tuple[datetime, str]]]:
    """(health at ``since``, [(when, health from then on)] after it, oldest first) by the node's transitions."""
    was = conn.execute(
        "select now from transition where node_id = %s and at <= %s order by at desc, id desc limit 1",
        (node, since),
    ).fetchone()
    rows = conn.execute(
        "select at, now from transition where node_id = %s and at > %s order by at, id", (node, since)
    ).fetchall()
    return (was["now"] if was else "unknown"), [(r["at"], r["now"]) for r in rows]


def runs(conn: Conn, node: UUID, type_: str, since: datetime) -> list[dict[str, Any]]:
    """The runs of a job, or those that wrote a dataset, that ended or were due since then: {ready_at, ended_at, state,
    trigger}. What a task's own queries wrote counts for a dataset."""
    shown = "coalesce(r.nominal_end, r.due_at) as ready_at, r.ended_at, r.state, r.trigger"
    if type_ == "job":
        return conn.execute(
            f"""select {shown} from alias a join run r on r.job_alias = a.id
                 where a.node_id = %s and r.day >= %s and not r.sub""",
            (node, (since - timedelta(days=1)).date()),
        ).fetchall()
    return conn.execute(
        f"""select distinct on (r.key) {shown} from alias a join edge e on e.target = a.id
              join edge_run p on p.edge_id = e.id and p.last_at >= %(since)s
              join run_key k on k.key = p.run_key join run r on r.day = k.day and r.key = k.key
             where a.node_id = %(node)s and k.day >= %(day)s""",
        {"node": node, "since": since, "day": (since - timedelta(days=1)).date()},
    ).fetchall()
