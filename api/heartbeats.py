"""The URL that a batch job calls at its start, its success and its failure. Open: the token in it is the secret."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response, current_app, request
from pydantic import Field, StringConstraints

from api.resource import PREFIX, Call, Given, Out, Resource, Text
from auth.gate import SEGMENT, new_token, token_hash, wrong_token
from auth.roles import ADMIN
from checks import edits
from ingest.messages import redact_text
from store import checks

resource = Resource("heartbeats")

Token = Annotated[str, StringConstraints(pattern=f"^{SEGMENT}$")]


class Note(Given):
    note: Text = Field("", max_length=500, description="An exit code or a few words; kept redacted")


class Urls(Out):
    success: str = Field(description="Call it when the job has succeeded")
    start: str = Field(description="Call it when the job starts, so that one that hangs is noticed")
    fail: str = Field(description="Call it when the job has failed")


@resource.get("/heartbeats/{token}", need=None, query=Note, media="text/plain")
def success(call: Call, token: Token) -> Response:
    """The job has succeeded. HEAD does the same."""
    return _beat(call, token, "success")


@resource.post("/heartbeats/{token}", need=None, query=Note, media="text/plain", raw=True)
def success_posted(call: Call, token: Token) -> Response:
    """The job has succeeded. A body is not read."""
    return _beat(call, token, "success")


@resource.get("/heartbeats/{token}/start", need=None, query=Note, media="text/plain")
def start(call: Call, token: Token) -> Response:
    """The job starts. HEAD does the same."""
    return _beat(call, token, "start")


@resource.post("/heartbeats/{token}/start", need=None, query=Note, media="text/plain", raw=True)
def start_posted(call: Call, token: Token) -> Response:
    """The job starts. A body is not read."""
    return _beat(call, token, "start")


@resource.get("/heartbeats/{token}/fail", need=None, query=Note, media="text/plain")
def fail(call: Call, token: Token) -> Response:
    """The job has failed: its check fails at once. HEAD does the same."""
    return _beat(call, token, "fail")


@resource.post("/heartbeats/{token}/fail", need=None, query=Note, media="text/plain", raw=True)
def fail_posted(call: Call, token: Token) -> Response:
    """The job has failed: its check fails at once. A body is not read."""
    return _beat(call, token, "fail")


@resource.post("/checks/{id}/url", need=ADMIN, returns=Urls)
def replace_url(call: Call, id: UUID) -> dict[str, Any]:
    """A new URL for a heartbeat, shown this once. The old one ends."""
    token, hash_ = new_token()
    with call.dlv.record.tx() as conn:
        edits.new_url(conn, call.actor, id, hash_)
    return urls(token)


def urls(token: str) -> dict[str, str]:
    """The three addresses of a token, as a client reaches them."""
    settings = current_app.extensions["dlv"].settings
    base = f"{(settings.public_url or request.url_root).rstrip('/')}{PREFIX}/heartbeats/{token}"
    return {"success": base, "start": f"{base}/start", "fail": f"{base}/fail"}


def _beat(call: Call, token: str, kind: str) -> Response:
    with call.dlv.record.tx() as conn:
        check = checks.by_token(conn, token_hash(token))
        if check is None:
            raise wrong_token()
        checks.beat(conn, check, kind, redact_text(call.query.note))
    return Response("ok\n", content_type="text/plain", headers={"Cache-Control": "no-store"})
