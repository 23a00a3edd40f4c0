"""Real servers for the integration tests: one stack for the whole run, shared by pytest-xdist's workers.

``record`` is a :class:`store.record.Record` on a database of its own, copied from a migrated template; ``graph`` is
a :class:`graph.driver.Graph` on an empty database of this worker's ArcadeDB; ``redis_url`` is an empty Valkey
database of this worker's; ``stack`` is the :class:`settings.Settings` that leads to all three.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
import redis
from neo4j_server import newest_left_out

import settings as settings_module
from embedded.stack import Stack
from settings import Settings

#: durability costs time and no test needs it (those that kill servers start their own)
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
TEMPLATE = "dlv_template"
GRAPHS = 8


_runs: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """In xdist's controller: remember which run's folder to remove once every worker has ended."""
    _runs.add(node.workerinput["testrunuid"])


def pytest_sessionfinish() -> None:
    for run in _runs:
        shutil.rmtree(_shared(run), ignore_errors=True)


def pytest_report_header() -> str:
    return newest_left_out()


REQUIRED = os.environ.get("DLV_TEST_REQUIRE") == "all"


def _refused(report: Any) -> None:
    """With DLV_TEST_REQUIRE=all a test may be skipped for one reason only: ../shared is no part of this repository."""
    if not (REQUIRED and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if "../shared" not in reason:
        report.outcome = "failed"
        report.longrepr = f"skipped, but DLV_TEST_REQUIRE=all: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    report = yield
    _refused(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    report = yield
    _refused(report)
    return report


def _shared(run: str) -> Path:
    return Path(f"/tmp/dlv-test-{run[:12]}")


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The running embedded servers, as settings with addresses.

    Under xdist the first worker that asks starts them and, at its end, waits for the others before it stops them.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if not run:
        home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-test-"))
        servers = Stack(_settings(home), postgres_options=FAST, databases=_databases())
        try:
            given = servers.start()
            _make_template(given)
            yield given
        finally:
            servers.stop()
            shutil.rmtree(home, ignore_errors=True)
        return
    shared = _shared(run)
    shared.mkdir(mode=0o711, exist_ok=True)
    told = shared / "told.json"
    users = open(shared / "users.lock", "a")  # noqa: SIM115 - held for the session
    own: Stack | None = None
    with open(shared / "start.lock", "a") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not told.exists():
            own = Stack(
                _settings(shared / uuid.uuid4().hex[:8]), postgres_options=FAST, databases=_databases()
            )
            given = own.start()
            _make_template(given)
            told.touch(mode=0o600)
            told.write_text(
                json.dumps(
                    {
                        "home": str(given.home),
                        "database_url": given.database_url,
                        "redis_url": given.redis_url,
                        "graph_url": given.graph_url,
                        "graph_user": given.graph_user,
                        "graph_password": given.graph_password,
                    }
                )
            )
        else:
            said = json.loads(told.read_text())
            given = _settings(Path(said.pop("home"))).with_(**said)
        fcntl.flock(users, fcntl.LOCK_SH)
    try:
        yield given
    finally:
        if own is not None:
            with open(shared / "start.lock", "a") as starting:
                fcntl.flock(
                    starting, fcntl.LOCK_EX
                )  # whoever comes now waits, then starts servers of its own
                fcntl.flock(users, fcntl.LOCK_UN)
                fcntl.flock(users, fcntl.LOCK_EX)
                told.unlink()
                own.stop()
                shutil.rmtree(own.home, ignore_errors=True)
        users.close()


@pytest.fixture
def database_url(stack: Settings) -> Iterator[str]:
    """A migrated, empty database of this test's own."""
    name = f"t_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(_on(stack.database_url, "postgres"), autocommit=True) as conn:
        conn.execute(f'create database "{name}" template "{TEMPLATE}"')
    try:
        yield _on(stack.database_url, name)
    finally:
        with psycopg.connect(_on(stack.database_url, "postgres"), autocommit=True) as conn:
            conn.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def record(database_url: str) -> Iterator[Any]:
    from store.record import Record

    r = Record(database_url)
    try:
        yield r
    finally:
        r.close()


@pytest.fixture
def redis_url(stack: Settings) -> Iterator[str]:
    """A Valkey database that only this xdist worker uses, empty."""
    mark = "&" if "?" in stack.redis_url else "?"
    url = f"{stack.redis_url}{mark}db={_worker() % 16}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    yield url


@pytest.fixture(scope="session")
def graph_settings(stack: Settings) -> Settings:
    """The settings with the ArcadeDB database that only this xdist worker uses."""
    return stack.with_(graph_database=_databases()[_worker() % len(_databases())])


@pytest.fixture(scope="session")
def _graph(graph_settings: Settings) -> Iterator[Any]:
    from graph.driver import connect

    s = graph_settings
    g = connect(s.graph_url, s.graph_user, s.graph_password, s.graph_database)
    try:
        yield g
    finally:
        g.close()


@pytest.fixture
def graph(_graph: Any) -> Any:
    """An empty graph on ArcadeDB; types and indexes of earlier tests may still be there."""
    wipe(_graph)
    return _graph


def wipe(g: Any) -> None:
    """Delete every node, some thousands at a time so that no transaction grows large."""
    while True:
        rows = g.write("MATCH (n) WITH n LIMIT 5000 DETACH DELETE n RETURN count(*) AS n")
        if not rows or not rows[0]["n"]:
            return


@pytest.fixture
def settled(stack: Settings, database_url: str, redis_url: str, graph_settings: Settings) -> Settings:
    """Settings for a whole DLV of this test's own: its database, its queues, its graph database."""
    return graph_settings.with_(
        database_url=database_url,
        redis_url=redis_url,
        secret_key="x" * 48,
        admin_password="correct horse battery",
    )


@pytest.fixture
def web(settled: Settings) -> Iterator[Any]:
    """The web process of this test's own, on real servers (:class:`tests.web.Web`)."""
    from tests.web import Web

    made = Web(settled)
    try:
        yield made
    finally:
        made.close()


def eventually(what: Any, *, timeout: float = 30.0, every: float = 0.05) -> Any:
    """Ask until the answer is true, and return it; the timeout only bounds a test that fails."""
    end = time.monotonic() + timeout
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"still {answer!r} after {timeout} s")
        time.sleep(every)


def _settings(home: Path) -> Settings:
    return settings_module.load({"DLV_HOME": str(home), "DLV_DEMO": "0"})


def _worker() -> int:
    return int("".join(c for c in os.environ.get("PYTEST_XDIST_WORKER", "gw0") if c.isdigit()) or 0)


def _databases() -> tuple[str, ...]:
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return tuple(f"test{n}" for n in range(min(workers, GRAPHS)))


def _on(url: str, database: str) -> str:
    return url.replace("@/dlv?", f"@/{quote(database)}?")


def _make_template(given: Settings) -> None:
    from store.partitions import ensure_ahead
    from store.record import Record, migrate

    with psycopg.connect(_on(given.database_url, "postgres"), autocommit=True) as conn:
        conn.execute(f'create database "{TEMPLATE}"')
    migrate(_on(given.database_url, TEMPLATE))
    record = Record(_on(given.database_url, TEMPLATE))
    ensure_ahead(record)
    record.close()
