"""Notes on nodes and edges, rewritten and taken away by whom they are from; an admin may everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

import auth
from answers import nodes
from pages import _deps, _forms
from pages._forms import Done, Opened, Said
from store import annotations as store

FORM = "note"


def buttons(note: Mapping[str, Any]) -> list[Any]:
    """What this person may do with a note."""
    who = _deps.user()
    if who is None or not _deps.can("responder") or not (_deps.can("admin") or who.name == note["author"]):
        return []
    return [" · ", _button("Edit", "edit", note["id"]), " · ", _button("Delete", "delete", note["id"])]


def _button(label: str, mode: str, id_: str) -> Component:
    said = {"data-ask-dialog": FORM, "data-mode": mode, "data-id": id_, "aria-label": f"{label} this note"}
    return html.Button(label, className="link", **said)


def _text(id_: str | None) -> str:
    with _deps.dlv().record.tx() as conn:
        text: str = store.get(conn, nodes.uuid_of(id_ or ""))["text"]
    return text


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    text = _text(id_)
    return Opened([_forms.area(FORM, "text", "Note", text, minRows=4)], {"text": text})


def edit(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.edit(
            conn, auth.actor(), nodes.uuid_of(said.id or ""), said.values.get("text") or "", any_author=_deps.can("admin")
        )  # fmt: skip
    return Done("The note is saved")


def open_delete(id_: str | None, _: Mapping[str, int]) -> Opened:
    return Opened(
        [_forms.statement(html.P(_text(id_)), "It is taken away here; the audit keeps what it said.")]
    )


def delete(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.delete(conn, auth.actor(), nodes.uuid_of(said.id or ""), any_author=_deps.can("admin"))
    return Done("The note is gone")


DIALOG = _forms.Dialog(
    FORM,
    {
        "edit": _forms.Action("Edit note", open_edit, edit),
        "delete": _forms.Action("Delete this note?", open_delete, delete, "Delete", danger=True),
    },
    fresh=True,
    role="responder",
    size=520,
)
