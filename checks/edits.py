"""What people say of a check, checked by its kind, then written by `store.checks`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from checks.fields import checked
from checks.kind import Kind
from checks.registry import KINDS
from errors import Conflict, Invalid
from store import checks as store
from store.audit import Actor
from store.record import Conn


def kind_of(name: Any) -> Kind:
    """The kind of this name; :class:`errors.Invalid` where there is none."""
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise Invalid(
            f"{str(name)[:60]!r} is no kind of check", field="kind", hint="one of " + ", ".join(KINDS)
        )
    return kind


def create(conn: Conn, actor: Actor, said: Mapping[str, Any]) -> dict[str, Any]:
    """A new check. ``said``: kind, name, node_id, connection_id, config, severity, every_seconds (by the kind where
    left out). Raises :class:`errors.Invalid` with the field that is wrong, ``config.NAME`` for one of the kind's own."""
    if "kind" not in said:
        raise Invalid("a check needs a kind", field="kind", hint="one of " + ", ".join(KINDS))
    kind = kind_of(said["kind"])
    new = {k: v for k, v in said.items() if k != "kind"}
    new.setdefault("every_seconds", kind.every_seconds)
    via = _connection(conn, kind, new.get("connection_id"))
    new["config"] = whole(kind, new.get("config") or {}, via)
    return store.create(conn, actor, kind.name, new)


def edit(
    conn: Conn, actor: Actor, id_: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:
    """Change a check; its kind stays. ``config`` holds the fields that change, null for the default again."""
    was = store.get(conn, id_)
    kind = kind_of(was["kind"])
    said = dict(changes)
    via = _connection(conn, kind, said.get("connection_id", was["connection_id"]), was["connection_id"])
    if "config" in said or "connection_id" in said:
        asked = said.get("config") or {}
        if not isinstance(asked, Mapping):
            raise Invalid("config is an object", field="config")
        names = {f.name for f in kind.fields}
        said["config"] = whole(
            kind, {k: v for k, v in was["config"].items() if k in names} | dict(asked), via
        )
    return store.edit(conn, actor, id_, said, version, anew=_elsewhere(kind, was, said))


def accept(conn: Conn, actor: Actor, id_: UUID) -> dict[str, Any]:
    """What the newest look saw is the new normal; :class:`errors.Conflict` where the kind compares with nothing."""
    kind = kind_of(store.get(conn, id_)["kind"])
    if not kind.accepts:
        raise Conflict(
            f"{kind.label} compares with nothing that could be accepted", hint="edit its limits instead"
        )
    return store.accept(conn, actor, id_)


def new_url(conn: Conn, actor: Actor, id_: UUID, hash_: bytes) -> None:
    """A new URL of a heartbeat by the hash of its token; :class:`errors.Conflict` where the kind has none."""
    kind = kind_of(store.get(conn, id_)["kind"])
    if not kind.called:
        raise Conflict(f"{kind.label} is called by nobody", hint="only a heartbeat has a URL")
    store.set_token(conn, actor, id_, hash_)


def whole(kind: Kind, config: Any, via: str | None) -> dict[str, Any]:
    """A config with its defaults, each field and what they mean together checked. ``via``: kind of the connection."""
    if not isinstance(config, Mapping):
        raise Invalid("config is an object", field="config")
    out = checked(kind.fields, config)
    if kind.needs_connection(out) and via is None:
        raise Invalid(
            f"{kind.label} needs a connection",
            field="connection_id",
            hint=f"choose a {_kinds(kind)} connection",
        )
    if kind.agree is not None:
        kind.agree(out, via)
    return out


def _elsewhere(kind: Kind, was: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether the check looks at something else from now on, so that what it learnt says nothing any more."""
    if any(k in said and str(said[k]) != str(was[k]) for k in ("node_id", "connection_id")):
        return True
    new = said.get("config", was["config"])
    return any(not f.limit and new.get(f.name) != was["config"].get(f.name) for f in kind.fields)


def _kinds(kind: Kind) -> str:
    return "" if "*" in kind.connections else " or ".join(kind.connections)


def _connection(conn: Conn, kind: Kind, id_: Any, kept: Any = None) -> str | None:
    """The kind of the connection, one that this kind of check looks through; None where none is named. ``kept`` is the
    one it has: that may have been removed meanwhile."""
    if id_ is None:
        return None
    if not kind.connections:
        raise Invalid(f"{kind.label} needs no connection", field="connection_id")
    row = conn.execute(
        "select kind from connection where id = %s and (retired_at is null or id = %s)", (id_, kept)
    ).fetchone()
    if row is None:
        raise Invalid(f"no connection has the id {id_}", field="connection_id")
    via: str = row["kind"]
    if not kind.takes(via):
        raise Invalid(
            f"{kind.label} does not look through a connection of kind {via}",
            field="connection_id",
            hint=f"choose a {_kinds(kind)} connection",
        )
    return via
