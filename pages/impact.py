"""Blast radius: everything downstream (or upstream) of a node, coloured by hop, beside the list that says whose it is.

The canvas is drawn from the record and stays while the graph is away; the counts and the list need the graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import dash
from dash import ClientsideFunction, Input, Output, State, callback, clientside_callback, dcc, html, no_update
from dash.development.base_component import Component

from answers import impact, lineage, nodes
from errors import DlvError
from graph.model import hop_of
from pages import _ask, _canvas, _deps
from pages import _words as words
from pages._icons import glyph, ic, mark_of

dash.register_page(__name__, path="/impact", title="Impact · DLV")

#: nodes on the canvas, rows of one page of the list
CAP, PAGE = 400, 200
#: what the list and its counts can be filtered by
FILTERS = ("kind", "system", "owner", "tag", "type", "environment")


def layout(**params: Any) -> Component:
    """The page; all data comes by callbacks from what the URL asks."""
    if not params.get("node"):
        return html.Div(
            [html.Div(id="impact-start"), dcc.Store(id="impact-start-ask", data=params)], className="pad"
        )
    return html.Div(
        [
            html.Div(
                [
                    html.Div(id="impact-head", className="head-line"),
                    html.Div(
                        [
                            html.Div(
                                [
                                    _choice("direction=downstream", "Downstream"),
                                    _choice("direction=upstream", "Upstream"),
                                ],
                                className="segments",
                                role="group",
                                **{"aria-label": "Direction"},
                            ),
                            _canvas.stepper("depth", "Depth", 0),
                            _canvas.switch("jobs", "Jobs", "Show the jobs between datasets", on=False),
                            _canvas.filters("impact"),
                            _canvas.as_of("impact", params),
                            html.Div(className="grow"),
                            html.A(
                                [ic("file-type-csv"), "CSV"],
                                id="impact-csv",
                                className="btn small",
                                download="",
                            ),
                            html.A(
                                [ic("json"), "JSON"], id="impact-json", className="btn small", download=""
                            ),
                            _canvas.export_menu(),
                        ],
                        className="tools",
                    ),
                ],
                className="bar",
            ),
            html.Div(
                [
                    _canvas.canvas("impact", "Blast radius"),
                    html.Div(
                        [
                            html.Div(id="impact-list-note"),
                            html.Div(id="impact-list"),
                            html.Div(id="impact-list-busy", className="busy"),
                        ],
                        className="panel",
                        role="region",
                        tabIndex="0",
                        **{"aria-label": "What is reached, by hop"},
                    ),
                ],
                className="split",
            ),
            dcc.Store(id="impact-ask", data=params),
            dcc.Store(id="impact-found"),
            dcc.Store(id="impact-next"),
            dcc.Store(id="impact-rows"),
            dcc.Store(id="impact-listed"),
            dcc.Store(id="impact-again"),
        ],
        className="canvas-page",
        **{"data-ask": "impact", "data-path": "/impact"},
    )


def _choice(what: str, label: str) -> Component:
    return html.Button(
        label,
        className="btn small",
        **{"data-choose": what, "data-default": "downstream", "aria-pressed": "false"},
    )


_canvas.wire("impact")
_canvas.follow("impact", "impact-list-note", "impact-found")
clientside_callback(
    ClientsideFunction("dlv", "impact_list"),
    Output("impact-listed", "data"),
    Input("impact-found", "data"),
    Input("impact-rows", "data"),
)


@callback(Output("impact-head", "children"), Input("impact-ask", "data"), Input("pulse", "data"))
def head(params: dict[str, Any], _: object) -> Any:
    """Which node's blast radius this is."""
    try:
        node = nodes.get(_deps.dlv(), _ask.read(params).node)
    except DlvError:
        return html.H1("Impact")
    return _canvas.identity(
        node,
        [
            dcc.Link([ic("sitemap"), "Lineage"], href=f"/lineage?node={node['id']}", className="btn"),
            html.Button([ic("info-circle"), "Details"], className="btn", **{"data-open": node["id"]}),
        ],
    )


@callback(
    Output("impact-view", "data"),
    Output("impact-note", "children"),
    Input("impact-ask", "data"),
    running=[(Output("impact-busy", "className"), "busy on", "busy")],
)
def draw(params: dict[str, Any]) -> tuple[Any, Any]:
    """The picture: what is nearest, with large fans folded."""
    try:
        ask = _ask.read(params)
        depth = min(ask.depth or lineage.MAX_DEPTH, lineage.MAX_DEPTH)
        view = lineage.around(
            _deps.dlv(),
            ask.node,
            depth if ask.direction == "upstream" else 0,
            depth if ask.direction == "downstream" else 0,
            nodes.time_of(ask.as_of, "as_of") if ask.as_of else None,
            (params or {}).get("jobs") in ("1", ["1"]),
            cap=CAP,
        )
    except DlvError as e:
        return None, _canvas.failed(e)
    said = []
    if view["cut"] or view["folded"]:
        said = [
            html.Div(
                [
                    ic("info-circle"),
                    f"The picture shows {len(view['nodes']) - 1:,}; the list and its counts are whole.",
                ],
                className="notice",
            )
        ]
    return _canvas.compact(view, hops(view, ask.direction)), said


def hops(view: Mapping[str, Any], direction: str) -> dict[str, int]:
    """Hop of each drawn node from the middle, along what is drawn; the list says it exactly of what it lists."""
    types = {n["id"]: n["type"] for n in view["nodes"]}
    ends = ("source", "target") if direction == "downstream" else ("target", "source")
    nexts: dict[str, list[tuple[str, int]]] = {}
    for e in view["edges"]:
        nexts.setdefault(e[ends[0]], []).append((e[ends[1]], 2 if e["via"] else 1))
    start = view["node"]
    found = {start: 0}
    todo = deque([start])
    while todo:
        n = todo.popleft()
        for other, steps in nexts.get(n, ()):
            if found[n] + steps < found.get(other, 1 << 30):
                found[other] = found[n] + steps
                todo.append(other)
    from_dataset = types.get(start) == "dataset"
    return {n: hop_of(length, from_dataset) for n, length in found.items() if n != start}


@callback(
    Output("impact-found", "data"),
    Output("impact-list-note", "children"),
    Output("impact-csv", "href"),
    Output("impact-json", "href"),
    Input("impact-ask", "data"),
    Input("impact-again", "data"),
    running=[(Output("impact-list-busy", "className"), "busy on", "busy")],
)
def find(params: dict[str, Any], _: object) -> tuple[Any, Any, Any, Any]:
    """Exact counts and the first page of the list."""
    try:
        ask = _ask.read(params)
        filters = {k: v for k, v in ask.filters.items() if k in FILTERS}
        found = _impact(ask, filters)
        every = _impact(ask, {}, 1) if filters else found
    except DlvError as e:
        return None, html.Div(_canvas.failed(e), className="canvas-note"), no_update, no_update
    query = [("direction", ask.direction)]
    query += [("depth", str(ask.depth))] if ask.depth else []
    query += [("as_of", ask.as_of)] if ask.as_of else []
    query += [(k, v) for k, vs in filters.items() for v in vs]
    file = f"/api/v1/nodes/{found['node']['id']}/impact"
    said = _as_of(ask) if ask.as_of else None
    q = urlencode(query)
    whole = _compact(found) | {"every": _tallies(every), "filtered": bool(filters)}
    return whole, said, f"{file}.csv?{q}", f"{file}.json?{q}"


@callback(
    Output("impact-rows", "data"),
    Input("impact-next", "data"),
    State("impact-ask", "data"),
    prevent_initial_call=True,
    running=[(Output("impact-list-busy", "className"), "busy on", "busy")],
)
def more(cursor: str | None, params: dict[str, Any]) -> Any:
    """The next page of the list."""
    if not cursor:
        return no_update
    try:
        ask = _ask.read(params)
        found = _impact(ask, {k: v for k, v in ask.filters.items() if k in FILTERS}, PAGE, cursor)
    except DlvError:
        return no_update
    return _compact(found)


def _impact(
    ask: _ask.Ask, filters: Mapping[str, Any], limit: int = PAGE, cursor: str | None = None
) -> dict[str, Any]:
    as_of = nodes.time_of(ask.as_of, "as_of") if ask.as_of else None
    return impact.impact(_deps.dlv(), ask.node, ask.direction, ask.depth, filters, as_of, limit, cursor)


def _tallies(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "total": found["total"],
        "hop": [[c["key"], c["n"], c["key"]] for c in found["by_hop"]],
        "kind": [[c["key"], c["n"], c["key"] or "unknown"] for c in found["by_kind"]],
        "system": [[c["key"], c["n"], words.system(c["key"])] for c in found["by_system"]],
        "owner": [[c.get("name") or "none", c["n"], c.get("name") or "Nobody"] for c in found["by_team"]],
    }


def _compact(found: Mapping[str, Any]) -> dict[str, Any]:
    """What js/6-impact.js lists: rows as lists, in the order of its COLUMNS."""
    return {
        "node": found["node"]["id"],
        "direction": found["direction"],
        "rows": [
            [
                n["id"], n["hop"], n["name"], words.kind(n), n["namespace"], n["system"],
                mark_of(n["system"], n["kind"], n["type"]), n["owner_name"], words.sla(n),
                (n["sla"] or {}).get("minutes"), n["criticality"], n["health"], n["role"], n["tags"], n["kind"],
                n["type"], n["parent_name"],
            ]
            for n in found["items"]
        ],
        "next": found["next"],
        "cut": found["cut"],
        **_tallies(found),
    }  # fmt: skip


def _as_of(ask: _ask.Ask) -> Component:
    return html.Div(
        html.Div(
            [glyph("late"), f"Reach as of {words.stamp(ask.as_of)}; health is that of now."],
            className="notice",
        ),
        className="canvas-note",
    )


@callback(
    Output("impact-marks", "data"),
    Input("pulse", "data"),
    State("impact-drawn", "data"),
    State("impact-view", "data"),
    prevent_initial_call=True,
)
def refresh(_: object, drawn: object, view: dict[str, Any] | None) -> Any:
    """Health as it is now of what is drawn."""
    return _canvas.marks(_deps.dlv(), view) if drawn else no_update


@callback(Output("impact-start", "children"), Input("impact-start-ask", "data"))
def start(params: dict[str, Any]) -> Any:
    """Where to begin when no node is named."""
    return _canvas.start(_deps.dlv(), "/impact", "Impact", "Whose blast radius do you want to see?", params)
