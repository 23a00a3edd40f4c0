"""Checks of Kafka Connect against a real worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import kafka_server
import pytest
from kafka_server import Connect
from looking import Answers, link, look

from connections.link import Link
from embedded import child

pytestmark = kafka_server.MARKS


@pytest.fixture(scope="module")
def to(connect: Connect, tmp_path_factory: pytest.TempPathFactory) -> Link:
    """A source and a sink that run, and a sink whose task failed: the folder it writes to is not there."""
    into: Path = tmp_path_factory.mktemp("files")
    (into / "in.txt").write_text("".join(f"line {i}\n" for i in range(50)))
    fresh = {"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"}
    connect.put("lines-source", **{
        "connector.class": "FileStreamSource", "file": str(into / "in.txt"), "topic": "lines", **fresh,
    })  # fmt: skip
    for name, file in (("lines-sink", into / "out.txt"), ("broken-sink", into / "no" / "dir" / "x.txt")):
        connect.put(name, **{"connector.class": "FileStreamSink", "file": str(file), "topics": "lines"})
    connect.until("broken-sink", lambda s: s["tasks"][0]["state"] == "FAILED")
    connect.until("lines-sink", lambda s: s["tasks"][0]["state"] == "RUNNING")
    return through(connect.url)


def through(url: str, timeout: float = 10.0) -> Link:
    return link("kafka_connect", url=url, auth="none", tls="verified", timeout=timeout)


def test_connectors_that_run(to: Link) -> None:
    verdict = look(to, "connect", connector="lines-sink")
    assert (verdict.status, verdict.reason, verdict.value) == ("ok", "1 connector and 1 task run", 0)


def test_a_failed_task_under_a_running_connector(connect: Connect, to: Link) -> None:
    said = connect.call("GET", "/connectors/broken-sink/status").json()
    assert said["connector"]["state"] == "RUNNING", "Connect itself says so"
    for config in ({"connector": "broken-sink"}, {}):
        verdict = look(to, "connect", **config)
        assert (verdict.status, verdict.value) == ("fail", 1)
        assert verdict.reason.startswith("task 0 of broken-sink failed: org.apache.kafka.connect.errors.")
        assert "\tat " not in verdict.reason, "one line of its trace"


def test_a_connector_that_is_not_there(to: Link) -> None:
    verdict = look(to, "connect", connector="not-there")
    assert (verdict.status, verdict.reason) == ("fail", "Kafka Connect has no connector not-there")


def test_a_paused_connector_is_as_people_chose(connect: Connect, to: Link) -> None:
    connect.call("PUT", "/connectors/lines-source/pause")
    connect.until("lines-source", lambda s: s["connector"]["state"] == "PAUSED")
    try:
        said = {h: look(to, "connect", connector="lines-source", halted=h) for h in ("fail", "warn", "ok")}
    finally:
        connect.call("PUT", "/connectors/lines-source/resume")
    assert {h: v.status for h, v in said.items()} == {"fail": "fail", "warn": "warn", "ok": "ok"}
    assert said["warn"].reason == "connector lines-source is paused"


def test_the_sinks_lag_is_its_groups(kafka: kafka_server.Kafka, to: Link) -> None:
    """A sink connector reads as the group connect-NAME."""
    verdict = look(
        link("kafka", bootstrap=kafka.bootstrap, tls="off"), "kafka_lag", group="connect-lines-sink"
    )
    assert verdict.status == "ok", verdict.reason
    # the workers are a group as well, whose members say in a form of their own what they do
    workers = look(link("kafka", bootstrap=kafka.bootstrap, tls="off"), "kafka_lag", group="connect-test")
    assert (workers.status, workers.reason) == ("warn", "connect-test reads no topic yet")


def test_a_worker_that_is_away_or_hangs(connect: Connect, to: Link) -> None:
    away = look(through(f"http://127.0.0.1:{child.free_port()}"), "connect")
    assert (away.status, (away.detail or {}).get("step")) == ("not_checked", "route")
    assert connect.server.process is not None
    os.kill(connect.server.process.pid, signal.SIGSTOP)
    try:
        hung = look(through(connect.url, timeout=1.0), "connect")
    finally:
        os.kill(connect.server.process.pid, signal.SIGCONT)
    assert (hung.status, hung.reason) == (
        "not_checked",
        "it took the request and did not answer within 1 s",
    )
    assert look(to, "connect", connector="lines-sink").status == "ok"


def test_a_broker_at_the_url(kafka: kafka_server.Kafka) -> None:
    verdict = look(through(f"http://{kafka.bootstrap}", timeout=2.0), "connect")
    assert (verdict.status, (verdict.detail or {}).get("step")) in (
        ("not_checked", "answer"),
        ("not_checked", "route"),
    )


# ---------------------------------------------------------------- answers that last a moment only


RUNS = '{"name":"a","connector":{"state":"RUNNING"},"tasks":[{"id":0,"state":"RUNNING"}]}'
NONE = '{"error_code":404,"message":"No status found for connector a"}'
BUSY = '{"error_code":409,"message":"Cannot complete request momentarily due to stale configuration"}'


@pytest.mark.parametrize(
    ("first", "then", "status"),
    [
        ((409, BUSY), (200, RUNS), "ok"),
        ((409, BUSY), (409, BUSY), "not_checked"),
        ((404, NONE), (200, RUNS), "ok"),
        ((404, NONE), (404, NONE), "not_checked"),
    ],
)
def test_what_lasts_a_moment_is_asked_again_once(
    first: tuple[int, str], then: tuple[int, str], status: str
) -> None:
    """404 just after a create, 409 while workers rebalance: never a failure of the connector."""
    answers = {"/connectors/a/status": [first, then], "/connectors": [(200, '["a"]')]}
    with Answers(answers) as server:
        verdict = look(through(server.url), "connect", connector="a")
    assert verdict.status == status, verdict.reason
