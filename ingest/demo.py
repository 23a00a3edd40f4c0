"""The demo: two weeks of a small web shop, so that a new DLV has something to look at.

Events as clients would send them, through the same redaction, queue and fold. One upstream job is failing now.
All of it is one transaction: a record has the whole demo or nothing of it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import orjson

from errors import Conflict
from ingest.demo_estate import (
    ASSIGNED,
    BROKEN,
    BROKEN_ERROR,
    CHECKS,
    DATA,
    RETRYING,
    RETRYING_ERROR,
    SYMPTOM,
    SYMPTOM_ERROR,
    TEAMS,
    TESTS,
    WAITING,
    WORK,
    Work,
)
from ingest.fold import fold
from ingest.redact import redact_event
from store import assign, checks, events, health, partitions, pending, producers, rules, teams
from store.audit import SYSTEM
from store.record import LOCK_SEED, Conn, Record

Event = dict[str, Any]

DAYS = 14
_NS = uuid5(NAMESPACE_URL, "dlv:demo")
_OL = "https://openlineage.io/spec"
#: the DAG that runs just now, in place of at night
_RECENT = "marketing_ingest"
#: what went wrong before today: (job, days ago) → how many tries failed
_PAST = {("load_orders", 3): 1, ("load_stock", 6): 3, ("load_refunds", 10): 1, ("sessionize_q", 9): 1}
_PAST_TEST = ("accepted_values_stg_orders_status", 7.5)
_PAST_ERROR = ("psycopg.OperationalError: server closed the connection unexpectedly", "")

_INTEGRATION = {
    "airflow": "https://github.com/apache/airflow/tree/providers-openlineage/2.20.3",
    "dbt": "https://github.com/OpenLineage/OpenLineage/tree/1.54.0/integration/dbt",
    "spark": "https://github.com/OpenLineage/OpenLineage/tree/1.53.0/integration/spark",
    "flink": "https://github.com/OpenLineage/OpenLineage/tree/1.53.0/integration/flink",
    "kafka": "https://larkfield.example/lineage/kafka-connect",
    "looker": "https://larkfield.example/lineage/looker",
    "metabase": "https://larkfield.example/lineage/metabase",
}
_ENGINE = {
    "airflow": ("Airflow", "3.3.2", "2.20.3"), "spark": ("spark", "3.5.9", "1.53.0"),
    "dbt": ("dbt", "1.11.16", "1.54.0"), "flink": ("flink", "2.1.0", "1.53.0"),
}  # fmt: skip


def seed(record: Record, now: datetime | None = None) -> bool:
    """Fill an empty record with the demo estate as of ``now`` (aware; default: the present).

    False, and nothing written, where the record holds an event or a node already.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC).replace(microsecond=0)
    partitions.ensure_ahead(record)
    with record.tx() as conn:
        conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_SEED,))
        held = conn.execute(
            "select exists (select 1 from event) or exists (select 1 from alias) as any"
        ).fetchone()
        if held and held["any"]:
            return False
        _people(conn)
        ids = {w.namespace: _producer(conn, w.namespace) for w in WORK.values()}
        for until, batch in _by_day(story(now), now):
            _take(conn, ids, batch, until)
        assign.apply(conn, SYSTEM, ASSIGNED, "yaml", "demo.yaml")
        _checks(conn)
        limited = conn.execute("select id from node where sla_kind is not null").fetchall()
        health.judge(conn, [r["id"] for r in limited], now)
        # the story is over: what it tells of stays as it is told, and does not go late by and by
        producers.retire(conn, SYSTEM, ids.values(), now)
    return True


def _checks(conn: Conn) -> None:
    for dataset, name, late, warn in CHECKS:
        node = conn.execute("select id from node where name = %s and type = 'dataset'", (dataset,)).fetchone()
        assert node is not None, dataset
        checks.create(
            conn, SYSTEM, "freshness",
            {
                "name": name, "node_id": node["id"], "every_seconds": 300,
                "config": {"by": "run", "error_after": late * 3600, "warn_after": warn * 3600},
            },
        )  # fmt: skip


def _people(conn: Conn) -> None:
    """Teams and the environment's rule; what is there under such a name already stays as it is."""
    for team in TEAMS:
        with suppress(Conflict):
            teams.create(
                conn, SYSTEM,
                {
                    "name": team.name, "description": team.about,
                    "people": [{"name": n, "email": e} for n, e in team.people],
                    "channels": [{"kind": k, "target": t} for k, t in team.channels],
                    "patterns": list(team.owns),
                },
            )  # fmt: skip
    with suppress(Conflict):
        rules.create(conn, SYSTEM, {"kind": "environment", "pattern": "larkfield", "value": "prod"})


def _producer(conn: Conn, name: str) -> int:
    try:
        return producers.for_key(conn, name, "prod")
    except Conflict:
        return producers.for_key(conn, name, None)


def _take(conn: Conn, producer: dict[str, int], batch: list[Event], now: datetime) -> None:
    """Accept and fold these events as of ``now``."""
    given: dict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for event in batch:
        body = orjson.dumps(event)
        kept = orjson.dumps(redact_event(event))
        given[producer[event["job"]["namespace"]]].append((hashlib.sha256(body).digest(), kept))
    for id_, those in given.items():
        events.accept(conn, id_, those)
        producers.saw_event(conn, id_)
    while rows := pending.claim(conn, 1000):
        fold(conn, rows, now)
        pending.finish(conn, [r["id"] for r in rows])


# ---------------------------------------------------------------- when


def _night(now: datetime) -> datetime:
    """When the night of the newest day began: everything nightly is over by ``now``."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=7)


def _by_day(said: list[Event], now: datetime) -> Iterator[tuple[datetime, list[Event]]]:
    """Day by day, cut where nothing runs, so that each day is judged as it was then."""
    days: dict[datetime, list[Event]] = defaultdict(list)
    first = _night(now) - timedelta(minutes=30)
    for event in said:
        days_ago = max(0, (first - datetime.fromisoformat(event["eventTime"])) // timedelta(days=1) + 1)
        days[min(first + timedelta(days=1 - days_ago), now)].append(event)
    yield from sorted(days.items())


def _begin(key: str, now: datetime) -> datetime:
    """What the minutes of this job count from."""
    dag = WORK[key].parent or key
    return now - timedelta(minutes=50) if dag == _RECENT else _night(now)


def _due(key: str, now: datetime) -> Iterator[tuple[float, datetime]]:
    """(days ago, start) of each run of this job, the newest first."""
    work = WORK[key]
    newest = _begin(key, now) + timedelta(minutes=work.at)
    every = timedelta(hours=work.every)
    newest += every * ((now - newest - timedelta(minutes=work.minutes * 1.3 + 1)) // every)
    for n in range(int(DAYS * 24 / work.every)):
        yield n * work.every / 24, newest - every * n


@dataclass(frozen=True)
class _Try:
    """One run: a try of what was due. ``error``: (message, stack trace) where it failed."""

    due: datetime
    start: datetime
    end: datetime
    number: int
    error: tuple[str, str] | None


def _tries(key: str, due: datetime, days_ago: float) -> list[_Try]:
    """The tries of one due run; retried five minutes after each failure while a try is left."""
    work = WORK[key]
    failures, error = _fate(key, days_ago)
    most = work.retries + 1 if work.system == "airflow" else 1
    usual = timedelta(minutes=work.minutes) * (0.85 + 0.4 * _chance(key, due))
    out: list[_Try] = []
    start = due
    for number in range(1, min(failures + 1, most) + 1):
        failed = number <= failures
        end = start + usual * (0.25 if failed else 1.0)
        out.append(_Try(due, start, end, number, error if failed else None))
        start = end + timedelta(minutes=5)
        if key == RETRYING and failed and days_ago == 0:
            break
    return out


def _fate(key: str, days_ago: float) -> tuple[int, tuple[str, str]]:
    """(how many tries fail, with which error)."""
    if days_ago == 0 and key == BROKEN:
        return 3, BROKEN_ERROR
    if days_ago == 0 and key == SYMPTOM:
        return 3, SYMPTOM_ERROR
    if days_ago == 0 and key == RETRYING:
        return 1, RETRYING_ERROR
    return _PAST.get((key, int(days_ago)), 0) if days_ago == int(days_ago) else 0, _PAST_ERROR


def _chance(key: str, at: datetime) -> float:
    """0 to 1, the same for the same job and time of the story."""
    return hashlib.sha256(f"{key} {at:%d %H}".encode()).digest()[0] / 255


# ---------------------------------------------------------------- what happens


def story(now: datetime) -> list[Event]:
    """All events of two weeks up to ``now``, in the order of their times. The same ``now`` gives the same events."""
    said = [e for key in WORK for e in _history(key, now)] + list(_tests(now))
    return sorted(said, key=lambda e: (e["eventTime"], e["eventType"] != "START", e["run"]["runId"]))


def _history(key: str, now: datetime) -> Iterator[Event]:
    work = WORK[key]
    if work.streaming:
        yield from _stream(key, now)
        return
    for days_ago, due in _due(key, now):
        today = days_ago == 0
        if key == WAITING and today:
            continue
        if work.kind in _PARENTS:
            # where a task still waits for its next try, the DAG's own end is not known yet
            if not (today and key == _RECENT):
                yield from _whole(key, due, days_ago)
            continue
        for t in _tries(key, due, days_ago):
            yield _event(key, "START", t.start, t)
            if t.error:
                yield _event(key, "FAIL", t.end, t)
            if not t.error or work.system == "spark":
                # Spark's listener sends COMPLETE after FAIL, for the same run: the FAIL stands
                yield _event(key, "COMPLETE", t.end + timedelta(milliseconds=4), t)


def _whole(key: str, due: datetime, days_ago: float) -> Iterator[Event]:
    """A DAG, an application or a dbt invocation: it ends after its last child, and a DAG fails with it."""
    work = WORK[key]
    end, error = due + timedelta(minutes=work.minutes), None
    for child, w in WORK.items():
        if w.parent == key:
            last = _tries(child, due + timedelta(minutes=w.at - work.at), days_ago)[-1]
            end = max(end, last.end + timedelta(seconds=2))
            if last.error and work.system == "airflow":
                error = ("task_failure", "")
    run = _Try(due, due, end, 1, error)
    yield _event(key, "START", due, run)
    yield _event(key, "FAIL" if error else "COMPLETE", end, run)


def _stream(key: str, now: datetime) -> Iterator[Event]:
    """A stream runs on and on; five days ago a new version of it took over."""
    deployed = _night(now) - timedelta(days=5, hours=3)
    born = _night(now) - timedelta(days=DAYS)
    for start, end in ((born, deployed), (deployed + timedelta(minutes=2), now)):
        run = _Try(start, start, end, 1, None)
        yield _event(key, "START", start, run)
        at = start + timedelta(hours=WORK[key].every)
        while at < end:
            yield _event(key, "RUNNING", at, run)
            at += timedelta(hours=WORK[key].every)
        if end < now:
            yield _event(key, "COMPLETE", end, run)


def _tests(now: datetime) -> Iterator[Event]:
    """dbt's tests, after the models of each invocation."""
    dbt = WORK["dbt"]
    for n, (name, (data, check, column)) in enumerate(TESTS.items()):
        for days_ago, due in _due("dbt", now):
            start = due + timedelta(minutes=32, seconds=20 * n)
            run = _Try(due, start, start + timedelta(seconds=7), 1, None)
            test = Work(
                "dbt", dbt.namespace, f"test.larkfield.{name}", "TEST", 0, 0, reads=(data,), parent="dbt",
                checks=(f"{data}: {check} {column}",),
            )  # fmt: skip
            failed = (name, days_ago) == _PAST_TEST
            parent = _Try(due, due, due, 1, None)
            yield _said(test, "FAIL" if failed else "COMPLETE", run.end, run, parent, 3 if failed else 0)


# ---------------------------------------------------------------- as OpenLineage says it

_PARENTS = ("DAG", "APPLICATION", "JOB")


def _event(key: str, state: str, at: datetime, run: _Try) -> Event:
    work = WORK[key]
    parent = None
    if work.parent:
        due = run.due + timedelta(minutes=WORK[work.parent].at - work.at)
        parent = _Try(due, due, due, 1, None)
    return _said(work, state, at, run, parent)


def _said(work: Work, state: str, at: datetime, run: _Try, parent: _Try | None, bad_rows: int = 0) -> Event:
    facets = _run_facets(work, state, run)
    if parent and work.parent:
        above = WORK[work.parent]
        name = {
            "job": {"namespace": above.namespace, "name": above.name},
            "run": {"runId": _run_id(above, parent)},
        }
        facets["parent"] = _facet("ParentRunFacet", "1-2-0", **name, root=name)
    ended = state != "START"
    # an operator in Python says what it writes only once it has written it
    writes = work.writes if work.sql or work.system != "airflow" or state == "COMPLETE" else ()
    return {
        "eventType": state,
        "eventTime": _time(at),
        "producer": _INTEGRATION[work.system],
        "schemaURL": f"{_OL}/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": _run_id(work, run), "facets": facets},
        "job": {"namespace": work.namespace, "name": work.name, "facets": _job_facets(work)},
        "inputs": [_input(work, data, ended, bad_rows) for data in work.reads],
        "outputs": [_output(work, data, state, run) for data in writes],
    }


def _run_id(work: Work, run: _Try) -> str:
    return str(uuid5(_NS, f"{work.namespace}/{work.name}/{_time(run.due)}/{run.number}"))


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facet(kind: str, version: str, /, **said: Any) -> dict[str, Any]:
    return {
        "_producer": "https://larkfield.example/lineage",
        "_schemaURL": f"{_OL}/facets/{version}/{kind}.json#/$defs/{kind}",
        **said,
    }


def _run_facets(work: Work, state: str, run: _Try) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if work.system in _ENGINE:
        name, version, adapter = _ENGINE[work.system]
        out["processing_engine"] = _facet(
            "ProcessingEngineRunFacet", "1-1-1", name=name, version=version, openlineageAdapterVersion=adapter
        )
    if work.system == "airflow":
        out |= _airflow(work, run)
    if state == "FAIL" and run.error:
        message, stack = run.error
        language = "java" if work.system == "spark" else "python"
        out["errorMessage"] = _facet(
            "ErrorMessageRunFacet", "1-0-1", message=message, programmingLanguage=language,
            **({"stackTrace": stack} if stack else {}),
        )  # fmt: skip
    return out


def _airflow(work: Work, run: _Try) -> dict[str, Any]:
    """A scheduled run of the day that ended when it was due, as Airflow's provider says it."""
    dag, _, task = work.name.partition(".")
    due = run.due - timedelta(minutes=work.at - WORK[work.parent].at if work.parent else 0)
    run_id = f"scheduled__{due:%Y-%m-%dT%H:%M:00+00:00}"
    nominal = _facet(
        "NominalTimeRunFacet", "1-0-1",
        nominalStartTime=_time(due - timedelta(days=1)), nominalEndTime=_time(due),
    )  # fmt: skip
    said: dict[str, Any] = {
        "_producer": _INTEGRATION["airflow"],
        "_schemaURL": f"{_OL}/2-0-2/OpenLineage.json#/$defs/RunFacet",
        "dag": {"dag_id": dag, "timetable_summary": "daily"},
        "dagRun": {"dag_id": dag, "run_id": run_id, "run_type": "scheduled", "start_date": _time(due)},
    }
    if not task:
        return {"nominalTime": nominal, "airflowDagRun": said}
    base = f"https://airflow.larkfield.example/dags/{dag}/runs/{quote(run_id, safe='')}/tasks/{task}"
    said["task"] = {"task_id": task, "retries": work.retries}
    said["taskInstance"] = {
        "try_number": run.number, "log_url": f"{base}?try_number={run.number}",
    }  # fmt: skip
    return {"nominalTime": nominal, "airflow": said}


def _job_facets(work: Work) -> dict[str, Any]:
    out = {
        "jobType": _facet(
            "JobTypeJobFacet", "2-0-4", integration=work.system.upper(), jobType=work.kind,
            processingType="STREAMING" if work.streaming else "BATCH",
        )
    }  # fmt: skip
    if work.about:
        out["documentation"] = _facet("DocumentationJobFacet", "1-1-0", description=work.about)
    if work.sql:
        out["sql"] = _facet("SQLJobFacet", "1-1-0", query=work.sql, dialect="postgres")
    if work.tags:
        out["tags"] = _tags("TagsJobFacet", work.tags, work.system.upper())
    if work.system == "dbt" and work.kind in ("MODEL", "TEST"):
        out["dbt_node"] = {
            "_producer": _INTEGRATION["dbt"],
            "_schemaURL": "https://github.com/OpenLineage/OpenLineage/tree/main/integration/common/openlineage/"
            "schema/dbt-node-job-facet.json",
            "unique_id": work.name,
        }
    return out


def _tags(kind: str, tags: tuple[str, ...], source: str, columns: tuple[str, ...] = ()) -> dict[str, Any]:
    said = [{"key": t, "value": "true", "source": source} for t in tags]
    said += [{"key": "pii", "value": "true", "source": source, "field": c} for c in columns]
    return _facet(kind, "1-0-0", tags=said)


def _input(work: Work, key: str, ended: bool, bad_rows: int) -> dict[str, Any]:
    out = _named(key, whole=ended)
    checks = [c.partition(": ")[2].split() for c in work.checks if c.startswith(f"{key}: ")]
    if ended and checks:
        said = [
            {"assertion": kind, "column": column, "success": bad_rows == 0, "severity": "error",
             "expected": "0", "actual": str(bad_rows)}
            for kind, column in checks
        ]  # fmt: skip
        facet = _facet("DataQualityAssertionsDatasetFacet", "1-1-0", assertions=said)
        out["inputFacets"] = {"dataQualityAssertions": facet}
    return out


def _output(work: Work, key: str, state: str, run: _Try) -> dict[str, Any]:
    out = _named(key, whole=state != "START")
    if state == "COMPLETE":
        lineage = _columns(key, work)
        if lineage:
            out["facets"]["columnLineage"] = _facet("ColumnLineageDatasetFacet", "1-2-0", fields=lineage)
        rows = 1200 + int(9000 * _chance(key, run.due))
        stats = _facet("OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=rows, size=rows * 96)
        out["outputFacets"] = {"outputStatistics": stats}
    return out


def _named(key: str, *, whole: bool) -> dict[str, Any]:
    data = DATA[key]
    return {
        "namespace": data.namespace,
        "name": data.name,
        "facets": dict(_data_facets(key)) if whole else {},
    }


@cache
def _data_facets(key: str) -> dict[str, Any]:
    data = DATA[key]
    columns = _columns_of(key)
    out = {
        "schema": _facet(
            "SchemaDatasetFacet", "1-2-0", fields=[{"name": n, "type": t} for n, (t, _) in columns.items()]
        ),
        "datasetType": _facet("DatasetTypeDatasetFacet", "1-0-1", datasetType=data.kind),
        "documentation": _facet("DocumentationDatasetFacet", "1-1-0", description=data.about),
    }
    personal = tuple(n for n, (_, pii) in columns.items() if pii)
    if data.tags or personal:
        out["tags"] = _tags("TagsDatasetFacet", data.tags, "USER", personal)
    return out


@cache
def _columns_of(key: str) -> dict[str, tuple[str, bool]]:
    """Column → (type, whether it holds personal data)."""
    out = {}
    for said in DATA[key].columns.split(", "):
        name, _, type_ = said.partition(" ")
        out[name.lstrip("*")] = (type_, name.startswith("*"))
    return out


@cache
def _columns(key: str, work: Work) -> dict[str, Any]:
    """Column lineage of an output: as the estate says it, else from the input that has a column of this name."""
    said: dict[str, list[tuple[str, str]]] = {}
    for one in filter(None, work.columns.split(", ")):
        name, _, sources = one.partition(" = ")
        said[name] = [(s.rpartition(".")[0], s.rpartition(".")[2]) for s in sources.split(" + ")]
    out: dict[str, Any] = {}
    for column in _columns_of(key):
        sources_ = said.get(column) or [(d, column) for d in work.reads if column in _columns_of(d)][:1]
        same = len(sources_) == 1 and sources_[0][1] == column
        how = {
            "type": "DIRECT",
            "subtype": "IDENTITY" if same else "TRANSFORMATION",
            "description": "",
            "masking": False,
        }
        if sources_:
            out[column] = {
                "inputFields": [
                    {
                        "namespace": DATA[d].namespace,
                        "name": DATA[d].name,
                        "field": c,
                        "transformations": [how],
                    }
                    for d, c in sources_
                ]
            }
    return out
