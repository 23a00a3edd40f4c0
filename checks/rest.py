"""Reading the REST API of another system for a look: JSON, or why it could not be read, as the step that failed."""

from __future__ import annotations

import json
import ssl
from http.client import BadStatusLine, RemoteDisconnected
from types import TracebackType
from typing import Any

import requests

from checks.result import CannotLook
from connections import http, ladder
from connections.link import Link
from ingest.messages import first_line

#: longest answer that is read, in bytes: no list that is looked at comes near, a page of something else may
LONGEST = 20_000_000


def unclear(reason: str, hint: str = "") -> CannotLook:
    """The system answered, and its answer says nothing of what was asked."""
    return CannotLook(reason, step="answer", hint=hint)


class Answer:
    """What came back: ``status``, and ``body`` where it is JSON (None where it is not)."""

    def __init__(self, response: requests.Response, data: bytes) -> None:
        self.status = response.status_code
        try:
            self.body: Any = json.loads(data)
        except ValueError:
            self.body = None
        self._data = data

    def object(self, system: str, what: str) -> dict[str, Any]:
        """The JSON object that was asked for, else :class:`CannotLook`."""
        self._good(system, what)
        if not isinstance(self.body, dict):
            raise unclear(
                f"what answers is not {system}: {what} is no JSON object", "look at the URL of the connection"
            )
        return self.body

    def list(self, system: str, what: str) -> list[Any]:
        """The JSON list that was asked for, else :class:`CannotLook`."""
        self._good(system, what)
        if not isinstance(self.body, list):
            raise unclear(
                f"what answers is not {system}: {what} is no JSON list", "look at the URL of the connection"
            )
        return self.body

    def _good(self, system: str, what: str) -> None:
        if 200 <= self.status < 300:
            return
        said = first_line(self._data[:2000].decode(errors="replace"), 120) if self.body is None else ""
        raise refused(self.status, system, what, "" if said.lstrip().startswith("<") else said)


def refused(status: int, system: str, what: str, said: str = "") -> CannotLook:
    """What a status means that is no success."""
    if status == 401:
        return CannotLook(
            f"{system} refused the user or password (401)",
            step="sign-in",
            hint="enter them anew in the connection",
        )
    if status == 403:
        return CannotLook(
            f"the user may not read {what} of {system} (403)",
            step="permission",
            hint="a role that reads is enough; some systems answer so to a wrong password, too",
        )
    tail = f": {said}" if said else ""
    hint = "look at the URL of the connection" if status in (400, 404, 405) else ""
    return unclear(f"{system} answered {status} for {what}{tail}", hint)


class Rest:
    """One session of GET and POST under the URL of a connection. Everything that hinders it is :class:`CannotLook`."""

    def __init__(self, link: Link, base: str | None = None) -> None:
        self.link = link
        self.base = (base if base is not None else str(link.get("url", ""))).rstrip("/")
        try:
            self.session = http.session(link)
        except ssl.SSLError as e:
            raise CannotLook(*ladder.tls_words(e)[:1], step="tls", hint=ladder.tls_words(e)[1]) from None

    def __enter__(self) -> Rest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def get(self, path: str, **params: Any) -> Answer:
        """GET; parameters that are None are left out."""
        return self.ask("GET", path, params={k: v for k, v in params.items() if v is not None})

    def ask(self, method: str, path: str, **given: Any) -> Answer:
        try:
            with self.session.request(
                method, self.base + path, stream=True, timeout=self.link.timeout, **given
            ) as response:
                return Answer(response, http.read(response, LONGEST))
        except requests.RequestException as e:
            raise why(e, self.link) from None
        except http.Unreadable as e:
            raise unclear(e.message) from None


def why(e: requests.RequestException, link: Link) -> CannotLook:
    """What hindered a request, in words that say what to do."""
    if isinstance(e, requests.ReadTimeout):
        return CannotLook(
            f"it took the request and did not answer within {link.timeout:g} s",
            step="answer",
            hint="it may hang or be overloaded",
        )
    step, message, hint = ladder.told(e, "route")
    if message:
        return CannotLook(message, step=step, hint=hint)
    if any(isinstance(x, RemoteDisconnected | BadStatusLine) for x in ladder.chain(e)):
        return unclear("what listens there does not speak HTTP", "check the port of the URL")
    return unclear(f"the answer cannot be read: {type(e).__name__}", "check the URL of the connection")
