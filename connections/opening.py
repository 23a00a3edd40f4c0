"""From a row of the record to a link, and from what a person or client sends to a row."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from connections import guard, secrets
from connections.kind import Kind, Tested
from connections.link import Link
from errors import Invalid
from settings import Settings
from store import connections as store
from store.audit import Actor
from store.record import Conn, Record

#: seconds of one step of a test; the whole is answered within ten
STEP_SECONDS = 4.0


def owner(id_: UUID) -> str:
    """Whose secrets, for :class:`connections.secrets.Box`."""
    return f"connection:{id_}"


def open_link(conn: Conn, settings: Settings, connection_id: UUID, timeout: float = 10.0) -> Link:
    """The connection as a kind of check is handed it. ``timeout``: seconds for reaching it and signing in.

    Raises :class:`errors.NotFound`, :class:`connections.secrets.Lost` where a secret does not open.
    """
    row = store.sealed(conn, connection_id)
    values = secrets.box(settings).open_all(owner(row["id"]), row["secrets"])
    return _link(settings, row["id"], row["name"], _kind(row["kind"]), row["fields"], values, timeout)


def _link(
    settings: Settings, id_: UUID, name: str, kind: Kind, fields: Mapping[str, Any], values: Mapping[str, str], timeout: float
) -> Link:  # fmt: skip
    defaults = {f.name: f.default for f in kind.plain if f.default is not None}
    folders = tuple(Path(p).resolve() for p in settings.sqlite_folders.split(":") if p)
    return Link(
        id_, name, kind.name, defaults | dict(fields), guard.from_settings(settings), dict(values), timeout,
        (settings.home.resolve(),), folders,
    )  # fmt: skip


def _kind(name: Any) -> Kind:
    from connections.kinds import kind

    return kind(str(name))


# ---------------------------------------------------------------- what people do


def create(
    conn: Conn, actor: Actor, settings: Settings, name: str, kind: str, fields: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """A new connection. ``given``: secrets in plain. Raises :class:`errors.Invalid`, :class:`errors.Conflict`."""
    of = _kind(kind)
    plain = of.checked(fields)
    values = {k: v for k, v in of.checked_secrets(given).items() if v}
    values = {f.name: values[f.name] for f in of.secret if f.name in values and f.applies(plain)}
    of.needs(plain, values)
    id_ = uuid4()
    sealed = secrets.box(settings).seal_all(owner(id_), values) if values else {}
    return shown(settings, store.create(conn, actor, id_, name, of.name, plain, sealed))


def edit(
    conn: Conn, actor: Actor, settings: Settings, id_: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:  # fmt: skip
    """Change a connection. ``changes``: name, fields (only those that change; None empties one), secrets (a text sets one,
    None takes it away; what is not named stays), retired.

    Where a field that says where secrets are sent to changes, those that are kept must be written anew: else who may
    edit could have them sent to a machine of theirs. Raises :class:`errors.Invalid`, :class:`errors.Changed`,
    :class:`errors.NotFound`, :class:`errors.Conflict`.
    """
    row = store.sealed(conn, id_, retired=True, lock=True)
    store.unchanged(row, changes, version)
    of = _kind(row["kind"])
    plain = of.checked(row["fields"] | dict(changes["fields"])) if "fields" in changes else row["fields"]
    given = of.checked_secrets(changes.get("secrets") or {})
    _written_anew(of, row, plain, given)
    kept = {k: v for k, v in row["secrets"].items() if k not in given}
    sealed = kept | secrets.box(settings).seal_all(owner(id_), {k: v for k, v in given.items() if v})
    sealed = {f.name: sealed[f.name] for f in of.secret if f.name in sealed and f.applies(plain)}
    of.needs(plain, sealed)
    new = {"fields": plain, "secrets": sealed} | {k: changes[k] for k in ("name", "retired") if k in changes}
    return shown(settings, store.edit(conn, actor, id_, new, sorted(given)))


def _written_anew(
    of: Kind, row: Mapping[str, Any], plain: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    moved = [
        f
        for f in of.plain
        if f.binds and row["fields"].get(f.name, f.default) != plain.get(f.name, f.default)
    ]
    kept = [f for f in of.secret if f.name in row["secrets"] and f.name not in given and f.applies(plain)]
    if moved and kept:
        raise Invalid(
            f"{moved[0].label} changed: write {kept[0].label} again", field=kept[0].name,
            hint="so that it is never sent to where it was not meant for",
        )  # fmt: skip


def shown(settings: Settings, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as people and clients see it: of each secret only whether it is ``set``, or ``lost`` with its key."""
    sealed = row["secrets"]
    lost = secrets.box(settings).lost(owner(row["id"]), sealed)
    return {k: v for k, v in row.items() if k != "secrets"} | {
        "secrets": {name: "lost" if name in lost else "set" for name in sealed}
    }


# ---------------------------------------------------------------- trying


def test(record: Record, actor: Actor, settings: Settings, id_: UUID) -> Tested:
    """Try a stored connection, keep what came of it, and write it into the audit. At most ten seconds."""
    with record.tx() as conn:
        link = open_link(conn, settings, id_, STEP_SECONDS)
    done = _kind(link.kind).test(link)
    with record.tx() as conn:
        store.tested(conn, actor, id_, done.shown())
    return done


def test_unsaved(
    record: Record, actor: Actor, settings: Settings, kind: str, fields: Mapping[str, Any], given: Mapping[str, Any],
    id_: UUID | None = None,
) -> Tested:  # fmt: skip
    """Try what a form holds. ``id_``: of the stored connection that is being edited; its secrets are used where none are
    given, and only towards where they were meant for."""
    of = _kind(kind)
    plain = of.checked(fields)
    values = of.checked_secrets(given)
    if id_ is not None:
        with record.tx() as conn:
            row = store.sealed(conn, id_, retired=True)
        if row["kind"] == of.name:
            _written_anew(of, row, plain, values)
            kept = {k: v for k, v in row["secrets"].items() if k not in values}
            values = {**secrets.box(settings).open_all(owner(id_), kept), **values}
    values = {f.name: v for f in of.secret if (v := values.get(f.name)) and f.applies(plain)}
    of.needs(plain, values)
    link = _link(
        settings, id_ or uuid4(), "", of, plain, {k: v for k, v in values.items() if v}, STEP_SECONDS
    )
    done = of.test(link)
    with record.tx() as conn:
        store.tried(conn, actor, id_, of.name, plain, done.shown())
    return done
