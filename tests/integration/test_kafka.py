"""Checks of Kafka against a real broker, and what they say where there is none."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kafka_server
import pytest
from kafka_server import Kafka
from looking import after, link, look

from checks.kafka import look as kafka_of
from checks.result import About, Past, Verdict
from connections.link import Link
from embedded import child

pytestmark = kafka_server.MARKS


@pytest.fixture(scope="module")
def to(kafka: Kafka) -> Link:
    kafka.make("orders", 3)
    for partition, n in enumerate((325, 345, 330)):
        kafka.produce("orders", n, partition)
    return through(kafka.bootstrap)


def through(bootstrap: str, timeout: float = 10.0) -> Link:
    return link("kafka", bootstrap=bootstrap, tls="off", timeout=timeout)


# ---------------------------------------------------------------- topics


def test_a_topic_that_is_there(to: Link) -> None:
    verdict = look(to, "kafka_topic", topic="orders")
    assert (verdict.status, verdict.reason, verdict.value) == ("ok", "orders exists with 3 partitions", 3)


def test_the_topic_is_the_one_that_the_node_stands_for(to: Link) -> None:
    about = About("dataset", "topic", "kafka", (("kafka://kafka-1:9092", "orders"),))
    assert look(to, "kafka_topic", about=about).status == "ok"
    verdict = look(
        to, "kafka_topic", about=About("dataset", "table", "postgres", (("postgres://db", "a.b"),))
    )
    assert (verdict.status, verdict.reason) == (
        "not_checked",
        "the node stands for no Kafka topic, and the check names none",
    )


def test_a_topic_with_fewer_partitions_or_copies_than_wanted(to: Link) -> None:
    verdict = look(to, "kafka_topic", topic="orders", partitions=4)
    assert (verdict.status, verdict.reason) == ("fail", "orders has 3 partitions, less than 4")
    verdict = look(to, "kafka_topic", topic="orders", copies=3)
    assert (verdict.status, verdict.reason) == ("fail", "orders has a partition of one copy, less than 3")


def test_looking_for_a_topic_does_not_make_it(kafka: Kafka, to: Link) -> None:
    """The broker makes what a client names in a request for metadata; every kind that takes a topic is tried."""
    assert look(to, "kafka_topic", topic="not-there").status == "fail"
    assert look(to, "kafka_replication", topic="not-there").status == "fail"
    kafka.consume("orders", "lists", 10).close()
    verdict = look(to, "kafka_lag", group="lists", topics="orders, not-there")
    assert (verdict.status, verdict.reason) == ("fail", "lists reads not-there, and there is no such topic")
    assert "not-there" not in kafka.topics()


def test_copies_in_sync(to: Link) -> None:
    verdict = look(to, "kafka_replication", topic="orders")
    assert (verdict.status, verdict.reason) == ("ok", "all copies of 3 partitions are in sync")
    whole = look(to, "kafka_replication", of="cluster")
    assert whole.status == "ok"
    assert whole.reason != verdict.reason, "the cluster has partitions of its own, too"


def test_copies_that_are_lost(kafka: Kafka, to: Link) -> None:
    """A second broker, which then is killed: of one topic a copy is left, of the other none."""
    second = Kafka(node=2, controller=kafka.controller)
    try:
        second.start()
        kafka.make("pairs", on=[[1, 2], [2, 1]])
        kafka.make("single", on=[[2]])
        good = until(
            lambda: v if (v := look(to, "kafka_replication", topic="pairs")).status == "ok" else None
        )
        assert good.reason == "all copies of 2 partitions are in sync"
        assert look(to, "kafka_topic", topic="pairs", copies=2).status == "ok"
        second.server.stop()
        lost = until(
            lambda: v if (v := look(to, "kafka_replication", of="cluster")).value == 3 else None,
        )
        assert (lost.status, lost.reason) == ("fail", "1 partition without a leader: single/0")
        assert lost.detail == {
            "offline": ["single/0"], "under_replicated": [["pairs/0", 1, 2], ["pairs/1", 1, 2]],
        }  # fmt: skip
        said = {u: look(to, "kafka_replication", topic="pairs", under=u) for u in ("fail", "warn")}
        assert {u: v.status for u, v in said.items()} == {"fail": "fail", "warn": "warn"}
        assert said["fail"].reason == (
            "2 under-replicated partitions: pairs/0 (1 of 2 in sync), pairs/1 (1 of 2 in sync)"
        )
        for topic in ("pairs", "single"):
            kafka.remove(topic)
    finally:
        second.server.stop()


def until(good: Callable[[], Verdict | None], seconds: float = 40) -> Verdict:
    end = time.monotonic() + seconds
    while (found := good()) is None:
        assert time.monotonic() < end, "it never came"
        time.sleep(0.2)
    return found


# ---------------------------------------------------------------- lag


def test_partitions_without_a_commit_count(kafka: Kafka, to: Link) -> None:
    """One partition read and committed in part, two never: their records wait, too."""
    from confluent_kafka import TopicPartition

    consumer = kafka.consumer("billing")
    consumer.assign([TopicPartition("orders", 0, 150)])
    consumer.commit(offsets=[TopicPartition("orders", 0, 150)], asynchronous=False)
    consumer.close()
    verdict = look(to, "kafka_lag", group="billing", empty="ok")
    assert (verdict.status, verdict.value) == ("ok", 325 - 150 + 345 + 330)
    assert verdict.detail is not None
    assert verdict.detail["uncommitted"] == 2
    assert verdict.detail["worst"] == [["orders/1", 345], ["orders/2", 330], ["orders/0", 175]]


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_that_read_everything_and_is_there(kafka: Kafka, to: Link, protocol: str) -> None:
    """By the old protocol of groups, and by the one of KIP-848 that Kafka 4 recommends."""
    name = f"quick-{protocol}"
    consumer = kafka.consume("orders", name, 1000, **{"group.protocol": protocol})
    try:
        verdict = look(to, "kafka_lag", group=name, warn=0)
        assert (verdict.status, verdict.reason, verdict.value) == ("ok", f"{name} has read everything", 0)
        assert verdict.detail is not None
        assert (verdict.detail["members"], verdict.detail["state"]) == (1, "stable")
        with kafka_of(to) as cluster:
            assert cluster.group(name).reads == {"orders"}
    finally:
        consumer.close()
    gone = look(to, "kafka_lag", group=name)
    assert (gone.status, gone.reason) == (
        "warn",
        f"{name} has read everything: the group has no members, nothing reads now",
    )
    assert gone.detail is not None and gone.detail["state"] == "empty"


def test_limits(kafka: Kafka, to: Link) -> None:
    kafka.consume("orders", "limits", 400).close()
    limited = {"group": "limits", "empty": "ok", "topics": "orders"}
    assert look(to, "kafka_lag", **limited).value == 600
    assert look(to, "kafka_lag", warn=600, fail=1000, **limited).status == "ok"
    assert look(to, "kafka_lag", warn=599, fail=1000, **limited).status == "warn"
    assert look(to, "kafka_lag", warn=100, fail=599, **limited).status == "fail"


def test_a_group_that_nobody_knows(to: Link) -> None:
    verdict = look(to, "kafka_lag", group="nobody", topics="orders")
    assert (verdict.status, verdict.reason) == (
        "fail",
        "Kafka knows no group nobody: it never committed; 1,000 records wait for it",
    )
    assert look(to, "kafka_lag", group="nobody").reason == "Kafka knows no group nobody: it never committed"


def test_a_stuck_group_and_one_that_falls_behind(kafka: Kafka, to: Link) -> None:
    """The same growing lag, looked at four times: with nothing committed it is stuck, else it falls behind."""
    kafka.make("clicks", 2)
    kafka.produce("clicks", 100)

    def looks(group: str, reads: int) -> list[Verdict]:
        consumer, past, out = kafka.consume("clicks", group, 10), Past(), []
        consumer.close()
        for _ in range(4):
            out.append(look(to, "kafka_lag", past, group=group, looks=3, empty="ok", topics="clicks"))
            past = after(out[-1])
            kafka.produce("clicks", 20)
            if reads:
                kafka.consume("clicks", group, reads).close()
        return out

    stuck = looks("stuck", 0)
    assert [v.status for v in stuck] == ["ok", "ok", "ok", "fail"]
    assert stuck[-1].reason == (
        "stuck is 150 records behind: stuck, it committed nothing in 3 looks while the lag grew"
    )
    behind = looks("behind", 5)
    assert [v.status for v in behind] == ["ok", "ok", "ok", "warn"]
    assert behind[-1].reason.endswith("falling behind, the lag grew at each of 3 looks")


# ---------------------------------------------------------------- there is nothing to look at


KINDS = [
    ("kafka_topic", {"topic": "orders"}),
    ("kafka_replication", {"of": "cluster"}),
    ("kafka_lag", {"group": "billing"}),
]


def not_looked(to: Link) -> list[tuple[str, str, object]]:
    """(status, reason, step) of every kind."""
    out = []
    for kind, config in KINDS:
        verdict = look(to, kind, **config)
        out.append((verdict.status, verdict.reason, (verdict.detail or {}).get("step")))
    assert len(set(out)) == 1, "every kind says the same"
    return out


def test_no_broker_listens() -> None:
    ((status, reason, step), *_) = not_looked(through(f"127.0.0.1:{child.free_port()}"))
    assert (status, step) == ("not_checked", "route")
    assert reason.endswith(": connection refused, nothing listens on this port")


def test_a_name_that_does_not_resolve() -> None:
    ((status, _, step), *_) = not_looked(through("no-such-host.invalid:9092"))
    assert (status, step) == ("not_checked", "name")


def test_something_else_listens_there() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        ((status, reason, step), *_) = not_looked(through(f"127.0.0.1:{port}", timeout=2))
    assert (status, step) == ("not_checked", "route")
    assert reason.endswith(": what listens there does not speak Kafka")


def test_a_broker_that_hangs(kafka: Kafka, to: Link) -> None:
    kafka.pause()
    try:
        ((status, reason, step), *_) = not_looked(through(kafka.bootstrap, timeout=2))
    finally:
        kafka.resume()
    assert (status, step) == ("not_checked", "route")
    assert reason.endswith(("answer", "answers")), reason
    assert look(to, "kafka_topic", topic="orders").status == "ok", "it looks again once the broker answers"


@contextmanager
def answering(words: bytes) -> Iterator[int]:
    """A port where something answers that is no Kafka."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(words)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()
