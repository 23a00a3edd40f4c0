"""The three servers of one DLV_HOME, together: started, watched and stopped as one."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from embedded.arcadedb import ArcadeDB
from embedded.postgres import Postgres
from embedded.valkey import Valkey
from errors import Conflict
from settings import Settings

Server = Postgres | Valkey | ArcadeDB


class Taken(Conflict):
    """Another DLV already runs on this folder."""


class HomeLock:
    """One supervisor a folder. The kernel releases it when the process ends, however it ends."""

    def __init__(self, home: Path) -> None:
        self.path = home / "dlv.lock"
        self._file: IO[str] | None = None

    def take(self, about: str = "") -> None:
        """Raise :class:`Taken`, saying who has it, if somebody does. ``about`` is kept in the file for that."""
        make_home(self.path.parent)
        self._file = open(self.path, "a+")  # noqa: SIM115 - open for as long as we hold the lock
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            who = self._file.read().strip() or "another process"
            self._file.close()
            self._file = None
            raise Taken(
                f"DLV already runs on {self.path.parent} ({who}); it was left alone",
                field="DLV_HOME",
                hint="stop it first, or set another DLV_HOME and DLV_PORT to run a second one beside it",
            ) from None
        self.say(about)

    def say(self, about: str) -> None:
        """What a second start will be told, beside our process id."""
        assert self._file is not None
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"process {os.getpid()}{', ' + about if about else ''}\n")
        self._file.flush()

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def make_home(home: Path) -> None:
    """The folder of all data. As root others may pass it, because Postgres runs as nobody below it."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711 if os.geteuid() == 0 else 0o700)
    for name in ("run", "log", "secrets"):
        folder = home / name
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)


class Stack:
    """The embedded servers that ``settings`` does not point elsewhere."""

    def __init__(
        self,
        settings: Settings,
        *,
        postgres_options: dict[str, str] | None = None,
        databases: tuple[str, ...] = ("dlv",),
    ) -> None:
        self.home = settings.home
        self.given = settings
        self.postgres = None if settings.database_url else Postgres(self.home, options=postgres_options)
        self.valkey = None if settings.redis_url else Valkey(self.home)
        self.arcadedb = None if settings.graph_url else ArcadeDB(self.home, databases=databases)

    @property
    def servers(self) -> list[Server]:
        """In the order they start; the slowest first, because the others start while it warms up."""
        return [s for s in (self.arcadedb, self.postgres, self.valkey) if s is not None]

    def start(self) -> Settings:
        """Start all, and return the settings with the addresses filled in. Starts all or none."""
        make_home(self.home)
        started: list[Server] = []
        try:
            if self.arcadedb is not None:
                started.append(self.arcadedb)
                self.arcadedb.launch()
            for server in self.servers:
                if server is not self.arcadedb:
                    started.append(server)
                    server.start()
            if self.arcadedb is not None:
                self.arcadedb.wait(60)
        except BaseException:
            for server in reversed(started):
                server.stop()
            raise
        return self.settings

    @property
    def settings(self) -> Settings:
        s = self.given
        if self.postgres is not None:
            s = s.with_(database_url=self.postgres.url)
        if self.valkey is not None:
            s = s.with_(redis_url=self.valkey.url)
        if self.arcadedb is not None:
            s = s.with_(
                graph_url=self.arcadedb.url,
                graph_user=self.arcadedb.user,
                graph_password=self.arcadedb.password,
                graph_database=self.arcadedb.databases[0],
            )
        return s

    def known(self) -> Settings:
        """The settings of the servers that another process runs on this folder."""
        for server in self.servers:
            server.locate(running=True)
        return self.settings

    def stop(self) -> None:
        for server in (self.arcadedb, self.valkey, self.postgres):
            if server is not None:
                server.stop()
