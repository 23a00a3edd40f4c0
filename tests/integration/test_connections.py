"""Connections on real servers: how far one comes, in which words, read-only, and past which addresses not."""

from __future__ import annotations

import json
import socket
import socketserver
import sqlite3
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import mariadb_server
import pytest
import serving
import sqlalchemy as sa
from certificates import Authority, Pair
from confluent_kafka.admin import AdminClient
from kafka.protocol.metadata import ApiVersionsRequest
from listeners import Answer, Asked, closed_port, listening, silent

from connections import airflow, guard, http, kafka, kind, ladder, spark, sql
from connections.guard import Guard, Refused
from connections.kind import Kind
from connections.kinds import KINDS
from connections.link import Link
from errors import Invalid
from settings import Settings

mariadb = mariadb_server.mariadb
SECRET = "s3cret/of+this=test"


def link(of: str, fields: dict[str, Any], secret: dict[str, str] | None = None, **how: Any) -> Link:
    how.setdefault("guard", Guard())
    return Link(
        uuid4(), "a connection", of, KINDS[of].checked(fields), secret=secret or {}, timeout=4.0, **how
    )


def tried(kind: str, fields: dict[str, Any], secret: dict[str, str] | None = None, **how: Any) -> kind.Tested:
    return KINDS[kind].test(link(kind, fields, secret, **how))


def failed(done: kind.Tested, step: str, *words: str) -> None:
    """It failed at this step, in these words, with something to do about it."""
    assert (done.ok, done.step) == (False, step), done
    said = f"{done.message} | {done.hint}"
    assert all(w in said for w in words) and done.hint, said
    states = dict(done.steps)
    at = list(states).index(step)
    assert list(states.values())[at] == "failed"
    assert set(list(states.values())[:at]) <= {"ok", "skipped"}
    assert set(list(states.values())[at + 1 :]) <= {"open"}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


# ---------------------------------------------------------------- Postgres


@pytest.fixture(scope="module")
def shop(stack: Settings) -> Iterator[serving.Shop]:
    with serving.shop(stack) as made:
        yield made


def postgres(shop: serving.Shop, **change: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1", "port": shop.port, "database": shop.database, "username": shop.user, "tls": "off",
    } | change  # fmt: skip


def test_postgres_is_read_only_and_ends_statements(
    shop: serving.Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 1)
    with sql.connection(link("postgres", postgres(shop), {"password": shop.password})) as c:
        assert c.execute(sa.text("select count(*) from raw.orders")).scalar_one() == 2
        c.rollback()
        with pytest.raises(sa.exc.InternalError, match="read-only"):
            c.execute(sa.text("insert into raw.orders values (9)"))
        c.rollback()
        with pytest.raises(sa.exc.OperationalError, match="statement timeout"):
            c.execute(sa.text("select pg_sleep(20)"))


def test_postgres_says_how_far_it_came(shop: serving.Shop) -> None:
    good = {"password": shop.password}
    done = tried("postgres", postgres(shop), good)
    assert done.ok and "3 tables and views" in done.message
    assert dict(done.steps) == {
        "name": "ok",
        "route": "ok",
        "tls": "skipped",
        "sign-in": "ok",
        "permission": "ok",
    }
    shop.execute(
        "do $$ begin if not exists (select 1 from pg_roles where rolname = 'nothing_to_see') then "
        f"create role nothing_to_see login password '{SECRET}'; end if; end $$"
    )
    failed(
        tried("postgres", postgres(shop), {"password": "wrong"}), "sign-in", "password of dlv is not right"
    )
    failed(tried("postgres", postgres(shop)), "sign-in", "password of dlv is not right")
    failed(tried("postgres", postgres(shop, username="nobody_here"), good), "sign-in", "nobody_here")
    failed(tried("postgres", postgres(shop, database="nix"), good), "permission", "no database nix")
    hidden = tried("postgres", postgres(shop, username="nothing_to_see"), {"password": SECRET})
    failed(hidden, "permission", "may read none of its 3 tables", "GRANT")
    failed(tried("postgres", postgres(shop, tls="verified"), good), "tls", "does not offer TLS", "ssl = on")
    failed(tried("postgres", postgres(shop, port=closed_port()), good), "route", "nothing listens on port")
    failed(tried("postgres", postgres(shop, host="no-such-host.invalid"), good), "name", "does not resolve")


@pytest.mark.parametrize(
    "name", ["sslkeylogfile", "passfile", "service", "options", "hostaddr", "dsn", "sslrootcert"]
)
def test_what_only_libpq_knows_is_no_field(shop: serving.Shop, name: str) -> None:
    with pytest.raises(Invalid) as e:
        KINDS["postgres"].checked(postgres(shop) | {name: "/tmp/x"})
    assert e.value.field == name


@pytest.mark.parametrize(
    "host", ["/var/run/postgresql", "@abstract", "a,b", "h?x=1", "u@h", "h:5432", "h/db", "h h", ""]
)
def test_a_host_is_a_name_or_an_address(shop: serving.Shop, host: str) -> None:
    with pytest.raises(Invalid) as e:
        KINDS["postgres"].checked(postgres(shop) | {"host": host})
    assert e.value.field == "host"


def test_own_stores_are_refused(shop: serving.Shop) -> None:
    own = Guard(own=(("localhost", shop.port),))
    for host in ("127.0.0.1", "localhost", "127.0.0.5", "2130706433"):
        failed(tried("postgres", postgres(shop, host=host), guard=own), "route", "DLV's own stores")
    with pytest.raises(Refused), sql.connection(link("postgres", postgres(shop), guard=own)):
        pass


def test_a_connection_does_not_look_into_files_of_whoever_runs_dlv(
    shop: serving.Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A password that libpq would find by itself (~/.pgpass, PGPASSFILE) is not used."""
    found = tmp_path / "pgpass"
    found.write_text(f"*:*:*:*:{shop.password}\n")
    found.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(found))
    monkeypatch.setenv("PGPASSWORD", "")
    failed(tried("postgres", postgres(shop)), "sign-in", "password")


@contextmanager
def with_tls(port: int, pair: Pair, into: Path, clients: str = "") -> Iterator[int]:
    """A port that speaks TLS as a Postgres does and passes all on to the one at ``port``: the embedded build has no TLS.
    ``clients``: PEM of the authority that must have signed the client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.put(into, "postgres"))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(8) != struct.pack("!ii", 8, 80877103):
                return  # somebody who only looks whether the port is open
            self.request.sendall(b"S")
            try:
                inside = context.wrap_socket(self.request, server_side=True)
            except (ssl.SSLError, OSError):
                return
            with inside, socket.create_connection(("127.0.0.1", port)) as there:
                threading.Thread(target=serving._pump, args=(there, inside), daemon=True).start()
                serving._pump(inside, there)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Relay) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def test_postgres_with_tls(shop: serving.Shop, authority: Authority, tmp_path: Path) -> None:
    """The name stays for the certificate, whatever address was connected to."""
    good = {"password": shop.password}
    with with_tls(shop.port, authority.sign("localhost"), tmp_path) as port:
        fields = postgres(shop, host="localhost", port=port, tls="verified", ca=authority.pem)
        done = tried("postgres", fields, good)
        assert done.ok and set(dict(done.steps).values()) == {"ok"}, done
        assert tried("postgres", fields | {"ca": None, "tls": "encrypted"}, good).ok
        failed(tried("postgres", fields | {"host": "127.0.0.1"}, good), "tls", "another name")
        failed(tried("postgres", fields | {"ca": None}, good), "tls", "not signed by an authority")
        for wrong in ({"ca": Authority().pem}, {"host": "127.0.0.1"}):  # libpq itself verifies as well
            with (
                pytest.raises(sa.exc.OperationalError, match=r"SSL error|certificate") as e,
                sql.connection(link("postgres", fields | wrong, good)),
            ):
                pass
            said = sql.explain(link("postgres", fields | wrong, good), e.value)
            assert said is not None and said[0] == "tls"


def test_postgres_that_wants_a_client_certificate(
    shop: serving.Shop, authority: Authority, tmp_path: Path
) -> None:
    known, foreign = authority.sign(shop.user), Authority().sign(shop.user)
    with with_tls(shop.port, authority.sign("localhost"), tmp_path, authority.pem) as port:
        fields = postgres(shop, host="localhost", port=port, tls="verified", ca=authority.pem)

        def by(pair: Pair) -> kind.Tested:
            given = {"password": shop.password, "client_key": pair.key}
            return tried("postgres", fields | {"client_certificate": pair.certificate}, given)

        done = by(known)
        assert done.ok and set(dict(done.steps).values()) == {"ok"}, done
        failed(by(foreign), "tls", "client certificate")
        failed(tried("postgres", fields, {"password": shop.password}), "tls", "client certificate")


# ---------------------------------------------------------------- MariaDB


def test_mariadb_says_how_far_it_came(mariadb: mariadb_server.MariaDB) -> None:
    good = {"password": mariadb.password}
    done = tried("mysql", mariadb.fields(), good)
    assert done.ok and "MariaDB" in done.message and set(dict(done.steps).values()) == {"ok"}
    assert tried("mysql", mariadb.fields(tls="encrypted", ca=None), good).ok
    assert tried("mysql", mariadb.fields(tls="off", ca=None), good).ok
    failed(
        tried("mysql", mariadb.fields(ca=None), good), "tls", "not signed by an authority", "CA certificate"
    )
    failed(tried("mysql", mariadb.fields(ca=Authority().pem), good), "tls", "not signed by an authority")
    failed(tried("mysql", mariadb.fields(), {"password": "wrong"}), "sign-in", "refuses reader")
    failed(tried("mysql", mariadb.fields(database="nix"), good), "permission", "nix")
    failed(tried("mysql", mariadb.fields(port=closed_port()), good), "route", "nothing listens")


def test_mariadb_that_wants_a_client_certificate(mariadb: mariadb_server.MariaDB) -> None:
    """It asks everybody, and wants it of some of its users."""
    mariadb.execute(
        "create or replace user 'certified'@'127.0.0.1' identified by 'c3rt' require x509;"
        "grant select on shop.* to 'certified'@'127.0.0.1'"
    )
    known = mariadb.authority.sign("certified")
    fields = mariadb.fields(username="certified")
    done = tried(
        "mysql",
        fields | {"client_certificate": known.certificate},
        {"password": "c3rt", "client_key": known.key},
    )
    assert done.ok and set(dict(done.steps).values()) == {"ok"}, done
    failed(tried("mysql", fields, {"password": "c3rt"}), "sign-in", "certified", "client certificate")


def test_mariadb_is_read_only_and_ends_statements(
    mariadb: mariadb_server.MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 1)
    with sql.connection(link("mysql", mariadb.fields(), {"password": mariadb.password})) as c:
        assert c.execute(sa.text("select count(*) from orders")).scalar_one() == 2
        with pytest.raises(sa.exc.OperationalError, match="READ ONLY"):
            c.execute(sa.text("insert into orders values (9, 9, 'x', '2026-01-01')"))
        c.rollback()
        with pytest.raises(sa.exc.OperationalError, match="max_statement_time"):
            c.execute(sa.text("select count(*) from information_schema.columns a, information_schema.columns b, "
                              "information_schema.columns c"))  # fmt: skip


def test_a_password_of_any_letters(mariadb: mariadb_server.MariaDB) -> None:
    mariadb.execute(
        "create or replace user 'any'@'127.0.0.1' identified by 'pässwörd Ω€'; grant select on shop.* to 'any'@'127.0.0.1'"
    )
    assert tried("mysql", mariadb.fields(username="any"), {"password": "pässwörd Ω€"}).ok


# ---------------------------------------------------------------- SQLite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "shop #1?mode=rw.db"
    path.parent.mkdir()
    with sqlite3.connect(path) as c:
        c.execute("create table orders (id integer)")
        c.execute("insert into orders values (1), (2)")
    return path


def test_sqlite_is_opened_read_only(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tried("sqlite", {"path": str(file)})
    assert done.ok and dict(done.steps)["route"] == "skipped"
    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 1)
    with sql.connection(link("sqlite", {"path": str(file)})) as c:
        assert c.execute(sa.text("select count(*) from orders")).scalar_one() == 2
        for text in ("insert into orders values (3)", "drop table orders"):
            with pytest.raises(sa.exc.OperationalError, match="readonly"):
                c.execute(sa.text(text))
        with pytest.raises(sa.exc.OperationalError, match="attached"):
            c.execute(sa.text(f"attach database '{tmp_path}/other.db' as other"))
        with pytest.raises(sa.exc.OperationalError, match="interrupted"):
            c.execute(
                sa.text(
                    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
                )
            )
    assert not (tmp_path / "other.db").exists()


def test_sqlite_files_that_are_not_opened(file: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    inside = home / "own.db"
    inside.write_bytes(file.read_bytes())
    (tmp_path / "way").symlink_to(inside)
    closed = {"closed": (home.resolve(),)}
    for path in (inside, tmp_path / "way", home / ".." / "home" / "own.db"):
        failed(tried("sqlite", {"path": str(path)}, **closed), "name", "DLV's own")
    for path in ("/proc/self/environ", "/etc/passwd", "/dev/null"):
        failed(tried("sqlite", {"path": path}, **closed), "name", "of the system")
    failed(tried("sqlite", {"path": str(file)}, folders=(home,)), "name", "DLV_SQLITE_FOLDERS")
    assert tried("sqlite", {"path": str(file)}, folders=(file.parent.resolve(),)).ok
    failed(tried("sqlite", {"path": f"{file}.nix"}), "name", "no file")
    (tmp_path / "text").write_text("no database " * 100)
    failed(tried("sqlite", {"path": str(tmp_path / "text")}), "sign-in", "no SQLite database")
    for path in ("file:/tmp/x.db", "relative.db", "", ":memory:"):
        with pytest.raises(Invalid):
            KINDS["sqlite"].checked({"path": path})


# ---------------------------------------------------------------- HTTP


def statuses(asked: Asked) -> Answer:
    """/503 answers 503."""
    last = asked.path.rpartition("/")[2]
    return Answer(int(last) if last.isdigit() else 200, {"asked": asked.path})


def test_tls_says_what_is_wrong_with_a_certificate(authority: Authority, tmp_path: Path) -> None:
    good, ca = authority.sign("localhost", "127.0.0.1"), authority.pem
    with listening(statuses, good, tmp_path) as s:
        assert tried("http", {"url": s.url, "ca": ca}).ok
        assert tried("http", {"url": f"https://localhost:{s.port}", "ca": ca}).ok
        assert tried("http", {"url": s.url, "tls": "encrypted"}).ok
        failed(tried("http", {"url": s.url}), "tls", "not signed by an authority", "CA certificate")
        failed(tried("http", {"url": f"http://127.0.0.1:{s.port}"}), "sign-in")
    with listening(statuses, authority.sign("elsewhere.example"), tmp_path) as s:
        failed(tried("http", {"url": s.url, "ca": ca}), "tls", "another name")
    with listening(statuses, authority.sign("127.0.0.1", expired=True), tmp_path) as s:
        failed(tried("http", {"url": s.url, "ca": ca}), "tls", "expired", "renews")
    with listening(statuses) as s:
        failed(tried("http", {"url": f"https://127.0.0.1:{s.port}"}), "tls", "does not speak TLS")


def test_a_server_that_wants_a_client_certificate(authority: Authority, tmp_path: Path) -> None:
    """Every kind that speaks HTTP has the same fields for one. Under TLS 1.3 the server says no only after the handshake."""
    known, foreign = authority.sign("dlv"), Authority("somebody else").sign("dlv")
    with listening(statuses, authority.sign("127.0.0.1"), tmp_path, clients=authority.pem) as s:
        fields = {"url": s.url, "ca": authority.pem}

        def by(pair: Pair, key: str = "") -> kind.Tested:
            return tried(
                "http", fields | {"client_certificate": pair.certificate}, {"client_key": key or pair.key}
            )

        done = by(known)
        assert done.ok and dict(done.steps)["tls"] == "ok"
        failed(tried("http", fields), "tls", "broke off TLS", "client certificate")
        failed(by(foreign), "tls", "broke off TLS", "client certificate")
        failed(by(known, foreign.key), "tls", "do not belong together")
        assert len(s.asked) == 1


def test_http_says_what_a_status_means() -> None:
    with listening(statuses) as s:
        done = tried("http", {"url": s.url})
        assert done.ok and "200" in done.message
        failed(tried("http", {"url": f"{s.url}/401"}), "sign-in", "401")
        failed(tried("http", {"url": f"{s.url}/403"}), "permission", "403")
        failed(tried("http", {"url": f"{s.url}/503"}), "sign-in", "503", "log")
        assert tried("http", {"url": f"{s.url}/404"}).ok  # a check names its own path
    failed(tried("http", {"url": f"http://127.0.0.1:{closed_port()}"}), "route", "nothing listens")


@pytest.mark.parametrize(
    "auth, fields, secret, header, value",
    [
        ("basic", {"username": "ada"}, {"password": "pw"}, "Authorization", "Basic YWRhOnB3"),
        ("bearer", {}, {"token": SECRET}, "Authorization", f"Bearer {SECRET}"),
        ("header", {"header": "X-API-Key"}, {"header_value": SECRET}, "X-Api-Key", SECRET),
    ],
)  # fmt: skip
def test_a_redirect_to_another_host_takes_no_secret_along(
    auth: str, fields: dict[str, Any], secret: dict[str, str], header: str, value: str
) -> None:
    def sent(asked: Asked) -> str | None:
        return {k.lower(): v for k, v in asked.headers.items()}.get(header.lower())

    with listening(statuses) as other:
        away = {"Location": f"http://localhost:{other.port}/there"}
        with listening(lambda _: Answer(302, {}, away)) as s:
            with http.session(link("http", {"url": s.url, "auth": auth} | fields, secret)) as session:
                assert session.get(s.url).json() == {"asked": "/there"}
            assert sent(s.asked[0]) == value and sent(other.asked[0]) is None


def test_redirects_are_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "http_proxy", "http://127.0.0.1:1"
    )  # a proxy of the environment would open the socket for us
    with listening(statuses) as store:
        own = Guard(own=(("127.0.0.1", store.port),))
        for target in (
            f"http://localhost:{store.port}/x",
            "http://169.254.169.254/latest/meta-data",
            "http://[::ffff:a9fe:a9fe]/",
        ):
            with listening(lambda _, t=target: Answer(307, {}, {"Location": t})) as s:  # type: ignore[misc]
                failed(tried("http", {"url": s.url}, guard=own), "route", "is refused")
        assert store.asked == []
        for target in ("file:///etc/passwd", "gopher://127.0.0.1/x"):
            with listening(lambda _, t=target: Answer(302, {}, {"Location": t})) as s:  # type: ignore[misc]
                failed(tried("http", {"url": s.url}), "sign-in", "no address of HTTP")
        with listening(lambda a: Answer(302, {}, {"Location": a.path})) as s:
            failed(tried("http", {"url": s.url}), "sign-in", "circles")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h",
        "http://u:p@h",
        "http://h?x=1",
        "http://h#x",
        "h",
        "http://",
        "http://h:0",
        "http://h:99999",
        "https://[::1",
        "http://a b",
    ],
)
def test_an_address_is_scheme_host_port_and_path(url: str) -> None:
    with pytest.raises(Invalid) as e:
        KINDS["http"].checked({"url": url})
    assert e.value.field == "url"


def test_a_long_or_wrong_answer_is_not_read_to_its_end() -> None:
    with listening(lambda _: Answer(200, b"[" + b"1," * 5_000_000)) as s:
        asked = link("http", {"url": s.url})
        with http.session(asked) as session, pytest.raises(http.Unreadable, match="longer than"):
            http.get_json(session, s.url)
    with (
        listening(lambda _: Answer(200, b"<html>", {"Content-Type": "text/html"})) as s,
        http.session(link("http", {"url": s.url})) as session,
        pytest.raises(http.Unreadable, match="not in JSON"),
    ):
        http.get_json(session, s.url)


# ---------------------------------------------------------------- Airflow, Spark, Connect by the shape of their REST


def airflow_3(asked: Asked) -> Answer:
    if asked.path == "/api/v2/version":
        return Answer(200, {"version": "3.3.2"})
    if asked.path == "/auth/token":
        said = json.loads(asked.body)
        good = said == {"username": "viewer", "password": SECRET}
        return Answer(201, {"access_token": "a.b.c"}) if good else Answer(401, {"detail": "no"})
    if asked.headers.get("Authorization") != "Bearer a.b.c":
        return Answer(401, {})
    return (
        Answer(200, {"dags": [], "total_entries": 4})
        if asked.path.startswith("/api/v2/dags")
        else Answer(404, {})
    )


def airflow_2(asked: Asked) -> Answer:
    known = asked.headers.get("Authorization") == "Basic dmlld2VyOnB3"
    if not asked.path.startswith("/api/v1/"):
        return Answer(404, b"<html>", {"Content-Type": "text/html"})
    if asked.path == "/api/v1/version":
        return Answer(200, {"version": "2.10.5"})
    return Answer(200, {"dags": [], "total_entries": 7}) if known else Answer(401, {})


def test_airflow_of_both_versions() -> None:
    with listening(airflow_3) as s:
        done = tried("airflow", {"url": s.url, "username": "viewer"}, {"password": SECRET})
        assert done.ok and "Airflow 3.3.2; 4 DAGs" in done.message
        wrong = tried("airflow", {"url": s.url, "username": "viewer"}, {"password": "wrong"})
        failed(wrong, "sign-in", "user and password", "Viewer")
        assert tried("airflow", {"url": s.url, "auth": "token"}, {"token": "a.b.c"}).ok
        with airflow.opened(link("airflow", {"url": s.url, "username": "viewer"}, {"password": SECRET})) as a:
            assert (a.major, a.get("dags", limit=1)["total_entries"]) == (3, 4)
    with listening(airflow_2) as s:
        done = tried("airflow", {"url": s.url, "username": "viewer"}, {"password": "pw"})
        assert done.ok and "Airflow 2.10.5; 7 DAGs" in done.message
        failed(tried("airflow", {"url": s.url, "username": "viewer"}, {"password": "no"}), "sign-in", "401")
    with listening(lambda a: Answer(403, {}) if "dags" in a.path else airflow_3(a)) as s:
        failed(tried("airflow", {"url": s.url, "auth": "token"}, {"token": "a.b.c"}), "permission", "403")
    with listening(statuses) as s:
        failed(tried("airflow", {"url": s.url, "username": "x"}, {"password": "x"}), "sign-in", "no Airflow")


def test_spark_and_connect() -> None:
    answers = {
        "/json/": {"aliveworkers": 2, "status": "ALIVE", "workers": []},
        "/api/v1/applications?limit=20": [{"id": "app-1"}],
        "/": {"version": "4.3.1", "kafka_cluster_id": "abc"},
        "/connectors": ["orders", "payments"],
    }
    with listening(lambda a: Answer(200, answers[a.path]) if a.path in answers else Answer(404, {})) as s:
        both = {"master_url": s.url, "history_url": s.url}
        done = tried("spark", both)
        assert done.ok and done.message == "master alive, 2 workers alive; history server, with applications"
        assert spark.history(link("spark", both), "applications", limit=20) == [{"id": "app-1"}]
        assert tried("kafka_connect", {"url": s.url}).message == "Kafka Connect 4.3.1; 2 connectors"
        failed(tried("spark", {"master_url": f"{s.url}/nix"}), "sign-in", "not at this address")
        answers["/json/"] = {"aliveworkers": 0, "status": "STANDBY", "workers": []}
        standby = tried("spark", {"master_url": s.url})
        assert standby.ok and standby.message.startswith("master on standby, which knows no workers")
    with listening(statuses) as s:
        failed(tried("spark", {"master_url": s.url}), "sign-in", "no Spark master")
        failed(tried("kafka_connect", {"url": s.url}), "sign-in", "no Kafka Connect")
    failed(tried("spark", {}), "name", "neither")


# ---------------------------------------------------------------- Kafka by librdkafka's mock


def test_kafka_and_the_brokers_that_it_names(monkeypatch: pytest.MonkeyPatch) -> None:
    # to a version of this request that the mock does not know it answers in a form of its own; Kafka does not
    monkeypatch.setattr(ApiVersionsRequest, "max_version", 2)
    mock = AdminClient({"bootstrap.servers": "x", "test.mock.num.brokers": 2, "log_level": 0})
    ports = sorted(b.port for b in mock.list_topics("orders", timeout=10).brokers.values())  # which makes it
    fields = {"bootstrap": f"127.0.0.1:{ports[0]}", "tls": "off"}
    done = tried("kafka", fields)
    assert done.ok and "2 brokers" in done.message
    other = Guard(own=(("127.0.0.1", ports[1]),))
    failed(tried("kafka", fields, guard=other), "route", "names a broker at", "own stores")
    with pytest.raises(Refused, match="names a broker"), kafka.reached(link("kafka", fields, guard=other)):
        pass
    failed(
        tried("kafka", fields | {"sasl": "PLAIN", "username": "u"}, {"password": SECRET}), "sign-in", "PLAIN"
    )
    failed(tried("kafka", fields | {"tls": "verified"}), "tls")
    failed(
        tried("kafka", {"bootstrap": f"127.0.0.1:{closed_port()}", "tls": "off"}), "route", "nothing listens"
    )
    dead = f"127.0.0.1:{closed_port()},127.0.0.1:{ports[0]}"
    assert tried(
        "kafka", {"bootstrap": dead, "tls": "off"}
    ).ok  # one that answers is enough, as for Kafka's clients
    failed(tried("kafka", {"bootstrap": "169.254.169.254:9092", "tls": "off"}), "route", "metadata")


# ---------------------------------------------------------------- within ten seconds


def _hung(port: int) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    at, url = {"host": "127.0.0.1", "port": port}, f"http://127.0.0.1:{port}"
    user = {"database": "d", "username": "u"}
    return [
        ("postgres", at | user | {"tls": "off"}, {"password": SECRET}),
        ("postgres", at | user, {"password": SECRET}),
        ("mysql", at | user | {"tls": "off"}, {"password": SECRET}),
        ("mysql", at | user, {"password": SECRET}),
        ("kafka", {"bootstrap": f"127.0.0.1:{port}", "tls": "off"}, {}),
        ("kafka", {"bootstrap": f"127.0.0.1:{port}"}, {}),
        ("kafka_connect", {"url": url}, {}),
        ("airflow", {"url": url, "username": "u"}, {"password": SECRET}),
        ("spark", {"master_url": url, "history_url": url}, {}),
        ("http", {"url": url}, {}),
        ("http", {"url": url.replace("http", "https")}, {}),
    ]


def test_a_target_that_accepts_and_never_answers_is_given_up_in_time() -> None:
    with silent() as port:
        every = _hung(port)
        began = time.monotonic()
        with ThreadPoolExecutor(len(every)) as pool:
            done = list(pool.map(lambda t: tried(*t), every))
        took = time.monotonic() - began
    assert took < 10, [(e[0], d.seconds) for e, d in zip(every, done, strict=True)]
    for (name, fields, _), said in zip(every, done, strict=True):
        secure = name != "mysql" and ((fields.get("tls", "verified") == "verified" and "url" not in fields and "master_url" not in fields)
                  or str(fields.get("url", "")).startswith("https"))  # fmt: skip
        failed(said, "tls" if secure else "sign-in")


def test_a_test_that_hangs_anywhere_is_answered_all_the_same() -> None:
    gate = threading.Event()

    def hang(_: Link, steps: ladder.Ladder) -> str:
        with steps.step("name"):
            gate.wait(30)
        return ""

    kind = Kind("slow", "Slow", "", (), hang)
    done = ladder.climb(kind, Link(uuid4(), "", "slow", {}, Guard()), 0.3)
    gate.set()
    failed(done, "name", "no answer within", "DNS")


def test_the_wait_for_a_place_counts_among_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Crowded:
        """A place that is free after half a second, by a clock of the test's own."""

        def acquire(self, timeout: float) -> bool:
            clock.append(clock[-1] + 0.5)
            return True

        def release(self) -> None:
            pass

    clock, lasted = [100.0], []
    monkeypatch.setattr(ladder, "_running", Crowded())
    monkeypatch.setattr(ladder.time, "monotonic", lambda: clock[-1])

    def climb(_: Link, steps: ladder.Ladder) -> str:
        lasted.append(steps.end)
        return "fine"

    assert ladder.climb(Kind("k", "K", "", (), climb), Link(uuid4(), "", "k", {}, Guard()), 9.0).ok
    assert lasted == [109.0], "no later than nine seconds after it was asked for"


def test_a_fault_of_ours_says_so_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    def broken(asked: Link, _: ladder.Ladder) -> str:
        raise RuntimeError(f"password={asked.secret['password']}")

    done = ladder.climb(
        Kind("broken", "Broken", "", (), broken),
        Link(uuid4(), "", "broken", {}, Guard(), {"password": SECRET}),
    )
    assert not done.ok and "DLV's own fault: RuntimeError" in done.message
    assert SECRET not in caplog.text and SECRET not in str(done)


def test_the_allow_list_holds_for_every_kind() -> None:
    only = guard.of([], "10.99.0.0/16")
    for name, fields, secret in _hung(closed_port()):
        failed(tried(name, fields, secret, guard=only), "route", "DLV_ALLOWED_NETWORKS")
