"""Channels: where people are told. What a kind's fields may be is `alerts.channels`' matter; secrets come sealed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from errors import Changed, Conflict, NotFound
from store import audit, settable
from store.audit import Actor
from store.record import Conn

#: a channel with how its deliveries go: {"status", "at", "error"} of the newest that ended, and how many wait
_SHOWN = """select c.*, w.waiting, w.oldest, e.newest,
                   array(select r.name from alert_rule r where c.id = any(r.channels) order by r.position) as rules
              from channel c
              left join lateral (select count(*) as waiting, min(n.created_at) as oldest from notification n
                                  where n.channel_id = c.id and n.status = 'pending') w on true
              left join lateral (select jsonb_build_object('status', n.status, 'at', n.ended_at, 'error', n.error) as newest
                                   from notification n
                                  where n.channel_id = c.id and n.status in ('delivered', 'failed') and n.event <> 'test'
                                  order by n.seq desc limit 1) e on true"""


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    """One channel; its secrets are sealed and never shown."""
    row = conn.execute(f"{_SHOWN} where c.id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no channel has the id {id_}", field="id")
    return row


def page(
    conn: Conn, *, retired: bool = False, limit: int = 1000, after: tuple[str, UUID] | None = None
) -> list[dict[str, Any]]:
    """By name, those after (lower name, id)."""
    return conn.execute(
        f"""{_SHOWN} where (%(retired)s or c.retired_at is null)
              and (%(id)s::uuid is null or (lower(c.name), c.id) > (%(name)s::text, %(id)s::uuid))
            order by lower(c.name), c.id limit %(limit)s""",
        {
            "retired": retired,
            "limit": limit,
            "name": after[0] if after else None,
            "id": after[1] if after else None,
        },
    ).fetchall()


def create(
    conn: Conn,
    actor: Actor,
    id_: UUID,
    name: str,
    kind: str,
    fields: Mapping[str, Any],
    secrets: Mapping[str, Any],
) -> dict[str, Any]:
    """A new channel. ``fields`` are checked by its kind, ``secrets`` are sealed for ``id_``."""
    name = settable.named(name, "a channel's name")
    try:
        with conn.transaction():
            conn.execute(
                "insert into channel (id, name, kind, fields, secrets) values (%s, %s, %s, %s, %s)",
                (id_, name, kind, Jsonb(dict(fields)), Jsonb(dict(secrets))),
            )
    except pg.UniqueViolation:
        raise _taken(name) from None
    shown = {"name": name, "kind": kind, "fields": dict(fields), "secrets": sorted(secrets)}
    audit.write(conn, actor, "channel.create", "channel", id_, None, shown)
    return get(conn, id_)


def edit(
    conn: Conn,
    actor: Actor,
    id_: UUID,
    *,
    name: str | None = None,
    fields: Mapping[str, Any] | None = None,
    secrets: Mapping[str, Any] | None = None,
    version: int | None,
) -> dict[str, Any]:
    """Change what is given. ``fields`` replaces all of them; of ``secrets`` only those named (None removes one)."""
    was = locked(conn, id_)
    said: dict[str, Any] = {}
    if name is not None and (name := settable.named(name, "a channel's name")) != was["name"]:
        said["name"] = name
    if fields is not None and dict(fields) != was["fields"]:
        said["fields"] = dict(fields)
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this channel since you opened it",
            changes={k: {"yours": v, "theirs": was[k]} for k, v in said.items()},
            version=was["version"],
            hint="look at what changed and save again with the new version",
        )
    kept = dict(was["secrets"])
    if secrets:
        kept = {k: v for k, v in (kept | dict(secrets)).items() if v is not None}
    if not said and kept == was["secrets"]:
        return was
    try:
        with conn.transaction():
            conn.execute(
                """update channel set name = %s, fields = %s, secrets = %s, last_test = null, version = version + 1
                    where id = %s""",
                (said.get("name", was["name"]), Jsonb(said.get("fields", was["fields"])), Jsonb(kept), id_),
            )
    except pg.UniqueViolation:
        raise _taken(said["name"]) from None
    before = {k: was[k] for k in said}
    if secrets:
        before, said = before | {"secrets": sorted(was["secrets"])}, said | {"secrets": sorted(secrets)}
    audit.write(conn, actor, "channel.edit", "channel", id_, before, said)
    return get(conn, id_)


def retire(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Take a channel away; :class:`errors.Conflict` while a rule names it. What it delivered stays in the log."""
    was = locked(conn, id_)
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this channel since you opened it", changes={}, version=was["version"]
        )
    if was["rules"]:
        raise Conflict(
            f"{was['name']} is told by {', '.join(was['rules'][:5])}",
            field="id",
            hint="take it out of these rules first",
        )
    if was["retired_at"] is None:
        conn.execute("update channel set retired_at = now(), version = version + 1 where id = %s", (id_,))
        conn.execute(
            """update notification set status = 'failed', next_try_at = null, ended_at = now(),
                      error = 'the channel was removed' where channel_id = %s and status = 'pending'""",
            (id_,),
        )
        audit.write(conn, actor, "channel.retire", "channel", id_, {"retired": False}, {"retired": True})
    return get(conn, id_)


def tested(conn: Conn, actor: Actor, id_: UUID, ok: bool, message: str, hint: str) -> None:
    """Keep what the newest test message came to."""
    conn.execute(
        """update channel set last_test = jsonb_build_object('at', now(), 'ok', %s::boolean, 'message', %s::text,
                                                             'hint', %s::text) where id = %s""",
        (ok, message, hint, id_),
    )
    audit.write(conn, actor, "channel.test", "channel", id_, None, {"ok": ok})


def told(conn: Conn, ids: list[UUID]) -> dict[UUID, dict[str, Any]]:
    """{id: id, name, kind, fields} of those that are still there: what deciding whom to tell needs."""
    rows = conn.execute(
        "select id, name, kind, fields from channel where id = any(%s) and retired_at is null",
        (list(set(ids)),),
    )
    return {r["id"]: r for r in rows}


def locked(conn: Conn, id_: UUID) -> dict[str, Any]:
    """One channel, held against others' edits until the transaction ends."""
    if not conn.execute("select 1 from channel where id = %s for update", (id_,)).fetchone():
        raise NotFound(f"no channel has the id {id_}", field="id")
    return get(conn, id_)


def _taken(name: str) -> Conflict:
    return Conflict(f"there is a channel called {name!r} already", field="name", hint="choose another name")
