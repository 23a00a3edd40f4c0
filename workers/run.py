"""The RQ worker of one queue. It outlives Redis: while Redis is away it tries again for ever."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import time
from types import FrameType
from typing import Any

import redis
from rq import Worker
from rq.serializers import JSONSerializer

from embedded.child import die_with_parent
from settings import Settings
from store import beats
from workers import jobs, wake, watch

log = logging.getLogger("dlv.worker")

WORKER_TTL = 30
MAINTENANCE_INTERVAL = 15
PRELOADED = {
    wake.FOLD: ("ingest.fold",),
    wake.PROJECT: ("graph.driver", "workers.projector"),
    wake.CHECK: ("workers.checking",),
    wake.ALERT: ("graph.driver", "workers.alerting"),
}


#: how far what only catches up stands back for those who wait for an answer
NICE = {wake.FOLD: 5, wake.PROJECT: 5}


class OneQueueWorker(Worker):
    """RQ's forking worker; a stop reaches the running job too, and the job ends with the worker."""

    max_connection_wait_time = 2.0
    log_result_lifespan = False
    asked_to_stop = False
    life: watch.Life | None = None

    @property
    def dequeue_timeout(self) -> int:
        """An idle worker gives a sign of life each time it has waited so long for a job."""
        return int(beats.EVERY)

    def heartbeat(self, *args: Any, **how: Any) -> None:
        if self.life is not None:
            self.life.beat()
        super().heartbeat(*args, **how)

    def handle_warm_shutdown_request(self) -> None:
        self.asked_to_stop = True
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGUSR1)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True
        super().request_stop(signum, frame)

    def setup_work_horse_signals(self) -> None:
        super().setup_work_horse_signals()
        os.nice(NICE.get(self.queue_names()[0], 0))
        signal.signal(signal.SIGUSR1, lambda *_: jobs.stopping.set())
        die_with_parent(signal.SIGKILL, self.pid or os.getppid())


def run(settings: Settings, queue: str) -> None:
    """Work on one queue until SIGTERM or SIGINT."""
    preload(queue)
    asked: list[int] = []

    def ask(signum: int, _: Any) -> None:
        asked.append(signum)
        raise SystemExit(0)

    away = False
    life = watch.Life(settings, queue)
    worker: OneQueueWorker | None = None
    while not asked and not (worker and worker.asked_to_stop):
        signal.signal(signal.SIGTERM, ask)
        signal.signal(signal.SIGINT, ask)
        try:
            client = wake.connect(settings.redis_url)
            client.ping()
            if away:
                log.warning("Redis is back")
                away = False
            worker = OneQueueWorker(
                [queue],
                connection=client,
                serializer=JSONSerializer,
                worker_ttl=WORKER_TTL,
                maintenance_interval=MAINTENANCE_INTERVAL,
                job_monitoring_interval=5,
                log_job_description=False,
            )
            worker.life = life
            worker.work(logging_level="WARNING", with_scheduler=False)
        except (redis.RedisError, ValueError) as e:
            if not away:
                log.warning("Redis does not answer, trying again: %s", e)
                away = True
        if not (worker and worker.asked_to_stop):
            time.sleep(1.0)


def preload(queue: str) -> None:
    """Import what the jobs need before the fork, so that they start at once and share the memory."""
    for module in PRELOADED[queue]:
        importlib.import_module(module)
