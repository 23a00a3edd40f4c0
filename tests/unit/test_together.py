"""Requests that arrive together are stored together, and each gets its own outcome."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.lineage import Together
from errors import RecordAway
from store.events import Given


def event(n: int) -> Given:
    return n, bytes([n]), b"{}"


def test_what_comes_while_one_writes_goes_into_one_transaction() -> None:
    started, go = threading.Event(), threading.Event()
    written: list[list[int]] = []

    def store(given: list[Given]) -> None:
        written.append([p for p, _, _ in given])
        started.set()
        assert go.wait(10)

    together = Together(store)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(together, [event(0)])
        assert started.wait(10)
        others = [pool.submit(together, [event(n)]) for n in range(1, 9)]
        while len(together._waiting) < 8:
            threading.Event().wait(0.001)
        assert not any(f.done() for f in [first, *others])
        go.set()
        for f in [first, *others]:
            f.result(10)
    assert written[0] == [0]
    assert len(written) == 2
    assert sorted(written[1]) == list(range(1, 9))


def test_a_writer_goes_home_after_its_own_transaction() -> None:
    started, go = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    turns = iter(range(2))

    def store(given: list[Given]) -> None:
        turn = next(turns)
        started[turn].set()
        assert go[turn].wait(10)

    together = Together(store)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(together, [event(0)])
        assert started[0].wait(10)
        second = pool.submit(together, [event(1)])
        while not together._waiting:
            threading.Event().wait(0.001)
        go[0].set()
        assert started[1].wait(10)
        first.result(10)  # done while the second still writes
        assert not second.done()
        go[1].set()
        second.result(10)
    assert not together._writing


def test_one_that_cannot_be_stored_fails_alone() -> None:
    def store(given: list[Given]) -> None:
        if any(p == 3 for p, _, _ in given):
            raise ValueError("three")
        stored.extend(p for p, _, _ in given)

    stored: list[int] = []
    together = Together(store)
    together._writing = True  # somebody writes: all of them wait
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(together, [event(n)]) for n in range(6)]
        while len(together._waiting) < 6:
            threading.Event().wait(0.001)
        together._waiting[0].turn.set()
        for n, f in enumerate(futures):
            if n == 3:
                with pytest.raises(ValueError, match="three"):
                    f.result(10)
            else:
                f.result(10)
    assert sorted(stored) == [0, 1, 2, 4, 5]


def test_with_the_record_away_nobody_tries_one_by_one() -> None:
    tries = []

    def store(given: list[Given]) -> None:
        tries.append(len(given))
        raise RecordAway("away")

    together = Together(store)
    for _ in range(2):
        with pytest.raises(RecordAway):
            together([event(1)])
    together._writing = True
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(together, [event(n)]) for n in range(3)]
        while len(together._waiting) < 3:
            threading.Event().wait(0.001)
        together._waiting[0].turn.set()
        for f in futures:
            with pytest.raises(RecordAway):
                f.result(10)
    assert tries == [1, 1, 3]
