"""A broker of a test's own that speaks as much of Kafka's protocol as DLV asks for, and counts who comes."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

#: request → the newest version of it that is spoken
SPOKEN = {3: 4, 10: 0, 16: 0, 17: 1, 18: 0, 36: 0}
METADATA, FIND_COORDINATOR, LIST_GROUPS, HANDSHAKE, VERSIONS, AUTHENTICATE = SPOKEN


@dataclass
class Broker:
    """``names``: the brokers of its cluster as (id, host, port), itself where there are none. ``coordinator``: which of
    them it names for every group. ``came``: connections so far. ``asked``: (request, version) of each. ``mute``: requests
    that it never answers."""

    host: str
    port: int
    names: list[tuple[int, str, int]] = field(default_factory=list)
    coordinator: tuple[int, str, int] | None = None
    came: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)
    mute: set[int] = field(default_factory=set)

    @property
    def at(self) -> str:
        return f"{self.host}:{self.port}"

    def answer(self, request: int, version: int) -> bytes:
        if request == VERSIONS:
            error = 0 if version == 0 else 35
            keys = b"".join(struct.pack(">hhh", key, 0, most) for key, most in SPOKEN.items())
            return struct.pack(">hi", error, len(SPOKEN)) + keys
        if request == METADATA:
            brokers = self.names or [(1, self.host, self.port)]
            each = b"".join(struct.pack(">i", n) + text(h) + struct.pack(">ih", p, -1) for n, h, p in brokers)
            topic = struct.pack(">ih", 1, 0) + text("orders") + struct.pack(">bi", 0, 0)
            return struct.pack(">ii", 0, len(brokers)) + each + text("fake") + struct.pack(">i", 1) + topic
        if request == FIND_COORDINATOR:
            node, host, port = self.coordinator or (1, self.host, self.port)
            return struct.pack(">hi", 0, node) + text(host) + struct.pack(">i", port)
        if request == LIST_GROUPS:
            return struct.pack(">hi", 0, 0)
        if request == HANDSHAKE:
            return struct.pack(">hi", 0, 1) + text("PLAIN")
        assert request == AUTHENTICATE
        return struct.pack(">h", 58) + text("Authentication failed: nobody knows you") + struct.pack(">i", 0)


def text(words: str) -> bytes:
    return struct.pack(">h", len(words)) + words.encode()


@contextmanager
def broker(host: str = "127.0.0.1", port: int = 0) -> Iterator[Broker]:
    """It listens until the end of the block."""
    with socket.create_server((host, port)) as server:
        made = Broker(host, server.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    made.came += 1
                    threading.Thread(target=one, args=(sock,), daemon=True).start()

        def one(sock: socket.socket) -> None:
            with sock, suppress(OSError), sock.makefile("rb") as reads:
                while size := reads.read(4):
                    frame = reads.read(struct.unpack(">i", size)[0])
                    request, version, number = struct.unpack(">hhi", frame[:8])
                    made.asked.append((request, version))
                    if request in made.mute:
                        continue
                    said = struct.pack(">i", number) + made.answer(request, version)
                    sock.sendall(struct.pack(">i", len(said)) + said)
                    if request == AUTHENTICATE:
                        return  # as Kafka does: its no and the end of the connection come together

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
