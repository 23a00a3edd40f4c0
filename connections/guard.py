"""Which addresses DLV opens a socket to. Checked on the resolved address, where the socket is opened: the address that
was checked is the one that is connected to, so a name that changes its answer in between gains nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from psycopg.conninfo import conninfo_to_dict

from errors import DlvError
from settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: seconds for which the addresses of DLV's own stores are taken as known
OWN_SECONDS = 30.0
#: Neo4j's Bolt, HTTP and HTTPS: one server, so none of them is reached where DLV_GRAPH_URL names one
_NEO4J_PORTS = (7687, 7474, 7473)


class Refused(DlvError):
    """An address that DLV does not connect to."""

    code = "address_refused"
    status = 422


@dataclass(frozen=True)
class Guard:
    """``allowed``: only these networks, where any are named. ``own``: (host, port) of DLV's own stores. ``private``
    False refuses addresses that are not of the public internet."""

    allowed: tuple[Network, ...] = ()
    own: tuple[tuple[str, int], ...] = ()
    private: bool = True

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of ``host`` that may be connected to, best first. Raises :class:`Refused` where none may,
        :class:`OSError` where the name does not resolve."""
        if not host or host[0] in "/@":
            raise Refused(
                "a path of a socket is no host", field="host", hint="name a host or an address, and a port"
            )
        found = list(
            dict.fromkeys(
                str(i[4][0])
                for i in _lookup(host.removeprefix("[").removesuffix("]"), port)
                if i[0] in (socket.AF_INET, socket.AF_INET6)
            )
        )
        why = {a: self.why_not(a, port) for a in found}
        good = [a for a in found if not why[a]]
        if not good:
            named = next(iter(why)) if why else host
            at = host if host == named else f"{host} ({named})"
            reason = why.get(named) or "this is no internet address"
            raise Refused(f"{at} is refused: {reason}", field="host", hint=_WAY_OUT.get(reason, _ASK))
        return good

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A TCP socket to ``host``, opened to an address that was checked; ``timeout`` seconds for all its addresses
        together. Raises :class:`Refused` or :class:`OSError`."""
        end = time.monotonic() + timeout
        failed: OSError | None = None
        for address in self.resolve(host, port):
            left = end - time.monotonic()
            if left <= 0 and failed is not None:
                break
            try:
                return socket.create_connection((address, port), timeout=max(0.05, left))
            except OSError as e:
                failed = e
        raise failed or TimeoutError("timed out")

    def why_not(self, address: str, port: int) -> str | None:
        """Why this address is refused; None where it may be connected to."""
        ip = ipaddress.ip_address(address.split("%")[0])
        for hidden in (ip, *hidden_in(ip)):
            if hidden.is_link_local or hidden.is_multicast or hidden.is_unspecified or hidden in _METADATA:
                return NEVER
            if self._is_own(hidden, port):
                return OWN
        plain = unmapped(ip)
        if self.allowed:
            if not any(plain in n for n in self.allowed if n.version == plain.version):
                return OUTSIDE
        elif not self.private and not (plain.is_global and all(h.is_global for h in hidden_in(ip))):
            return PRIVATE
        return None

    def _is_own(self, ip: Address, port: int) -> bool:
        """Whether one of DLV's own stores answers there: at its address, or at any other of the machine it runs on."""
        for host, own_port in self.own:
            if own_port != port:
                continue
            theirs = _addresses(host)
            if ip in theirs or (_is_here(ip) and any(_is_here(a) for a in theirs)):
                return True
        return False


NEVER = "link-local, multicast and cloud metadata addresses are never connected to"
OWN = "this is one of DLV's own stores"
OUTSIDE = "it lies outside of the networks that DLV_ALLOWED_NETWORKS names"
PRIVATE = "private addresses are not told anything from here"
_ASK = "name another host"
_WAY_OUT = {
    NEVER: "name the host by an address of its own network",
    OWN: "connections lead to other systems; DLV's own stores are shown on the status page",
    OUTSIDE: "whoever runs DLV adds its network to DLV_ALLOWED_NETWORKS and starts DLV again",
    PRIVATE: "whoever runs DLV sets DLV_PRIVATE_WEBHOOKS=1, or names its network in DLV_ALLOWED_NETWORKS",
}

#: what clouds answer questions about a machine's credentials on, beside link-local
_METADATA = frozenset(
    ipaddress.ip_address(a)
    for a in (
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
    )
)
_NAT64 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")


def hidden_in(ip: Address) -> tuple[Address, ...]:
    """The IPv4 addresses that an IPv6 one leads to: mapped, compatible, 6to4, Teredo, NAT64."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return ()
    found: list[Address | None] = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in n for n in _NAT64) or (ip in _COMPATIBLE and int(ip) > 1):
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return tuple(a for a in found if a is not None)


def unmapped(ip: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one, as itself: the system connects to it by IPv4."""
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def networks(text: str) -> tuple[Network, ...]:
    """CIDRs separated by commas or spaces."""
    return tuple(ipaddress.ip_network(t, strict=False) for t in text.replace(",", " ").split())


def of(parts: Iterable[tuple[str, int]], allowed: str, *, private: bool = True) -> Guard:
    return Guard(networks(allowed), tuple(parts), private)


@lru_cache(maxsize=8)
def from_settings(settings: Settings, *, private: bool = True) -> Guard:
    """The guard of this DLV: its allowed networks, and its stores to keep away from."""
    return of(own_stores(settings), settings.allowed_networks, private=private)


def own_stores(settings: Settings) -> list[tuple[str, int]]:
    """(host, port) of the servers that hold DLV's own data, as the settings name them. What listens on a unix socket
    alone has none."""
    out: list[tuple[str, int]] = []
    if settings.database_url:
        said = conninfo_to_dict(settings.database_url)
        hosts = f"{said.get('hostaddr') or ''},{said.get('host') or ''}".split(",")
        ports = [int(p) for p in str(said.get("port") or "5432").split(",") if p.strip().isdigit()] or [5432]
        out += [(h, p) for h in hosts if h and h[0] not in "/@" for p in ports]
    redis = urlsplit(settings.redis_url)
    if redis.hostname and redis.scheme != "unix":
        out.append((redis.hostname, redis.port or 6379))
    graph = urlsplit(settings.graph_url)
    if graph.hostname:
        ports = sorted({graph.port or 7687, *_NEO4J_PORTS, *_embedded_http(settings.home)})
        out += [(graph.hostname, p) for p in ports]
    return list(dict.fromkeys(out))


def _embedded_http(home: Path) -> list[int]:
    """The embedded graph listens on a second port, kept in a file beside its password."""
    with contextlib.suppress(OSError, ValueError):
        return [int((home / "secrets" / "arcadedb_http_port").read_text())]
    return []


def _lookup(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)  # type: ignore[return-value]
    except UnicodeError:  # a label of 64 characters or more
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


_known: dict[str, tuple[float, frozenset[Address]]] = {}


def _addresses(host: str) -> frozenset[Address]:
    """Addresses of a store of ours. Where its name does not resolve just now, those it had before."""
    until, known = _known.get(host, (0.0, frozenset()))
    if time.monotonic() < until:
        return known
    with contextlib.suppress(OSError):
        known = frozenset(
            unmapped(ipaddress.ip_address(str(i[4][0]).split("%")[0])) for i in _lookup(host, 0)
        )
    _known[host] = (time.monotonic() + OWN_SECONDS, known)
    return known


def _is_here(ip: Address) -> bool:
    """Whether this machine answers at the address: loopback, or one of its interfaces."""
    return ip.is_loopback or ip in _interfaces(int(time.monotonic() // OWN_SECONDS))


@lru_cache(maxsize=2)
def _interfaces(_: int) -> frozenset[Address]:
    return frozenset(_interface_addresses())


def _interface_addresses() -> Iterator[Address]:
    for addresses in psutil.net_if_addrs().values():
        for a in addresses:
            if a.family in (socket.AF_INET, socket.AF_INET6):
                yield ipaddress.ip_address(a.address.split("%")[0])
