"""`dlv up` as people and machines treat it: started twice, its children killed, itself killed, stopped."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import neo4j
import psycopg
import pytest
import redis

from settings import Settings
from tests.conftest import eventually
from tests.integration import processes
from tests.integration.processes import Dlv, Who

PARTS = ("web", "worker-fold", "worker-fold-2", "worker-project", "worker-check", "worker-alert", "scheduler")
SERVERS = ("postgres", "valkey", "arcadedb")


@pytest.fixture(params=["ourselves", "ordinary user"])
def who(request: pytest.FixtureRequest) -> Iterator[Who]:
    if request.param == "ourselves":
        yield processes.ourselves()
        return
    if os.geteuid() != 0:
        pytest.skip("we are an ordinary user already: 'ourselves' is this test")
    with processes.place("dlv-test-user-") as into:
        yield processes.ordinary_user(into)


@pytest.fixture
def folder() -> Iterator[Path]:
    with processes.place() as folder:
        yield folder


def _healthy(dlv: Dlv) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{dlv.port}/healthz", timeout=10) as answer:
        return bool(answer.status == 200)


def _write(known: Settings) -> None:
    with psycopg.connect(known.database_url) as conn:
        conn.execute("insert into setting (key, value) values ('kept', '1')")
    with redis.Redis.from_url(known.redis_url) as client:
        client.set("kept", "1")
    with _bolt(known) as driver:
        driver.execute_query("CREATE (n:Kept {a: 1})", database_=known.graph_database)


def _bolt(known: Settings) -> neo4j.Driver:
    return neo4j.GraphDatabase.driver(known.graph_url, auth=(known.graph_user, known.graph_password))


def test_started_killed_restarted_and_stopped(who: Who, folder: Path) -> None:
    home = folder / "home"
    first = Dlv(who, home, "up")
    second: Dlv | None = None
    try:
        said = first.wait_for("Ctrl-C stops it")
        assert f"DLV is at   http://127.0.0.1:{first.port}/" in said
        assert "sign in as  admin" in said and "password    " in said
        assert _healthy(first)
        _write(first.known())

        # a second start says so, and the first goes on
        other = Dlv(who, home, "up")
        assert other.ended() == 2
        assert f"DLV already runs on {home} (process {first.process.pid}" in other.said()
        assert "Traceback" not in other.said()
        assert _healthy(first)

        # children that die are started again, servers and ours alike
        before = {name: first.pid(name) for name in (*PARTS, *SERVERS)}
        for name in ("postgres", "valkey", "worker-fold", "web"):
            os.kill(before[name], signal.SIGKILL)
        for name in ("Postgres", "Valkey", "worker-fold", "web"):
            first.wait_for(f"{name} is up again")
            assert first.pid(name.lower()) != before[name.lower()]
        eventually(lambda: _survives(first), timeout=60)

        # the supervisor is killed: nothing is left behind, and the next start has everything
        family = first.family()
        assert len(family) > len(PARTS) + len(SERVERS)
        first.process.kill()
        first.process.wait()
        assert processes.gone(family) == []
        second = Dlv(who, home, "up")
        said = second.wait_for("Ctrl-C stops it")
        assert "password    " not in said
        known = second.known()
        with psycopg.connect(known.database_url) as conn:
            assert conn.execute("select value from setting where key = 'kept'").fetchone() == (1,)
        with _bolt(known) as driver:
            kept = driver.execute_query("MATCH (n:Kept) RETURN count(n) AS n", database_=known.graph_database)
        assert kept.records[0]["n"] == 1

        # Ctrl-C
        family = second.family()
        second.process.send_signal(signal.SIGINT)
        assert second.ended() == 0
        assert "stopped" in second.said()
        assert processes.gone(family, timeout=5) == []
        assert "Traceback" not in first.said() + second.said()
    finally:
        first.stop()
        if second is not None:
            second.stop()


def _survives(dlv: Dlv) -> bool:
    try:
        return _healthy(dlv)
    except OSError:
        return False


def test_pointed_elsewhere_nothing_is_embedded(settled: Settings, folder: Path) -> None:
    dlv = Dlv(
        processes.ourselves(),
        folder / "home",
        "up",
        DLV_DATABASE_URL=settled.database_url,
        DLV_REDIS_URL=settled.redis_url,
        DLV_GRAPH_URL=settled.graph_url,
        DLV_GRAPH_USER=settled.graph_user,
        DLV_GRAPH_PASSWORD=settled.graph_password,
        DLV_GRAPH_DATABASE=settled.graph_database,
        DLV_ADMIN_PASSWORD="correct horse battery staple",
    )
    try:
        said = dlv.wait_for("Ctrl-C stops it")
        assert "starting nothing embedded" in said
        assert "password    " not in said  # it was given
        assert _healthy(dlv)
        assert {p.name for p in (folder / "home" / "run").iterdir()} == {f"{n}.pid" for n in PARTS}
    finally:
        dlv.stop()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"DLV_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/lineage"},
            ["DLV_DATABASE_URL", "127.0.0.1:1/lineage"],
        ),
        ({"DLV_DATABASE_URL": "mysql://u:hidden@h/x"}, ["DLV_DATABASE_URL", "postgresql://"]),
        ({"DLV_REDIS_URL": "redis://:hidden@127.0.0.1:1/0"}, ["DLV_REDIS_URL", "127.0.0.1:1", "refused"]),
        (
            {"DLV_GRAPH_URL": "bolt://127.0.0.1:1", "DLV_GRAPH_PASSWORD": "hidden"},
            ["DLV_GRAPH_URL", "127.0.0.1:1"],
        ),
        ({"DLV_GRAPH_URL": "http://127.0.0.1:7474"}, ["DLV_GRAPH_URL", "bolt://"]),
        ({"DLV_PORT": "eighty"}, ["DLV_PORT", "'eighty'"]),
        ({"DLV_HOST": "192.0.2.1"}, ["DLV_HOST", "192.0.2.1"]),
        ({"DLV_HOME": "/proc/dlv"}, ["DLV_HOME", "/proc/dlv"]),
        ({"DLV_SECRET_KEY": "hidden"}, ["DLV_SECRET_KEY", "32"]),
    ],
    ids=lambda v: "-".join(v) if isinstance(v, dict) else "",
)
def test_a_wrong_setting_is_named_with_what_was_tried(
    settings: dict[str, str], words: list[str], folder: Path
) -> None:
    dlv = Dlv(processes.ourselves(), folder / "home", "up", **settings)
    try:
        assert dlv.ended() == 2
        said = dlv.said()
        for word in words:
            assert word in said
        assert "Traceback" not in said
        assert "hidden" not in said
    finally:
        dlv.stop()


def test_a_graph_that_refuses_the_password_is_named(settled: Settings, folder: Path) -> None:
    dlv = Dlv(
        processes.ourselves(),
        folder / "home",
        "up",
        DLV_GRAPH_URL=settled.graph_url,
        DLV_GRAPH_USER=settled.graph_user,
        DLV_GRAPH_PASSWORD="not this one",
    )
    try:
        assert dlv.ended() == 2
        assert "DLV_GRAPH_URL: tried" in dlv.said() and "DLV_GRAPH_PASSWORD" in dlv.said()
    finally:
        dlv.stop()


def test_a_taken_port_is_named(folder: Path) -> None:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        dlv = Dlv(processes.ourselves(), folder / "home", "up", DLV_PORT=str(port))
        try:
            assert dlv.ended() == 2
            assert "DLV_PORT" in dlv.said() and str(port) in dlv.said()
        finally:
            dlv.stop()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("web", "DLV_DATABASE_URL"),
        ("web", "DLV_REDIS_URL"),
        ("web", "DLV_GRAPH_URL"),
        ("web", "DLV_SECRET_KEY"),
        ("worker fold", "DLV_DATABASE_URL"),
        ("worker project", "DLV_GRAPH_URL"),
        ("worker check", "DLV_REDIS_URL"),
        ("scheduler", "DLV_REDIS_URL"),
    ],
)
def test_a_part_alone_names_the_setting_it_misses(command: str, name: str, folder: Path) -> None:
    given = {
        "DLV_DATABASE_URL": "postgresql://u@h/x", "DLV_REDIS_URL": "redis://h", "DLV_GRAPH_URL": "bolt://h",
        "DLV_SECRET_KEY": "x" * 32,
    }  # fmt: skip
    dlv = Dlv(
        processes.ourselves(),
        folder / "home",
        *command.split(),
        **{k: v for k, v in given.items() if k != name},
    )
    assert dlv.ended() == 2
    assert f"{name} is not set" in dlv.said()


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("migrate", "DLV_DATABASE_URL"),
        ("seed", "DLV_DATABASE_URL"),
        ("refold", "DLV_REDIS_URL"),
        ("admin create eve", "DLV_DATABASE_URL"),
        ("audit verify", "DLV_DATABASE_URL"),
        ("secrets status", "DLV_DATABASE_URL"),
        ("graph rebuild", "DLV_GRAPH_URL"),
    ],
)
def test_a_command_names_the_setting_that_leads_nowhere(
    command: str, wrong: str, settled: Settings, folder: Path
) -> None:
    given = {
        "DLV_DATABASE_URL": settled.database_url, "DLV_REDIS_URL": settled.redis_url,
        "DLV_GRAPH_URL": settled.graph_url, "DLV_GRAPH_USER": settled.graph_user,
        "DLV_GRAPH_PASSWORD": settled.graph_password,
    }  # fmt: skip
    nowhere = {
        "DLV_DATABASE_URL": "postgresql://u:hidden@127.0.0.1:1/x",
        "DLV_REDIS_URL": "redis://:hidden@127.0.0.1:1/0",
        "DLV_GRAPH_URL": "bolt://127.0.0.1:1",
    }
    dlv = Dlv(processes.ourselves(), folder / "home", *command.split(), **given | {wrong: nowhere[wrong]})
    assert dlv.ended() == 2
    assert f"{wrong}: tried" in dlv.said() and "127.0.0.1:1" in dlv.said()
    assert "hidden" not in dlv.said() and "Traceback" not in dlv.said()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root cannot use a folder below a closed one")
def test_root_is_told_that_nobody_cannot_reach_the_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    dlv = Dlv(processes.ourselves(), tmp_path / "home", "up")
    assert dlv.ended() == 2
    assert "DLV_HOME" in dlv.said() and "/var/lib/dlv" in dlv.said()


def test_admins_are_made_and_reset_beside_a_stopped_dlv(folder: Path) -> None:
    who = processes.ourselves()
    made = Dlv(who, folder / "home", "admin", "create", "eve", "--role", "viewer")
    assert made.ended() == 0, made.said()
    assert "eve (viewer), one-time password: " in made.said()
    again = Dlv(who, folder / "home", "admin", "create", "eve")
    assert again.ended() == 2 and "already a user 'eve'" in again.said()
    verified = Dlv(who, folder / "home", "audit", "verify")
    assert verified.ended() == 0 and "whole" in verified.said()
    assert not [n for n in (folder / "home" / "run").iterdir() if _alive(n)]


def _alive(note: Path) -> bool:
    return Path(f"/proc/{note.read_text().split()[0]}").exists()
