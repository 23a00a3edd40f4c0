"""The one gate in front of everything: default deny, decided by the request's path alone, never by its body.

A subclass of dash-auth's Auth with a `_protect` of its own: the inherited one lets a callback through whose body
claims a public pathname. There are no public routes; what is open is :data:`OPEN`, compared for equality, and
:data:`OPEN_BY_TOKEN`, where a secret in the path itself is what lets in.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from dash import Dash
from dash_auth.auth import Auth
from flask import Response, g, redirect, request, session
from flask.sessions import SecureCookieSession, SessionInterface
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from auth import tokens
from auth.keys import PREFIX, Keys
from auth.roles import RANK, Principal
from errors import DlvError, Forbidden, NotFound, Throttled, Unauthenticated
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
#: bytes of a body that are read of somebody who has not signed in
MOST_UNKNOWN = 16 * 1024
#: paths whose view looks at the token in them (:func:`token_hash`) and raises :func:`wrong_token` where it is none.
#: Compared whole: one path segment of exactly a token's length and characters stands for ``<token>``
OPEN_BY_TOKEN = (
    "/api/v1/heartbeats/<token>",
    "/api/v1/heartbeats/<token>/start",
    "/api/v1/heartbeats/<token>/fail",
    "/api/v1/badges/<token>.svg",
)
SEGMENT = "[A-Za-z0-9_-]{43}"
_BY_TOKEN = re.compile("|".join(re.escape(p).replace("<token>", SEGMENT) for p in OPEN_BY_TOKEN))
#: wrong tokens that one address may try a minute
WRONG_A_MINUTE = 30
_wrong = FixedWindowRateLimiter(MemoryStorage())
#: all that somebody who must set a new password can reach
WHILE_MUST_CHANGE = ("/password", "/sign-out", "/api/v1/me", "/api/v1/me/password", "/api/v1/auth/logout")


def is_open(path: str) -> bool:
    """Whether a path needs no sign-in."""
    return path in OPEN or _BY_TOKEN.fullmatch(path) is not None


def new_token() -> tuple[str, bytes]:
    """A token for a path, to be shown once, and its SHA-256, to be stored."""
    token = secrets.token_urlsafe(32)
    return token, token_hash(token)


def token_hash(token: str) -> bytes:
    """What is stored of a token. It has 256 random bits, so a plain digest is enough."""
    return hashlib.sha256(token.encode()).digest()


def wrong_token() -> DlvError:
    """What to raise where no stored hash is that of the token: 404, or 429 for an address that tries many."""
    if _wrong.hit(RateLimitItemPerMinute(WRONG_A_MINUTE), "wrong-token", request.remote_addr or ""):
        return NotFound("nothing has this address", hint="its URL was replaced or removed: copy the new one")
    return Throttled("too many addresses that lead nowhere", retry_after=60)


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
        if is_open(request.path):
            request.max_content_length = MOST_UNKNOWN
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
