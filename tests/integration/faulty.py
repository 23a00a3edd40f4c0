"""A small DLV of real processes on servers of its own, which tests may kill: Postgres, Valkey, scheduler, workers, and
targets that answer or hang. For tests of faults."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import requests
from scheduling import add_node

import settings as settings_module
from checks import edits, schedule
from connections import opening
from embedded import child
from embedded.postgres import Postgres
from embedded.stack import make_home
from embedded.valkey import Valkey
from errors import RecordAway
from settings import Settings
from store import partitions, slots
from store.audit import SYSTEM
from store.record import Record, migrate
from tests.conftest import eventually
from tests.integration import processes
from workers.supervise import child_environment

#: faults last as long as the issue names, where this is set; else they are short
LONG = bool(os.environ.get("DLV_TEST_LONG"))
#: seconds in which every slot has settled once a fault is over
SETTLES = 120
#: seconds in which every process works again once a store that was away is back
RECOVERS = 60
#: what gives signs of life
PARTS = ("scheduler", "web", "fold", "project", "check", "alert")


def lasting(short: float, long: float) -> float:
    return long if LONG else short


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def answering() -> Iterator[str]:
    """A target that is well; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]  # who looks may be killed
    server.request_queue_size = 256
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def hanging() -> Iterator[str]:
    """A target that accepts and never answers; its address."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    open_: list[socket.socket] = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                open_.append(listener.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        listener.close()
        for s in open_:
            s.close()


class Stage:
    """Servers that may be killed, and the processes of DLV on them."""

    def __init__(self, home: Path) -> None:
        make_home(home)
        self.home = home
        self.postgres = Postgres(home)
        self.valkey = Valkey(home)
        self.postgres.start()
        self.valkey.start()
        migrate(self.postgres.url)
        self.settings: Settings = settings_module.load({"DLV_HOME": str(home), "DLV_DEMO": "0"}).with_(
            database_url=self.postgres.url,
            redis_url=self.valkey.url,
            secret_key="x" * 48,
            graph_url="bolt://127.0.0.1:1",
        )
        self.record = Record(self.postgres.url)
        partitions.ensure_ahead(self.record)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = 0
        self.began: dict[UUID, datetime] = {}

    def close(self) -> None:
        self.stop()
        self.record.close()
        self.valkey.stop()
        self.postgres.stop()

    # ---- processes

    def start(self, *command: str, **settings: Any) -> subprocess.Popen[bytes]:
        """`dlv COMMAND`; what it says goes to the stage's log."""
        with open(self.home / "log" / "said.log", "ab") as out:
            process = subprocess.Popen(
                [sys.executable, processes.ROOT / "cli.py", *command],
                env=child_environment(self.settings.with_(**settings)),
                cwd=processes.ROOT,
                stdout=out,
                stderr=out,
            )
        self.processes.append(process)
        return process

    def start_all(self) -> list[subprocess.Popen[bytes]]:
        """Every part of DLV, once; until each has given a sign of life and the web says that all work."""
        self.port = child.free_port()
        started = [self.start("scheduler"), self.start("web", port=self.port)]
        started += [self.start("worker", queue) for queue in ("fold", "project", "check", "alert")]
        self.lives(90)
        return started

    def lives(self, within: float = RECOVERS) -> None:
        """Until every part has given a sign of life that is newer than this call, and the web says that all work: all
        but the graph and what keeps it, for here is none."""
        since = eventually(self._now, timeout=within)
        end = time.monotonic() + within

        def missing() -> str:
            try:
                rows = self.record.all("select part from part_beat where at > %s", (since,))
                said = requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=10).json()
            except (RecordAway, OSError) as e:
                return repr(e)
            still = set(PARTS) - {r["part"] for r in rows}
            bad = {n for n, p in said["parts"].items() if not p["ok"]} - {"graph", "projector"}
            return f"no sign of life: {still}, not ready: {bad}" if still or bad or not said["ready"] else ""

        while why := missing():
            assert time.monotonic() < end, why
            time.sleep(0.2)

    def _now(self) -> datetime | None:
        with contextlib.suppress(RecordAway):
            row = self.record.one("select dlv_now() as now")
            return row["now"] if row else None
        return None

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.clear()

    def horses(self) -> list[psutil.Process]:
        """The work horses of the workers that run."""
        found = []
        for process in self.processes:
            if process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += psutil.Process(process.pid).children()
        return found

    def said(self) -> str:
        return (self.home / "log" / "said.log").read_text(errors="replace")

    # ---- checks

    def checks(
        self, n: int, address: str, *, apart: bool = False, every: int = 10, **config: Any
    ) -> list[UUID]:
        """``n`` checks of an address; ``apart``: each through a connection of its own, else through none that is
        shared by more than two."""
        made = []
        with self.record.tx() as conn:
            node = add_node(conn, f"target {time.monotonic_ns()}")
            link = None
            for k in range(n):
                if apart or k % 2 == 0:
                    link = opening.create(
                        conn,
                        SYSTEM,
                        self.settings,
                        f"link {time.monotonic_ns()}",
                        "http",
                        {"url": address},
                        {},
                    )["id"]
                made.append(
                    edits.create(
                        conn,
                        SYSTEM,
                        {
                            "kind": "http", "name": f"check {k}", "node_id": node, "connection_id": link,
                            "every_seconds": every, "config": config,
                        },
                    )
                )  # fmt: skip
        self.began |= {c["id"]: c["next_slot_at"] for c in made}
        return [c["id"] for c in made]

    def looked(self, n: int = 1) -> None:
        """Until so many more slots have ended than had."""
        before = self.count()
        eventually(lambda: self.count() >= before + n, timeout=90)

    def count(self) -> int:
        row = self.record.one("select count(*) as n from check_result where status = 'ok'")
        assert row is not None
        return int(row["n"])

    def end(self) -> dict[str, int]:
        """No slot is made any more; once all have settled: every slot that was due ended exactly once. How many ended
        as what."""
        with self.record.tx() as conn:
            conn.execute("select 1 from health_check order by id for update")
            slots.due(conn, checks=list(self.began))
            row = conn.execute("select dlv_now() as now").fetchone()
            assert row is not None
            conn.execute("update health_check set next_slot_at = null")
        eventually(
            lambda: (
                not self.record.all("select 1 from check_slot union all select 1 from check_missed limit 1")
            ),
            timeout=SETTLES,
        )
        wanted = set()
        for id_, at in self.began.items():
            every = 10
            while at <= row["now"]:
                wanted.add((id_, at))
                at += timedelta(seconds=every)
        rows = self.record.all("select check_id, slot_at, status from check_result")
        # a check that is made looks at once, too, beside its rhythm
        assert {(r["check_id"], r["slot_at"]) for r in rows if not r["slot_at"].microsecond} == wanted
        assert len([r for r in rows if r["slot_at"].microsecond]) == len(self.began)
        ended: dict[str, int] = {}
        for r in rows:
            ended[r["status"]] = ended.get(r["status"], 0) + 1
        return ended

    def empty(self) -> None:
        """Forget all checks and what became of them."""
        self.began.clear()
        with self.record.tx() as conn:
            conn.execute(
                """truncate health_check, check_state, check_slot, check_missed, check_look, check_result, check_rollup,
                            part_beat, own_gap, transition, transition_pending, node, alias, connection, audit_log cascade"""
            )
            conn.execute(
                "create or replace function dlv_now() returns timestamptz language sql stable as 'select now()'"
            )

    def move_clock(self, span: str) -> None:
        with self.record.tx() as conn:
            conn.execute(
                f"create or replace function dlv_now() returns timestamptz language sql stable as $$select now() + interval '{span}'$$"
            )

    def gaps(self) -> list[str]:
        return [
            r["reason"]
            for r in self.record.all("select reason from own_gap where part = 'scheduler' order by id")
        ]


@contextmanager
def stage() -> Iterator[Stage]:
    with processes.place() as folder:
        made = Stage(folder / "home")
        try:
            yield made
        finally:
            made.close()


def slot_before(at: datetime, id_: UUID, every: int = 10) -> datetime:
    return schedule.slot_before(at, every, schedule.offset_of(id_, every))
