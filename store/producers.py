"""Producers: what sends events. One row a key name, so that a producer survives the rotation of its keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from errors import Conflict, NotFound
from store import audit
from store.audit import Actor
from store.record import Conn

_SHOWN = (
    "id, name, environment, created_at, last_event_at, last_refused_at, expected_every, quiet_since, quiet_reason, "
    "connection_id, retired_at"
)


def for_key(conn: Conn, name: str, environment: str | None) -> int:
    """The producer of that name, made if it is new. :class:`errors.Conflict` where it is in another environment."""
    conn.execute(
        "insert into producer (name, environment) values (%s, %s) on conflict (name) do nothing",
        (name, environment),
    )
    row = conn.execute("select id, environment from producer where name = %s", (name,)).fetchone()
    assert row is not None
    if environment is not None and row["environment"] != environment:
        raise Conflict(
            f"the producer {name!r} is in environment {row['environment'] or 'default'!r}, not {environment!r}",
            field="environment",
            hint="leave environment out to join that producer, or choose another name",
        )
    producer_id: int = row["id"]
    return producer_id


def get(conn: Conn, producer_id: int) -> dict[str, Any]:
    row = conn.execute(f"select {_SHOWN} from producer where id = %s", (producer_id,)).fetchone()
    if row is None:
        raise NotFound("no such producer")
    return row


def page(conn: Conn, limit: int, after: str | None = None) -> list[dict[str, Any]]:
    """By name, those after ``after``."""
    return conn.execute(
        f"""select {_SHOWN} from producer where %(after)s::text is null or name > %(after)s
            order by name limit %(limit)s""",
        {"after": after, "limit": limit},
    ).fetchall()


def expect(conn: Conn, actor: Actor, producer_id: int, every: timedelta | None) -> dict[str, Any]:
    """How often events are expected; None stops watching for silence."""
    was = get(conn, producer_id)
    conn.execute("update producer set expected_every = %s where id = %s", (every, producer_id))
    audit.write(
        conn,
        actor,
        "producer.edit",
        "producer",
        producer_id,
        {"expected_every": _seconds(was["expected_every"])},
        {"expected_every": _seconds(every)},
    )
    return was | {"expected_every": every}


def retire(conn: Conn, actor: Actor, producer_ids: Iterable[int], at: datetime | None) -> None:
    """Nothing more is expected of these: they are never quiet and their jobs never late. ``at`` None takes it back."""
    for producer_id in sorted(set(producer_ids)):
        was = get(conn, producer_id)
        conn.execute("update producer set retired_at = %s where id = %s", (at, producer_id))
        audit.write(
            conn, actor, "producer.edit", "producer", producer_id,
            {"retired": was["retired_at"] is not None}, {"retired": at is not None},
        )  # fmt: skip


def saw_event(conn: Conn, producer_id: int) -> None:
    conn.execute("update producer set last_event_at = now() where id = %s", (producer_id,))


def refused(conn: Conn, producer_id: int) -> None:
    """An expired or revoked key of this producer was used."""
    conn.execute(
        """update producer set last_refused_at = now()
           where id = %s and (last_refused_at is null or last_refused_at < now() - interval '5 seconds')""",
        (producer_id,),
    )


def _seconds(every: timedelta | None) -> int | None:
    return None if every is None else int(every.total_seconds())
