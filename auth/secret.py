"""The key that signs tokens: from DLV_SECRET_KEY, else a file of this DLV_HOME that all its processes share."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile

from settings import Settings


def key(settings: Settings, purpose: str) -> str:
    """A key of its own for each purpose, so that what one signs says nothing to another."""
    return hmac.new(_root(settings).encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _root(settings: Settings) -> str:
    if settings.secret_key:
        return settings.secret_key
    path = settings.home / "secret"
    if not path.exists():
        settings.home.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=settings.home, prefix=".secret")  # 0600 from the start
        with os.fdopen(handle, "w") as f:
            f.write(secrets.token_urlsafe(48))
        try:
            os.link(name, path)  # whoever comes second finds the first one's and takes it
        except FileExistsError:
            pass
        finally:
            os.unlink(name)
    return path.read_text().strip()
