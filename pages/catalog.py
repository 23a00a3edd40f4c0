"""Every node that DLV knows, in a list: found by words and filters, sorted, each a click away from its drawer."""

from __future__ import annotations

from typing import Any

import dash
from dash import dcc
from dash.development.base_component import Component

from pages import _admin, _canvas, _deps, _grid
from pages import _words as words
from pages._icons import ic

dash.register_page(__name__, path="/catalog", title="Catalog · DLV")

NAME = "catalog"


def layout(**params: Any) -> Component:
    asked = _grid.asked(params, _grid.NODE_FILTERS)
    manage = dcc.Link([ic("schema"), "Manage nodes"], href="/admin/nodes", className="btn small")
    return _admin.frame(
        "Catalog",
        "All datasets and jobs, with owner, promise and health.",
        _grid.place(
            NAME, _grid.NODE_COLUMNS, _grid.node_filters(NAME, asked), asked, label="All datasets and jobs"
        ),
        [manage] if _deps.can("admin") else [],
    )


def nothing(filters: dict[str, Any]) -> Any:
    if not filters:
        return _canvas.nothing_yet()
    return _grid.empty("No node matches", "Take a filter away, or search for a part of the name.", "search")


_grid.answer(NAME, _grid.node_rows, lambda n: words.many(n, "node"), nothing, None)
_grid.node_options(NAME)
_grid.follow(NAME)
