"""The one gate in front of everything: default deny, decided by the request's path alone, never by its body.

A subclass of dash-auth's Auth with a `_protect` of its own: the inherited one lets a callback through whose body
claims a public pathname. There are no public routes; what is open is :data:`OPEN`, compared for equality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from dash import Dash
from dash_auth.auth import Auth
from flask import Response, g, redirect, request, session
from flask.sessions import SecureCookieSession, SessionInterface

from auth import tokens
from auth.keys import PREFIX, Keys
from auth.roles import RANK, Principal
from errors import DlvError, Forbidden, Unauthenticated
from store import sessions
from store.record import Record

#: the whole list of what needs no sign-in; the sign-in page shows no other asset than these
OPEN = (
    "/sign-in",
    "/assets/sign-in.css",
    "/_favicon.ico",
    "/healthz",
    "/readyz",
    "/api/v1/auth/login",
    "/api/v1/auth/refresh",
)
#: all that somebody who must set a new password can reach
WHILE_MUST_CHANGE = ("/password", "/sign-out", "/api/v1/me", "/api/v1/me/password", "/api/v1/auth/logout")


class MustChange(Forbidden):
    code = "password_change_required"


class Gate(Auth):  # type: ignore[misc]
    def __init__(self, app: Dash, record: Record, wants_page: Callable[[], bool]) -> None:
        self.record = record
        self.keys = Keys(record)
        self._wants_page = wants_page
        super().__init__(app)

    def _protect(self) -> None:
        self.app.server.session_interface = OneRequestSessions()
        self.app.server.before_request(self._decide)

    def _decide(self) -> Any:
        if request.path in OPEN:
            return None
        if not self.is_authorized():
            return self.login_request()
        who: Principal = g.principal
        if who.must_change and request.path not in WHILE_MUST_CHANGE:
            if self._wants_page():
                return redirect(f"/password?next={_here()}")
            raise MustChange(
                "the one-time password must be replaced first",
                hint="POST /api/v1/me/password {current_password, new_password}, or sign in on the page",
            )
        return None

    def is_authorized(self) -> bool:
        """Sets ``g.principal``. False where nobody is signed in; raises where somebody is, but may not do this."""
        try:
            who = self._who()
        except Unauthenticated as e:
            g.refusal = e
            return False
        g.principal = who
        # what dash_auth.check_groups, list_groups and protected_callback read; lives for this request only
        roles = [r for r in RANK if RANK[r] <= RANK.get(who.role or "", 0)]
        session["user"] = {"email": who.name, "groups": roles}
        return True

    def login_request(self) -> Response | Any:
        if request.method in ("GET", "HEAD") and self._wants_page():
            where = _here()
            return redirect("/sign-in" if where in ("", "/") else f"/sign-in?next={where}")
        refusal: DlvError = g.get("refusal") or Unauthenticated("sign in first")
        raise refusal

    def _who(self) -> Principal:
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer"
        credential = credential.strip()
        if bearer and credential.startswith(PREFIX):
            who = self.keys.check(credential)
            if not (f"{request.path}/".startswith("/api/") or request.path == "/metrics"):
                raise Forbidden("an API key opens /api only", hint="sign in to use the pages")
            return who
        row = sessions.look(self.record, tokens.session_of_request(from_header=bearer))
        if row is None:
            raise Unauthenticated("the session has ended", hint="sign in again")
        return Principal(
            kind="user",
            id=row["user_id"],
            name=row["username"],
            role=row["role"],
            session_id=row["session_id"],
            must_change=row["must_change"],
            display_name=row["display_name"],
        )


class OneRequestSessions(SessionInterface):
    """Flask's session as a place to hand things on within one request. No cookie: nothing in it outlives the answer."""

    def open_session(self, app: Any, request: Any) -> SecureCookieSession:
        return SecureCookieSession()

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        return None


def _here() -> str:
    return quote(request.full_path.rstrip("?"), safe="/")
