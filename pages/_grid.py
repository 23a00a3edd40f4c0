"""Lists on ag-grid: the browser asks for blocks of rows, the server filters, sorts and counts.

A page calls :func:`place` in its layout and :func:`answer` once at import. Filters live in a store and in the URL; how
cells look is in js/7-admin.js.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Input, Output, State, callback, clientside_callback, ctx, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

import auth
from answers import nodes
from errors import DlvError, Invalid
from pages import _deps, _icons
from pages import _words as words
from pages._icons import ic

#: rows a block
BLOCK = 100

Rows = tuple[list[dict[str, Any]], int]
#: (filters, sort or None, descending, limit, offset) → rows and how many there are in all
Fetch = Callable[[dict[str, Any], str | None, bool, int, int], Rows]


def column(
    field: str,
    label: str,
    *,
    cell: str | None = None,
    sort: bool = False,
    flex: int | None = None,
    width: int | None = None,
    least: int = 90,
    **more: Any,
) -> dict[str, Any]:
    """One column; ``cell`` names a renderer of js/7-admin.js, ``least`` is its smallest width in pixels."""
    out: dict[str, Any] = {"field": field, "headerName": label, "sortable": sort, "minWidth": least, **more}
    if cell:
        out["cellRenderer"] = cell
    if flex:
        out["flex"] = flex
    if width:
        out["width"] = width
    return out


def acts(dialog: str, *buttons: Mapping[str, str], width: int = 120) -> dict[str, Any]:
    """A column of buttons, each {mode, label, icon, when?}; ``when`` names the row's field that must be true."""
    return {
        "headerName": "Actions",
        "field": "id",
        "colId": "acts",
        "cellRenderer": "Acts",
        "cellRendererParams": {"dialog": dialog, "buttons": [dict(b) for b in buttons]},
        "width": width,
        "minWidth": width,
        "sortable": False,
        "resizable": False,
        "pinned": "right",
        "suppressKeyboardEvent": {"function": "buttonsTakeTab(params)"},
    }


def place(
    name: str,
    columns: Sequence[Mapping[str, Any]],
    filters: Sequence[Component],
    asked: Mapping[str, Any],
    *,
    label: str,
    select: bool = False,
    row: int = 44,
    actions: Sequence[Component] = (),
    keep_url: bool = True,
) -> list[Component]:
    """Tools, the grid, and its stores. ``asked``: filters that hold from the start."""
    options: dict[str, Any] = {
        "cacheBlockSize": BLOCK,
        "maxConcurrentDatasourceRequests": 1,
        "infiniteInitialRowCount": 1,
        "rowHeight": row,
        "headerHeight": 36,
        "ensureDomOrder": True,
        "suppressDragLeaveHidesColumns": True,
        "suppressNoRowsOverlay": True,
        "tooltipShowDelay": 400,
        "animateRows": False,
    }
    if select:
        options["rowSelection"] = {
            "mode": "multiRow",
            "checkboxes": True,
            "headerCheckbox": False,
            "enableClickSelection": False,
        }
        options["selectionColumnDef"] = {"width": 46, "minWidth": 46, "pinned": "left", "resizable": False}
    return [
        html.Div(
            [
                *filters,
                html.Div(className="grow"),
                html.Span(id=f"{name}-total", className="total", role="status"),
                *actions,
            ],
            className="list-tools",
        ),
        html.Div(
            [
                html.Div(id=f"{name}-busy", className="busy"),
                dag.AgGrid(
                    id=name,
                    rowModelType="infinite",
                    columnDefs=[dict(c) for c in columns],
                    defaultColDef={
                        "resizable": True,
                        "suppressMovable": True,
                        "sortable": False,
                        "cellDataType": False,
                    },
                    getRowId="params.data.id",
                    dashGridOptions=options,
                    className="grid",
                    style={"height": "100%", "width": "100%"},
                ),
                html.Div(id=f"{name}-note", className="grid-note"),
            ],
            className="grid-place",
            role="region",
            **{"aria-label": label},
        ),
        dcc.Store(id=f"{name}-filters", data={"values": dict(asked), "url": keep_url}),
        dcc.Store(id=f"{name}-fresh"),
        dcc.Store(id=f"{name}-nil"),
        dcc.Store(id=f"{name}-nil-2"),
    ]


def answer(
    name: str,
    fetch: Fetch,
    said: Callable[[int], str],
    nothing: Callable[[dict[str, Any]], Any],
    role: str | None,
) -> None:
    """Register what gives this grid its rows. ``said`` words the count, ``nothing`` is shown where there is none;
    ``role``: who may read it, None for everybody signed in."""

    def rows(request: dict[str, Any] | None, state: dict[str, Any] | None) -> tuple[Any, Any, Any]:
        if not request:
            raise PreventUpdate
        start, end = int(request.get("startRow") or 0), int(request.get("endRow") or BLOCK)
        sort = (request.get("sortModel") or [{}])[0]
        filters = {k: v for k, v in ((state or {}).get("values") or {}).items() if v not in (None, "", [])}
        try:
            found, total = fetch(
                filters, sort.get("colId"), sort.get("sort") == "desc", max(1, min(end - start, 500)), start
            )
        except DlvError as e:
            return {"rowData": [], "rowCount": 0}, failed(e), ""
        note = nothing(filters) if total == 0 else None
        return {"rowData": found, "rowCount": total}, note, said(total)

    callback(
        Output(name, "getRowsResponse"),
        Output(f"{name}-note", "children"),
        Output(f"{name}-total", "children"),
        Input(name, "getRowsRequest"),
        State(f"{name}-filters", "data"),
        running=[(Output(f"{name}-busy", "className"), "busy on", "busy")],
    )(auth.requires(role)(rows) if role else rows)
    clientside_callback(
        ClientsideFunction("dlv", "list_filtered"),
        Output(f"{name}-filters", "data"),
        Input({"list": name, "words": ALL}, "value"),
        Input({"list": name, "filter": ALL}, "value"),
        State(f"{name}-filters", "data"),
        State(name, "id"),
        prevent_initial_call=True,
    )
    clientside_callback(
        ClientsideFunction("dlv", "list_fresh"),
        Output(f"{name}-nil", "data"),
        Input(f"{name}-fresh", "data"),
        State(name, "id"),
        prevent_initial_call=True,
    )


def follow(name: str) -> None:
    """Read the rows again when health changed, in place."""
    clientside_callback(
        ClientsideFunction("dlv", "list_follow"),
        Output(f"{name}-nil-2", "data"),
        Input("pulse", "data"),
        State(name, "id"),
        prevent_initial_call=True,
    )


# ---------------------------------------------------------------- filters


def words_filter(name: str, asked: Mapping[str, Any], label: str) -> Component:
    return dmc.TextInput(
        id={"list": name, "words": "q"},
        value=asked.get("q") or "",
        placeholder=label,
        debounce=250,
        size="xs",
        leftSection=ic("search"),
        className="f-words",
        **{"aria-label": label},
    )


def pick_filter(
    name: str, asked: Mapping[str, Any], key: str, label: str, data: Sequence[Any] = (), width: int = 150
) -> Component:
    return dmc.MultiSelect(
        id={"list": name, "filter": key},
        data=offered(data, asked.get(key)),
        value=list(asked.get(key) or []),
        placeholder=label,
        searchable=len(data) > 8,
        clearable=True,
        hidePickedOptions=False,
        size="xs",
        className="f-pick",
        nothingFoundMessage="Nothing like that",
        comboboxProps={"width": 260, "position": "bottom-start", "shadow": "md"},
        maxDropdownHeight=360,
        style={"width": width},
        **{"aria-label": label},
    )


def offered(data: Sequence[Any], chosen: Sequence[str] | None) -> list[Any]:
    """Choices with what is chosen among them: the component drops a value that it is not offered."""
    known = {d["value"] if isinstance(d, Mapping) else d for d in data}
    return [*data, *(v for v in chosen or [] if v not in known)]


def asked(params: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The filters a URL asks for: text for ``q``, lists for all else."""
    out: dict[str, Any] = {}
    for key in keys:
        value = params.get(key)
        if value:
            many = [str(v) for v in (value if isinstance(value, list) else [value])]
            out[key] = many[-1] if key == "q" else many
    return out


# ---------------------------------------------------------------- states


def failed(error: DlvError) -> Component:
    """What a list shows in place of its rows where they cannot be had."""
    return html.Div(
        [
            ic("alert-triangle"),
            html.H2("The list is not to be had"),
            html.P(error.message),
            html.P(error.hint, className="muted") if error.hint else None,
        ],
        className="empty",
        role="alert",
    )


def empty(title: str, text: str, icon: str = "list", *more: Any) -> Component:
    return html.Div([ic(icon), html.H2(title), html.P(text), *more], className="empty")


# ---------------------------------------------------------------- cells


def node_cells(n: Mapping[str, Any]) -> dict[str, Any]:
    """A node as the columns of catalog and admin show it."""
    return {
        "id": n["id"],
        "name": n["name"],
        "sub": n["namespace"],
        "mark": _icons.mark_of(n["system"], n["kind"], n["type"]),
        "system": n["system"],
        "what": words.kind(n),
        "environment": n["environment"],
        "owner": n["owner_name"],
        "sla": words.sla(n) if n["sla"] else "",
        "tags": n["tags"],
        "criticality": n["criticality"],
        "health": {"state": n["health"], "word": words.HEALTH[n["health"]], "title": n["health_reason"]}
        if not n["retired_at"]
        else {"state": "unknown", "word": "Retired", "title": ""},
        "role": {"state": n["role"], "word": words.ROLES[n["role"]]} if n["role"] else None,
        "last_seen": {"text": words.ago(n["last_seen"]), "title": words.stamp(n["last_seen"])},
        "version": n["version"],
        "retired": bool(n["retired_at"]),
        "here": not n["retired_at"],
        "several": len(n["aliases"]) > 1,
    }


def at(value: Any) -> dict[str, str]:
    """A time of the record as a cell: how long ago, and when exactly on hovering."""
    text = value.isoformat() if value else None
    return {"text": words.ago(text) if value else "never", "title": words.stamp(text)}


NODE_COLUMNS = [
    column("name", "Name", cell="NodeCell", sort=True, flex=3, least=240),
    column("kind", "Kind", cell="What", sort=True, flex=1, least=136),
    column("health", "Health", cell="Health", sort=True, least=128, width=140),
    column("owner", "Owner", cell="Plain", sort=True, flex=1, least=110),
    column("sla", "SLA", cell="Plain", least=100, width=150),
    column("criticality", "Criticality", cell="Plain", sort=True, least=96, width=100),
    column("tags", "Tags", cell="Tags", flex=1, least=110),
    column("environment", "Environment", cell="Plain", sort=True, least=90, width=112),
    column("last_seen", "Last seen", cell="When", sort=True, least=96, width=110),
]
NODE_FILTERS = (
    "q",
    "health",
    "type",
    "kind",
    "system",
    "environment",
    "owner",
    "tag",
    "criticality",
    "retired",
)


def node_filters(name: str, asked: Mapping[str, Any], *, retired: bool = False) -> list[Component]:
    """What nodes are narrowed by; :func:`node_options` says what there is to choose from."""
    wide = {"health": 116, "owner": 118, "criticality": 122, "environment": 130, "system": 110}
    keys = {"health": "Health", "type": "Type", "kind": "Kind", "system": "System", "owner": "Owner", "tag": "Tag",
            "criticality": "Criticality", "environment": "Environment"}  # fmt: skip
    if retired:
        keys["retired"] = "Retired"
    return [
        words_filter(name, asked, "Name, namespace, owner or tag"),
        *(pick_filter(name, asked, key, label, (), wide.get(key, 98)) for key, label in keys.items()),
    ]


def node_options(name: str) -> None:
    """Register what fills the choices of :func:`node_filters`: what nodes have, with how many have it."""

    def fill(_: object, chosen: list[Any]) -> list[Any]:
        try:
            options = nodes.options(_deps.dlv())
        except DlvError:
            options = {}
        data = choices(options)
        return [
            offered(data.get(o["id"]["filter"], []), v) for o, v in zip(ctx.outputs_list, chosen, strict=True)
        ]

    callback(
        Output({"list": name, "filter": ALL}, "data"),
        Input(f"{name}-filters", "id"),
        State({"list": name, "filter": ALL}, "value"),
    )(fill)


def choices(options: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    out = {
        key: [{"value": o["key"], "label": f"{o['key']} ({o['n']:,})"} for o in options.get(key, [])]
        for key in ("type", "kind", "system", "environment", "tag")
    }
    teams = [{"value": o["name"], "label": f"{o['name']} ({o['n']:,})"} for o in options.get("team", [])]
    return out | {
        "health": [{"value": k, "label": v} for k, v in (words.HEALTH | words.ROLES).items()],
        "owner": [{"value": "none", "label": "Nobody yet"}, *teams],
        "criticality": [{"value": str(i), "label": f"Criticality {i}"} for i in (1, 2, 3, 4)],
        "retired": [{"value": "with", "label": "Retired too"}, {"value": "only", "label": "Only retired"}],
    }


def node_rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> Rows:
    """A block of nodes for :func:`answer`."""
    found = nodes.page(
        _deps.dlv(), _wanted(filters), limit, sort=sort or "name", descending=descending, offset=offset, total=True
    )  # fmt: skip
    return [node_cells(n) for n in found["items"]], found["total"]


def matching_nodes(filters: Mapping[str, Any], most: int) -> dict[str, int]:
    """{id: version} of all nodes that the filters leave; :class:`errors.Invalid` where they are more than ``most``."""
    wanted = _wanted({k: v for k, v in filters.items() if v not in (None, "", [])})
    out: dict[str, int] = {}
    cursor = None
    while True:
        found = nodes.page(_deps.dlv(), wanted, most, cursor, total=not out)
        if found.get("total", 0) > most:
            raise Invalid(
                f"{found['total']:,} nodes match, and at most {most:,} are edited at once", hint="narrow the filters"
            )  # fmt: skip
        out |= {n["id"]: n["version"] for n in found["items"]}
        cursor = found["next"]
        if not cursor:
            return out


def _wanted(filters: Mapping[str, Any]) -> dict[str, Any]:
    """The list's filters as `answers.nodes.page` takes them."""
    wanted = dict(filters)
    if wanted.get("criticality"):
        wanted["criticality"] = [int(c) for c in wanted["criticality"] if str(c) in "1234"] or [0]
    if wanted.get("retired"):
        wanted["retired"] = wanted["retired"][-1]
    return wanted
