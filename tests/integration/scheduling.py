"""Checks put straight into the record, and a clock that a test moves, for tests of the schedule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from checks import schedule
from store.record import Conn, Record

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Clock:
    """The clock of the schedule in this record, stopped: it goes on when it is told to."""

    def __init__(self, conn: Conn, at: datetime = T0) -> None:
        conn.execute("create table if not exists test_clock (at timestamptz)")
        conn.execute("delete from test_clock")
        conn.execute("insert into test_clock values (%s)", (at,))
        conn.execute(
            "create or replace function dlv_now() returns timestamptz language sql stable as 'select at from test_clock'"
        )
        self.at = at

    def go(self, conn: Conn, seconds: float) -> datetime:
        self.at += timedelta(seconds=seconds)
        conn.execute("update test_clock set at = %s", (self.at,))
        return self.at


def add_node(conn: Conn, name: str = "shop.public.orders", type_: str = "dataset") -> UUID:
    """A node with its one alias."""
    id_ = uuid4()
    conn.execute(
        """insert into node (id, type, kind, system, environment, namespace, name, first_seen, last_seen)
           values (%s, %s, 'table', 'postgres', 'default', 'postgres://db:5432', %s, now(), now())""",
        (id_, type_, name),
    )
    conn.execute(
        """insert into alias (id, node_id, type, environment, namespace, name, kind, system, first_seen, last_seen)
           values (%s, %s, %s, 'default', 'postgres://db:5432', %s, 'table', 'postgres', now(), now())""",
        (id_, id_, type_, name),
    )
    return id_


def add_check(
    conn: Conn,
    node: UUID,
    *,
    every: int = 60,
    offset: int = 0,
    connection: UUID | None = None,
    kind: str = "reachable",
    config: Mapping[str, Any] | None = None,
    name: str = "a check",
    severity: str = "error",
    now: datetime | None = None,
) -> UUID:
    """A check whose next slot is the first after now."""
    id_ = uuid4()
    if now is None:
        row = conn.execute("select dlv_now() as now").fetchone()
        assert row is not None
        now = row["now"]
    conn.execute(
        """insert into health_check (id, name, kind, node_id, connection_id, config, severity, every_seconds, offset_seconds, next_slot_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            id_, name, kind, node, connection, Jsonb(dict(config or {})), severity, every, offset,
            schedule.slot_after(now, every, offset),
        ),
    )  # fmt: skip
    conn.execute("insert into check_state (check_id) values (%s)", (id_,))
    return id_


def add_connection(conn: Conn, kind: str = "http", fields: Mapping[str, Any] | None = None) -> UUID:
    id_ = uuid4()
    conn.execute(
        "insert into connection (id, name, kind, fields) values (%s, %s, %s, %s)",
        (id_, f"connection {id_}", kind, Jsonb(dict(fields or {}))),
    )
    return id_


def ended(record: Record, check: UUID) -> list[tuple[datetime, str]]:
    """(slot, status) of all that ended, oldest first."""
    return [
        (r["slot_at"], r["status"])
        for r in record.all(
            "select slot_at, status from check_result where check_id = %s order by slot_at", (check,)
        )
    ]
