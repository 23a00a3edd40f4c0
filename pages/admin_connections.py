"""Connections: how to reach databases, Kafka, Airflow, Spark and services; tried from the form, with the step that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import dash
from dash import ALL, Input, Output, State, callback, ctx, dcc, html
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

import auth
from answers import nodes
from connections import kinds, opening
from errors import DlvError
from pages import _admin, _declared, _deps, _forms, _grid, _icons, _ladder, _trial
from pages import _words as words
from pages._forms import Done, Opened, Said
from pages._icons import ic
from store import connections as store
from store import lists

dash.register_page(__name__, path="/admin/connections", title="Connections · DLV")

NAME, FORM = "connections", "connection"
_STATES = [{"value": "active", "label": "Active"}, {"value": "retired", "label": "Retired"}]
_KINDS = [{"value": k.name, "label": k.label} for k in kinds.KINDS.values()]


# ---------------------------------------------------------------- the form


def _try(id_: str | None) -> Component:
    return html.Div(
        [
            html.Button([ic("plug"), "Test connection"], id="connection-try", className="btn small"),
            dcc.Store(id="connection-tried", data=id_),
            html.Div(id="connection-tested"),
        ],
        className="trying",
    )


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    body = [
        _forms.pair(
            _forms.choice(FORM, "kind", "Kind", _KINDS, "postgres", withAsterisk=True, allowDeselect=False, searchable=True),
            _forms.text(FORM, "name", "Name", "", withAsterisk=True, placeholder="Warehouse, production"),
        ),
        html.Div(id="connection-fields", className="form-part"),
        _try(None),
    ]  # fmt: skip
    return Opened(body, {})


@callback(Output("connection-fields", "children"), Input({"form": FORM, "field": "kind"}, "value"))
@auth.requires("admin")
def fields_of(name: str | None) -> list[Component]:
    """The fields of the kind that was chosen."""
    kind = kinds.kind(name or "")
    return [
        html.P(kind.says, className="muted kind-says"),
        *_declared.body(FORM, kind.fields, _declared.values(kind.fields, None)),
    ]


def _row(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return opening.shown(_deps.dlv().settings, store.sealed(conn, nodes.uuid_of(id_ or ""), retired=True))


def create(said: Said) -> Done:
    kind = kinds.kind(str(said.values.get("kind") or ""))
    plain, secrets = _declared.split(kind.fields, said.values)
    dlv = _deps.dlv()
    with dlv.record.tx() as conn:
        made = opening.create(
            conn,
            auth.actor(),
            dlv.settings,
            str(said.values.get("name") or ""),
            kind.name,
            _full(plain),
            secrets,
        )
    return Done(f"{made['name']} is saved")


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _row(id_)
    kind = kinds.kind(row["kind"])
    now = {"name": row["name"]} | _declared.values(kind.fields, row["fields"])
    lost = [f.label for f in kind.secret if row["secrets"].get(f.name) == "lost"]
    kept = [name for name, state in row["secrets"].items() if state == "set"]
    body = [
        _lost(lost),
        _forms.text(FORM, "name", "Name", row["name"], withAsterisk=True),
        html.Div(_declared.body(FORM, kind.fields, now, kept), className="form-part"),
        _try(id_),
    ]
    return Opened(
        [b for b in body if b is not None], now, row["version"], f"Edit {row['name']}, {kind.label}"
    )


def _lost(labels: Sequence[str]) -> Component | None:
    if not labels:
        return None
    text = (
        f"{', '.join(labels)} cannot be opened: the key it was sealed with is missing. Write it again here, or "
        "bring the key back."
    )
    return html.P([_icons.glyph("warn"), html.Span(text)], className="notice-line c-warn", role="alert")


def _full(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v not in (None, "")}


def edit(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    dlv = _deps.dlv()
    kind = kinds.kind(_row(said.id)["kind"])
    _, secrets = _declared.split(kind.fields, said.values)
    names = {f.name for f in kind.plain}
    changes: dict[str, Any] = {
        "fields": {k: None if v == "" else v for k, v in said.changed.items() if k in names},
        "secrets": secrets,
    }
    if "name" in said.changed:
        changes["name"] = said.changed["name"]
    with dlv.record.tx() as conn:
        row = opening.edit(
            conn, auth.actor(), dlv.settings, nodes.uuid_of(said.id or ""), changes, said.version
        )
    return Done(f"{row['name']} is saved")


# ---------------------------------------------------------------- trying it


@callback(
    Output("connection-tested", "children"),
    Input("connection-try", "n_clicks"),
    State("connection-tried", "data"),
    State({"form": FORM, "field": ALL}, "value"),
    running=[
        (Output("connection-try", "disabled"), True, False),
        (Output("connection-try", "className"), "btn small trying-now", "btn small"),
    ],
    prevent_initial_call=True,
)
@auth.requires("admin")
def try_it(clicks: int | None, id_: str | None, given: list[Any]) -> Component:
    """Try what the form holds, saved or not."""
    if not clicks:
        raise PreventUpdate
    dlv = _deps.dlv()
    said = {o["id"]["field"]: v for o, v in zip(ctx.states_list[1], given, strict=True)}
    try:
        kind = kinds.kind(_row(id_)["kind"] if id_ else str(said.get("kind") or ""))
        plain, secrets = _declared.split(kind.fields, said)
        done = opening.test_unsaved(
            dlv.record, auth.actor(), dlv.settings, kind.name, _full(plain), secrets,
            nodes.uuid_of(id_) if id_ else None,
        )  # fmt: skip
    except DlvError as e:
        return _trial.wrong(e)
    return _ladder.ladder(done.shown())


def open_test(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _row(id_)
    what = f"{kinds.kind(row['kind']).label} at {where(row['fields'])}"
    body = _trial.place(FORM, id_, what, "Trying, ten seconds at most")
    return Opened(body, {}, None, f"Test {row['name']}")


def try_stored(id_: UUID) -> tuple[Component, Any]:
    """Try a stored connection."""
    dlv = _deps.dlv()
    done = opening.test(dlv.record, auth.actor(), dlv.settings, id_)
    return _ladder.ladder(done.shown()), done.seconds


_trial.follow(FORM, NAME, try_stored)


# ---------------------------------------------------------------- out of use, and back


def open_retire(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _row(id_)
    with _deps.dlv().record.tx() as conn:
        n = store.checks_of(conn, row["id"])
    what = f"{words.many(n, 'check')} look through it; they will say that they could not look."
    text = "It is offered nowhere any more; its secrets stay sealed, and it can be brought back."
    return Opened(
        [_forms.statement(what if n else "No check uses it.", text)],
        {},
        row["version"],
        f"Retire {row['name']}?",
    )


def open_back(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _row(id_)
    return Opened(
        [_forms.statement("Its checks look through it again.")],
        {},
        row["version"],
        f"Bring back {row['name']}?",
    )


def _retired(said: Said, retired: bool) -> Done:
    dlv = _deps.dlv()
    with dlv.record.tx() as conn:
        row = opening.edit(
            conn,
            auth.actor(),
            dlv.settings,
            nodes.uuid_of(said.id or ""),
            {"retired": retired},
            said.version,
        )
    return Done(f"{row['name']} is retired" if retired else f"{row['name']} is back")


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("New connection", open_new, create, "Save"),
        "edit": _forms.Action("Edit", open_edit, edit),
        "test": _forms.Action("Test", open_test, lambda _: Done(""), ""),
        "retire": _forms.Action("Retire", open_retire, lambda s: _retired(s, True), "Retire", danger=True),
        "unretire": _forms.Action("Bring back", open_back, lambda s: _retired(s, False), "Bring back"),
    },
    grid=NAME,
    size=720,
)
_declared.follow(FORM)


# ---------------------------------------------------------------- the page


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, ("q", "kind", "state"))
    columns = [
        _grid.column("name", "Connection", cell="Marked", sort=True, flex=3, least=200),
        _grid.column("where", "Leads to", cell="Mono", flex=4, least=190),
        _grid.column("user", "Signs in as", cell="Plain", flex=2, least=110),
        _grid.column("checks", "Checks", cell="Plain", least=84, width=96, sort=True),
        _grid.column("last_test", "Last test", cell="State", flex=3, least=196),
        _grid.acts(
            FORM,
            {"mode": "test", "label": "Test", "icon": "plug", "when": "here"},
            {"mode": "edit", "label": "Edit", "icon": "pencil"},
            {"mode": "retire", "label": "Retire", "icon": "eye-off", "when": "here"},
            {"mode": "unretire", "label": "Bring back", "icon": "refresh", "when": "retired"},
            width=132,
        ),
    ]
    return _admin.frame(
        "Connections",
        "How DLV reaches the systems that checks look at. Secrets are sealed, and nobody reads them back, here or in the API.",
        [
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Name, host or address"),
                    _grid.pick_filter(NAME, asked, "kind", "Kind", _KINDS),
                    _grid.pick_filter(NAME, asked, "state", "State", _STATES),
                ],
                asked,
                label="Connections",
            ),
            *DIALOG.place(),
            _declared.place(FORM),
        ],
        [_forms.opener(FORM, "new", "New connection", "plus", primary=True)],
    )


def where(fields: Mapping[str, Any]) -> str:
    """What a connection leads to, on one line."""
    if fields.get("host"):
        database = f"/{fields['database']}" if fields.get("database") else ""
        return f"{fields['host']}:{fields.get('port', '')}{database}"
    named = [
        str(fields[k]) for k in ("url", "bootstrap", "path", "master_url", "history_url") if fields.get(k)
    ]
    return ", ".join(named)


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    dlv = _deps.dlv()
    with dlv.record.tx() as conn:
        found, total = lists.page(
            conn, "connections", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    return [_cells(opening.shown(dlv.settings, c)) for c in found], total


def _cells(c: Mapping[str, Any]) -> dict[str, Any]:
    kind = kinds.KINDS.get(c["kind"])
    retired = c["retired_at"] is not None
    test = c["last_test"]
    system = kind.systems[0] if kind and kind.systems else c["kind"]
    if retired:
        state = {"state": "unknown", "word": "Retired"}
    elif "lost" in c["secrets"].values():
        state = {
            "state": "warn",
            "word": "Secret lost",
            "title": "Its key is missing: write the secret again",
        }
    elif not test:
        state = {"state": "unknown", "word": "Not tested"}
    elif test["ok"]:
        state = {"state": "ok", "word": f"Works, {words.ago(test['at'])}", "title": test["message"]}
    else:
        state = {
            "state": "failed",
            "word": f"{_ladder.STEPS[test['step']]} failed, {words.ago(test['at'])}",
            "title": f"{_forms.sentence(test['message'])} {_forms.sentence(test['hint'])}",
        }
    return {
        "id": str(c["id"]),
        "name": {
            "a": c["name"],
            "b": kind.label if kind else c["kind"],
            "mark": _icons.mark_of(system, "connection", "dataset"),
            "system": system,
        },
        "where": where(c["fields"]),
        "user": c["fields"].get("username", ""),
        "checks": f"{c['checks']:,}" if c["checks"] else "",
        "last_test": state,
        "retired": retired,
        "here": not retired,
    }


def nothing(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No connection matches", "Take a filter away.", "search")
    return _grid.empty(
        "No connection yet",
        "With one, checks look at the real thing: whether it answers, how fresh its data is, what lags behind.",
        "plug-connected",
        _forms.opener(FORM, "new", "New connection", "plus", primary=True),
    )


_grid.answer(NAME, rows, lambda n: words.many(n, "connection"), nothing, "admin")
