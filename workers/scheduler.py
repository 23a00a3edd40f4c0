"""The scheduler loop. What is due stands in Postgres and everything here may be done twice, so any number may run."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from errors import Unavailable
from settings import Settings
from store import beats, checks, gaps, notifications, partitions, results, slots
from store.record import Record
from workers import producers, wake, watch

log = logging.getLogger("dlv.scheduler")

TICK_SECONDS = 1.0
#: checks whose slots are made in one transaction
AT_ONCE = 500
#: seconds of a tick that go into writing down what was missed
FILL_SECONDS = 0.5


@dataclass
class Periodic:
    """Something done every so many seconds, and once at the start. A failure is logged and tried at its next turn."""

    name: str
    every: float
    do: Callable[[], object]
    _due: float = field(default=0.0)

    def run_if_due(self, now: float) -> None:
        if now < self._due:
            return
        self._due = now + self.every
        try:
            self.do()
        except Unavailable:
            self._due = now  # as soon as the store is back
            raise
        except Exception:
            log.exception("%s failed", self.name)


def periodics(settings: Settings, record: Record) -> list[Periodic]:
    telling = producers.Telling.of(settings)
    return [
        Periodic("partitions", 600, lambda: partitions.ensure_ahead(record)),
        Periodic(
            "expiry",
            3600,
            lambda: partitions.expire(record, settings.event_days, settings.run_days, settings.result_days),
        ),
        Periodic("old counts", 3600, lambda: expire_counts(record)),
        Periodic("old heartbeats", 3600, lambda: expire_beats(record)),
        Periodic("old messages", 3600, lambda: expire_messages(record, settings.run_days)),
        Periodic("dead man", 5, watch.DeadMan(settings, record).step),
        Periodic(
            "judging by time",
            15,
            producers.Beside("judging", lambda: producers.step(record, telling=telling)),
        ),
        Periodic("asking other systems", 15, producers.Beside("asking", producers.Asking(record, settings))),
        Periodic("sign-in leftovers", 3600, lambda: expire_sign_ins(record)),
    ]


def run(settings: Settings, stop: threading.Event) -> None:
    """Loop until ``stop``. A store that is away is waited for."""
    record = Record(settings.database_url, max_size=4)
    client = wake.connect(settings.redis_url)
    todo = periodics(settings, record)
    alive = Alive(record)
    away = ""
    while not stop.is_set():
        said = ""
        try:
            alive.beat()
            plan(record, settings.result_days)
            tick(record, client)
            for p in todo:
                p.run_if_due(time.monotonic())
        except Unavailable as e:
            said = e.message
        except redis.RedisError as e:
            said = f"Redis: {e}"
        except Exception:
            log.exception("tick failed")
        if said and not away:
            log.warning("waiting: %s", said)
        elif away and not said:
            log.warning("going on")
        away = said
        stop.wait(TICK_SECONDS)
    record.close()


class Alive:
    """This scheduler's signs of life, and what it notices by them: see store.gaps."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._instance = f"{socket.gethostname()}:{os.getpid()}"
        self._last: float | None = None

    def beat(self) -> None:
        now = time.monotonic()
        if self._last is not None and now - self._last < beats.EVERY:
            return
        with self._record.tx() as conn:
            said = gaps.scheduler_beat(
                conn, self._instance, {}, None if self._last is None else now - self._last
            )
        self._last = now
        for what in said:
            log.warning("%s", what)


def plan(record: Record, keep_days: int) -> None:
    """Make what is due, end what nobody holds, and write down what was missed, for a while."""
    while True:
        with record.tx() as conn:
            if slots.due(conn, AT_ONCE) < AT_ONCE:
                break
    with record.tx() as conn:
        slots.sweep(conn)
    end = time.monotonic() + FILL_SECONDS
    while time.monotonic() < end:
        with record.tx() as conn:
            if not slots.fill(conn, keep_days):
                break


def expire_counts(record: Record) -> None:
    """What nobody reads any more of the history of checks, and processes that are long gone."""
    results.expire(record)
    with record.tx() as conn:
        beats.forget(conn)


def expire_messages(record: Record, keep_days: int) -> None:
    """The delivery log is kept as long as runs are."""
    with record.tx() as conn:
        notifications.expire(conn, keep_days)


def tick(record: Record, client: redis.Redis) -> list[str]:
    """Wake the queues that have work; returns their names."""
    row = record.one(
        """select exists (select 1 from event_pending where not set_aside)
                    or exists (select 1 from rule_job where ended_at is null) as fold,
                  exists (select 1 from graph_dirty) as project,
                  exists (select 1 from check_slot where due_again <= dlv_now()) as "check",
                  exists (select 1 from transition_pending)
                    or exists (select 1 from notification where next_try_at <= now() or remind_at <= now())
                    or exists (select 1 from incident where notify_at <= now() or weigh_at <= now()
                                  or (graph_away and status = 'open')) as alert"""
    )
    assert row is not None
    waiting = [q for q in wake.JOBS if row[q]]
    return [q for q in waiting if wake.wake(client, q)]


def expire_beats(record: Record) -> None:
    """Calls of heartbeats that judging no longer looks at."""
    with record.tx() as conn:
        checks.expire_beats(conn)


def expire_sign_ins(record: Record) -> None:
    """Sessions a month past their end, used tokens and old failed tries: nothing reads them any more."""
    with record.tx() as conn:
        conn.execute("delete from sign_in_attempt where at < now() - interval '2 days'")
        conn.execute("delete from refresh_token where expires_at < now() - interval '30 days'")
        conn.execute("delete from user_session where expires_at < now() - interval '30 days'")
