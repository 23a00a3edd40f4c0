"""Applying the naming rules to what is on record: asked for by people, done by a worker, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from errors import Conflict
from store import audit
from store.audit import Actor
from store.record import LOCK_RULES, Conn

#: a job whose worker died this often is not begun again
ATTEMPTS = 3
_SHOWN = "id, asked_at, actor ->> 'name' as asked_by, started_at, done, total, ended_at, result, error"


def ask(conn: Conn, actor: Actor) -> dict[str, Any]:
    """Ask for the rules to be applied; :class:`errors.Conflict` where that waits or runs already."""
    try:
        with conn.transaction():
            row = conn.execute(
                f"insert into rule_job (actor) values (%s) returning {_SHOWN}", (Jsonb(asdict(actor)),)
            ).fetchone()
    except pg.UniqueViolation:
        raise Conflict("the rules are being applied already", hint="wait until that is done") from None
    assert row
    return row


def newest(conn: Conn) -> dict[str, Any] | None:
    """The one that waits or runs, else the last one."""
    return conn.execute(f"select {_SHOWN} from rule_job order by id desc limit 1").fetchone()


def waits(conn: Conn) -> bool:
    """Whether one waits, runs, or was left by a worker that died."""
    row = conn.execute("select exists (select 1 from rule_job where ended_at is null) as yes").fetchone()
    return bool(row and row["yes"])


def hold(conn: Conn) -> bool:
    """Be the one worker that applies rules until this transaction ends; False where another is."""
    row = conn.execute("select pg_try_advisory_xact_lock(%s) as mine", (LOCK_RULES,)).fetchone()
    return bool(row and row["mine"])


def begin(conn: Conn) -> dict[str, Any] | None:
    """Begin the one that waits, or that a dead worker left; None where there is none. Only for who holds the lock."""
    row = conn.execute(
        """update rule_job set attempts = attempts + 1, started_at = now(), done = 0, total = null
            where ended_at is null returning id, actor, attempts"""
    ).fetchone()
    if row and row["attempts"] > ATTEMPTS:
        fail(conn, row["id"], f"given up: its worker ended {ATTEMPTS} times before it was done")
        return None
    return row


def progress(conn: Conn, id_: int, done: int, total: int) -> None:
    conn.execute("update rule_job set done = %s, total = %s where id = %s", (done, total, id_))


def finish(conn: Conn, id_: int, actor: Actor, result: Mapping[str, int]) -> None:
    """In the transaction that moved the names: it is done exactly if they moved."""
    conn.execute(
        "update rule_job set ended_at = now(), result = %s where id = %s", (Jsonb(dict(result)), id_)
    )
    audit.write(conn, actor, "rule.apply", "rule", "all", None, result)


def fail(conn: Conn, id_: int, why: str) -> None:
    conn.execute("update rule_job set ended_at = now(), error = %s where id = %s", (why, id_))
