"""The outbox: what channels are to be told, in order, and the log of what became of it.

A row is written in the transaction that decided it. Sending it is apart: somebody takes it for a while, sends, and
writes what came of it. Who dies in between leaves a row that is taken again when the while is over, so a message goes
out at least once, and at most twice for each such death.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from errors import Conflict, NotFound
from store import audit
from store.audit import Actor
from store.record import Conn

#: how long who sends a message may take; longer than any channel's time limits together
HELD = timedelta(seconds=150)


def put(
    conn: Conn,
    incident_id: UUID,
    channel_id: UUID,
    rule_id: UUID | None,
    event: str,
    *,
    loud: bool,
    content: Mapping[str, Any],
    silence_id: UUID | None = None,
) -> UUID:
    """Decide that a channel is told. With ``silence_id`` it is only noted that it was not.

    What waits for the same channel and says less is superseded: updates by anything, an acknowledgement or a reminder by
    the end. A trigger that waits is still sent first, so that an end never comes alone.
    """
    id_ = uuid4()
    if silence_id is None:
        dropped = conn.execute(
            """update notification set status = 'superseded', next_try_at = null, ended_at = now()
                where incident_id = %(incident)s and channel_id = %(channel)s and status = 'pending'
                  and (held_until is null or held_until <= now())
                  and (event = 'update' or (event in ('acknowledge', 'remind') and %(event)s = 'resolve'))
            returning loud""",
            {"incident": incident_id, "channel": channel_id, "event": event},
        ).fetchall()
        # a quiet change on top of a loud one that nobody has heard yet is still to be heard
        loud = loud or (event == "update" and any(r["loud"] for r in dropped))
        if loud or event in ("acknowledge", "resolve"):
            conn.execute(
                """update notification set remind_at = null
                    where incident_id = %s and channel_id = %s and remind_at is not null""",
                (incident_id, channel_id),
            )
    conn.execute(
        """insert into notification (id, incident_id, channel_id, rule_id, event, loud, content, status, silence_id,
                                     next_try_at, ended_at)
           values (%(id)s, %(incident)s, %(channel)s, %(rule)s, %(event)s, %(loud)s, %(content)s,
                   case when %(silence)s::uuid is null then 'pending' else 'silenced' end, %(silence)s,
                   case when %(silence)s::uuid is null then now() end,
                   case when %(silence)s::uuid is not null then now() end)""",
        {
            "id": id_,
            "incident": incident_id,
            "channel": channel_id,
            "rule": rule_id,
            "event": event,
            "loud": loud,
            "content": Jsonb(dict(content)),
            "silence": silence_id,
        },
    )
    return id_


def test(
    conn: Conn, id_: UUID, channel_id: UUID, content: Mapping[str, Any], *, error: str = "", answer: str = ""
) -> None:
    """Note a test message that was sent by hand and what came of it."""
    conn.execute(
        """insert into notification (id, channel_id, event, content, status, attempts, error, answer, ended_at)
           values (%s, %s, 'test', %s, %s, 1, %s, %s, now())""",
        (id_, channel_id, Jsonb(dict(content)), "failed" if error else "delivered", error, answer),
    )


def known(conn: Conn, incident_id: UUID) -> dict[UUID, dict[str, Any]]:
    """{channel: the newest row it was, or is about to be, told of this incident}."""
    rows = conn.execute(
        """select distinct on (channel_id) id, channel_id, rule_id, event, content, status, created_at
             from notification
            where incident_id = %s and status in ('pending', 'delivered') order by channel_id, seq desc""",
        (incident_id,),
    )
    return {r["channel_id"]: r for r in rows}


def silenced_by(conn: Conn, incident_id: UUID) -> set[tuple[UUID, UUID]]:
    """(channel, silence) already noted for this incident."""
    rows = conn.execute(
        "select channel_id, silence_id from notification where incident_id = %s and status = 'silenced'",
        (incident_id,),
    )
    return {(r["channel_id"], r["silence_id"]) for r in rows}


def take(conn: Conn, limit: int, busy: Iterable[UUID] = (), each: int = 2) -> list[dict[str, Any]]:
    """Take messages that are due, at most ``each`` a channel and none of channels that are ``busy``: with the channel, and
    the reference of what it was told before. Of one incident a channel gets the oldest first."""
    return conn.execute(
        """
        with ranked as (
          select n.id, row_number() over (partition by n.channel_id order by n.next_try_at, n.seq) as turn
            from notification n
           where n.status = 'pending' and n.next_try_at <= now() and n.channel_id <> all(%(busy)s::uuid[])
             and not exists (select 1 from notification e
                              where e.incident_id = n.incident_id and e.channel_id = n.channel_id
                                and e.seq < n.seq and e.status = 'pending')),
        due as (
          select n.id from notification n join ranked r on r.id = n.id
           where r.turn <= %(each)s and n.status = 'pending' and n.next_try_at <= now()
           order by n.next_try_at, n.seq limit %(limit)s for update of n skip locked),
        taken as (
          update notification n set attempts = n.attempts + 1, held_until = now() + %(held)s, next_try_at = now() + %(held)s
            from due where n.id = due.id
          returning n.*)
        select t.*, c.kind, c.name as channel_name, c.fields, c.secrets,
               (select e.reference from notification e
                 where e.incident_id = t.incident_id and e.channel_id = t.channel_id and e.seq < t.seq
                   and e.reference is not null order by e.seq desc limit 1) as before
          from taken t join channel c on c.id = t.channel_id order by t.seq
        """,
        {"limit": limit, "busy": list(busy), "each": each, "held": HELD},
    ).fetchall()


def delivered(conn: Conn, row: Mapping[str, Any], answer: str, reference: Mapping[str, Any] | None) -> bool:
    """The receiver took it. False: somebody else ended it meanwhile. The wait for a reminder begins now."""
    done = conn.execute(
        """update notification set status = 'delivered', next_try_at = null, held_until = null, ended_at = now(),
                  error = '', answer = %(answer)s, reference = %(reference)s,
                  remind_at = case when loud and event <> 'resolve'
                                   then now() + make_interval(mins => (content ->> 'repeat_minutes')::integer) end
            where id = %(id)s and attempts = %(attempts)s and status = 'pending'""",
        {
            "id": row["id"],
            "attempts": row["attempts"],
            "answer": answer[:500],
            "reference": Jsonb(dict(reference)) if reference else None,
        },
    )
    return done.rowcount == 1


def failed(conn: Conn, row: Mapping[str, Any], error: str, again: float | None) -> bool:
    """The try failed. ``again``: seconds until the next one; None: given up."""
    done = conn.execute(
        """update notification set status = case when %(again)s::float8 is null then 'failed' else 'pending' end,
                  next_try_at = now() + make_interval(secs => %(again)s::float8), held_until = null, error = %(error)s,
                  ended_at = case when %(again)s::float8 is null then now() end
            where id = %(id)s and attempts = %(attempts)s and status = 'pending'""",
        {"id": row["id"], "attempts": row["attempts"], "again": again, "error": error[:1000]},
    )
    return done.rowcount == 1


def to_remind(conn: Conn, limit: int = 50) -> list[dict[str, Any]]:
    """Messages of open incidents that nobody acknowledged and that are to be told again; takes the mark off them."""
    rows = conn.execute(
        """select n.id, n.incident_id, n.channel_id, n.rule_id, n.content, c.kind, c.fields, c.name as channel_name,
                  i.status = 'open' and i.acknowledged_at is null and c.retired_at is null as open
             from notification n join incident i on i.id = n.incident_id join channel c on c.id = n.channel_id
            where n.remind_at <= now() order by n.remind_at limit %s for update of n skip locked""",
        (limit,),
    ).fetchall()
    conn.execute("update notification set remind_at = null where id = any(%s)", ([r["id"] for r in rows],))
    return [r for r in rows if r["open"]]


def retry(conn: Conn, actor: Actor, id_: UUID) -> dict[str, Any]:
    """Send a message that waits or was given up, now; its tries are counted anew."""
    row = conn.execute(
        """select n.status, n.event, n.incident_id, n.held_until > now() as held,
                  (select i.status from incident i where i.id = n.incident_id) as incident_status
             from notification n where n.id = %s for update""",
        (id_,),
    ).fetchone()
    if row is None:
        raise NotFound(f"no notification has the id {id_}", field="id")
    if row["incident_id"] is None:
        raise Conflict("this was a test", field="id", hint="test the channel again")
    if row["status"] not in ("pending", "failed"):
        raise Conflict(
            f"it is {row['status']}", field="id", hint="only what waits or failed can be tried again"
        )
    later = conn.execute(
        """select n.event from notification n join notification o on o.id = %s
            where n.incident_id = o.incident_id and n.channel_id = o.channel_id and n.seq > o.seq
              and n.status in ('pending', 'delivered') limit 1""",
        (id_,),
    ).fetchone()
    if later or (row["event"] != "resolve" and row["incident_status"] != "open"):
        raise Conflict(
            "it is out of date",
            field="id",
            hint="the channel was told what followed, or the incident is over",
        )
    if row["held"]:
        raise Conflict("it is being sent at this moment", field="id", hint="look again in a minute")
    conn.execute(
        """update notification set status = 'pending', next_try_at = now(), attempts = 0, ended_at = null, held_until = null
            where id = %s""",
        (id_,),
    )
    audit.write(
        conn,
        actor,
        "notification.retry",
        "notification",
        id_,
        {"status": row["status"]},
        {"status": "pending"},
    )
    return get(conn, id_)


_SHOWN = """n.id, n.seq, n.incident_id, n.channel_id, n.rule_id, n.event, n.loud, n.content, n.status, n.silence_id,
            n.created_at, n.next_try_at, n.held_until, n.attempts, n.error, n.answer, n.ended_at,
            c.name as channel_name, c.kind as channel_kind, r.name as rule_name, i.number, i.title"""
_FROM = """notification n join channel c on c.id = n.channel_id left join alert_rule r on r.id = n.rule_id
           left join incident i on i.id = n.incident_id"""


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    row = conn.execute(f"select {_SHOWN} from {_FROM} where n.id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no notification has the id {id_}", field="id")
    return row


def page(
    conn: Conn,
    *,
    incident: UUID | None = None,
    channel: UUID | None = None,
    status: list[str] | None = None,
    limit: int = 100,
    before: int | None = None,
) -> list[dict[str, Any]]:
    """The delivery log, newest first; ``before``: rows of a smaller ``seq``."""
    return conn.execute(
        f"""select {_SHOWN} from {_FROM}
             where (%(incident)s::uuid is null or n.incident_id = %(incident)s)
               and (%(channel)s::uuid is null or n.channel_id = %(channel)s)
               and (%(status)s::text[] is null or n.status = any(%(status)s))
               and (%(before)s::bigint is null or n.seq < %(before)s)
             order by n.seq desc limit %(limit)s""",
        {
            "incident": incident,
            "channel": channel,
            "status": status or None,
            "before": before,
            "limit": limit,
        },
    ).fetchall()


def figures(conn: Conn) -> dict[str, Any]:
    """{waiting, oldest (a time or None), rules (that are on), channels: [{name, kind, failing}]} for banner and metrics.
    ``failing``: since when a channel's newest messages all failed, None where they arrive."""
    row = conn.execute(
        """select (select count(*) from notification where status = 'pending') as waiting,
                  (select min(created_at) from notification where status = 'pending') as oldest,
                  (select count(*) from alert_rule r where r.enabled
                      and exists (select 1 from channel c where c.id = any(r.channels) and c.retired_at is null)) as rules"""
    ).fetchone()
    assert row
    channels = conn.execute(
        """select c.name, c.kind, (select min(n.created_at) from notification n
                   where n.channel_id = c.id and n.error <> '' and n.status in ('pending', 'failed') and n.event <> 'test'
                     and n.seq > coalesce((select max(d.seq) from notification d
                                            where d.channel_id = c.id and d.status = 'delivered'), 0)) as failing
             from channel c where c.retired_at is null order by lower(c.name)"""
    ).fetchall()
    return row | {"channels": channels}


def nobody_told(conn: Conn) -> bool:
    """Whether an incident is open and no rule that is on names a channel."""
    row = conn.execute(
        """select exists (select 1 from incident where status = 'open')
                  and not exists (select 1 from alert_rule r join channel c on c.id = any(r.channels)
                                   where r.enabled and c.retired_at is null) as nobody"""
    ).fetchone()
    return bool(row and row["nobody"])


def expire(conn: Conn, days: int) -> int:
    """Drop what ended so many days ago, and whose incident is over; how many rows."""
    done = conn.execute(
        """delete from notification n where n.created_at < now() - make_interval(days => %s) and n.status <> 'pending'
             and not exists (select 1 from incident i where i.id = n.incident_id and i.status = 'open')""",
        (days,),
    )
    return done.rowcount
