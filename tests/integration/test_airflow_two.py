"""Airflow 2: the same checks and run states, with the answers of a real Airflow 2.11.2 (what no test needs is left out)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from looking import Answers, link, look

from checks import airflow as client
from checks.airflow import RunState
from connections.link import Link

RUN = "scheduled__2026-01-01T00:00:00+00:00"
AT = datetime(2026, 1, 1, tzinfo=UTC)
DAG = {
    "dag_id": "bad", "is_active": True, "is_paused": False, "next_dagrun": None, "next_dagrun_create_after": None,
}  # fmt: skip
LATE = {
    "dag_id": "paused", "is_active": True, "is_paused": False, "next_dagrun": "2026-11-27T01:16:00+00:00",
    "next_dagrun_create_after": "2026-11-27T01:17:00+00:00",
}  # fmt: skip
DAG_RUN = {
    "conf": {}, "dag_id": "bad", "dag_run_id": RUN, "data_interval_end": "2026-01-01T00:00:00+00:00",
    "data_interval_start": "2026-01-01T00:00:00+00:00", "end_date": "2026-11-27T01:17:14.072276+00:00",
    "execution_date": "2026-01-01T00:00:00+00:00", "external_trigger": False, "logical_date": "2026-01-01T00:00:00+00:00",
    "run_type": "scheduled", "start_date": "2026-11-27T01:15:42.539983+00:00", "state": "failed",
}  # fmt: skip
TASK = {
    "dag_id": "bad", "dag_run_id": RUN, "end_date": "2026-11-27T01:16:18.531768+00:00",
    "execution_date": "2026-01-01T00:00:00+00:00", "map_index": -1, "max_tries": 1,
    "queued_when": "2026-11-27T01:16:08.439880+00:00", "start_date": "2026-11-27T01:16:17.700915+00:00",
    "state": "failed", "task_id": "break_down", "try_number": 2,
}  # fmt: skip
FIRST = TASK | {
    "try_number": 1, "start_date": "2026-11-27T01:16:02.000000+00:00", "end_date": "2026-11-27T01:16:03.000000+00:00",
}  # fmt: skip
HEALTH = {
    "dag_processor": {"latest_dag_processor_heartbeat": None, "status": None}, "metadatabase": {"status": "healthy"},
    "scheduler": {"latest_scheduler_heartbeat": "2026-11-27T01:17:49.897672+00:00", "status": "healthy"},
    "triggerer": {"latest_triggerer_heartbeat": None, "status": None},
}  # fmt: skip


def body(**said: Any) -> list[tuple[int, str]]:
    return [(200, json.dumps(said))]


def listed(what: str, *items: Any) -> list[tuple[int, str]]:
    return body(**{what: items, "total_entries": len(items)})


@pytest.fixture
def two() -> Iterator[Answers]:
    v1 = "/api/v1"
    with Answers(
        {
            f"{v1}/version": body(version="2.11.2", git_version=None),
            f"{v1}/health": body(**HEALTH),
            f"{v1}/importErrors": listed("import_errors"),
            f"{v1}/dags": listed("dags", DAG, LATE),
            f"{v1}/dags/bad": body(**DAG),
            f"{v1}/dags/~/dagRuns": listed("dag_runs", DAG_RUN),
            f"{v1}/dags/bad/dagRuns": listed("dag_runs", DAG_RUN),
            f"{v1}/dags/~/dagRuns/~/taskInstances": listed("task_instances", TASK),
            f"{v1}/dags/bad/dagRuns/scheduled__2026-01-01T00%3A00%3A00%2B00%3A00/taskInstances/break_down/tries": listed(
                "task_instances", FIRST, TASK
            ),
        }
    ) as answers:
        yield answers


@pytest.fixture
def to(two: Answers) -> Link:
    return link(
        "airflow", {"password": "viewer-pw"}, url=two.url, auth="password", username="viewer", tls="verified"
    )


def test_its_checks(two: Answers, to: Link) -> None:
    verdict = look(to, "airflow_health")
    assert (verdict.status, verdict.reason) == ("ok", "2 parts of Airflow healthy")
    assert look(to, "airflow_imports").status == "ok"
    failed = look(to, "airflow_runs", dag="bad", back="90 d")
    assert (failed.status, failed.health, failed.reason) == (
        "fail",
        "failed",
        f"bad failed at 2026-11-27 01:17 UTC ({RUN})",
    )
    whole = look(to, "airflow_runs", back="90 d", grace=0)
    assert whole.reason == f"{failed.reason}, paused is overdue since 2026-11-27 01:17 UTC"
    plain = base64.b64encode(b"viewer:viewer-pw").decode()
    signed = {who for _, path, who in two.asked if "/version" not in path}
    assert signed == {f"Basic {plain}"}, "user and password on each call, and no token"


def test_its_run_states(to: Link) -> None:
    runs = list(client.runs_between(to, AT, datetime.now(UTC)))
    of = {
        "run_type": "scheduled",
        "logical_date": AT,
        "interval_start": AT,
        "interval_end": AT,
        "run_after": AT,
    }

    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-27T{text}+00:00")

    tried = {"max_tries": 1, "queued_at": at("01:16:08.439880"), **of}
    assert runs == [
        RunState(
            "bad", "", RUN, state="failed", started_at=at("01:15:42.539983"), ended_at=at("01:17:14.072276"), **of
        ),
        RunState(
            "bad", "break_down", RUN, state="up_for_retry", started_at=at("01:16:02"), ended_at=at("01:16:03"),
            try_number=1, **tried,
        ),
        RunState(
            "bad", "break_down", RUN, state="failed", started_at=at("01:16:17.700915"), ended_at=at("01:16:18.531768"),
            try_number=2, **tried,
        ),
    ]  # fmt: skip


def test_a_wrong_password_may_be_why_it_is_forbidden(two: Answers, to: Link) -> None:
    """Airflow 2 takes whom it does not know for somebody without rights, and answers 403."""
    two.answers["/api/v1/importErrors"] = [(403, json.dumps({"status": 403, "title": "Forbidden"}))]
    verdict = look(to, "airflow_imports")
    assert (verdict.status, (verdict.detail or {})["step"]) == ("not_checked", "permission")
    assert "wrong password" in (verdict.detail or {})["hint"]
