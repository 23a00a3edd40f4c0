"""Producers that go quiet, and what was missed meanwhile: a silence is a state of who sends, not of its jobs.

Each step may be done by any number of schedulers at once: what counts is written by compare and set.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from checks import airflow, spark
from checks.result import CannotLook
from connections import opening
from connections.link import Link
from errors import DlvError
from ingest import gap
from ingest.fold import rejudge
from settings import Settings
from store import health, incidents, producers
from store.record import Record

log = logging.getLogger("dlv.producers")

#: roots that have to be due and unheard before their producer is taken for quiet; a single one is late
WAITED_FOR = 2
#: a key that was refused once may be a slip; refused for so long, and nothing accepted since, it is a state
REFUSED_FOR = timedelta(seconds=20)
#: refusals older than this say nothing of now
REFUSED_WITHIN = timedelta(minutes=30)
#: own absences older than this were looked at long ago
ABSENT_WITHIN = timedelta(hours=12)
#: how long one process may take to fetch the run states of a gap
LEASE = timedelta(minutes=10)
#: a gap that cannot be filled is tried again after this, doubled each time up to an hour
RETRY = timedelta(seconds=30)
#: seconds between two questions for the DAGs that are paused
PAUSED_EVERY = 60.0
#: runs that ended in the gap may have begun long before; Airflow tells of all that changed since then
SLACK = timedelta(minutes=1)


@dataclass(frozen=True)
class Telling:
    """How long an end has to hold before people are told of it: ``group`` at least, ``window`` at most, within which a
    relapse is the same incident. What the settings say where nothing else is given."""

    group: timedelta = timedelta(seconds=Settings.group_seconds)
    window: timedelta = timedelta(minutes=Settings.reopen_minutes)

    @classmethod
    def of(cls, settings: Settings) -> Telling:
        return cls(timedelta(seconds=settings.group_seconds), timedelta(minutes=settings.reopen_minutes))


def step(record: Record, now: datetime | None = None, telling: Telling = Telling()) -> None:
    """What time alone brings: producers go quiet or are back, then nodes are judged whose time has come."""
    now = now or datetime.now(UTC)
    absences(record, now)
    watch(record, now, telling)
    with record.tx() as conn:
        deaf = producers.deaf_since(conn)
    rejudge(record, now=min(now, deaf) if deaf else now)


# ---------------------------------------------------------------- going quiet


def watch(record: Record, now: datetime, telling: Telling = Telling()) -> list[tuple[str, str]]:
    """Open and close the incidents of quiet producers; returns (producer, "quiet" or "back") of those that changed."""
    with record.tx() as conn:
        rows = producers.watched(conn)
        absent = max(
            (a["ended_at"] or now for a in producers.own_absences(conn, now - ABSENT_WITHIN)), default=None
        )
    changed: list[tuple[str, str]] = []
    for row in rows:
        if row["quiet_since"] is not None:
            if row["last_event_at"] > row["quiet_since"] and _back(record, row, now, telling):
                changed.append((row["name"], "back"))
            continue
        why = _quiet(record, row, absent, now)
        if why and _went(record, row, why, now, telling):
            changed.append((row["name"], "quiet"))
    for name, what in changed:
        log.warning("producer %s: %s", name, what)
    return changed


def _quiet(record: Record, row: dict[str, Any], absent: datetime | None, now: datetime) -> str | None:
    """Why this producer counts as quiet; None: it does not."""
    last: datetime = row["last_event_at"]
    refused, since = row["last_refused_at"], row["refused_since"]
    if (
        refused
        and since
        and since > last
        and now - refused < REFUSED_WITHIN
        and refused - since >= REFUSED_FOR
    ):
        with record.tx() as conn:
            return producers.spoiled_keys(conn, row["id"])
    # what was sent while DLV itself was away may be lost: silence counts from when it could hear again
    from_ = max(last, absent) if absent else last
    silent = now - from_
    if row["expected_every"] is not None:
        if silent > row["expected_every"]:
            return f"no event for {_span(now - last)}, expected every {_span(row['expected_every'])}"
        return None
    if silent < health.QUIET_AFTER or not _worth_a_look(silent, now):
        return None
    with record.tx() as conn:
        due = health.waited_for(conn, row["id"], from_, now)
    if len(due) < WAITED_FOR:
        return None
    named = ", ".join(sorted(due)[:3]) + (f" and {len(due) - 3} more" if len(due) > 3 else "")
    return f"no event for {_span(now - last)}, though {len(due)} of its jobs were due: {named}"


def _worth_a_look(silent: timedelta, now: datetime) -> bool:
    """The longer a silence lasts without anything having been due in it, the less often that is looked for."""
    every = 0 if silent < timedelta(hours=1) else 300 if silent < timedelta(days=1) else 3600
    return not every or now.timestamp() % every < 20


def _went(record: Record, row: dict[str, Any], why: str, now: datetime, telling: Telling) -> bool:
    with record.tx() as conn:
        if not producers.went_quiet(conn, row["id"], row["last_event_at"], why, now):
            return False
        incidents.open_producer(conn, row["id"], why, row["last_event_at"], window=telling.window, now=now)
    return True


def _back(record: Record, row: dict[str, Any], now: datetime, telling: Telling) -> bool:
    with record.tx() as conn:
        was = producers.came_back(conn, row["id"], now)
        if was is None:
            return False
        at = was["last_event_at"]
        incidents.close_producer(
            conn, row["id"], f"{was['name']} sends again", at,
            group=telling.group, window=telling.window, now=now,
        )  # fmt: skip
    return True


def _span(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    if minutes < 120:
        return f"{max(minutes, 1)} min"
    return f"{minutes / 60:.1f} h" if minutes < 2880 else f"{minutes / 1440:.0f} days"


def absences(record: Record, now: datetime) -> int:
    """Times in which DLV itself did not run are gaps of every producer of which nothing came then; how many were noted."""
    noted = 0
    with record.tx() as conn:
        for absence in producers.own_absences(conn, now - ABSENT_WITHIN):
            if not absence["gap"]:
                continue
            began, ended = absence["began_at"], absence["ended_at"]
            heard = producers.heard_between(conn, began, ended)
            for row in producers.watched(conn):
                if (
                    row["id"] in heard
                    or row["created_at"] > ended
                    or row["last_event_at"] < began - timedelta(days=45)
                ):
                    continue
                why = f"{absence['reason']} from {began:%Y-%m-%d %H:%M} to {ended:%H:%M} UTC"
                noted += producers.add_gap(conn, row["id"], began, ended, why, now)
    return noted


# ---------------------------------------------------------------- filling gaps


def fill(record: Record, settings: Settings, now: datetime | None = None) -> int:
    """Fetch the run states of one gap whose time has come; how many events it was told as, -1 where there is none."""
    now = now or datetime.now(UTC)
    with record.tx() as conn:
        taken = producers.take_gap(conn, now, LEASE)
    if taken is None:
        return -1
    try:
        with record.tx() as conn:
            link = opening.open_link(conn, settings, taken["connection_id"])
        states = list(airflow.runs_between(link, taken["began_at"] - SLACK, now))
        told = gap.fill(
            record, taken["producer_id"], taken["name"], taken["environment"],
            list(_events(record, taken["producer_id"], states)), now,
        )  # fmt: skip
    except (CannotLook, DlvError) as e:
        why = e.reason if isinstance(e, CannotLook) else e.message
        again = min(RETRY * 2 ** min(taken["tries"] - 1, 10), timedelta(hours=1))
        with record.tx() as conn:
            producers.not_filled(conn, taken["id"], why, now + again)
        log.warning("the gap of %s cannot be filled: %s", taken["name"], why)
        return 0
    with record.tx() as conn:
        producers.filled(conn, taken, now)
    log.info("the gap of %s is filled: %s run states", taken["name"], len(states))
    return told


#: how often a DAG run is looked for under the id of having been cleared
CLEARED = 4


def _events(record: Record, producer_id: int, states: list[airflow.RunState]) -> Iterator[dict[str, Any]]:
    """Each run state as the events Airflow would have sent; a task that was skipped and was never heard of, which sends
    none, as the job that it is. A DAG run that was cleared goes by another id, which
    Airflow's REST does not tell: it is the one that is known and fits, else the first that is not known."""
    with record.tx() as conn:
        names = gap.names(conn, producer_id)
        asked: list[tuple[Any, str]] = []
        ids: dict[tuple[str, str], list[str]] = {}
        for run in states:
            if not run.task_id:
                found = [airflow.lineage_run_id(names[run.dag_id], run, n) for n in range(CLEARED)]
                ids[run.dag_id, run.run_id] = [str(i) for i in found if i]
                if run.dag_id in names.aliases:
                    asked += [(names.aliases[run.dag_id], i) for i in ids[run.dag_id, run.run_id]]
        known = gap.known(conn, asked)
    chosen: dict[str, str] = {}
    for run in states:
        if not run.task_id and ids[run.dag_id, run.run_id]:
            first = ids[run.dag_id, run.run_id][0]
            chosen[first] = next((i for i in ids[run.dag_id, run.run_id] if _fits(known.get(i), run)), first)
    for run in states:
        name = f"{run.dag_id}.{run.task_id}" if run.task_id else run.dag_id
        namespace = names[name] if name in names.of else names[run.dag_id]
        if name not in names.of and (job := airflow.lineage_job(namespace, run)):
            yield job
        for event in airflow.lineage_events(namespace, run):
            said = event["run"]
            if not run.task_id:
                said["runId"] = chosen.get(said["runId"], said["runId"])
            elif "parent" in said["facets"]:
                above = said["facets"]["parent"]["run"]
                above["runId"] = chosen.get(above["runId"], above["runId"])
            yield event


def _fits(known: tuple[str, datetime | None] | None, run: airflow.RunState) -> bool:
    if known is None:
        return True
    state, ended = known
    if ended is None:
        return True
    return state == run.outcome and (run.ended_at is None or abs(run.ended_at - ended) < timedelta(minutes=2))


def paused(record: Record, settings: Settings, now: datetime | None = None) -> int:
    """Ask each Airflow which of its DAGs are paused: nothing of theirs is due. How many nodes changed."""
    now = now or datetime.now(UTC)
    with record.tx() as conn:
        rows = producers.asked(conn)
    changed = 0
    for row in rows:
        try:
            with record.tx() as conn:
                link = opening.open_link(conn, settings, row["connection_id"])
            with airflow.Client(link) as client:
                dags = {d.dag_id: d.paused for d in client.dags()}
        except (CannotLook, DlvError) as e:
            log.info("which DAGs of %s are paused is not known: %s", row["name"], e)
            continue
        with record.tx() as conn:
            changed += producers.pause(conn, row["id"], dags, now)
    return changed


# ---------------------------------------------------------------- Spark applications with nothing beneath


def confirm(record: Record, settings: Settings, now: datetime | None = None) -> int:
    """Ask the history servers about applications that say COMPLETE with nothing beneath; how many are known now."""
    now = now or datetime.now(UTC)
    with record.tx() as conn:
        rows = health.hollow(conn, now)
        links = _links(record, settings, "spark") if rows else []
    done = 0
    for row in rows:
        found = _asked(links, row)
        if found is None:
            continue
        failed = found.failed or not found.completed
        why = found.reason or ", ".join(found.failed_jobs) or "the history server says it did not complete"
        with record.tx() as conn:
            gap.confirm(conn, row["key"], failed, why, now)
        done += 1
    return done


def _links(record: Record, settings: Settings, kind: str) -> list[Link]:
    with record.tx() as conn:
        rows = conn.execute(
            "select id from connection where kind = %s and retired_at is null order by name", (kind,)
        ).fetchall()
        out = []
        for r in rows:
            try:
                out.append(opening.open_link(conn, settings, r["id"]))
            except DlvError as e:
                log.warning("a connection cannot be opened: %s", e.message)
        return out


def _asked(links: Iterable[Link], row: dict[str, Any]) -> spark.Confirmed | None:
    for link in links:
        try:
            found = spark.confirm(link, row["application_id"] or row["name"], row["since"])
        except CannotLook as e:
            log.info("the history server cannot be asked: %s", e.reason)
            continue
        if found is not None:
            return found
    return None


# ---------------------------------------------------------------- beside the scheduler


class Beside:
    """Does something on a thread of its own, once at a time a process: the schedule does not wait for it."""

    def __init__(self, name: str, do: Callable[[], object]) -> None:
        self._name = name
        self._do = do
        self._thread: threading.Thread | None = None

    def __call__(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._do()
        except DlvError as e:
            log.warning("%s failed: %s", self._name, e.message)
        except Exception:
            log.exception("%s failed", self._name)


class Asking:
    """What is asked of other systems: the run states of gaps, applications with nothing beneath, paused DAGs."""

    def __init__(self, record: Record, settings: Settings) -> None:
        self._record = record
        self._settings = settings
        self._paused_due = 0.0

    def __call__(self) -> None:
        while fill(self._record, self._settings) > 0:
            pass
        confirm(self._record, self._settings)
        if time.monotonic() >= self._paused_due:
            self._paused_due = time.monotonic() + PAUSED_EVERY
            paused(self._record, self._settings)
