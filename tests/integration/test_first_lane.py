"""`dlv web` as it really listens: the short way of plain events, the whole way of all others, and HTTP's own limits."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
import serving
from serving import Served

from auth import passwords
from settings import Settings
from store import users
from store.audit import SYSTEM
from tests.web import PASSWORD

served, served_by_module = serving.served, serving.served_by_module


def body(n: int, **more: Any) -> bytes:
    said = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-01T06:00:00Z",
        "producer": "https://example.org/test",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid4())},
        "job": {"namespace": "lane", "name": f"load_{n}"},
    }
    return json.dumps(said | more).encode()


def stored(served: Served) -> int:
    row = served.record.one("select count(*) as n from event")
    assert row
    return int(row["n"])


def raw(served: Served, sent: bytes) -> bytes:
    """What comes back over a socket of its own until the server closes it."""
    where = urlsplit(served.base)
    with socket.create_connection((where.hostname, where.port), timeout=20) as s:
        s.sendall(sent)
        said = b""
        try:
            while piece := s.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
        return said


def test_events_that_come_together_are_each_stored_once(served: Served) -> None:
    key = served.key()
    bodies = [body(n) for n in range(200)]
    with ThreadPoolExecutor(16) as pool:
        said = list(pool.map(lambda b: served.post("/api/v1/lineage", b, key), bodies + bodies[:50]))
    assert {r.status_code for r in said} == {201}
    assert {r.headers["cache-control"] for r in said} == {"no-store"}
    assert stored(served) == 200
    assert served.fold() == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_one_answer_whichever_way_an_event_takes(served: Served, scheme: str) -> None:
    key = served.key()
    said = {"Authorization": f"{scheme} {key}"}
    url = f"{served.base}/api/v1/lineage"
    plain, packed, chunked, large = body(1), body(2), body(3), body(4, pad="x" * 200_000)
    ways = [
        requests.post(url, data=plain, headers=said, timeout=30),
        requests.post(
            url, data=gzip.compress(packed), headers=said | {"Content-Encoding": "gzip"}, timeout=30
        ),
        requests.post(url, data=iter([chunked[:100], chunked[100:]]), headers=said, timeout=30),
        requests.post(url, data=large, headers=said, timeout=30),
    ]
    assert [r.status_code for r in ways] == [201] * 4, [r.text for r in ways]
    assert {r.content for r in ways} == {b""}
    assert stored(served) == 4


@pytest.mark.parametrize(
    ("headers", "data", "status", "code"),
    [
        ({}, b"{}", 401, "unauthenticated"),
        ({"Authorization": "Bearer dlv_nobody"}, b"{}", 401, "unauthenticated"),
        ({"Authorization": "Bearer KEY"}, b"[]", 400, "malformed"),
        ({"Authorization": "Bearer KEY"}, b'{"eventType": ', 400, "malformed"),
        ({"Authorization": "Bearer KEY", "Content-Encoding": "gzip"}, b"{}", 400, "malformed"),
        ({"Authorization": "Bearer READS"}, b"{}", 403, "forbidden"),
    ],
)
def test_the_short_way_refuses_nothing_itself(
    served: Served, headers: dict[str, str], data: bytes, status: int, code: str
) -> None:
    keys = {"KEY": served.key(), "READS": served.key("a reader", "read")}
    said = {k: " ".join(keys.get(word, word) for word in v.split(" ")) for k, v in headers.items()}
    answer = requests.post(f"{served.base}/api/v1/lineage", data=data, headers=said, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert stored(served) == 0


def test_a_body_that_ends_early_is_not_stored(served: Served) -> None:
    whole = body(1)
    head = (
        f"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key()}\r\n"
        f"Content-Length: {len(whole) + 10}\r\nConnection: close\r\n\r\n"
    )
    where = urlsplit(served.base)
    with socket.create_connection((where.hostname, where.port), timeout=20) as s:
        s.sendall(head.encode() + whole)
    assert served.post("/api/v1/lineage", body(2), served.key()).status_code == 201
    assert stored(served) == 1


def test_a_large_body_is_not_taken_in_before_its_key_is_known(served: Served) -> None:
    said = raw(
        served,
        b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer dlv_nobody\r\n"
        b"Content-Length: 20000000\r\nConnection: close\r\n\r\n{",
    )
    assert said.startswith(b"HTTP/1.1 401 ")


def test_who_sends_a_body_slowly_holds_up_nobody(served: Served) -> None:
    """More of them than DLV has threads, none signed in, in both ways a body can be announced."""
    where = urlsplit(served.base)
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with ExitStack() as open_:
        for n in range(150):
            s = open_.enter_context(socket.create_connection((where.hostname, where.port), timeout=20))
            s.sendall(
                head
                + (b"Content-Length: 99\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")[n % 2]
            )
        assert requests.get(f"{served.base}/healthz", timeout=10).ok
        # and one of them that goes on is answered
        s.sendall(b"1\r\n}\r\n0\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 422 ")


def test_of_who_has_not_signed_in_no_large_body_is_read(served: Served) -> None:
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    said = raw(served, head + b"Content-Length: 20000\r\n\r\n{")
    assert said.startswith(b"HTTP/1.1 413 ")
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    said = raw(served, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + chunk)
    assert said.startswith(b"HTTP/1.1 4"), "its end is not waited for"


def test_a_head_without_an_end_is_given_up(served: Served) -> None:
    said = raw(served, b"GET /healthz HTTP/1.1\r\nX-Long: " + b"a" * 400_000)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"too long" in said
    assert requests.get(f"{served.base}/healthz", timeout=20).ok


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /api/v1/nodes?name=\xc3\xa4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /api/v1/lineage HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"no http at all\r\n\r\n",
    ],
)
def test_odd_requests_are_refused_and_hurt_nobody(served: Served, sent: bytes) -> None:
    said = raw(served, sent)
    assert said.startswith(b"HTTP/1.1 4"), said[:200]
    assert "Traceback" not in served.said()
    assert requests.get(f"{served.base}/healthz", timeout=20).ok


@pytest.fixture
def behind_a_proxy(stack: Settings, graph_settings: Settings, tmp_path: Any) -> Iterator[Served]:
    with serving.database(stack) as url:
        settings = graph_settings.with_(database_url=url, redis_url=stack.redis_url)
        with serving.serving(settings, tmp_path, more={"DLV_TRUSTED_PROXIES": "1"}) as s:
            yield s


def test_a_header_spelt_with_underscores_is_not_believed(behind_a_proxy: Served) -> None:
    """WSGI cannot tell X_Forwarded_For, which a proxy passes on as it came, from the X-Forwarded-For that it sets."""
    url = f"{behind_a_proxy.base}/api/v1/auth/login"
    with behind_a_proxy.record.tx() as conn:
        users.create(conn, SYSTEM, "somebody", "viewer", passwords.hashed(PASSWORD), must_change=False)
    right = {"username": "somebody", "password": PASSWORD}
    for forged in ("X_Forwarded_For", "X-Forwarded_For"):
        said = {"X-Forwarded-For": "198.51.100.7", forged: "203.0.113.9"}
        assert requests.post(url, json=right, headers=said, timeout=30).status_code == 200
    seen = behind_a_proxy.record.all(
        "select distinct remote_addr from audit_log where actor_name = 'somebody'"
    )
    assert [r["remote_addr"] for r in seen] == ["198.51.100.7"]


def test_stopping_lets_what_is_under_way_end(
    stack: Settings, graph_settings: Settings, tmp_path: Any
) -> None:
    """Every 201 that a client got before the end is in the record."""
    with serving.database(stack) as url:
        settings = graph_settings.with_(database_url=url, redis_url=stack.redis_url)
        taken: list[int] = []
        with serving.serving(settings, tmp_path) as s:
            key, stop = s.key(), threading.Event()

            def send(first: int) -> None:
                n = first
                while not stop.is_set():
                    try:
                        if s.post("/api/v1/lineage", body(n), key).status_code == 201:
                            taken.append(n)
                    except requests.RequestException:
                        return
                    n += 8

            with ThreadPoolExecutor(8) as pool:
                for first in range(8):
                    pool.submit(send, first)
                while len(taken) < 200:
                    stop.wait(0.01)
                s.process.terminate()
                s.process.wait(20)
                stop.set()
            assert stored(s) >= len(taken) >= 200
            assert "Traceback" not in s.said()
