"""Everything that the unit tests plant, sent over HTTP and folded by a real worker: afterwards it is in no table, no log,
no answer, no export and not in the graph."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests
import serving
from serving import Served

from graph.driver import Graph
from settings import Settings, to_env
from store import users
from store.audit import SYSTEM
from tests.conftest import eventually
from tests.unit.planted import PLANTS
from tests.web import _HASH, PASSWORD
from workers.projector import project_once

NOW = datetime.now(UTC).replace(microsecond=0)


def planted() -> list[dict[str, Any]]:
    """The plants as runs of jobs of their own, so that none hides another, each in the name of nobody."""
    return [
        said
        | {
            "eventTime": (NOW - timedelta(minutes=n)).isoformat(),
            "run": said["run"] | {"runId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"plant {n}"))},
            "job": said["job"] | {"name": f"job_{n}"},
        }
        for n, (_, said) in enumerate(PLANTS)
    ]


def found(what: str, text: str) -> bool:
    """Whether the plant stands in a text, as it is or as JSON and Python write it."""
    if re.fullmatch(r"[\d.x]+", what):  # digits occur in ids, hashes and times, too
        return re.search(rf"(?<![\w.-]){re.escape(what)}(?![\w-])", text) is not None
    return any(w in text for w in {what, what.replace("\\", "\\\\"), what.replace("'", "\\'")})


@contextmanager
def folding(settings: Settings, log: Path) -> Iterator[None]:
    """`dlv worker fold` beside the web process."""
    env = to_env(settings.with_(demo=False)) | {"PATH": "/usr/bin:/bin", "DLV_LOG_LEVEL": "INFO"}
    with open(log, "wb") as out:
        worker = subprocess.Popen(
            [sys.executable, serving.ROOT / "cli.py", "worker", "fold"],
            env=env, stdout=out, stderr=subprocess.STDOUT, cwd=log.parent,
        )  # fmt: skip
    try:
        yield
    finally:
        worker.terminate()
        worker.wait(30)


def as_text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes | memoryview) else str(value)


def told(served: Served, path: str, headers: dict[str, str], **params: Any) -> str:
    answer = requests.get(served.base + path, params=params, headers=headers, timeout=30)
    assert answer.ok, (path, answer.text)
    return answer.text


def test_all_that_is_planted_is_found_in_what_is_sent() -> None:
    """Else looking for it afterwards would prove nothing."""
    sent = [json.dumps(event, ensure_ascii=False) for event in planted()]
    assert [what for (what, _), text in zip(PLANTS, sent, strict=True) if not found(what, text)] == []


def test_what_is_planted_is_found_nowhere(settled: Settings, graph: Graph, tmp_path: Path) -> None:
    log = tmp_path / "fold.log"
    with serving.serving(settled, tmp_path) as served, folding(settled, log):
        one, many = served.key("one by one"), served.key("many at once")
        for event in planted():
            body = json.dumps(event).encode()
            assert served.post("/api/v1/lineage", body, one).status_code == 201
            assert served.post("/api/v1/lineage", body[:-1], one).status_code == 400
        batch = gzip.compress(json.dumps(planted()).encode())
        answer = served.post("/api/v1/lineage/batch", batch, many, **{"Content-Encoding": "gzip"})
        assert answer.json()["summary"]["successful"] == len(PLANTS)
        eventually(lambda: not served.record.all("select 1 from event_pending limit 1"), timeout=120)
        assert len(served.record.all("select 1 from event")) == 2 * len(PLANTS)
        while project_once(served.record, graph):
            pass
        places = everywhere(served, graph) | {
            "the log of web": served.said(),
            "the log of fold": log.read_text(),
        }
        seen = {(what, place) for what, _ in PLANTS for place, text in places.items() if found(what, text)}
        assert seen == set()
        # what was looked through is not empty: jobs, runs, errors and what they read are there
        jobs = served.record.all("select id from node where type = 'job' and name like 'job_%'")
        assert len(jobs) == len(PLANTS)
        assert all(str(job["id"]) in places["the graph"] for job in jobs)
        assert "unique constraint" in places["table run"]
        assert sum(place.startswith("GET") and "impact.csv" in place for place in places) >= len(PLANTS)


def everywhere(served: Served, graph: Graph) -> dict[str, str]:
    """Every place where something of an event can come to stand: its text."""
    record = served.record
    places = {
        f"table {table}": "\n".join(
            json.dumps(r, default=as_text, ensure_ascii=False) for r in record.all(f'select * from "{table}"')
        )
        for table in served.tables()
    }
    places["bodies of events"] = "\n".join(
        zlib.decompress(r["body"]).decode() for r in record.all("select body from event")
    )
    places["the graph"] = json.dumps(
        [
            graph.read("MATCH (n) RETURN labels(n) AS labels, properties(n) AS p"),
            graph.read("MATCH ()-[r]->() RETURN type(r) AS type, properties(r) AS p"),
        ],
        default=as_text,
        ensure_ascii=False,
    )
    with record.tx() as conn:
        users.create(conn, SYSTEM, "the-admin", "admin", _HASH, must_change=False)
    said = {"username": "the-admin", "password": PASSWORD}
    login = requests.post(f"{served.base}/api/v1/auth/login", json=said, timeout=30).json()
    admin = {"Authorization": f"Bearer {login['access_token']}"}
    for node in record.all("select id from node"):
        for part in (
            "", "/detail", "/runs", "/schema", "/annotations", "/causes", "/lineage", "/impact", "/impact.csv",
            "/impact.json", "/history", "/incidents",
        ):  # fmt: skip
            path = f"/api/v1/nodes/{node['id']}{part}"
            places[f"GET {path}"] = told(served, path, admin)
        places[f"GET edges of {node['id']}"] = told(served, "/api/v1/edges", admin, node=str(node["id"]))
    for edge in record.all("select id from edge"):
        path = f"/api/v1/edges/{edge['id']}"
        places[f"GET {path}"] = told(served, path, admin)
    for path in (
        "nodes?limit=500", "nodes/options", "producers", "status", "wall", "audit?limit=500", "incidents", "notifications",
        "results", "checks", "teams", "api-keys",
    ):  # fmt: skip
        places[f"GET {path}"] = told(served, f"/api/v1/{path}", admin)
    return places
