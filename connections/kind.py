"""What a kind of connection is: its fields, and how it is tested. The form, the API's validation and the docs all read
the same declaration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from errors import Invalid

if TYPE_CHECKING:
    from connections.ladder import Ladder
    from connections.link import Link

#: how far one comes on the way to a system, in this order
STEPS = ("name", "route", "tls", "sign-in", "permission")


@dataclass(frozen=True)
class Field:
    """One field of a kind. ``kind``: text, host, port, url, hosts (host:port, several), number, choice, area (long text),
    pem, header, path. ``when``: shown and required only where another field has one of these values. ``binds``: it says
    where secrets are sent to, so a change of it wants them written anew. ``low``/``high``: of a number."""

    name: str
    label: str
    kind: str = "text"
    required: bool = False
    default: Any = None
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    secret: bool = False
    when: tuple[str, tuple[str, ...]] | None = None
    binds: bool = False
    low: float | None = None
    high: float | None = None
    example: str = ""

    def applies(self, said: Mapping[str, Any]) -> bool:
        """Whether the field means something beside these values of the others."""
        return self.when is None or said.get(self.when[0]) in self.when[1]


@dataclass(frozen=True)
class Tested:
    """What came of trying a connection. ``step`` is the one that failed, or the last one; ``steps`` tells each step's
    state: ok, failed, skipped (not used by this connection) or open (not come to), in the order of :data:`STEPS`."""

    ok: bool
    step: str
    message: str
    hint: str = ""
    steps: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0

    def shown(self) -> dict[str, Any]:
        """As the record keeps it and the API tells it."""
        return {
            "ok": self.ok, "step": self.step, "message": self.message, "hint": self.hint,
            "steps": [{"step": s, "state": state} for s, state in self.steps], "seconds": round(self.seconds, 2),
        }  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of connection. ``climb`` walks the ladder of :data:`STEPS` and raises where it cannot go on; ``systems``:
    nodes of these systems are looked at through it."""

    name: str
    label: str
    says: str
    fields: tuple[Field, ...]
    climb: Callable[[Link, Ladder], str] = field(repr=False)
    systems: tuple[str, ...] = ()

    def test(self, link: Link) -> Tested:
        """Try it, in at most ten seconds. Never raises; never tells a secret."""
        from connections.ladder import climb

        return climb(self, link)

    @property
    def plain(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if not f.secret)

    @property
    def secret(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.secret)

    def checked(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """All plain fields with their values, defaults filled in; :class:`errors.Invalid` names the field that is wrong.
        What does not apply beside the others is dropped."""
        known = {f.name: f for f in self.plain}
        for name in said:
            if name in {f.name for f in self.secret}:
                raise Invalid(f"{name} is a secret", field=name, hint="send it under secrets")
            if name not in known:
                raise Invalid(
                    f"{self.label} has no field {name[:60]!r}", field=name[:60], hint="one of " + ", ".join(known)
                )  # fmt: skip
        out: dict[str, Any] = {}
        for f in self.plain:
            value = said.get(f.name)
            out[f.name] = f.default if value is None or value == "" else _READ[f.kind](f, value)
        for f in self.plain:
            if not f.applies(out):
                out[f.name] = None
            elif f.required and out[f.name] in (None, ""):
                raise Invalid(
                    f"{f.label} is missing", field=f.name, hint=f"e.g. {f.example}" if f.example else None
                )
        return {k: v for k, v in out.items() if v is not None}

    def checked_secrets(self, said: Mapping[str, Any]) -> dict[str, str | None]:
        """Secrets as given: a text is set, None or '' takes it away. :class:`errors.Invalid` where one is none."""
        known = {f.name: f for f in self.secret}
        out: dict[str, str | None] = {}
        for name, value in said.items():
            if name not in known:
                raise Invalid(
                    f"{self.label} has no secret {name[:60]!r}",
                    field=name[:60],
                    hint="one of " + ", ".join(known),
                )
            if value is not None and not isinstance(value, str):
                raise Invalid(f"{known[name].label} is not text", field=name)
            if value and (len(value) > 20_000 or "\x00" in value):
                raise Invalid(f"{known[name].label} is longer than 20000 characters", field=name)
            if value and known[name].kind == "pem":
                _pem(known[name], value)
            elif value and ("\n" in value or "\r" in value):
                raise Invalid(f"{known[name].label} has more than one line", field=name)
            out[name] = value or None
        return out

    def needs(self, fields: Mapping[str, Any], have: Mapping[str, Any]) -> None:
        """:class:`errors.Invalid` where a secret that these fields want is missing."""
        for f in self.secret:
            if f.required and f.applies(fields) and not have.get(f.name):
                raise Invalid(
                    f"{f.label} is missing", field=f.name, hint=f"e.g. {f.example}" if f.example else None
                )


# ---------------------------------------------------------------- what a field may be

_HOST = re.compile(r"^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$")
_IP6 = re.compile(r"^[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,15})?$")


def is_host(text: str) -> bool:
    """Whether it is a name or an address, and nothing else: no path of a socket, no user, no port."""
    return bool(_HOST.match(text) or (":" in text and _IP6.match(text)))


def _text(f: Field, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
        raise Invalid(f"{f.label} is not one line of at most 1000 characters", field=f.name)
    return value.strip()


def _host(f: Field, value: Any) -> str:
    text = _text(f, value).removeprefix("[").removesuffix("]")
    if not is_host(text):
        raise Invalid(
            f"{text[:80]!r} is no host name and no address", field=f.name, hint="without scheme, port or path, e.g. db.example.com"
        )  # fmt: skip
    return text


def _number(f: Field, value: Any) -> int:
    low, high = (1, 65535) if f.kind == "port" else (f.low, f.high)
    try:
        number = int(value) if not isinstance(value, bool | float) or value == int(value) else None
    except (TypeError, ValueError):
        number = None
    wrong = number is None or isinstance(value, bool)
    if number is None or wrong or (low is not None and number < low) or (high is not None and number > high):
        raise Invalid(f"{f.label} is not a whole number from {low:g} to {high:g}", field=f.name)
    return number


def _choice(f: Field, value: Any) -> str:
    if value not in [c[0] for c in f.choices]:
        raise Invalid(
            f"{f.label} cannot be {str(value)[:40]!r}",
            field=f.name,
            hint="one of " + ", ".join(c[0] for c in f.choices),
        )
    return str(value)


def _area(f: Field, value: Any) -> str:
    if not isinstance(value, str) or len(value) > 20_000 or "\x00" in value:
        raise Invalid(f"{f.label} is not text of at most 20000 characters", field=f.name)
    return value.strip()


def _pem(f: Field, value: Any) -> str:
    text = _area(f, value)
    if not re.search(r"-----BEGIN [A-Z0-9 ]+-----[A-Za-z0-9+/=\s:,-]+-----END [A-Z0-9 ]+-----", text):
        raise Invalid(
            f"{f.label} is no PEM", field=f.name, hint="the whole text from -----BEGIN to -----END …-----"
        )
    if not f.secret and "PRIVATE KEY-----" in text:
        raise Invalid(f"{f.label} holds a private key", field=f.name, hint="paste the certificates alone")
    return text


def _url(f: Field, value: Any) -> str:
    text = _text(f, value)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise Invalid(f"{f.label} is no URL", field=f.name, hint=f"e.g. {f.example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_host(parts.hostname):
        raise Invalid(
            f"{f.label} does not read http://host or https://host", field=f.name, hint=f"e.g. {f.example}"
        )
    if parts.username or parts.password or "@" in parts.netloc:
        raise Invalid(
            f"{f.label} holds a user or a password", field=f.name, hint="they have fields of their own"
        )
    if parts.query or parts.fragment or "\\" in text or " " in text:
        raise Invalid(f"{f.label} has more than scheme, host, port and path", field=f.name)
    if port == 0:
        raise Invalid(f"{f.label} has the port 0", field=f.name)
    return text.rstrip("/")


def _hosts(f: Field, value: Any) -> str:
    """host:port, several with commas, spaces or new lines between; kept with commas."""
    text = _area(f, value)
    out = []
    for one in re.split(r"[\s,]+", text.strip(", \n")):
        host, _, port = one.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not is_host(host) or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise Invalid(f"{one[:80]!r} is not host:port", field=f.name, hint=f"e.g. {f.example}")
        out.append(f"[{host}]:{int(port)}" if ":" in host else f"{host}:{int(port)}")
    if not 1 <= len(out) <= 20:
        raise Invalid(f"{f.label} has more than 20 entries", field=f.name)
    return ",".join(out)


_HEADER = re.compile(r"^[A-Za-z0-9_-]{1,60}$")
_OTHERS_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer"}


def _header(f: Field, value: Any) -> str:
    text = _text(f, value)
    if not _HEADER.match(text) or text.lower() in _OTHERS_HEADERS:
        raise Invalid(f"{text[:60]!r} cannot be sent as a header", field=f.name, hint=f"e.g. {f.example}")
    return text


def _path(f: Field, value: Any) -> str:
    text = _text(f, value)
    if not text.startswith("/") or "\\" in text:
        raise Invalid(f"{f.label} is not an absolute path", field=f.name, hint=f"e.g. {f.example}")
    return text


_READ: dict[str, Callable[[Field, Any], Any]] = {
    "text": _text,
    "host": _host,
    "port": _number,
    "number": _number,
    "choice": _choice,
    "area": _area,
    "pem": _pem,
    "url": _url,
    "hosts": _hosts,
    "header": _header,
    "path": _path,
}


def pairs(hosts: str) -> list[tuple[str, int]]:
    """(host, port) of a field of the kind hosts."""
    out = []
    for one in hosts.split(","):
        host, _, port = one.rpartition(":")
        out.append((host.removeprefix("[").removesuffix("]"), int(port)))
    return out
