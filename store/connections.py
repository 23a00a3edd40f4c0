"""Connections: how to reach a system. Their secrets are sealed before they come here, and no answer of this module but
:func:`sealed` holds them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from errors import Changed, Conflict, Invalid, NotFound
from store import audit, settable
from store.audit import Actor
from store.record import Conn

_ROW = "c.id, c.name, c.kind, c.fields, c.secrets, c.last_test, c.retired_at, c.created_at, c.version"


def sealed(conn: Conn, id_: UUID, *, retired: bool = False, lock: bool = False) -> dict[str, Any]:
    """A row with its sealed secrets. ``retired``: a retired one too. :class:`errors.NotFound` where there is none."""
    row = conn.execute(
        f"select {_ROW} from connection c where c.id = %s{' for update' if lock else ''}", (id_,)
    ).fetchone()
    if row is None:
        raise NotFound(f"no connection has the id {id_}", field="id")
    if row["retired_at"] is not None and not retired:
        raise NotFound(
            f"the connection {row['name']} is retired", field="id", hint="bring it back, or choose another"
        )
    return row


def page(
    conn: Conn, q: str = "", kinds: Iterable[str] = (), limit: int = 50, after: tuple[str, UUID] | None = None,
    *, retired: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """By name, those after (lower name, id); rows hold sealed secrets, for `connections.opening.shown`."""
    return conn.execute(
        f"""select {_ROW}, (select count(*) from health_check h
                             where h.connection_id = c.id and h.retired_at is null) as checks
              from connection c
             where (%(retired)s or c.retired_at is null) and strpos(lower(c.name), lower(%(q)s)) > 0
               and (%(kinds)s::text[] = '{{}}' or c.kind = any(%(kinds)s))
               and (%(id)s::uuid is null or (lower(c.name), c.id) > (%(name)s::text, %(id)s::uuid))
             order by lower(c.name), c.id limit %(limit)s""",
        {
            "q": q, "kinds": list(kinds), "limit": limit, "retired": retired,
            "name": after[0] if after else None, "id": after[1] if after else None,
        },
    ).fetchall()  # fmt: skip


def checks_of(conn: Conn, id_: UUID) -> int:
    """How many checks look through it."""
    row = conn.execute(
        "select count(*) as n from health_check where connection_id = %s and retired_at is null", (id_,)
    ).fetchone()
    return int(row["n"]) if row else 0


def names(conn: Conn) -> list[dict[str, Any]]:
    """id, name and kind of each connection that is not retired, by name: for choosing one."""
    return conn.execute(
        "select id, name, kind from connection where retired_at is null order by lower(name)"
    ).fetchall()


def create(
    conn: Conn, actor: Actor, id_: UUID, name: str, kind: str, fields: Mapping[str, Any], secrets: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """A new connection; :class:`errors.Conflict` where the name is taken, whatever its case."""
    name = settable.named(name, "a connection's name")
    try:
        with conn.transaction():
            conn.execute(
                "insert into connection (id, name, kind, fields, secrets) values (%s, %s, %s, %s, %s)",
                (id_, name, kind, Jsonb(dict(fields)), Jsonb(dict(secrets))),
            )
    except pg.UniqueViolation:
        raise _taken(name) from None
    after = {"name": name, "kind": kind, "fields": fields, "written": sorted(secrets)}
    audit.write(conn, actor, "connection.create", "connection", id_, None, after)
    return sealed(conn, id_)


def unchanged(row: Mapping[str, Any], changes: Mapping[str, Any], version: int | None) -> None:
    """:class:`errors.Changed` where somebody else edited the row since ``version``. Says of secrets only that they differ."""
    if version is None or version == row["version"]:
        return
    differs: dict[str, object] = {}
    if "name" in changes and changes["name"] != row["name"]:
        differs["name"] = {"yours": changes["name"], "theirs": row["name"]}
    for field, value in (changes.get("fields") or {}).items():
        if value != row["fields"].get(field):
            differs[field] = {"yours": value, "theirs": row["fields"].get(field)}
    for field in changes.get("secrets") or {}:
        differs[field] = {"yours": "written anew", "theirs": "not shown"}
    if "retired" in changes:
        differs["retired"] = {"yours": changes["retired"], "theirs": row["retired_at"] is not None}
    raise Changed(
        "somebody else edited this connection since you opened it", changes=differs, version=row["version"],
        hint="look at what changed and save again with the new version",
    )  # fmt: skip


def edit(
    conn: Conn, actor: Actor, id_: UUID, new: Mapping[str, Any], written: Iterable[str] = ()
) -> dict[str, Any]:
    """Change a row that is locked (:func:`sealed` with ``lock``). ``new``: name, fields (whole), secrets (sealed, whole),
    retired; ``written``: names of the secrets that were set or taken away, for the audit."""
    was = sealed(conn, id_, retired=True)
    now = {"name": was["name"], "fields": was["fields"], "retired": was["retired_at"] is not None}
    name = settable.named(new["name"], "a connection's name") if "name" in new else was["name"]
    fields = dict(new.get("fields", was["fields"]))
    said = {"name": name, "fields": fields, "retired": new.get("retired", now["retired"])}
    if not isinstance(said["retired"], bool):
        raise Invalid("retired is true or false", field="retired")
    secrets = dict(new.get("secrets", was["secrets"]))
    written = list(written)
    if said == now and not written and secrets == was["secrets"]:
        return was
    try:
        with conn.transaction():
            conn.execute(
                """update connection set name = %s, fields = %s, secrets = %s, version = version + 1,
                          retired_at = case when %s then coalesce(retired_at, now()) end where id = %s""",
                (name, Jsonb(fields), Jsonb(secrets), said["retired"], id_),
            )
    except pg.UniqueViolation:
        raise _taken(name) from None
    before: dict[str, Any] = {k: now[k] for k in ("name", "retired") if now[k] != said[k]}
    after: dict[str, Any] = {k: said[k] for k in before}
    for field in sorted(set(was["fields"]) | set(fields)):
        if was["fields"].get(field) != fields.get(field):
            before[field], after[field] = was["fields"].get(field), fields.get(field)
    if written or secrets != was["secrets"]:
        after["written"] = sorted({*written, *(set(was["secrets"]) ^ set(secrets))})
    audit.write(conn, actor, "connection.edit", "connection", id_, before, after)
    return sealed(conn, id_, retired=True)


def tested(conn: Conn, actor: Actor, id_: UUID, result: Mapping[str, Any]) -> None:
    """Keep the newest test of a connection."""
    conn.execute(
        "update connection set last_test = %s || jsonb_build_object('at', to_jsonb(now())) where id = %s",
        (Jsonb(dict(result)), id_),
    )
    audit.write(conn, actor, "connection.test", "connection", id_, None, _outcome(result))


def tried(
    conn: Conn,
    actor: Actor,
    id_: UUID | None,
    kind: str,
    fields: Mapping[str, Any],
    result: Mapping[str, Any],
) -> None:
    """Write into the audit that what a form held was tried: where to, and what came of it."""
    after = {"kind": kind, "fields": fields} | _outcome(result)
    audit.write(conn, actor, "connection.try", "connection", id_ or "not saved", None, after)


def _outcome(result: Mapping[str, Any]) -> dict[str, Any]:
    return {k: result[k] for k in ("ok", "step", "message")}


def _taken(name: str) -> Conflict:
    return Conflict(
        f"there is a connection called {name!r} already",
        field="name",
        hint="choose another name, or bring it back",
    )


# ---------------------------------------------------------------- secrets at rest, of connections and channels

#: whose secrets are sealed: the table, and what their owner is called (connections.secrets.Box)
SEALED = {"connection": "connection", "channel": "channel"}


def all_sealed(conn: Conn, *, lock: bool = False) -> list[dict[str, Any]]:
    """(what, id, name, secrets) of everything that keeps a sealed secret. ``lock``: nobody writes one until the
    transaction ends."""
    if lock:
        conn.execute(f"lock table {', '.join(SEALED)} in share row exclusive mode")
    union = " union all ".join(
        f"select '{what}' as what, id, name, secrets from {table} where secrets <> '{{}}'"
        for table, what in SEALED.items()
    )
    return conn.execute(f"{union} order by what, name").fetchall()


def reseal(conn: Conn, what: str, id_: UUID, secrets: Mapping[str, Any]) -> None:
    """Write the same secrets, sealed by another key. No edit of people's, so the version stays."""
    table = next(t for t, w in SEALED.items() if w == what)
    conn.execute(f"update {table} set secrets = %s where id = %s", (Jsonb(dict(secrets)), id_))
