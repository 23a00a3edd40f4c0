"""The audit log: who did what, when, from where, with what it was before and after; and whether its chain holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import dash
from dash import Input, Output, State, callback, ctx, dcc, html
from dash.development.base_component import Component

import auth
from errors import DlvError
from pages import _admin, _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened
from pages._icons import glyph, ic
from store import audit, lists

dash.register_page(__name__, path="/admin/audit", title="Audit · DLV")

NAME, FORM = "audit", "entry"
_FILTERS = ("q", "actor", "action", "object_type", "object_id")


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What a row changed, field by field: {field, before?, after?}; what stayed the same is left out."""
    was, now = before or {}, after or {}
    out = []
    for name in sorted(was.keys() | now.keys()):
        if name == "version" or (name in was and name in now and was[name] == now[name]):
            continue
        if was.get(name) is None and now.get(name) is None:
            continue
        one: dict[str, Any] = {"field": name}
        if name in was:
            one["before"] = was[name]
        if name in now:
            one["after"] = now[name]
        out.append(one)
    return out


def open_row(id_: str | None, _: Mapping[str, int]) -> Opened:
    seq = int(id_) if id_ and id_.isdigit() else 0
    row = next(iter(audit.page(_deps.dlv().record, {}, seq + 1, 1)), None)
    if row is None:
        return Opened([_forms.statement("There is no such entry.")])
    names = _teams()
    facts = [
        ("When", words.stamp(row["at"].isoformat())),
        ("Who", f"{row['actor_name']} ({row['actor_kind'].replace('_', ' ')})"),
        ("From", row["remote_addr"] or "this machine"),
        ("What", row["action"]),
        (
            "Object",
            [
                html.Code(f"{row['object_type']} {row['object_id']}"),
                " ",
                dcc.Link(
                    "All about it", href=f"/admin/audit?object_id={quote(row['object_id'])}", className="link"
                ),
            ],
        ),
    ]
    lines = [
        html.Tr(
            [
                html.Th(c["field"], scope="row"),
                html.Td(_value(html.Del, c, "before", names)),
                html.Td(_value(html.Ins, c, "after", names)),
            ]
        )
        for c in changes(row["before"], row["after"])
    ]
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th("Field", scope="col"), html.Th("Before", scope="col"), html.Th("After", scope="col")])),
            html.Tbody(lines),
        ],
        className="list diff-table",
    )  # fmt: skip
    body = [
        html.Dl([p for k, v in facts for p in (html.Dt(k), html.Dd(v))], className="facts-list"),
        html.Div(table, className="sheet") if lines else html.P("Nothing of its fields changed.", className="muted"),
    ]  # fmt: skip
    return Opened(body, {}, None, f"Entry {row['seq']:,}")


def _teams() -> dict[str, str]:
    """Names of the teams that entries name by id."""
    with _deps.dlv().record.tx() as conn:
        return lists.team_names(conn)


def tell(field: str, value: Any, names: Mapping[str, str]) -> str:
    """A value in words; an owner by its name."""
    return names.get(str(value), str(value)) if field == "owner" and value else _forms.told(value)


def _value(mark: Any, change: Mapping[str, Any], side: str, names: Mapping[str, str]) -> Any:
    if side not in change:
        return ""
    text = tell(change["field"], change[side], names)
    return html.Span(text, className="muted") if text == "nothing" else mark(text)


DIALOG = _forms.Dialog(FORM, {"show": _forms.Action("Entry", open_row, lambda _: Done(""), "")}, size=680)


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, _FILTERS)
    columns = [
        _grid.column("at", "When", cell="Two", sort=True, least=170, width=186),
        _grid.column("actor", "Who", cell="Two", least=120, flex=1),
        _grid.column("action", "What", cell="Plain", least=130, flex=1),
        _grid.column("object", "Object", cell="Two", least=170, flex=2),
        _grid.column("diff", "Before → after", cell="Diff", least=240, flex=4),
        _grid.acts(FORM, {"mode": "show", "label": "All of entry", "icon": "info-circle"}, width=84),
    ]
    one = asked.get("object_id")
    narrowed = [html.Span(["Only ", html.Code(one[0])], className="tag")] if one else []
    return _admin.frame(
        "Audit",
        "Every change by people and keys, sign-ins and exports. Each row is chained to the one before by a hash.",
        [
            html.Div(id="audit-verified", role="status"),
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Anything in an entry"),
                    _grid.pick_filter(NAME, asked, "actor", "Person or key", (), 160),
                    _grid.pick_filter(NAME, asked, "object_type", "Object", (), 130),
                    _grid.pick_filter(NAME, asked, "action", "Action", (), 150),
                    *narrowed,
                ],
                asked,
                label="Audit log",
                row=58,
            ),
            *DIALOG.place(),
        ],
        [html.Button([ic("link"), "Verify the chain"], id="audit-verify", className="btn small")],
    )


@callback(
    Output({"list": NAME, "filter": dash.ALL}, "data"),
    Input(f"{NAME}-filters", "id"),
    State({"list": NAME, "filter": dash.ALL}, "value"),
)
@auth.requires("admin")
def options(_: object, chosen: list[Any]) -> list[Any]:
    """Who, what and which objects occur."""
    try:
        with _deps.dlv().record.tx() as conn:
            said = lists.said_in_audit(conn)
    except DlvError:
        said = {}
    return [
        _grid.offered(said.get(o["id"]["filter"], []), v)
        for o, v in zip(ctx.outputs_list, chosen, strict=True)
    ]


@callback(
    Output("audit-verified", "children"),
    Input("audit-verify", "n_clicks"),
    running=[(Output("audit-verify", "disabled"), True, False)],
    prevent_initial_call=True,
)
@auth.requires("admin")
def verify(n: int | None) -> Any:
    """Walk the whole chain and say whether it holds."""
    if not n:
        return None
    record = _deps.dlv().record
    try:
        ok, broken = audit.verify(record)
        rows, head = audit.head(record)
    except DlvError as e:
        return html.Div([glyph("warn"), _forms.sentence(e.message)], className="notice c-warn", role="alert")
    if not ok:
        said = [html.B(f"The chain is broken at entry {broken:,}. "), "That entry, or one before it, was changed, removed or put in later. ", "Everything below it is sound."]  # fmt: skip
        return html.Div([glyph("failed"), html.Div(said)], className="notice verified c-failed", role="alert")
    said = [
        html.B(f"The chain holds over {words.many(rows, 'entry', 'entries')}. "),
        "Its head is ",
        html.Code(head),
        ". Note it elsewhere: compared later, it proves that none of the newest was cut off.",
    ]
    return html.Div([glyph("ok"), html.Div(said)], className="notice verified c-ok")


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "audit", filters, descending=sort is None or descending, limit=limit, offset=offset
        )
    names = _teams()
    return [_cells(r, names) for r in found], total


def _cells(r: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    at = r["at"].isoformat()
    return {
        "id": str(r["id"]),
        "name": f"entry {r['id']}",
        "at": {"a": words.stamp(at), "b": words.ago(at)},
        "actor": {"a": r["actor_name"], "b": r["remote_addr"] or r["actor_kind"].replace("_", " ")},
        "action": r["action"],
        "object": {"a": r["object_name"] or r["object_type"].replace("_", " "), "b": r["object_id"]},
        "diff": [
            c | {k: tell(c["field"], c[k], names) for k in ("before", "after") if k in c}
            for c in changes(r["before"], r["after"])
        ],
    }


_grid.answer(
    NAME,
    rows,
    lambda n: words.many(n, "entry", "entries"),
    lambda _: _grid.empty("No entry matches", "Take a filter away.", "search"),
    "admin",
)
