"""A node's own health, judged from the record and kept with it. The judging itself is checks/health.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from psycopg.types.json import Jsonb

from checks.health import (
    BAD,
    RUNS_TO_LEARN,
    UNKNOWN,
    AssertionSeen,
    CheckSeen,
    Deaf,
    Health,
    ParentRun,
    RunSeen,
    judge_assertions,
    judge_checks,
    judge_runs,
    judge_sla,
    moment,
    order_of,
    passed_over,
    was_due,
    worse,
)
from ingest.ids import run_key
from store.record import Conn

#: newest runs looked at; enough to learn a job's usual time and to follow a streak of failures
RUNS = 24
#: partitions looked at; a job that ran before that is judged again when it next runs
DAYS = 60

#: between failed and ok these are no recovery
HIDES = ("unknown", "warn")

_RUN = """r.key, r.state, r.due_at, r.started_at, r.ended_at, r.trigger, r.try_number, r.max_tries, r.streaming,
    r.error, r.nominal_start is not null as nominal, r.nominal_end, r.parent_job, r.parent_run_id, r.producer_id,
    r.job_alias, r.run_id, r.detail->>'map_index' as part, r.detail->'schedule' as schedule,
    r.detail ? 'confirmed' as confirmed"""


def affected(conn: Conn, nodes: set[UUID], runs: set[UUID]) -> set[UUID]:
    """These nodes, the jobs of these runs, the datasets that these runs write, and what hangs on these runs: jobs that
    a run of their parent passed over, and Spark applications that what runs beneath or above them confirms.
    """
    if not runs:
        return nodes
    rows = conn.execute(
        """
        with moved as (
            select r.job_alias, r.run_id, r.state, r.parent_job, r.parent_run_id
            from run_key k
            join lateral (select * from run r where r.day = k.day and r.key = k.key limit 1) r on true
            where k.key = any(%(r)s)),
        -- jobs some run of which ended, and parents in some run of which something failed
        ended as (
            select job_alias as parent from moved where state in ('COMPLETE', 'FAIL')
            union select parent_job from moved where state = 'FAIL' and parent_job is not null),
        -- of those that are parents of jobs, the newest run that ended: whom it did not reach may be late
        newest as (
            select e.parent, l.run_id, l.day from ended e
            join lateral (select from alias c where c.parent_id = e.parent limit 1) c on true
            join lateral (select run_id, day from run l where l.job_alias = e.parent and l.state in ('COMPLETE', 'FAIL')
                          order by l.due_at desc limit 1) l on true),
        passed as (
            select c.id, c.node_id from newest w join alias c on c.parent_id = w.parent and c.kind <> 'rdd'
            left join lateral (select true as yes from run x where x.parent_job = w.parent
                               and x.parent_run_id = w.run_id and x.job_alias = c.id and x.day >= w.day - 1
                               limit 1) reached on true
            where reached.yes is null)
        select a.node_id from moved m join alias a on a.id = m.job_alias
        union
        select a.node_id from edge_run p
        join lateral (select target from edge e where e.id = p.edge_id limit 1) e on true
        join alias a on a.id = e.target and a.type = 'dataset' where p.run_key = any(%(r)s)
        union
        select node_id from passed
        union
        select a.node_id from passed c join edge e on e.source = c.id and e.retired_at is null
        join alias a on a.id = e.target and a.type = 'dataset'
        union
        select a.node_id from moved m join alias a on a.id = m.parent_job and a.kind = 'application'
        union
        select c.node_id from moved m join alias c on c.parent_id = m.job_alias and c.kind = 'application'
        where m.state = 'COMPLETE'
        """,
        {"r": list(runs)},
    )
    return nodes | {r["node_id"] for r in rows}


def judge(conn: Conn, node_ids: Iterable[UUID], now: datetime | None = None) -> list[dict[str, Any]]:
    """Judge these nodes by what speaks of them (runs, assertions, checks, limits) and write what changed; returns the
    transitions written. ``now``: as far as DLV has heard; the clock's time where it is not given.

    The node rows are locked first, so that two workers who fold different runs of one job both see each other's.
    """
    now = now or datetime.now(UTC)
    wanted = sorted(set(node_ids))
    nodes = {
        r["id"]: r
        for r in conn.execute(
            """
            select id, type, kind, system, health, health_reason, health_since, health_run, made_at, running, recovered_at,
                   sla_kind, sla_minutes, sla_at, judge_at
            from node where id = any(%s) order by id for update
            """,
            (wanted,),
        )
    }
    known = _Known(conn, nodes, now)
    assertions = _assertions(conn, [n for n, r in nodes.items() if r["type"] == "dataset"])
    checks = _checks(conn, wanted)
    verdicts: dict[UUID, Health] = {}
    limits: dict[UUID, datetime | None] = {}
    for n, row in nodes.items():
        # Spark's schema reading sends a START and never ends: it says nothing of health
        verdict, limits[n] = (UNKNOWN, None) if row["kind"] == "rdd" else known.of(row)
        made, running = verdict.made_at, verdict.running and row["type"] == "job"
        verdict = worse(worse(verdict, assertions.get(n, UNKNOWN)), checks.get(n, UNKNOWN))
        verdicts[n] = replace(verdict, made_at=made, running=running)
    changes: list[dict[str, Any]] = []
    transitions: list[dict[str, Any]] = []
    was_bad = _was_bad(
        conn, [n for n, v in verdicts.items() if v.state == "ok" and nodes[n]["health"] in HIDES]
    )
    for n, verdict in verdicts.items():
        row = nodes[n]
        change = _change(row, verdict, limits[n], row["health"] in BAD or n in was_bad)
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


def _change(row: dict[str, Any], v: Health, sla_at: datetime | None, was_bad: bool) -> dict[str, Any] | None:
    recovered = v.since if was_bad and v.state == "ok" else row["recovered_at"]
    new = {
        "health": v.state, "health_reason": v.reason[:500], "health_since": v.since, "health_run": v.run,
        "made_at": v.made_at, "running": v.running, "recovered_at": recovered,
        "sla_at": sla_at, "judge_at": v.next_at,
    }  # fmt: skip
    return {"id": row["id"], **new} if any(row[k] != x for k, x in new.items()) else None


def _write(conn: Conn, changes: list[dict[str, Any]], transitions: list[dict[str, Any]]) -> None:
    if changes:
        conn.execute(
            """
            update node n set health = x.health, health_reason = x.health_reason, health_since = x.health_since,
                health_run = x.health_run, made_at = x.made_at, running = x.running, recovered_at = x.recovered_at,
                sla_at = x.sla_at, judge_at = x.judge_at
            from jsonb_to_recordset(%s) as x(id uuid, health text, health_reason text, health_since timestamptz,
                health_run uuid, made_at timestamptz, running bool, recovered_at timestamptz, sla_at timestamptz,
                judge_at timestamptz)
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


class _Known:
    """What runs, people's limits and producers say of some nodes, read in a few queries for all of them."""

    def __init__(self, conn: Conn, nodes: dict[UUID, dict[str, Any]], now: datetime) -> None:
        self._now = now
        since = now.date() - timedelta(days=DAYS)
        jobs = [n for n, r in nodes.items() if r["type"] == "job"]
        datasets = [n for n, r in nodes.items() if r["type"] == "dataset"]
        self._rows: dict[UUID, dict[UUID, dict[str, Any]]] = defaultdict(dict)
        known: dict[UUID, dict[str, Any]] = {}
        for r in _runs_of_jobs(conn, jobs, since):
            self._rows[r["node_id"]][r["key"]] = known[r["key"]] = r
        # what was written just now was written by the jobs at hand: most of their runs are known
        wrote = _runs_that_wrote(conn, datasets)
        missing = {key for _, keys in wrote for key in keys if key not in known}
        known |= {r["key"]: r for r in _runs_by_key(conn, missing, since)}
        for node, keys in wrote:
            self._rows[node] |= {key: known[key] for key in keys if key in known}
        hollow = _hollow(conn, jobs, nodes, self._rows, since)
        seen = {key: _seen(r, key in hollow) for key, r in known.items()}
        #: node → job alias → its runs
        self._runs: dict[UUID, dict[UUID, list[RunSeen]]] = {}
        for node, rows in self._rows.items():
            by_job: dict[UUID, list[RunSeen]] = defaultdict(list)
            for key, r in rows.items():
                by_job[r["job_alias"]].append(seen[key])
            if by_job:
                self._runs[node] = by_job
        self._judged: dict[tuple[UUID, datetime | None, frozenset[int]], tuple[Health, datetime | None]] = {}
        self._parents = _Parents(conn, self._rows, self._runs, since)
        self._silence = _Silence(conn, now)
        self._paused = {
            r["id"]
            for r in conn.execute("select a.id from node n join alias a on a.node_id = n.id where n.paused")
        }

    def of(self, row: dict[str, Any]) -> tuple[Health, datetime | None]:
        """What is known of one node, and when its SLA breaks next."""
        by_job = self._runs.get(row["id"])
        if not by_job:
            return UNKNOWN, None
        runs = [r for of_one in by_job.values() for r in of_one]
        newest = max(runs, key=order_of)
        job = self._rows[row["id"]][newest.key]["job_alias"]
        # a node that is late stays so however old the events are that are folded just now
        now = max(self._now, row["health_since"]) if row["health"] == "late" else self._now
        quiet = self._silence.quiet(runs)
        over = self._silence.over_since(runs)
        # where nothing more is expected nothing is due, and the age of what was written stays as it was
        now = min(now, over) if over else now
        paused = job in self._paused
        heard = None if quiet or paused or over else now
        deaf = self._silence.deaf(newest.producer)
        if len(by_job) == 1 or row["type"] == "job":
            verdict, next_due = self._judge(job, by_job[job], runs, heard, deaf)
        else:
            # several jobs write it: late is what the job of the newest run is
            verdict = judge_runs(runs, None)
            late, next_due = self._judge(job, by_job[job], by_job[job], heard, deaf)
            if late.state == "late" or late.blind:
                verdict = replace(worse(verdict, late), made_at=verdict.made_at, running=verdict.running)
            verdict = replace(verdict, next_at=late.next_at)
        limit, sla_at = judge_sla(row, runs, verdict.made_at, now, deaf=deaf, next_due=next_due)
        # of a job that its orchestrator paused nothing is due; the age of what it wrote counts on
        whole = verdict if quiet or (paused and row["type"] == "job") else worse(verdict, limit)
        if whole.state == "late" and whole.since and row["health"] != "late":
            until = self._silence.doubt(newest.producer, whole.since, now)
            if until:
                whole = replace(judge_runs(runs, None), next_at=until)
        if quiet:
            whole = Health("unknown", quiet[1], quiet[0], blind=True)
        next_at = None if over else whole.next_at
        return replace(whole, made_at=verdict.made_at, running=verdict.running, next_at=next_at), sla_at

    def _judge(
        self,
        job: UUID,
        own: list[RunSeen],
        runs: list[RunSeen],
        heard: datetime | None,
        deaf: list[Deaf],
    ) -> tuple[Health, datetime | None]:
        """The verdict on these runs and when the job's next is due; of a job and what it alone writes, judged once."""
        key = (job, heard, frozenset(map(id, runs)))
        if key not in self._judged:
            next_due = self._parents.next_due(job, own)
            verdict = judge_runs(
                runs,
                heard,
                parents=self._parents.of(job),
                deaf=deaf,
                next_due=next_due,
                has_parent=self._parents.has(job),
            )
            self._judged[key] = (verdict, next_due)
        return self._judged[key]

    def waited_for(self, nodes: dict[UUID, dict[str, Any]], since: datetime) -> list[str]:
        """The names of those nodes of which something was due since then and was not heard."""
        return [
            row["name"]
            for n, row in nodes.items()
            for job, runs in self._runs.get(n, {}).items()
            if job not in self._paused and was_due(runs, since, self._now, self._parents.next_due(job, runs))
        ]


def _seen(r: dict[str, Any], hollow: bool) -> RunSeen:
    return RunSeen(
        r["key"], r["state"], r["due_at"], r["started_at"], r["ended_at"], r["trigger"], r["try_number"], r["max_tries"],
        r["streaming"], r["error"], r["nominal"], r["nominal_end"], r["parent_run_id"], r["part"] or "", hollow,
        r["producer_id"],
    )  # fmt: skip


def _runs_of_jobs(conn: Conn, nodes: list[UUID], since: date) -> list[dict[str, Any]]:
    if not nodes:
        return []
    return conn.execute(
        f"""
        select a.node_id, a.parent_id, {_RUN} from alias a
        join lateral (select * from run r where r.job_alias = a.id and r.day >= %s and not r.sub
                      order by r.due_at desc limit {RUNS}) r on true
        where a.node_id = any(%s)
        """,
        (since, nodes),
    ).fetchall()


def _runs_that_wrote(conn: Conn, nodes: list[UUID]) -> list[tuple[UUID, list[UUID]]]:
    """(dataset, keys of the newest runs of one job that wrote it); a query inside a task counts, for often it alone
    names what it wrote."""
    if not nodes:
        return []
    rows = conn.execute(
        f"""
        select a.node_id, array(select p.run_key from edge_run p where p.edge_id = e.id
                                order by p.last_at desc limit {RUNS}) as keys
        from alias a join edge e on e.target = a.id where a.node_id = any(%s)
        """,
        (nodes,),
    )
    return [(r["node_id"], r["keys"]) for r in rows]


def _runs_by_key(conn: Conn, keys: set[UUID], since: date) -> list[dict[str, Any]]:
    if not keys:
        return []
    return conn.execute(
        f"""
        select null as parent_id, {_RUN} from run_key k
        join lateral (select * from run r where r.day = k.day and r.key = k.key limit 1) r on true
        where k.key = any(%s) and k.day >= %s
        """,
        (list(keys), since),
    ).fetchall()


#: newest runs of an application that are looked beneath; an older one says nothing of its health now
_LOOKED_BENEATH = 5


def _hollow(
    conn: Conn,
    jobs: list[UUID],
    nodes: dict[UUID, dict[str, Any]],
    rows: dict[UUID, dict[UUID, dict[str, Any]]],
    since: date,
) -> set[UUID]:
    """Runs of Spark applications that say COMPLETE though nothing ran beneath them, and that neither their parent
    task's run nor the history server confirms. Spark's listener says COMPLETE of an application that crashed, too."""
    asked: list[dict[str, Any]] = []
    for n in jobs:
        if nodes[n]["kind"] == "application" and nodes[n]["system"] == "spark":
            newest = sorted(rows.get(n, {}).values(), key=lambda r: r["due_at"], reverse=True)[
                :_LOOKED_BENEATH
            ]
            asked += [r for r in newest if r["state"] == "COMPLETE" and not r["confirmed"]]
    if not asked:
        return set()
    above = {
        r["key"]: run_key(r["parent_job"], r["parent_run_id"])
        for r in asked
        if r["parent_job"] and r["parent_run_id"]
    }
    found = conn.execute(
        """
        select w.key from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::uuid[]) w(key, job, run_id, above)
        where not exists (
            select from run c join alias a on a.id = c.job_alias
            where c.parent_job = w.job and c.parent_run_id = w.run_id and c.day >= %s
              and (a.kind <> 'rdd' or c.state in ('COMPLETE', 'FAIL', 'ABORT')))
          and not exists (
            select from run_key k
            join lateral (select state from run p where p.day = k.day and p.key = k.key limit 1) p on true
            where k.key = w.above and p.state = 'COMPLETE')
        """,
        (
            [r["key"] for r in asked], [r["job_alias"] for r in asked], [r["run_id"] for r in asked],
            [above.get(r["key"]) for r in asked], since,
        ),
    )  # fmt: skip
    return {r["key"] for r in found}


#: newest runs of a parent looked at: enough that completed ones lie before the last
_PARENT_RUNS = 12


class _Parents:
    """The newest runs of the parents of the jobs at hand, and the schedules that they or the jobs name."""

    def __init__(
        self,
        conn: Conn,
        rows: dict[UUID, dict[UUID, dict[str, Any]]],
        runs: dict[UUID, dict[UUID, list[RunSeen]]],
        since: date,
    ) -> None:
        self._parent: dict[UUID, UUID] = {}
        self._schedule: dict[UUID, dict[str, Any]] = {}
        for of_node in rows.values():
            for r in sorted(of_node.values(), key=lambda r: r["due_at"]):
                if r["parent_job"] or r["parent_id"]:
                    self._parent[r["job_alias"]] = r["parent_job"] or r["parent_id"]
                if r["schedule"]:
                    self._schedule[r["job_alias"]] = r["schedule"]
        self._of: dict[UUID, list[ParentRun]] = defaultdict(list)
        wanted = sorted(set(self._parent.values()))
        if not wanted:
            return
        for r in conn.execute(
            f"""
            select r.job_alias, r.run_id, r.state, r.due_at, r.ended_at, r.trigger, r.nominal_start is not null as nominal,
                   r.detail->'schedule' as schedule
            from unnest(%s::uuid[]) p(id)
            join lateral (select * from run r where r.job_alias = p.id and r.day >= %s and not r.sub
                          order by r.due_at desc limit {_PARENT_RUNS}) r on true
            order by r.due_at
            """,
            (wanted, since),
        ):
            self._of[r["job_alias"]].append(
                ParentRun(r["run_id"], r["state"], r["due_at"], r["ended_at"], r["trigger"], r["nominal"])
            )
            if r["schedule"]:
                self._schedule[r["job_alias"]] = r["schedule"]
        self._name_failed(conn, runs)

    def _name_failed(self, conn: Conn, runs: dict[UUID, dict[UUID, list[RunSeen]]]) -> None:
        """What failed in the runs that passed a job over; asked only where there are such."""
        over: dict[UUID, ParentRun] = {}
        for by_job in runs.values():
            for job, seen in by_job.items():
                parent = self._parent.get(job)
                found = passed_over(seen, self._of.get(parent, ())) if parent else None
                if parent and found:
                    over[parent] = found
        if not over:
            return
        failed: dict[UUID, list[str]] = defaultdict(list)
        for r in conn.execute(
            """
            select r.parent_job, regexp_replace(n.name, '^.*[./]', '') as name, min(r.ended_at) as at
            from unnest(%s::uuid[], %s::text[]) p(job, run_id)
            join run r on r.parent_job = p.job and r.parent_run_id = p.run_id and r.state = 'FAIL' and not r.sub
            join alias a on a.id = r.job_alias join node n on n.id = a.node_id
            where not exists (select from run o where o.parent_job = p.job and o.parent_run_id = p.run_id
                              and o.job_alias = r.job_alias and o.state = 'COMPLETE' and o.ended_at > r.ended_at)
            group by 1, 2 order by at, 2
            """,
            (list(over), [p.run_id for p in over.values()]),
        ):
            failed[r["parent_job"]].append(r["name"])
        for parent, found in over.items():
            said = replace(found, failed=tuple(failed[parent]))
            self._of[parent] = [said if p is found else p for p in self._of[parent]]

    def has(self, job: UUID) -> bool:
        return job in self._parent

    def of(self, job: UUID) -> list[ParentRun]:
        parent = self._parent.get(job)
        return self._of.get(parent, []) if parent else []

    def next_due(self, job: UUID, runs: list[RunSeen]) -> datetime | None:
        """When the job's next run is due by the schedule that its own or its parent's runs name."""
        said = self._schedule.get(job)
        if said is None and job in self._parent:
            said = self._schedule.get(self._parent[job])
        ready = max((r.ready_at for r in runs if r.trigger == "scheduled"), default=None)
        if said is None or ready is None:
            return None
        if "seconds" in said:
            return ready + timedelta(seconds=float(said["seconds"]))
        return _next(str(said.get("cron")), str(said.get("zone") or "UTC"), ready)


@lru_cache(maxsize=4096)
def _next(cron: str, zone: str, after: datetime) -> datetime | None:
    """The first moment of a cron expression after ``after``; None where it cannot be read."""
    try:
        return next(CronSim(cron, after.astimezone(ZoneInfo(zone)))).astimezone(UTC)
    except (CronSimError, StopIteration, ZoneInfoNotFoundError, ValueError, OverflowError):
        return None


#: as long as a producer is silent for less than this, nobody can tell a late job from a quiet producer
QUIET_AFTER = timedelta(minutes=10)
#: where it sends of other jobs, too, the next word of theirs is waited for, so long at most
WAIT_FOR_OTHERS = timedelta(hours=1)
LOOK_AGAIN = timedelta(minutes=1)


class _Silence:
    """Producers that are quiet now, those of whom nothing more is expected, and times nobody could hear of them."""

    def __init__(self, conn: Conn, now: datetime) -> None:
        self._conn = conn
        self._quiet: dict[int, tuple[datetime, str]] = {}
        self._over: dict[int, datetime] = {}
        self._heard: dict[int, datetime] = {}
        self._others: dict[int, bool] = {}
        for r in conn.execute("select id, name, quiet_since, retired_at, last_event_at from producer"):
            if r["last_event_at"] is not None:
                self._heard[r["id"]] = r["last_event_at"]
            if r["retired_at"] is not None:
                self._over[r["id"]] = r["retired_at"]
            elif r["quiet_since"] is not None:
                since: datetime = r["quiet_since"]
                self._quiet[r["id"]] = (since, f"its producer {r['name']} is quiet since {moment(since)}")
        self._deaf: dict[int, list[Deaf]] = defaultdict(list)
        for r in conn.execute(
            "select producer_id, began_at, ended_at, reason from producer_gap where filled_at is null and ended_at > %s",
            (now - timedelta(days=DAYS),),
        ):
            self._deaf[r["producer_id"]].append(Deaf(r["began_at"], r["ended_at"], r["reason"]))

    def quiet(self, runs: list[RunSeen]) -> tuple[datetime, str] | None:
        """Since when and why nothing is known of these runs' job: everything newer comes from quiet producers only."""
        if not self._quiet:
            return None
        newest = sorted(runs, key=lambda r: r.due_at)[-RUNS_TO_LEARN:]
        said = [self._quiet.get(r.producer) for r in newest]
        return said[-1] if all(said) else None

    def over_since(self, runs: list[RunSeen]) -> datetime | None:
        """Since when nothing more is expected of these runs' job; None: more is."""
        if not self._over or any(r.producer not in self._over for r in runs):
            return None
        return max(self._over[r.producer] for r in runs)

    def deaf(self, producer: int) -> list[Deaf]:
        return self._deaf.get(producer, [])

    def doubt(self, producer: int, limit: datetime, now: datetime) -> datetime | None:
        """When to look again at a job that is late since ``limit`` and may only seem so: nothing was heard of its producer
        since then, and it may be that which is quiet. None where there is no doubt (any more)."""
        heard = self._heard.get(producer)
        if heard is None or heard > limit:
            return None
        until = heard + QUIET_AFTER
        if limit + WAIT_FOR_OTHERS > now and self._has_others(producer):
            until = max(until, limit + WAIT_FOR_OTHERS)
        return min(until, now + LOOK_AGAIN) if now < until else None

    def _has_others(self, producer: int) -> bool:
        if producer not in self._others:
            self._others[producer] = len(_roots(self._conn, producer, 2)) > 1
        return self._others[producer]


def _roots(conn: Conn, producer_id: int, most: int) -> list[dict[str, Any]]:
    """Jobs of a producer that are no part of another and were seen not long ago: {id, name, node columns}."""
    return conn.execute(
        """
        select n.id, n.type, n.kind, n.system, n.name
        from (select distinct alias_id from alias_sent where producer_id = %s and type = 'job') s
        join alias a on a.id = s.alias_id and a.parent_id is null and a.kind <> 'rdd'
        join node n on n.id = a.node_id and n.retired_at is null
        where n.last_seen > (select last_event_at from producer where id = %s) - interval '45 days'
        order by n.last_seen desc, n.id limit %s
        """,
        (producer_id, producer_id, most),
    ).fetchall()


#: jobs of a producer that are looked at to tell whether something is due from it
_MOST_ROOTS = 500


def waited_for(conn: Conn, producer_id: int, since: datetime, now: datetime) -> list[str]:
    """Jobs of a producer, by name, of which something should have been heard between ``since`` and ``now``: what runs
    of itself, not the parts of it."""
    nodes = {r["id"]: r for r in _roots(conn, producer_id, _MOST_ROOTS)}
    return _Known(conn, nodes, now).waited_for(nodes, since)


def of_producer(conn: Conn, producer_id: int, limit: int | None = None) -> list[UUID]:
    """The jobs of a producer and the datasets that they write; no more than ``limit`` of them."""
    rows = conn.execute(
        """
        with sent as (
            select distinct alias_id as id from alias_sent where producer_id = %s and type = 'job')
        select a.node_id from sent s join alias a on a.id = s.id
        union
        select a.node_id from sent s join edge e on e.source = s.id
        join alias a on a.id = e.target and a.type = 'dataset'
        limit %s
        """,
        (producer_id, limit),
    )
    return [r["node_id"] for r in rows]


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


def hollow(conn: Conn, now: datetime) -> list[dict[str, Any]]:
    """Runs of Spark applications that are unknown because nothing ran beneath them: {key, name, application_id, since}."""
    return conn.execute(
        """
        select r.key, n.name, r.detail->>'application_id' as application_id, coalesce(r.started_at, r.first_event_at) as since
        from node n join run_key k on k.key = n.health_run
        join lateral (select * from run r where r.day = k.day and r.key = k.key limit 1) r on true
        where n.kind = 'application' and n.system = 'spark' and n.health = 'unknown' and r.state = 'COMPLETE'
          and n.retired_at is null and r.ended_at > %s - interval '2 days'
        order by r.ended_at desc limit 50
        """,
        (now,),
    ).fetchall()
