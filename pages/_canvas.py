"""The canvas that lineage, impact and paths share: its place on the page, and the compact form of what it draws.

js/canvas.js owns the picture: it takes a view, adds and removes what differs, and paints the cards. Dash is told
nothing of single elements, so 5,000 of them cost one JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

import dash_cytoscape as cyto
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, callback, clientside_callback, dcc, html, no_update
from dash.development.base_component import Component

import auth
from answers import export, nodes
from errors import DlvError, GraphAway, NotFound
from pages import _ask, _deps
from pages import _words as words
from pages._icons import glyph, health, ic, mark_of, role, sys

if TYPE_CHECKING:
    from answers.context import Dlv

#: what a node in a view says, by place. js/canvas.js reads the same list
FIELDS = (
    "id", "type", "kind", "system", "mark", "namespace", "name", "environment", "owner", "health", "role",
    "running", "criticality", "tags", "parent_id", "parent_name", "since", "reason", "x", "y", "more_up",
    "more_down", "unresolved", "hop",
)  # fmt: skip

LEGEND = (
    ("root", "Root cause"),
    ("symptom", "Symptom"),
    ("at_risk", "At risk"),
    ("failed", "Failed"),
    ("late", "Late"),
    ("warn", "Warning"),
    ("ok", "Healthy"),
    ("unknown", "Unknown"),
)


def compact(view: Mapping[str, Any], hops: Mapping[str, int] | None = None) -> dict[str, Any]:
    """A view of `answers.lineage.around` as the canvas takes it: lists instead of objects."""
    return {
        "node": view["node"],
        "nodes": [row(n, (hops or {}).get(n["id"])) for n in view["nodes"]],
        "edges": [
            [
                e["id"],
                e["source"],
                e["target"],
                e["age"],
                e["last_seen"],
                int(e["standin"]),
                e["provenance"],
                len(e["via"]),
            ]
            for e in view["edges"]
        ],
        "folded": [[f["node"], f["direction"], f["count"], f["via"]] for f in view["folded"]],
        "cut": view["cut"],
    }


def row(n: Mapping[str, Any], hop: int | None = None) -> list[Any]:
    """A node in the order of :data:`FIELDS`."""
    return [
        n["id"], n["type"], n["kind"], n["system"], mark_of(n["system"], n["kind"], n["type"]), n["namespace"],
        n["name"], n["environment"], n["owner_name"], n["health"], n["role"], int(bool(n["running"])),
        n["criticality"], n["tags"], n["parent_id"], n["parent_name"], n["health_since"], n["health_reason"],
        n["x"], n["y"], n["more"]["upstream"], n["more"]["downstream"], int(bool(n["unresolved"])), hop,
    ]  # fmt: skip


def canvas(prefix: str, label: str) -> Component:
    """Where a canvas is drawn, with its legend, its buttons and its place for messages.

    Ids: ``{prefix}-cy`` the canvas, ``{prefix}-view`` what it shows, ``{prefix}-note`` messages over it.
    """
    return html.Div(
        [
            cyto.Cytoscape(
                id=f"{prefix}-cy",
                elements=[],
                layout={"name": "preset", "fit": False},
                autoRefreshLayout=False,
                minZoom=0.03,
                maxZoom=2.5,
                style={"position": "absolute", "inset": 0, "width": "100%", "height": "100%"},
            ),
            html.Div(id=f"{prefix}-note", className="canvas-note"),
            html.Div(id=f"{prefix}-busy", className="busy"),
            html.Div(
                [html.Span([glyph(s), w], className=f"st c-{s}") for s, w in LEGEND],
                className="legend",
                **{"aria-label": "Legend"},
            ),
            html.Div(
                [
                    _tool("zoom-in", "plus", "Zoom in", "+"),
                    _tool("zoom-out", "minus", "Zoom out", "-"),
                    _tool("fit", "focus-2", "Fit the whole picture", "f"),
                ],
                className="canvas-tools",
            ),
            html.Div(id=f"{prefix}-live", className="sr", **{"aria-live": "polite"}),
            dcc.Store(id=f"{prefix}-view"),
            dcc.Store(id=f"{prefix}-drawn"),
            dcc.Store(id=f"{prefix}-marks"),
            dcc.Store(id=f"{prefix}-dated"),
        ],
        className="canvas",
        id=f"{prefix}-canvas",
        tabIndex="0",
        role="application",
        **{
            "aria-label": f"{label}. Arrow keys walk along the edges, Enter opens the details, plus and minus zoom.",
            "data-canvas": prefix,
        },
    )


def _tool(do: str, icon: str, words: str, key: str) -> Component:
    return html.Button(
        ic(icon), className="iconbtn", title=f"{words} ({key})", **{"aria-label": words, "data-do": do}
    )


def wire(prefix: str, *, dated: bool = True) -> None:
    """Draw whatever arrives in ``{prefix}-view``, and patch what arrives in ``{prefix}-marks``. Once per page."""
    if dated:
        clientside_callback(
            ClientsideFunction("dlv", "dated"),
            Output(f"{prefix}-dated", "data"),
            Input(f"{prefix}-as-of", "value"),
            Input(f"{prefix}-as-of", "id"),
        )
    clientside_callback(
        ClientsideFunction("dlv", "draw"),
        Output(f"{prefix}-drawn", "data"),
        Input(f"{prefix}-view", "data"),
        Input(f"{prefix}-cy", "id"),
    )
    clientside_callback(
        ClientsideFunction("dlv", "patch"),
        Output(f"{prefix}-live", "children"),
        Input(f"{prefix}-marks", "data"),
        Input(f"{prefix}-cy", "id"),
    )
    clientside_callback(
        ClientsideFunction("dlv", "filtered"),
        Output(f"{prefix}-nil", "data"),
        Input(f"{prefix}-filter", "value"),
        Input(f"{prefix}-filter", "id"),
    )


def marks(dlv: Dlv, view: Mapping[str, Any] | None) -> dict[str, list[Any]]:
    """Health as it is now of every node in a view: {id: [health, role, running, since, reason]}."""
    ids = [UUID(n[0]) for n in (view or {}).get("nodes", ())]
    return {
        n["id"]: [n["health"], n["role"], int(bool(n["running"])), n["health_since"], n["health_reason"]]
        for n in nodes.many(dlv, ids)
    }


# ---------------------------------------------------------------- around the canvas


def stepper(name: str, label: str, value: int) -> Component:
    """A depth with minus and plus. js/5-canvas-page.js keeps it and the URL the same."""
    return html.Div(
        [
            html.Span(label, id=f"step-{name}-label"),
            html.Button(ic("minus"), **{"data-step": f"{name}:-1", "aria-label": f"{label}: fewer hops"}),
            html.Output(str(value), **{"data-value": name, "aria-labelledby": f"step-{name}-label"}),
            html.Button(ic("plus"), **{"data-step": f"{name}:1", "aria-label": f"{label}: more hops"}),
        ],
        className="stepper",
        role="group",
    )


def switch(name: str, label: str, title: str, *, on: bool) -> Component:
    """A button that is pressed or not, held in the URL as 1 or 0."""
    return html.Button(
        label,
        className="btn small toggle",
        title=title,
        **{
            "data-switch": name,
            "data-default": "1" if on else "0",
            "aria-pressed": "true" if on else "false",
        },
    )


def filters(prefix: str) -> Component:
    """What stands out: by health, system, kind, owner, tag, environment. Its choices come from what is drawn."""
    return html.Div(
        [
            dmc.MultiSelect(
                id=f"{prefix}-filter",
                data=[],
                value=[],
                placeholder="Filter",
                searchable=True,
                clearable=True,
                hidePickedOptions=True,
                size="xs",
                leftSection=ic("filter"),
                nothingFoundMessage="Nothing on the canvas has that",
                comboboxProps={"width": 260, "position": "bottom-start", "shadow": "md"},
                maxDropdownHeight=360,
                **{"aria-label": "Filter what stands out"},
            ),
            dcc.Store(id=f"{prefix}-nil"),
        ],
        className="filter",
    )


def as_of(prefix: str, params: Mapping[str, Any]) -> Component:
    """Reach as of a moment in UTC; empty is now."""
    said = str(params.get("as_of") or "")
    return dmc.DateTimePicker(
        id=f"{prefix}-as-of",
        value=said.replace("T", " ").removesuffix("Z") or None,
        placeholder="As of now (UTC)",
        valueFormat="YYYY-MM-DD HH:mm",
        clearable=True,
        size="xs",
        leftSection=ic("history"),
        className="as-of",
        **{"aria-label": "As of, UTC"},
    )


def export_menu() -> Component:
    return dmc.Menu(
        [
            dmc.MenuTarget(
                html.Button([ic("download"), "Export", ic("chevron-down")], className="btn small")
            ),
            dmc.MenuDropdown(
                [
                    dmc.MenuItem("Picture (PNG)", leftSection=ic("photo"), **{"data-export": "png"}),
                    dmc.MenuItem("Drawing (SVG)", leftSection=ic("file-type-svg"), **{"data-export": "svg"}),
                ]
            ),
        ],
        position="bottom-end",
        shadow="md",
        width=190,
    )


@callback(Input("canvas-saved", "data"), prevent_initial_call=True)
@auth.requires("viewer")
def saved(said: Any) -> None:
    """Writes down that a canvas was taken away as a file; the browser made it and tells."""
    if isinstance(said, dict):
        shown = said.get("rows")
        export.canvas_file(
            _deps.dlv(),
            auth.actor(),
            str(said.get("format") or "")[:10],
            str(said.get("page") or "")[:20],
            str(said.get("node") or "")[:40] or None,
            shown if isinstance(shown, int) else 0,
        )


def identity(node: Mapping[str, Any], acts: list[Component]) -> list[Component]:
    """Which node a page is about, and what can be done from here."""
    where = [words.kind(node), node["namespace"]]
    if node["environment"] != "default":
        where.append(node["environment"])
    return [
        sys(node),
        html.Div(
            [
                html.H1(node["name"], className="trunc", title=node["name"]),
                html.Div(" · ".join(where), className="muted trunc"),
            ],
            className="names",
        ),
        html.Div([r for r in (role(node["role"]), health(node["health"])) if r], className="states"),
        html.Div(className="grow"),
        html.Div(acts, className="acts"),
    ]


def follow(prefix: str, note: str, found: str) -> None:
    """Change ``{prefix}-again`` at each pulse on which ``note`` says why ``found`` is empty: the graph comes back by
    itself, and the page that asks again with it. Once per page.
    """

    @callback(
        Output(f"{prefix}-again", "data"),
        Input("pulse", "data"),
        State(note, "children"),
        State(found, "data"),
        prevent_initial_call=True,
    )
    def again(pulse: str, said: object, data: object) -> Any:
        return pulse if said and not data else no_update


def failed(e: DlvError) -> Component:
    """Why nothing is drawn, and the way out."""
    if isinstance(e, GraphAway):
        title, said = (
            "The graph is away",
            "This needs the graph. It comes back by itself; the page will follow.",
        )
    elif isinstance(e, NotFound):
        title, said = "No such node", e.message
    else:
        title, said = "This cannot be shown", e.message
    return html.Div(
        [
            ic("alert-triangle"),
            html.H2(title),
            html.P(said[:1].upper() + said[1:] + (f". {e.hint[:1].upper()}{e.hint[1:]}." if e.hint else "")),
            html.Button([ic("search"), "Find a node"], className="btn primary", **{"data-find": "1"}),
        ],
        className="empty",
        role="alert",
    )


def start(dlv: Dlv, path: str, title: str, said: str, params: Mapping[str, Any]) -> Component:
    """A page that was asked about no node: what is broken, then what matters most, each a way in; of the environment that
    the URL names.
    """
    try:
        within = {k: v for k, v in _ask.read(params).filters.items() if k == "environment"}
        bad = nodes.page(dlv, within | {"health": ["failed", "late"]}, 6, sort="health")["items"]
        first = nodes.page(dlv, within | {"type": ["dataset"]}, 9, sort="criticality")["items"]
        if not first:  # where only jobs are known, these
            first = nodes.page(dlv, within, 9, sort="criticality")["items"]
    except DlvError as e:
        return failed(e)
    if not first and not bad and not within:
        return nothing_yet()
    shown = {n["id"] for n in bad}
    bad.sort(key=lambda n: n["role"] != "root")
    said_first = "Most critical" if any(n["criticality"] for n in first) else "On the map"
    groups = [("Broken now", bad), (said_first, [n for n in first if n["id"] not in shown][:9])]
    return html.Div(
        [
            html.H1(title),
            html.P(said, className="muted"),
            html.Button(
                [ic("search"), "Find a node", html.Kbd("Ctrl K")],
                className="btn primary",
                **{"data-find": "1"},
            ),
            html.P(f"No node is in {' or '.join(within['environment'])}.") if not first and not bad else None,
            *[
                html.Section([html.H2(name), html.Div([way_in(n, path) for n in some], className="ways")])
                for name, some in groups
                if some
            ],
        ],
        className="start",
    )


def way_in(n: Mapping[str, Any], path: str) -> Component:
    return dcc.Link(
        [
            sys(n),
            html.Div(
                [
                    html.B(n["name"], className="trunc"),
                    html.Div(f"{words.kind(n)} · {n['namespace']}", className="muted trunc"),
                ],
                className="names",
            ),
            role(n["role"]) or health(n["health"]),
        ],
        href=f"{path}?node={n['id']}",
        className="way",
    )


def nothing_yet() -> Component:
    """An empty record: how the first event gets here."""
    return html.Div(
        [
            ic("plug"),
            html.H2("Nothing has arrived yet"),
            html.P(
                "The map draws itself from OpenLineage events. Make an API key, then point Airflow, Spark or dbt at "
                "this address, or send one event by hand:"
            ),
            html.Pre(
                "export OPENLINEAGE_URL=<this address>\n"
                "export OPENLINEAGE_ENDPOINT=api/v1/lineage\n"
                "export OPENLINEAGE_API_KEY=<your key>",
                className="mono",
            ),
        ],
        className="empty",
    )
