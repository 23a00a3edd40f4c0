"""How data gets from one node to another: the ways between two, shortest first, on one canvas."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import dash
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.development.base_component import Component

from answers import layout as placing
from answers import lineage, nodes, paths
from errors import DlvError
from pages import _canvas, _deps
from pages import _words as words
from pages._icons import ic, sys

dash.register_page(__name__, path="/paths", title="Paths · DLV")

#: ways that are listed
SHOWN = 20


def layout(**params: Any) -> Component:
    """The page; all data comes by callbacks from what the URL asks."""
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H1("Paths"),
                            html.Div(id="paths-ends", className="ends"),
                            _canvas.export_menu(),
                        ],
                        className="head-line",
                    )
                ],
                className="bar",
            ),
            html.Div(
                [
                    _canvas.canvas("paths", "Paths"),
                    html.Div(
                        id="paths-list",
                        className="panel",
                        role="region",
                        **{"aria-label": "Ways, shortest first"},
                    ),
                ],
                className="split narrow",
            ),
            html.Div(_canvas.filters("paths"), hidden=True),
            dcc.Store(id="paths-ask", data=params),
            dcc.Store(id="paths-again"),
        ],
        className="canvas-page",
        **{"data-ask": "paths", "data-path": "/paths"},
    )


_canvas.wire("paths", dated=False)
_canvas.follow("paths", "paths-note", "paths-view")


def _one(params: dict[str, Any] | None, name: str) -> str:
    value = (params or {}).get(name) or ""
    return str(value[-1] if isinstance(value, list) else value)


@callback(Output("paths-ends", "children"), Input("paths-ask", "data"))
def ends(params: dict[str, Any] | None) -> list[Component]:
    """From where to where; each opens the search."""
    a, b = _one(params, "from"), _one(params, "to")
    swap = html.Button(
        ic("arrows-right-left"),
        className="iconbtn",
        title="Swap the ends",
        **{"data-swap": "1", "aria-label": "Swap the ends"},
    )
    return [_end("from", "From", a), swap if a and b else ic("arrow-right"), _end("to", "To", b)]


def _end(name: str, label: str, id_: str) -> Component:
    inside: list[Any] = [ic("search"), html.Span(f"{label}: choose a node", className="muted")]
    if id_:
        try:
            n = nodes.get(_deps.dlv(), id_)
            inside = [
                sys(n),
                html.Div(
                    [
                        html.B(n["name"], className="trunc"),
                        html.Div(f"{label} · {words.kind(n)} · {n['namespace']}", className="muted trunc"),
                    ],
                    className="names",
                ),
            ]
        except DlvError as e:
            inside = [ic("alert-triangle"), html.Span(e.message, className="trunc")]
    return html.Button(
        inside, className="end", **{"data-pick": name, "aria-label": f"{label}: choose a node"}
    )


@callback(
    Output("paths-view", "data"),
    Output("paths-note", "children"),
    Output("paths-list", "children"),
    Input("paths-ask", "data"),
    Input("paths-again", "data"),
    running=[(Output("paths-busy", "className"), "busy on", "busy")],
)
def find(params: dict[str, Any] | None, _: object) -> tuple[Any, Any, Any]:
    """The ways between the two, drawn and listed."""
    a, b = _one(params, "from"), _one(params, "to")
    if not a or not b:
        return None, _choose(), None
    try:
        said = paths.between(_deps.dlv(), a, b, SHOWN)
    except DlvError as e:
        return None, _canvas.failed(e), None
    if not said["paths"]:
        return None, _none(said["from"] == said["to"], a, b), None
    return view(said), None, listed(said)


def _choose() -> Component:
    return html.Div(
        [
            ic("route"),
            html.H2("Choose two nodes"),
            html.P(
                "DLV then shows every way that data takes from the first to the second, the shortest first."
            ),
        ],
        className="empty",
    )


def _none(same: bool, a: str, b: str) -> Component:
    said = (
        "Both ends are the same node."
        if same
        else "No data flows from the first to the second, as far as is known."
    )
    turn = dcc.Link("Look the other way round", href=f"/paths?from={b}&to={a}", className="btn")
    return html.Div(
        [ic("route"), html.H2("No path"), html.P(said), None if same else turn], className="empty"
    )


def view(said: dict[str, Any]) -> dict[str, Any]:
    """All ways as one picture."""
    pairs = list(dict.fromkeys(pair for way in said["paths"] for pair in pairwise(way)))
    ids = [n["id"] for n in said["nodes"]]
    at = placing.place(ids, pairs)
    drawn = [
        n | {"x": at[n["id"]][0], "y": at[n["id"]][1], "more": {"upstream": 0, "downstream": 0}}
        for n in said["nodes"]
    ]
    # an edge leads to its drawer; between two nodes with a stand-in job between them there is none by itself
    known = {(e["source"], e["target"]): e for e in lineage.among(_deps.dlv(), ids)}
    unknown: dict[str, Any] = {
        "id": "",
        "age": "fresh",
        "last_seen": None,
        "standin": False,
        "provenance": [],
        "via": [],
    }
    edges = [known.get((s, t)) or unknown | {"source": s, "target": t} for s, t in pairs]
    return _canvas.compact(
        {"node": said["from"], "nodes": drawn, "edges": edges, "folded": [], "cut": said["cut"]}
    )


def listed(said: dict[str, Any]) -> list[Any]:
    """Each way in words; choosing one sets it off on the canvas."""
    names = {n["id"]: n for n in said["nodes"]}
    rows = []
    for i, way in enumerate(said["paths"]):
        hops = sum(names[n]["type"] == "dataset" for n in way[1:]) + (names[way[-1]]["type"] == "job")
        rows.append(
            html.Li(
                html.Button(
                    [
                        html.B(f"Way {i + 1} · {words.many(hops, 'hop')}"),
                        html.Ol(
                            [
                                html.Li(
                                    [sys(names[n]), names[n]["name"].rsplit(".", 1)[-1]],
                                    title=names[n]["name"],
                                )
                                for n in way[:12]
                            ]
                        ),
                    ],
                    className="path-one",
                    **{"data-way": " ".join(way), "aria-pressed": "false"},
                )
            )
        )
    total = words.many(len(said["paths"]), "way")
    head = html.Div(
        html.Div(
            [
                html.B(f"{len(said['paths'])}"),
                html.Span(total.split(" ", 1)[1]),
                html.Span("there are more; these are the shortest" if said["cut"] else "", className="muted"),
            ],
            className="total",
        ),
        className="sum",
    )
    return [head, html.Ul(rows, className="path-list")]


@callback(
    Output("paths-marks", "data"),
    Input("pulse", "data"),
    State("paths-drawn", "data"),
    State("paths-view", "data"),
    prevent_initial_call=True,
)
def refresh(_: object, drawn: object, seen: dict[str, Any] | None) -> Any:
    """Health as it is now of what is drawn."""
    return _canvas.marks(_deps.dlv(), seen) if drawn else no_update
