"""Trying a connection: a ladder of steps (name, route, TLS, sign-in, permission), climbed within ten seconds, that says
which step failed and what to do about it, in words and without any secret.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from connections.guard import Refused
from connections.kind import STEPS, Kind, Tested
from connections.link import Link
from errors import DlvError, Throttled

log = logging.getLogger("dlv.connections")

#: seconds after which a test is answered, come what may
SECONDS = 9.0
#: tests at one time; those that were given up count until they end
AT_ONCE = 16

At = tuple[str, int] | None

_running = threading.BoundedSemaphore(AT_ONCE)


class Failed(Exception):
    """A step failed. ``message`` says what, ``hint`` what to do."""

    def __init__(self, step: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.step, self.message, self.hint = step, message, hint


class Ladder:
    """How far a test has come. Steps that a kind does not name count as skipped once a later one is reached."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.now = STEPS[0]
        self.states = dict.fromkeys(STEPS, "open")
        self.end = time.monotonic() + seconds
        self.at: At = None

    def to(self, host: str, port: int) -> None:
        """Where it goes from here, for the words of what fails."""
        self.at = (host, port)

    def left(self, most: float = 4.0) -> float:
        """Seconds that a step may take: what is left, at most ``most``, and never nothing."""
        return max(0.2, min(most, self.end - time.monotonic()))

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Everything in the block is this step; what it raises is told as its failure."""
        self.now = name
        yield
        self.states[name] = "ok"

    def reached(self, name: str) -> None:
        """The step went well, seen by a later one."""
        self.states[name] = "ok"

    def skip(self, name: str) -> None:
        """The connection does not use this step."""
        self.states[name] = "skipped"

    def told(self, failed: str | None) -> tuple[tuple[str, str], ...]:
        """Each step's state; those after the failed one are open, whatever was seen of them."""
        out = []
        for i, name in enumerate(STEPS):
            state = self.states[name]
            if failed is not None:
                at = STEPS.index(failed)
                state = "failed" if i == at else "open" if i > at else "ok" if state == "open" else state
            elif state == "open":
                state = "skipped"
            out.append((name, state))
        return tuple(out)


def climb(kind: Kind, link: Link, seconds: float = SECONDS) -> Tested:
    """Try ``link``; the answer comes within ``seconds`` even where the other side never answers: the thread that waits
    for it is given up, and ends with its own timeouts. The wait for a place among those that are tried counts."""
    began = time.monotonic()
    if not _running.acquire(timeout=min(2.0, seconds)):
        raise Throttled(
            "too many connections are being tried", retry_after=10, hint="try again in ten seconds"
        )
    ladder = Ladder(seconds - (time.monotonic() - began))
    out: list[Tested] = []

    def work() -> None:
        try:
            out.append(_climb(kind, link, ladder, began))
        finally:
            _running.release()

    thread = threading.Thread(target=work, name="connection-test", daemon=True)
    thread.start()
    thread.join(max(0.0, ladder.end - time.monotonic()))
    if out:
        return out[0]
    step = ladder.now
    message = f"no answer within {seconds:.0f} s, while {_DOING[step]}"
    return Tested(False, step, message, _SLOW[step], ladder.told(step), time.monotonic() - began)


def _climb(kind: Kind, link: Link, ladder: Ladder, began: float) -> Tested:
    try:
        said = kind.climb(link, ladder)
        return Tested(
            True, STEPS[-1], link.hide(said), "", ladder.told(None), time.monotonic() - began
        )  # fmt: skip
    except Failed as e:
        step, message, hint = e.step, e.message, e.hint
    except Refused as e:
        step, message, hint = ladder.now, e.message, e.hint or ""
        step = "name" if e.field == "path" else "route"
    except DlvError as e:
        step, message, hint = ladder.now, e.message, e.hint or ""
    except Exception as e:
        step = ladder.now
        step, message, hint = told(e, step, ladder.at)
        if not message:
            said = link.hide(traceback.format_exc())
            log.error("testing a connection of the kind %s failed at %s\n%s", kind.name, step, said)
            message, hint = f"DLV's own fault: {type(e).__name__}", "the log of the web process has the rest"
    return Tested(
        False, step, link.hide(message)[:500], link.hide(hint)[:500], ladder.told(step), time.monotonic() - began
    )  # fmt: skip


_DOING = {
    "name": "looking up its name",
    "route": "opening a socket",
    "tls": "speaking TLS",
    "sign-in": "signing in",
    "permission": "asking what may be read",
}
_SLOW = {
    "name": "ask whoever runs this network's DNS; an address in place of the name tells whether it is that",
    "route": "a firewall may drop what is sent there; ask for a way from DLV's machine to it",
    "tls": "something listens there and does not speak TLS; check the port, or choose TLS off",
    "sign-in": "something listens there and does not answer; check that the port is this system's, and whether it hangs",
    "permission": "the server signs in and then does not answer; it may be overloaded",
}


# ---------------------------------------------------------------- what errors mean


def told(e: BaseException, step: str, at: At = None) -> tuple[str, str, str]:
    """(step, message, hint) of an error of sockets and TLS, on the way to ``at``; the message is empty where it is none of
    these."""
    for one in chain(e):
        if isinstance(one, ssl.SSLError):
            return ("tls", *tls_words(one))
    for one in chain(e):
        if isinstance(one, socket.gaierror):
            return "name", *name_words(one, at)
        if isinstance(one, TimeoutError | ConnectionError) or (isinstance(one, OSError) and one.errno):
            return step if step != "name" else "route", *route_words(one, step, at)
    return step, "", ""


def chain(e: BaseException) -> Iterator[BaseException]:
    """The error and all it came from, urllib3's reasons and arguments too."""
    seen: set[int] = set()
    todo: list[object] = [e]
    while todo:
        one = todo.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        todo += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


def name_words(e: socket.gaierror, at: At = None) -> tuple[str, str]:
    name = at[0] if at else "the name"
    if e.errno == socket.EAI_AGAIN:
        return (
            f"{name} cannot be looked up just now: no name server answers",
            "ask whoever runs this network's DNS, or use an address",
        )
    return f"{name} does not resolve", "check how it is spelt, and that DLV's machine (or container) knows it"


def route_words(e: BaseException, step: str, at: At = None) -> tuple[str, str]:
    host, port = (at[0], f"port {at[1]}") if at else ("the host", "this port")
    if isinstance(e, TimeoutError):
        if step in ("name", "route"):
            return f"no answer from {host} to opening a socket on {port}", _SLOW["route"]
        return f"no answer while {_DOING[step]}", _SLOW[step]
    if isinstance(e, ConnectionRefusedError):
        return (
            f"{host} answers, and nothing listens on {port}",
            "check the port, that the server runs, and that it listens on this address and not on its loopback alone",
        )
    if isinstance(e, ConnectionError):
        return (
            f"{host} closed the connection on {port}",
            "check that the port is this system's, and whether it wants TLS or none",
        )
    return f"there is no way to {host}: {getattr(e, 'strerror', None) or e}", _SLOW["route"]


#: how servers say no to a client's certificate, or to there being none, as OpenSSL words it
_ALERT = re.compile(r"alert ((?:\w+ )?certificate(?: \w+)*|unknown ca|decrypt error|handshake failure)")


_WANTS_CERTIFICATE = "it may want a client certificate that an authority of its own has signed: fill in client certificate and client key, both"


def alert_words(text: str) -> tuple[str, str] | None:
    """(message, hint) where OpenSSL says that the server broke off over the client's certificate, else None."""
    m = _ALERT.search(text.lower().replace("_", " "))
    if m is None:
        return None
    return f"the server broke off TLS: {m[1]}", _WANTS_CERTIFICATE


def tls_words(e: ssl.SSLError) -> tuple[str, str]:
    text = str(e)
    if isinstance(e, ssl.SSLCertVerificationError):
        why = e.verify_message or "not valid"
        if e.verify_code == 10:
            return "the server's certificate has expired", "whoever runs the server renews it"
        if e.verify_code in (62, 63, 64) or "mismatch" in why.lower():
            return (
                f"the server's certificate is for another name: {why}",
                "use the name that the certificate is for, or ask for one that covers this name",
            )
        if e.verify_code in (7, 18, 19, 20, 21):
            return (
                f"the server's certificate is not signed by an authority that is known here ({why})",
                "paste the certificate of its authority into CA certificate",
            )
        return f"the server's certificate is not good: {why}", "ask whoever runs the server"
    if (
        "WRONG_VERSION_NUMBER" in text
        or "RECORD_LAYER" in text
        or "UNEXPECTED_EOF" in text
        or "PACKET_LENGTH" in text
    ):
        return (
            "what listens there does not speak TLS",
            "check the port; or choose TLS off, if the network between is yours",
        )
    if said := alert_words(text):
        return said
    if "EOF occurred" in text:
        return "the server broke off TLS", _WANTS_CERTIFICATE
    if "KEY_VALUES_MISMATCH" in text:
        return "client certificate and client key do not belong together", "paste the pair"
    if "PEM" in text or "NO_START_LINE" in text or "NOT_ENOUGH_DATA" in text:
        return (
            "a certificate or key of this connection cannot be read",
            "paste it again, from -----BEGIN to -----END; a key must not have a passphrase",
        )
    return f"TLS failed: {e.reason or text}", "check the port, and which versions of TLS the server speaks"
