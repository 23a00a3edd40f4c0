"""A server that answers as a test says, and what Airflow 3's REST interface answers from a list of run states, in pages."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

PAGE = 100


@dataclass
class AirflowLike:
    """``runs``, ``tasks`` and ``dags`` are Airflow's own objects; ``asked`` the paths that were asked for, in order."""

    base: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    dags: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    away: bool = False

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if self.away:
            return 503, {"detail": "away"}
        if path == "/api/v2/version":
            return 200, {"version": "3.1.0"}
        if path == "/auth/token":
            return 201, {"access_token": "a-token"}
        if path == "/api/v2/dags":
            offset = int(query.get("offset", ["0"])[0])
            return 200, {"dags": self.dags[offset : offset + PAGE], "total_entries": len(self.dags)}
        for end, key, rows in (
            ("/dags/~/dagRuns", "dag_runs", self.runs),
            ("/dags/~/dagRuns/~/taskInstances", "task_instances", self.tasks),
        ):
            if path == "/api/v2" + end:
                since = datetime.fromisoformat(query["updated_at_gte"][0])
                found = [r for r in rows if datetime.fromisoformat(r["updated_at"]) >= since]
                offset, limit = int(query.get("offset", ["0"])[0]), int(query.get("limit", ["50"])[0])
                said = [{k: v for k, v in r.items() if k != "updated_at"} for r in found]
                return 200, {key: said[offset : offset + min(limit, PAGE)], "total_entries": len(found)}
        return 404, {"detail": "not found"}


@contextmanager
def answering(answer: Callable[[str, dict[str, list[str]]], tuple[int, Any]]) -> Iterator[str]:
    """A server on this machine that says ``answer(path, query)``, a status and something for JSON; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlparse(self.path)
            self._say(*answer(asked.path.rstrip("/"), parse_qs(asked.query)))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._say(*answer(urlparse(self.path).path, {}))

        def _say(self, status: int, said: Any) -> None:
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def listening() -> Iterator[AirflowLike]:
    like = AirflowLike()
    with answering(like.answer) as like.base:
        yield like
