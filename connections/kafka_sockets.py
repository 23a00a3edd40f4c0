"""How kafka-python is held to what DLV demands of a client: sockets are opened to an address that the guard let pass, all
of them are closed, and no thread runs. connections.kafka asks through it.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.net import KafkaNetSocket
from kafka.net.connection import KafkaConnection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest

from connections.guard import Refused
from connections.kind import pairs
from connections.link import Link

#: seconds that a bootstrap server is ahead of the next: one that hangs must not use up the time of one that answers
HEAD_START = 0.5

# it logs each connection that fails, and at debug level its whole configuration
_quiet = logging.getLogger("kafka")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False
_quiet.setLevel(logging.CRITICAL + 1)


@dataclass
class Way:
    """How the sockets of one client are opened, until ``end`` (of the monotonic clock), and what came of it.

    ``refused``: what the guard said; it ends every question, for kafka-python takes it for a broker that is down.
    ``sockets``: all that were opened. kafka-python does not close those whose connecting or handshake is broken off.
    """

    link: Link
    end: float
    refused: Refused | None = None
    sockets: list[socket.socket] = field(default_factory=list)

    def left(self) -> float:
        return self.end - time.monotonic()

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses that may be connected to. Raises :class:`OSError` also where there is no time to look them up."""
        if self.left() <= 0:
            raise TimeoutError("timed out")
        try:
            return self.link.guard.resolve(host, port)
        except ValueError:  # a broker may name what no resolver takes
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        except Refused as e:
            message = e.message
            if (host, port) not in pairs(self.link.fields["bootstrap"]):
                named = message.replace(" is refused", ", which is refused", 1)
                message = f"the cluster names a broker at {named}"
            self.refused = Refused(message, field=e.field, hint=e.hint)
            raise self.refused from None

    def kept(self, sock: socket.socket) -> Socket:
        self.sockets.append(sock)
        return Socket(sock)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


class Socket:
    """A socket that tells of its end after what came before it. kafka-python drops what it reads in one go with the end of
    the connection, and so Kafka's no to a sign-in, which comes just before it."""

    def __init__(self, sock: socket.socket) -> None:
        self.inner = sock
        self._came = False
        self._end: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def recv(self, size: int) -> bytes:
        if self._end is not None:
            raise self._end
        try:
            data = self.inner.recv(size)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._came = False
            raise
        except OSError as e:
            if not self._came:
                raise
            self._end = e
            raise BlockingIOError from None
        if not data and self._came:
            self._came = False
            raise BlockingIOError
        self._came = bool(data)
        return data


class NotReached(kafka_errors.KafkaConnectionError):  # type: ignore[misc]
    """A broker at ``at`` (host, port) to which no socket opens, for ``why``."""

    def __init__(self, at: tuple[str, int], why: BaseException) -> None:
        super().__init__(why)
        self.at = at
        self.why = why


#: token → the way of a client that is open; kafka-python hands on nothing but a URL to what opens its sockets
WAYS: dict[str, Way] = {}
SCHEME = "dlv-guard"


class GuardedSocket(KafkaNetSocket):
    """What kafka-python opens every socket of a client by whose ``proxy_url`` is of our scheme."""

    SCHEMES = (SCHEME,)

    def __init__(self, proxy_url: str) -> None:
        self._way = WAYS.get(urlsplit(proxy_url).netloc)

    def dns_lookup(
        self, host: str, port: int, raise_error: bool = False
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """By number, so that nothing is looked up again. What is refused, or does not resolve, is raised and thereby the
        connection's end."""
        if self._way is None:
            raise kafka_errors.KafkaConnectionError("the client is closed")
        self._at = (host, port)
        try:
            found = self._way.addresses(host, port)
        except OSError as e:
            raise NotReached(self._at, e) from None
        return [
            (
                socket.AF_INET6 if ipaddress.ip_address(a).version == 6 else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (a, port),
            )
            for a in found
        ]

    async def connect(
        self, net: Any, addrinfo: Any, socket_options: Any = (), timeout_at: float | None = None
    ) -> Socket:
        """As kafka-python does it, which tells no more than the name of an error, and leaves the socket open then."""
        assert self._way is not None
        family, kind, proto, _, address = addrinfo
        sock = self._way.kept(self.socket(family, kind, proto))
        try:
            sock.setblocking(False)
            for option in socket_options:
                sock.setsockopt(*option)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                await net.wait_write(sock, timeout_at=timeout_at)
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except (OSError, OverflowError, kafka_errors.KafkaTimeoutError) as e:
            sock.close()
            late = isinstance(e, kafka_errors.KafkaTimeoutError)
            raise NotReached(self._at, TimeoutError("timed out") if late else e) from None
        return sock


class Context:
    """A TLS context for kafka-python, which needs no more of it than this."""

    def __init__(self, context: ssl.SSLContext, way: Way) -> None:
        self._context = context
        self._way = way

    def wrap_socket(self, sock: Socket, **how: Any) -> Socket:
        return self._way.kept(self._context.wrap_socket(sock.inner, **how))


class Loop(NetworkSelector):  # type: ignore[misc]
    """kafka-python's loop, turned by the thread that asks and no longer than it may ask."""

    def __init__(self, way: Way, **config: Any) -> None:
        super().__init__(**config)
        self._way = way

    def start(self) -> None:
        """No thread is begun: it would wait without an end, and outlive a client whose bootstrap fails."""

    def run(self, coro: Any, *args: Any) -> Any:
        asked = self.call_soon_with_future(coro, *args)
        while not asked.is_done and self._way.refused is None and (left := self._way.left()) > 0:
            self.poll(timeout_ms=left * 1000)
        if self._way.refused is not None:
            raise self._way.refused
        if not asked.is_done:
            raise TimeoutError("timed out")
        if asked.exception is not None:
            raise asked.exception
        return asked.value


class Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Connections, begun at the bootstrap servers. kafka-python's own beginning tries them again until the time is over
    and then does not say why; this one tries each once and keeps what was wrong in ``failed``, by (host, port)."""

    def __init__(self, net: Loop, **config: Any) -> None:
        super().__init__(net, **config)
        self.failed: dict[tuple[str, int], BaseException] = {}
        self.listed: Any = None
        self._beginning: Future | None = None

    def bootstrap_async(self, timeout_ms: float | None = None, refresh: bool = True) -> Future:
        if self._beginning is None:
            self._beginning = self._bootstrap_future = self.call_soon(self._first_list)
        return self._beginning

    async def _first_list(self) -> None:
        """``listed``: metadata with all topics, for naming one could make it, from the first server that gives it."""
        waiting = self.cluster.bootstrap_brokers()
        begun: list[tuple[Any, KafkaConnection]] = []
        while waiting or begun:
            if waiting:
                node = waiting.pop(0)
                conn = self.get_connection(node.node_id, pop_on_close=False, refresh_metadata_on_err=False)
                begun.append((node, conn))
            with suppress(kafka_errors.KafkaTimeoutError):
                await self.wait_for(_settled([c for _, c in begun]), HEAD_START * 1000 if waiting else None)
            for node, conn in [b for b in begun if not b[1].initializing]:
                begun.remove((node, conn))
                try:
                    await conn  # raises what was wrong with it
                    answer = await conn.send_request(MetadataRequest(topics=MetadataRequest.ALL_TOPICS))
                    if not answer.brokers:
                        raise kafka_errors.MetadataEmptyBrokerList("it names no broker of its cluster")
                except Exception as e:
                    self.failed[node.host, node.port] = e
                    conn.close()
                    continue
                for _, other in begun:
                    other.close()
                self.listed = answer
                self.cluster.update_metadata(answer)
                return
        raise kafka_errors.KafkaConnectionError("no bootstrap server answers")


def _settled(connections: list[KafkaConnection]) -> Future:
    """Done once one of them is ready or has failed."""
    done = Future()

    def one(_: Any) -> None:
        if not done.is_done:
            done.success(None)

    for c in connections:
        c.init_future.add_both(one)
    return done
