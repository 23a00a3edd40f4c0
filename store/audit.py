"""Who did what: rows chained by hash, so that a row changed, removed or put in later shows.

Every row's hash covers its own content and the hash of the row before. The chain cannot show that its newest rows
were cut off; whoever must prove that notes :func:`head` somewhere else from time to time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import sql

from store.record import LOCK_AUDIT, Conn, Record

GENESIS = bytes(32)
_SECRET_WORDS = ("password", "secret", "token", "hash", "credential", "private")
_FIELDS = (
    "seq",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "remote_addr",
    "action",
    "object_type",
    "object_id",
    "before",
    "after",
)


@dataclass(frozen=True)
class Actor:
    """Who acts. ``kind`` is user, api_key or system; ``id`` its stable id; ``name`` what people call it."""

    kind: str
    id: str
    name: str
    remote_addr: str = ""


SYSTEM = Actor("system", "dlv", "DLV")


def write(
    conn: Conn,
    actor: Actor,
    action: str,
    object_type: str,
    object_id: object,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> int:
    """Add one row in the caller's transaction and return its ``seq``.

    ``before`` and ``after`` hold the fields that changed; a field whose name speaks of a secret is written as
    ``(hidden)``. Holds the chain's lock until the transaction ends: call it last.
    """
    conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_AUDIT,))
    # the database gives back what it will keep (its clock, its form of the JSON): that is what is hashed
    kept = conn.execute(
        """select clock_timestamp() as at, %s::jsonb as before, %s::jsonb as after,
                  (select max(seq) from audit_log) as last,
                  (select hash from audit_log order by seq desc limit 1) as prev_hash""",
        (_json(before), _json(after)),
    ).fetchone()
    assert kept is not None
    prev_hash = bytes(kept["prev_hash"]) if kept["prev_hash"] is not None else GENESIS
    row = {
        "seq": (kept["last"] or 0) + 1,
        "at": kept["at"],
        "actor_kind": actor.kind,
        "actor_id": _text(actor.id),
        "actor_name": _text(actor.name),
        "remote_addr": _text(actor.remote_addr),
        "action": action,
        "object_type": object_type,
        "object_id": _text(str(object_id)),
        "before": kept["before"],
        "after": kept["after"],
    }
    conn.execute(
        """insert into audit_log (seq, at, actor_kind, actor_id, actor_name, remote_addr, action, object_type,
                                  object_id, before, after, prev_hash, hash)
           values (%(seq)s, %(at)s, %(actor_kind)s, %(actor_id)s, %(actor_name)s, %(remote_addr)s, %(action)s,
                   %(object_type)s, %(object_id)s, %(before)s, %(after)s, %(prev_hash)s, %(hash)s)""",
        row
        | {
            "before": _json(kept["before"]),
            "after": _json(kept["after"]),
            "prev_hash": prev_hash,
            "hash": digest(row, prev_hash),
        },
    )
    seq: int = row["seq"]
    return seq


def digest(row: Mapping[str, Any], prev_hash: bytes) -> bytes:
    """SHA-256 over the hash of the row before and this row's canonical JSON."""
    at: datetime = row["at"]
    content = {name: row[name] for name in _FIELDS} | {
        "at": at.astimezone(UTC).isoformat(timespec="microseconds")
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(prev_hash + text.encode()).digest()


def verify(record: Record) -> tuple[bool, int | None]:
    """Walk the whole chain. ``(True, None)``, or ``(False, seq)`` of the first row that does not fit."""
    prev_hash, expected = GENESIS, 1
    with record.tx() as conn, conn.cursor(name="audit_verify") as rows:
        rows.itersize = 2000
        rows.execute("select * from audit_log order by seq")
        for row in rows:
            fits = (
                row["seq"] == expected
                and bytes(row["prev_hash"]) == prev_hash
                and bytes(row["hash"]) == digest(row, prev_hash)
            )
            if not fits:
                return False, min(row["seq"], expected)
            prev_hash, expected = bytes(row["hash"]), expected + 1
    return True, None


def head(record: Record) -> tuple[int, str]:
    """Number of rows and hash of the newest (hex): what to note elsewhere to prove that nothing was cut off."""
    row = record.one("select seq, hash from audit_log order by seq desc limit 1")
    return (row["seq"], bytes(row["hash"]).hex()) if row else (0, GENESIS.hex())


def page(
    record: Record, filters: Mapping[str, Any] | None = None, cursor: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Rows newest first, those with ``seq`` below ``cursor``.

    ``filters``: actor (name), action (prefix, e.g. ``node.``), object_type, object_id, since, until (times).
    """
    conditions = {
        "actor": "actor_name = %(actor)s",
        "action": "starts_with(action, %(action)s)",
        "object_type": "object_type = %(object_type)s",
        "object_id": "object_id = %(object_id)s",
        "since": "at >= %(since)s",
        "until": "at < %(until)s",
    }
    given = {k: v for k, v in (filters or {}).items() if v not in (None, "")}
    where = [sql.SQL(conditions[k]) for k in given]  # type: ignore[arg-type]
    if cursor is not None:
        where.append(sql.SQL("seq < %(cursor)s"))
    query = sql.SQL(
        """select seq, at, actor_kind, actor_id, actor_name, remote_addr, action, object_type, object_id, before, after
           from audit_log where {} order by seq desc limit %(limit)s"""
    ).format(sql.SQL(" and ").join(where) if where else sql.SQL("true"))
    with record.tx() as conn:
        return conn.execute(query, given | {"cursor": cursor, "limit": limit}).fetchall()


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(_shown(value), default=lambda v: _text(str(v)))


def _shown(value: Any, name: str = "") -> Any:
    if name and any(word in name.lower() for word in _SECRET_WORDS) and not isinstance(value, bool | None):
        return "(hidden)"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(str(k)): _shown(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_shown(v) for v in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value


def _text(value: str) -> str:
    """Without what Postgres cannot keep: NUL and lone surrogates."""
    return value.replace("\x00", "").encode("utf-8", "replace").decode()
