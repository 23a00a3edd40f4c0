"""Doing a small thing soon, off the request, at most once in a while."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

log = logging.getLogger("dlv.web")


class Background:
    """Calling it asks a thread of this process to do the thing; many calls at once are one."""

    def __init__(self, thing: Callable[[], object], every: float = 0.25) -> None:
        self._thing = thing
        self._every = every
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._pid = 0

    def __call__(self) -> None:
        if self._pid != os.getpid():  # a fork does not take threads along
            self._start()
        self._asked.set()

    def _start(self) -> None:
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            threading.Thread(target=self._loop, name="dlv-waker", daemon=True).start()

    def _loop(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            try:
                self._thing()
            except Exception:
                log.warning("could not wake the worker", exc_info=True)
            time.sleep(self._every)
