"""API keys: shown once, kept as SHA-256 (they are random; argon2 is for what people choose)."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from errors import NotFound
from store import audit, producers
from store.audit import Actor
from store.record import Conn

SCOPES = ("lineage:write", "read", "write")
_SHOWN = """k.id, k.name, k.prefix, k.scopes, p.name as producer, p.environment, k.created_at, k.expires_at,
            k.revoked_at, k.last_used_at, u.username as created_by"""
_FROM = "api_key k left join producer p on p.id = k.producer_id left join app_user u on u.id = k.created_by"


def create(
    conn: Conn,
    actor: Actor,
    name: str,
    scopes: list[str],
    hash_: bytes,
    prefix: str,
    *,
    environment: str | None = None,
    expires_at: datetime | None = None,
) -> dict[str, Any]:
    """A new key. Where it may send lineage, its name is its producer's."""
    producer_id = producers.for_key(conn, name, environment) if "lineage:write" in scopes else None
    key_id = uuid4()
    conn.execute(
        """insert into api_key (id, producer_id, name, hash, prefix, scopes, created_by, expires_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s)""",
        (
            key_id,
            producer_id,
            name,
            hash_,
            prefix,
            sorted(set(scopes)),
            UUID(actor.id) if actor.kind == "user" else None,
            expires_at,
        ),
    )
    audit.write(
        conn,
        actor,
        "api_key.create",
        "api_key",
        key_id,
        after={
            "name": name,
            "scopes": sorted(set(scopes)),
            "environment": environment,
            "expires_at": expires_at,
        },
    )
    return get(conn, key_id)


def get(conn: Conn, key_id: UUID) -> dict[str, Any]:
    row = conn.execute(f"select {_SHOWN} from {_FROM} where k.id = %s", (key_id,)).fetchone()
    if row is None:
        raise NotFound("no such API key")
    return row


def page(conn: Conn, limit: int, after: tuple[datetime, UUID] | None = None) -> list[dict[str, Any]]:
    """Newest first, those after ``after`` (created_at, id)."""
    at, key_id = after or (None, None)
    return conn.execute(
        f"""select {_SHOWN} from {_FROM}
            where %(at)s::timestamptz is null or (k.created_at, k.id) < (%(at)s, %(id)s::uuid)
            order by k.created_at desc, k.id desc limit %(limit)s""",
        {"at": at, "id": key_id, "limit": limit},
    ).fetchall()


def revoke(conn: Conn, actor: Actor, key_id: UUID) -> None:
    """From now on it is refused (a process may remember it for two seconds). Revoking twice changes nothing."""
    row = get(conn, key_id)
    if row["revoked_at"] is not None:
        return
    conn.execute("update api_key set revoked_at = now() where id = %s", (key_id,))
    audit.write(conn, actor, "api_key.revoke", "api_key", key_id, {"name": row["name"]}, {"revoked": True})


def find(conn: Conn, hash_: bytes) -> dict[str, Any] | None:
    """By its hash, with ``good`` false where it is revoked or expired; notes its use at most once a minute."""
    row = conn.execute(
        """select id, producer_id, name, scopes, expires_at,
                  revoked_at is null and (expires_at is null or expires_at > now()) as good,
                  last_used_at is null or last_used_at < now() - interval '1 minute' as stale
           from api_key where hash = %s""",
        (hash_,),
    ).fetchone()
    if row and row["good"] and row["stale"]:
        conn.execute("update api_key set last_used_at = now() where id = %s", (row["id"],))
    return row
