"""`dlv up`: the embedded servers, the web, the workers and the scheduler as children of one supervisor.

One thread, no state but what the processes are. The supervisor must start children from its main thread: the
kernel ends them when that thread ends, however it ends.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from embedded import child
from embedded.stack import Server, Stack
from errors import BadSetting, DlvError
from settings import Settings, to_env

ROOT = Path(__file__).resolve().parent.parent
#: seconds between two looks at the children
LOOK_EVERY = 0.2
#: seconds before the first restart; doubled at each further one, up to the last
BACKOFF_FIRST, BACKOFF_LAST = 0.5, 30.0
#: a child that ran this long is healthy again
SETTLED_SECONDS = 60.0
TRIM_EVERY = 30.0

Say = Callable[[str], None]


@dataclass
class Part:
    """One child and how it is started and stopped."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stop_signal: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    next_try: float = 0.0
    pids: list[int] = field(default_factory=list)

    def begin(self) -> None:
        self.process = self.start()
        self.started_at = time.monotonic()

    def backoff(self) -> float:
        return float(min(BACKOFF_LAST, BACKOFF_FIRST * 2**self.failures))


class Supervisor:
    """Starts parts in order, restarts those that end, stops them in the opposite order."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self.stack = stack
        self.say = say
        self.servers: list[tuple[Part, Server]] = []
        self.parts: list[Part] = []
        self.settings = stack.given

    # ---- servers

    def adopt_servers(self) -> None:
        """After the stack came up: watch its processes too."""
        self.settings = self._with_addresses()
        for server in self.stack.servers:
            part = Part(_server_name(server), _restart(server), signal.SIGTERM, server.log)
            part.process = server.process
            part.started_at = time.monotonic()
            self.servers.append((part, server))

    def _with_addresses(self) -> Settings:
        mine = self.settings
        return self.stack.settings.with_(secret_key=mine.secret_key, secrets_keys_file=mine.secrets_keys_file)

    # ---- our own processes

    def add(self, name: str, *command: str, on_parent_death: int = signal.SIGKILL) -> Part:
        """Start `dlv COMMAND` as a child that knows the settings.

        Where we are killed it is killed too: the stores go at the same moment, so there is nothing left to wait
        for, and every step of a worker is a transaction.
        """
        home = self.settings.home
        log = home / "log" / f"{name}.log"

        def start() -> subprocess.Popen[bytes]:
            note = home / "run" / f"{name}.pid"
            child.clear_left(note, patience=5)
            return child.start(
                [sys.executable, ROOT / "cli.py", *command],
                log=log,
                note=note,
                env=child_environment(self.settings),
                on_parent_death=on_parent_death,
            )

        part = Part(name, start, signal.SIGTERM, log)
        part.begin()
        self.parts.append(part)
        return part

    # ---- watching

    def watch(self, stop: Callable[[], bool]) -> None:
        """Until ``stop`` says so: restart what ended."""
        trim_at = time.monotonic() + TRIM_EVERY
        while not stop():
            for part, server in self.servers:
                self._look(part, server)
            for part in self.parts:
                self._look(part, None)
            if time.monotonic() > trim_at:
                trim_at = time.monotonic() + TRIM_EVERY
                for log in sorted((self.settings.home / "log").glob("*.log")):
                    child.trim(log)
            time.sleep(LOOK_EVERY)

    def _look(self, part: Part, server: Server | None) -> None:
        now = time.monotonic()
        if part.process is not None:
            if part.process.poll() is None:
                if part.failures and now - part.started_at > SETTLED_SECONDS:
                    part.failures = 0
                return
            code = part.process.returncode
            part.process = None
            wait = part.backoff()
            part.next_try = now + wait
            part.failures += 1
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            self.say(f"{part.name} {how}; restarting in {wait:.1f} s (log: {part.log})")
        if now < part.next_try:
            return
        try:
            part.begin()
        except (DlvError, OSError) as e:
            part.process = None
            wait = part.backoff()
            part.failures += 1
            part.next_try = time.monotonic() + wait
            self.say(f"{part.name} did not start; again in {wait:.1f} s: {str(e).splitlines()[0]}")
            return
        self.say(f"{part.name} is up again")
        if server is not None and self._with_addresses() != self.settings:
            self.settings = self._with_addresses()
            self.say("an address changed; restarting web, workers and scheduler")
            for p in self.parts:
                if p.process is not None:
                    child.stop(p.process, p.stop_signal, 10)
                p.begin()

    # ---- stopping

    def stop(self) -> None:
        """First what uses the servers, all at once; then the servers."""
        live = [p.process for p in self.parts if p.process is not None and p.process.poll() is None]
        for process in live:
            process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 10
        for process in live:
            child.stop(process, 0, max(0.1, end - time.monotonic()))
        self.stack.stop()


def _restart(server: Server) -> Callable[[], subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        server.start()
        assert server.process is not None
        return server.process

    return start


def _server_name(server: Server) -> str:
    return type(server).__name__


def child_environment(settings: Settings) -> dict[str, str]:
    """The caller's environment with our settings in place of its own; the admin's password stays with us."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DLV_")}
    told = to_env(settings)
    told.pop("DLV_ADMIN_PASSWORD", None)
    env.update(told)
    env["PYTHONUNBUFFERED"] = "1"
    return env


def check_port(settings: Settings) -> None:
    """Raise :class:`BadSetting` where the address to serve on cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((settings.host, settings.port))
    except OSError as e:
        name = "DLV_PORT" if isinstance(e, PermissionError) or e.errno == 98 else "DLV_HOST"
        raise BadSetting(
            f"{name}: cannot listen on {settings.host}:{settings.port}: {e.strerror or e}",
            field=name,
            hint="another program listens there; set DLV_PORT to a free port"
            if name == "DLV_PORT"
            else "DLV_HOST is an address of this machine, e.g. 127.0.0.1 or 0.0.0.0",
        ) from None


def wait_for_web(settings: Settings, part: Part, timeout: float = 60.0) -> None:
    """Until /healthz answers 200."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104 - compared, not bound
    assert part.process is not None

    def ready() -> str | None:
        connection = http.client.HTTPConnection(host, settings.port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
            return None if status == 200 else f"/healthz answers {status}"
        except (OSError, http.client.HTTPException) as e:
            return str(e)
        finally:
            connection.close()

    child.wait_ready(part.process, ready, name="web", log=part.log, timeout=timeout)
