"""What Dash shows for an address that is no page."""

from __future__ import annotations

from typing import Any

import dash
from dash import dcc
from dash.development.base_component import Component

from pages import _grid

dash.register_page(__name__, title="No such page · DLV")


def layout(**_: Any) -> Component:
    return _grid.empty(
        "There is no page at this address",
        "The link may be old, or part of it is missing. Search for a table, topic or job above, or begin at one of these.",
        "search",
        dcc.Link("Health", href="/", className="btn"),
        " ",
        dcc.Link("Catalog", href="/catalog", className="btn"),
    )
