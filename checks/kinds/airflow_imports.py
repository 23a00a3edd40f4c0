"""DAG files that Airflow cannot import: their DAGs go stale without a word."""

from __future__ import annotations

from datetime import datetime

from checks import airflow
from checks.kind import Field, Kind
from checks.result import Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link
from ingest.messages import error_line


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    with airflow.Client(link) as client:
        errors = client.import_errors()
    # as much of the trace as is metadata: the file, and the line that says what was raised
    return Observation(now, {"errors": sorted({(file, error_line(trace, 200)) for file, trace in errors})})


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    part = str(spec.config.get("path") or "")
    errors = [(file, error) for file, error in seen.seen["errors"] if part in file]
    if not errors:
        return Verdict("ok", "all DAG files can be imported", 0)
    known = {f for f, _ in errors}
    words = some([f"{file}: {error}" if error else file for file, error in errors])
    return Verdict(
        "fail",
        f"{count(len(known), 'DAG file')} cannot be imported: {words}",
        len(known),
        detail={"files": [list(e) for e in errors[:50]]},
    )


KIND = Kind(
    name="airflow_imports",
    label="Airflow import errors",
    says="A DAG file has an error, so that its DAGs are stale or missing.",
    fields=(Field("path", "Only files whose path holds", help="Empty: all that the user may see."),),
    observe=observe,
    judge=judge,
    connections=("airflow",),
    systems=("airflow",),
)
