"""The driver against servers that misbehave, and in processes that were forked off."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from errors import GraphAway
from graph import driver
from graph.driver import Graph, connect
from tests.conftest import eventually


@pytest.fixture
def black_hole() -> Iterator[str]:
    """A server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    held.append(listening.accept()[0])
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield f"bolt://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for s in held:
            s.close()


def is_said_to_be_away(g: Graph) -> bool:
    """Whether a question ends with :class:`GraphAway`; thirty seconds only bound a driver that waits for ever, the bench
    of it stands in docs/performance.md."""
    answered = threading.Event()

    def ask() -> None:
        with pytest.raises(GraphAway):
            g.read("RETURN 1 AS one")
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(30)


def test_a_server_that_never_answers_is_away(black_hole: str) -> None:
    g = connect(black_hole, "somebody", "a password")
    assert is_said_to_be_away(g)
    assert g.check()
    g.close()


@contextmanager
def relay(url: str) -> Iterator[tuple[str, threading.Event]]:
    """A way to the server of ``url`` on which nothing comes back any more once the event is set."""
    host, _, port = url.removeprefix("bolt://").partition(":")
    silent = threading.Event()

    def pump(a: socket.socket, b: socket.socket, mute: bool) -> None:
        with suppress(OSError):
            while data := a.recv(65536):
                if not (mute and silent.is_set()):
                    b.sendall(data)

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here = listening.accept()[0]
                there = socket.create_connection((host, int(port)))
                held.extend((here, there))
                for one, other, mute in ((here, there, False), (there, here, True)):
                    threading.Thread(target=pump, args=(one, other, mute), daemon=True).start()

    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        yield f"bolt://127.0.0.1:{listening.getsockname()[1]}", silent
        listening.shutdown(socket.SHUT_RDWR)
        for s in held:
            s.close()


def test_a_server_that_falls_silent_on_a_connection_that_stands_is_away(
    engine: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "ANSWER_SECONDS", 1)
    with relay(engine.url) as (url, silent):
        g = connect(url, *(engine._auth or ("", "")), engine.database or "")
        assert g.read("RETURN 1 AS one") == [{"one": 1}]
        silent.set()
        assert is_said_to_be_away(g)
        silent.clear()
        assert eventually(lambda: g.check() is None)
        g.close()


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    g = connect(f"bolt://127.0.0.1:{port}")
    with pytest.raises(GraphAway):
        g.read("RETURN 1 AS one")
    with pytest.raises(GraphAway):  # at rest: refused at once, without another attempt
        g.read("RETURN 1 AS one")
    g.close()


def test_a_child_has_a_connection_of_its_own(engine: Graph) -> None:
    """As RQ forks its workers: parent and children ask at the same time, and nobody gets another's answer."""
    assert engine.read("RETURN 0 AS n") == [{"n": 0}]
    children = []
    for n in range(1, 4):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                said = [
                    engine.read("UNWIND range(1, 200) AS i RETURN sum(i) + $n AS n", n=n)[0]["n"]
                    for _ in range(20)
                ]
                code = 0 if said == [20100 + n] * 20 else 2
            finally:
                os._exit(code)
        children.append(pid)
    assert [engine.read("RETURN $n AS n", n=n)[0]["n"] for n in range(50)] == list(range(50))
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0, 0, 0]
    assert engine.read("RETURN 0 AS n") == [{"n": 0}]
