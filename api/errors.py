"""Every error becomes ``{"error": {"code", "message", "field"?, "hint"?, "request_id"}}`` with the right status;
only a browser that asked for a page gets a page. Nobody else builds error JSON.
"""

from __future__ import annotations

import logging
from html import escape
from typing import Any

import orjson
from flask import Flask, Response, g, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from errors import Changed, DlvError, Invalid, Throttled, Unavailable

log = logging.getLogger("dlv.api")

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    408: "timeout",
    411: "length_required",
    413: "too_large",
    414: "too_large",
    415: "unsupported_media_type",
    429: "throttled",
    431: "too_large",
}


def install(server: Flask) -> None:
    server.register_error_handler(Exception, answer)


def answer(error: Exception) -> Response:
    """The response for any error."""
    body, status, headers = shape(error)
    if status >= 500 and status != 503:
        log.error("request %s failed", body["request_id"], exc_info=error)
    if wants_page():
        return _page(body, status, headers)
    return Response(orjson.dumps({"error": body}), status, headers, content_type="application/json")


def shape(error: Exception) -> tuple[dict[str, Any], int, dict[str, str]]:
    """What to say, the status, and headers."""
    body: dict[str, Any] = {}
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    if isinstance(error, ValidationError):
        error = invalid(error)
    if isinstance(error, DlvError):
        status = error.status
        body = {"code": error.code, "message": error.message}
        if error.field:
            body["field"] = error.field
        if error.hint:
            body["hint"] = error.hint
        if isinstance(error, Changed):
            body |= {"changes": error.changes, "version": error.version}
        if isinstance(error, Throttled | Unavailable):
            headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, HTTPException):
        status = error.code or 500
        body = {"code": _CODES.get(status, "error"), "message": error.description or error.name}
        for name, value in error.get_headers():
            if name.lower() in ("allow", "location", "retry-after"):
                headers[name] = value
    else:
        status = 500
        body = {
            "code": "internal",
            "message": "DLV failed on this request",
            "hint": "tell your DLV admin the request_id: the log has the details",
        }
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="dlv"'
    body["request_id"] = g.get("request_id", "")
    return body, status, headers


def invalid(error: ValidationError, prefix: str = "") -> Invalid:
    """The first of pydantic's complaints, as one of ours."""
    complaints = error.errors(include_url=False, include_context=False, include_input=False)
    first = complaints[0]
    place = ".".join(str(part) for part in first["loc"])
    field = f"{prefix}.{place}" if prefix and place else place or prefix or "body"
    more = len(complaints) - 1
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such field"
    return Invalid(
        f"{field}: {message}",
        field=field,
        hint=f"{more} more field{'s are' if more > 1 else ' is'} wrong too" if more else None,
    )


def wants_page() -> bool:
    """A person who navigates, not a client or a script."""
    path = request.path
    if f"{path}/".startswith(("/api/", "/_dash", "/assets/")) or path in ("/healthz", "/readyz", "/metrics"):
        return path == "/api/docs" and "text/html" in request.headers.get("Accept", "")
    accepted = request.accept_mimetypes
    asked = "text/html" in request.headers.get("Accept", "")  # no Accept at all is a client
    return asked and accepted["text/html"] >= accepted["application/json"]


def _page(body: dict[str, Any], status: int, headers: dict[str, str]) -> Response:
    hint = f"<p>{escape(body['hint'])}</p>" if body.get("hint") else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>DLV</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/assets/sign-in.css"></head>'
        f'<body class="sign-in"><main><h1>{escape(body["message"])}</h1>{hint}'
        f'<p class="quiet">{status} · request {escape(body["request_id"])}</p><p><a href="/">Back to DLV</a></p>'
        "</main></body></html>"
    )
    return Response(text, status, headers, content_type="text/html; charset=utf-8")
