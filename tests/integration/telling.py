"""Airflow's and Spark's events as the fold worker claims them, written by hand in a few words, for stories of health."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import orjson

from ingest import fold, gap
from store.record import Record

T0 = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = UUID("8a8a2c1e-6c56-4c0c-9a41-3c9b7f9c2f11")


def day(n: float, minutes: float = 0) -> datetime:
    return T0 + timedelta(days=n, minutes=minutes)


def run_id(*parts: object) -> str:
    return str(uuid5(NAMES, "/".join(map(str, parts))))


def event(
    job: str,
    state: str,
    at: datetime,
    *,
    due: datetime | None = None,
    run: str | None = None,
    namespace: str = "airflow://prod",
    tries: tuple[int, int] = (1, 0),
    trigger: str = "scheduled",
    parent: tuple[str, str] | None = None,
    kind: str | None = None,
    error: str = "",
    outputs: list[tuple[str, str]] | None = None,
    inputs: list[tuple[str, str]] | None = None,
    **facets: Any,
) -> dict[str, Any]:
    """One event of a job that Airflow (or, with ``kind``, Spark) runs. ``tries`` is (try number, retries)."""
    spark = kind in ("APPLICATION", "SQL_JOB", "RDD_JOB")
    said: dict[str, Any] = dict(facets)
    if due is not None:
        said["nominalTime"] = {"nominalStartTime": due.isoformat()}
    if not spark:
        said["airflow"] = {
            "dagRun": {"run_type": trigger, "run_id": f"{trigger}__{due.isoformat() if due else at.isoformat()}"},
            "taskInstance": {"try_number": tries[0]}, "task": {"retries": tries[1]},
        }  # fmt: skip
    if parent is not None:
        said["parent"] = {"job": {"namespace": namespace, "name": parent[0]}, "run": {"runId": parent[1]}}
    if error:
        said["errorMessage"] = {"message": error, "programmingLanguage": "PYTHON"}
    kind = kind or ("TASK" if "." in job else "DAG")
    return gap.specified({
        "eventTime": at.isoformat(), "eventType": state, "producer": "https://example.org/test",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run or run_id(namespace, job, due or at, *tries[:1]), "facets": said},
        "job": {
            "namespace": namespace, "name": job,
            "facets": {"jobType": {"jobType": kind, "integration": "SPARK" if spark else "AIRFLOW",
                                   "processingType": "BATCH"}},
        },
        "inputs": [{"namespace": s, "name": n} for s, n in inputs or ()],
        "outputs": [{"namespace": s, "name": n} for s, n in outputs or ()],
    })  # fmt: skip


def producer(record: Record, name: str = "airflow-prod") -> int:
    with record.tx() as conn:
        row = conn.execute(
            "insert into producer (name, created_at) values (%s, %s) returning id", (name, T0)
        ).fetchone()
    assert row is not None
    return int(row["id"])


def tell(record: Record, producer_id: int, events: list[dict[str, Any]], now: datetime) -> None:
    """Fold these events as the worker does at ``now``, in batches."""
    rows = []
    for n, e in enumerate(events, 1):
        body = orjson.dumps(e)
        rows.append(
            {
                "id": n, "day": now.date(), "producer_id": producer_id, "received_at": now,
                "hash": hashlib.sha256(body).digest(), "body": zlib.compress(body, 1), "producer": "test",
                "environment": None,
            }
        )  # fmt: skip
    for start in range(0, len(rows), fold.BATCH):
        with record.tx() as conn:
            fold.fold(conn, rows[start : start + fold.BATCH], now)


def node(record: Record, name: str) -> dict[str, Any]:
    row = record.one("select * from node where name = %s", (name,))
    assert row is not None, f"no node {name!r}"
    return row


def states(record: Record) -> dict[str, str]:
    """Health of every job by its name."""
    return {r["name"]: r["health"] for r in record.all("select name, health from node where type = 'job'")}


def transitions(record: Record, name: str) -> list[tuple[str, str]]:
    rows = record.all(
        "select t.was, t.now from transition t join node n on n.id = t.node_id where n.name = %s order by t.id",
        (name,),
    )
    return [(r["was"], r["now"]) for r in rows]
