"""Tokens that open one status badge to everybody who has its address: signed, not stored, so nothing lists them.

A token is what it speaks of (one letter and an id) and the first 120 bits of an HMAC over it. A new DLV_SECRET_KEY
closes all badges ever made.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from uuid import UUID

from auth import secret
from settings import Settings

KINDS = {"node": b"n", "team": b"t", "pipeline": b"p"}
#: bytes of what is signed, and of the signature: together 32, a token's 43 characters
SAID, SIGNED = 17, 15


def token(settings: Settings, kind: str, id_: UUID) -> str:
    """The token of a badge; the same for the same thing, so that making it again gives the same address."""
    said = KINDS[kind] + id_.bytes
    return base64.urlsafe_b64encode(said + _sign(settings, said)).rstrip(b"=").decode()


def read(settings: Settings, text: str) -> tuple[str, UUID] | None:
    """(kind, id) of a token that this DLV signed, else None."""
    try:
        raw = base64.urlsafe_b64decode(text + "=")
    except (binascii.Error, ValueError):
        return None
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
        return None  # the last character has bits that say nothing: one badge has one address
    said, signed = raw[:SAID], raw[SAID:]
    kind = next((k for k, letter in KINDS.items() if said[:1] == letter), None)
    if kind is None or len(signed) != SIGNED or not hmac.compare_digest(signed, _sign(settings, said)):
        return None
    return kind, UUID(bytes=said[1:])


def _sign(settings: Settings, said: bytes) -> bytes:
    return hmac.digest(secret.key(settings, "badge").encode(), said, hashlib.sha256)[:SIGNED]
