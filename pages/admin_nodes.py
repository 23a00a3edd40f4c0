"""Nodes in forms: create, edit, retire, merge, split, and the same edit of many. What is set here outranks events."""

from __future__ import annotations

from typing import Any

import dash
from dash import dcc
from dash.development.base_component import Component

from pages import _admin, _canvas, _forms, _grid, _node_forms
from pages import _words as words
from pages._icons import ic

dash.register_page(__name__, path="/admin/nodes", title="Nodes · DLV")

NAME = "nodes"
DIALOG = _forms.Dialog(
    _node_forms.FORM,
    {
        "new": _forms.Action("New node", _node_forms.open_new, _node_forms.create, "Create"),
        "edit": _forms.Action("Edit", _node_forms.open_edit, _node_forms.edit, tell=_node_forms.tell),
        "retire": _forms.Action("Retire", _node_forms.open_retire, _node_forms.retire, "Retire", danger=True),
        "unretire": _forms.Action(
            "Bring back", _node_forms.open_unretire, _node_forms.unretire, "Bring back"
        ),
        "merge": _forms.Action("Merge", _node_forms.open_merge, _node_forms.merge, "Merge"),
        "split": _forms.Action("Split", _node_forms.open_split, _node_forms.split, "Split"),
        "bulk": _forms.Action("Edit many", _node_forms.open_bulk, _node_forms.many, "Save all"),
        "matching": _forms.Action(
            "Edit all that match",
            _node_forms.open_matching,
            _node_forms.many,
            "Save all",
            matching=_node_forms.matching,
        ),
    },
    grid=NAME,
    starts=True,
)
_HIDDEN = ("environment",)


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, _grid.NODE_FILTERS)
    first = {"mode": "edit", "id": str(params["edit"])} if params.get("edit") else None
    columns = [c for c in _grid.NODE_COLUMNS if c["field"] not in _HIDDEN]
    buttons = _grid.acts(
        _node_forms.FORM,
        {"mode": "edit", "label": "Edit", "icon": "pencil"},
        {"mode": "merge", "label": "Merge", "icon": "arrows-right-left", "when": "here"},
        {"mode": "split", "label": "Split", "icon": "share-2", "when": "several"},
        {"mode": "retire", "label": "Retire", "icon": "eye-off", "when": "here"},
        {"mode": "unretire", "label": "Bring back", "icon": "refresh", "when": "retired"},
        width=148,
    )
    return _admin.frame(
        "Nodes",
        "Owner, SLA, tags and criticality set here outrank files, patterns and events. Every change is in the audit.",
        [
            *_grid.place(
                NAME,
                [*columns, buttons],
                _grid.node_filters(NAME, asked, retired=True),
                asked,
                label="Nodes to manage",
                select=True,
                actions=[
                    _forms.opener(_node_forms.FORM, "bulk", "Edit selected", "pencil"),
                    _forms.opener(_node_forms.FORM, "matching", "Edit all that match", "filter"),
                    _forms.opener(_node_forms.FORM, "merge", "Merge two", "arrows-right-left"),
                ],
            ),
            *DIALOG.place(first),
        ],
        [
            dcc.Link([ic("file-type-csv"), "From a file"], href="/admin/import", className="btn small"),
            _forms.opener(_node_forms.FORM, "new", "New node", "plus", primary=True),
        ],
    )


def nothing(filters: dict[str, Any]) -> Any:
    if not filters:
        return _canvas.nothing_yet()
    return _grid.empty("No node matches", "Take a filter away, or search for a part of the name.", "search")


_grid.answer(NAME, _grid.node_rows, lambda n: words.many(n, "node"), nothing, "admin")
_grid.node_options(NAME)
_node_forms.wire_picker(_node_forms.FORM, "other")
