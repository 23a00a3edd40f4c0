"""Airflow's REST API, of Airflow 2 (/api/v1) and 3 (/api/v2), as far as checks and the filling of gaps ask it.

The newest state of a task instance is all that Airflow lists; earlier tries are asked for one by one where there are
some. Everything that hinders a look is :class:`checks.result.CannotLook`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha1, sha256
from types import TracebackType
from typing import Any
from urllib.parse import quote
from uuid import UUID

import requests

from checks.rest import Answer, Rest, refused, unclear, why
from checks.result import Spec
from connections import airflow, http
from connections.link import Link

#: as many as Airflow gives at once, unless its admins allowed more
PAGE = 100
#: pages of one list: what is longer is not looked at to its end
MOST_PAGES = 2000
#: runs that are looked at of one DAG, the newest first
RUNS_OF_DAG = 25
#: DAGs with failed runs that are looked at one by one
FAILING_DAGS = 100
#: seconds that a token is used; Airflow's live a day, and one that was refused is renewed at once
TOKEN_SECONDS = 3000.0

#: Airflow's words for the state of a task instance or a DAG run, as OpenLineage would say it. Its provider sends
#: COMPLETE for a skipped task. What never began is not here: scheduled, queued, upstream_failed, removed
OUTCOMES = {
    "success": "COMPLETE",
    "skipped": "COMPLETE",
    "failed": "FAIL",
    "up_for_retry": "FAIL",
    "running": "RUNNING",
    "restarting": "RUNNING",
    "deferred": "RUNNING",
    "up_for_reschedule": "RUNNING",
    "shutdown": "RUNNING",
}
SCHEDULED = ("scheduled", "asset_triggered", "dataset_triggered")


@dataclass(frozen=True)
class RunState:
    """A task instance, or a DAG run where ``task_id`` is empty, as Airflow knows it now. Times are aware, in UTC.

    ``state`` is Airflow's word; ``max_tries`` are its retries, one less than the tries it may have. ``run_after`` is
    when it was to be made; ``map_index`` is -1 where the task is not mapped.
    """

    dag_id: str
    task_id: str
    run_id: str
    map_index: int = -1
    state: str = ""
    run_type: str = ""
    logical_date: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    run_after: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    try_number: int = 0
    max_tries: int = 0

    @property
    def outcome(self) -> str | None:
        """COMPLETE, FAIL or RUNNING as OpenLineage says it; None where it has not begun and may never."""
        if self.state == "running" and not self.task_id:
            return "RUNNING"
        return OUTCOMES.get(self.state)

    @property
    def scheduled(self) -> bool:
        """Made by the schedule or by data, not by hand and no backfill."""
        return self.run_type in SCHEDULED

    @property
    def due_at(self) -> datetime | None:
        return self.interval_start or self.logical_date or self.run_after or self.started_at

    @property
    def final(self) -> bool:
        """No try is left. Airflow says up_for_retry of a failure that is tried again."""
        return self.state != "up_for_retry"

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        return (self.dag_id, self.run_id, self.task_id, self.map_index, self.try_number)


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow has a file for. ``next_at``: when its next run is to be made; None: nothing is due."""

    dag_id: str
    paused: bool
    next_at: datetime | None


class Client:
    """Airflow through one connection, signed in. Use it as a context.

    Which Airflow it is and the token of its user are kept in this process for a while, and found anew once refused.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.rest = Rest(link)
        self.version = 0
        try:
            self._sign_in(fresh=False)
        except BaseException:
            self.rest.session.close()
            raise

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest.session.close()

    @property
    def root(self) -> str:
        return "/api/v2" if self.version >= 3 else "/api/v1"

    # ---- asking

    def _sign_in(self, fresh: bool) -> None:
        said = (str(self.link.id), sorted(self.link.fields.items()), sorted(self.link.secret.items()))
        key = sha256(repr(said).encode()).digest()
        with _known_lock:
            known = _known.get(key)
        self._fresh = known is None or fresh or known.until < time.monotonic()
        if known is None or self._fresh:
            known = self._found()
            with _known_lock:
                if len(_known) > 200:
                    _known.clear()
                _known[key] = known
        self.version = known.major
        self.rest.session.auth = known.auth
        if known.authorization:
            self.rest.session.headers["Authorization"] = known.authorization

    def _found(self) -> _Known:
        try:
            with airflow.opened(self.link) as made:
                header = made.session.headers.get("Authorization")
                return _Known(
                    made.major,
                    header.decode() if isinstance(header, bytes) else header,
                    made.session.auth,
                    time.monotonic() + TOKEN_SECONDS,
                )
        except requests.HTTPError as e:
            raise refused(e.response.status_code, "Airflow", "a token") from None
        except requests.RequestException as e:
            raise why(e, self.link) from None
        except http.Unreadable as e:
            raise unclear(e.message, e.hint or "") from None

    def _get(self, path: str, **params: Any) -> Answer:
        answer = self.rest.get(self.root + path, **params)
        # Airflow 3 answers 403, too, where a token is no longer good
        if answer.status in (401, 403) and not self._fresh:
            self._sign_in(fresh=True)
            answer = self.rest.get(self.root + path, **params)
        return answer

    def _pages(self, path: str, items: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All objects of a list. What comes in meanwhile moves others on to the next page: a caller may see one twice."""
        offset = 0
        for _ in range(MOST_PAGES):
            body = self._get(path, limit=PAGE, offset=offset, **params).object("Airflow", path)
            page = body.get(items)
            if not isinstance(page, list):
                raise unclear(
                    f"what answers is not Airflow {self.version}: {path} holds no {items}", "look at the URL"
                )
            yield from (x for x in page if isinstance(x, dict))
            offset += len(page)
            total = body.get("total_entries")
            if not page or (offset >= total if isinstance(total, int) else len(page) < PAGE):
                return

    # ---- what checks look at

    def health(self) -> dict[str, tuple[str | None, datetime | None]]:
        """(status, last heartbeat) of each part that Airflow names; the status of one that never ran is None."""
        path = "/monitor/health" if self.version >= 3 else "/health"
        body = self._get(path).object("Airflow", path)
        parts: dict[str, tuple[str | None, datetime | None]] = {}
        for part, said in body.items():
            if isinstance(said, Mapping):
                status = said.get("status")
                beat = next((when(v) for k, v in said.items() if k.endswith("_heartbeat")), None)
                parts[part] = (str(status) if status is not None else None, beat)
        return parts

    def import_errors(self) -> list[tuple[str, str]]:
        """(file, stack trace) of each DAG file that could not be imported."""
        return [
            (str(x.get("filename") or "?"), str(x.get("stack_trace") or ""))
            for x in self._pages("/importErrors", "import_errors")
        ]

    def dags(self, only: str | None = None) -> list[Dag]:
        """The DAGs that files define now; only this one, where it is named."""
        if only is not None:
            answer = self._get(f"/dags/{quote(only, safe='')}")
            if answer.status == 404:
                return []
            one = answer.object("Airflow", f"the DAG {only}")
            return [] if one.get("is_stale") or one.get("is_active") is False else [_dag(one)]
        active = {"exclude_stale": "true"} if self.version >= 3 else {"only_active": "true"}
        found = {
            d.dag_id: d
            for d in map(_dag, self._pages("/dags", "dags", order_by="dag_id", **active))
            if d.dag_id
        }
        return list(found.values())

    def failing(self, since: datetime) -> list[str]:
        """DAGs that have a failed run since then, by name."""
        ids = {
            str(x.get("dag_id"))
            for x in self._pages("/dags/~/dagRuns", "dag_runs", state="failed", start_date_gte=_z(since))
        }
        return sorted(ids)[:FAILING_DAGS]

    def recent_runs(self, dags: Iterable[str], since: datetime) -> dict[str, list[RunState]]:
        """The newest runs of each of these DAGs that started since then."""
        order = "-run_after" if self.version >= 3 else "-execution_date"
        out = {}
        for dag in dags:
            path = f"/dags/{quote(dag, safe='')}/dagRuns"
            answer = self._get(path, limit=RUNS_OF_DAG, order_by=order, start_date_gte=_z(since))
            if answer.status == 404:
                continue
            body = answer.object("Airflow", f"the runs of {dag}")
            out[dag] = [_dag_run(x) for x in body.get("dag_runs") or () if isinstance(x, dict)]
        return out

    # ---- what fills a gap

    def runs_between(self, start: datetime, end: datetime) -> Iterator[RunState]:
        """See :func:`runs_between`."""
        runs: dict[tuple[str, str], RunState] = {}
        for said in self._changed("/dags/~/dagRuns", "dag_runs", start):
            run = _dag_run(said)
            if (run.dag_id, run.run_id) not in runs:
                runs[run.dag_id, run.run_id] = run
                if _began_by(run, end):
                    yield run
        seen = set()
        for said in self._changed("/dags/~/dagRuns/~/taskInstances", "task_instances", start):
            task = _task(said)
            if task.key in seen:
                continue
            seen.add(task.key)
            whole = _of_run(task, self._run_of(task, runs))
            if not _began_by(whole, end):
                continue
            if whole.try_number > 1 or (whole.state == "up_for_retry" and whole.try_number > 0):
                yield from self._earlier(whole, start)
            yield whole

    def _changed(self, path: str, items: str, since: datetime) -> Iterator[dict[str, Any]]:
        """Everything of a list that changed since then. A run keeps changing until it has ended."""
        order = "id" if self.version >= 3 else None
        yield from self._pages(path, items, updated_at_gte=_z(since), order_by=order)

    def _run_of(self, task: RunState, known: dict[tuple[str, str], RunState]) -> RunState | None:
        key = (task.dag_id, task.run_id)
        if key not in known:
            path = f"/dags/{quote(task.dag_id, safe='')}/dagRuns/{quote(task.run_id, safe='')}"
            answer = self._get(path)
            if answer.status == 404:
                return None
            known[key] = _dag_run(answer.object("Airflow", "a DAG run"))
        return known[key]

    def _earlier(self, task: RunState, start: datetime) -> Iterator[RunState]:
        """The tries before the newest that ended since then; none where this Airflow does not keep them."""
        path = (
            f"/dags/{quote(task.dag_id, safe='')}/dagRuns/{quote(task.run_id, safe='')}"
            f"/taskInstances/{quote(task.task_id, safe='')}"
        )
        if task.map_index >= 0:
            path += f"/{task.map_index}"
        answer = self._get(f"{path}/tries")
        if answer.status == 404:
            return
        for said in answer.object("Airflow", "the tries of a task").get("task_instances") or ():
            if not isinstance(said, dict):
                continue
            tried = replace(_of_run(_task(said), task), map_index=task.map_index)
            if 0 < tried.try_number < task.try_number and tried.ended_at and tried.ended_at >= start:
                # a try that another one followed failed with tries left, whatever it is called now
                yield replace(tried, state="up_for_retry") if tried.state == "failed" else tried


@dataclass(frozen=True)
class _Known:
    major: int
    authorization: str | None
    auth: Any
    until: float


_known: dict[bytes, _Known] = {}
_known_lock = threading.Lock()


def runs_between(link: Link, start: datetime, end: datetime) -> Iterator[RunState]:
    """Every DAG run and every task instance that changed from ``start`` on and was made by ``end``: DAG runs first.

    The state is the one of now, not of ``end``: what fills a gap wants the newest. Of a task that was tried several
    times each try comes, as far as Airflow keeps them. All pages are read. Raises :class:`CannotLook`.
    """
    with Client(link) as client:
        yield from client.runs_between(start, end)


def dag_of(spec: Spec) -> str | None:
    """The DAG that a check looks at: named in its config, or the one that its node is or belongs to."""
    if named := str(spec.config.get("dag") or ""):
        return named
    about = spec.about
    if about.system != "airflow" or about.type != "job" or not about.names:
        return None
    name = about.names[0][1]
    return name.split(".", 1)[0] if about.kind == "task" else name


# ---------------------------------------------------------------- reading what it answers


def when(text: Any) -> datetime | None:
    """A time as Airflow writes it, in UTC."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _z(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _dag(said: Mapping[str, Any]) -> Dag:
    return Dag(
        str(said.get("dag_id") or ""),
        bool(said.get("is_paused")),
        when(said.get("next_dagrun_run_after")) or when(said.get("next_dagrun_create_after")),
    )


def _dag_run(said: Mapping[str, Any]) -> RunState:
    logical = when(said.get("logical_date")) or when(said.get("execution_date"))
    return RunState(
        dag_id=str(said.get("dag_id")),
        task_id="",
        run_id=str(said.get("dag_run_id")),
        state=str(said.get("state") or ""),
        run_type=str(said.get("run_type") or ""),
        logical_date=logical,
        interval_start=when(said.get("data_interval_start")),
        interval_end=when(said.get("data_interval_end")),
        run_after=when(said.get("run_after")) or when(said.get("data_interval_end")) or logical,
        queued_at=when(said.get("queued_at")),
        started_at=when(said.get("start_date")),
        ended_at=when(said.get("end_date")),
    )


def _task(said: Mapping[str, Any]) -> RunState:
    return RunState(
        dag_id=str(said.get("dag_id")),
        task_id=str(said.get("task_id")),
        run_id=str(said.get("dag_run_id")),
        map_index=_whole(said.get("map_index"), -1),
        state=str(said.get("state") or ""),
        logical_date=when(said.get("logical_date")) or when(said.get("execution_date")),
        run_after=when(said.get("run_after")),
        queued_at=when(said.get("queued_when")),
        started_at=when(said.get("start_date")),
        ended_at=when(said.get("end_date")),
        try_number=_whole(said.get("try_number"), 0),
        max_tries=_whole(said.get("max_tries"), 0),
    )


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _of_run(task: RunState, run: RunState | None) -> RunState:
    """The task instance with what only its DAG run (or another try of it) says."""
    if run is None:
        return task
    return replace(
        task,
        run_type=run.run_type,
        logical_date=task.logical_date or run.logical_date,
        interval_start=run.interval_start,
        interval_end=run.interval_end,
        run_after=task.run_after or run.run_after,
    )


def _began_by(run: RunState, end: datetime) -> bool:
    at = run.started_at or run.queued_at or run.run_after
    return at is None or at <= end


# ---------------------------------------------------------------- as OpenLineage would have said it


def lineage_run_id(namespace: str, run: RunState, clear_number: int = 0) -> UUID | None:
    """The run id under which Airflow's OpenLineage provider sends this run, so that what is filled in joins what came.

    ``namespace`` is the provider's. A DAG run that was cleared has ids by ``clear_number``, which Airflow's REST does
    not tell. None where the run has no date. Source: ``generate_static_uuid`` of openlineage-python.
    """
    at = run.logical_date or run.run_after
    if at is None:
        return None
    tail = f"{run.task_id}.{run.try_number}.{run.map_index}" if run.task_id else str(clear_number)
    data = f"{namespace}.{run.dag_id}.{tail}".encode()
    digest = sha1(at.astimezone(UTC).isoformat().encode() + data, usedforsecurity=False).digest()
    value = (int(at.timestamp() * 1000) & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(digest) >> 84
    value = value & ~(0xF000 << 64) | 7 << 76
    return UUID(int=value & ~(0xC000 << 48) | 0x8000 << 48)


def lineage_events(namespace: str, run: RunState) -> list[dict[str, Any]]:
    """The OpenLineage events that Airflow's provider would have sent of this run, or did: run ids, names and times are
    the same, so that sending them again changes nothing. Empty where nothing began (upstream_failed sends nothing)."""
    run_id = lineage_run_id(namespace, run)
    if run_id is None or run.outcome is None:
        return []
    events = []
    if run.started_at:
        events.append(_event(namespace, run, run_id, "START", run.started_at))
    end = run.ended_at or run.started_at
    if run.outcome in ("COMPLETE", "FAIL") and end:
        events.append(_event(namespace, run, run_id, run.outcome, end))
    return events


def lineage_job(namespace: str, run: RunState) -> dict[str, Any] | None:
    """A task that was skipped behind a failure and of which no event may ever have told, as an OpenLineage event of the
    job alone: that it is there, and in which DAG. None where Airflow says something else of it, or where a dot in the
    DAG's own name would leave open where it ends."""
    at = run.ended_at or run.run_after
    if run.state != "upstream_failed" or "." in run.dag_id or at is None:
        return None
    return {
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/JobEvent",
        "job": _job(namespace, run),
        "inputs": [],
        "outputs": [],
    }


PRODUCER = "https://github.com/apache/airflow/tree/providers-openlineage"


def _event(namespace: str, run: RunState, run_id: UUID, kind: str, at: datetime) -> dict[str, Any]:
    named = {
        "run_id": run.run_id,
        "run_type": run.run_type,
        "logical_date": run.logical_date,
        "data_interval_start": run.interval_start,
        "data_interval_end": run.interval_end,
        "run_after": run.run_after,
    }
    dag_run = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in named.items() if v}
    facets: dict[str, Any] = {"processing_engine": {"name": "Airflow", "version": "3"}}
    if run.task_id:
        parent = lineage_run_id(namespace, replace(run, task_id=""))
        facets["airflow"] = {
            "dag": {"dag_id": run.dag_id},
            "dagRun": {"dag_id": run.dag_id, **dag_run},
            # after a clear Airflow's count of retries goes up; what is final is known by the state
            "task": {"task_id": run.task_id, "retries": max(run.try_number - run.final, 0)},
            "taskInstance": {"try_number": run.try_number, "map_index": run.map_index},
        }
        facets["parent"] = {
            "job": {"namespace": namespace, "name": run.dag_id},
            "run": {"runId": str(parent)},
        }
    else:
        facets["airflowDagRun"] = {"dag": {"dag_id": run.dag_id}, "dagRun": {"dag_id": run.dag_id, **dag_run}}
    if kind == "FAIL":
        facets["errorMessage"] = {"message": f"Airflow says {run.state}", "programmingLanguage": "python"}
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(run_id), "facets": facets},
        "job": _job(namespace, run),
        "inputs": [],
        "outputs": [],
    }


def _job(namespace: str, run: RunState) -> dict[str, Any]:
    what = {
        "processingType": "BATCH", "integration": "AIRFLOW", "jobType": "TASK" if run.task_id else "DAG",
    }  # fmt: skip
    name = f"{run.dag_id}.{run.task_id}" if run.task_id else run.dag_id
    return {"namespace": namespace, "name": name, "facets": {"jobType": what}}
