"""What a kind of channel is: its fields, which events it hears, how it sends. And what all of them share: the link to the
receiver, time limits, what an answer means."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests

from alerts.message import Message
from connections import http
from connections.guard import Guard, Refused
from connections.kind import Kind
from connections.link import Link
from errors import DlvError

#: seconds for reaching a receiver, for each of its answers, and for everything together
REACH, ANSWER, ALL = 5.0, 10.0, 60.0
#: of what a receiver answers, so much is read
_READ = 16_384


class NotSent(DlvError):
    """The receiver did not take the message. ``again``: whether another try may help; ``after``: how many seconds the
    receiver wants to be left alone, where it says so."""

    code = "not_sent"
    status = 502

    def __init__(
        self, message: str, *, hint: str = "", again: bool = True, after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint or None)
        self.again, self.after = again, after


@dataclass(frozen=True)
class Sent:
    """The receiver took it. ``answer``: what it said, a line; ``reference``: what later messages about the same incident
    need, to edit it or to follow it."""

    answer: str
    reference: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChannelKind:
    """A kind of channel. ``send`` gets the link, the message, its id and the reference of the one before; it returns
    :class:`Sent` or raises :class:`NotSent`. ``hears`` says which events it is told at all. ``private``: whether it may
    lead to a private address without DLV_PRIVATE_WEBHOOKS=1. ``can``: what people should know of it, in a line."""

    form: Kind
    send: Callable[[Link, Message, str, Mapping[str, Any] | None], Sent] = field(repr=False)
    hears: Callable[[Mapping[str, Any], str, bool], bool] = field(repr=False)
    can: str
    private: bool = False
    #: further checks of the fields beside those of the form; gets fields and which secrets there are
    check: Callable[[Mapping[str, Any], Mapping[str, Any]], None] | None = field(default=None, repr=False)


# ---------------------------------------------------------------- time limits


class _Timed(Guard):
    """A guard whose sockets can be shut from outside: a receiver that sends a byte now and then holds nobody up."""

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        made = super().connect(host, port, timeout)
        self.__dict__.setdefault("opened", []).append(made.dup())  # TLS takes the socket itself over
        return made

    def shut(self) -> None:
        for one in self.__dict__.get("opened", []):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        for one in self.__dict__.pop("opened", []):
            one.close()


@contextlib.contextmanager
def within(link: Link, seconds: float = ALL) -> Iterator[Link]:
    """The link for one message: whatever is still open after so many seconds is shut."""
    g = link.guard
    timed = _Timed(g.allowed, g.own, g.private)
    timer = threading.Timer(seconds, timed.shut)
    timer.daemon = True
    timer.start()
    try:
        yield replace(link, guard=timed, timeout=ANSWER)
    finally:
        timer.cancel()
        timed.release()


# ---------------------------------------------------------------- HTTP


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str

    def line(self) -> str:
        """The first line of it, short, for the log."""
        return " ".join(self.text.split())[:200]


def post(link: Link, url: str, body: bytes, headers: Mapping[str, str], who: str) -> Answer:
    """POST JSON to a receiver. Raises :class:`NotSent` where it cannot be reached; what its status means is the
    caller's matter (:func:`unless_taken`). No redirect is followed."""
    with within(link) as timed:
        try:
            with (
                http.session(timed) as session,
                session.post(
                    url,
                    data=body,
                    headers={"Content-Type": "application/json", **headers},
                    timeout=(REACH, ANSWER),
                    allow_redirects=False,
                    stream=True,
                ) as answer,
            ):
                text = answer.raw.read(_READ, decode_content=True) or b""
                return Answer(answer.status_code, answer.headers, text.decode("utf-8", "replace"))
        except Refused as e:
            raise NotSent(e.message, hint=e.hint or "", again=False) from None
        except Exception as e:
            raise unreachable(link, e, who) from None


def unreachable(link: Link, e: Exception, who: str) -> NotSent:
    """In words why a receiver was not reached; another try may help."""
    inner: BaseException | None = e
    while inner is not None:
        if isinstance(inner, Refused):
            return NotSent(inner.message, hint=inner.hint or "", again=False)
        inner = inner.__cause__ or inner.__context__
    said = link.hide(str(e))
    if isinstance(e, requests.exceptions.SSLError) or "CERTIFICATE_VERIFY_FAILED" in said:
        return NotSent(
            f"{who}'s certificate is not trusted", hint="give the CA's certificate in the channel's form"
        )
    if "NameResolution" in said or isinstance(e, socket.gaierror):
        return NotSent(f"the name of {who} is not known", hint="check the address")
    if isinstance(e, requests.exceptions.ConnectTimeout):
        return NotSent(
            f"{who} does not answer within {REACH:g} s", hint="check the address, and firewalls between"
        )
    if isinstance(e, requests.exceptions.ReadTimeout | TimeoutError) or "timed out" in said.lower():
        return NotSent(f"{who} took the connection and did not answer within {ANSWER:g} s")
    if "refused" in said.lower():
        return NotSent(f"{who} refuses the connection", hint="check host and port, and that it runs")
    return NotSent(f"the connection to {who} broke ({type(e).__name__})")


def unless_taken(answer: Answer, who: str, *, hints: Mapping[int, str] | None = None) -> None:
    """Raise :class:`NotSent` where the status is not 2xx: 408, 429 and 5xx are tried again, all else is given up."""
    code = answer.status
    if 200 <= code < 300:
        return
    said = f": {answer.line()}" if answer.line() and "<" not in answer.line()[:1] else ""
    after = retry_after(answer.headers.get("Retry-After"))
    if code in (408, 425, 429) or code >= 500:
        raise NotSent(f"{who} answered {code}{said}", after=after)
    hint = (hints or {}).get(code, "")
    if 300 <= code < 400:
        hint = hint or f"name the address it leads to: {answer.headers.get('Location', 'not said')[:200]}"
    raise NotSent(
        f"{who} answered {code}{said}", hint=hint or _HINTS.get(code, "check the address"), again=False
    )


_HINTS = {
    400: "it does not understand the message: check that the address takes DLV's JSON",
    401: "it does not know the sign-in: write the secret again",
    403: "it refuses the sign-in or the signature: write the secret again",
    404: "nothing is at this address: check the path",
    405: "the address takes no POST: check the path",
    410: "the address was closed for good: get a new one",
}


def retry_after(said: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or a date."""
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
