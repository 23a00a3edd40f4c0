"""Real receivers for messages: an HTTP server that remembers what it was told and answers as it is told to, and an SMTP
server. Both listen on loopback."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """``answers`` are used up in their order, then ``last``: each a status, (status, headers, body), "reset", "hang", or
    a function of the request that gives one of them."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    last: Any = 200
    #: set: whoever was made to hang goes on
    released: threading.Event = field(default_factory=threading.Event)

    def answer(self, got: Got) -> Any:
        with _lock:
            said = self.answers.pop(0) if self.answers else self.last
        return said(got) if callable(said) else said

    def bodies(self) -> list[Any]:
        return [g.json for g in self.got]


_lock = threading.Lock()


@contextmanager
def listening(last: Any = 200) -> Iterator[Receiver]:
    """An HTTP server on a free port of loopback."""
    receiver = Receiver(last=last)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            got = Got(self.path, dict(self.headers.items()), body, time.monotonic())
            receiver.got.append(got)
            said = receiver.answer(got)
            if said == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            if said == "hang":
                receiver.released.wait(60)
                self.close_connection = True
                return
            status, headers, text = said if isinstance(said, tuple) else (said, {}, "")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_HEAD = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass  # a test killed the other side

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()


class Mailbox:
    """What an SMTP server took. ``refuse``: answers by recipient, e.g. {"gone@example.com": "550 no such user"}."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        self.before_data: Callable[[], str | None] = lambda: None
        self.port = 0
        self.signed_in: list[str] = []

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        said = self.before_data()
        if said:
            return said
        parsed = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
        assert isinstance(parsed, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), parsed))
        return "250 taken"


@contextmanager
def mail_server(**how: Any) -> Iterator[Mailbox]:
    """An SMTP server on a free port of loopback; ``how`` as aiosmtpd's Controller takes it."""
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        box.port = free.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=box.port, **how)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()
