"""A check looked at as a worker does, through a connection that leads to a test's server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from checks import registry
from checks.fields import checked
from checks.result import About, Past, Spec, Verdict
from connections import guard
from connections.link import Link


def link(kind: str, secret: Mapping[str, str] | None = None, timeout: float = 10.0, **fields: Any) -> Link:
    return Link(
        uuid.uuid4(), f"the {kind} of the tests", kind, fields, guard.of([], ""), secret or {}, timeout
    )


def spec(kind: str, about: About | None = None, **config: Any) -> Spec:
    whole = checked(registry.KINDS[kind].fields, config)
    return Spec(uuid.uuid4(), kind, kind, uuid.uuid4(), whole, about=about or About())


def look(
    link: Link | None, kind: str, past: Past | None = None, *, about: About | None = None, **config: Any
) -> Verdict:
    """One look, judged: what :func:`checks.registry.look` says."""
    return registry.look(spec(kind, about, **config), link, past or Past(), datetime.now(UTC))


def after(verdict: Verdict) -> Past:
    """The past that the next look is handed."""
    return Past(verdict.status, verdict.memory or {})


class Answers:
    """A server that gives these answers (status, body) of a path one after the other, and the last for good; the query
    is not looked at. ``asked``: (method, path with query, Authorization) of each request. Use it as a context."""

    def __init__(self, answers: dict[str, list[tuple[int, str]]]) -> None:
        self.answers = {k: list(v) for k, v in answers.items()}
        self.asked: list[tuple[str, str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append((self.command, self.path, self.headers.get("Authorization") or ""))
                queue = outer.answers.get(self.path.split("?")[0], [(404, "<html>no such page</html>")])
                status, body = queue.pop(0) if len(queue) > 1 else queue[0]
                data = body.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json" if data[:1] in b"[{" else "text/html")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Answers:
        Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
