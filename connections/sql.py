"""Databases behind one SQLAlchemy shape. A further dialect is one entry in :data:`DIALECTS` and its driver's ``connect``.

Every connection is read-only, ends a statement after 30 s, and has its socket opened by the guard.
"""

from __future__ import annotations

import os
import sqlite3
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pymysql
import sqlalchemy as sa
from pymysql.constants import CR, ER
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from connections import tls
from connections.guard import Refused
from connections.kind import Field, Kind
from connections.ladder import Failed, Ladder
from connections.link import Link

#: seconds after which a statement on a target is ended
STATEMENT_SECONDS = 30


@dataclass(frozen=True)
class Dialect:
    """One kind of database. ``url`` names SQLAlchemy's dialect and driver; ``connect`` opens the driver's connection;
    ``probe`` speaks TLS with the server before anybody signs in; ``explain`` tells (step, message, hint) of a driver's
    error, or None; ``tables`` is a query for (tables that may be read, all tables)."""

    url: str
    connect: Callable[[Link], Any]
    version: str
    tables: str
    probe: Callable[[Link, float], None] | None = None
    explain: Callable[[Link, Exception], tuple[str, str, str] | None] = lambda _link, _e: None


def engine(link: Link) -> sa.Engine:
    """An engine for this link: read-only, statements end after :data:`STATEMENT_SECONDS`, at most two connections.
    Whoever makes it disposes of it; :func:`connection` does."""
    dialect = DIALECTS[link.kind]
    made = sa.create_engine(
        dialect.url, creator=lambda: dialect.connect(link), poolclass=QueuePool, pool_size=1, max_overflow=1,
        pool_timeout=link.timeout, hide_parameters=True,
    )  # fmt: skip
    if link.kind == "sqlite":
        event.listen(made, "before_cursor_execute", _sqlite_deadline)
    return made


@contextmanager
def connection(link: Link) -> Iterator[sa.Connection]:
    """A connection of an engine of its own; both are gone after the block."""
    made = engine(link)
    try:
        with made.connect() as c:
            yield c
    finally:
        made.dispose()


def explain(link: Link, e: Exception) -> tuple[str, str, str] | None:
    """(step, message, hint) of what a driver raised, without secrets; None where it is about the statement and not about
    reaching the database."""
    cause = getattr(e, "orig", None) or e
    said = DIALECTS[link.kind].explain(link, cause)
    return (said[0], link.hide(said[1]), said[2]) if said else None


# ---------------------------------------------------------------- Postgres


def _postgres(link: Link, tls_mode: str | None = None) -> psycopg.Connection[Any]:
    host, port = link.fields["host"], link.fields["port"]
    mode = tls_mode or link.get("tls", tls.VERIFIED)
    with tls.files(link) as f:
        return psycopg.connect(
            host=host,
            hostaddr=link.guard.resolve(host, port)[
                0
            ],  # the name stays for TLS; the address is what was checked
            port=port,
            user=link.fields["username"],
            password=link.secret.get("password", ""),
            dbname=link.fields["database"],
            sslmode={tls.OFF: "disable", tls.LOOSE: "require", tls.VERIFIED: "verify-full"}[mode],
            sslrootcert=f.ca if mode == tls.VERIFIED else _NOWHERE,
            sslcert=f.certificate or _NOWHERE,
            sslkey=f.key or _NOWHERE,
            connect_timeout=max(2, int(link.timeout)),
            application_name="dlv",
            client_encoding="utf-8",
            options=f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_SECONDS}s "
            f"-c lock_timeout=5s -c idle_in_transaction_session_timeout={2 * STATEMENT_SECONDS}s",
            # libpq looks into these by itself where they are not said
            passfile=_NOWHERE,
            gssencmode="disable",
            channel_binding="prefer",
            target_session_attrs="any",
            keepalives=1,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=(STATEMENT_SECONDS + 5) * 1000,
        )


#: a file that does not exist: what libpq would otherwise look for in somebody's home
_NOWHERE = "/nonexistent/dlv"


def _postgres_tls(link: Link, seconds: float) -> None:
    """Ask for TLS as libpq does and shake hands, for an error that says what is wrong."""
    with link.guard.connect(link.fields["host"], link.fields["port"], seconds) as s:
        s.settimeout(seconds)
        s.sendall(struct.pack("!ii", 8, 80877103))
        answer = s.recv(1)
        if answer == b"N":
            raise Failed(
                "tls", "the server does not offer TLS", "switch it on in the server (ssl = on), or choose TLS off"
            )  # fmt: skip
        if answer != b"S":
            raise Failed("tls", "what listens there is no Postgres", "check the port")
        tls.shake(link, s, link.fields["host"], seconds)


def _postgres_says(link: Link, e: Exception) -> tuple[str, str, str] | None:
    if not isinstance(e, psycopg.Error):
        return None
    text = str(e).strip()
    last = text.splitlines()[-1] if text else ""
    said = last.split("FATAL:")[-1].strip() or "no reason given"
    user, database = link.fields["username"], link.fields["database"]
    state = e.sqlstate or ""
    if state == "28P01" or "password authentication failed" in text or "no password supplied" in text:
        return (
            "sign-in",
            f"the password of {user} is not right",
            "write it again; names of users are case-sensitive",
        )
    if "pg_hba.conf" in text:
        encrypted = " with TLS" if "no encryption" in text else ""
        return (
            "sign-in", f"the server lets nobody in this way: {said}",
            f"its pg_hba.conf needs a line for {user} on {database} from DLV's address{encrypted}",
        )  # fmt: skip
    if state == "28000" or ('role "' in text and "does not exist" in text):
        return "sign-in", f"the server knows no user {user}", "check the user's name, or create it"
    if state == "3D000" or ('database "' in text and "does not exist" in text):
        return "permission", f"there is no database {database}", "check its name; it is case-sensitive"
    if state == "42501" or "permission denied" in text:
        return "permission", said, f"grant {user} what it is to read, e.g. GRANT pg_read_all_data TO {user}"
    if state.startswith("53") or "too many connections" in text or "remaining connection slots" in text:
        return (
            "sign-in",
            f"the server takes no more connections: {said}",
            "raise max_connections, or end idle ones",
        )
    if "server does not support SSL" in text:
        return (
            "tls",
            "the server does not offer TLS",
            "switch it on in the server (ssl = on), or choose TLS off",
        )
    if "SSL error" in text or "certificate" in text:
        return "tls", said, "check the CA certificate, and that the host's name is the certificate's"
    if "timeout expired" in text:
        return (
            "sign-in",
            "no answer to signing in",
            "check that the port is a Postgres's, and whether it hangs",
        )
    if isinstance(e, psycopg.OperationalError) and not e.sqlstate:
        if "Connection refused" in text:
            return (
                "route",
                "nothing listens there",
                "check the port, and that the server runs and listens here",
            )
        return "sign-in", said, "the server's log says more"
    return None


# ---------------------------------------------------------------- MySQL and MariaDB


def _mysql(link: Link, tls_mode: str | None = None) -> pymysql.connections.Connection[Any]:
    host, port = link.fields["host"], link.fields["port"]
    mode = tls_mode or link.get("tls", tls.VERIFIED)
    made = pymysql.connections.Connection(
        host=host,
        port=port,
        user=link.fields["username"],
        password=link.secret.get("password", "").encode(),
        database=link.get("database"),
        charset="utf8mb4",
        ssl=None if mode == tls.OFF else tls.context(link),
        ssl_disabled=mode == tls.OFF,
        read_timeout=max(1.0, link.timeout),
        write_timeout=max(1.0, link.timeout),
        local_infile=False,
        program_name="dlv",
        defer_connect=True,
    )
    sock = link.guard.connect(host, port, link.timeout)
    try:
        made.connect(sock)
        version = made.get_server_info()
        limit = (
            f"set session max_statement_time = {STATEMENT_SECONDS}"
            if "MariaDB" in version
            else f"set session max_execution_time = {STATEMENT_SECONDS * 1000}"
        )
        with made.cursor() as c:
            c.execute(limit)
            c.execute("set session transaction read only")
            c.execute("set session lock_wait_timeout = 5")
        made._read_timeout = STATEMENT_SECONDS + 5.0
    except BaseException:
        sock.close()
        raise
    return made


def _mysql_says(link: Link, e: Exception) -> tuple[str, str, str] | None:
    if not isinstance(e, pymysql.err.Error):
        return None
    code = e.args[0] if e.args and isinstance(e.args[0], int) else 0
    said = str(e.args[1]) if len(e.args) > 1 else str(e)
    user, database = link.fields["username"], link.get("database", "")
    if isinstance(e.__cause__ or e.__context__, ssl.SSLError):
        return None  # told by what TLS said
    if code == CR.CR_SSL_CONNECTION_ERROR:
        return "tls", "the server does not offer TLS", "switch it on in the server, or choose TLS off"
    if code in (ER.ACCESS_DENIED_ERROR, 1698):
        return (
            "sign-in", f"the server refuses {user} from here: wrong user or password, or this host is not let in",
            "write the password again; the server's user may be limited to other hosts (user@host), or must show a client certificate",
        )  # fmt: skip
    if code == ER.DBACCESS_DENIED_ERROR:
        return "permission", f"{user} may not use {database}", f"GRANT SELECT ON {database}.* TO {user}"
    if code == ER.BAD_DB_ERROR:
        return (
            "permission",
            f"there is no database {database}",
            "check its name; on Linux it is case-sensitive",
        )
    if code in (ER.TABLEACCESS_DENIED_ERROR, ER.COLUMNACCESS_DENIED_ERROR, ER.SPECIFIC_ACCESS_DENIED_ERROR):
        return "permission", said, f"grant {user} SELECT on it"
    if code == ER.CON_COUNT_ERROR:
        return "sign-in", "the server takes no more connections", "raise max_connections, or end idle ones"
    if code in (1129, 1130):
        return "sign-in", said, "let DLV's address in, and FLUSH HOSTS where it was blocked"
    if code in (CR.CR_SERVER_LOST, CR.CR_SERVER_GONE_ERROR):
        if "timed out" in said:
            return (
                "sign-in",
                "no answer to signing in",
                "check that the port is a MySQL's, and whether it hangs",
            )
        return "sign-in", "the server broke off", "check that the port is a MySQL's; its log says more"
    if code == CR.CR_CONN_HOST_ERROR:
        return "route", said, "check the port, and that the server runs and listens here"
    return None


# ---------------------------------------------------------------- SQLite


def sqlite_path(link: Link) -> Path:
    """The file, every link on the way followed. :class:`Refused` where it lies in a folder that is not open to
    connections: DLV's own, the system's, or outside of DLV_SQLITE_FOLDERS."""
    path = Path(os.path.realpath(link.fields["path"]))
    if any(path.is_relative_to(f) for f in (*link.closed, *_SYSTEM)):
        raise Refused(
            f"{path} is refused: it lies in a folder of DLV's own or of the system", field="path", hint="name the file of a database"
        )  # fmt: skip
    if link.folders and not any(path.is_relative_to(f) for f in link.folders):
        raise Refused(
            f"{path} is refused: it lies outside of the folders that DLV_SQLITE_FOLDERS names",
            field="path", hint="whoever runs DLV adds its folder to DLV_SQLITE_FOLDERS",
        )  # fmt: skip
    return path


_SYSTEM = tuple(Path(p) for p in ("/proc", "/sys", "/dev", "/etc", "/run"))


def _sqlite(link: Link) -> sqlite3.Connection:
    path = sqlite_path(link)
    if not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    made = sqlite3.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, timeout=min(5.0, link.timeout), check_same_thread=False
    )
    made.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)  # no other file is opened through this one
    made.execute("pragma query_only = on")
    made.execute("pragma trusted_schema = off")
    return made


def _sqlite_deadline(conn: Any, *_: Any) -> None:
    """SQLite has no statement timeout: its virtual machine asks every so often whether to go on."""
    end = time.monotonic() + STATEMENT_SECONDS
    conn.connection.dbapi_connection.set_progress_handler(lambda: time.monotonic() > end, 20_000)


def _sqlite_says(link: Link, e: Exception) -> tuple[str, str, str] | None:
    if isinstance(e, FileNotFoundError):
        return "name", f"there is no file {link.fields['path']}", "check the path, as DLV's machine sees it"
    if isinstance(e, PermissionError):
        return (
            "permission",
            "the file may not be read",
            "let the user that DLV runs as read it and pass its folders",
        )
    if isinstance(e, sqlite3.Error):
        text = str(e)
        if "not a database" in text or "file is encrypted" in text or "malformed" in text:
            return "sign-in", "the file is no SQLite database", "check the path"
        if "unable to open" in text:
            return (
                "permission", "the file cannot be opened for reading",
                "let the user that DLV runs as read it; in WAL mode its folder must be writable or its -shm file there",
            )  # fmt: skip
        if "locked" in text:
            return "permission", "the file is locked by a writer", "try again, or use WAL mode"
    return None


# ---------------------------------------------------------------- the table of dialects

DIALECTS: dict[str, Dialect] = {
    "postgres": Dialect(
        "postgresql+psycopg://", _postgres, "show server_version",
        """select count(*) filter (where has_table_privilege(c.oid, 'select')
                                     and has_schema_privilege(n.oid, 'usage')), count(*)
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'""",
        _postgres_tls, _postgres_says,
    ),
    "mysql": Dialect(
        "mysql+pymysql://", _mysql, "select version()",
        # information_schema shows nothing that may not be touched, so nothing there means nothing to read
        """select count(*), null from information_schema.tables
            where table_schema not in ('information_schema', 'performance_schema', 'mysql', 'sys')""",
        None, _mysql_says,
    ),
    "sqlite": Dialect(
        "sqlite+pysqlite://", _sqlite, "select sqlite_version()",
        "select count(*), count(*) from sqlite_master where type in ('table', 'view')", None, _sqlite_says,
    ),
}  # fmt: skip


def _climb(link: Link, ladder: Ladder) -> str:
    """Postgres, MySQL, MariaDB."""
    dialect = DIALECTS[link.kind]
    host, port = link.fields["host"], link.fields["port"]
    ladder.to(host, port)
    with ladder.step("name"):
        link.guard.resolve(host, port)
    with ladder.step("route"):
        link.guard.connect(host, port, ladder.left()).close()
    if link.get("tls") == tls.OFF:
        ladder.skip("tls")
    elif dialect.probe:
        with ladder.step("tls"):
            dialect.probe(link, ladder.left())
    with _explained(link, ladder, "sign-in"), connection(link) as c:
        ladder.reached("sign-in")
        if link.get("tls") != tls.OFF:
            ladder.reached("tls")
        with _explained(link, ladder, "permission"):
            version = str(c.execute(sa.text(dialect.version)).scalar_one())
            readable, tables = c.execute(sa.text(dialect.tables)).one()
    user = link.fields["username"]
    if tables is not None and tables > 0 and readable == 0:
        raise Failed(
            "permission", f"{user} may read none of its {tables} tables",
            f"grant {user} what it is to look at, e.g. GRANT pg_read_all_data TO {user}",
        )  # fmt: skip
    server = "MariaDB" if "MariaDB" in version else _LABELS[link.kind]
    what = f"{readable} tables and views to read" if readable else "no table is there that it may read"
    return f"signed in to {server} {version.split()[0].split('-')[0]}; {what}"


def _climb_sqlite(link: Link, ladder: Ladder) -> str:
    with ladder.step("name"):
        path = sqlite_path(link)
        if not path.exists():
            raise Failed("name", f"there is no file {path}", "check the path, as DLV's machine sees it")
    ladder.skip("route")
    ladder.skip("tls")
    with _explained(link, ladder, "sign-in"), connection(link) as c:
        readable, _ = c.execute(sa.text(DIALECTS["sqlite"].tables)).one()
    return f"opened for reading; {readable} tables and views"


@contextmanager
def _explained(link: Link, ladder: Ladder, step: str) -> Iterator[None]:
    try:
        with ladder.step(step):
            yield
    except (Failed, Refused):
        raise
    except Exception as e:
        said = explain(link, e)
        if said is None:
            raise
        raise Failed(*said) from None


_LABELS = {"postgres": "Postgres", "mysql": "MySQL"}


def _server(port: int, database: Field) -> tuple[Field, ...]:
    return (
        Field("host", "Host", "host", required=True, binds=True, example="db.example.com"),
        Field("port", "Port", "port", required=True, default=port, binds=True),
        database,
        Field("username", "User", required=True, help="One that may only read, e.g. a member of pg_read_all_data"),
        Field("password", "Password", secret=True),
        *tls.fields(),
    )  # fmt: skip


KINDS = (
    Kind(
        "postgres", "Postgres", "Also what speaks its protocol: Redshift, CockroachDB, Timescale, Aurora",
        _server(5432, Field("database", "Database", required=True)), _climb, ("postgres", "redshift"),
    ),
    Kind(
        "mysql", "MySQL or MariaDB", "MySQL 5.7 and newer, MariaDB 10.2 and newer",
        _server(3306, Field("database", "Database", help="Empty: all that the user may read")), _climb,
        ("mysql", "mariadb"),
    ),
    Kind(
        "sqlite", "SQLite", "A file on DLV's machine, opened for reading only",
        (Field("path", "Path", "path", required=True, example="/srv/data/shop.db", help="Absolute, as DLV's machine sees it"),),
        _climb_sqlite, ("sqlite",),
    ),
)  # fmt: skip
