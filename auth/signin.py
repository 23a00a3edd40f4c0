"""Signing in: throttled by name and by address, the same work for names nobody has, every try in the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from auth import passwords, tokens
from errors import Invalid, Throttled, Unauthenticated
from settings import Settings
from store import audit, sessions, users
from store.audit import SYSTEM, Actor
from store.record import Conn, Record

WITHIN = timedelta(minutes=15)
#: failures within that time after which no password is looked at any more
BY_NAME, BY_ADDRESS = 10, 50


@dataclass(frozen=True)
class SignedIn:
    user_id: UUID
    username: str
    session_id: UUID
    expires_at: datetime
    must_change: bool


def sign_in(
    record: Record, username: str, password: str, kind: str, remote_addr: str, user_agent: str
) -> SignedIn:
    """Open a session (``kind`` page or api).

    Raises :class:`errors.Unauthenticated` with one message for every reason, or :class:`errors.Throttled`.
    """
    username = username.strip()[:200].replace("\x00", "")
    with record.tx() as conn:
        by_name, by_address, left = sessions.failures(conn, username, remote_addr, WITHIN)
        user = users.for_sign_in(conn, username)
    if by_name >= BY_NAME or by_address >= BY_ADDRESS:
        raise Throttled(
            "too many failed sign-ins",
            retry_after=max(1, int(left) + 1),
            hint="wait, or ask an admin for help",
        )
    # no connection is held during the hash, so that many tries at once do not empty the pool
    right = passwords.matches(password, user["password_hash"] if user else None)
    if user is None or not right or user["disabled_at"] is not None:
        with record.tx() as conn:
            sessions.tried(conn, username, remote_addr, succeeded=False)
            audit.write(
                conn,
                Actor("user", str(user["id"]) if user else "", username[:80], remote_addr),
                "session.refused",
                "user",
                user["id"] if user else username[:80],
                after={"kind": kind, "why": _why(user, right)},
            )
        raise Unauthenticated("wrong username or password")
    rehash = passwords.hashed(password) if passwords.outdated(user["password_hash"]) else None
    with record.tx() as conn:
        if rehash:
            conn.execute("update app_user set password_hash = %s where id = %s", (rehash, user["id"]))
        sessions.tried(conn, username, remote_addr, succeeded=True)
        session = sessions.start(conn, user["id"], kind, remote_addr, user_agent)
        who = Actor("user", str(user["id"]), user["username"], remote_addr)
        audit.write(conn, who, "session.start", "session", session["id"], after={"kind": kind})
    return SignedIn(user["id"], user["username"], session["id"], session["expires_at"], user["must_change"])


def _why(user: dict[str, Any] | None, right: bool) -> str:
    if user is None:
        return "no such user"
    return "disabled" if right else "wrong password"


def sign_out(record: Record, actor: Actor, session_id: UUID, reason: str = "signed out") -> None:
    with record.tx() as conn:
        if sessions.end(conn, session_id, reason):
            audit.write(conn, actor, "session.end", "session", session_id, after={"reason": reason})


def api_pair(record: Record, signed: SignedIn) -> tokens.Pair:
    """The tokens of a session that signed in by REST."""
    made = tokens.pair(signed.user_id, signed.session_id)
    with record.tx() as conn:
        sessions.add_refresh(conn, made.refresh_jti, signed.session_id, made.refresh_expires_at)
    return made


def refresh(record: Record, token: str, remote_addr: str) -> tokens.Pair:
    """A new pair for a refresh token, which is used up by that.

    A token used a second time was copied by somebody: the whole session ends, whoever came first.
    """
    claims = tokens.read_refresh(token)
    session_id = UUID(claims["sid"])
    reused = None
    with record.tx() as conn:
        row = sessions.use_refresh(conn, UUID(claims["jti"]))
        if row is None or row["session_id"] != session_id:
            raise Unauthenticated("the refresh token is not ours", field="refresh_token")
        if not row["first"]:
            reused = row
            if sessions.end(conn, session_id, "refresh token used twice"):
                who = Actor("user", str(row["user_id"]), row["username"], remote_addr)
                why = {"reason": "refresh token used twice"}
                audit.write(conn, who, "session.end", "session", session_id, after=why)
    if reused:
        raise Unauthenticated(
            "the refresh token was used before; the session is ended",
            field="refresh_token",
            hint="sign in again",
        )
    person = sessions.look(record, session_id)
    if person is None:
        raise Unauthenticated("the session has ended", hint="sign in again")
    made = tokens.pair(person["user_id"], session_id)
    with record.tx() as conn:
        sessions.add_refresh(conn, made.refresh_jti, session_id, made.refresh_expires_at)
    return made


def change_password(
    record: Record,
    actor: Actor,
    user_id: UUID,
    username: str,
    current: str,
    new: str,
    session_id: UUID | None,
) -> None:
    """One's own: the current one proves who asks; every other session ends."""
    passwords.check_new(new, username)
    with record.tx() as conn:
        by_name, _, left = sessions.failures(conn, username, actor.remote_addr, WITHIN)
        known = users.password_hash(conn, user_id)
    if by_name >= BY_NAME:
        raise Throttled("too many wrong passwords", retry_after=max(1, int(left) + 1))
    if not passwords.matches(current, known):
        with record.tx() as conn:
            sessions.tried(conn, username, actor.remote_addr, succeeded=False)
        raise Invalid("the current password is wrong", field="current_password")
    if current == new:
        raise Invalid("the new password is the old one", field="new_password", hint="choose another")
    with record.tx() as conn:
        users.set_password(conn, actor, user_id, passwords.hashed(new), must_change=False, but=session_id)


def add_user(
    record: Record,
    actor: Actor,
    username: str,
    role: str,
    display_name: str = "",
    password: str | None = None,
) -> tuple[dict[str, Any], str | None]:
    """A new local user, and the one-time password where none was given."""
    if password is not None:
        passwords.check_new(password, username, "password")
    secret = password or passwords.one_time()
    with record.tx() as conn:
        row = users.create(
            conn, actor, username, role, passwords.hashed(secret), display_name=display_name, must_change=True
        )
    return row, None if password else secret


def reset_password(record: Record, actor: Actor, user_id: UUID) -> str:
    """A one-time password instead of the forgotten one; all sessions end."""
    secret = passwords.one_time()
    with record.tx() as conn:
        users.set_password(conn, actor, user_id, passwords.hashed(secret), must_change=True)
    return secret


def first_admin(record: Record, settings: Settings) -> str | None:
    """Make ``admin`` where nobody administers yet. Returns the one-time password to print, or None where
    DLV_ADMIN_PASSWORD set it or an admin exists.
    """
    secret = settings.admin_password or passwords.one_time()
    with record.tx() as conn:
        if _has_admin(conn):
            return None
    with record.tx() as conn:
        # two processes that start at once: the lock makes the second wait and then see the first one's
        conn.execute("lock table app_user in share row exclusive mode")
        if _has_admin(conn):
            return None
        users.create(
            conn,
            SYSTEM,
            "admin",
            "admin",
            passwords.hashed(secret),
            display_name="Administrator",
            must_change=settings.admin_password is None,
        )
    return None if settings.admin_password else secret


def reset_admin(record: Record, username: str = "admin", password: str | None = None) -> str:
    """From the command line, when nobody can sign in: the user (made if missing) is an enabled admin again.

    Returns the password: the one given, or a one-time password.
    """
    secret = password or passwords.one_time()
    with record.tx() as conn:
        user = users.for_sign_in(conn, username)
        if user is None:
            users.create(
                conn, SYSTEM, username, "admin", passwords.hashed(secret), must_change=password is None
            )
        else:
            users.edit(conn, SYSTEM, user["id"], {"role": "admin", "disabled": False})
            users.set_password(
                conn, SYSTEM, user["id"], passwords.hashed(secret), must_change=password is None
            )
    return secret


def _has_admin(conn: Conn) -> bool:
    return users.any_admin(conn)
