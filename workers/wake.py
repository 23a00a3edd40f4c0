"""Waking a worker: one small RQ job says "look, there is work"; what the work is stands in Postgres."""

from __future__ import annotations

import time
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

FOLD, PROJECT, CHECK, ALERT = "fold", "project", "check", "alert"
#: dotted names live in Redis, so they stay as they are when code moves
JOBS = {
    FOLD: "workers.jobs.fold",
    PROJECT: "workers.jobs.project",
    CHECK: "workers.jobs.check",
    ALERT: "workers.jobs.alert",
}
#: seconds after which RQ kills a job; ours end by themselves long before, but a lost graph is rebuilt in one, and naming rules
#: are applied to all names in one
JOB_TIMEOUT = {FOLD: 3600, PROJECT: 3600, CHECK: 900, ALERT: 180}


def connect(url: str) -> redis.Redis:
    """Redis as everything here uses it: a dead server is noticed in seconds."""
    return redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=5, health_check_interval=15)


def wake(client: Any, queue: str) -> bool:
    """Enqueue the queue's one job if none waits there already; returns whether it did.

    Two callers at once may enqueue two: harmless, the second finds nothing to do. Raises
    :class:`redis.RedisError` when Redis is away; callers may ignore it, the scheduler wakes again.
    """
    q = Queue(queue, connection=client, serializer=JSONSerializer)
    if q.count:
        return False
    q.enqueue(JOBS[queue], job_timeout=JOB_TIMEOUT[queue], result_ttl=0, failure_ttl=3600, ttl=600)
    return True


class Waker:
    """Wakes at most once in ``every`` seconds a queue, and never raises: for callers that must answer at once."""

    def __init__(self, url: str, *, every: float = 0.2) -> None:
        self._client = redis.Redis.from_url(url, socket_connect_timeout=0.5, socket_timeout=0.5)
        self._every = every
        self._last: dict[str, float] = {}

    def __call__(self, queue: str) -> None:
        now = time.monotonic()
        if now - self._last.get(queue, -1e9) < self._every:
            return
        self._last[queue] = now
        try:
            wake(self._client, queue)
        except redis.RedisError:
            self._last[queue] = now + 2.0  # do not spend time on a dead Redis at every event
