"""A node's own health, judged from the record and kept with it. The judging itself is checks/health.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from checks.health import (
    BAD,
    UNKNOWN,
    AssertionSeen,
    CheckSeen,
    Health,
    RunSeen,
    judge_assertions,
    judge_checks,
    judge_freshness,
    judge_runs,
    worse,
)
from store.record import Conn

#: newest runs looked at; enough to learn a job's usual time and to follow a streak of failures
RUNS = 24
#: partitions looked at; a job that ran before that is judged again when it next runs
DAYS = 60

#: between failed and ok these are no recovery
HIDES = ("unknown", "warn")

_RUN = "r.key, r.state, r.due_at, r.started_at, r.ended_at, r.trigger, r.try_number, r.max_tries, r.streaming, r.error"


def affected(conn: Conn, nodes: set[UUID], runs: set[UUID]) -> set[UUID]:
    """These nodes, the jobs of these runs, and the datasets that these runs write."""
    if not runs:
        return nodes
    rows = conn.execute(
        """
        select a.node_id from run_key k
        join lateral (select job_alias from run r where r.day = k.day and r.key = k.key limit 1) r on true
        join alias a on a.id = r.job_alias
        where k.key = any(%(r)s)
        union
        select a.node_id from edge_run p
        join lateral (select target from edge e where e.id = p.edge_id limit 1) e on true
        join alias a on a.id = e.target and a.type = 'dataset' where p.run_key = any(%(r)s)
        """,
        {"r": list(runs)},
    )
    return nodes | {r["node_id"] for r in rows}


def judge(conn: Conn, node_ids: Iterable[UUID], now: datetime | None = None) -> list[dict[str, Any]]:
    """Judge these nodes by what speaks of them (runs, assertions, checks, limits) and write what changed; returns the
    transitions written. ``now`` is the clock's time where it is not given.

    The node rows are locked first, so that two workers who fold different runs of one job both see each other's.
    """
    now = now or datetime.now(UTC)
    wanted = sorted(set(node_ids))
    nodes = {
        r["id"]: r
        for r in conn.execute(
            """
            select id, type, kind, health, health_reason, health_since, health_run, made_at, running, recovered_at,
                   sla_kind, sla_minutes
            from node where id = any(%s) order by id for update
            """,
            (wanted,),
        )
    }
    jobs = [n for n, r in nodes.items() if r["type"] == "job"]
    datasets = [n for n, r in nodes.items() if r["type"] == "dataset"]
    since = now.date() - timedelta(days=DAYS)
    runs = _runs_of_jobs(conn, jobs, since) | _runs_of_writers(conn, datasets, since)
    assertions = _assertions(conn, datasets)
    checks = _checks(conn, wanted)
    verdicts: dict[UUID, Health] = {}
    for n, row in nodes.items():
        if row["kind"] == "rdd":
            # Spark's schema reading sends a START and never ends: it says nothing of health
            continue
        verdict = judge_runs(runs.get(n, []), now)
        made, running = verdict.made_at, verdict.running and row["type"] == "job"
        if row["type"] == "dataset":
            verdict = worse(worse(verdict, assertions.get(n, UNKNOWN)), judge_freshness(row, made, now))
        verdict = replace(worse(verdict, checks.get(n, UNKNOWN)), made_at=made, running=running)
        verdicts[n] = verdict
    changes: list[dict[str, Any]] = []
    transitions: list[dict[str, Any]] = []
    was_bad = _was_bad(
        conn, [n for n, v in verdicts.items() if v.state == "ok" and nodes[n]["health"] in HIDES]
    )
    for n, verdict in verdicts.items():
        row = nodes[n]
        change = _change(row, verdict, row["health"] in BAD or n in was_bad)
        if change:
            changes.append(change)
        if row["health"] != verdict.state:
            transitions.append(
                {
                    "node_id": n,
                    "at": verdict.since or now,
                    "was": row["health"],
                    "now": verdict.state,
                    "reason": verdict.reason,
                    "run_key": verdict.run,
                    "check_id": verdict.check,
                    "made_at": verdict.made_at,
                }
            )
    _write(conn, changes, transitions)
    return transitions


def _was_bad(conn: Conn, node_ids: list[UUID]) -> set[UUID]:
    """Those that were failed or late since they were last ok: unknown and warn in between are no recovery."""
    if not node_ids:
        return set()
    rows = conn.execute(
        """
        select n.id from unnest(%s::uuid[]) n(id)
        join lateral (select t.now from transition t where t.node_id = n.id and t.now in ('ok', 'failed', 'late')
                      order by t.id desc limit 1) t on t.now <> 'ok'
        """,
        (node_ids,),
    )
    return {r["id"] for r in rows}


def _change(row: dict[str, Any], v: Health, was_bad: bool) -> dict[str, Any] | None:
    recovered = v.since if was_bad and v.state == "ok" else row["recovered_at"]
    new = {
        "health": v.state, "health_reason": v.reason[:500], "health_since": v.since, "health_run": v.run,
        "made_at": v.made_at, "running": v.running, "recovered_at": recovered,
    }  # fmt: skip
    return {"id": row["id"], **new} if any(row[k] != x for k, x in new.items()) else None


def _write(conn: Conn, changes: list[dict[str, Any]], transitions: list[dict[str, Any]]) -> None:
    if changes:
        conn.execute(
            """
            update node n set health = x.health, health_reason = x.health_reason, health_since = x.health_since,
                health_run = x.health_run, made_at = x.made_at, running = x.running, recovered_at = x.recovered_at
            from jsonb_to_recordset(%s) as x(id uuid, health text, health_reason text, health_since timestamptz,
                health_run uuid, made_at timestamptz, running bool, recovered_at timestamptz)
            where n.id = x.id
            """,
            (Jsonb(changes),),
        )
    if transitions:
        # whoever decides about incidents finds a transition by its own row: an id cursor would skip late commits
        conn.execute(
            """
            with noted as (
                insert into transition (node_id, at, was, now, reason, run_key, check_id, made_at)
                select node_id, coalesce(at, now()), was, x.now, reason, run_key, check_id, made_at
                from jsonb_to_recordset(%s) as x(node_id uuid, at timestamptz, was text, now text, reason text,
                                                 run_key uuid, check_id uuid, made_at timestamptz)
                returning id)
            insert into transition_pending (transition_id) select id from noted
            """,
            (Jsonb(transitions),),
        )


def _seen(r: dict[str, Any]) -> RunSeen:
    return RunSeen(
        r["key"], r["state"], r["due_at"], r["started_at"], r["ended_at"], r["trigger"], r["try_number"],
        r["max_tries"], r["streaming"], r["error"],
    )  # fmt: skip


def _runs_of_jobs(conn: Conn, nodes: list[UUID], since: Any) -> dict[UUID, list[RunSeen]]:
    out: dict[UUID, list[RunSeen]] = defaultdict(list)
    if nodes:
        for r in conn.execute(
            f"""
            select a.node_id, {_RUN} from alias a
            join lateral (select * from run r where r.job_alias = a.id and r.day >= %s and not r.sub
                          order by r.due_at desc limit {RUNS}) r on true
            where a.node_id = any(%s)
            """,
            (since, nodes),
        ):
            out[r["node_id"]].append(_seen(r))
    return out


def _runs_of_writers(conn: Conn, nodes: list[UUID], since: Any) -> dict[UUID, list[RunSeen]]:
    """The newest runs that wrote each dataset; a query inside a task counts, for often it alone names what it wrote."""
    out: dict[UUID, dict[UUID, RunSeen]] = defaultdict(dict)
    if nodes:
        for r in conn.execute(
            f"""
            select a.node_id, {_RUN} from alias a
            join edge e on e.target = a.id
            join lateral (select p.run_key from edge_run p where p.edge_id = e.id
                          order by p.last_at desc limit {RUNS}) p on true
            join lateral (select day from run_key k where k.key = p.run_key limit 1) k on true
            join lateral (select * from run r where r.day = k.day and r.key = p.run_key limit 1) r on true
            where a.node_id = any(%s) and k.day >= %s
            """,
            (nodes, since),
        ):
            out[r["node_id"]][r["key"]] = _seen(r)
    return {n: list(by_key.values()) for n, by_key in out.items()}


def _assertions(conn: Conn, nodes: list[UUID]) -> dict[UUID, Health]:
    seen: dict[UUID, list[AssertionSeen]] = defaultdict(list)
    if nodes:
        for r in conn.execute(
            "select a.node_id, s.* from assertion s join alias a on a.id = s.alias_id where a.node_id = any(%s)",
            (nodes,),
        ):
            seen[r["node_id"]].append(
                AssertionSeen(
                    r["name"],
                    r["column_name"],
                    r["severity"],
                    r["success"],
                    r["at"],
                    r["message"],
                    r["run_key"],
                )
            )
    return {n: judge_assertions(a) for n, a in seen.items()}


def _checks(conn: Conn, nodes: list[UUID]) -> dict[UUID, Health]:
    seen: dict[UUID, list[CheckSeen]] = defaultdict(list)
    for r in conn.execute(
        """
        select a.node_id, c.id, c.name, s.status, s.health, s.reason, s.since
        from health_check c join alias a on a.id = c.node_id join check_state s on s.check_id = c.id
        where a.node_id = any(%s) and c.retired_at is null and c.paused_at is null
        """,
        (nodes,),
    ):
        seen[r["node_id"]].append(
            CheckSeen(r["id"], r["name"], r["status"], r["health"], r["reason"], r["since"])
        )
    return {n: judge_checks(c) for n, c in seen.items()}
