"""Naming rules: how names are read. A box tries a name under the rules as they are, and a button applies them to what
is on record already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.development.base_component import Component

import auth
from answers import nodes
from errors import DlvError, Invalid
from ingest import byhand
from pages import _admin, _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened, Said
from pages._icons import glyph, ic
from store import lists, rule_jobs
from store import rules as store

dash.register_page(__name__, path="/admin/rules", title="Naming rules · DLV")

NAME, FORM = "rules", "rule"
#: kind: (name, what it does, what the pattern is, what the value is, an example of both)
KINDS = {
    "host_alias": (
        "Host alias", "Two names of one host are one host.", "Host or host:port, as it is sent",
        "The true host or host:port", ("10.0.0.7:5432", "warehouse.shop.example:5432"),
    ),
    "default_schema": (
        "Default schema", "Completes names that were sent without a schema.", "A glob over the namespace (* is any text)",
        "schema, or database.schema", ("postgres://warehouse*", "shop.public"),
    ),
    "ignore": (
        "Ignore", "Keeps throw-away names off the map.", "A regular expression over namespace/name", "",
        (r"/pr_\d+_", ""),
    ),
    "environment": (
        "Environment", "Says which environment a namespace is of.", "A regular expression over the namespace",
        "The environment's name", (r"-staging\b", "staging"),
    ),
    "partition": (
        "Partition", "Folds the parts of one dataset into it.", "A regular expression over namespace/name",
        "What replaces the match; empty takes it away", (r"/region=[^/]+", ""),
    ),
}  # fmt: skip


# ---------------------------------------------------------------- the form


def _producers() -> list[dict[str, str]]:
    with _deps.dlv().record.tx() as conn:
        rows, _ = lists.page(conn, "producers", {}, limit=1000)
    return [{"value": str(p["id"]), "label": p["name"]} for p in rows]


def _body(now: Mapping[str, Any]) -> list[Any]:
    kinds = [{"value": k, "label": v[0]} for k, v in KINDS.items()]
    return [
        _forms.choice(FORM, "kind", "Kind", kinds, now["kind"], allowDeselect=False),
        html.Div(id="rule-help", className="rule-help"),
        _forms.text(FORM, "pattern", "Pattern", now["pattern"], className="mono-field", withAsterisk=True),
        _forms.text(FORM, "value", "Value", now["value"], className="mono-field"),
        _forms.choice(
            FORM, "producer_id", "Only for what this producer sends", _producers(), now["producer_id"],
            clearable=True, searchable=True, placeholder="Every producer",
        ),
    ]  # fmt: skip


@callback(Output("rule-help", "children"), Input({"form": FORM, "field": "kind"}, "value"))
@auth.requires("admin")
def explain(kind: str | None) -> Any:
    """What a rule of this kind is and an example, beside the choice."""
    if kind not in KINDS:
        return None
    _, does, pattern, value, example = KINDS[kind]
    lines = [html.P(does), html.P([html.B("Pattern: "), pattern, ", such as ", html.Code(example[0])])]
    if value:
        said = [html.B("Value: "), value]
        lines.append(html.P([*said, ", such as ", html.Code(example[1])] if example[1] else said))
    return lines


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    return Opened(_body({"kind": "host_alias", "pattern": "", "value": "", "producer_id": None}), {})


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    rule = _rule(id_)
    now = {k: rule[k] for k in ("kind", "pattern", "value")}
    now["producer_id"] = str(rule["producer_id"]) if rule["producer_id"] else None
    return Opened(_body(now), now, rule["version"])


def _rule(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return store.get(conn, _number(id_))


def _number(id_: str | None) -> int:
    try:
        return int(id_ or "")
    except ValueError:
        raise Invalid("no naming rule has this id", field="id") from None


def _read(said: Mapping[str, Any]) -> dict[str, Any]:
    out = {k: v or "" for k, v in said.items() if k in ("kind", "pattern", "value")}
    if "producer_id" in said:
        out["producer_id"] = int(said["producer_id"]) if said["producer_id"] else None
    return out


LATER = "It applies to events from now on; “Apply to all” reads again what is on record."


def create(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.create(conn, auth.actor(), _read(said.values))
    return Done(f"The rule is saved. {LATER}")


def edit(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.edit(conn, auth.actor(), _number(said.id), _read(said.changed), said.version)
    return Done(f"The rule is saved. {LATER}")


def open_delete(id_: str | None, _: Mapping[str, int]) -> Opened:
    rule = _rule(id_)
    said = html.P([KINDS[rule["kind"]][0], ": ", html.Code(rule["pattern"])])
    return Opened(
        [_forms.statement(said, "Names sent from now on are read without it.")], {}, rule["version"]
    )


def delete(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.delete(conn, auth.actor(), _number(said.id), said.version)
    return Done(f"The rule is gone. {LATER}")


# ---------------------------------------------------------------- apply to all


def open_refold(_: str | None, __: Mapping[str, int]) -> Opened:
    with _deps.dlv().record.tx() as conn:
        names, events = lists.kept(conn)
    text = [
        f"Every name on record ({names:,}) is read again by the rules as they are now, and moves with its edges, "
        "runs, fields and notes to what it is read as. Names that a rule ignores leave the map.",
        f"Then the stored events ({events:,}) are queued and folded once more by the workers, beside new ones.",
        "Nothing sent is lost, merges and splits by hand stay, and changing the rules back and applying again undoes it. "
        "While it runs, other changes to the same nodes wait.",
    ]
    return Opened([_forms.statement(*text)], {}, None, "Apply the rules to everything on record?")


def run_refold(_: Said) -> Done:
    """Ask for it; a worker does it, whatever becomes of this browser and this process."""
    with _deps.dlv().record.tx() as conn:
        rule_jobs.ask(conn, auth.actor())
    return Done("The rules are being applied; how far it is stands above the list")


@callback(
    Output("rules-applied", "children"),
    Output("rules-applied", "className"),
    Output("rules-tick", "disabled"),
    Input("rules-tick", "n_intervals"),
    Input(f"{NAME}-fresh", "data"),
)
@auth.requires("admin")
def applied(_: object, __: object) -> tuple[Any, str, bool]:
    """How far the newest application of the rules is; looked at again while it runs."""
    with _deps.dlv().record.tx() as conn:
        job = rule_jobs.newest(conn)
    if job is None:
        return None, "", True
    asked = f"{job['asked_by']}, {words.ago(job['asked_at'].isoformat())}"
    if job["ended_at"] is None:
        far = (
            f"{job['done']:,} of {words.many(job['total'], 'name')}" if job["total"] else "reading the names"
        )
        line = f"Applying the rules to everything on record: {far if job['started_at'] else 'waiting for a worker'}"
        return [glyph("running"), f"{line} ({asked})"], "applied c-running", False
    if job["error"]:
        return (
            [glyph("failed"), f"Applying the rules failed: {job['error']} ({asked})"],
            "applied c-failed",
            True,
        )
    r = job["result"]
    moved, gone = words.many(r["moved"], "name"), words.many(r["removed"], "name")
    line = f"Last applied to everything: {moved} moved, {gone} removed, {words.many(r['queued'], 'event')} folded again"
    return [glyph("ok"), f"{line} ({asked})"], "applied c-ok", True


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("New naming rule", open_new, create, "Create"),
        "edit": _forms.Action("Edit rule", open_edit, edit),
        "delete": _forms.Action("Delete this rule?", open_delete, delete, "Delete", danger=True),
        "refold": _forms.Action("Apply", open_refold, run_refold, "Apply to all"),
    },
    grid=NAME,
)


# ---------------------------------------------------------------- try a name


def _try_box() -> Component:
    types = [{"value": "dataset", "label": "Dataset"}, {"value": "job", "label": "Job"}]
    return html.Section(
        [
            html.H2("Try a name"),
            html.Div(
                [
                    dmc.Select(id="try-type", data=types, value="dataset", allowDeselect=False, size="xs", style={"width": 110}, **{"aria-label": "Type"}),
                    dmc.TextInput(id="try-namespace", placeholder="Namespace, as it is sent", size="xs", debounce=250, className="mono-field wide", **{"aria-label": "Namespace"}),
                    dmc.TextInput(id="try-name", placeholder="Name, as it is sent", size="xs", debounce=250, className="mono-field wide", **{"aria-label": "Name"}),
                    dmc.TextInput(id="try-producer", placeholder="Producer", size="xs", debounce=250, style={"width": 130}, **{"aria-label": "Producer"}),
                ],
                className="try-line",
            ),
            html.Div("It is shown here what a name is read as, under the rules as they are.", id="try-said", className="try-said muted", role="status"),
        ],
        className="try",
    )  # fmt: skip


@callback(
    Output("try-said", "children"),
    Input("try-type", "value"),
    Input("try-namespace", "value"),
    Input("try-name", "value"),
    Input("try-producer", "value"),
    Input(f"{NAME}-fresh", "data"),
    State("try-said", "id"),
    prevent_initial_call=True,
)
@auth.requires("admin")
def try_name(
    type_: str, namespace: str | None, name: str | None, producer: str | None, _: object, __: object
) -> Any:
    """What a namespace and a name are read as."""
    if not (namespace or "").strip() or not (name or "").strip():
        return no_update
    said = {"type": type_, "namespace": namespace, "name": name, "producer": (producer or "").strip()}
    try:
        with _deps.dlv().record.read() as conn:
            read = byhand.tried(conn, said)
    except DlvError as e:
        return html.Span([glyph("failed"), _forms.sentence(e.message)], className="st c-failed")
    if read is None:
        ignored = " A rule ignores it: it is kept off the map."
        return html.Span([glyph("unknown"), ignored], className="st c-unknown")
    return _reading(read)


def _reading(read: Mapping[str, Any]) -> list[Any]:
    parts: list[tuple[str, Any]] = [
        ("Namespace", html.Code(read["namespace"])),
        ("Name", html.Code(read["name"])),
        ("Kind", words.kind({"kind": read["kind"], "type": "", "system": read["system"]})),
        ("Environment", read["environment"]),
    ]
    here: Any = html.Span("Not on the map yet", className="muted")
    if read["node_id"]:
        name = nodes.get(_deps.dlv(), read["node_id"])["name"]
        here = html.Button(name, className="link", **{"data-open": str(read["node_id"])})
    parts.append(("On the map as", here))
    out: list[Any] = [html.Dl([p for k, v in parts for p in (html.Dt(k), html.Dd(v))])]
    if read["unresolved"]:
        out.append(html.P([glyph("warn"), " ", read["unresolved"]], className="c-warn"))
    return out


# ---------------------------------------------------------------- the page


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, ("q", "kind"))
    columns = [
        _grid.column("kind", "Kind", cell="Two", sort=True, flex=2, least=200),
        _grid.column("pattern", "Pattern", cell="Mono", sort=True, flex=2, least=180),
        _grid.column("value", "Value", cell="Mono", flex=2, least=150),
        _grid.column("producer", "Producer", cell="Plain", flex=1, least=110),
        _grid.column("created_at", "Added", cell="When", least=100, flex=1),
        _grid.acts(
            FORM,
            {"mode": "edit", "label": "Edit", "icon": "pencil"},
            {"mode": "delete", "label": "Delete", "icon": "trash"},
            width=100,
        ),
    ]
    kinds = [{"value": k, "label": v[0]} for k, v in KINDS.items()]
    return _admin.frame(
        "Naming rules",
        "Names are read by what systems do anyway (case, quotes, ports, partitions); these rules say what only people "
        "know. They are tried in the order in which they were added.",
        [
            _try_box(),
            html.Div(id="rules-applied", role="status"),
            dcc.Interval(id="rules-tick", interval=2000, disabled=True),
            *_grid.place(
                NAME,
                columns,
                [_grid.words_filter(NAME, asked, "Pattern or value"), _grid.pick_filter(NAME, asked, "kind", "Kind", kinds)],
                asked,
                label="Naming rules",
            ),
            *DIALOG.place(),
        ],
        [
            html.Button([ic("refresh"), "Apply to all"], className="btn small", **{"data-ask-dialog": FORM, "data-mode": "refold"}),
            _forms.opener(FORM, "new", "New rule", "plus", primary=True),
        ],
    )  # fmt: skip


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "rules", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    out = [
        {
            "id": str(r["id"]),
            "kind": {"a": KINDS[r["kind"]][0], "b": KINDS[r["kind"]][1]},
            "pattern": r["pattern"],
            "value": r["value"],
            "producer": r["producer"] or "every",
            "created_at": _grid.at(r["created_at"]),
        }
        for r in found
    ]
    return out, total


def nothing(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No rule matches", "Take a filter away.", "search")
    kinds = html.Dl([p for v in KINDS.values() for p in (html.Dt(v[0]), html.Dd(v[1]))], className="kinds")
    return _grid.empty(
        "No rule yet", "Names are read by what their systems do. Five kinds of rule say more:", "abc", kinds
    )


_grid.answer(NAME, rows, lambda n: words.many(n, "rule"), nothing, "admin")
