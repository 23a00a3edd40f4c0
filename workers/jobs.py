"""The RQ jobs. Thin: each drains what Postgres says is waiting, lingers a little so that the next event needs no
new process, and ends. Killing one at any moment loses nothing: every step is a transaction.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable

import redis

import settings as settings_module
from errors import Unavailable
from store.record import Record
from workers import wake

log = logging.getLogger("dlv.jobs")

#: seconds a job runs at most before it makes place for the next (which it wakes itself)
RUN_SECONDS = 60.0
#: the same for reading events: each new process has to learn the names again
FOLD_SECONDS = 300.0
#: the same for checks: ending breaks off the looks that are under way
CHECK_SECONDS = 600.0
#: seconds a job goes on looking after it found nothing
LINGER_SECONDS = 5.0
#: seconds between two looks that found nothing
LOOK_EVERY = 0.1
#: seconds from one look to the next where the last found little: several small batches cost far more than one
GATHER_SECONDS = 0.4
#: events that are much: the next look comes at once
MUCH = 200
#: seconds a job keeps trying while a store is away, before it leaves the waking to the scheduler
AWAY_SECONDS = 15.0

#: set when the worker was asked to stop (see workers.run)
stopping = threading.Event()


def fold() -> None:
    """Fold pending events into the record, apply naming rules where somebody asked for it, and wake the projector
    whenever there was something. In between, read the SQL of jobs for its columns."""
    from ingest import derive
    from ingest.fold import fold_pending
    from workers.rules import apply_asked

    # a batch makes some hundred thousand objects and drops them together: looking for rings among them finds none
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    settings = settings_module.load()
    record = Record(settings.database_url, max_size=4)
    wake_projector = wake.Waker(settings.redis_url)

    def step() -> int:
        done = apply_asked(record) + fold_pending(record)
        if done:
            wake_projector(wake.PROJECT)
        return done

    try:
        if drain(between(step, lambda: derive.some(record))):
            _wake_next(settings.redis_url, wake.FOLD)
    finally:
        record.close()


def project() -> None:
    """Bring the marked nodes and edges of the record into the graph."""
    from graph.driver import connect
    from workers.projector import project_once

    settings = settings_module.load()
    record = Record(settings.database_url, max_size=5)
    graph = connect(settings.graph_url, settings.graph_user, settings.graph_password, settings.graph_database)
    try:
        if drain(lambda: project_once(record, graph)):
            _wake_next(settings.redis_url, wake.PROJECT)
    finally:
        graph.close()
        record.close()


def check() -> None:
    """Look at what the schedule says is due."""
    from workers.checking import Looking

    settings = settings_module.load()
    record = Record(settings.database_url, max_size=8)
    try:
        with Looking(record, settings) as looking:
            left = drain(looking.step, seconds=CHECK_SECONDS, enough=looking.full)
        if left:
            _wake_next(settings.redis_url, wake.CHECK)
    finally:
        record.close()


def alert() -> None:
    """Decide about incidents and tell people."""
    from graph.driver import connect
    from workers import delivery
    from workers.alerting import step

    settings = settings_module.load()
    record = Record(settings.database_url, max_size=4)
    graph = connect(settings.graph_url, settings.graph_user, settings.graph_password, settings.graph_database)
    try:
        if drain(lambda: step(record, graph, settings)):
            _wake_next(settings.redis_url, wake.ALERT)
    finally:
        delivery.settle()
        graph.close()
        record.close()


def between(step: Callable[[], int], rest: Callable[[], int]) -> Callable[[], int]:
    """``step``, and ``rest`` in the lulls: when ``step`` finds nothing, for as long as ``rest`` finds something. Looking
    goes on ten times a second, and what only ``step`` brings need not be asked for each time.
    """
    rested = False

    def both() -> int:
        nonlocal rested
        if done := step():
            rested = False
        elif not rested:
            done = rest()
            rested = not done
        return done

    return both


def drain(
    step: Callable[[], int], seconds: float | None = None, enough: Callable[[], bool] = lambda: False
) -> bool:
    """Call ``step`` until it found nothing for :data:`LINGER_SECONDS`, ``seconds`` (:data:`RUN_SECONDS`) have passed or
    it is ``enough``; returns whether work may be left.

    A store that is away is waited for a while, then left to the scheduler, which wakes us again.
    """
    end = time.monotonic() + (RUN_SECONDS if seconds is None else seconds)
    found_at = time.monotonic()
    away_since: float | None = None
    done = 0
    while not stopping.is_set() and not enough() and time.monotonic() < end:
        looked_at = time.monotonic()
        try:
            done = step()
        except Unavailable as e:
            now = time.monotonic()
            if away_since is None:
                away_since = now
                log.warning("waiting: %s", e.message)
            if now - away_since > AWAY_SECONDS:
                return False
            stopping.wait(0.5)
            continue
        if away_since is not None:
            log.warning("going on after %.1f s", time.monotonic() - away_since)
            away_since = None
        if done:
            found_at = time.monotonic()
            if done < MUCH:
                stopping.wait(max(0.0, GATHER_SECONDS - (found_at - looked_at)))
        elif time.monotonic() - found_at > LINGER_SECONDS:
            return False
        else:
            stopping.wait(LOOK_EVERY)
    return bool(done)


def _wake_next(redis_url: str, queue: str) -> None:
    try:
        with wake.connect(redis_url) as client:
            wake.wake(client, queue)
    except redis.RedisError as e:
        log.warning("could not wake %s: %s", queue, e)
