"""Secrets at rest: AES-256-GCM under keys with ids, so that a key can be replaced while old secrets still open.

A sealed secret is ``{"key": id of the key, "data": base64}``; it is bound to whom and what it was sealed for, so moving
it to another row or field opens nothing. Connections and channels use the same :class:`Box`.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from errors import BadSetting, DlvError
from settings import Settings

Sealed = Mapping[str, Any]

_NONCE = 12
_LEAST = 32
_HOW = 'DLV_SECRETS_KEYS="main:$(openssl rand -hex 32)", the same for every process of DLV'


class Lost(DlvError):
    """A sealed secret that no key here opens. ``key``: the id of the one it was sealed with."""

    code = "secret_lost"
    status = 409

    def __init__(self, key: str, why: str, *, field: str | None = None) -> None:
        super().__init__(
            why, field=field, hint=f"bring the key {key!r} back into DLV_SECRETS_KEYS, or write the secret again"
        )  # fmt: skip
        self.key = key


class NoKey(DlvError):
    """Nothing to seal with."""

    code = "no_secrets_key"
    status = 409

    def __init__(self) -> None:
        super().__init__("DLV has no key to keep secrets with", hint=f"whoever runs DLV sets {_HOW}")


@dataclass(frozen=True)
class Box:
    """Seals with the first key, opens with any. The keys are never in ``repr``."""

    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def first(self) -> str | None:
        """Id of the key that seals."""
        return next(iter(self.keys), None)

    def seal(self, owner: str, name: str, value: str) -> dict[str, str]:
        """Seal one secret. ``owner``: whose it is, such as ``connection:<id>``; ``name``: which field."""
        key_id = self.first
        if key_id is None:
            raise NoKey
        nonce = os.urandom(_NONCE)
        data = AESGCM(self.keys[key_id]).encrypt(nonce, value.encode(), _about(owner, name))
        return {"key": key_id, "data": base64.b64encode(nonce + data).decode()}

    def open(self, owner: str, name: str, sealed: Sealed) -> str:
        """The secret in plain. Raises :class:`Lost` where its key is missing or is another one of the same id."""
        key_id = str(sealed.get("key"))
        key = self.keys.get(key_id)
        if key is None:
            raise Lost(
                key_id, f"{name} was sealed with the key {key_id!r}, which DLV does not have", field=name
            )
        try:
            raw = base64.b64decode(str(sealed.get("data")), validate=True)
            return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], _about(owner, name)).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise Lost(
                key_id, f"{name} does not open with the key {key_id!r}: it is not the key it was sealed with", field=name
            ) from None  # fmt: skip

    def seal_all(self, owner: str, values: Mapping[str, str]) -> dict[str, dict[str, str]]:
        return {name: self.seal(owner, name, value) for name, value in values.items()}

    def open_all(self, owner: str, sealed: Mapping[str, Sealed]) -> dict[str, str]:
        return {name: self.open(owner, name, one) for name, one in sealed.items()}

    def lost(self, owner: str, sealed: Mapping[str, Sealed]) -> dict[str, Lost]:
        """What of these does not open, by field."""
        out = {}
        for name, one in sealed.items():
            try:
                self.open(owner, name, one)
            except Lost as e:
                out[name] = e
        return out


def _about(owner: str, name: str) -> bytes:
    return f"{owner}/{name}".encode()


# ---------------------------------------------------------------- the keys


def box(settings: Settings) -> Box:
    """The box of this DLV: the keys of DLV_SECRETS_KEYS, else of the file DLV_SECRETS_KEYS_FILE. The file is read each
    time, so that a rotation reaches processes that run. :class:`errors.BadSetting` where they cannot be read."""
    if settings.secrets_keys:
        return Box(parse(settings.secrets_keys))
    if settings.secrets_keys_file:
        return Box(parse(read_file(Path(settings.secrets_keys_file)), "DLV_SECRETS_KEYS_FILE"))
    return Box()


def read_file(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as e:
        raise BadSetting(
            f"DLV_SECRETS_KEYS_FILE ({path}): {e.strerror}", field="DLV_SECRETS_KEYS_FILE",
            hint="name a file that this user may read, with one id:key a line",
        ) from None  # fmt: skip


def parse(text: str, name: str = "DLV_SECRETS_KEYS") -> dict[str, bytes]:
    """``id:key id:key``, the first seals. A key is any text of 32 characters or more that nobody can guess. What is wrong
    is said without telling a key."""
    out: dict[str, bytes] = {}
    for n, one in enumerate(text.replace(",", " ").split(), 1):
        key_id, colon, key = one.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9._-]{1,40}", key_id):
            raise BadSetting(f"{name}: entry {n} does not read id:key", field=name, hint=f"e.g. {_HOW}")
        if len(key) < _LEAST:
            raise BadSetting(
                f"{name}: the key {key_id!r} has fewer than {_LEAST} characters", field=name, hint=f"e.g. {_HOW}"
            )  # fmt: skip
        if key_id in out:
            raise BadSetting(
                f"{name}: two keys are called {key_id!r}", field=name, hint="give each key an id of its own"
            )
        out[key_id] = HKDF(SHA256(), 32, None, b"dlv secrets").derive(key.encode())
    return out


def new_key(at: datetime | None = None) -> str:
    """``id:key``, new; the id says the day, and is never that of a key that was lost."""
    return f"{at or datetime.now(UTC):%Y%m%d}-{random.token_hex(3)}:{random.token_urlsafe(48)}"
