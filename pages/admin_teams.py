"""Teams: people, channels, and what they own by pattern, with how many nodes each pattern matches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dash
from dash import Input, Output, callback, html
from dash.development.base_component import Component

import auth
from answers import nodes
from errors import DlvError, Invalid
from pages import _admin, _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened, Said
from store import lists
from store import teams as store

dash.register_page(__name__, path="/admin/teams", title="Teams · DLV")

NAME, FORM = "teams", "team"
_STATES = [{"value": "active", "label": "Active"}, {"value": "retired", "label": "Retired"}]


# ---------------------------------------------------------------- lines of a form and the record's objects


def people_lines(people: list[dict[str, str]]) -> str:
    """One a line: 'Ada Lovelace <ada@example.com>'."""
    return "\n".join(
        f"{p['name']} <{p['email']}>" if p["name"] and p["email"] else p["name"] or p["email"] for p in people
    )


def read_people(text: str) -> list[dict[str, str]]:
    out = []
    for line in _lines(text):
        named = re.fullmatch(r"(.*?)\s*<([^<>]*)>", line)
        if named:
            out.append({"name": named[1].strip(), "email": named[2].strip()})
        else:
            out.append(
                {"name": "", "email": line}
                if "@" in line and " " not in line
                else {"name": line, "email": ""}
            )
    return out


def channel_lines(channels: list[dict[str, str]]) -> str:
    """One a line: 'slack #data-oncall'."""
    return "\n".join(f"{c['kind']} {c['target']}" for c in channels)


def read_channels(text: str) -> list[dict[str, str]]:
    return [dict(zip(("kind", "target"), (*line.split(None, 1), ""), strict=False)) for line in _lines(text)]


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


# ---------------------------------------------------------------- the actions


def _body(now: Mapping[str, Any]) -> list[Any]:
    return [
        _forms.text(FORM, "name", "Name", now["name"], withAsterisk=True),
        _forms.area(FORM, "description", "Description", now["description"]),
        _forms.pair(
            _forms.area(
                FORM, "people", "People", now["people"], minRows=3,
                description="One a line: Name <address>", placeholder="Ada Lovelace <ada@example.com>",
            ),
            _forms.area(
                FORM, "channels", "Channels", now["channels"], minRows=3,
                description=f"One a line: kind and target ({', '.join(store.CHANNELS)})", placeholder="slack #data-oncall",
            ),
        ),
        _forms.area(
            FORM, "patterns", "Owns what matches", now["patterns"], minRows=3, className="mono-field", debounce=350,
            description="One pattern a line over namespace/name; * is any text, ? one character. What was set by hand or from a file outranks a pattern.",
            placeholder="postgres://warehouse*/shop.analytics.*",
        ),
        html.Div(id="team-matched", className="matched", role="status"),
    ]  # fmt: skip


def _values(team: Mapping[str, Any] | None) -> dict[str, Any]:
    if team is None:
        return {"name": "", "description": "", "people": "", "channels": "", "patterns": ""}
    return {
        "name": team["name"],
        "description": team["description"],
        "people": people_lines(team["people"]),
        "channels": channel_lines(team["channels"]),
        "patterns": "\n".join(team["patterns"]),
    }


def _read(said: Mapping[str, Any]) -> dict[str, Any]:
    read = {"people": read_people, "channels": read_channels, "patterns": _lines}
    out = {}
    for name, value in said.items():
        out[name] = read[name](value or "") if name in read else value or ""
    return out


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    return Opened(_body(_values(None)), {})


def create(said: Said) -> Done:
    if not str(said.values.get("name") or "").strip():
        raise Invalid("a team needs a name", field="name")
    with _deps.dlv().record.tx() as conn:
        team = store.create(conn, auth.actor(), _read(said.values))
    return Done(f"{team['name']} owns {words.many(team['owned'], 'node')}")


def _team(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return store.get(conn, nodes.uuid_of(id_ or ""))


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    team = _team(id_)
    now = _values(team)
    return Opened(_body(now), now, team["version"], f"Edit {team['name']}")


def edit(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    with _deps.dlv().record.tx() as conn:
        team = store.edit(conn, auth.actor(), nodes.uuid_of(said.id or ""), _read(said.changed), said.version)
    return Done(f"{team['name']} is saved and owns {words.many(team['owned'], 'node')}")


def open_retire(id_: str | None, _: Mapping[str, int]) -> Opened:
    team = _team(id_)
    what = f"It owns {words.many(team['owned'], 'node')} now. They will belong to nobody, or to whom the next rule names."
    return Opened(
        [_forms.statement(what, "The team can be brought back; its name stays taken.")], {}, team["version"], f"Retire {team['name']}?"
    )  # fmt: skip


def open_back(id_: str | None, _: Mapping[str, int]) -> Opened:
    team = _team(id_)
    text = "Its patterns own again what they match, and it can be chosen as an owner."
    return Opened([_forms.statement(text)], {}, team["version"], f"Bring back {team['name']}?")


def _retired(said: Said, retired: bool) -> Done:
    with _deps.dlv().record.tx() as conn:
        team = store.edit(
            conn, auth.actor(), nodes.uuid_of(said.id or ""), {"retired": retired}, said.version
        )
    return Done(f"{team['name']} is retired" if retired else f"{team['name']} is back")


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("New team", open_new, create, "Create"),
        "edit": _forms.Action("Edit", open_edit, edit),
        "retire": _forms.Action("Retire", open_retire, lambda s: _retired(s, True), "Retire", danger=True),
        "unretire": _forms.Action("Bring back", open_back, lambda s: _retired(s, False), "Bring back"),
    },
    grid=NAME,
    size=760,
)


@callback(Output("team-matched", "children"), Input({"form": FORM, "field": "patterns"}, "value"))
@auth.requires("admin")
def matched(text: str | None) -> Any:
    """How many nodes each pattern matches, while it is being written."""
    patterns = _lines(text)[:50]
    if not patterns:
        return None
    try:
        with _deps.dlv().record.tx() as conn:
            found = store.matched(conn, patterns)
    except DlvError as e:
        return html.P(_forms.sentence(e.message), className="muted")
    return html.Ul(
        [
            html.Li([html.Code(p), html.B(words.many(n, "node"), className="none" if not n else "")])
            for p, n in found.items()
        ]
    )


# ---------------------------------------------------------------- the page


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, ("q", "state"))
    columns = [
        _grid.column("name", "Team", cell="Two", sort=True, flex=2, least=180),
        _grid.column("people", "People", cell="Plain", flex=2, least=150),
        _grid.column("channels", "Channels", cell="Plain", flex=2, least=150),
        _grid.column("patterns", "Owns by pattern", cell="Tags", flex=3, least=180),
        _grid.column("owned", "Nodes owned", cell="Plain", sort=True, least=110, width=120),
        _grid.column("state", "State", cell="State", least=110, width=120),
        _grid.acts(
            FORM,
            {"mode": "edit", "label": "Edit", "icon": "pencil"},
            {"mode": "retire", "label": "Retire", "icon": "eye-off", "when": "here"},
            {"mode": "unretire", "label": "Bring back", "icon": "refresh", "when": "retired"},
            width=100,
        ),
    ]
    return _admin.frame(
        "Teams",
        "Who owns what, and where to reach them. A node belongs to whom it was given by hand or by file, else to whose "
        "pattern matches it, else to whom its events name.",
        [
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Name, person or channel"),
                    _grid.pick_filter(NAME, asked, "state", "State", _STATES),
                ],
                asked,
                label="Teams",
            ),
            *DIALOG.place(),
        ],
        [_forms.opener(FORM, "new", "New team", "plus", primary=True)],
    )


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "teams", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    return [_cells(t) for t in found], total


def _cells(t: Mapping[str, Any]) -> dict[str, Any]:
    retired = t["retired_at"] is not None
    return {
        "id": str(t["id"]),
        "name": {"a": t["name"], "b": t["description"]},
        "people": ", ".join(p["name"] or p["email"] for p in t["people"]),
        "channels": ", ".join(f"{c['kind']} {c['target']}" for c in t["channels"]),
        "patterns": t["patterns"],
        "owned": f"{t['owned']:,}",
        "state": {"state": "unknown", "word": "Retired"} if retired else {"state": "ok", "word": "Active"},
        "retired": retired,
        "here": not retired,
    }


def nothing(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No team matches", "Take a filter away.", "search")
    return _grid.empty(
        "No team yet",
        "A team owns nodes by hand or by a pattern over their names, and is who gets called when they break.",
        "users-group",
        _forms.opener(FORM, "new", "New team", "plus", primary=True),
    )


_grid.answer(NAME, rows, lambda n: words.many(n, "team"), nothing, "admin")
