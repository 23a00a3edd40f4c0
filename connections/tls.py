"""TLS as every kind speaks it: off, encrypted, or encrypted and verified; with the CA and the client certificate that the
form holds as PEM. Names are verified against the host that was named, whatever address was connected to."""

from __future__ import annotations

import os
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import certifi

from connections.kind import Field
from connections.link import Link

OFF, LOOSE, VERIFIED = "off", "encrypted", "verified"

_CHOICES = (
    (VERIFIED, "Encrypted, certificate verified"),
    (LOOSE, "Encrypted, certificate not verified"),
    (OFF, "Off"),
)
_SPOKEN = (VERIFIED, LOOSE)


def fields(*, may_be_off: bool = True, default: str = VERIFIED, client: bool = True) -> tuple[Field, ...]:
    """The fields of TLS. ``may_be_off``: not for what says it by http or https."""
    chosen = ("tls", _SPOKEN)
    choices = _CHOICES if may_be_off else (_CHOICES[0], ("encrypted", "Certificate not verified"))
    out = [
        Field(
            "tls", "TLS", "choice", default=default, choices=choices, binds=True,
            help="Unverified, whoever sits on the way can read what is sent",
        ),
        Field(
            "ca", "CA certificate", "pem", when=("tls", (VERIFIED,)), binds=True,
            help="PEM of the authority that signed the server's certificate; empty: those that this machine trusts",
        ),
    ]  # fmt: skip
    if client:
        out += [
            Field("client_certificate", "Client certificate", "pem", when=chosen, help="PEM, where the server asks for one"),
            Field("client_key", "Client key", "pem", when=chosen, secret=True, help="PEM of the key of the client certificate"),
        ]  # fmt: skip
    return tuple(out)


@lru_cache(maxsize=1)
def authorities() -> str:
    """The file with the certificates that this machine trusts."""
    path = ssl.get_default_verify_paths().cafile
    return path if path and os.path.exists(path) else certifi.where()


def context(link: Link) -> ssl.SSLContext:
    """For a client of this link; not to be changed, for others may use it too. Raises :class:`ssl.SSLError` where a PEM
    of its cannot be read."""
    verified = link.get("tls", VERIFIED) == VERIFIED
    ca = str(link.get("ca") or "") if verified else ""
    with files(link) as f:
        if f.certificate and f.key:
            made = _made(verified, ca)
            made.load_cert_chain(f.certificate, f.key, password=lambda: "")
            return made
    # reading what a machine trusts takes 20 ms, more than a whole look otherwise does
    changed = 0.0 if ca or not verified else os.stat(authorities()).st_mtime
    return _shared(verified, ca, changed)


@lru_cache(maxsize=256)
def _shared(verified: bool, ca: str, changed: float) -> ssl.SSLContext:
    """One for all links without a certificate of their own; ``changed``: when the machine's authorities did."""
    return _made(verified, ca)


def _made(verified: bool, ca: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verified:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    elif ca:
        made.load_verify_locations(cadata=ca)
    else:
        made.load_verify_locations(authorities())
    return made


#: seconds for which a server's no to the client's certificate is waited for
_NO_SECONDS = 0.3


def shake(link: Link, sock: socket.socket, host: str, seconds: float) -> None:
    """Shake hands on an open socket, which is closed then. Raises what :mod:`ssl` raises.

    Under TLS 1.3 a server looks at the client's certificate after the handshake is over for the client, and what is sent
    meanwhile can drown its no: so that is waited for, until a ticket for the next time says that it will not come.
    """
    sock.settimeout(seconds)
    with context(link).wrap_socket(sock, server_hostname=host) as s:
        end = time.monotonic() + min(_NO_SECONDS, seconds)
        s.settimeout(0.02)
        while (
            s.version() == "TLSv1.3" and time.monotonic() < end and not (s.session and s.session.has_ticket)
        ):
            try:
                s.recv(1)
                return
            except TimeoutError:
                continue


@dataclass(frozen=True)
class Files:
    """Paths for those that take nothing else."""

    ca: str
    certificate: str | None = None
    key: str | None = None


@contextmanager
def files(link: Link) -> Iterator[Files]:
    """The PEMs as files that only we can read, gone after the block."""
    ca, certificate, key = link.get("ca"), link.get("client_certificate"), link.secret.get("client_key")
    if not ca and not (certificate and key):
        yield Files(authorities())
        return
    with tempfile.TemporaryDirectory(prefix="dlv-tls-") as folder:

        def put(name: str, text: str | None) -> str | None:
            if not text:
                return None
            path = Path(folder, name)
            path.touch(mode=0o600)
            path.write_text(text.strip() + "\n")
            return str(path)

        yield Files(
            put("ca.pem", ca) or authorities(),
            put("client.pem", certificate) if key else None,
            put("client.key", key) if certificate else None,
        )
