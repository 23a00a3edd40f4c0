"""People: only admins, and only people, manage who may sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api import cursor
from api.resource import Call, Given, Out, Page, PageQuery, Resource, Text, if_match
from auth import passwords, signin
from auth.roles import ADMIN_PERSON
from store import audit, sessions, users

resource = Resource("users")

Role = Literal["admin", "responder", "viewer"]


class UserOut(Out):
    id: UUID
    issuer: str
    subject: str
    username: str
    display_name: str
    role: Role
    must_change: bool
    disabled: bool
    created_at: datetime
    version: int


class NewUserOut(UserOut):
    one_time_password: str | None = Field(description="Shown once; the first sign-in asks for another")


class NewUser(Given):
    username: Text = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._@+-]+$")
    role: Role
    display_name: Text = Field("", max_length=200)
    password: Text | None = Field(
        None,
        min_length=passwords.SHORTEST,
        max_length=passwords.LONGEST,
        description="Left out: a one-time password is made and answered once",
    )


class UserChange(Given):
    display_name: Text | None = Field(None, max_length=200)
    role: Role | None = None
    disabled: bool | None = None
    version: int | None = Field(
        None, ge=1, le=2**31 - 1, description="The version that was read (or If-Match)"
    )


class OneTime(Out):
    one_time_password: str


class UserSession(Out):
    id: UUID
    kind: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    remote_addr: str
    user_agent: str


class UserSessions(Out):
    items: list[UserSession]


class Ended(Out):
    ended: int


@resource.get("/users", need=ADMIN_PERSON, query=PageQuery, returns=Page[UserOut])
def list_users(call: Call) -> dict[str, Any]:
    """Who may sign in, by username."""
    after = cursor.text(call.query.cursor)
    with call.dlv.record.tx() as conn:
        rows = users.page(conn, call.query.limit + 1, after)
    more = len(rows) > call.query.limit
    rows = rows[: call.query.limit]
    return {
        "items": [_shown(r) for r in rows],
        "next": cursor.encode([rows[-1]["username"]]) if more else None,
    }


@resource.post("/users", need=ADMIN_PERSON, body=NewUser, returns=NewUserOut, status=201)
def create_user(call: Call) -> dict[str, Any]:
    """Let somebody in. They choose their own password at the first sign-in."""
    said = call.body
    row, one_time = signin.add_user(
        call.dlv.record, call.actor, said.username, said.role, said.display_name, said.password
    )
    return _shown(row) | {"one_time_password": one_time}


@resource.get("/users/{id}", need=ADMIN_PERSON, returns=UserOut)
def get_user(call: Call, id: UUID) -> dict[str, Any]:
    """One person."""
    with call.dlv.record.tx() as conn:
        return _shown(users.get(conn, id))


@resource.patch("/users/{id}", need=ADMIN_PERSON, body=UserChange, returns=UserOut)
def edit_user(call: Call, id: UUID) -> dict[str, Any]:
    """Change name, role or whether they may sign in.

    A change of role and a disable end all sessions of that person at once. `version` (or If-Match) guards against
    overwriting what somebody else saved in between: 412 then.
    """
    changes = {k: v for k, v in call.body.model_dump(exclude={"version"}).items() if v is not None}
    version = call.body.version if call.body.version is not None else if_match()
    with call.dlv.record.tx() as conn:
        return _shown(users.edit(conn, call.actor, id, changes, version))


@resource.post("/users/{id}/password", need=ADMIN_PERSON, returns=OneTime)
def reset_password(call: Call, id: UUID) -> dict[str, Any]:
    """Make a one-time password for somebody who forgot theirs; all their sessions end."""
    return {"one_time_password": signin.reset_password(call.dlv.record, call.actor, id)}


@resource.get("/users/{id}/sessions", need=ADMIN_PERSON, returns=UserSessions)
def list_sessions(call: Call, id: UUID) -> dict[str, Any]:
    """Where somebody is signed in."""
    with call.dlv.record.tx() as conn:
        users.get(conn, id)
        return {"items": sessions.of_user(conn, id)}


@resource.delete("/users/{id}/sessions", need=ADMIN_PERSON, returns=Ended)
def end_sessions(call: Call, id: UUID) -> dict[str, Any]:
    """End all sessions of somebody."""
    with call.dlv.record.tx() as conn:
        users.get(conn, id)
        ended = sessions.end_all(conn, id, "ended by an admin")
        audit.write(conn, call.actor, "session.end_all", "user", id, after={"ended": ended})
    return {"ended": ended}


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    shown = {k: v for k, v in row.items() if k != "disabled_at"}
    return shown | {"disabled": row["disabled_at"] is not None}
