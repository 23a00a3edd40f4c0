"""HTTP through the guard: every socket, a redirect's too, is opened to an address that was checked, and the server's name
stays for TLS. Proxies and .netrc of the environment are not used.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, disable_warnings
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    InsecureRequestWarning,
    NameResolutionError,
    NewConnectionError,
)
from urllib3.poolmanager import PoolManager

from connections import tls
from connections.guard import Guard
from connections.kind import Field, Kind
from connections.ladder import Failed, Ladder
from connections.link import Link
from errors import DlvError

#: a body is read up to here
MAX_BODY = 8 * 1024 * 1024
REDIRECTS = 5


disable_warnings(InsecureRequestWarning)  # it was chosen, and the form says what it means


class Unreadable(DlvError):
    """The answer is not what was asked for."""

    code = "bad_answer"
    status = 502


class Session(requests.Session):
    """A session of a link: its sign-in, its TLS, its timeout; what is secret is sent to the host it is meant for alone."""

    def __init__(self, guard: Guard, timeout: float, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = REDIRECTS
        self.timeout = timeout
        self.secret_headers: set[str] = set()
        self.headers["User-Agent"] = "dlv"
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(guard, context))

    def request(self, method: Any, url: Any, *args: Any, **how: Any) -> requests.Response:
        how.setdefault("timeout", self.timeout)
        return super().request(method, url, *args, **how)

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """A redirect to another host takes no secret along."""
        if self.should_strip_auth(response.request.url, prepared_request.url):  # type: ignore[arg-type]
            for name in {"Authorization", "Cookie", *self.secret_headers}:
                prepared_request.headers.pop(name, None)


class _Adapter(HTTPAdapter):
    def __init__(self, guard: Guard, context: ssl.SSLContext | None) -> None:
        self._guard, self._context = guard, context
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **how: Any) -> None:
        if self._context is not None:
            how |= {"ssl_context": self._context}
            if not self._context.check_hostname:
                how |= {"assert_hostname": False, "cert_reqs": "CERT_NONE"}
        self.poolmanager = PoolManager(num_pools=connections, maxsize=maxsize, block=block, **how)
        self.poolmanager.pool_classes_by_scheme = guarded(self._guard)

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        # the context says what is trusted; left in, these would load the machine's authorities into it
        return host, {} if self._context is not None else pool  # type: ignore[typeddict-item]

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        if self._context is None:
            super().cert_verify(conn, url, verify, cert)


def guarded(guard: Guard) -> dict[str, Any]:
    """urllib3's pools whose connections open their sockets through ``guard``."""

    def opened(self: HTTPConnection) -> Any:
        timeout = self.timeout if isinstance(self.timeout, int | float) else 10.0
        try:
            return guard.connect(self.host, int(self.port or self.default_port), timeout)
        except TimeoutError as e:
            raise ConnectTimeoutError(self, f"no answer within {timeout:g} s") from e
        except OSError as e:
            if isinstance(e, socket.gaierror):
                raise NameResolutionError(self.host, self, e) from e  # type: ignore[arg-type]
            raise NewConnectionError(self, str(e)) from e

    plain = type("GuardedHTTP", (HTTPConnection,), {"_new_conn": opened})
    secure = type("GuardedHTTPS", (HTTPSConnection,), {"_new_conn": opened})
    return {
        "http": type("GuardedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("GuardedTLSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }


def session(link: Link) -> Session:
    """A session for this link, signed in as its fields say. Relative to ``link.fields["url"]``: see :func:`url`. Raises
    what requests raises, :class:`connections.guard.Refused` where an address is not connected to, and
    :class:`ssl.SSLError` where a certificate of the link cannot be read."""
    made = Session(link.guard, link.timeout, tls.context(link))
    how = link.get("auth", "none")
    if how == "basic":
        user, password = str(link.get("username", "")), link.secret.get("password", "")
        made.auth = (user.encode(), password.encode())  # type: ignore[assignment]
    elif how == "bearer":
        made.headers["Authorization"] = f"Bearer {link.secret.get('token', '')}"
    elif how == "header":
        made.headers[link.fields["header"]] = link.secret.get("header_value", "")
        made.secret_headers.add(link.fields["header"])
    return made


def url(link: Link, path: str = "", base: str = "url") -> str:
    """The address of ``path`` below the link's own; ``path`` is taken as it is, its query too."""
    root = str(link.fields[base])
    return f"{root}/{path.lstrip('/')}" if path else root


def segment(text: str) -> str:
    """One part of a path: a DAG's or topic's name, whatever characters it has."""
    return quote(text, safe="")


def get_json(s: requests.Session, address: str, **how: Any) -> Any:
    """The JSON at an address; :class:`Unreadable` where the answer is none, or longer than :data:`MAX_BODY`;
    :class:`requests.HTTPError` where the status says no."""
    with s.get(address, stream=True, **how) as answer:
        answer.raise_for_status()
        body = read(answer)
        try:
            return orjson.loads(body)
        except ValueError:
            raise Unreadable(
                f"{urlsplit(address).path} answered, but not in JSON ({answer.headers.get('Content-Type', 'no type')})",
                hint="check the address: a proxy or another server may answer there",
            ) from None


def read(answer: requests.Response, most: int = MAX_BODY) -> bytes:
    """The body of a streamed answer."""
    out = bytearray()
    for piece in answer.iter_content(65_536):
        out += piece
        if len(out) > most:
            raise Unreadable(f"the answer is longer than {most:,} bytes")
    return bytes(out)


# ---------------------------------------------------------------- fields and ladder, shared by all that speak HTTP

SIGN_IN = ("none", "basic", "bearer", "header")


def address(
    label: str = "Address", name: str = "url", *, example: str, required: bool = True, help: str = ""
) -> Field:
    return Field(name, label, "url", required=required, binds=True, example=example, help=help)


def sign_in_fields() -> tuple[Field, ...]:
    return (
        Field(
            "auth", "Sign-in", "choice", default="none",
            choices=(("none", "None"), ("basic", "User and password"), ("bearer", "Bearer token"), ("header", "Header of its own")),
        ),
        Field("username", "User", required=True, when=("auth", ("basic",))),
        Field("password", "Password", secret=True, required=True, when=("auth", ("basic",))),
        Field("token", "Token", secret=True, required=True, when=("auth", ("bearer",))),
        Field("header", "Header", "header", required=True, when=("auth", ("header",)), example="X-API-Key", help="Its name"),
        Field("header_value", "Value of the header", secret=True, required=True, when=("auth", ("header",))),
    )  # fmt: skip


TLS = tls.fields(may_be_off=False)


def reach(link: Link, ladder: Ladder, base: str = "url") -> None:
    """The steps name, route and TLS of an address."""
    parts = urlsplit(str(link.fields[base]))
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    ladder.to(host, port)
    with ladder.step("name"):
        link.guard.resolve(host, port)
    with ladder.step("route"):
        sock = link.guard.connect(host, port, ladder.left())
    with sock:
        if parts.scheme != "https":
            ladder.skip("tls")
            return
        with ladder.step("tls"):
            tls.shake(link, sock, host, ladder.left())


@contextmanager
def answering(ladder: Ladder, what: str, step: str = "sign-in") -> Iterator[None]:
    """A request in a test: what its status says becomes a failed step."""
    try:
        with ladder.step(step):
            yield
    except requests.HTTPError as e:
        raise status_failed(e.response, what, step) from None
    except requests.TooManyRedirects:
        raise Failed(step, f"{what} redirects in circles", "name the address that it leads to") from None
    except (requests.exceptions.InvalidSchema, requests.exceptions.InvalidURL):
        raise Failed(
            step, f"{what} redirects to no address of HTTP", "name the address that it leads to"
        ) from None


def status_failed(answer: requests.Response, what: str, step: str) -> Failed:
    """What a status that says no means, and what to do."""
    code = answer.status_code
    if code == 401:
        return Failed(
            "sign-in",
            f"{what} does not know this sign-in (401)",
            "check user, password or token, and how it wants them",
        )
    if code == 403:
        return Failed(
            "permission", f"{what} knows the sign-in and refuses it (403)", "give this user the right to read"
        )
    if code in (404, 405):
        return Failed(
            step,
            f"{what} is not at this address ({code})",
            "check the path: the address ends where the system's own paths begin",
        )
    if code == 407:
        return Failed(
            step, "a proxy wants a sign-in (407)", "DLV speaks with the system directly: name its own address"
        )
    if code >= 500:
        return Failed(step, f"{what} answers with a fault of its own ({code})", "its log says why")
    return Failed(step, f"{what} answers {code} {answer.reason or ''}".rstrip(), "check the address")  # fmt: skip


def _climb(link: Link, ladder: Ladder) -> str:
    reach(link, ladder)
    with answering(ladder, "the server"), session(link) as s:
        s.timeout = ladder.left()
        with s.get(url(link), stream=True) as answer:
            if answer.status_code in (401, 403, 407) or answer.status_code >= 500:
                answer.raise_for_status()
            code = answer.status_code
    return f"answers {code}" + ("" if code < 400 else " at this address; a check names its own path")


KINDS = (
    Kind(
        "http", "HTTP endpoint", "Any service that answers HTTP or HTTPS",
        (address(example="https://api.example.com"), *sign_in_fields(), *TLS), _climb, ("http",),
    ),
)  # fmt: skip
