"""People who may sign in. Each is known by issuer and subject, so that single sign-on can vouch for them later."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from psycopg import errors as pg
from psycopg import sql

from errors import Changed, Conflict, NotFound
from store import audit, sessions
from store.audit import Actor
from store.record import Conn

ROLES = ("admin", "responder", "viewer")
_SHOWN = "id, issuer, subject, username, display_name, role, must_change, disabled_at, created_at, version"


def create(
    conn: Conn,
    actor: Actor,
    username: str,
    role: str,
    password_hash: str | None,
    *,
    display_name: str = "",
    must_change: bool = True,
    issuer: str = "local",
    subject: str | None = None,
) -> dict[str, Any]:
    """A new person. :class:`errors.Conflict` where the username is taken."""
    try:
        with conn.transaction():
            row = conn.execute(
                f"""insert into app_user (id, issuer, subject, username, display_name, role, password_hash, must_change)
                    values (%s, %s, %s, %s, %s, %s, %s, %s) returning {_SHOWN}""",
                (
                    uuid4(),
                    issuer,
                    subject or username,
                    username,
                    display_name,
                    role,
                    password_hash,
                    must_change,
                ),
            ).fetchone()
    except pg.UniqueViolation:
        raise Conflict(
            f"there is already a user {username!r}", field="username", hint="choose another username"
        ) from None
    assert row is not None
    audit.write(
        conn,
        actor,
        "user.create",
        "user",
        row["id"],
        after={"username": username, "display_name": display_name, "role": role},
    )
    return row


def get(conn: Conn, user_id: UUID) -> dict[str, Any]:
    row = conn.execute(f"select {_SHOWN} from app_user where id = %s", (user_id,)).fetchone()
    if row is None:
        raise NotFound("no such user")
    return row


def page(conn: Conn, limit: int, after: str | None = None) -> list[dict[str, Any]]:
    """By username, those after ``after``."""
    return conn.execute(
        f"""select {_SHOWN} from app_user where %(after)s::text is null or username > %(after)s
            order by username limit %(limit)s""",
        {"after": after, "limit": limit},
    ).fetchall()


def for_sign_in(conn: Conn, username: str) -> dict[str, Any] | None:
    """What sign-in needs of a local user, the password's hash among it; not for showing."""
    return conn.execute(
        """select id, username, role, password_hash, must_change, disabled_at from app_user
           where username = %s and issuer = 'local'""",
        (username,),
    ).fetchone()


def password_hash(conn: Conn, user_id: UUID) -> str | None:
    row = conn.execute("select password_hash from app_user where id = %s", (user_id,)).fetchone()
    return row["password_hash"] if row else None


def any_admin(conn: Conn) -> bool:
    found = conn.execute(
        "select 1 from app_user where role = 'admin' and disabled_at is null limit 1"
    ).fetchone()
    return found is not None


def edit(
    conn: Conn, actor: Actor, user_id: UUID, changes: dict[str, Any], version: int | None = None
) -> dict[str, Any]:
    """Change display_name, role or disabled (bool). A change of role and a disable end every session at once.

    :class:`errors.Changed` where ``version`` is not the stored one; :class:`errors.Conflict` where no admin would
    be left.
    """
    conn.execute("select 1 from app_user where role = 'admin' order by id for update")
    was = conn.execute(f"select {_SHOWN} from app_user where id = %s for update", (user_id,)).fetchone()
    if was is None:
        raise NotFound("no such user")
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else changed this user",
            version=was["version"],
            changes={k: {"yours": v, "theirs": _field(was, k)} for k, v in changes.items()},
            hint="look at what changed and save again",
        )
    before = {k: _field(was, k) for k, v in changes.items() if _field(was, k) != v}
    after = {k: changes[k] for k in before}
    if not after:
        return was
    demoted = ("role" in after and was["role"] == "admin") or after.get("disabled") is True
    if demoted and was["role"] == "admin" and was["disabled_at"] is None and not _other_admin(conn, user_id):
        raise Conflict(
            "this is the last admin",
            field="role" if "role" in after else "disabled",
            hint="make somebody else an admin first",
        )
    sets: list[sql.Composable] = [sql.SQL("version = version + 1")]
    if "disabled" in after:
        sets.append(sql.SQL("disabled_at = case when %(disabled)s then now() end"))
    sets += [
        sql.SQL("{} = {}").format(sql.Identifier(k), sql.Placeholder(k)) for k in after if k != "disabled"
    ]
    row = conn.execute(
        sql.SQL("update app_user set {} where id = %(id)s returning " + _SHOWN).format(
            sql.SQL(", ").join(sets)
        ),
        after | {"id": user_id},
    ).fetchone()
    assert row is not None
    if "role" in after or after.get("disabled") is True:
        sessions.end_all(conn, user_id, "role changed" if "role" in after else "disabled")
    audit.write(conn, actor, "user.edit", "user", user_id, before, after)
    return row


def set_password(
    conn: Conn, actor: Actor, user_id: UUID, new_hash: str, *, must_change: bool, but: UUID | None = None
) -> None:
    """Replace the password; every session ends, except ``but`` (the one that asked)."""
    done = conn.execute(
        """update app_user set password_hash = %s, must_change = %s, version = version + 1
           where id = %s and issuer = 'local'""",
        (new_hash, must_change, user_id),
    )
    if not done.rowcount:
        raise NotFound("no such local user")
    sessions.end_all(conn, user_id, "password changed", but)
    audit.write(
        conn, actor, "user.password_reset" if must_change else "user.password_change", "user", user_id
    )


def _other_admin(conn: Conn, user_id: UUID) -> bool:
    found = conn.execute(
        "select 1 from app_user where role = 'admin' and disabled_at is null and id <> %s limit 1", (user_id,)
    ).fetchone()
    return found is not None


def _field(row: dict[str, Any], name: str) -> Any:
    return row["disabled_at"] is not None if name == "disabled" else row[name]
