"""Connections on real servers: tried, refused, sealed, and nowhere a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import serving
import sqlalchemy as sa

from connections import guard, sql
from connections.kinds import KINDS
from connections.link import Link
from settings import Settings


def link(kind: str, fields: dict[str, Any], secret: dict[str, str] | None = None, **how: Any) -> Link:
    plain = KINDS[kind].checked(fields)
    how.setdefault("guard", guard.Guard())
    return Link(uuid4(), "a connection", kind, plain, secret=secret or {}, timeout=4.0, **how)


@pytest.fixture(scope="module")
def shop(stack: Settings) -> Iterator[serving.Shop]:
    with serving.shop(stack) as made:
        yield made


def postgres(shop: serving.Shop, **change: Any) -> Link:
    fields = {
        "host": "127.0.0.1", "port": shop.port, "database": shop.database, "username": shop.user, "tls": "off",
    }  # fmt: skip
    return link("postgres", fields | change, {"password": change.pop("password", shop.password)})


def test_postgres_is_read_only_and_ends_statements(shop: serving.Shop) -> None:
    with sql.connection(postgres(shop)) as c:
        assert c.execute(sa.text("select count(*) from raw.orders")).scalar_one() == 2
        assert c.execute(sa.text("show statement_timeout")).scalar_one() == "30s"
        with pytest.raises(sa.exc.InternalError, match="read-only"):
            c.execute(sa.text("insert into raw.orders values (9)"))
    assert KINDS["postgres"].test(postgres(shop)).ok
