"""Producers: what sends events. One row a key name, so that a producer survives the rotation of its keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from errors import Conflict, Invalid, NotFound
from store import audit, health, incidents
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


def known(conn: Conn, value: Any) -> list[int]:
    """Ids of producers that exist, each once, in the order they were given; :class:`errors.Invalid` names
    ``producers``.
    """
    if not isinstance(value, list | tuple) or len(value) > 200:
        raise Invalid("producers is not a list of at most 200 ids", field="producers")
    try:
        ids = list(dict.fromkeys(int(v) for v in value))
    except (TypeError, ValueError):
        raise Invalid(
            "producers has an entry that is no id", field="producers", hint="ids are numbers"
        ) from None
    there = {r["id"] for r in conn.execute("select id from producer where id = any(%s)", (ids,))}
    for i in ids:
        if i not in there:
            raise Invalid(f"no producer has the id {i}", field="producers")
    return ids


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
        if (was["retired_at"] is None) == (at is None):
            continue
        conn.execute(
            """update producer set retired_at = %s, quiet_since = case when %s then null else quiet_since end,
                      quiet_reason = case when %s then null else quiet_reason end where id = %s""",
            (at, at is not None, at is not None, producer_id),
        )
        if at is not None and was["quiet_since"] is not None:
            incidents.close_producer(conn, producer_id, f"nothing more is expected from {was['name']}", at)
        judge_soon(conn, producer_id, at or datetime.now(UTC))
        audit.write(
            conn, actor, "producer.edit", "producer", producer_id,
            {"retired": was["retired_at"] is not None}, {"retired": at is not None},
        )  # fmt: skip


def saw_event(conn: Conn, producer_id: int) -> None:
    conn.execute("update producer set last_event_at = now() where id = %s", (producer_id,))


def refused(conn: Conn, producer_id: int) -> None:
    """An expired or revoked key of this producer was used."""
    conn.execute(
        """update producer set last_refused_at = now(),
                  refused_since = case when refused_since > coalesce(last_event_at, '-infinity') then refused_since
                                       else now() end
           where id = %s and (last_refused_at is null or last_refused_at < now() - interval '5 seconds')""",
        (producer_id,),
    )


def connect(conn: Conn, actor: Actor, producer_id: int, connection_id: UUID | None) -> None:
    """Through which connection to Airflow the run states of a silence are fetched; None: they stay unknown.

    :class:`errors.Invalid` where it is none to Airflow.
    """
    was = get(conn, producer_id)
    if connection_id is not None:
        row = conn.execute(
            "select kind from connection where id = %s and retired_at is null", (connection_id,)
        ).fetchone()
        if row is None or row["kind"] != "airflow":
            raise Invalid(
                "that is no connection to Airflow", field="connection_id", hint="add one under Connections"
            )
    conn.execute("update producer set connection_id = %s where id = %s", (connection_id, producer_id))
    conn.execute(
        """update producer_gap set next_try_at = case when %s::uuid is null then null else now() end, tries = 0
           where producer_id = %s and filled_at is null and ended_at > now() - interval '3 days'""",
        (connection_id, producer_id),
    )
    audit.write(
        conn, actor, "producer.edit", "producer", producer_id,
        {"connection_id": was["connection_id"] and str(was["connection_id"])},
        {"connection_id": connection_id and str(connection_id)},
    )  # fmt: skip


# ---------------------------------------------------------------- silence


def watched(conn: Conn) -> list[dict[str, Any]]:
    """Producers that ever sent an event and of which more is expected, locked one by one by who judges them."""
    return conn.execute(
        f"select {_SHOWN}, refused_since from producer where last_event_at is not null and retired_at is null order by id"
    ).fetchall()


def went_quiet(conn: Conn, producer_id: int, since: datetime, reason: str, now: datetime) -> bool:
    """Write that it is quiet and mark its nodes for judging; False where another had done so."""
    row = conn.execute(
        """update producer set quiet_since = %s, quiet_reason = %s
           where id = %s and quiet_since is null and last_event_at <= %s returning id""",
        (since, reason[:500], producer_id, now),
    ).fetchone()
    if row is None:
        return False
    judge_soon(conn, producer_id, now)
    return True


def came_back(conn: Conn, producer_id: int, now: datetime) -> dict[str, Any] | None:
    """Write that it sends again, keep the silence as a gap, and mark its nodes for judging; None where another had."""
    row = conn.execute(
        """with was as (select id, name, quiet_since, last_event_at, connection_id from producer
                        where id = %s and quiet_since is not null for update)
           update producer p set quiet_since = null, quiet_reason = null from was where p.id = was.id
           returning was.*""",
        (producer_id,),
    ).fetchone()
    if row is None:
        return None
    why = f"its producer {row['name']} was quiet from {_moment(row['quiet_since'])} to {_moment(row['last_event_at'])}"
    add_gap(conn, producer_id, row["quiet_since"], row["last_event_at"], why, now)
    judge_soon(conn, producer_id, now)
    return row


def judge_soon(conn: Conn, producer_id: int, now: datetime) -> None:
    """Whatever hangs on this producer is judged at the next turn."""
    conn.execute(
        "update node set judge_at = %s where id = any(%s)", (now, health.of_producer(conn, producer_id))
    )


def add_gap(
    conn: Conn, producer_id: int, began: datetime, ended: datetime, reason: str, now: datetime
) -> int:
    """Note a time in which nothing could be heard of a producer; it is asked for where it has a connection. 0 where it
    is noted already."""
    return conn.execute(
        """insert into producer_gap (producer_id, began_at, ended_at, reason, next_try_at)
           select id, %s, %s, %s, case when connection_id is not null then %s::timestamptz end from producer where id = %s
           on conflict (producer_id, began_at) do nothing""",
        (began, ended, reason[:500], now, producer_id),
    ).rowcount


def own_absences(conn: Conn, since: datetime) -> list[dict[str, Any]]:
    """Times since then in which DLV itself may not have heard: it or its web did not run, its record was away, or the
    clock was set. ``ended_at`` None: it lasts; ``gap``: what fell due in it is not known."""
    return conn.execute(
        """select began_at, ended_at, reason,
                  ended_at - began_at >= interval '1 minute' and reason not like 'the clock went back%%' as gap
           from own_gap where part in ('scheduler', 'web') and (ended_at is null or ended_at > %s) order by began_at""",
        (since,),
    ).fetchall()


def deaf_since(conn: Conn) -> datetime | None:
    """Since when no web gives a sign of life, so that nothing can be heard; None: one does, or none ever did."""
    row = conn.execute(
        "select min(began_at) as at from own_gap where part = 'web' and ended_at is null"
    ).fetchone()
    return row["at"] if row else None


def heard_between(conn: Conn, began: datetime, ended: datetime) -> set[int]:
    """Producers of which an event was accepted in a time that ended not long ago."""
    rows = conn.execute(
        """select distinct producer_id from (
               select producer_id, received_at from event where day >= %s order by id desc limit 20000) e
           where received_at > %s and received_at < %s""",
        (began.date(), began + timedelta(seconds=30), ended - timedelta(seconds=30)),
    )
    return {r["producer_id"] for r in rows}


def take_gap(conn: Conn, now: datetime, lease: timedelta) -> dict[str, Any] | None:
    """A gap whose time to be filled has come, taken for ``lease``: {id, began_at, ended_at, tries, producer_id, name,
    environment, connection_id}."""
    return conn.execute(
        """with due as (
               select g.id from producer_gap g join producer p on p.id = g.producer_id
               where g.filled_at is null and g.next_try_at <= %(now)s and p.quiet_since is null
                 and p.connection_id is not null
               order by g.next_try_at limit 1 for update of g skip locked)
           update producer_gap g set next_try_at = %(now)s + %(lease)s, tries = tries + 1
           from due, producer p where g.id = due.id and p.id = g.producer_id
           returning g.id, g.began_at, g.ended_at, g.tries, g.producer_id, p.name, p.environment, p.connection_id""",
        {"now": now, "lease": lease},
    ).fetchone()


def filled(conn: Conn, gap: dict[str, Any], now: datetime) -> None:
    """The run states of the gap are known; what hangs on them is judged."""
    conn.execute(
        "update producer_gap set filled_at = %s, next_try_at = null, error = null where id = %s",
        (now, gap["id"]),
    )
    judge_soon(conn, gap["producer_id"], now)


def not_filled(conn: Conn, gap_id: int, error: str, again: datetime | None) -> None:
    conn.execute(
        "update producer_gap set error = %s, next_try_at = %s where id = %s", (error[:500], again, gap_id)
    )


def asked(conn: Conn) -> list[dict[str, Any]]:
    """Producers whose Airflow can be asked: {id, name, connection_id}."""
    return conn.execute(
        """select p.id, p.name, p.connection_id from producer p join connection c on c.id = p.connection_id
           where p.retired_at is null and c.retired_at is null order by p.id"""
    ).fetchall()


def pause(conn: Conn, producer_id: int, dags: Mapping[str, bool], now: datetime) -> int:
    """Which of a producer's DAGs are paused, by name: their tasks with them; how many nodes changed."""
    return conn.execute(
        """
        with said as (select * from unnest(%s::text[], %s::bool[]) x(name, paused)),
        dags as (
            select s.alias_id as id, x.paused from alias_sent s join said x on x.name = s.name
            join alias a on a.id = s.alias_id and a.kind = 'dag' where s.producer_id = %s and s.type = 'job'),
        whole as (
            select id, paused from dags
            union select c.id, d.paused from dags d join alias c on c.parent_id = d.id)
        update node n set paused = w.paused, judge_at = %s from whole w join alias a on a.id = w.id
        where n.id = a.node_id and n.paused <> w.paused
        """,
        (list(dags), list(dags.values()), producer_id, now),
    ).rowcount


def spoiled_keys(conn: Conn, producer_id: int) -> str:
    """Why keys of a producer are refused, in words."""
    row = conn.execute(
        """select name, revoked_at, expires_at from api_key
           where producer_id = %s and (revoked_at is not null or expires_at <= now())
           order by coalesce(revoked_at, expires_at) desc limit 1""",
        (producer_id,),
    ).fetchone()
    if row is None:
        return "its key is refused"
    what = "was revoked" if row["revoked_at"] else "expired"
    return f"its key {row['name']} {what} at {_moment(row['revoked_at'] or row['expires_at'])} and is refused"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _seconds(every: timedelta | None) -> int | None:
    return None if every is None else int(every.total_seconds())
