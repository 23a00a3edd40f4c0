"""Runs as people read them; the fold writes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from store.record import Conn


def last(
    conn: Conn, node: UUID, limit: int = 14, before: tuple[Any, UUID] | None = None
) -> list[dict[str, Any]]:
    """The newest runs of a job, or for a dataset of the jobs that write it, by due time, newest first.

    Runs of queries inside a task's run are left out: their parent stands for them. ``before`` is (due_at, key).
    """
    cond = "and (r.due_at, r.key) < (%(at)s, %(key)s)" if before else ""
    args: dict[str, Any] = {"node": node, "limit": limit}
    if before:
        args |= {"at": before[0], "key": before[1]}
    return conn.execute(
        f"""with job as (
              select a.id from alias a where a.node_id = %(node)s and a.type = 'job'
              union
              select e.source from alias a join edge e on e.target = a.id
               where a.node_id = %(node)s and a.type = 'dataset' and e.retired_at is null)
            select r.key, r.run_id, r.state, r.due_at, r.started_at, r.ended_at, r.nominal_start, r.nominal_end,
                   r.trigger, r.try_number, r.max_tries, r.streaming, r.error, r.error_detail, r.log_url, r.detail,
                   r.last_event_at, a.node_id as job_id, n.name as job_name, p.name as producer
              from job j cross join lateral (
                     select * from run r where r.job_alias = j.id and not r.sub {cond}
                      order by r.due_at desc, r.key desc limit %(limit)s) r
              join alias a on a.id = r.job_alias left join node n on n.id = a.node_id
              left join producer p on p.id = r.producer_id
             order by r.due_at desc, r.key desc limit %(limit)s""",
        args,
    ).fetchall()


def last_errors(conn: Conn, nodes: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """Of each node the run that decided its health: first error line, log link and run id."""
    if not nodes:
        return {}
    rows = conn.execute(
        """select n.id, r.error, r.log_url, r.run_id
             from unnest(%s::uuid[]) w(id) join node n on n.id = w.id
             join run_key k on k.key = n.health_run
             join run r on r.day = k.day and r.key = k.key""",
        (nodes,),
    ).fetchall()
    return {r["id"]: r for r in rows}
