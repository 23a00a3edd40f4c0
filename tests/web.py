"""A whole web process inside a test, and people and keys to use it with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask.testing import FlaskClient

from auth import keys as auth_keys
from auth import passwords, signin, tokens
from settings import Settings
from store import keys, users
from store.audit import SYSTEM

PASSWORD = "a quiet long walk"
_HASH = passwords.hashed(PASSWORD)


class Web:
    """``create_app`` on a database of this test's own."""

    def __init__(self, settings: Settings) -> None:
        from app import create_app

        self.settings = settings
        self.server = create_app(settings)
        self.dlv = self.server.extensions["dlv"]
        self.record = self.dlv.record
        self.dash = self.server.extensions["dlv_dash"]
        self._ids: dict[str, UUID] = {}

    def close(self) -> None:
        self.record.close()

    def client(self) -> FlaskClient:
        """A client without a cookie or a key."""
        return self.server.test_client()

    def user(self, role: str, name: str | None = None) -> str:
        """Username of somebody with this role; made once."""
        name = name or f"the-{role}"
        if name not in self._ids:
            with self.record.tx() as conn:
                row = users.create(conn, SYSTEM, name, role, _HASH, must_change=False)
            self._ids[name] = row["id"]
        return name

    def user_id(self, name: str) -> UUID:
        return self._ids[name]

    def login(self, role: str, name: str | None = None) -> dict[str, str]:
        """The answer of POST /api/v1/auth/login."""
        username = self.user(role, name)
        answer = self.client().post("/api/v1/auth/login", json={"username": username, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        said: dict[str, str] = answer.json
        return said

    def bearer(self, role: str, name: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.login(role, name)['access_token']}"}

    def page(self, role: str, name: str | None = None) -> tuple[FlaskClient, dict[str, str]]:
        """A browser that signed in on the page, and the CSRF header it must send with what it writes."""
        client = self.client()
        answer = client.post("/sign-in", data={"username": self.user(role, name), "password": PASSWORD})
        assert answer.status_code == 303, answer.text
        cookie = client.get_cookie(tokens.CSRF_COOKIE)
        assert cookie is not None
        return client, {tokens.CSRF_HEADER: cookie.value}

    def key(self, *scopes: str, name: str = "a producer", **how: Any) -> dict[str, str]:
        """Header with a new API key."""
        key, hash_, prefix = auth_keys.new()
        with self.record.tx() as conn:
            keys.create(conn, SYSTEM, name, list(scopes), hash_, prefix, **how)
        return {"Authorization": f"Bearer {key}"}

    def first_admin(self) -> str | None:
        return signin.first_admin(self.record, self.settings)
