"""The wall's place on a page. js/8-wall.js asks for the list, draws it and keeps it young; Dash is told nothing of it."""

from __future__ import annotations

from typing import Any

from dash import ClientsideFunction, Input, Output, clientside_callback, dcc, html
from dash.development.base_component import Component

from pages import _canvas
from pages._icons import ic

#: what tiles can be grouped by
GROUPS = (("system", "System"), ("team", "Team"), ("pipeline", "Pipeline"))
#: what shows, by one click: all, only what is not healthy, or one kind
SHOWN = (("", "All"), ("bad", "Not healthy"), ("failed", "Failed"), ("late", "Late"), ("at_risk", "At risk"), ("running", "Running"))  # fmt: skip


def place(*, kiosk: bool = False) -> Component:
    """The wall; ``kiosk``: for a screen that nobody touches."""
    return html.Div(
        [
            html.Div(id="wall-down", className="wall-down", role="alert"),
            html.Header(
                [
                    html.Div(
                        [
                            html.H1("Pipeline health", id="wall-title"),
                            html.P(id="wall-below", className="muted"),
                        ],
                        className="lede",
                    ),
                    html.Div(className="grow"),
                    html.Div(id="wall-age", className="wall-age", role="status"),
                    *([] if kiosk else [_kiosk()]),
                ],
                className="wall-head",
            ),
            html.Div(id="wall-estate", className="estate"),
            html.Section(id="wall-broken", className="wall-broken", **{"aria-label": "What is broken"}),
            html.Div(_tools() if not kiosk else [], id="wall-tools", className="wall-tools"),
            html.Div(id="wall-tiles", className="wall-tiles", role="region", **{"aria-label": "Tiles"}),
            html.Div(_canvas.nothing_yet(), id="wall-empty", hidden=True),
            html.Div(id="wall-live", className="sr", **{"aria-live": "polite"}),
            # the script starts when this comes onto the page
            dcc.Store(id="wall-ask", data=1),
            dcc.Store(id="wall-nil"),
        ],
        id="wall",
        className="wall kiosk" if kiosk else "wall pad",
        **{"data-wall": "kiosk" if kiosk else "page"},
    )


def _kiosk() -> Component:
    return html.A(
        [ic("maximize"), html.Span("Kiosk")],
        href="/wall?kiosk=1",
        id="wall-kiosk",
        className="btn small",
        title="For a screen on the wall: no menus, large type, turns its pages by itself",
    )


def _tools() -> list[Component]:
    return [
        html.Label(
            [
                html.Span("Find tiles", className="sr"),
                dcc.Input(
                    id="wall-q",
                    type="search",
                    placeholder="Filter by name",
                    debounce=False,
                    className="wall-q",
                ),
            ]
        ),
        _switch("shown", SHOWN, "Show"),
        html.Div(className="grow"),
        html.Div(
            [html.Span("Group by", className="muted"), _switch("group", GROUPS, "Group by")],
            className="wall-pair",
        ),
    ]


def _switch(name: str, options: Any, label: str) -> Component:
    """Buttons of which one is pressed; what is pressed stands in the URL."""
    return html.Div(
        [
            html.Button(
                said, className="seg", **{"data-wall-set": f"{name}:{value}", "aria-pressed": "false"}
            )
            for value, said in options
        ],
        className="switch",
        role="group",
        **{"aria-label": label},
    )


clientside_callback(
    ClientsideFunction("dlv", "wall_start"), Output("wall-nil", "data"), Input("wall-ask", "data")
)
