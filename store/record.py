"""Postgres, the record: pool, transactions, migrations."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from errors import BadSetting, RecordAway

MIGRATIONS = Path(__file__).parent / "migrations"

#: advisory lock keys, all in one place so that no two meanings share one
LOCK_MIGRATE, LOCK_PROJECTOR, LOCK_AUDIT, LOCK_PARTITIONS, LOCK_EVIDENCE = 7_201, 7_202, 7_203, 7_204, 7_205
LOCK_REBUILD, LOCK_SEED, LOCK_INCIDENTS, LOCK_TAKE, LOCK_GAPS = 7_206, 7_207, 7_208, 7_209, 7_210
LOCK_RULES, LOCK_FOLD = 7_211, 7_212

Conn = psycopg.Connection[dict[str, Any]]


def _json(value: Any) -> bytes:
    """The fold writes thousands of jsonb values a second; what orjson refuses (integers beyond 64 bits) is rare."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(value, default=str).encode()


def _from_json(value: str | bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return json.loads(value)


set_json_dumps(_json)
set_json_loads(_from_json)


#: a connection used this many seconds ago needs no round trip to show that it lives
_TRUSTED = 1.0


def _check(conn: Any) -> None:
    now = time.monotonic()
    if now - getattr(conn, "dlv_checked", 0.0) > _TRUSTED:
        ConnectionPool.check_connection(conn)
        conn.dlv_checked = now


def _reset(conn: Any) -> None:
    if conn.autocommit:
        conn.autocommit = False


class Record:
    """The pool. Rows come as dicts. Any failure to reach Postgres is :class:`errors.RecordAway`."""

    def __init__(self, url: str, *, max_size: int = 10, timeout: float = 5.0) -> None:
        self.url = url
        self._pool: ConnectionPool[Conn] = ConnectionPool(
            url,
            min_size=1,
            max_size=max_size,
            timeout=timeout,
            open=False,
            kwargs={"row_factory": dict_row, "application_name": "dlv", "options": "-c timezone=UTC"},
            check=_check,
            reset=_reset,
            reconnect_timeout=0,
        )
        self._pool.open(wait=False)

    @contextmanager
    def tx(self) -> Iterator[Conn]:
        """One transaction: committed at the end, rolled back on any exception."""
        try:
            with self._pool.connection() as conn:
                yield conn
        except PoolTimeout as e:
            raise RecordAway("the record (Postgres) does not answer", hint="see /readyz") from e
        except psycopg.OperationalError as e:
            # a deadlock, a lock or statement timeout: Postgres is there, it answered (class 08, 53 and 57P: it is not)
            if e.sqlstate and not e.sqlstate.startswith(("08", "53", "57P")):
                raise
            raise RecordAway("the record (Postgres) went away", hint="see /readyz") from e

    @contextmanager
    def read(self) -> Iterator[Conn]:
        """For questions: each statement stands by itself, which saves the trips that begin and end a transaction (a
        third of what a page waits for). Nothing is lost by it: at READ COMMITTED each statement has its own snapshot
        in a transaction, too.
        """
        with self.tx() as conn:
            conn.autocommit = True  # until the pool has it back
            yield conn

    def all(self, query: str, params: Any = None) -> list[dict[str, Any]]:
        with self.read() as conn:
            return conn.execute(query, params).fetchall()

    def one(self, query: str, params: Any = None) -> dict[str, Any] | None:
        with self.read() as conn:
            return conn.execute(query, params).fetchone()

    def close(self) -> None:
        self._pool.close()


def migrate(url: str, *, log: Any = None) -> list[str]:
    """Apply what is missing, each file in one transaction under an advisory lock; returns the names applied.

    An applied file whose text changed since is refused: write a new migration instead.
    """
    try:
        conn: Conn = psycopg.connect(url, row_factory=dict_row, autocommit=True, connect_timeout=10)  # type: ignore[arg-type]
    except psycopg.OperationalError as e:
        raise BadSetting(
            f"DLV_DATABASE_URL: cannot connect to Postgres: {str(e).strip().splitlines()[0]}",
            field="DLV_DATABASE_URL",
            hint="check host, port, user and password; the server must run and let this machine in",
        ) from e
    done: list[str] = []
    with conn:
        conn.execute("select pg_advisory_lock(%s)", (LOCK_MIGRATE,))
        conn.execute(
            """create table if not exists schema_migration (
                 name       text primary key,
                 sha256     text not null,
                 applied_at timestamptz not null default now())"""
        )
        applied = {r["name"]: r["sha256"] for r in conn.execute("select name, sha256 from schema_migration")}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            text = path.read_text()
            digest = hashlib.sha256(re.sub(r"\s+", " ", text).encode()).hexdigest()
            if path.name in applied:
                if applied[path.name] != digest:
                    raise BadSetting(
                        f"migration {path.name} was changed after it was applied",
                        hint="restore the file and put the change into a new migration",
                    )
                continue
            with conn.transaction():
                conn.execute(text)  # type: ignore[call-overload]
                conn.execute(
                    "insert into schema_migration (name, sha256) values (%s, %s)", (path.name, digest)
                )
            done.append(path.name)
            if log:
                log(f"migrated {path.name}")
    return done
