"""Edges in forms: draw one by hand, retire one, bring it back. What events prove is shown beside what people drew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash
from dash import html
from dash.development.base_component import Component

import auth
from answers import edges, nodes
from errors import Invalid
from pages import _admin, _deps, _forms, _grid, _icons, _node_forms
from pages import _words as words
from pages._forms import Done, Opened, Said
from store import annotations as notes
from store import edges as store
from store import lists

dash.register_page(__name__, path="/admin/edges", title="Edges · DLV")

NAME, FORM = "edges", "edge"
_STATES = [{"value": "holds", "label": "Holds"}, {"value": "ended", "label": "Ended"}]
_PROVENANCE = ("openlineage", "dbt", "sql", "scan", "manual")


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    body = [
        _node_forms.picker("source", "From", [], None, FORM),
        _node_forms.picker("target", "To", [], None, FORM),
        _forms.statement(
            "Data flows from left to right: a job reads a dataset, or writes one. Between two datasets a stand-in job is "
            "drawn, which gives way as soon as events show the real one."
        ),
        _forms.area(FORM, "note", "Note", "", placeholder="Why it is drawn by hand"),
    ]
    return Opened(body, {})


def create(said: Said) -> Done:
    dlv = _deps.dlv()
    for field in ("source", "target"):
        if not said.values.get(field):
            raise Invalid("choose a node", field=field, hint="type a part of its name")
    source, target = (nodes.resolve(dlv, said.values[f], f) for f in ("source", "target"))
    note = str(said.values.get("note") or "").strip()
    with dlv.record.tx() as conn:
        edge = store.create(conn, auth.actor(), source, target)
        if note:
            notes.write(conn, auth.actor(), "edge", edge["id"], note)
    return Done(f"{edge['source_name']} → {edge['target_name']} is drawn")


def _ends(e: Mapping[str, Any]) -> Component:
    return html.P([html.B(e["source_name"]), " → ", html.B(e["target_name"])])


def open_retire(id_: str | None, _: Mapping[str, int]) -> Opened:
    e = edges.get(_deps.dlv(), id_ or "")
    text = "It ends now and leaves the map; from when to when it held stays known. A later event that shows it again opens it again."
    return Opened([_forms.statement(_ends(e), text)], {}, e["version"], "Retire this edge?")


def open_back(id_: str | None, _: Mapping[str, int]) -> Opened:
    e = edges.get(_deps.dlv(), id_ or "")
    return Opened(
        [_forms.statement(_ends(e), "The newest retirement is taken back, as if it had held all the time.")],
        {},
        e["version"],
        "Bring this edge back?",
    )


def retire(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        e = store.retire(conn, auth.actor(), nodes.uuid_of(said.id or ""), said.version)
    return Done(f"{e['source_name']} → {e['target_name']} is retired")


def bring_back(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        e = store.unretire(conn, auth.actor(), nodes.uuid_of(said.id or ""), said.version)
    if not e["holds"]:
        raise Invalid(
            "this edge was not retired by hand", hint="it ended because its dataset was dropped; draw it anew"
        )
    return Done(f"{e['source_name']} → {e['target_name']} is back")


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("Draw an edge", open_new, create, "Draw"),
        "retire": _forms.Action("Retire", open_retire, retire, "Retire", danger=True),
        "unretire": _forms.Action("Bring back", open_back, bring_back, "Bring back"),
    },
    grid=NAME,
    size=560,
)


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, ("q", "state", "provenance", "node"))
    if not params.get("state"):
        asked["state"] = ["holds"]

    def end(side: str) -> dict[str, str]:
        return {"id": side, "sub": f"{side}_what", "mark": f"{side}_mark", "system": f"{side}_system"}

    columns = [
        _grid.column("source_name", "From", cell="NodeCell", sort=True, flex=3, least=210, colId="source", cellRendererParams=end("source")),
        _grid.column("target_name", "To", cell="NodeCell", sort=True, flex=3, least=210, colId="target", cellRendererParams=end("target")),
        _grid.column("provenance", "Known from", cell="Tags", flex=2, least=140),
        _grid.column("state", "State", cell="State", least=100, width=116),
        _grid.column("last_seen", "Last seen", cell="When", sort=True, least=96, flex=1),
        _grid.column("first_seen", "First seen", cell="When", least=96, flex=1),
        _grid.acts(
            FORM,
            {"mode": "retire", "label": "Retire", "icon": "eye-off", "when": "here"},
            {"mode": "unretire", "label": "Bring back", "icon": "refresh", "when": "ended"},
            width=84,
        ),
    ]  # fmt: skip
    return _admin.frame(
        "Edges",
        "What reads and writes what. Events draw most of them; draw by hand what no event shows.",
        [
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Name at either end"),
                    _grid.pick_filter(NAME, asked, "state", "State", _STATES, 140),
                    _grid.pick_filter(NAME, asked, "provenance", "Known from", _PROVENANCE),
                ],
                asked,
                label="Edges",
            ),
            *DIALOG.place(),
        ],
        [_forms.opener(FORM, "new", "Draw an edge", "plus", primary=True)],
    )


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    wanted = dict(filters)
    if wanted.get("node"):
        wanted["node"] = [str(nodes.uuid_of(n, "node")) for n in wanted["node"]]
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "edges", wanted, sort=sort, descending=descending, limit=limit, offset=offset
        )
    return [_cells(e) for e in found], total


def _cells(e: Mapping[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": str(e["id"]),
        "name": f"{e['source_name']} → {e['target_name']}",
        "provenance": ["drawn by hand" if p == "manual" else p for p in e["provenance"] or []],
        "state": {"state": "ok", "word": "Holds"} if e["holds"] else {"state": "unknown", "word": "Ended"},
        "last_seen": _grid.at(e["last_seen"]),
        "first_seen": _grid.at(e["first_seen"]),
        "here": e["holds"],
        "ended": not e["holds"],
    }
    for side in ("source", "target"):
        kind = {"system": e[f"{side}_system"], "kind": e[f"{side}_kind"], "type": e[f"{side}_type"]}
        out |= {
            side: str(e[side]),
            f"{side}_name": e[f"{side}_name"],
            f"{side}_what": words.kind(kind),
            f"{side}_system": kind["system"],
            f"{side}_mark": _icons.mark_of(kind["system"], kind["kind"], kind["type"]),
        }
    return out


def nothing(filters: dict[str, Any]) -> Any:
    if filters.keys() - {"state"}:
        return _grid.empty("No edge matches", "Take a filter away.", "search")
    return _grid.empty(
        "No edge yet",
        "Events draw edges as jobs read and write; by hand they are drawn here.",
        "vector",
        _forms.opener(FORM, "new", "Draw an edge", "plus", primary=True),
    )


_grid.answer(NAME, rows, lambda n: words.many(n, "edge"), nothing, "admin")
_node_forms.wire_picker(FORM, "source")
_node_forms.wire_picker(FORM, "target")
