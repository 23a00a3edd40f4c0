"""HTTP for the web process: uvicorn, with limits where it has none."""

from __future__ import annotations

import asyncio
import logging

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: bytes that the request line and the headers of a request may have
MOST_HEAD = 128 * 1024
#: seconds that a connection may be idle between two requests, and that requests under way have when DLV stops
KEEP_ALIVE, GRACE = 75, 5
#: seconds in which the head of a request has to arrive, and after which a body that goes on no more is given up
PATIENCE = 20.0


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 that gives up on a head without an end, and on who begins a request and falls silent: the parser itself
    would read, and wait, for ever.
    """

    #: bytes of the head that is arriving; None: none is
    _head: int | None = None
    _in_body = False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._calm()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._calm()
        self._head, self._in_body = None, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._calm()
        self._in_body = False
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head is not None and self.parser is not None:
            self._head += len(data)
            if self._head > MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The request's headers are too long.")
            elif self._late is None:
                self._wait()
        elif self._in_body:
            self._calm()
            self._wait()

    def _wait(self) -> None:
        self._late = self.loop.call_later(PATIENCE, self._give_up)

    def _calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        if self._in_body and self.flow.read_paused:
            self._wait()  # it is DLV that does not read
        else:
            self.transport.close()


def run(factory: str, host: str, port: int, log_level: str) -> None:
    """Serve what ``factory`` (module:function) makes, an ASGI application, until a signal asks to stop."""
    # its own words of start and stop say nothing that DLV does not say itself
    logging.getLogger("uvicorn").setLevel("WARNING" if log_level == "INFO" else log_level)
    uvicorn.run(
        factory,
        factory=True,
        host=host,
        port=port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # DLV_TRUSTED_PROXIES says whom to believe (app.py)
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
