"""Lineage around one node. The URL holds all that is shown: node, depth each way, what was grown, filters."""

from __future__ import annotations

from typing import Any

import dash
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.development.base_component import Component

from answers import causes, lineage, nodes
from errors import DlvError, GraphAway
from pages import _ask, _canvas, _deps
from pages import _words as words
from pages._icons import glyph, health, ic, role, sys

dash.register_page(__name__, path="/lineage", title="Lineage · DLV")

#: elements drawn at once, and when somebody asks for all of them
CAP, CAP_ALL = 1000, 5000
#: root causes told above the canvas; the rest, and what lies between, are in the drawer
CAUSES = 2


def layout(**params: Any) -> Component:
    """The page; all data comes by callbacks from what the URL asks."""
    if not params.get("node"):
        return html.Div(
            [
                html.Div(id="lineage-start"),
                dcc.Store(id="lineage-start-ask", data=params),
            ],
            className="pad",
        )
    return html.Div(
        [
            html.Div(
                [
                    html.Div(id="lineage-head", className="head-line"),
                    html.Div(
                        [
                            _canvas.stepper("up", "Upstream", 1),
                            _canvas.stepper("down", "Downstream", 1),
                            _canvas.switch("jobs", "Jobs", "Show the jobs between datasets", on=True),
                            _canvas.switch(
                                "group", "Group", "Group by DAG, application or project", on=False
                            ),
                            _canvas.filters("lineage"),
                            _canvas.as_of("lineage", params),
                            html.Div(className="grow"),
                            _canvas.export_menu(),
                        ],
                        className="tools",
                    ),
                    html.Div(id="lineage-causes"),
                ],
                className="bar",
            ),
            _canvas.canvas("lineage", "Lineage"),
            dcc.Store(id="lineage-ask", data=params),
        ],
        className="canvas-page",
        **{"data-ask": "lineage", "data-path": "/lineage"},
    )


_canvas.wire("lineage")


@callback(
    Output("lineage-view", "data"),
    Output("lineage-note", "children"),
    Input("lineage-ask", "data"),
    running=[(Output("lineage-busy", "className"), "busy on", "busy")],
)
def draw(params: dict[str, Any]) -> tuple[Any, Any]:
    """What the canvas shows for what the URL asks."""
    try:
        ask = _ask.read(params)
        as_of = nodes.time_of(ask.as_of, "as_of") if ask.as_of else None
        view = lineage.around(
            _deps.dlv(),
            ask.node,
            ask.up,
            ask.down,
            as_of,
            ask.jobs,
            grown=ask.grow,
            also=ask.also,
            group=ask.group,
            cap=CAP_ALL if ask.whole else CAP,
        )
    except DlvError as e:
        return None, _canvas.failed(e)
    said = []
    if view["cut"]:
        said.append(_cut(len(view["nodes"]), ask.whole))
    if as_of:
        said.append(
            html.Div(
                [ic("history"), f"As of {words.stamp(view['as_of'])}; health is that of now."],
                className="notice",
            )
        )
    if len(view["nodes"]) == 1 and not view["folded"]:
        said.append(_alone(view["nodes"][0]))
    return _canvas.compact(view) | {"grouped": ask.group}, said


def _cut(n: int, whole: bool) -> Component:
    more = (
        []
        if whole
        else [html.Button(f"Draw up to {CAP_ALL:,}", className="btn small", **{"data-set": "all=1"})]
    )
    return html.Div(
        [glyph("warn"), html.Span(f"Cut at {n:,} nodes. Fewer hops show all of what is near."), *more],
        className="notice",
    )


def _alone(node: dict[str, Any]) -> Component:
    up, down = node["more"]["upstream"], node["more"]["downstream"]
    if up or down:
        return html.Div(
            [ic("info-circle"), "Nothing is drawn at this depth: raise it, or grow the card."],
            className="notice",
        )
    return html.Div(
        [
            ic("info-circle"),
            "Nothing reads or writes this, as far as events say. It stands alone on the map.",
        ],
        className="notice",
    )


@callback(Output("lineage-head", "children"), Input("lineage-ask", "data"), Input("pulse", "data"))
def head(params: dict[str, Any], _: object) -> Any:
    """Which node this is about."""
    try:
        node = nodes.get(_deps.dlv(), _ask.read(params).node)
    except DlvError:
        return html.H1("Lineage")
    return _canvas.identity(
        node,
        [
            dcc.Link([ic("topology-star-3"), "Impact"], href=f"/impact?node={node['id']}", className="btn"),
            dcc.Link([ic("route"), "Path to…"], href=f"/paths?from={node['id']}", className="btn"),
            html.Button([ic("info-circle"), "Details"], className="btn", **{"data-open": node["id"]}),
        ],
    )


@callback(Output("lineage-causes", "children"), Input("lineage-ask", "data"), Input("pulse", "data"))
def why(params: dict[str, Any], _: object) -> Any:
    """What is failed or late upstream, roots first. Nothing where all is well."""
    try:
        node = _ask.read(params).node
        found = causes.causes(_deps.dlv(), node)
    except GraphAway:
        return None
    except DlvError:
        return no_update
    me = found["node"]
    roots = [c for c in found["items"] if c["root"]]
    cards = [cause(c) for c in roots[:CAUSES]]
    if me["role"] == "root":
        cards.insert(0, _own(me))
    rest = found["total"] - min(len(roots), CAUSES)
    if rest > 0:
        said = words.many(rest, "more failed or late node") + " upstream"
        cards.append(
            html.Li(
                html.Button(
                    [glyph("symptom"), said, ic("chevron-right")],
                    className="link",
                    **{"data-open": me["id"], "data-kind": "causes"},
                ),
                className="rest",
            )
        )
    if not cards:
        return None
    return html.Ul(cards, className="causes", **{"aria-label": "Failed and late upstream, root causes first"})


def _own(node: dict[str, Any]) -> Component:
    return html.Li(
        [
            html.Div([role("root"), html.B("This node broke first", className="trunc")], className="line"),
            html.Div(node["health_reason"], className="mono trunc", title=node["health_reason"]),
        ],
        className="cause c-root",
    )


def cause(c: dict[str, Any]) -> Component:
    """One failed or late ancestor: what it is, since when, what it said, and where to read on."""
    more = [
        html.A(
            ["Log", ic("external-link")],
            href=c["log_url"],
            target="_blank",
            rel="noopener noreferrer",
            className="btn small",
        )
        if c["log_url"] and c["log_url"].startswith(("http://", "https://"))
        else None,
        html.Button("Show the way", className="btn small", **{"data-also": " ".join(c["path"])}),
    ]
    kind = "root" if c["root"] else "symptom"
    return html.Li(
        [
            html.Div(
                [
                    role(kind),
                    sys(c),
                    html.Button(c["name"], className="name trunc", **{"data-open": c["id"]}, title=c["name"]),
                    health(c["health"]),
                    html.Span(words.ago(c["health_since"]), className="muted"),
                    html.Span(words.many(c["hop"], "hop") + " away", className="muted"),
                ],
                className="line",
            ),
            html.Div(
                [
                    html.Div(c["error"], className="mono trunc", title=c["error"]),
                    html.Div([m for m in more if m], className="acts"),
                ],
                className="line",
            ),
        ],
        className=f"cause c-{kind}",
    )


@callback(
    Output("lineage-marks", "data"),
    Input("pulse", "data"),
    State("lineage-drawn", "data"),
    State("lineage-view", "data"),
    prevent_initial_call=True,
)
def refresh(_: object, drawn: object, view: dict[str, Any] | None) -> Any:
    """Health as it is now of what is drawn."""
    return _canvas.marks(_deps.dlv(), view) if drawn else no_update


@callback(Output("lineage-start", "children"), Input("lineage-start-ask", "data"))
def start(params: dict[str, Any]) -> Any:
    """Where to begin when no node is named: what is broken, then what matters most."""
    return _canvas.start(_deps.dlv(), "/lineage", "Lineage", "Which node do you want to look around?", params)
