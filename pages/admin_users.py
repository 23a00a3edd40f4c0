"""Who may sign in, as what, and since when not any more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import dash
from dash.development.base_component import Component

import auth
from answers import nodes
from auth import signin
from errors import Invalid
from pages import _admin, _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened, Said
from store import lists
from store import users as store

dash.register_page(__name__, path="/admin/users", title="Users · DLV")

NAME, FORM = "users", "user"
ROLES = [
    {"value": "viewer", "label": "Viewer: reads"},
    {"value": "responder", "label": "Responder: reads, acknowledges, annotates"},
    {"value": "admin", "label": "Admin: all"},
]
_ROLE = {"admin": "Admin", "responder": "Responder", "viewer": "Viewer"}
_STATES = [{"value": "enabled", "label": "May sign in"}, {"value": "disabled", "label": "Disabled"}]
ONCE = "Shown now and never again. Hand it over by a safe way; the first sign-in asks for a new password."


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    body = [
        _forms.text(FORM, "username", "Username", withAsterisk=True, description="What is typed at sign-in and shown in the audit"),
        _forms.text(FORM, "display_name", "Name"),
        _forms.choice(FORM, "role", "Role", ROLES, "viewer", allowDeselect=False),
    ]  # fmt: skip
    return Opened(body, {"role": "viewer"})


def create(said: Said) -> Done:
    username = str(said.values.get("username") or "").strip()
    if not re.fullmatch(r"[A-Za-z0-9._@+-]{1,100}", username):
        raise Invalid(
            "a username is a word of at most 100 characters",
            field="username",
            hint="letters, digits and . _ @ + -",
        )
    role = said.values.get("role")
    if role not in store.ROLES:
        raise Invalid("choose a role", field="role")
    name = str(said.values.get("display_name") or "").strip()
    if len(name) > 200:
        raise Invalid("longer than 200 characters", field="display_name")
    row, secret = signin.add_user(_deps.dlv().record, auth.actor(), username, role, name)
    return Done(f"{row['username']} may sign in", _forms.secret("One-time password", secret or "", ONCE))


def _user(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return store.get(conn, nodes.uuid_of(id_ or ""))


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    user = _user(id_)
    now = {"display_name": user["display_name"], "role": user["role"]}
    body = [
        _forms.text(FORM, "display_name", "Name", now["display_name"]),
        _forms.choice(FORM, "role", "Role", ROLES, now["role"], allowDeselect=False, description="A change of role ends all sessions at once"),
    ]  # fmt: skip
    return Opened(body, now, user["version"], f"Edit {user['username']}")


def edit(said: Said) -> Done:
    changes = {k: v or "" for k, v in said.changed.items()}
    if changes.get("role", "viewer") not in store.ROLES:
        raise Invalid("choose a role", field="role")
    if len(str(changes.get("display_name", ""))) > 200:
        raise Invalid("longer than 200 characters", field="display_name")
    return _changed(said, changes, "is saved")


def _changed(said: Said, changes: dict[str, Any], how: str) -> Done:
    with _deps.dlv().record.tx() as conn:
        row = store.edit(conn, auth.actor(), nodes.uuid_of(said.id or ""), changes, said.version)
    return Done(f"{row['username']} {how}")


def open_disable(id_: str | None, _: Mapping[str, int]) -> Opened:
    user = _user(id_)
    text = (
        "All their sessions end at once and they cannot sign in any more. What they did stays in the audit."
    )
    return Opened([_forms.statement(text)], {}, user["version"], f"Disable {user['username']}?")


def open_enable(id_: str | None, _: Mapping[str, int]) -> Opened:
    user = _user(id_)
    return Opened(
        [_forms.statement("They may sign in again with the password they had.")],
        {},
        user["version"],
        f"Let {user['username']} sign in again?",
    )


def open_reset(id_: str | None, _: Mapping[str, int]) -> Opened:
    user = _user(id_)
    text = "All their sessions end. You get a one-time password to hand over, shown once."
    return Opened([_forms.statement(text)], {}, None, f"Reset the password of {user['username']}?")


def reset(said: Said) -> Done:
    user = _user(said.id)
    secret = signin.reset_password(_deps.dlv().record, auth.actor(), user["id"])
    return Done(
        f"{user['username']} has a one-time password", _forms.secret("One-time password", secret, ONCE)
    )


DIALOG = _forms.Dialog(
    FORM,
    {
        "new": _forms.Action("New user", open_new, create, "Create"),
        "edit": _forms.Action("Edit", open_edit, edit),
        "disable": _forms.Action(
            "Disable",
            open_disable,
            lambda s: _changed(s, {"disabled": True}, "is disabled"),
            "Disable",
            danger=True,
        ),
        "enable": _forms.Action(
            "Enable", open_enable, lambda s: _changed(s, {"disabled": False}, "may sign in again"), "Enable"
        ),
        "reset": _forms.Action("Reset password", open_reset, reset, "Reset password", danger=True),
    },
    grid=NAME,
    size=520,
)


@_admin.only_admins
def layout(**params: Any) -> Component:
    asked = _grid.asked(params, ("q", "role", "state"))
    columns = [
        _grid.column("username", "Username", cell="Two", sort=True, flex=2, least=180),
        _grid.column("role", "Role", cell="Plain", sort=True, flex=1, least=110),
        _grid.column("state", "State", cell="State", flex=1, least=190),
        _grid.column("issuer", "Vouched for by", cell="Plain", flex=1, least=120),
        _grid.column("last_seen", "Last here", cell="When", least=110),
        _grid.column("created_at", "Added", cell="When", sort=True, least=110),
        _grid.acts(
            FORM,
            {"mode": "edit", "label": "Edit", "icon": "pencil"},
            {"mode": "reset", "label": "Reset password", "icon": "key", "when": "local"},
            {"mode": "disable", "label": "Disable", "icon": "eye-off", "when": "here"},
            {"mode": "enable", "label": "Enable", "icon": "refresh", "when": "disabled"},
            width=124,
        ),
    ]
    return _admin.frame(
        "Users",
        "Viewers read. Responders also acknowledge, assign, silence and annotate. Admins may do everything.",
        [
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Username or name"),
                    _grid.pick_filter(NAME, asked, "role", "Role", [{"value": k, "label": v} for k, v in _ROLE.items()]),
                    _grid.pick_filter(NAME, asked, "state", "State", _STATES),
                ],
                asked,
                label="Users",
            ),
            *DIALOG.place(),
        ],
        [_forms.opener(FORM, "new", "New user", "plus", primary=True)],
    )  # fmt: skip


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "users", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    return [_cells(u) for u in found], total


def _cells(u: Mapping[str, Any]) -> dict[str, Any]:
    disabled = u["disabled_at"] is not None
    state = {"state": "ok", "word": "May sign in"}
    if disabled:
        state = {"state": "unknown", "word": "Disabled"}
    elif u["must_change"]:
        state = {"state": "warn", "word": "One-time password set"}
    return {
        "id": str(u["id"]),
        "username": {"a": u["username"], "b": u["display_name"]},
        "role": _ROLE[u["role"]],
        "state": state,
        "issuer": "DLV" if u["issuer"] == "local" else u["issuer"],
        "last_seen": _grid.at(u["last_seen_at"]),
        "created_at": _grid.at(u["created_at"]),
        "disabled": disabled,
        "here": not disabled,
        "local": u["issuer"] == "local",
    }


_grid.answer(
    NAME,
    rows,
    lambda n: words.many(n, "user"),
    lambda _: _grid.empty("Nobody matches", "Take a filter away.", "search"),
    "admin",
)
