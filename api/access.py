"""Signing in by REST, and one's own account."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from flask import Response, request
from pydantic import Field

from api.resource import Call, Given, Out, Resource, Text, remote_addr
from auth import signin, tokens
from auth.roles import PERSON, READER
from errors import NotFound
from store import audit, sessions

resource = Resource("access")


class Login(Given):
    username: Text = Field(min_length=1, max_length=200)
    password: Text = Field(min_length=1, max_length=1000)


class Refresh(Given):
    refresh_token: Text = Field(min_length=1, max_length=4000)


class TokenPair(Out):
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int = Field(description="Seconds the access token lives")
    must_change: bool = Field(False, description="A one-time password was used: set a new one first")


class SessionOut(Out):
    id: UUID
    kind: str
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    remote_addr: str
    user_agent: str
    current: bool


class Sessions(Out):
    items: list[SessionOut]


class Me(Out):
    kind: Literal["user", "api_key"]
    id: UUID
    name: str
    display_name: str
    role: str | None
    scopes: list[str]
    must_change: bool


class NewPassword(Given):
    current_password: Text = Field(max_length=1000)
    new_password: Text = Field(max_length=1000)


@resource.post("/auth/login", need=None, body=Login, returns=TokenPair)
def login(call: Call) -> dict[str, Any]:
    """Sign in: a short access token, and a refresh token for the next one."""
    signed = signin.sign_in(
        call.dlv.record,
        call.body.username,
        call.body.password,
        "api",
        remote_addr(),
        request.headers.get("User-Agent", ""),
    )
    return _tokens(signin.api_pair(call.dlv.record, signed)) | {"must_change": signed.must_change}


@resource.post("/auth/refresh", need=None, body=Refresh, returns=TokenPair)
def refresh(call: Call) -> dict[str, Any]:
    """A new pair for a refresh token.

    Each refresh token works once. A second use ends the whole session: somebody copied it.
    """
    return _tokens(signin.refresh(call.dlv.record, call.body.refresh_token, remote_addr()))


@resource.post("/auth/logout", need=PERSON, status=204)
def logout(call: Call) -> Response:
    """End this session."""
    if call.principal.session_id is not None:
        signin.sign_out(call.dlv.record, call.actor, call.principal.session_id)
    response = Response(status=204)
    tokens.clear_page_cookies(response)
    return response


@resource.get("/me", need=READER, returns=Me)
def me(call: Call) -> dict[str, Any]:
    """Who the caller is."""
    who = call.principal
    return {
        "kind": who.kind,
        "id": who.id,
        "name": who.name,
        "display_name": who.display_name,
        "role": who.role,
        "scopes": sorted(who.scopes),
        "must_change": who.must_change,
    }


@resource.post("/me/password", need=PERSON, body=NewPassword, status=204)
def change_password(call: Call) -> None:
    """Change one's own password; every other session of yours ends."""
    who = call.principal
    signin.change_password(
        call.dlv.record,
        call.actor,
        who.id,
        who.name,
        call.body.current_password,
        call.body.new_password,
        who.session_id,
    )


@resource.get("/me/sessions", need=PERSON, returns=Sessions)
def my_sessions(call: Call) -> dict[str, Any]:
    """One's own live sessions."""
    with call.dlv.record.tx() as conn:
        rows = sessions.of_user(conn, call.principal.id)
    return {"items": [r | {"current": r["id"] == call.principal.session_id} for r in rows]}


@resource.delete("/me/sessions/{id}", need=PERSON, status=204)
def end_session(call: Call, id: UUID) -> None:
    """End one of one's own sessions."""
    with call.dlv.record.tx() as conn:
        if not sessions.end(conn, id, "ended by its owner", call.principal.id):
            raise NotFound("no such session of yours")
        audit.write(conn, call.actor, "session.end", "session", id, after={"reason": "ended by its owner"})


def _tokens(pair: tokens.Pair) -> dict[str, Any]:
    return {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
    }
