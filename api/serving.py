"""HTTP for the web process: uvicorn, with limits where it has none."""

from __future__ import annotations

import logging

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: bytes that the request line and the headers of a request may have
MOST_HEAD = 128 * 1024
#: seconds that a connection may be idle between two requests, and that requests under way have when DLV stops
KEEP_ALIVE, GRACE = 75, 5


class Protocol(HttpToolsProtocol):
    """HTTP/1.1 that gives up on a head without an end: the parser itself would read on for ever."""

    _head: int | None = None

    def on_message_begin(self) -> None:
        self._head = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head is not None and self.parser is not None:
            self._head += len(data)
            if self._head > MOST_HEAD and not self.transport.is_closing():
                self.send_400_response("The request's headers are too long.")


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
