"""What the graph still has to learn: one mark a key, with a version that moves at every mark."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from store.record import Conn


def mark(conn: Conn, kind: str, keys: Iterable[UUID]) -> None:
    """Mark nodes or edges as changed, in the transaction that changes them."""
    wanted = sorted(set(keys))
    if wanted:
        conn.execute(
            "insert into graph_dirty (kind, key, version) select %s, k, nextval('graph_version_seq') from unnest(%s::uuid[]) k "
            "on conflict (kind, key) do update set version = excluded.version, marked_at = now()",
            (kind, wanted),
        )
