"""The frame of the admins' pages, and the plain refusal that others see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from dash import html
from dash.development.base_component import Component

from pages import _deps
from pages._icons import ic


def only_admins(layout: Callable[..., Component]) -> Callable[..., Component]:
    """The page for admins; for others a notice. The callbacks behind it check for themselves."""

    def guarded(**params: Any) -> Component:
        return layout(**params) if _deps.can("admin") else refused()

    return guarded


def refused() -> Component:
    who = _deps.user()
    role = f" You are signed in as {who.name}, {who.role}." if who else ""
    return html.Div(
        [
            ic("eye-off"),
            html.H2("403: for admins only"),
            html.P(
                f"This page changes the map or says who may see it.{role} Ask an admin of DLV for what you need."
            ),
        ],
        className="empty",
        role="alert",
    )


def frame(title: str, lead: Any, body: list[Any], actions: list[Component] | None = None) -> Component:
    """A page that a list fills: head, tools, grid."""
    return html.Div(
        [
            html.Div(
                [
                    html.Div([html.H1(title), html.P(lead, className="muted")], className="grow"),
                    *(actions or []),
                ],
                className="list-head",
            ),
            *body,
        ],
        className="list-page",
        key=uuid4().hex,  # another question to the same page makes its list anew
    )
