"""Owner, SLA, tags and criticality from a YAML or CSV file: first what it would change, then the change itself."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import dash
import dash_ag_grid as dag
import dash_mantine_components as dmc
from dash import (
    ClientsideFunction,
    Input,
    Output,
    State,
    callback,
    clientside_callback,
    ctx,
    dcc,
    html,
    no_update,
)
from dash.development.base_component import Component

import auth
from errors import DlvError, Invalid
from pages import _admin, _deps, _forms, _grid
from pages import _words as words
from pages._icons import glyph, ic
from store import assign

dash.register_page(__name__, path="/admin/import", title="Assign by file · DLV")

#: lines of the preview sent to the browser; the counts are of all
SHOWN = 5_000
_EXAMPLE = {
    "yaml": """- select: {system: postgres, name: "shop.public.*"}
  set: {owner: Finance, tags: [pii], criticality: 1, sla: {kind: freshness, minutes: 360}}
""",
    "csv": """system,name,owner,tags,criticality,sla
postgres,shop.public.*,Finance,pii;finance,1,freshness 360
""",
}


@_admin.only_admins
def layout(**_: Any) -> Component:
    formats = [{"value": "yaml", "label": "YAML"}, {"value": "csv", "label": "CSV"}]
    columns = [
        _grid.column("name", "Node", cell="Two", flex=3, least=220),
        _grid.column("field", "Field", cell="Plain", least=96, width=110),
        _grid.column("before", "Before", cell="Plain", flex=2, least=120),
        _grid.column("after", "After", cell="Plain", flex=2, least=120),
        _grid.column("kept", "What happens", cell="State", flex=2, least=200),
        _grid.column("line", "Line", cell="Plain", least=70, width=76),
    ]
    return _admin.frame(
        "Assign by file",
        [
            "Each entry selects nodes (kind, system, type, environment, tag by word; namespace and name by pattern) and "
            "sets owner, SLA, tags or criticality. Later entries win. What was set by hand stays as it is."
        ],
        [
            html.Div(
                [
                    html.Div(
                        [
                            dmc.SegmentedControl(id="import-format", data=formats, value="yaml", size="xs"),
                            dcc.Upload(
                                html.Button([ic("file-type-csv"), "Choose a file"], className="btn small"),
                                id="import-upload",
                                max_size=assign.MAX_BYTES,
                                accept=".yaml,.yml,.csv,text/csv",
                                className="upload",
                            ),
                            html.Span(id="import-file", className="muted trunc"),
                        ],
                        className="list-tools",
                    ),
                    dmc.Textarea(
                        id="import-text",
                        autosize=True,
                        minRows=7,
                        maxRows=14,
                        placeholder=_EXAMPLE["yaml"],
                        className="mono-field",
                        **{"aria-label": "The file's text"},
                    ),
                    html.Div(
                        [
                            html.Button("Preview", id="import-preview", className="btn small primary"),
                            html.Button("Apply", id="import-apply", className="btn small", disabled=True),
                            html.Span(id="import-said", role="status"),
                        ],
                        className="list-tools",
                    ),
                ],
                className="try import form",
            ),
            html.Div(
                [
                    html.Div(id="import-busy", className="busy"),
                    dag.AgGrid(
                        id="import-grid",
                        rowData=[],
                        columnDefs=columns,
                        defaultColDef={
                            "resizable": True,
                            "suppressMovable": True,
                            "sortable": False,
                            "cellDataType": False,
                        },
                        getRowId="params.data.id",
                        dashGridOptions={
                            "rowHeight": 44,
                            "headerHeight": 36,
                            "ensureDomOrder": True,
                            "animateRows": False,
                            "suppressNoRowsOverlay": True,
                        },
                        className="grid",
                        style={"height": "100%", "width": "100%"},
                    ),
                    html.Div(_start(), id="import-note", className="grid-note"),
                ],
                className="grid-place",
                role="region",
                **{"aria-label": "What the file would change"},
            ),
            dcc.Store(id="import-seen"),
        ],
    )


def _start() -> Component:
    return _grid.empty(
        "Nothing is changed before you have seen it",
        "Choose a file or paste its text, then preview: every node and field, before and after.",
        "file-type-csv",
    )


@callback(
    Output("import-text", "value"),
    Output("import-format", "value"),
    Output("import-file", "children"),
    Input("import-upload", "contents"),
    State("import-upload", "filename"),
    prevent_initial_call=True,
)
@auth.requires("admin")
def uploaded(contents: str | None, name: str | None) -> Any:
    """The file's text into the field, so that it can be looked at and changed."""
    if not contents:
        return no_update, no_update, no_update
    try:
        raw = base64.b64decode(contents.partition(",")[2], validate=True)
        text = raw.decode("utf-8-sig")
    except (binascii.Error, UnicodeDecodeError):
        said = html.Span([glyph("failed"), "The file is not UTF-8 text"], className="st c-failed")
        return no_update, no_update, said
    return text, "csv" if (name or "").lower().endswith(".csv") else "yaml", name or ""


@callback(
    Output("import-grid", "rowData"),
    Output("import-note", "children"),
    Output("import-said", "children"),
    Output("import-apply", "disabled"),
    Output("import-seen", "data"),
    Output("import-text", "error"),
    Input("import-preview", "n_clicks"),
    Input("import-apply", "n_clicks"),
    Input("import-text", "value"),
    Input("import-format", "value"),
    State("import-file", "children"),
    State("import-seen", "data"),
    running=[(Output("import-busy", "className"), "busy on", "busy")],
    prevent_initial_call=True,
)
@auth.requires("admin")
def preview(_: Any, __: Any, text: str | None, format_: str, file: Any, seen: dict[str, Any] | None) -> Any:
    """What the file would change; once that was seen, the change. Another text must be previewed first."""
    if ctx.triggered_id in ("import-text", "import-format"):
        if seen is None:
            return no_update, no_update, no_update, no_update, no_update, None
        return [], _start(), "", True, None, None
    name = file if isinstance(file, str) else ""
    try:
        if not (text or "").strip():
            raise Invalid("the file is empty", field="text", hint="choose one, or paste its text")
        with _deps.dlv().record.tx() as conn:
            if ctx.triggered_id == "import-apply":
                if seen != {"text": text, "format": format_}:
                    raise Invalid("preview this text first", field="text")
                said = assign.apply(conn, auth.actor(), text or "", format_, name)
            else:
                said = assign.preview(conn, text or "", format_)
    except DlvError as e:
        hint = f" {_forms.sentence(e.hint)}" if e.hint else ""
        return [], _start(), "", True, None, _forms.sentence(e.message) + hint
    rows = [_cells(c) for c in said["changes"][:SHOWN]]
    if ctx.triggered_id == "import-apply":
        line = html.Span([glyph("ok"), summary(said, done=True)], className="st c-ok")
        return (
            [],
            _grid.empty("It is done", "Each node's change is in the audit.", "circle-check"),
            line,
            True,
            None,
            None,
        )
    none = _grid.empty(
        "The file changes nothing",
        "All that it selects is so already, or it selects nothing.",
        "circle-check",
    )
    writes = any(not c["manual"] for c in said["changes"])
    return (
        rows,
        None if rows else none,
        _matched(said),
        not writes,
        {"text": text, "format": format_} if writes else None,
        None,
    )


def summary(said: dict[str, Any], *, done: bool) -> str:
    """What changes and what is held back, in numbers."""
    changed = [c for c in said["changes"] if not c["manual"]]
    held = len(said["changes"]) - len(changed)
    many = words.many(len({c["node"] for c in changed}), "node")
    text = f"{many} changed" if done else f"{words.many(len(changed), 'change')} on {many}"
    return text + (f", {held:,} held back by what was set by hand" if held else "")


def _matched(said: dict[str, Any]) -> list[Any]:
    empty = [str(e["line"]) for e in said["entries"] if not e["matched"]]
    out: list[Any] = [html.B(summary(said, done=False))]
    if len(said["changes"]) > SHOWN:
        out.append(f"; the first {SHOWN:,} are listed")
    if empty:
        lines = ", ".join(empty[:8]) + (" …" if len(empty) > 8 else "")
        out.append(html.Span([" ", glyph("warn"), f"selects nothing: line {lines}"], className="st c-warn"))
    return out


def _cells(c: dict[str, Any]) -> dict[str, Any]:
    what = {"state": "ok", "word": "Is written"}
    if c["manual"]:
        what = {"state": "warn", "word": "Stays: was set by hand"}
    return {
        "id": f"{c['node']}/{c['field']}",
        "name": {"a": c["name"], "b": c["namespace"]},
        "field": c["field"].upper() if c["field"] == "sla" else c["field"],
        "before": _forms.told(c["before"]),
        "after": _forms.told(c["after"]),
        "kept": what,
        "line": c["line"],
    }


clientside_callback(
    ClientsideFunction("dlv", "name_upload"),
    Output("import-upload", "className"),
    Input("import-upload", "id"),
)
