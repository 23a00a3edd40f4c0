"""The sockets of the Kafka client: opened to an address that the guard let pass, each time, and all gone afterwards."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

import fake_kafka
import pytest
from certificates import Authority
from fake_kafka import Broker
from kafka.errors import KafkaError
from listeners import Answer, closed_port, listening, silent

from connections import guard, kafka, kafka_sockets, kind
from connections.guard import Guard, Refused
from connections.kafka import KafkaAway
from connections.kinds import KINDS
from connections.link import Link

#: this machine's own address, and no other: what listens at 127.0.0.2 must not be spoken to
ONLY_ONE = guard.of([], "127.0.0.1/32")
NAME = "kafka.example.com"


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that a socket of this process is connected to."""
    seen: list[Any] = []
    for call in ("connect", "connect_ex"):
        real = getattr(socket.socket, call)

        def watched(sock: socket.socket, address: Any, real: Any = real) -> Any:
            seen.append(address)
            return real(sock, address)

        monkeypatch.setattr(socket.socket, call, watched)
    return seen


@pytest.fixture
def good() -> Iterator[Broker]:
    with fake_kafka.broker() as made:
        yield made


@pytest.fixture
def bad(good: Broker) -> Iterator[Broker]:
    """A broker that would answer as well, on the same port of an address that is refused."""
    with fake_kafka.broker("127.0.0.2", good.port) as made:
        yield made


def link(bootstrap: str, timeout: float = 3.0, by: Guard = ONLY_ONE, **fields: Any) -> Link:
    secret = {"password": "pa55+word"} if "sasl" in fields else {}
    whole = KINDS["kafka"].checked({"bootstrap": bootstrap, "tls": "off"} | fields)
    return Link(uuid4(), "K", "kafka", whole, by, secret, timeout)


def naming(monkeypatch: pytest.MonkeyPatch, answers: Callable[[int], list[str]]) -> list[int]:
    """:data:`NAME` resolves to what ``answers`` says of the n-th look, from 1 on. The looks so far."""
    real, looks = socket.getaddrinfo, []

    def lookup(host: Any, port: Any, *args: Any, **how: Any) -> Any:
        if host != NAME:
            return real(host, port, *args, **how)
        looks.append(port)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))
            for address in answers(len(looks))
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return looks


def groups(client: kafka.Client, node: int) -> Any:
    return client.ask(lambda admin: admin.list_groups([node]))


# ---------------------------------------------------------------- the address that was checked


@pytest.mark.parametrize("refused", ["127.0.0.2", "169.254.169.254"])
def test_a_bootstrap_name_that_changes_its_answer(
    good: Broker, bad: Broker, connected: list[Any], monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """Good at the first look, which is before anything is asked, and refused at the next, where the socket opens."""
    by = ONLY_ONE if refused == bad.host else Guard()
    looks = naming(monkeypatch, lambda n: ["127.0.0.1"] if n == 1 else [refused])
    began = time.monotonic()
    with (
        pytest.raises(Refused, match=f"{NAME} \\({refused}\\) is refused"),
        kafka.reached(link(f"{NAME}:{good.port}", by=by)),
    ):
        pytest.fail("it was reached")
    assert time.monotonic() - began < 2, "it is told at once, not when the time is over"
    assert len(looks) == 2
    assert (good.came, bad.came, connected) == (0, 0, [])


def test_a_refusal_does_not_wait_for_another_server(good: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent() as port:
        for _ in range(3):  # whichever of them is tried first
            naming(monkeypatch, lambda n: [good.host] if n == 1 else ["169.254.169.254"])
            began = time.monotonic()
            hung_and_moved = link(f"127.0.0.1:{port},{NAME}:{good.port}", by=Guard())
            with pytest.raises(Refused), kafka.reached(hung_and_moved):
                pytest.fail("it was reached")
            assert time.monotonic() - began < 1.5
            monkeypatch.undo()


def test_whichever_look_of_a_test_it_is_that_a_name_changes_at(
    good: Broker, bad: Broker, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in range(1, 20):
        looks = naming(monkeypatch, lambda n, change=change: [good.host if n < change else bad.host])
        done = KINDS["kafka"].test(link(f"{NAME}:{good.port}"))
        if done.ok:
            break
        assert (done.step, len(looks)) == ("route", change), done
        assert NAME in done.message and "DLV_ALLOWED_NETWORKS" in done.message, done
    assert change > 4, "the ladder looks twice, and the client at least twice more"
    assert bad.came == 0 and {a[0] for a in connected} == {good.host}


def test_a_name_with_a_refused_and_a_good_address_leads_to_the_good_one(
    good: Broker, bad: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    naming(monkeypatch, lambda _: [bad.host, good.host])
    good.names = [(1, NAME, good.port)]
    with kafka.reached(link(f"{NAME}:{good.port}")) as client:
        assert groups(client, 1) == []
    assert good.came == 2 and bad.came == 0


def test_a_second_address_is_tried_where_nothing_listens_at_the_first(
    good: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    naming(monkeypatch, lambda _: ["127.0.0.3", good.host])
    assert KINDS["kafka"].test(link(f"{NAME}:{good.port}", by=Guard())).ok


# ---------------------------------------------------------------- brokers that the cluster names


def test_a_broker_that_is_refused_is_never_connected_to(
    good: Broker, bad: Broker, connected: list[Any]
) -> None:
    good.names = [(1, good.host, good.port), (2, bad.host, bad.port)]
    with (
        pytest.raises(Refused, match=r"the cluster names a broker at 127\.0\.0\.2, which is refused"),
        kafka.reached(link(good.at)),
    ):
        pytest.fail("it was reached")
    assert good.came == 1, "the bootstrap server was asked"
    done = KINDS["kafka"].test(link(good.at))
    assert (done.ok, done.step) == (False, "route") and "names a broker at" in done.message and done.hint
    assert bad.came == 0 and {a[0] for a in connected} == {good.host}


def test_dlvs_own_store_is_no_broker(good: Broker) -> None:
    with fake_kafka.broker() as store:
        good.names = [(1, good.host, good.port), (2, store.host, store.port)]
        with (
            pytest.raises(Refused, match=r"names a broker at 127\.0\.0\.1, which is refused: .*own stores"),
            kafka.reached(link(good.at, by=Guard(own=((store.host, store.port),)))),
        ):
            pytest.fail("it was reached")
        assert (good.came, store.came) == (1, 0)


def test_a_broker_whose_name_changes_its_answer(
    good: Broker, bad: Broker, connected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    good.names = [(1, good.host, good.port), (2, NAME, bad.port)]
    looks = naming(monkeypatch, lambda n: [good.host] if n == 1 else [bad.host])
    with kafka.reached(link(good.at)) as client:
        assert len(looks) == 1
        began = time.monotonic()
        for _ in range(2):  # a later question ends so, too
            with pytest.raises(Refused, match=f"the cluster names a broker at {NAME} \\(127.0.0.2\\), which"):
                groups(client, 2)
        with pytest.raises(Refused):
            groups(client, 1)
        assert time.monotonic() - began < 1
    assert bad.came == 0 and {a[0] for a in connected} == {good.host}


def test_a_broker_is_looked_at_anew_at_each_connect(
    good: Broker, bad: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    good.names = [(1, NAME, good.port)]
    naming(monkeypatch, lambda n: [good.host] if n <= 2 else [bad.host])
    with kafka.reached(link(good.at)) as client:
        assert groups(client, 1) == []
        client._manager.close(node_id=1)
        with pytest.raises(Refused):
            groups(client, 1)
    assert bad.came == 0


def test_a_coordinator_that_is_not_among_the_brokers(good: Broker, bad: Broker, connected: list[Any]) -> None:
    good.coordinator = (7, bad.host, bad.port)
    with (
        kafka.reached(link(good.at)) as client,
        pytest.raises(Refused, match=r"names a broker at 127\.0\.0\.2"),
    ):
        client.group("g")
    assert bad.came == 0 and {a[0] for a in connected} == {good.host}


@pytest.mark.parametrize("port", [-1, 0, 70_000])
def test_a_port_that_is_none(good: Broker, port: int) -> None:
    """70,000 would be cut to 4,464 by some resolvers."""
    good.names = [(1, good.host, good.port), (2, good.host, port)]
    with kafka.reached(link(good.at, timeout=0.5)) as client, pytest.raises(KafkaError):
        groups(client, 2)


# ---------------------------------------------------------------- nothing is left


def left_over(before: set[str], threads: set[threading.Thread]) -> tuple[set[str], list[str]]:
    """Files and sockets, and threads, that were not there before; what a server still closes is waited for."""
    end = time.monotonic() + 3
    while True:
        new = {f"{fd} {where}" for fd, where in files().items()} - before
        more = [t.name for t in threading.enumerate() if t not in threads]
        if not (new or more) or time.monotonic() > end:
            return new, more
        time.sleep(0.01)


def files() -> dict[str, str]:
    out = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            out[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the one of listdir itself
    return out


def test_after_success_and_after_each_failure_nothing_is_left(
    good: Broker,
    bad: Broker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    recwarn: pytest.WarningsRecorder,
) -> None:
    pair = Authority().sign("localhost")
    with ExitStack() as stack:
        hung = stack.enter_context(silent())
        web = stack.enter_context(listening(lambda _: Answer(), pair, tmp_path))
        two = stack.enter_context(fake_kafka.broker())
        two.names = [(1, bad.host, bad.port)]
        mute = stack.enter_context(fake_kafka.broker())
        mute.mute = {fake_kafka.METADATA}
        slow = stack.enter_context(fake_kafka.broker())
        slow.names = [(1, slow.host, slow.port), (2, "127.0.0.1", hung)]
        tries: list[tuple[str, Link, type[BaseException] | None]] = [
            ("success", link(good.at), None),
            ("a question of ours fails", link(good.at), ZeroDivisionError),
            ("nothing listens", link(f"127.0.0.1:{closed_port()}"), KafkaAway),
            ("it hangs", link(f"127.0.0.1:{hung}", timeout=0.3), KafkaAway),
            ("it hangs in TLS", link(f"127.0.0.1:{hung}", timeout=0.3, tls="encrypted"), KafkaAway),
            ("one hangs and one answers", link(f"127.0.0.1:{hung},{good.at}"), None),
            ("one hangs in TLS, one speaks none", link(f"127.0.0.1:{hung},{good.at}", 0.9, tls="encrypted"), KafkaAway),
            ("it lists nothing", link(mute.at, timeout=0.3), KafkaAway),
            ("it speaks no TLS", link(good.at, timeout=1, tls="encrypted"), KafkaAway),
            ("its certificate is not good", link(f"127.0.0.1:{web.port}", tls="verified"), KafkaAway),
            ("it speaks TLS and no Kafka", link(f"127.0.0.1:{web.port}", tls="encrypted"), KafkaAway),
            ("a name that is none", link("no-such-host.invalid:9"), KafkaAway),
            ("a wrong password", link(good.at, sasl="PLAIN", username="u"), KafkaAway),
            ("a broker is refused", link(two.at), Refused),
            ("a broker hangs", link(slow.at, timeout=0.3), TimeoutError),
        ]  # fmt: skip
        for what, to, error in tries:
            before = {f"{fd} {where}" for fd, where in files().items()}
            threads = set(threading.enumerate())
            gc.disable()  # what only the collector closes is left
            try:
                with ExitStack() as inner:
                    if error is not None:
                        inner.enter_context(pytest.raises(error))
                    with kafka.reached(to) as client:
                        if what == "a broker hangs":
                            groups(client, 2)
                        groups(client, 1)
                        if error is ZeroDivisionError:
                            raise ZeroDivisionError
                assert left_over(before, threads) == (set(), []), what
                assert kafka_sockets.WAYS == {}, what
            finally:
                gc.enable()
    gc.collect()
    assert not [w for w in recwarn if w.category is ResourceWarning]


# ---------------------------------------------------------------- in time, and in quiet


@pytest.mark.parametrize("secure", ["off", "encrypted"])
def test_a_server_that_never_answers_is_given_up_in_time(secure: str) -> None:
    with silent() as port:
        began = time.monotonic()
        with (
            pytest.raises(KafkaAway, match=f"127.0.0.1:{port}: it does not answer") as e,
            kafka.reached(link(f"127.0.0.1:{port}", timeout=0.5, tls=secure)),
        ):
            pytest.fail("it was reached")
        assert (e.value.step, time.monotonic() - began < 1.5) == ("route", True)


def test_a_server_that_hangs_does_not_keep_from_one_that_answers(good: Broker) -> None:
    with silent() as port:
        for _ in range(4):  # whichever of them is tried first
            began = time.monotonic()
            with kafka.reached(link(f"127.0.0.1:{port},{good.at}")) as client:
                assert [t.name for t in client.listed.topics] == ["orders"]
            assert time.monotonic() - began < 1.5


def test_a_broker_that_never_answers_ends_its_question_in_time(good: Broker) -> None:
    with silent() as port:
        good.names = [(1, good.host, good.port), (2, "127.0.0.1", port)]
        with kafka.reached(link(good.at, timeout=0.5)) as client:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                groups(client, 2)
            assert time.monotonic() - began < 1.5
            assert groups(client, 1) == [], "another question is asked all the same"


def test_names_that_resolve_slowly_do_not_add_up(good: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(_: int) -> list[str]:
        time.sleep(0.2)
        return [good.host]

    naming(monkeypatch, slowly)
    good.names = [(n, NAME, good.port + n) for n in range(50)]
    began = time.monotonic()
    with kafka.reached(link(good.at, timeout=0.5)) as client, pytest.raises((TimeoutError, KafkaError)):
        for n in range(50):
            groups(client, n)
    assert time.monotonic() - began < 2.5


def test_a_broker_that_could_not_answer_yet_is_asked_again(good: Broker) -> None:
    """It is away, and then it is there."""
    port = closed_port()
    good.names = [(1, good.host, good.port), (2, "127.0.0.1", port)]
    with kafka.reached(link(good.at)) as client, ExitStack() as stack:
        later = threading.Timer(0.4, lambda: stack.enter_context(fake_kafka.broker(port=port)))
        later.start()
        assert groups(client, 2) == []
        later.join()


def test_no_topic_is_named_in_asking_for_metadata(good: Broker) -> None:
    with kafka.reached(link(good.at)) as client:
        assert client.hidden(["not-there"]) == []
    assert [v for r, v in good.asked if r == fake_kafka.METADATA] == [4, 4], (
        "from 4 on a request can say: do not make it"
    )


def test_no_secret_and_no_failure_is_logged(
    good: Broker, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    done: list[kind.Tested] = [
        KINDS["kafka"].test(link(good.at, sasl="PLAIN", username="u")),
        KINDS["kafka"].test(link(f"127.0.0.1:{closed_port()}")),
    ]
    assert [d.step for d in done] == ["sign-in", "route"]
    assert "Authentication failed: nobody knows you" in done[0].message, (
        "it came with the end of the connection"
    )
    out, err = capfd.readouterr()
    assert "pa55" not in caplog.text + out + err + repr(done)
    assert not [r for r in caplog.records if r.name.startswith("kafka")] and not out + err
