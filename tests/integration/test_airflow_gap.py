"""A real Airflow sends its events to a real DLV, is refused for a while, and is asked for what was missed."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import airflow_server
import serving
from airflow_server import PASSWORDS, Airflow
from serving import Served

from connections import opening
from settings import Settings
from store import keys, producers
from store.audit import SYSTEM
from workers import producers as watching

pytestmark = airflow_server.MARKS
served, served_by_module = serving.served, serving.served_by_module

#: runs once; ``turns`` fails as soon as a file called broken lies beside the DAGs
DAG = """
from datetime import datetime
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task


@dag(schedule="@once", start_date=datetime(2026, 1, 1), catchup=False)
def {name}():
    @task
    def works():
        pass

    @task
    def turns():
        assert not (Path(__file__).parent / "broken").exists()

    @task
    def after():
        pass

    works() >> {chain}


{name}()
"""
#: what DLV says of a job that Airflow says this of
SAID = {"success": "ok", "failed": "failed", "upstream_failed": "late"}
DAGS = ("before", "during")


def truth(airflow: Airflow) -> dict[str, str]:
    """Job → health, by what Airflow itself knows of its tasks and DAG runs now."""
    out = {}
    for dag in DAGS:
        for t in airflow.call("GET", f"/dags/{dag}/dagRuns/~/taskInstances")["task_instances"]:
            out[f"{dag}.{t['task_id']}"] = SAID[t["state"]]
        (run,) = airflow.call("GET", f"/dags/{dag}/dagRuns")["dag_runs"]
        out[dag] = SAID[run["state"]]
    return out


def health(served: Served, *dags: str) -> dict[str, str]:
    rows = served.record.all(
        """select n.name, n.health from node n where n.type = 'job' and n.namespace ilike '%%airflow%%'
           and split_part(n.name, '.', 1) = any(%s)""",
        (list(dags),),
    )
    return {r["name"]: r["health"] for r in rows}


def until(what: str, good: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := good()):
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.3)
    return found


def test_what_was_missed_while_it_was_refused(airflow: Airflow, served: Served, stack: Settings) -> None:
    receiver, record = airflow.receiver, served.record
    settings = served.settings.with_(secrets_keys="main:" + "k" * 40)
    receiver.on = (served.base, served.key("airflow"))
    try:
        airflow.add("before", DAG.format(name="before", chain="turns()"))
        airflow.until("before", lambda: airflow.ended("before"))
        jobs = {"before", "before.works", "before.turns"}

        def heard() -> bool:
            served.fold()
            return health(served, "before") == dict.fromkeys(jobs, "ok")

        until("the events of before", heard)
        (producer,) = record.all("select id from producer where name = 'airflow'")
        with record.tx() as conn:
            made = opening.create(
                conn, SYSTEM, settings, "airflow", "airflow", {"url": airflow.url, "username": "viewer"},
                {"password": PASSWORDS["viewer"]},
            )  # fmt: skip
            producers.connect(conn, SYSTEM, producer["id"], UUID(str(made["id"])))

        # its key is revoked: from now on it is refused, and goes on to run
        (key,) = record.all("select id from api_key")
        with record.tx() as conn:
            keys.revoke(conn, SYSTEM, key["id"])
        # every process knows within two seconds; what it is asked here holds no event
        until(
            "its key being refused",
            lambda: served.post("/api/v1/lineage", b"none", served.key("airflow")).status_code == 401,
        )
        airflow.home.joinpath("dags", "broken").touch()
        airflow.add("during", DAG.format(name="during", chain="turns() >> after()"))
        cleared = {"dag_run_id": airflow.ended("before")["dag_run_id"], "task_ids": ["turns"]}
        airflow.call(
            "POST", "/dags/before/clearTaskInstances",
            cleared | {"dry_run": False, "only_failed": False, "reset_dag_runs": True},
        )  # fmt: skip
        until("the producer being quiet", lambda: watching.watch(record, datetime.now(UTC)))
        for dag in DAGS:
            run = airflow.until(dag, lambda dag=dag: airflow.ended(dag))
            assert run["state"] == "failed"
        served.fold()
        watching.step(record)
        assert health(served, *DAGS) == dict.fromkeys(jobs, "unknown"), (
            "nothing is known, and nothing is late"
        )
        (incident,) = record.all("select root_type, status, error from incident")
        assert (incident["root_type"], incident["status"]) == ("producer", "open")
        assert "revoked" in incident["error"]
        assert watching.fill(record, settings) == -1, "nothing is asked for while it is quiet"

        # a new key: what runs now is sent, what was missed is fetched
        answers = len(receiver.answers)
        served._keys.pop("airflow")
        receiver.on = (served.base, served.key("airflow"))
        until("an event that is taken", lambda: 201 in receiver.answers[answers:])
        served.fold()

        def filled() -> bool:
            watching.step(record)
            return watching.fill(record, settings) > 0

        until("a gap to fill", filled)
        watching.step(record)
        wanted = truth(airflow)
        assert wanted == {
            "before": "failed", "before.works": "ok", "before.turns": "failed",
            "during": "failed", "during.works": "ok", "during.turns": "failed", "during.after": "late",
        }  # fmt: skip
        # no event ever told of it: it is a node by what Airflow's REST says
        wanted["during.after"] = "unknown"
        assert health(served, *DAGS) == wanted
        assert record.all("select status from incident where root_type = 'producer'") == [
            {"status": "resolved"}
        ]
    finally:
        receiver.on = None
        airflow.home.joinpath("dags", "broken").unlink(missing_ok=True)
