"""The web process as ASGI: a short way for plain events, and Flask on threads for everything else.

Most requests DLV ever gets are one OpenLineage event with a good API key. Such a request passes the same key check,
the same redaction and the same store as every other, only Flask and its threads are left out, which cost several times
the work itself. Whatever is not plainly good (no key, compression, a body that does not parse, any doubt) takes the
whole way and is refused or taken there: this file refuses nothing and words no error.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from flask import Flask

from api.lineage import Receiver, kept
from auth.keys import PREFIX, Keys
from auth.roles import LINEAGE, Principal, allows
from errors import DlvError
from ingest import openlineage
from store.events import Given

PATH = "/api/v1/lineage"
#: larger bodies are read on a thread: others must not wait while their text is redacted
SMALL = 16 * 1024

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

#: where the whole way finds that the short way could not store an event
_REFUSED = "dlv.refused"


class FirstLane:
    """ASGI in front of Flask's WSGI. ``keys`` and ``receiver`` are those that the whole way uses, too; ``threads``:
    requests that the whole way serves at once.
    """

    def __init__(self, server: Flask, keys: Keys, receiver: Receiver, threads: int) -> None:
        # its types name one another's dictionaries key by key, which says no more here
        self._whole: Asgi = cast(Asgi, WSGIMiddleware(cast(Any, _WholeWay(server)), workers=threads))
        self._keys = keys
        self._receiver = receiver
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="event-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="event-writer")
        self._waiting: list[tuple[Given, asyncio.Future[DlvError | None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        asked = None
        if scope["path"] == PATH and scope["method"] == "POST":
            asked = _asked(scope["headers"], self._receiver.most_bytes)
        known = asked is not None and self._keys.known(asked[0]) is not None
        most = self._receiver.most_bytes if known else SMALL
        # of whom nobody knows yet no large body is taken in: the whole way asks for the key before it reads. A small
        # one is waited for here: who sends it slowly holds none of the threads
        if 0 <= _length(scope["headers"]) <= most:
            body, ended, receive = await _body(receive, most)
            if body is None:
                return  # the client went away before its end: nobody waits for an answer
            if asked is not None and ended:
                given = await self._read(*asked, body)
                if given is not None:
                    error = await self._stored(given)
                    if error is None:
                        await _taken(send)
                        return
                    scope[_REFUSED] = error
        await self._whole(_plain(scope), receive, send)

    async def _read(self, key: str, length: int, body: bytes) -> Given | None:
        """(producer, hash, redacted body) of a plainly good event; None: it takes the whole way, body and all."""
        if len(body) != length:
            return None
        who = self._keys.known(key)
        if who is not None and length <= SMALL:
            return _given(who, body)
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._look, key, body)

    def _look(self, key: str, body: bytes) -> Given | None:
        try:
            return _given(self._keys.check(key), body)
        except DlvError:
            return None

    async def _stored(self, given: Given) -> DlvError | None:
        """Wait until it is stored together with what came meanwhile; what kept it from being stored."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[DlvError | None] = loop.create_future()
        self._waiting.append((given, outcome))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return await outcome

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                try:
                    said = await loop.run_in_executor(
                        self._writer, self._receiver.take_each, [given for given, _ in group]
                    )
                except BaseException as e:
                    for _, outcome in group:
                        if not outcome.done():
                            outcome.set_exception(e)
                    if not isinstance(e, Exception):
                        raise
                    continue
                for (_, outcome), error in zip(group, said, strict=True):
                    if not outcome.done():
                        outcome.set_result(error)
        finally:
            self._writing = None


class _WholeWay:
    """Flask's WSGI, with what the bridge leaves to its users."""

    def __init__(self, server: Flask) -> None:
        self._server = server

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["wsgi.errors"] = sys.stderr
        if "CONTENT_LENGTH" not in environ:
            environ["wsgi.input_terminated"] = True  # a chunked body has an end of its own
        error = environ["asgi.scope"].get(_REFUSED)
        if error is None:
            return self._server.wsgi_app(environ, start_response)
        # DLV cannot take the event now: said by the same words as on the whole way
        with self._server.request_context(environ):
            try:
                said = self._server.preprocess_request() or self._server.handle_user_exception(error)
            except DlvError as e:  # the key was forgotten meanwhile, and who sends cannot be looked up either
                said = self._server.handle_user_exception(e)
            response = self._server.make_response(said)
            return self._server.process_response(response)(environ, start_response)


def _asked(headers: Iterable[tuple[bytes, bytes]], most: int) -> tuple[str, int] | None:
    """(API key, length of the body) of a request without compression or anything else that needs a closer look."""
    key, length = "", -1
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.decode("latin1").partition(" ")
            if key or scheme.lower() != "bearer":
                return None
            key = credential.strip()
        elif name == b"content-length":
            if length >= 0 or not value.isdigit():
                return None
            length = int(value)
        elif name == b"transfer-encoding" or (
            name == b"content-encoding" and value.strip().lower() not in (b"", b"identity")
        ):
            return None
    return (key, length) if key.startswith(PREFIX) and 0 <= length <= most else None


def _length(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of the body as it is announced; 0 where it comes in chunks of which nobody knows how many, -1: none."""
    length = -1
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            length = int(value)
        elif name == b"transfer-encoding":
            return 0
    return length


async def _body(receive: Receive, most: int) -> tuple[bytes | None, bool, Receive]:
    """The body (None: it never ends) and whether it is all of it, for beyond ``most`` bytes no more is waited for; and
    a ``receive`` that tells it again to whoever reads it next.
    """
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= most:
        message = await receive()
        if message["type"] != "http.request":
            return None, False, receive
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
    body = b"".join(parts)
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": more}

    return body, not more, again


def _given(who: Principal, body: bytes) -> Given | None:
    if who.producer_id is None or not allows(LINEAGE, who):
        return None
    try:
        event = openlineage.read_json(body)
    except DlvError:
        return None
    return who.producer_id, hashlib.sha256(body).digest(), kept(event)


async def _taken(send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": 201,
            "headers": [
                (b"content-length", b"0"),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
                (b"x-request-id", uuid.uuid4().hex.encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": b""})


def _plain(scope: Scope) -> Scope:
    """Without headers that WSGI would take for others (``X_Forwarded_For``), and with a query in ASCII."""
    scope["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    if not scope["query_string"].isascii():
        scope["query_string"] = re.sub(rb"[\x80-\xff]", lambda m: b"%%%02X" % m[0][0], scope["query_string"])
    return scope
