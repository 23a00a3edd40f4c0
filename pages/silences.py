"""Silences and maintenance windows: when nobody is told, of what, and why. Responders make and end them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

import auth
from answers import nodes
from errors import Invalid
from pages import _admin, _covers, _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened, Said
from store import lists
from store import silences as store

dash.register_page(__name__, path="/silences", title="Silences · DLV")

NAME, FORM = "silences", "silence"
_STATES = [
    {"value": "active", "label": "Holds now"},
    {"value": "upcoming", "label": "To come"},
    {"value": "over", "label": "Over"},
]
_KINDS = [
    {"value": "silence", "label": "Silence: nobody is told for a while"},
    {"value": "maintenance", "label": "Maintenance: planned, and kept out of uptime"},
]
_REPEATS = [
    {"value": "", "label": "Once"},
    {"value": "daily", "label": "Every day"},
    {"value": "weekly", "label": "Every week"},
]
_LENGTHS = {
    "30": "30 minutes",
    "60": "1 hour",
    "120": "2 hours",
    "240": "4 hours",
    "480": "8 hours",
    "1440": "1 day",
    "4320": "3 days",
    "10080": "1 week",
}
_ABOUT = [
    {"value": "some", "label": "What is named below"},
    {"value": "all", "label": "Everything"},
]


# ---------------------------------------------------------------- the form


def _body(now: Mapping[str, Any]) -> list[Any]:
    def picker(name: str, label: str, value: str | None, **more: Any) -> Component:
        return dmc.DateTimePicker(
            id={"form": FORM, "field": name}, label=label, value=value, clearable=True, size="sm",
            valueFormat="D MMM YYYY, HH:mm", popoverProps={"shadow": "md"}, **more,
        )  # fmt: skip

    lengths = [{"value": k, "label": v} for k, v in _LENGTHS.items()]
    return [
        _forms.pair(
            _forms.choice(FORM, "kind", "Kind", _KINDS, now["kind"], allowDeselect=False),
            _forms.choice(FORM, "about", "Of", _ABOUT, now["about"], allowDeselect=False),
        ),
        *_covers.body(FORM, now, "None"),
        _forms.several(
            FORM, "producers", "Producers that send nothing", _producers(), now["producers"], searchable=True,
            clearable=True, placeholder="" if now["producers"] else "None",
        ),
        _forms.text(
            FORM, "reason", "Why", now["reason"], withAsterisk=True, placeholder="Migration of the warehouse, DATA-1234"
        ),
        _forms.pair(
            picker("starts_at", "From (UTC)", now["starts_at"], placeholder="Now"),
            _forms.choice(FORM, "length", "For", lengths, now["length"], clearable=True, placeholder="See below"),
        ),
        _forms.pair(
            picker("ends_at", "Or until (UTC)", now["ends_at"], placeholder="As long as said above"),
            _forms.choice(FORM, "repeats", "Again", _REPEATS, now["repeats"], allowDeselect=False),
        ),
        html.P(
            "Incidents are opened all the same. Who is still open at the end is told of then.", className="muted"
        ),
    ]  # fmt: skip


def _values(row: Mapping[str, Any] | None) -> dict[str, Any]:
    if row is None:
        return {
            "kind": "silence", "about": "some", "nodes": [], "tags": [], "teams": [], "producers": [], "reason": "",
            "starts_at": None, "length": "60", "ends_at": None, "repeats": "",
        }  # fmt: skip
    some = row["nodes"] or row["tags"] or row["teams"] or row["producers"]
    return {
        "kind": row["kind"],
        "about": "some" if some else "all",
        "producers": [str(p) for p in row["producers"]],
        "reason": row["reason"],
        "starts_at": _shown(row["starts_at"]),
        "length": None,
        "ends_at": _shown(row["ends_at"]),
        "repeats": row["repeats"],
    } | _covers.values(row)


def _producers() -> list[dict[str, str]]:
    with _deps.dlv().record.tx() as conn:
        return [{"value": str(k), "label": v} for k, v in lists.producer_names(conn).items()]


def _shown(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _when(value: str | None, field: str) -> datetime | None:
    """A time as the picker gives it, in UTC; None where it is empty."""
    if not value:
        return None
    try:
        at = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise Invalid(f"{str(value)[:40]!r} is no time", field=field, hint="e.g. 2026-11-27 14:00") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def read(said: Mapping[str, Any], was: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a form says as the store takes it. A length counts from the beginning, or from now."""
    out: dict[str, Any] = {k: said.get(k) or "" for k in ("kind", "reason", "repeats")}
    covers = _covers.read({k: said.get(k) for k in _covers.FIELDS})
    covers["producers"] = list(said.get("producers") or [])
    named = any(covers.values())
    if said.get("about") == "all":
        if named:
            raise Invalid("everything is more than what is named", field="about", hint="take the names away")
        covers = {k: [] for k in covers}
    elif not named:
        raise Invalid("name a node, a tag, a team or a producer", field="nodes", hint="or choose Everything")
    starts = _when(said.get("starts_at"), "starts_at")
    if starts:
        out["starts_at"] = starts
    begins = starts or (was["starts_at"] if was else datetime.now(UTC))
    ends = _when(said.get("ends_at"), "ends_at")
    if said.get("length"):
        if ends and (was is None or ends != was["ends_at"]):
            raise Invalid("it has two ends", field="length", hint="clear one of For and Until")
        ends = max(begins, datetime.now(UTC)) + timedelta(minutes=int(said["length"]))
    if ends is None:
        raise Invalid("say for how long", field="length")
    return out | covers | {"ends_at": ends}


def open_new(node: str | None, _: Mapping[str, int]) -> Opened:
    """A new one; with a node's id, of that node."""
    now = _values(None)
    if node:
        now["nodes"] = [str(nodes.resolve(_deps.dlv(), node))]
    return Opened(_body(now), {})


def create(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        made = store.create(conn, auth.actor(), read(said.values))
    return Done(f"Quiet until {words.stamp(made['ends_at'].isoformat())}")


def _silence(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return store.get(conn, nodes.uuid_of(id_ or ""))


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _silence(id_)
    now = _values(row)
    return Opened(_body(now), now, row["version"], "Edit")


def edit(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    was = _silence(said.id)
    with _deps.dlv().record.tx() as conn:
        row = store.edit(conn, auth.actor(), was["id"], read(said.values, was), said.version)
    return Done(f"Quiet until {words.stamp(row['ends_at'].isoformat())}")


def open_end(id_: str | None, _: Mapping[str, int]) -> Opened:
    row = _silence(id_)
    text = "People are told at once of what it kept back and is still open."
    return Opened([_forms.statement(html.B(row["reason"]), text)], {}, row["version"], "End it now?")


def end(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        store.end(conn, auth.actor(), nodes.uuid_of(said.id or ""), said.version)
    return Done("It is over")


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("New silence", open_new, create, "Begin"),
        "edit": _forms.Action("Edit", open_edit, edit),
        "end": _forms.Action("End", open_end, end, "End now", danger=True),
    },
    grid=NAME,
    role="responder",
    starts=True,
    size=720,
)
_covers.wire(FORM, "responder")


# ---------------------------------------------------------------- the page


def layout(node: str = "", **params: Any) -> Component:
    asked = _grid.asked(params, ("q", "kind", "state"))
    may = _deps.can("responder")
    columns = [
        _grid.column("what", "Of", cell="Tags", flex=3, least=170),
        _grid.column("reason", "Why", cell="Two", flex=3, least=150),
        _grid.column("state", "State", cell="State", least=110, width=128),
        _grid.column("starts_at", "When", cell="Two", sort=True, flex=2, least=220),
    ]
    if may:
        columns.append(
            _grid.acts(
                FORM,
                {"mode": "edit", "label": "Edit", "icon": "pencil", "when": "lasts"},
                {"mode": "end", "label": "End now", "icon": "x", "when": "lasts"},
                width=100,
            )
        )
    return _admin.frame(
        "Silences",
        "When nobody is told, and of what. A root cause that is covered keeps its whole incident quiet; it is opened and marked all the same.",
        [
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Why, who or tag"),
                    _grid.pick_filter(NAME, asked, "state", "State", _STATES),
                ],
                asked,
                label="Silences",
                row=48,
            ),
            *DIALOG.place({"mode": "new", "id": node} if node and may else None),
        ],
        [_forms.opener(FORM, "new", "New silence", "plus", primary=True)] if may else [],
    )


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    wanted = {"state": ["active", "upcoming"]} | filters
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, NAME, wanted,
            sort=sort, descending=descending if sort else True, limit=limit, offset=offset,
        )  # fmt: skip
        teams, sending = lists.team_names(conn), lists.producer_names(conn)
    names = _covers.names_of(found)
    return [_cells(s, teams, names, sending) for s in found], total


def _cells(
    s: Mapping[str, Any], teams: Mapping[str, str], names: Mapping[str, str], sending: Mapping[int, str]
) -> dict[str, Any]:
    looks = {"active": ("warn", "Holds now"), "upcoming": ("unknown", "To come"), "over": ("ok", "Over")}
    state, word = looks[s["state"]]
    ended = s["ended_at"] or s["ends_at"]
    again = {"daily": ", every day", "weekly": ", every week"}.get(s["repeats"], "")
    kind = "maintenance" if s["kind"] == "maintenance" else "silence"
    return {
        "id": str(s["id"]),
        "name": s["reason"],
        "what": [*_covers.said(s, teams, names), *(f"producer {sending[p]}" for p in s["producers"])]
        or ["Everything"],
        "reason": {"a": s["reason"], "b": f"{kind} by {s['created_by']}"},
        "state": {"state": state, "word": word},
        "starts_at": {
            "a": f"until {words.stamp(ended.isoformat())}",
            "b": f"from {words.stamp(s['starts_at'].isoformat())}{again}",
        },
        "lasts": s["state"] != "over",
    }


def nothing(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No silence matches", "Take a filter away.", "search")
    return _grid.empty(
        "Nothing is silenced",
        "A silence keeps people from being told of something for a while; a maintenance window does so as planned.",
        "bell-off",
        *(
            [_forms.opener(FORM, "new", "New silence", "plus", primary=True)]
            if _deps.can("responder")
            else []
        ),
    )


_grid.answer(NAME, rows, lambda n: words.many(n, "silence"), nothing, None)
