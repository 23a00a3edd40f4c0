"""Connections over REST, and their secrets: sealed, only written, lost and found, and nowhere else to be seen."""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from listeners import Answer, closed_port, listening

import cli
from connections import opening, rotation, secrets
from connections.kinds import KINDS
from connections.secrets import Box, Lost, parse
from errors import NotFound
from settings import Settings
from store import channels, connections
from store.audit import SYSTEM, verify
from store.record import Record
from tests.web import Web

ROOT = Path(__file__).resolve().parents[2]
KEY = f"one:{'k' * 40}"
OTHER = f"two:{'m' * 40}"


@pytest.fixture
def settled(settled: Settings) -> Settings:
    return settled.with_(secrets_keys=KEY)


# ---------------------------------------------------------------- over REST


def postgres(**more: Any) -> dict[str, Any]:
    fields = {"host": "db.example.com", "database": "shop", "username": "reader"} | more
    return {"name": "Warehouse", "kind": "postgres", "fields": fields, "secrets": {"password": "pw-1"}}


def test_a_connection_is_made_read_changed_and_retired(web: Web) -> None:
    admin, client = web.bearer("admin"), web.client()

    def call(method: str, path: str, body: Any = None, **headers: str) -> Any:
        return client.open(f"/api/v1{path}", method=method, json=body, headers=admin | headers)

    kinds = call("GET", "/connection-kinds").json["items"]
    assert {k["name"] for k in kinds} == set(KINDS)
    made = call("POST", "/connections", postgres())
    assert made.status_code == 201, made.text
    row = made.json
    assert row["fields"] == {
        "host": "db.example.com",
        "port": 5432,
        "database": "shop",
        "username": "reader",
        "tls": "verified",
    }
    assert row["secrets"] == {"password": "set"} and row["version"] == 1
    assert call("POST", "/connections", postgres() | {"name": "wareHOUSE"}).status_code == 409
    assert call("GET", "/connections", None).json["items"] == [row | {"checks": 0}]

    path = f"/connections/{row['id']}"
    edited = call("PATCH", path, {"fields": {"database": "other"}, "version": 1}).json
    assert (edited["fields"]["database"], edited["fields"]["host"], edited["version"]) == (
        "other",
        "db.example.com",
        2,
    )
    late = call(
        "PATCH", path, {"fields": {"database": "third"}, "secrets": {"password": "x"}}, **{"If-Match": "1"}
    )
    assert late.status_code == 412
    assert late.json["error"]["changes"] == {
        "database": {"yours": "third", "theirs": "other"},
        "password": {"yours": "written anew", "theirs": "not shown"},
    }

    for change in (
        {"host": "evil.example"},
        {"port": 1},
        {"tls": "off"},
    ):  # where the password would be sent to
        moved = call("PATCH", path, {"fields": change, "version": 2})
        assert (moved.status_code, moved.json["error"]["field"]) == (422, "password"), change
        tried = {"kind": "postgres", "fields": edited["fields"] | change, "id": row["id"]}
        assert call("POST", "/connections/test", tried).json["error"]["field"] == "password"
    anew = call("PATCH", path, {"fields": {"port": 5433}, "secrets": {"password": "pw-2"}, "version": 2}).json
    assert anew["version"] == 3 and anew["secrets"] == {"password": "set"}
    assert call("PATCH", path, {"secrets": {"password": None}, "version": 3}).json["secrets"] == {}

    for wrong, field in (
        ({"fields": {"nix": 1}}, "nix"),
        ({"fields": {"password": "x"}}, "password"),
        ({"fields": {"port": "x"}}, "port"),
        ({"secrets": {"host": "x"}}, "host"),
        ({"secrets": {"password": "two\nlines"}}, "password"),
        ({"name": " "}, "name"),
    ):
        answer = call("PATCH", path, wrong | {"version": 4})
        assert (answer.status_code, answer.json["error"]["field"]) == (422, field), answer.text

    gone = call("DELETE", path)
    assert gone.json["retired_at"] and call("GET", "/connections").json["items"] == []
    assert call("POST", f"{path}/test").status_code == 404
    with web.record.tx() as conn, pytest.raises(NotFound):
        opening.open_link(conn, web.settings, UUID(row["id"]))
    assert call("PATCH", path, {"retired": False, "version": 5}).json["retired_at"] is None
    actions = [
        r["action"]
        for r in web.record.all(
            "select action from audit_log where object_id = %s order by seq", (row["id"],)
        )
    ]
    assert actions == ["connection.create", *["connection.edit"] * 5]
    assert verify(web.record) == (True, None)


def test_only_admins_see_or_try_them(web: Web) -> None:
    id_ = uuid4()
    for who in (web.bearer("responder"), web.key("read", name="r")):
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("GET", f"/{id_}"),
            ("POST", f"/{id_}/test"),
            ("POST", "/test"),
        ):
            assert (
                web.client()
                .open(f"/api/v1/connections{path}", method=method, headers=who, json={})
                .status_code
                == 403
            )
        assert web.client().get("/api/v1/connection-kinds", headers=who).status_code == 200


# ---------------------------------------------------------------- nowhere else


def planted(kind: str, port: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Fields that lead to ``port``, and a secret in every place that the kind has for one."""
    at = {"host": "127.0.0.1", "port": port, "database": "d", "username": "u", "tls": "off"}
    url = f"http://127.0.0.1:{port}"
    fields: dict[str, dict[str, Any]] = {
        "postgres": at,
        "mysql": at,
        "sqlite": {"path": "/srv/nix.db"},
        "kafka": {"bootstrap": f"127.0.0.1:{port}", "tls": "off", "sasl": "PLAIN", "username": "u"},
        "kafka_connect": {"url": url, "auth": "basic", "username": "u"},
        "airflow": {"url": url, "username": "u"},
        "spark": {"master_url": url, "history_url": url, "auth": "bearer"},
        "http": {"url": url, "auth": "header", "header": "X-Key"},
    }
    kept = {f.name: f"planted/{kind}/{f.name}+=" for f in KINDS[kind].secret if f.kind != "pem"}
    return fields[kind], {
        k: v for k, v in kept.items() if KINDS[kind].secret and _applies(kind, k, fields[kind])
    }


def _applies(kind: str, name: str, fields: dict[str, Any]) -> bool:
    plain = KINDS[kind].checked(fields)
    return next(f for f in KINDS[kind].secret if f.name == name).applies(plain)


def test_a_planted_secret_is_found_nowhere(
    web: Web,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In no answer, log, audit row or table, whichever way a test of the connection fails; what answers echoes all it was
    sent."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(opening, "STEP_SECONDS", 1.0)
    admin, said = web.bearer("admin"), []

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = web.client().open(f"/api/v1/connections{path}", method=method, json=body, headers=admin)
        said.append(answer.text)
        return answer.json

    def echo(asked: Any) -> Answer:
        text = f"{asked.headers} {asked.body!r}"
        return Answer(401, {"detail": text}, {"X-Echo": asked.headers.get("Authorization", "")})

    plants: set[str] = set()
    with listening(echo) as s:
        for kind in KINDS:
            for port in (s.port, closed_port()):
                fields, given = planted(kind, port)
                plants |= set(given.values())
                body = {"kind": kind, "fields": fields, "secrets": given}
                made = call("POST", "", body | {"name": f"{kind} {port}"})
                assert set(made["secrets"].values()) <= {"set"}
                assert not call("POST", f"/{made['id']}/test")["ok"]
                assert not call("POST", "/test", body)["ok"]
                call("PATCH", f"/{made['id']}", {"secrets": given, "version": 1})
                call(
                    "PATCH",
                    f"/{made['id']}",
                    {"secrets": dict.fromkeys(given, f"{next(iter(plants))}\nx"), "version": 1},
                )
        call("GET", "")
    assert len(plants) >= 7
    told = "\n".join(said) + caplog.text + "".join(capfd.readouterr()) + web.client().get("/metrics").text
    tables = web.record.all(
        "select relname from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        told += json.dumps(web.record.all(f"select t::text as line from {table['relname']} t"))
    assert "db" in told and "connection.try" in told  # what is looked through is not empty
    for plant in plants:
        for form in (
            plant,
            plant.replace("/", "%2F"),
            base64.b64encode(plant.encode()).decode(),
            base64.b64encode(f"u:{plant}".encode()).decode(),
        ):
            assert form not in told, form
    link_text = repr(web.record.one("select secrets from connection where kind = 'http' limit 1"))
    assert "planted" not in link_text


def test_a_link_hides_its_secrets(web: Web) -> None:
    with web.record.tx() as conn:
        made = opening.create(
            conn, SYSTEM, web.settings, "x", "postgres", postgres()["fields"], {"password": "p/w d"}
        )
        link = opening.open_link(conn, web.settings, made["id"])
    assert link.secret == {"password": "p/w d"} and "p/w d" not in repr(link)
    assert link.hide("bad: p/w d, p%2Fw%20d, cmVhZGVyOnAvdyBk") == "bad: (hidden), (hidden), (hidden)"


# ---------------------------------------------------------------- keys


def _two(record: Record, settings: Settings) -> tuple[UUID, UUID]:
    """A connection and a channel with a secret each."""
    channel = uuid4()
    with record.tx() as conn:
        made = opening.create(
            conn, SYSTEM, settings, "Warehouse", "postgres", postgres()["fields"], {"password": "pw-1"}
        )
        sealed = secrets.box(settings).seal_all(f"channel:{channel}", {"url": "https://hooks.example/pw-2"})
        channels.create(conn, SYSTEM, channel, "On call", "slack", {}, sealed)
    return made["id"], channel


def opened(record: Record, settings: Settings, ids: tuple[UUID, UUID]) -> tuple[str, str]:
    box = secrets.box(settings)
    with record.tx() as conn:
        rows = {r["id"]: r for r in connections.all_sealed(conn)}
    one = box.open_all(f"connection:{ids[0]}", rows[ids[0]]["secrets"])
    two = box.open_all(f"channel:{ids[1]}", rows[ids[1]]["secrets"])
    return one["password"], two["url"]


def test_rotation_seals_all_anew_in_one_transaction(record: Record, stack: Settings) -> None:
    old = stack.with_(secrets_keys=KEY)
    ids = _two(record, old)
    both = old.with_(secrets_keys=f"{OTHER} {KEY}")
    with pytest.raises(RuntimeError), record.tx() as conn:
        rotation.rotate(conn, SYSTEM, secrets.box(both))
        raise RuntimeError("the machine stops here")
    assert opened(record, old, ids) == ("pw-1", "https://hooks.example/pw-2")
    with record.tx() as conn:
        done = rotation.rotate(conn, SYSTEM, secrets.box(both))
    assert (done.key, done.secrets, done.connections, done.channels) == ("two", 2, 1, 1)
    assert opened(record, old.with_(secrets_keys=OTHER), ids) == ("pw-1", "https://hooks.example/pw-2")
    with record.tx() as conn:
        assert rotation.rotate(conn, SYSTEM, secrets.box(both)).secrets == 0
    said = record.all("select after, object_id from audit_log where action = 'secrets.rotate'")
    assert [(r["object_id"], r["after"]) for r in said] == [
        ("two", {"key": "two", "sealed": 2, "connections": 1, "channels": 1})
    ]


def test_what_is_lost_stays_and_the_rest_goes_on(record: Record, stack: Settings) -> None:
    ids = _two(record, stack.with_(secrets_keys=KEY))
    now = stack.with_(secrets_keys=OTHER)
    with record.tx() as conn:
        good = opening.create(
            conn, SYSTEM, now, "Other", "postgres", postgres()["fields"], {"password": "pw-3"}
        )
    (line,) = rotation.lost_at_start(record, now)
    for word in (
        "1 connection and 1 channel",
        "'one'",
        "Warehouse",
        "On call",
        "DLV_SECRETS_KEYS",
        "write these secrets anew",
    ):
        assert word in line, line
    with record.tx() as conn:
        assert opening.open_link(conn, now, good["id"]).secret == {"password": "pw-3"}
        with pytest.raises(Lost, match="'one'"):
            opening.open_link(conn, now, ids[0])
        done = rotation.rotate(conn, SYSTEM, secrets.box(now))
        assert done.secrets == 0 and set(done.lost.lost) == {"one"}
    assert opened(record, stack.with_(secrets_keys=f"{OTHER} {KEY}"), ids)[0] == "pw-1"  # the key came back
    assert rotation.lost_at_start(record, stack.with_(secrets_keys=f"{OTHER} {KEY}")) == []
    with record.tx() as conn:  # or it is written anew
        opening.edit(conn, SYSTEM, now, ids[0], {"secrets": {"password": "pw-4"}}, None)
        assert opening.open_link(conn, now, ids[0]).secret == {"password": "pw-4"}


def test_a_swapped_secret_opens_nowhere(record: Record, stack: Settings) -> None:
    """Whoever can write into the record cannot have one connection use another's password."""
    s = stack.with_(secrets_keys=KEY)
    with record.tx() as conn:
        a = opening.create(conn, SYSTEM, s, "a", "postgres", postgres()["fields"], {"password": "pw-a"})
        b = opening.create(conn, SYSTEM, s, "b", "postgres", postgres()["fields"], {"password": "pw-b"})
        conn.execute(
            "update connection set secrets = (select secrets from connection where id = %s) where id = %s",
            (a["id"], b["id"]),
        )
        with pytest.raises(Lost):
            opening.open_link(conn, s, b["id"])


def test_the_commands(
    record: Record, database_url: str, stack: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{KEY}\n")
    for name, value in {
        "DLV_HOME": str(tmp_path),
        "DLV_DATABASE_URL": database_url,
        "DLV_SECRETS_KEYS_FILE": str(keys),
    }.items():
        monkeypatch.setenv(name, value)
    ids = _two(record, stack.with_(secrets_keys=KEY))

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli.dlv, ["secrets", *words])
        assert done.exit_code == code, done.output
        assert "k" * 40 not in done.output
        return done.output

    assert run("status") == "one: seals 2 secrets, and new ones\n"
    said = run("rotate", "--new-key")
    new = keys.read_text().split()[0].partition(":")[0]
    assert said == f"sealed 2 secrets anew under {new}, of 1 connections and 1 channels\n"
    assert keys.stat().st_mode & 0o077 == 0
    assert list(parse(keys.read_text())) == [new, "one"]
    assert "seals what is new" in run("forget", "one", code=0) or list(parse(keys.read_text())) == [new]
    run("forget", new, code=2)
    assert opened(record, stack.with_(secrets_keys_file=str(keys)), ids)[0] == "pw-1"
    keys.write_text(f"{OTHER}\n")
    assert f"the key '{new}' they were sealed with is missing" in run("status", code=1)
    assert "1 connection and 1 channel" in run("rotate", code=1)
    monkeypatch.setenv("DLV_SECRETS_KEYS", OTHER)
    assert "a command cannot write" in run("rotate", "--new-key", code=2)


def test_a_worker_that_starts_says_what_is_lost_and_goes_on(
    record: Record, database_url: str, redis_url: str, stack: Settings, tmp_path: Path
) -> None:
    _two(record, stack.with_(secrets_keys=KEY))
    env = {k: v for k, v in os.environ.items() if not k.startswith("DLV_")} | {
        "DLV_HOME": str(tmp_path), "DLV_DATABASE_URL": database_url, "DLV_REDIS_URL": redis_url, "DLV_SECRETS_KEYS": OTHER,
    }  # fmt: skip
    log = tmp_path / "said"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, ROOT / "cli.py", "worker", "check"], env=env, stdout=out, stderr=out
        )
        try:
            end = time.monotonic() + 60
            while (
                "cannot be opened" not in log.read_text()
                and process.poll() is None
                and time.monotonic() < end
            ):
                time.sleep(0.1)
            assert (
                "the key 'one' they were sealed with is missing (Warehouse, On call)"
                in log.read_text().replace("On call, Warehouse", "Warehouse, On call")
            )
            time.sleep(0.5)
            assert process.poll() is None, log.read_text()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    env["DLV_SECRETS_KEYS"] = "short"
    refused = subprocess.run(
        [sys.executable, ROOT / "cli.py", "worker", "check"],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert refused.returncode == 2 and "DLV_SECRETS_KEYS: entry 1 does not read id:key" in refused.stderr


def test_without_a_key_only_secrets_are_refused(record: Record, stack: Settings) -> None:
    with record.tx() as conn:
        opening.create(conn, SYSTEM, stack, "open", "http", {"url": "http://h"}, {})
        with pytest.raises(secrets.NoKey):
            opening.create(conn, SYSTEM, stack, "shut", "postgres", postgres()["fields"], {"password": "x"})
    assert Box().first is None
