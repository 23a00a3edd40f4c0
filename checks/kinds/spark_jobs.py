"""Spark applications whose jobs failed, whatever the application says of itself: one that crashed says FINISHED.

The newest application of each name speaks for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from checks import spark
from checks.kind import Field, Kind
from checks.result import Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    named = str(spec.config.get("application") or "") or None
    since = now - timedelta(seconds=spec.config.get("back") or 86400)
    with spark.History(link) as history:
        newest: dict[str, spark.Application] = {}
        for application in history.applications(named, since):
            if application.completed:
                newest.setdefault(application.name, application)
        looked = [history.look(a) for a in list(newest.values())[: spark.MOST_APPLICATIONS]]
    return Observation(now, {"named": named, "applications": looked})


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    named, looked = seen.seen["named"], seen.seen["applications"]
    if not looked:
        status = spec.config.get("missing", "warn") if named else "ok"
        what = f"application {named}" if named else "application"
        return Verdict(status, f"the history server knows no ended {what} of that time", 0)
    failed = [a for a in looked if a.failed]
    empty = [a for a in looked if not a.jobs]
    n = sum(len(a.failed_jobs) for a in failed)
    detail = {
        "applications": len(looked),
        "failed": {a.application_id: list(a.failed_jobs[:20]) for a in failed[:20]},
        "without_jobs": [a.application_id for a in empty[:20]],
    }
    if failed:
        words = [_said(a) for a in failed]
        return Verdict("fail", some(words), n, detail=detail)
    if empty:
        words = [f"{a.name} ({a.application_id})" for a in empty]
        return Verdict(
            spec.config.get("empty", "warn"), f"ended without running a job: {some(words)}", 0, detail=detail
        )
    return Verdict("ok", f"no failed job in {count(len(looked), 'application')}", 0, detail=detail)


def _said(a: spark.Confirmed) -> str:
    head = f"{count(len(a.failed_jobs), 'job')} of {a.name} ({a.application_id}) failed"
    return f"{head}: {a.reason}" if a.reason else head


KIND = Kind(
    name="spark_jobs",
    label="Spark failed jobs",
    says="A job of an application failed, although the application itself may say that it finished.",
    fields=(
        Field("application", "Application", help="Its name or id. Empty: the newest of every name."),
        Field("back", "Look back", "duration", default=86400, low=300, high=90 * 86400),
        Field(
            "missing",
            "No such application in that time",
            "choice",
            default="warn",
            choices=(("fail", "fails"), ("warn", "warns"), ("ok", "is fine")),
        ),
        Field(
            "empty",
            "An application that ran no job",
            "choice",
            default="warn",
            choices=(("fail", "fails"), ("warn", "warns"), ("ok", "is fine")),
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("spark",),
    systems=("spark",),
)
