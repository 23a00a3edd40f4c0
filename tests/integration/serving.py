"""DLV's web process as it really runs, `dlv web` on a port of its own, for tests that drive real clients.

``served_by_module`` is one for all tests of a file; ``served`` is the same with an empty record for each test. A test file
takes them by ``served, served_by_module = serving.served, serving.served_by_module``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from auth import keys as auth_keys
from embedded import child
from ingest.fold import fold_pending
from settings import Settings
from store import keys, partitions
from store.audit import SYSTEM
from store.record import Record, migrate

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"


@dataclass
class Served:
    """A web process that answers at ``base``, and the record behind it."""

    base: str
    settings: Settings
    record: Record
    log: Path
    process: subprocess.Popen[bytes]
    _keys: dict[str, str] = field(default_factory=dict)

    def key(self, producer: str = "a client", *scopes: str, environment: str | None = None) -> str:
        """An API key of this producer, made once; lineage:write where no scope is named."""
        if producer not in self._keys:
            key, hash_, prefix = auth_keys.new()
            with self.record.tx() as conn:
                keys.create(
                    conn, SYSTEM, producer, list(scopes or ("lineage:write",)), hash_, prefix,
                    environment=environment,
                )  # fmt: skip
            self._keys[producer] = key
        return self._keys[producer]

    def post(self, path: str, body: bytes, key: str, **headers: str) -> requests.Response:
        said = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return requests.post(self.base + path, data=body, headers=said | headers, timeout=30)

    def get(self, path: str, key: str, **params: Any) -> requests.Response:
        return requests.get(
            self.base + path, params=params, headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    def fold(self) -> int:
        """Fold until nothing waits, as a worker does; how many events that were."""
        n = 0
        while took := fold_pending(self.record):
            n += took
        aside = self.record.all("select error from event_pending where set_aside")
        assert not aside, aside
        return n

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def tables(self) -> list[str]:
        """Every table of the record; a partitioned one by its own name."""
        rows = self.record.all(
            "select relname from pg_class where relkind in ('r', 'p') and not relispartition "
            "and relnamespace = 'public'::regnamespace order by 1"
        )
        return [r["relname"] for r in rows]

    def empty(self) -> None:
        """Forget everything, keys too; the process goes on."""
        keep = {"schema_migration", "graph_state"}
        with self.record.tx() as conn:
            conn.execute(f"truncate {', '.join(t for t in self.tables() if t not in keep)}")
        self._keys.clear()


@contextmanager
def serving(
    settings: Settings, into: Path, *, log_level: str = "INFO", more: dict[str, str] | None = None
) -> Iterator[Served]:
    """`dlv web` with these settings and ``more`` of the environment, on a free port, until the block ends."""
    port = child.free_port()
    log = into / f"web-{port}.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DLV_", "PYTEST_", "OPENLINEAGE_"))}
    env |= {
        "DLV_HOME": str(into), "DLV_PORT": str(port), "DLV_DATABASE_URL": settings.database_url,
        "DLV_REDIS_URL": settings.redis_url, "DLV_GRAPH_URL": settings.graph_url,
        "DLV_GRAPH_USER": settings.graph_user, "DLV_GRAPH_PASSWORD": settings.graph_password,
        "DLV_GRAPH_DATABASE": settings.graph_database, "DLV_SECRET_KEY": "x" * 48, "DLV_LOG_LEVEL": log_level,
    } | (more or {})  # fmt: skip
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, ROOT / "cli.py", "web"], env=env, stdout=out, stderr=subprocess.STDOUT, cwd=into
        )
    record = Record(settings.database_url)
    served = Served(f"http://127.0.0.1:{port}", settings, record, log, process)
    try:
        _wait(served, process)
        yield served
    finally:
        record.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(served: Served, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            if requests.get(f"{served.base}/healthz", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        assert process.poll() is None, f"dlv web ended:\n{served.said()}"
        assert time.monotonic() < end, f"dlv web never answered:\n{served.said()}"
        time.sleep(0.1)


@contextmanager
def database(stack: Settings, migrated: bool = True) -> Iterator[str]:
    """The address of a database of one's own on the embedded Postgres."""
    name = f"t_{uuid.uuid4().hex[:16]}"
    url = stack.database_url.replace("@/dlv?", f"@/{name}?")
    with psycopg.connect(stack.database_url, autocommit=True) as conn:
        conn.execute(f'create database "{name}"')
    try:
        if migrated:
            migrate(url)
            record = Record(url)
            partitions.ensure_ahead(record)
            record.close()
        yield url
    finally:
        with psycopg.connect(stack.database_url, autocommit=True) as conn:
            conn.execute(f'drop database "{name}" with (force)')


@pytest.fixture(scope="module")
def served_by_module(
    stack: Settings, graph_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    # wake-ups go where no worker listens and no other test looks
    redis_url = f"{stack.redis_url}{'&' if '?' in stack.redis_url else '?'}db=15"
    with database(stack) as url:
        settings = graph_settings.with_(database_url=url, redis_url=redis_url)
        with serving(settings, tmp_path_factory.mktemp("web")) as s:
            yield s


@pytest.fixture
def served(served_by_module: Served) -> Served:
    served_by_module.empty()
    return served_by_module


# ---------------------------------------------------------------- other tools, in environments of their own


def environment(name: str, requirements: Path) -> Path:
    """``.cache/venv-NAME`` with these requirements: made where it is absent or of other pins; skips where it cannot be."""
    venv = CACHE / f"venv-{name}"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    mark = venv / "installed"
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / f"venv-{name}.lock", "w") as lock:  # two test processes may both come here
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_text() == wanted:
            return venv
        shutil.rmtree(venv, ignore_errors=True)
        try:
            run([sys.executable, "-m", "venv", venv])
            run([venv / "bin/pip", "install", "-q", "--disable-pip-version-check", "-r", requirements])
        except AssertionError as e:
            pytest.skip(f"no {name}: pip cannot install {requirements.name}: {str(e).splitlines()[-1]}")
        mark.write_text(wanted)
    return venv


def run(
    command: list[Any], *, env: dict[str, str] | None = None, cwd: Path | None = None, ok: bool = True
) -> str:
    """Run to the end; what it said. An AssertionError with all of it where it fails and ``ok`` is true."""
    done = subprocess.run(
        [str(c) for c in command], env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=600, check=False,
    )  # fmt: skip
    said = done.stdout.decode(errors="replace")
    assert not ok or done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{said[-6000:]}"
    return said


def clean_environment(**more: str) -> dict[str, str]:
    """Ours without DLV's, pytest's and OpenLineage's settings, and more."""
    skip = ("DLV_", "PYTEST_", "OPENLINEAGE_", "PYTHON", "VIRTUAL_ENV", "DBT_")
    return {k: v for k, v in os.environ.items() if not k.startswith(skip)} | more


# ---------------------------------------------------------------- the embedded Postgres, as other tools reach it


@dataclass(frozen=True)
class Shop:
    """A database of the embedded Postgres with a small shop in its schema ``raw``, by TCP on loopback."""

    port: int
    user: str
    password: str
    database: str
    url: str  # for psycopg: by the socket

    def environment(self) -> dict[str, str]:
        return {
            "SHOP_PORT": str(self.port), "SHOP_USER": self.user, "SHOP_PASSWORD": self.password,
            "SHOP_DATABASE": self.database,
        }  # fmt: skip

    def execute(self, query: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as conn:
            cur = conn.execute(query)
            return cur.fetchall() if cur.description else []


SHOP = """
create schema raw;
create table raw.orders (order_id bigint primary key, customer_id bigint, status text, placed_on date);
create table raw.customers (customer_id bigint primary key, full_name text, email text, country text);
create table raw.payments (payment_id bigint, order_id bigint, amount numeric(12,2));
insert into raw.orders values (1, 1, 'Placed', '2026-01-01'), (2, 2, 'Shipped', '2026-01-02');
insert into raw.customers values (1, 'Ada', 'ada@private.example', 'DE'), (2, 'Grace', 'grace@private.example', 'FR');
insert into raw.payments values (1, 1, 9.50), (2, 1, 0.50), (3, 2, 20);
"""


@contextmanager
def shop(stack: Settings) -> Iterator[Shop]:
    with database(stack, migrated=False) as url, _by_tcp(url) as port:
        parts = psycopg.conninfo.conninfo_to_dict(url)
        made = Shop(port, str(parts["user"]), str(parts["password"]), str(parts["dbname"]), url)
        made.execute(SHOP)
        yield made


@contextmanager
def _by_tcp(url: str) -> Iterator[int]:
    """A port on loopback that leads to the server of ``url``, which listens on a unix socket alone: JDBC knows no such."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    host, port = str(parts["host"]), int(str(parts["port"]))
    if not host.startswith("/"):
        yield port
        return
    target = f"{host}/.s.PGSQL.{port}"

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(target)
                back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
                back.start()
                _pump(self.request, there)
                back.join(5)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def _pump(a: socket.socket, b: socket.socket) -> None:
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


# ---------------------------------------------------------------- dbt


DBT = ROOT / "tests" / "data" / "dbt_project"


class Dbt:
    """dbt-ol on a copy of tests/data/dbt_project."""

    def __init__(self, shop: Shop, base: str, key: str, into: Path) -> None:
        self.venv = environment("dbt", DBT / "requirements.txt")
        self.project = into / "dbt_project"
        shutil.copytree(DBT, self.project)
        self.env = clean_environment(
            **shop.environment(), OPENLINEAGE_URL=base, OPENLINEAGE_API_KEY=key, OPENLINEAGE_NAMESPACE="dbt-test",
            DBT_PROFILES_DIR=str(self.project), DO_NOT_TRACK="1",
            PATH=f"{self.venv}/bin:{os.environ['PATH']}",
        )  # fmt: skip

    def run(self, *command: str, logs: bool, ok: bool = True) -> str:
        """`dbt-ol COMMAND`; ``logs``: its newer mode, which reads dbt's structured logs."""
        how = ["--consume-structured-logs"] if logs else []
        where = ["--project-dir", self.project, "--profiles-dir", self.project]
        return run([self.venv / "bin/dbt-ol", *how, *command, *where], env=self.env, cwd=self.project, ok=ok)
