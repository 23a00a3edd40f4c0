"""The short way of a plain event: most requests DLV ever gets are one OpenLineage event with a good API key.

Such a request passes the same key check, the same redaction and the same store as every other, only Flask is left
out, which costs as much again as the work itself. Whatever is not plainly good (no key, compression, a body that does
not parse, any doubt) takes the whole way and is refused or taken there: this file refuses nothing and words no error.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from api.lineage import Receiver, kept
from auth.keys import PREFIX, Keys
from auth.roles import LINEAGE, allows
from errors import DlvError
from ingest import openlineage

PATH = "/api/v1/lineage"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class FirstLane:
    """WSGI before Flask's own. ``keys`` and ``receiver`` are those that the whole way uses."""

    def __init__(self, server: Flask, keys: Keys, receiver: Receiver) -> None:
        self._whole: Wsgi = server.wsgi_app
        self._server = server
        self._keys = keys
        self._receiver = receiver

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("PATH_INFO") != PATH or environ["REQUEST_METHOD"] != "POST":
            return self._whole(environ, start_response)
        taken = self._read(environ)
        if taken is None:
            return self._whole(environ, start_response)
        try:
            self._receiver.take_one(*taken)
        except DlvError as e:
            return self._refused(e, environ, start_response)
        start_response(
            "201 CREATED",
            [
                ("Content-Length", "0"),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("X-Request-ID", uuid.uuid4().hex),
            ],
        )
        return (b"",)

    def _read(self, environ: dict[str, Any]) -> tuple[int, bytes, bytes] | None:
        """(producer, hash, redacted body) of a plainly good event; None: it takes the whole way, body and all."""
        scheme, _, credential = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        length = environ.get("CONTENT_LENGTH") or ""
        if (
            scheme.lower() != "bearer"
            or not credential.startswith(PREFIX)
            or environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity")
            or not length.isdigit()
            or int(length) > self._receiver.most_bytes
        ):
            return None
        body = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            who = self._keys.check(credential.strip())
            if who.producer_id is None or not allows(LINEAGE, who) or len(body) != int(length):
                return None
            event = openlineage.read_json(body)
        except DlvError:
            return None
        return who.producer_id, hashlib.sha256(body).digest(), kept(event)

    def _refused(
        self, error: DlvError, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """DLV cannot take it now: said by the same words as on the whole way."""
        with self._server.request_context(environ):
            early = self._server.preprocess_request()
            response = self._server.make_response(early or self._server.handle_user_exception(error))
            return self._server.process_response(response)(environ, start_response)
