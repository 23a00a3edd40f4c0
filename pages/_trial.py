"""Dialogs that try what is stored as they open, and show what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from dash import Input, Output, callback, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

import auth
from answers import nodes
from errors import DlvError
from pages import _forms


def place(form: str, id_: str | None, what: str, doing: str) -> list[Component]:
    """The body of such a dialog: ``what`` is tried, ``doing`` says it while it lasts."""
    return [
        html.P(what, className="muted"),
        dcc.Store(id=f"{form}-run", data=id_),
        html.Div(html.P([html.Span(className="spin"), doing], className="trying-line"), id=f"{form}-ran"),
    ]


def follow(form: str, grid: str, try_it: Callable[[UUID], tuple[Component, Any]]) -> None:
    """Once at import: has ``try_it`` called for the id as the dialog opens, by admins alone; it answers what is shown,
    and what tells one try from another. The list ``grid`` reads its rows anew.
    """

    @callback(
        Output(f"{form}-ran", "children"),
        Output(f"{grid}-fresh", "data", allow_duplicate=True),
        Input(f"{form}-run", "data"),
        prevent_initial_call="initial_duplicate",
    )
    @auth.requires("admin")
    def run(id_: str | None) -> tuple[Component, str]:
        if not id_:
            raise PreventUpdate
        try:
            shown, mark = try_it(nodes.uuid_of(id_))
        except DlvError as e:
            return wrong(e), ""
        return shown, f"tested {id_} {mark}"


def wrong(e: DlvError) -> Component:
    """Why it could not be tried."""
    return html.P(
        f"{_forms.sentence(e.message)} {_forms.sentence(e.hint)}".strip(),
        className="form-error",
        role="alert",
    )
