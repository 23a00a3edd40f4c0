"""Search as you type, in a dialog over every page: name, namespace, owner, tag. Keys are in js/shell.js."""

from __future__ import annotations

import re
from typing import Any

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, callback, clientside_callback, html
from dash.development.base_component import Component

from answers import nodes
from errors import DlvError
from pages import _deps
from pages import _words as words
from pages._icons import health, ic, role, sys

SHOWN = 12

#: what the input tells who listens: a list below it is chosen from with the arrow keys
_COMBOBOX: dict[str, Any] = {
    "role": "combobox",
    "aria-controls": "search-hits",
    "aria-expanded": "true",
    "aria-autocomplete": "list",
    "autocomplete": "off",
}


def modal() -> Component:
    return dmc.Modal(
        [
            dmc.TextInput(
                id="search-input",
                placeholder="Name, namespace, owner or tag",
                debounce=60,
                variant="unstyled",
                size="md",
                leftSection=ic("search"),
                leftSectionWidth=46,
                className="search-box",
                **{"aria-label": "Search", "attributes": {"input": _COMBOBOX}},
            ),
            html.Div(id="search-hits", className="hits"),
            html.Div(
                [
                    html.Span([html.Kbd("↑"), " ", html.Kbd("↓"), " choose"]),
                    html.Span([html.Kbd("Enter"), " lineage"]),
                    html.Span([html.Kbd("Shift Enter"), " impact"]),
                    html.Span([html.Kbd("Esc"), " close"]),
                ],
                className="hits-foot",
            ),
        ],
        id="search",
        className="search-modal",
        opened=False,
        withCloseButton=False,
        size=640,
        yOffset="10vh",
        padding=0,
        keepMounted=True,
        transitionProps={"duration": 90},
        title="Search",
        classNames={"header": "unseen"},
    )


@callback(Output("search-hits", "children"), Input("search-input", "value"))
def find(q: str | None) -> Any:
    """What matches so far, best first."""
    q = (q or "").strip()
    if not q:
        return html.Div("Type any part of a name, a namespace, an owner or a tag.", className="none")
    try:
        found = nodes.search(_deps.dlv(), q, SHOWN)
    except DlvError as e:
        return html.Div(e.message, className="none")
    if not found:
        return html.Div(["Nothing matches ", html.B(f"“{q}”"), "."], className="none")
    return html.Ul(
        [hit(n, q, i) for i, n in enumerate(found)],
        role="listbox",
        id="search-list",
        **{"aria-label": "Matches"},
    )


def hit(node: dict[str, Any], q: str, i: int) -> Component:
    """One match: enough to tell two tables of one name apart."""
    beside = [words.kind(node), node["namespace"]]
    if node["environment"] != "default":
        beside.append(node["environment"])
    if node["owner_name"]:
        beside.append(node["owner_name"])
    said = [marked(node["name"], q)]
    return html.Li(
        [
            sys(node),
            html.Div(
                [
                    html.Div(said, className="trunc"),
                    html.Div(marked(" · ".join(b for b in beside if b), q), className="sub trunc"),
                ],
                style={"minWidth": 0},
            ),
            html.Div(
                [
                    *[html.Span(t, className="tag") for t in node["tags"][:2]],
                    role(node["role"]) or health(node["health"]),
                ],
                className="right",
            ),
        ],
        id=f"hit-{i}",
        className="hit",
        role="option",
        **{"data-node": node["id"], "aria-selected": "true" if i == 0 else "false"},
    )


def marked(text: str, q: str) -> Any:
    """The text with what was typed set off."""
    parts = re.split(f"({'|'.join(re.escape(w) for w in q.split())})", text, flags=re.IGNORECASE)
    return (
        html.B([html.Mark(p) if i % 2 else p for i, p in enumerate(parts) if p]) if len(parts) > 1 else text
    )


clientside_callback(
    ClientsideFunction("dlv", "search_open"), Output("search", "opened"), Input("search-open", "n_clicks")
)
