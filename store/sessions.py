"""Sessions, refresh tokens and the count of failed sign-ins. What a session may do is read on every request."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from store.record import Conn, Record

#: a session that nobody used for so long has ended, by kind
IDLE = {"page": timedelta(hours=8), "api": timedelta(days=7)}
#: and this is its longest life
LIFE = {"page": timedelta(days=7), "api": timedelta(days=30)}


def start(conn: Conn, user_id: UUID, kind: str, remote_addr: str, user_agent: str) -> dict[str, Any]:
    """A new session; returns its id and ``expires_at``."""
    row = conn.execute(
        """insert into user_session (id, user_id, kind, expires_at, remote_addr, user_agent)
           values (%s, %s, %s, now() + %s, %s, %s) returning id, expires_at""",
        (uuid4(), user_id, kind, LIFE[kind], remote_addr, user_agent[:300].replace("\x00", "")),
    ).fetchone()
    assert row is not None
    return row


def look(record: Record, session_id: UUID) -> dict[str, Any] | None:
    """The person behind a live session, as the store has them now; None where it ended, expired or idled out.

    One query; ``last_seen_at`` is written at most once a minute.
    """
    with record.tx() as conn:
        row = conn.execute(
            """select s.id as session_id, s.kind, u.id as user_id, u.username, u.display_name, u.role,
                      u.must_change, s.last_seen_at < now() - interval '1 minute' as stale
               from user_session s join app_user u on u.id = s.user_id
               where s.id = %(id)s and s.ended_at is null and s.expires_at > now() and u.disabled_at is null
                 and s.last_seen_at > now() - case s.kind when 'page' then %(page)s else %(api)s end""",
            {"id": session_id} | IDLE,
        ).fetchone()
        if row and row["stale"]:
            conn.execute("update user_session set last_seen_at = now() where id = %s", (session_id,))
        return row


def of_user(conn: Conn, user_id: UUID) -> list[dict[str, Any]]:
    """Live sessions, newest first."""
    return conn.execute(
        """select id, kind, created_at, last_seen_at, expires_at, remote_addr, user_agent from user_session
           where user_id = %(user)s and ended_at is null and expires_at > now()
             and last_seen_at > now() - case kind when 'page' then %(page)s else %(api)s end
           order by created_at desc limit 200""",
        {"user": user_id} | IDLE,
    ).fetchall()


def end(conn: Conn, session_id: UUID, reason: str, user_id: UUID | None = None) -> bool:
    """End one session (of this user, where given). False where it had ended already."""
    done = conn.execute(
        """update user_session set ended_at = now(), end_reason = %(reason)s
           where id = %(id)s and ended_at is null and (%(user)s::uuid is null or user_id = %(user)s)""",
        {"id": session_id, "reason": reason, "user": user_id},
    )
    return done.rowcount == 1


def end_all(conn: Conn, user_id: UUID, reason: str, but: UUID | None = None) -> int:
    """End every session of a user, except ``but``; returns how many."""
    return conn.execute(
        """update user_session set ended_at = now(), end_reason = %(reason)s
           where user_id = %(user)s and ended_at is null and (%(but)s::uuid is null or id <> %(but)s)""",
        {"user": user_id, "reason": reason, "but": but},
    ).rowcount


def add_refresh(conn: Conn, jti: UUID, session_id: UUID, expires_at: datetime) -> None:
    conn.execute(
        "insert into refresh_token (jti, session_id, expires_at) values (%s, %s, %s)",
        (jti, session_id, expires_at),
    )


def use_refresh(conn: Conn, jti: UUID) -> dict[str, Any] | None:
    """Take a refresh token out of use.

    None: unknown. Otherwise ``first`` says whether this was its first use, with the session and its user.
    """
    used = conn.execute(
        "update refresh_token set used_at = now() where jti = %s and used_at is null and expires_at > now()",
        (jti,),
    )
    row = conn.execute(
        """select t.session_id, t.used_at is not null as was_used, s.user_id, u.username
           from refresh_token t join user_session s on s.id = t.session_id join app_user u on u.id = s.user_id
           where t.jti = %s""",
        (jti,),
    ).fetchone()
    return None if row is None else row | {"first": used.rowcount == 1}


def failures(conn: Conn, username: str, remote_addr: str, within: timedelta) -> tuple[int, int, float]:
    """Failed sign-ins of late: by this name, from this address, and seconds until the oldest of them is forgotten.

    A success forgives the failures of its name before it.
    """
    row = conn.execute(
        """with late as (
             select * from sign_in_attempt where at > now() - %(within)s and not succeeded
               and (username = %(name)s or remote_addr = %(addr)s))
           select count(*) filter (where username = %(name)s and at > coalesce(
                    (select max(at) from sign_in_attempt where username = %(name)s and succeeded
                       and at > now() - %(within)s), '-infinity')) as by_name,
                  count(*) filter (where remote_addr = %(addr)s) as by_addr,
                  coalesce(extract(epoch from min(at) + %(within)s - now()), 0)::float as left_s
           from late""",
        {"name": username, "addr": remote_addr, "within": within},
    ).fetchone()
    assert row is not None
    return row["by_name"], row["by_addr"], row["left_s"]


def tried(conn: Conn, username: str, remote_addr: str, succeeded: bool) -> None:
    conn.execute(
        "insert into sign_in_attempt (username, remote_addr, succeeded) values (%s, %s, %s)",
        (username, remote_addr, succeeded),
    )


def expire(record: Record, keep: timedelta = timedelta(days=90)) -> None:
    """Forget attempts of yesterday, used refresh tokens past their time, and sessions ended long ago."""
    with record.tx() as conn:
        conn.execute("delete from sign_in_attempt where at < now() - interval '1 day'")
        conn.execute("delete from refresh_token where expires_at < now()")
        conn.execute("delete from user_session where least(ended_at, expires_at) < now() - %s", (keep,))
