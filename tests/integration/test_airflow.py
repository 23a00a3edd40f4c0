"""Checks of Airflow against a real Airflow 3, and the run states that fill a gap."""

from __future__ import annotations

import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import airflow_server
import pytest
from airflow_server import PASSWORDS, Airflow
from looking import link, look

from checks import airflow as client
from checks.result import About, CannotLook
from connections.link import Link
from embedded import child

pytestmark = airflow_server.MARKS

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def through(url: str, user: str = "viewer", password: str = "", timeout: float = 10.0) -> Link:
    return link(
        "airflow", {"password": password or PASSWORDS[user]}, url=url, auth="password", username=user,
        tls="verified", timeout=timeout,
    )  # fmt: skip


@pytest.fixture(scope="module")
def to(airflow: Airflow) -> Link:
    """Signed in as somebody who may only read, once the DAGs that run once have ended."""
    for dag, state in (("good", "success"), ("bad", "failed")):
        run = airflow.until(dag, lambda dag=dag: airflow.ended(dag))
        assert run["state"] == state
    airflow.until("import errors", lambda: airflow.call("GET", "/importErrors")["total_entries"])
    return through(airflow.url)


# ---------------------------------------------------------------- checks


def test_components_that_live(to: Link) -> None:
    """No triggerer runs here: that is fine unless it has to be there."""
    verdict = look(to, "airflow_health")
    assert (verdict.status, verdict.reason) == ("ok", "3 parts of Airflow healthy")
    needed = look(to, "airflow_health", triggerer_needed=True)
    assert (needed.status, needed.reason) == ("fail", "the triggerer never ran")


def test_import_errors(to: Link) -> None:
    verdict = look(to, "airflow_imports")
    assert (verdict.status, verdict.value) == ("fail", 1)
    assert verdict.reason.startswith("1 DAG file cannot be imported: ")
    assert "broken.py: ModuleNotFoundError: No module named 'not_a_module_of_anybody'" in verdict.reason
    assert look(to, "airflow_imports", path="/other/").status == "ok"


def test_failed_runs(to: Link) -> None:
    verdict = look(to, "airflow_runs", back="90 d", grace="1 h")
    assert (verdict.status, verdict.health) == ("fail", "failed")
    assert "bad failed at " in verdict.reason
    assert verdict.detail is not None
    assert {"bad"} <= set(verdict.detail["failed"]) <= {"bad", "before", "during"}, (
        "those of the other file, too"
    )
    assert look(to, "airflow_runs", dag="good", back="90 d").status == "ok"
    about = About("job", "task", "airflow", (("airflow-test", "bad.break_down"),))
    assert look(to, "airflow_runs", about=about, back="90 d").status == "fail", "the DAG of the node"
    gone = look(to, "airflow_runs", dag="not-there")
    assert (gone.status, gone.reason) == (
        "fail",
        "Airflow has no DAG not-there, or it is stale and no file defines it any more",
    )


def test_a_paused_dag_is_never_overdue(airflow: Airflow, to: Link) -> None:
    """Its next run should have been made when it was first seen."""
    next_at = client.when(airflow.call("GET", "/dags/paused")["next_dagrun_run_after"])
    assert next_at is not None
    assert next_at < datetime.now(UTC)
    verdict = look(to, "airflow_runs", dag="paused", grace=0)
    assert (verdict.status, verdict.reason) == ("ok", "paused is paused")


def test_a_scheduler_that_stands_still(airflow: Airflow, to: Link) -> None:
    """Airflow answers 200 all the same; what it should have run meanwhile is overdue, which is late and not failed."""
    airflow.signal("scheduler", signal.SIGSTOP)
    try:
        verdict = airflow.until(
            "an unhealthy scheduler",
            lambda: v if (v := look(to, "airflow_health")).status != "ok" else None,
        )
        assert verdict.status == "fail"
        assert verdict.reason.startswith("the scheduler is unhealthy, last heartbeat 20")
        late = airflow.until(
            "an overdue run",
            lambda: v if (v := look(to, "airflow_runs", dag="often", grace=1)).status != "ok" else None,
        )
        assert (late.status, late.health) == ("fail", "late")
        assert late.reason.startswith("often is overdue since ")
    finally:
        airflow.signal("scheduler", signal.SIGCONT)
    airflow.until("a healthy scheduler", lambda: look(to, "airflow_health").status == "ok")


# ---------------------------------------------------------------- a token


def test_a_token_that_is_refused_is_renewed(airflow: Airflow) -> None:
    """Kept between looks; where Airflow refuses it, a new one is fetched within the same look."""
    mine = through(airflow.url, "admin")
    with client.Client(mine) as first:
        token = first.rest.session.headers["Authorization"]
    with client.Client(mine) as second:
        assert second.rest.session.headers["Authorization"] == token
        second.rest.session.headers["Authorization"] = "Bearer of.nothing.good"
        assert second.dags("good")
        assert second.rest.session.headers["Authorization"] not in ("Bearer of.nothing.good",)


# ---------------------------------------------------------------- it cannot be looked at

KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("airflow_health", {}),
    ("airflow_imports", {}),
    ("airflow_runs", {}),
)


def steps(to: Link) -> set[tuple[str, object]]:
    """(status, step) of every kind."""
    found = set()
    for kind, config in KINDS:
        verdict = look(to, kind, **config)
        assert verdict.reason
        found.add((verdict.status, (verdict.detail or {}).get("step")))
    return found


def test_a_wrong_password(airflow: Airflow) -> None:
    assert steps(through(airflow.url, "viewer", "wrong")) == {("not_checked", "sign-in")}


def test_nothing_listens() -> None:
    assert steps(through(f"http://127.0.0.1:{child.free_port()}")) == {("not_checked", "route")}


def test_something_else_listens(airflow: Airflow) -> None:
    """The receiver of events, which knows no GET."""
    assert steps(through(airflow.receiver.url)) == {("not_checked", "answer")}


def test_an_airflow_that_hangs(airflow: Airflow, to: Link) -> None:
    airflow.signal("api-server", signal.SIGSTOP)
    try:
        found = steps(through(airflow.url, timeout=1.0))
    finally:
        airflow.signal("api-server", signal.SIGCONT)
    assert {status for status, _ in found} == {"not_checked"}
    assert look(to, "airflow_imports").status == "fail", "it looks again once Airflow answers"


# ---------------------------------------------------------------- what fills a gap


def states(runs: list[client.RunState]) -> Counter[tuple[str, str, int, int, str, str | None]]:
    return Counter((r.dag_id, r.task_id, r.map_index, r.try_number, r.state, r.outcome) for r in runs)


ONCE = Counter(
    {
        ("good", "", -1, 0, "success", "COMPLETE"): 1,
        ("good", "load", -1, 1, "success", "COMPLETE"): 1,
        ("good", "each", 0, 1, "success", "COMPLETE"): 1,
        ("good", "each", 1, 1, "success", "COMPLETE"): 1,
        ("good", "skipped", -1, 1, "skipped", "COMPLETE"): 1,
        ("bad", "", -1, 0, "failed", "FAIL"): 1,
        ("bad", "break_down", -1, 1, "up_for_retry", "FAIL"): 1,
        ("bad", "break_down", -1, 2, "failed", "FAIL"): 1,
        ("bad", "after", -1, 0, "upstream_failed", None): 1,
    }
)


def of_once(runs: list[client.RunState]) -> list[client.RunState]:
    return [r for r in runs if r.dag_id in ("good", "bad")]


def test_every_run_and_every_try(to: Link) -> None:
    runs = of_once(list(client.runs_between(to, LONG_AGO, datetime.now(UTC))))
    assert states(runs) == ONCE
    for r in runs:
        assert r.run_type == "scheduled"
        assert r.logical_date == datetime(2026, 1, 1, tzinfo=UTC)
        assert r.interval_start and r.interval_start.tzinfo
        if r.outcome:
            assert r.started_at and r.ended_at
            assert r.started_at <= r.ended_at
    by = {(r.task_id, r.try_number): r for r in runs if r.dag_id == "bad"}
    assert [by["break_down", n].final for n in (1, 2)] == [False, True]


def test_all_pages_are_read(to: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    assert states(of_once(list(client.runs_between(to, LONG_AGO, datetime.now(UTC))))) == ONCE


def test_only_what_changed_since_and_began_before(to: Link) -> None:
    now = datetime.now(UTC)
    assert of_once(list(client.runs_between(to, now, now))) == []
    assert of_once(list(client.runs_between(to, LONG_AGO, LONG_AGO + timedelta(days=1)))) == []


def test_a_gap_cannot_be_read_of_an_airflow_that_is_away() -> None:
    with pytest.raises(CannotLook):
        list(client.runs_between(through(f"http://127.0.0.1:{child.free_port()}"), LONG_AGO, LONG_AGO))


def test_the_events_are_those_that_airflow_sent(airflow: Airflow, to: Link) -> None:
    """Run id, job, kind and tries of each, compared with what the real provider sent of the same runs."""

    def told(events: list[dict[str, Any]]) -> Counter[tuple[str, str, str]]:
        return Counter(
            (e["run"]["runId"], e["job"]["name"], e["eventType"])
            for e in events
            if e["job"]["name"].split(".")[0] in ("good", "bad")
        )

    ends = {"good": "COMPLETE", "bad": "FAIL"}
    airflow.until(
        "the events of the DAG runs",
        lambda: all(
            any(e["job"]["name"] == d and e["eventType"] == k for e in list(airflow.receiver.events))
            for d, k in ends.items()
        ),
    )
    time.sleep(1)  # tasks send from processes of their own
    sent = list(airflow.receiver.events)
    runs = of_once(list(client.runs_between(to, LONG_AGO, datetime.now(UTC))))
    made = [e for r in runs for e in client.lineage_events(airflow.namespace, r)]
    assert told(made) == told(sent)

    def tries(events: list[dict[str, Any]]) -> set[tuple[str, int, int]]:
        return {
            (e["run"]["runId"], f["taskInstance"]["try_number"], f["task"]["retries"])
            for e in events
            if e["job"]["name"] == "bad.break_down" and (f := e["run"]["facets"].get("airflow"))
        }

    assert tries(made) == tries(sent)
