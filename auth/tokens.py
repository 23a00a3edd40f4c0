"""JSON Web Tokens by Flask-JWT-Extended: a token only says which session it belongs to (`sid`); what that session
may do is read from the store on each request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from flask import Flask, Response, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
    get_jwt,
    set_access_cookies,
    unset_jwt_cookies,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import CSRFError, JWTExtendedException
from jwt import PyJWTError

from auth import secret
from errors import Forbidden, Unauthenticated
from settings import Settings

ACCESS = timedelta(minutes=15)
REFRESH = timedelta(days=7)
CSRF_COOKIE, CSRF_HEADER, CSRF_FIELD = "_csrf_token", "X-CSRFToken", "csrf_token"


@dataclass(frozen=True)
class Pair:
    access_token: str
    refresh_token: str
    refresh_jti: UUID
    refresh_expires_at: datetime
    expires_in: int  # seconds the access token lives


def configure(server: Flask, settings: Settings) -> None:
    server.config.update(
        SECRET_KEY=secret.key(settings, "flask"),
        JWT_SECRET_KEY=secret.key(settings, "jwt"),
        JWT_ALGORITHM="HS256",
        JWT_TOKEN_LOCATION=["headers", "cookies"],
        JWT_ENCODE_ISSUER="dlv",
        JWT_DECODE_ISSUER="dlv",
        JWT_ENCODE_AUDIENCE="dlv",
        JWT_DECODE_AUDIENCE="dlv",
        JWT_ACCESS_TOKEN_EXPIRES=ACCESS,
        JWT_REFRESH_TOKEN_EXPIRES=REFRESH,
        JWT_ACCESS_COOKIE_NAME="dlv_session",
        JWT_COOKIE_SECURE=settings.secure_cookies,
        JWT_COOKIE_SAMESITE="Lax",
        JWT_SESSION_COOKIE=False,
        JWT_COOKIE_CSRF_PROTECT=True,
        # the names Dash's renderer knows: it sends the cookie back as this header with every callback
        JWT_ACCESS_CSRF_COOKIE_NAME=CSRF_COOKIE,
        JWT_ACCESS_CSRF_HEADER_NAME=CSRF_HEADER,
        JWT_ACCESS_CSRF_FIELD_NAME=CSRF_FIELD,
        JWT_CSRF_CHECK_FORM=True,
    )
    JWTManager(server)


def pair(user_id: UUID, session_id: UUID) -> Pair:
    """A short access token and the refresh token that replaces it once."""
    claims = {"sid": str(session_id)}
    refresh = create_refresh_token(str(user_id), additional_claims=claims)
    return Pair(
        access_token=create_access_token(str(user_id), additional_claims=claims),
        refresh_token=refresh,
        refresh_jti=UUID(decode_token(refresh)["jti"]),
        refresh_expires_at=datetime.now(UTC) + REFRESH,
        expires_in=int(ACCESS.total_seconds()),
    )


def set_page_cookies(response: Response, user_id: UUID, session_id: UUID, expires_at: datetime) -> None:
    """Sign a browser in. The cookie lives as long as the session may; the session in the store decides."""
    life = expires_at - datetime.now(UTC)
    token = create_access_token(str(user_id), additional_claims={"sid": str(session_id)}, expires_delta=life)
    set_access_cookies(response, token, max_age=int(life.total_seconds()))


def clear_page_cookies(response: Response) -> None:
    unset_jwt_cookies(response)


def session_of_request(*, from_header: bool) -> UUID:
    """The session the request's token names. Of a cookie, CSRF is checked as well.

    Raises :class:`errors.Unauthenticated`, or :class:`errors.Forbidden` where only the CSRF token is wrong.
    """
    try:
        if verify_jwt_in_request(locations=["headers"] if from_header else ["cookies"]) is None:
            # of OPTIONS the library reads no token: nobody signed in asks it, for there is no other origin to let in
            raise Unauthenticated(
                f"{request.method} takes an API key only", hint="use the method that is meant"
            )
        return UUID(get_jwt()["sid"])
    except CSRFError:
        raise Forbidden(
            "the CSRF token is missing or wrong",
            field=CSRF_HEADER,
            hint=f"send the cookie {CSRF_COOKIE} back as the header {CSRF_HEADER}",
        ) from None
    except (JWTExtendedException, PyJWTError, KeyError, ValueError, TypeError):
        raise Unauthenticated("the token is missing, expired or not ours", hint="sign in again") from None


def read_refresh(token: str) -> dict[str, Any]:
    """The claims of a refresh token of ours, or :class:`errors.Unauthenticated`."""
    try:
        claims: dict[str, Any] = decode_token(token)
        if claims.get("type") != "refresh":
            raise Unauthenticated("this is not a refresh token", field="refresh_token")
        UUID(claims["jti"]), UUID(claims["sub"]), UUID(claims["sid"])
    except (JWTExtendedException, PyJWTError, KeyError, ValueError, TypeError):
        raise Unauthenticated(
            "the refresh token is expired or not ours", field="refresh_token", hint="sign in again"
        ) from None
    return claims
