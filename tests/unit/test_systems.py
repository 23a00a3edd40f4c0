"""What is said of Kafka, Kafka Connect, Airflow and Spark: story tests of judging, without any server."""

from __future__ import annotations

import errno
import json
import socket
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from kafka import errors

from checks import airflow, kafka, registry, spark
from checks.airflow import Dag, RunState
from checks.fields import checked
from checks.result import About, CannotLook, Observation, Past, Spec, Verdict
from connections import kafka as reaching
from connections.guard import Guard
from connections.kafka_sockets import NotReached, Socket, Way
from connections.link import Link

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
MIN = timedelta(minutes=1)


def judge(kind: str, seen: Mapping[str, Any], past: Past | None = None, **config: Any) -> Verdict:
    found = registry.KINDS[kind]
    spec = Spec(uuid4(), "a check", kind, uuid4(), checked(found.fields, config))
    return found.judge(spec, Observation(NOW, seen), past or Past())


def said(verdict: Verdict) -> tuple[str, str]:
    return verdict.status, verdict.reason


def test_what_is_kept_is_json() -> None:
    """Detail and memory go to the record as they are."""
    for verdict in (
        judge("kafka_lag", group_seen(7), group="g"),
        judge("connect", connectors(a=("FAILED", ["RUNNING"]))),
        judge(
            "airflow_health", {"parts": {"scheduler": ("healthy", NOW), "metadatabase": ("healthy", None)}}
        ),
        judge("airflow_runs", airflow_seen([Dag("a", False, None)], {})),
        judge("spark_jobs", {"named": None, "applications": [spark.Confirmed("app-1", "a", True, 0)]}),
        judge("spark_workers", master(2)),
    ):
        assert json.loads(json.dumps([verdict.detail, verdict.memory])) == [verdict.detail, verdict.memory]


# ---------------------------------------------------------------- Kafka


@pytest.mark.parametrize(
    ("offline", "under", "config", "expected"),
    [
        ([], [], {}, ("ok", "all copies of 6 partitions are in sync")),
        ([], [("a/0", 1, 3)], {}, ("fail", "1 under-replicated partition: a/0 (1 of 3 in sync)")),
        (
            [],
            [("a/0", 2, 3)],
            {"under": "warn"},
            ("warn", "1 under-replicated partition: a/0 (2 of 3 in sync)"),
        ),
        (["a/1"], [], {"under": "warn"}, ("fail", "1 partition without a leader: a/1")),
        (
            ["a/0", "a/1", "b/0", "b/1", "b/2"],
            [],
            {},
            ("fail", "5 partitions without a leader: a/0, a/1, b/0 and 2 more"),
        ),
    ],
)
def test_replication(
    offline: list[str], under: list[Any], config: dict[str, Any], expected: tuple[str, str]
) -> None:
    seen = {"topic": None, "partitions": 6, "offline": offline, "under": under}
    verdict = judge("kafka_replication", seen, **config)
    assert said(verdict) == expected
    assert verdict.value == len(offline) + len(under)


def group_seen(lag: int, committed: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "group": "g", "state": "stable", "members": 1, "topics": ["t"], "missing": [], "lag": lag, "lost": 0,
        "uncommitted": 0, "committed": committed, "partitions": 3, "worst": [("t/0", lag)] if lag else [],
    } | more  # fmt: skip


def story(seen: list[tuple[int, int]], **config: Any) -> list[str]:
    """The status of each of these looks at (lag, committed), one after the other."""
    past, out = Past(), []
    for lag, committed in seen:
        verdict = judge("kafka_lag", group_seen(lag, committed), past, group="g", **config)
        out.append(verdict.status)
        past = Past(verdict.status, json.loads(json.dumps(verdict.memory)))
    return out


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        # it grows and nothing is committed: stuck, from the fourth look on
        ([(1, 9), (2, 9), (3, 9), (4, 9), (5, 9)], ["ok", "ok", "ok", "fail", "fail"]),
        # it grows while something is committed: it falls behind
        ([(1, 9), (2, 10), (3, 11), (4, 12)], ["ok", "ok", "ok", "warn"]),
        # one look without growth begins the story anew
        ([(1, 9), (2, 9), (3, 9), (3, 9), (4, 9), (5, 9), (6, 9)], ["ok"] * 6 + ["fail"]),
        # a high lag that shrinks is no trend
        ([(900, 9), (800, 109), (700, 209), (600, 309), (500, 409)], ["ok"] * 5),
        # somebody set the group back to read again: what was before does not count
        ([(1, 90), (2, 90), (3, 90), (80, 12), (81, 12), (82, 12), (83, 12)], ["ok"] * 6 + ["fail"]),
    ],
)
def test_the_trend_of_a_lag(looks: list[tuple[int, int]], expected: list[str]) -> None:
    assert story(looks, looks=3) == expected


def test_a_trend_is_judged_as_people_chose() -> None:
    grows = [(n, 9) for n in range(1, 6)]
    assert story(grows, looks=3, stuck="warn")[-1] == "warn"
    assert story(grows, looks=3, stuck="ok")[-1] == "ok"
    assert story(grows, looks=0)[-1] == "ok"


def test_other_partitions_begin_a_trend_anew() -> None:
    past = Past()
    for n, partitions in enumerate((3, 3, 3, 6)):
        verdict = judge("kafka_lag", group_seen(n + 1, 9, partitions=partitions), past, group="g", looks=3)
        past = Past(verdict.status, verdict.memory or {})
    assert verdict.status == "ok"


@pytest.mark.parametrize(
    ("more", "config", "expected"),
    [
        ({"members": 0}, {}, ("warn", "g is 7 records behind: the group has no members, nothing reads now")),
        ({"members": 0}, {"empty": "ok"}, ("ok", "g is 7 records behind")),
        ({"members": 0}, {"fail": 5}, ("fail", "g is 7 records behind: more than 5; the group has no members, nothing reads now")),
        ({"lost": 1200}, {}, ("warn", "g is 7 records behind: 1,200 records were deleted before they were read")),
        ({"partitions": 0}, {}, ("warn", "g reads no topic yet")),
        ({"missing": ["x"]}, {}, ("fail", "g reads x, and there is no such topic")),
        (
            {"state": "dead", "members": 0, "uncommitted": 3},
            {},
            ("fail", "Kafka knows no group g: it never committed; 7 records wait for it"),
        ),
    ],
)  # fmt: skip
def test_what_is_told_of_a_group(
    more: dict[str, Any], config: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert said(judge("kafka_lag", group_seen(7, **more), group="g", **config)) == expected


@pytest.mark.parametrize(
    ("begin", "end", "committed", "lag", "lost"),
    [
        (0, 100, 40, 60, 0),
        (20, 100, None, 80, 0),  # never committed: all that is there
        (50, 100, 40, 60, 10),  # ten were deleted before they were read
        (0, 10, 90, 0, 0),  # the topic was made anew
        (5, 5, None, 0, 0),
    ],
)
def test_lag_of_a_partition(begin: int, end: int, committed: int | None, lag: int, lost: int) -> None:
    offsets = kafka.Offsets("t", 0, begin, end, committed)
    assert (offsets.lag, offsets.lost) == (lag, lost)


def broken(of: type[Exception], by: BaseException) -> Exception:
    """An error that came of another, as kafka-python raises it."""
    try:
        try:
            raise by
        except type(by):
            raise of(f"Handshake failed: {by}")  # noqa: B904 (as it does)
    except of as e:
        return e


@pytest.mark.parametrize(
    ("error", "step", "words"),
    [
        (NotReached(("b", 9092), ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")),
         "route", "b:9092: connection refused, nothing listens on this port"),
        (NotReached(("b", 9092), OSError(errno.ENETUNREACH, "Network is unreachable")),
         "route", "b:9092: there is no way to b: Network is unreachable"),
        (NotReached(("b", 9092), TimeoutError("timed out")), "route", "b:9092: it does not answer"),
        (NotReached(("b", 9092), socket.gaierror(socket.EAI_NONAME, "Name or service not known")),
         "name", "b does not resolve"),
        (TimeoutError(), "route", "b:9092: it does not answer"),
        (errors.RequestTimedOutError("Request timed out after 3999 ms"), "route", "b:9092: it does not answer"),
        (errors.InvalidReceiveError("Invalid frame length: 1213486160"),
         "route", "b:9092: what listens there does not speak Kafka"),
        (errors.InvalidReceiveError("Invalid frame length: 352518912"), "route", "b:9092: it speaks TLS"),
        (errors.KafkaProtocolError("Unable to decode response"),
         "route", "b:9092: what listens there does not speak Kafka"),
        (errors.KafkaConnectionError("socket disconnected"), "route", "b:9092: it closes the connection"),
        (errors.KafkaConnectionError(ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")),
         "route", "b:9092: it closes the connection"),
        (errors.SaslAuthenticationFailedError("SaslAuthenticationFailedError: Authentication failed: who is that"),
         "sign-in", "b:9092: Authentication failed: who is that"),
        (errors.SaslAuthenticationFailedError("SaslAuthenticationFailedError: None"),
         "sign-in", "b:9092: authentication failed by PLAIN"),
        (errors.SaslAuthenticationFailedError("SaslAuthenticationFailedError: not with pa55"),
         "sign-in", "b:9092: not with (hidden)"),
        (errors.UnsupportedSaslMechanismError(), "sign-in", "b:9092: it does not offer the mechanism PLAIN"),
        (errors.IllegalSaslStateError(), "sign-in", "b:9092: it takes no sign-in (SASL)"),
        (errors.IncompatibleBrokerVersion("no SaslHandshakeRequest"), "sign-in", "b:9092: it takes no sign-in (SASL)"),
        (ValueError("Server sent wrong signature!"), "sign-in", "b:9092: its answer is not one of PLAIN"),
        (broken(errors.KafkaConnectionError, ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")),
         "tls", "b:9092: what listens there does not speak TLS"),
        (errors.KafkaConnectionError(ssl.SSLError(1, "[SSL] tlsv13 alert certificate required (_ssl.c:2590)")),
         "tls", "b:9092: the server broke off TLS: certificate required"),
        (errors.MetadataEmptyBrokerList("it names no broker of its cluster"),
         "route", "b:9092: it names no broker of its cluster"),
        (errors.UnsupportedVersionError(), "route", "b:9092: The version of API is not supported."),
    ],
)  # fmt: skip
def test_why_no_broker_was_reached(error: Exception, step: str, words: str) -> None:
    """Without the figures that differ from one try to the next."""
    fields = {"bootstrap": "b:9092", "tls": "off", "sasl": "PLAIN", "username": "u"}
    link = Link(uuid4(), "K", "kafka", fields, Guard(), {"password": "pa55"})
    why = reaching._why(link, Way(link, 0.0), ("b", 9092), error)
    assert (why.step, why.message) == (step, words) and why.hint


def test_the_most_particular_reason_is_told() -> None:
    fields = {"bootstrap": "a:1,b:2,c:3", "tls": "off", "sasl": "PLAIN", "username": "u"}
    link = Link(uuid4(), "K", "kafka", fields, Guard())

    def told(**failed: Exception) -> str:
        ports = {"a": 1, "b": 2, "c": 3}
        by = {(host, ports[host]): e for host, e in failed.items()}
        return reaching._away(link, Way(link, 0.0), by).message

    closed = errors.KafkaConnectionError("socket disconnected")
    assert told(a=closed, b=errors.SaslAuthenticationFailedError("E: no")) == "b:2: no"
    assert told(a=closed, b=TimeoutError()) == "a:1: it closes the connection"
    assert told(b=closed) == "a:1: it does not answer"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotReached(("b2", 9092), socket.gaierror(socket.EAI_NONAME, "unknown")), "b2 does not resolve"),
        (NotReached(("b2", 9092), TimeoutError("timed out")), "no answer from b2 to opening a socket on port 9092"),
        (errors.KafkaConnectionError("socket disconnected"), "a broker closed the connection"),
        (errors.KafkaConnectionError(ssl.SSLError(1, "EOF occurred in violation of protocol")), "the server broke off TLS"),
        (errors.UnknownBrokerIdError(7), "the cluster does not name the broker that knows"),
        (errors.OffsetNotAvailableError(), errors.OffsetNotAvailableError.description),
        (errors.NodeNotReadyError(2), "NodeNotReadyError"),
    ],
)  # fmt: skip
def test_why_a_question_was_not_answered(error: Exception, words: str) -> None:
    told, hint = reaching._told_of(error)
    assert told == words
    assert ("advertised.listeners" in hint) == isinstance(error, NotReached)


class Said:
    """A client whose answers are an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def group(self, _: str) -> Any:
        raise self.error

    def told(self, e: BaseException) -> tuple[str, str]:
        return reaching._told_of(e)


@pytest.mark.parametrize(
    ("error", "step", "words"),
    [
        (errors.GroupAuthorizationFailedError("g"), "permission", "the user may not describe the group g"),
        (TimeoutError(), "answer", "no broker told the group g within 4 s"),
        (NotReached(("b2", 9092), ConnectionRefusedError(111, "refused")),
         "answer", "Kafka did not tell the group g: b2 answers, and nothing listens on port 9092"),
    ],
)  # fmt: skip
def test_what_the_user_may_not_see_is_not_called_absent(error: Exception, step: str, words: str) -> None:
    with pytest.raises(CannotLook) as e:
        kafka.Cluster(Said(error), 4.0).group("g")  # type: ignore[arg-type]
    assert (e.value.step, e.value.reason) == (step, words)
    gone = kafka.Cluster(Said(errors.GroupIdNotFoundError("g")), 4.0).group("g")  # type: ignore[arg-type]
    assert gone == kafka.Group("g", "dead", 0)


@pytest.mark.parametrize("assignment", [b"", b"\x00", b"\x00\x01{not Kafka's}", bytes(range(200))])
def test_members_that_say_what_they_read_in_words_of_their_own(assignment: bytes) -> None:
    """Such as the workers of Kafka Connect."""
    assert reaching._assigned(SimpleNamespace(member_assignment=assignment)) == []


def test_the_end_of_a_connection_is_told_after_what_came_before_it() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.sendall(b"no")
        theirs.close()
        sock = Socket(ours)
        assert sock.recv(4096) == b"no"
        with pytest.raises(BlockingIOError):
            sock.recv(4096)
        assert sock.recv(4096) == b""


@pytest.mark.parametrize(
    ("text", "names"), [("", []), ("a", ["a"]), ("b, a", ["a", "b"]), ("a b\nc,,a", ["a", "b", "c"])]
)
def test_names_of_topics(text: str, names: list[str]) -> None:
    assert kafka.names(text) == names


# ---------------------------------------------------------------- Kafka Connect


def connectors(named: str = "", **states: tuple[str, list[str]] | None) -> dict[str, Any]:
    return {
        "named": named,
        "connectors": {
            name: s and {"state": s[0], "error": "", "tasks": [(i, t, "E: no") for i, t in enumerate(s[1])]}
            for name, s in states.items()
        },
    }


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (connectors(), ("ok", "Kafka Connect has no connectors")),
        (connectors(a=("RUNNING", ["RUNNING", "RUNNING"])), ("ok", "1 connector and 2 tasks run")),
        (connectors(a=("RUNNING", ["RUNNING", "FAILED"])), ("fail", "task 1 of a failed: E: no")),
        (connectors(a=("FAILED", [])), ("fail", "connector a failed")),
        (connectors(a=("PAUSED", ["PAUSED"])), ("warn", "connector a is paused")),
        (connectors(a=("STOPPED", [])), ("warn", "connector a is stopped")),
        (connectors(a=("UNASSIGNED", ["UNASSIGNED"])), (
            "warn", "connector a is not assigned to a worker, task 0 of a is not assigned to a worker")),
        (connectors(a=("RUNNING", [])), ("warn", "connector a runs without a task")),
        (connectors("b", a=("RUNNING", ["RUNNING"])), ("fail", "Kafka Connect has no connector b")),
        # one that says nothing does not hide one that failed
        (connectors(a=None, b=("RUNNING", ["FAILED"])), ("fail", "task 0 of b failed: E: no")),
    ],
)  # fmt: skip
def test_connectors(seen: dict[str, Any], expected: tuple[str, str]) -> None:
    assert said(judge("connect", seen)) == expected


def test_a_connector_that_says_nothing_is_not_judged() -> None:
    with pytest.raises(CannotLook):
        judge("connect", connectors(a=None, b=("RUNNING", ["RUNNING"])))


# ---------------------------------------------------------------- Airflow

#: as Airflow 2 and 3 answer: a part that never ran has no status, one that stopped stays unhealthy
ALIVE = {"metadatabase": ("healthy", None), "scheduler": ("healthy", NOW), "dag_processor": ("healthy", NOW)}


@pytest.mark.parametrize(
    ("parts", "config", "expected"),
    [
        ({}, {}, ("ok", "3 parts of Airflow healthy")),
        ({"triggerer": (None, None)}, {}, ("ok", "3 parts of Airflow healthy")),
        ({"triggerer": (None, None)}, {"triggerer_needed": True}, ("fail", "the triggerer never ran")),
        ({"triggerer": (None, None)}, {"triggerer_needed": True, "triggerer": "warn"}, ("warn", "the triggerer never ran")),
        ({"triggerer": ("unhealthy", NOW)}, {}, (
            "fail", "the triggerer is unhealthy, last heartbeat 2026-11-27 12:00:00 UTC")),
        ({"triggerer": ("unhealthy", NOW)}, {"triggerer": "ok"}, ("ok", "3 parts of Airflow healthy")),
        ({"dag_processor": (None, None)}, {}, ("ok", "2 parts of Airflow healthy")),
        ({"scheduler": (None, None)}, {}, ("fail", "the scheduler never ran")),
        ({"scheduler": ("unhealthy", NOW), "metadatabase": ("unhealthy", None)}, {}, (
            "fail", "the database is unhealthy, the scheduler is unhealthy, last heartbeat 2026-11-27 12:00:00 UTC")),
    ],
)  # fmt: skip
def test_components(parts: dict[str, Any], config: dict[str, Any], expected: tuple[str, str]) -> None:
    assert said(judge("airflow_health", {"parts": ALIVE | parts}, **config)) == expected


def test_an_answer_that_names_no_scheduler_is_not_judged() -> None:
    with pytest.raises(CannotLook):
        judge("airflow_health", {"parts": {}})


def airflow_seen(
    dags: list[Dag], runs: dict[str, list[RunState]], named: str | None = None
) -> dict[str, Any]:
    return {"named": named, "dags": dags, "runs": runs}


def run(state: str, due: int, kind: str = "scheduled", ended: int | None = None) -> RunState:
    """A run due this many minutes from 11:00, which ended a minute later unless said."""
    at = NOW - 60 * MIN + due * MIN
    end = NOW - 60 * MIN + (due + 1 if ended is None else ended) * MIN
    return RunState(
        "a", "", f"{kind}__{due}", state=state, run_type=kind, logical_date=at, run_after=at, started_at=at,
        ended_at=end if state in ("success", "failed") else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("runs", "status"),
    [
        ([run("success", 10), run("failed", 20)], "fail"),
        ([run("failed", 10), run("success", 20)], "ok"),
        ([run("failed", 10), run("running", 20)], "fail"),
        ([run("failed", 10), run("queued", 20)], "fail"),
        # a manual run and a backfill clear a failure and are never one
        ([run("failed", 10), run("success", 10, "manual", ended=30)], "ok"),
        ([run("failed", 10), run("success", 5, "backfill", ended=30)], "ok"),
        ([run("success", 10), run("failed", 20, "manual")], "ok"),
        ([run("success", 10), run("failed", 5, "backfill", ended=30)], "ok"),
        ([run("failed", 20, "manual")], "ok"),
        # an older run that ended before the failure clears nothing
        ([run("success", 5, "manual"), run("failed", 10)], "fail"),
        # by the schedule or by data
        ([run("success", 10), run("failed", 20, "asset_triggered")], "fail"),
        ([run("success", 10), run("failed", 20, "dataset_triggered")], "fail"),
        ([], "ok"),
    ],
)
def test_failed_runs(runs: list[RunState], status: str) -> None:
    verdict = judge("airflow_runs", airflow_seen([Dag("a", False, None)], {"a": runs}))
    assert (verdict.status, verdict.health) == (status, "failed")


@pytest.mark.parametrize(
    ("dag", "expected"),
    [
        (Dag("a", False, NOW - 16 * MIN), ("fail", "late", "a is overdue since 2026-11-27 11:44 UTC")),
        (Dag("a", False, NOW - 15 * MIN), ("ok", "failed", "no failed and no overdue run among 1 DAG")),
        (Dag("a", False, NOW + 5 * MIN), ("ok", "failed", "no failed and no overdue run among 1 DAG")),
        (Dag("a", False, None), ("ok", "failed", "no failed and no overdue run among 1 DAG")),
        (Dag("a", True, NOW - 900 * MIN), ("ok", "failed", "no failed and no overdue run among 0 DAGs")),
    ],
)
def test_overdue_runs(dag: Dag, expected: tuple[str, str, str]) -> None:
    verdict = judge("airflow_runs", airflow_seen([dag], {}))
    assert (verdict.status, verdict.health, verdict.reason) == expected


def test_failed_says_more_than_overdue() -> None:
    dags = [Dag("a", False, NOW - 60 * MIN), Dag("b", False, NOW - 60 * MIN)]
    verdict = judge("airflow_runs", airflow_seen(dags, {"a": [run("failed", 10)]}))
    assert (verdict.status, verdict.health, verdict.value) == ("fail", "failed", 2)
    assert verdict.detail == {"dags": 2, "failed": ["a"], "overdue": ["a", "b"]}


def test_a_dag_that_is_named_and_gone() -> None:
    verdict = judge("airflow_runs", airflow_seen([], {}, "a"))
    assert said(verdict) == ("fail", "Airflow has no DAG a, or it is stale and no file defines it any more")


@pytest.mark.parametrize(
    ("about", "dag"),
    [
        (About("job", "task", "airflow", (("airflow-prod", "a.b"),)), "a"),
        (About("job", "task", "airflow", (("airflow-prod", "a.group.b"),)), "a"),
        (About("job", "dag", "airflow", (("airflow-prod", "team.a"),)), "team.a"),
        (About("dataset", "table", "postgres", (("postgres://db:5432", "a.b.c"),)), None),
        (About(), None),
    ],
)
def test_the_dag_of_a_node(about: About, dag: str | None) -> None:
    spec = Spec(uuid4(), "x", "airflow_runs", uuid4(), {}, about=about)
    assert airflow.dag_of(spec) == dag


@pytest.mark.parametrize(
    ("state", "task", "outcome"),
    [
        ("success", "t", "COMPLETE"),
        ("skipped", "t", "COMPLETE"),
        ("failed", "t", "FAIL"),
        ("up_for_retry", "t", "FAIL"),
        ("running", "t", "RUNNING"),
        ("deferred", "t", "RUNNING"),
        ("up_for_reschedule", "t", "RUNNING"),
        ("running", "", "RUNNING"),
        ("failed", "", "FAIL"),
        ("upstream_failed", "t", None),
        ("removed", "t", None),
        ("scheduled", "t", None),
        ("queued", "", None),
        ("", "t", None),
    ],
)
def test_what_a_state_comes_to(state: str, task: str, outcome: str | None) -> None:
    found = RunState("d", task, "r", state=state, logical_date=NOW, started_at=NOW, ended_at=NOW)
    assert found.outcome == outcome
    kinds = [e["eventType"] for e in airflow.lineage_events("n", found)]
    assert kinds == {None: [], "RUNNING": ["START"]}.get(outcome, ["START", outcome])


def test_run_ids_are_those_of_airflows_provider() -> None:
    """As its adapter gave them to a DAG run and a task of Airflow 3.3.2 with openlineage-python 1.54."""
    at = datetime.fromisoformat("2026-11-23T05:43:26.870509+00:00")
    dag = RunState("failing", "", "manual__2026-11-23T05:43:26.870509+00:00", run_after=at)
    task = RunState("failing", "bad_sql", dag.run_id, run_after=at, try_number=1)
    assert str(airflow.lineage_run_id("airflow-prod", dag)) == "01a206ee-3f96-7b92-a885-cac352394bb5"
    assert str(airflow.lineage_run_id("airflow-prod", task)) == "01a206ee-3f96-7a71-a52f-cc48cee7b21d"
    assert airflow.lineage_run_id("airflow-prod", RunState("failing", "", "x")) is None


def test_tries_that_are_left_are_told_by_the_state() -> None:
    """After a clear Airflow allows more tries than the task has retries; what failed for good is final all the same."""

    def retries(state: str, try_number: int) -> tuple[int, int]:
        found = RunState("d", "t", "r", state=state, run_after=NOW, ended_at=NOW, try_number=try_number)
        facet = airflow.lineage_events("n", found)[-1]["run"]["facets"]["airflow"]
        return facet["taskInstance"]["try_number"], facet["task"]["retries"]

    for state, n in (("failed", 1), ("failed", 3)):
        tried, retry = retries(state, n)
        assert tried == retry + 1, "the last of its tries"
    tried, retry = retries("up_for_retry", 1)
    assert tried < retry + 1


# ---------------------------------------------------------------- Spark


def master(alive: int, lost: int = 0, status: str = "ALIVE", waiting: int = 0) -> dict[str, Any]:
    states = {"ALIVE": alive} if alive else {}
    return {
        "status": status,
        "alive": alive,
        "workers": states | ({"DEAD": lost} if lost else {}),
        "waiting": waiting,
    }


@pytest.mark.parametrize(
    ("seen", "wanted", "expected"),
    [
        (master(2), 1, ("ok", "2 workers alive")),
        (master(1, 1), 1, ("warn", "1 worker alive, 1 lost")),
        (master(1, 1), 2, ("fail", "1 worker alive, less than 2, 1 worker lost")),
        (master(0), 1, ("fail", "no worker is alive")),
        (
            master(0, 2, waiting=3),
            1,
            ("fail", "no worker is alive, 2 workers lost; 3 applications wait for one"),
        ),
        (master(2, status="RECOVERING"), 1, ("warn", "the master is RECOVERING")),
    ],
)
def test_workers(seen: dict[str, Any], wanted: int, expected: tuple[str, str]) -> None:
    assert said(judge("spark_workers", seen, workers=wanted)) == expected


def test_a_master_on_standby_knows_nothing() -> None:
    with pytest.raises(CannotLook, match="this master is on standby and knows no workers") as e:
        judge("spark_workers", master(0, status="STANDBY"))
    assert (e.value.step, e.value.hint) == ("answer", "let the connection name the leader")


GOOD = spark.Confirmed("app-1", "good", True, 3)
BAD = spark.Confirmed("app-2", "bad", True, 3, ("2: collect",), ("3: collect",), "ValueError: no")
HOLLOW = spark.Confirmed("app-3", "hollow", True, 0)


@pytest.mark.parametrize(
    ("applications", "named", "expected"),
    [
        ([GOOD], None, ("ok", "no failed job in 1 application")),
        ([GOOD, BAD, HOLLOW], None, ("fail", "1 job of bad (app-2) failed: ValueError: no")),
        ([GOOD, HOLLOW], None, ("warn", "ended without running a job: hollow (app-3)")),
        ([], None, ("ok", "the history server knows no ended application of that time")),
        ([], "x", ("warn", "the history server knows no ended application x of that time")),
    ],
)
def test_failed_jobs(applications: list[Any], named: str | None, expected: tuple[str, str]) -> None:
    assert said(judge("spark_jobs", {"named": named, "applications": applications})) == expected


@pytest.mark.parametrize("kind", ["kafka_topic", "kafka_replication", "kafka_lag", "connect", "airflow_health",
                                  "airflow_imports", "airflow_runs", "spark_workers", "spark_jobs"])  # fmt: skip
def test_each_looks_through_a_connection_and_says_so_where_there_is_none(kind: str) -> None:
    found = registry.KINDS[kind]
    assert found.connections
    config = checked(found.fields, {"group": "g"} if kind == "kafka_lag" else {})
    verdict = registry.look(Spec(uuid4(), "x", kind, uuid4(), config), None, Past(), NOW)
    assert verdict.status == "not_checked"
