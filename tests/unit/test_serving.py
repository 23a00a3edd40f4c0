"""Who begins a request and falls silent is given up; who is slow and goes on is not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from api import serving


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says how many bytes came, once they are all there."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % size})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(serving, "PATIENCE", 0.5)
    config = uvicorn.Config(app, port=0, http=serving.Protocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def said(port: int, *parts: bytes, pause: float = 0.2) -> bytes:
    """What comes back for what is sent bit by bit, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        for part in parts:
            s.sendall(part)
            time.sleep(pause)
        out = b""
        while piece := s.recv(65536):
            out += piece
        return out


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"GET / HTTP/1.1\r\nHost",),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n",),
    ],
)
def test_silence_ends_a_request(port: int, parts: tuple[bytes, ...]) -> None:
    assert said(port, *parts) == b""


def test_a_head_has_so_long_however_often_something_comes(port: int) -> None:
    with pytest.raises(OSError):
        said(port, *[b"GET / HTTP/1.1\r\n", *[b"X-A: b\r\n"] * 30])


def test_a_body_that_goes_on_may_take_its_time(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nConnection: close\r\n\r\n"
    assert said(port, head, *[b"a"] * 8).count(b"\r\n8\r\n") == 1


def test_a_second_request_may_begin_late(port: int) -> None:
    one = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert said(port, one, last, pause=0.9).count(b"200 OK") == 2
