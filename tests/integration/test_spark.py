"""Checks of Spark against a real standalone cluster and a real history server."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
import spark_server
from looking import link, look
from spark_server import Spark

from checks import spark as client
from checks.result import CannotLook
from connections.link import Link
from embedded import child

pytestmark = spark_server.MARKS


def through(master: str | None, history: str | None, timeout: float = 10.0) -> Link:
    named = {"master_url": master, "history_url": history}
    said = {k: v for k, v in named.items() if v}
    return link("spark", auth="none", tls="verified", timeout=timeout, **said)


@pytest.fixture(scope="module")
def to(spark: Spark) -> Link:
    return through(spark.master, spark.history)


# ---------------------------------------------------------------- applications


def test_a_failed_job_of_an_application_that_says_finished(spark: Spark, to: Link) -> None:
    said = spark.says(f"{spark.master}/json/")["completedapps"]
    assert {(a["name"], a["state"]) for a in said} == {("dlv_bad", "FINISHED")}, "the master itself says so"
    verdict = look(to, "spark_jobs", application="dlv_bad")
    assert (verdict.status, verdict.value) == ("fail", 1)
    assert verdict.reason.startswith(f"1 job of dlv_bad ({said[0]['id']}) failed: ")
    assert "ada@private.example" not in verdict.reason
    by_id = look(to, "spark_jobs", application=said[0]["id"])
    assert (by_id.status, by_id.reason) == ("fail", verdict.reason)


def test_all_applications(to: Link) -> None:
    verdict = look(to, "spark_jobs")
    assert verdict.status == "fail"
    assert verdict.detail is not None
    assert verdict.detail["applications"] == 3
    assert len(verdict.detail["failed"]) == len(verdict.detail["without_jobs"]) == 1


def test_a_good_application_and_one_that_ran_nothing(to: Link) -> None:
    good = look(to, "spark_jobs", application="dlv_good")
    assert (good.status, good.reason) == ("ok", "no failed job in 1 application")
    empty = look(to, "spark_jobs", application="dlv_empty")
    assert empty.status == "warn"
    assert empty.reason.startswith("ended without running a job: dlv_empty (local-")


def test_an_application_that_is_not_known(to: Link) -> None:
    said = {m: look(to, "spark_jobs", application="not-there", missing=m) for m in ("fail", "warn", "ok")}
    assert {m: v.status for m, v in said.items()} == {"fail": "fail", "warn": "warn", "ok": "ok"}
    assert said["fail"].reason == "the history server knows no ended application not-there of that time"


def test_confirming_what_an_application_did(to: Link) -> None:
    """What is asked about an application that said COMPLETE with no job beneath it."""
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    bad, good, empty = (client.confirm(to, f"dlv_{n}", long_ago) for n in ("bad", "good", "empty"))
    assert bad and good and empty
    assert [(c.completed, c.failed, c.jobs > 0) for c in (bad, good, empty)] == [
        (True, True, True), (True, False, True), (True, False, False),
    ]  # fmt: skip
    assert len(bad.failed_jobs) == len(bad.failed_stages) == 1
    assert bad.started_at and bad.ended_at
    assert long_ago < bad.started_at < bad.ended_at
    assert client.confirm(to, bad.application_id) == bad
    assert client.confirm(to, "not-there") is None
    assert client.confirm(to, "dlv_good", datetime.now(UTC) + timedelta(minutes=1)) is None


# ---------------------------------------------------------------- workers


def test_workers_alive_and_lost(spark: Spark, to: Link) -> None:
    verdict = look(to, "spark_workers")
    assert (verdict.status, verdict.reason, verdict.value) == ("ok", "1 worker alive", 1)
    few = look(to, "spark_workers", workers=2)
    assert (few.status, few.reason) == ("fail", "1 worker alive, less than 2")
    spark.kill("worker")
    try:
        end = time.monotonic() + 30
        while (gone := look(to, "spark_workers")).status == "ok":
            assert time.monotonic() < end, "the master never noticed"
            time.sleep(0.2)
        assert spark.says(f"{spark.master}/json/")["status"] == "ALIVE", "the master itself says so"
        assert (gone.status, gone.reason, gone.value) == ("fail", "no worker is alive, 1 worker lost", 0)
    finally:
        spark.start_worker()


# ---------------------------------------------------------------- it cannot be looked at


def steps(to: Link) -> set[tuple[str, object]]:
    found = set()
    for kind in ("spark_workers", "spark_jobs"):
        verdict = look(to, kind)
        assert verdict.reason
        found.add((verdict.status, (verdict.detail or {}).get("step")))
    return found


def test_nothing_listens() -> None:
    url = f"http://127.0.0.1:{child.free_port()}"
    assert steps(through(url, url)) == {("not_checked", "route")}
    with pytest.raises(CannotLook):
        client.confirm(through(None, url), "dlv_bad")


def test_each_at_the_others_address(spark: Spark) -> None:
    assert steps(through(spark.history, spark.master)) == {("not_checked", "answer")}


def test_a_connection_that_names_neither() -> None:
    assert steps(through(None, None)) == {("not_checked", "name")}


def test_servers_that_hang(spark: Spark, to: Link) -> None:
    for part in ("master", "history"):
        spark.signal(part, signal.SIGSTOP)
    try:
        found = steps(through(spark.master, spark.history, timeout=1.0))
    finally:
        for part in ("master", "history"):
            spark.signal(part, signal.SIGCONT)
    assert found == {("not_checked", "answer")}
    assert look(to, "spark_jobs", application="dlv_good").status == "ok"
