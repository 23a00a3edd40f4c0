"""Which addresses DLV opens a socket to. Checked on the resolved address, where the socket is opened."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from errors import DlvError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Refused(DlvError):
    """An address that DLV does not connect to."""

    code = "address_refused"
    status = 422


@dataclass(frozen=True)
class Guard:
    """``allowed``: only these networks, where any are named. ``own``: (host, port) of DLV's own stores."""

    allowed: tuple[Network, ...] = ()
    own: tuple[tuple[str, int], ...] = ()
    private: bool = True

    def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of ``host`` that may be connected to, best first. Raises :class:`Refused` where none may,
        :class:`OSError` where the name does not resolve."""
        found = [
            str(i[4][0])
            for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        ]
        good = [a for a in dict.fromkeys(found) if not self.why_not(a, port)]
        if not good:
            raise Refused(f"{host}: {self.why_not(found[0], port)}", field="host", hint="ask who runs DLV")
        return good

    def why_not(self, address: str, port: int) -> str | None:
        """Why this address is refused; None where it may be connected to."""
        ip = unmapped(ipaddress.ip_address(address.split("%")[0]))
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip in _METADATA:
            return "link-local, multicast and cloud metadata addresses are refused"
        if (str(ip), port) in self._own_addresses():
            return "this is one of DLV's own stores"
        if self.allowed:
            if not any(ip in n for n in self.allowed if n.version == ip.version):
                return "outside of the networks that DLV_ALLOWED_NETWORKS allows"
        elif not self.private and not ip.is_global:
            return "private addresses are refused here"
        return None

    def _own_addresses(self) -> frozenset[tuple[str, int]]:
        out = set()
        for host, port in self.own:
            try:
                for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                    out.add((str(unmapped(ipaddress.ip_address(str(i[4][0]).split("%")[0]))), port))
            except OSError:
                continue
        return frozenset(out)


_METADATA = frozenset(
    ipaddress.ip_address(a) for a in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)


def unmapped(ip: Address) -> Address:
    """An IPv4 address that hides in an IPv6 one, as itself."""
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else ip)
    return ip


def networks(text: str) -> tuple[Network, ...]:
    """CIDRs separated by commas or spaces."""
    return tuple(ipaddress.ip_network(t, strict=False) for t in text.replace(",", " ").split())


def of(parts: Iterable[tuple[str, int]], allowed: str, *, private: bool = True) -> Guard:
    return Guard(networks(allowed), tuple(parts), private)
