"""DAG runs of Airflow that failed or are overdue.

As everywhere in DLV the newest scheduled run speaks: a manual run or a backfill clears a failure and is never one.
Overdue is a DAG whose next run should have been made by now and was not; a paused DAG never is.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from checks import airflow
from checks.kind import Field, Kind
from checks.result import Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    dag = airflow.dag_of(spec)
    with airflow.Client(link) as client:
        dags = client.dags(dag)
        since = now - timedelta(seconds=spec.config.get("back") or 7 * 86400)
        runs = client.recent_runs([dag] if dag else client.failing(since), since)
    return Observation(now, {"named": dag, "dags": dags, "runs": runs})


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    dags = {d.dag_id: d for d in seen.seen["dags"]}
    named = seen.seen["named"]
    if named and named not in dags:
        return Verdict("fail", f"Airflow has no DAG {named}, or it is stale and no file defines it any more")
    live = {i: d for i, d in dags.items() if not d.paused}
    failed = {i: r for i in live if (r := _failed(seen.seen["runs"].get(i, ())))}
    grace = timedelta(seconds=spec.config.get("grace", 900))
    overdue = {i: d.next_at for i, d in live.items() if d.next_at is not None and seen.at > d.next_at + grace}
    words = [
        f"{i} failed at {_when(r.ended_at or r.started_at)} ({r.run_id})" for i, r in sorted(failed.items())
    ]
    words += [f"{i} is overdue since {_when(at)}" for i, at in sorted(overdue.items(), key=lambda o: o[1])]
    n = len(set(failed) | set(overdue))
    detail = {"dags": len(live), "failed": sorted(failed)[:50], "overdue": sorted(overdue)[:50]}
    if failed:
        return Verdict("fail", some(words), n, detail=detail)
    if overdue:
        return Verdict("fail", some(words), n, health="late", detail=detail)
    if named and dags[named].paused:
        return Verdict("ok", f"{named} is paused", 0, detail=detail)
    return Verdict("ok", f"no failed and no overdue run among {count(len(live), 'DAG')}", 0, detail=detail)


def _failed(runs: list[airflow.RunState]) -> airflow.RunState | None:
    """The newest run that the schedule made, where it failed and no run has been good after it."""
    ended = [r for r in runs if r.outcome in ("COMPLETE", "FAIL") and r.due_at]
    made = [r for r in ended if r.scheduled]
    if not made:
        return None
    newest = max(made, key=lambda r: (r.due_at, r.ended_at or r.due_at))
    if newest.outcome != "FAIL":
        return None
    end = newest.ended_at
    cleared = any(r.outcome == "COMPLETE" and end and r.ended_at and r.ended_at > end for r in ended)
    return None if cleared else newest


def _when(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "an unknown time"


KIND = Kind(
    name="airflow_runs",
    label="Airflow DAG runs",
    says="The newest scheduled run of a DAG failed, or its next one is overdue.",
    fields=(
        Field(
            "dag", "DAG", help="Empty: the DAG that the node stands for, or all DAGs if it stands for none."
        ),
        Field(
            "grace",
            "Overdue after",
            "duration",
            default=900,
            low=0,
            help="How long after its time a run has not been made.",
        ),
        Field(
            "back",
            "Look back",
            "duration",
            default=7 * 86400,
            low=3600,
            high=90 * 86400,
            help="Failed runs older than this are not looked at.",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("airflow",),
    systems=("airflow",),
    types=("job",),
)
