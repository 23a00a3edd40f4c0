"""Where people are told: one module a kind of channel. What pages and API do with a channel is here, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from alerts import message as messages
from alerts.channels import email, pagerduty, slack, webhook
from alerts.channels.kind import ChannelKind, NotSent, Sent
from connections import guard, secrets
from connections.link import Link
from errors import DlvError, Invalid
from settings import Settings
from store import channels as store
from store import notifications
from store.audit import Actor
from store.record import Conn, Record

__all__ = ["KINDS", "ChannelKind", "NotSent", "Sent", "create", "edit", "kind_of", "opened", "test"]

KINDS: dict[str, ChannelKind] = {
    k.form.name: k for k in (email.KIND, slack.KIND, webhook.KIND, pagerduty.KIND)
}


def kind_of(name: str) -> ChannelKind:
    if name not in KINDS:
        raise Invalid(
            f"no channel is of the kind {name[:40]!r}", field="kind", hint="one of " + ", ".join(KINDS)
        )
    return KINDS[name]


def opened(settings: Settings, row: Mapping[str, Any]) -> Link:
    """The link to a channel's receiver, secrets in plain. Raises :class:`connections.secrets.Lost` where one does not
    open."""
    kind = kind_of(row["kind"])
    plain = secrets.box(settings).open_all(owner_of(row["id"]), row["secrets"])
    kept = guard.from_settings(settings, private=kind.private or settings.private_webhooks)
    return Link(row["id"], row["name"], row["kind"], row["fields"], kept, plain)


def owner_of(id_: UUID) -> str:
    """Whose secrets they are, as the box is told."""
    return f"channel:{id_}"


def create(
    conn: Conn,
    settings: Settings,
    actor: Actor,
    name: str,
    kind_name: str,
    fields: Mapping[str, Any],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """A new channel; ``given`` are its secrets in plain."""
    kind = kind_of(kind_name)
    plain = kind.form.checked(fields)
    said = {k: v for k, v in kind.form.checked_secrets(given).items() if v is not None}
    _whole(kind, plain, said, said)
    id_ = uuid4()
    sealed = secrets.box(settings).seal_all(owner_of(id_), said)
    return store.create(conn, actor, id_, name, kind_name, plain, sealed)


def edit(
    conn: Conn,
    settings: Settings,
    actor: Actor,
    id_: UUID,
    *,
    name: str | None = None,
    fields: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
    version: int | None,
) -> dict[str, Any]:
    """Change a channel. A field that says where its secrets are sent to may only change with them written anew: else who
    may edit could have them sent to a server of their own."""
    was = store.locked(conn, id_)
    kind = kind_of(was["kind"])
    plain = kind.form.checked(was["fields"] | dict(fields)) if fields is not None else was["fields"]
    said = kind.form.checked_secrets(given or {})
    moved = [f for f in kind.form.plain if f.binds and plain.get(f.name) != was["fields"].get(f.name)]
    for f in kind.form.secret:
        if moved and f.applies(plain) and f.name in was["secrets"] and f.name not in said:
            raise Invalid(
                f"{moved[0].label} says where {f.label.lower()} is sent: write it again",
                field=f.name,
                hint="it is kept sealed, and not sent to another place unseen",
            )
        if not f.applies(plain) and f.name in was["secrets"]:
            said[f.name] = None
    have = {k: v for k, v in (was["secrets"] | said).items() if v is not None}
    _whole(kind, plain, have, said)
    box = secrets.box(settings)
    sealed = {k: None if v is None else box.seal(owner_of(id_), k, v) for k, v in said.items()}
    return store.edit(conn, actor, id_, name=name, fields=plain, secrets=sealed, version=version)


def _whole(
    kind: ChannelKind, plain: Mapping[str, Any], have: Mapping[str, Any], said: Mapping[str, Any]
) -> None:
    kind.form.needs(plain, have)
    if kind.check:
        kind.check(plain, have)
    key = said.get("signing_key")
    if isinstance(key, str) and len(key) < 16:
        raise Invalid("a signing key has 16 characters or more", field="signing_key")


def test(record: Record, settings: Settings, actor: Actor, id_: UUID) -> dict[str, Any]:
    """Send a test message now and say what came of it: {ok, message, hint}; kept with the channel and in the log."""
    with record.tx() as conn:
        row = store.get(conn, id_)
    if row["retired_at"] is not None:
        raise Invalid("this channel was removed", field="id")
    sent, m = uuid4(), messages.test(row["name"], settings.public_url)
    ok, said, hint = False, "", ""
    try:
        done = kind_of(row["kind"]).send(opened(settings, row), m, str(sent), None)
        ok, said = True, done.answer
    except DlvError as e:
        said, hint = e.message, e.hint or ""
    with record.tx() as conn:
        store.tested(conn, actor, id_, ok, said, hint)
        notifications.test(
            conn,
            sent,
            id_,
            m.content(),
            error="" if ok else f"{said}. {hint}".strip(),
            answer=said if ok else "",
        )
    return {"ok": ok, "message": said, "hint": hint}
