"""An authority of a test's own, and certificates that it signs."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: str
    key: str

    def put(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Paths of both, in files."""
        folder.mkdir(parents=True, exist_ok=True)
        at = folder / f"{name}.pem", folder / f"{name}.key"
        at[0].write_text(self.certificate)
        at[1].write_text(self.key)
        return at


class Authority:
    """Signs for a year; ``pem`` is what clients are to trust. ``above``: the authority that signed this one's certificate,
    which then stands beneath each that this one signs."""

    def __init__(self, name: str = "an authority of a test", above: Authority | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signs = above or self
        self._certificate = (
            signs._built(self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0 if above else 1), critical=True)
            .sign(signs._key, hashes.SHA256())
        )
        self.pem = _pem(self._certificate)
        self._between = self.pem if above else ""

    def sign(self, *names: str, expired: bool = False) -> Pair:
        """A certificate for these host names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        alternatives = x509.SubjectAlternativeName([_alternative(n) for n in names])
        signed = (
            self._built(subject, key, expired=expired)
            .add_extension(alternatives, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Pair(_pem(signed) + self._between, _key_pem(key))

    def _built(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        end = now - timedelta(days=1) if expired else now + timedelta(days=365)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(end)
        )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
