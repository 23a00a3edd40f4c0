"""Checks: what is verified on a schedule, what each last said, and the forms that make and change them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dash
from dash import Input, Output, State, callback, dcc, html
from dash.development.base_component import Component

from answers.nodes import uuid_of
from checks.registry import KINDS
from errors import DlvError
from pages import _admin, _check_forms, _deps, _forms, _grid, _icons
from pages import _check_words as said_as
from pages import _words as words
from store import checks as store
from store import lists
from store import nodes as node_store

dash.register_page(__name__, path="/checks", title="Checks · DLV")

NAME, FORM = "checks", "check"
DIALOG = _check_forms.install(FORM, NAME)
_STATES = [{"value": k, "label": v} for k, v in said_as.STATES.items()]
_KINDS = [{"value": k.name, "label": k.label} for k in sorted(KINDS.values(), key=lambda k: k.label)]


def layout(**params: Any) -> Component:
    asked = _grid.asked(params, ("q", "state", "kind", "team", "node"))
    first = None
    if params.get("new"):
        first = {"mode": "new", "id": str(params["new"])}
    columns = [
        _grid.column("state", "State", cell="State", sort=True, least=128, width=142),
        _grid.column("name", "Check", cell="Leads", sort=True, flex=4, least=200),
        _grid.column(
            "node_name", "Speaks of", cell="NodeCell", sort=True, flex=3, least=190, colId="node",
            cellRendererParams={"id": "node_id", "sub": "node_sub", "mark": "mark", "system": "system"},
        ),
        _grid.column("reason", "Last result", cell="Plain", flex=4, least=200),
        _grid.column("value", "Value", cell="Plain", least=90, width=104),
        _grid.column("slot_at", "Looked", cell="When", sort=True, least=86, width=92),
        _grid.column("next_slot_at", "Next", cell="When", sort=True, least=86, width=96),
        _acts(),
    ]  # fmt: skip
    actions = [_forms.opener(FORM, "new", "New check", "plus", primary=True)] if _deps.can("admin") else []
    return _admin.frame(
        "Checks",
        "What DLV looks at on a schedule, beside what events say. A check that could not look says so: it is neither good "
        "nor failed.",
        [
            *_grid.place(
                NAME,
                columns,
                [
                    _grid.words_filter(NAME, asked, "Check, kind or node"),
                    _grid.pick_filter(NAME, asked, "state", "State", _STATES, 120),
                    _grid.pick_filter(NAME, asked, "kind", "Kind", _KINDS, 130),
                    _grid.pick_filter(NAME, asked, "team", "Owner", (), 120),
                    *([_node_chip(asked)] if asked.get("node") else []),
                ],
                asked,
                label="Checks",
            ),
            *_check_forms.place(FORM, DIALOG, first),
        ],
        actions,
    )  # fmt: skip


def _node_chip(asked: Mapping[str, Any]) -> Component:
    """The node whose checks are listed, with the way back to all."""
    name = "one node"
    try:
        with _deps.dlv().record.tx() as conn:
            row = node_store.get(conn, uuid_of(asked["node"][0]))
            name = row["name"] if row else name
    except DlvError:
        pass
    return dcc.Link(
        [html.Span(f"On {name}", className="ell"), _icons.ic("x")],
        href="/checks",
        className="tag chip-link",
        title="Show all checks",
    )


def _acts() -> dict[str, Any]:
    """What may be done to a row by who looks at it; the callbacks check for themselves."""
    buttons: list[dict[str, str]] = []
    if _deps.can("responder"):
        buttons += [
            {"mode": "run", "label": "Look now", "icon": "player-play", "when": "looks"},
            {"mode": "mute", "label": "Mute", "icon": "bell-off", "when": "here"},
        ]
    if _deps.can("admin"):
        buttons += [
            {"mode": "edit", "label": "Edit", "icon": "pencil", "when": "here"},
            {"mode": "pause", "label": "Pause", "icon": "player-pause", "when": "goes"},
            {"mode": "resume", "label": "Resume", "icon": "refresh", "when": "paused"},
            {"mode": "retire", "label": "Remove", "icon": "trash", "when": "here"},
            {"mode": "unretire", "label": "Bring back", "icon": "refresh", "when": "removed"},
        ]
    return (
        _grid.acts(FORM, *buttons, width=176 if len(buttons) > 2 else 92)
        if buttons
        else {"hide": True, "field": "id", "colId": "none"}
    )


def rows(filters: dict[str, Any], sort: str | None, descending: bool, limit: int, offset: int) -> _grid.Rows:
    if "retired" not in filters.get("state", ()):
        filters = filters | {"removed": ["false"]}
    with _deps.dlv().record.tx() as conn:
        found, total = lists.page(
            conn, "checks", filters, sort=sort, descending=descending, limit=limit, offset=offset
        )
    now = datetime.now(UTC)
    return [_cells(c, now) for c in found], total


def _cells(c: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    removed, paused = c["retired_at"] is not None, c["paused_at"] is not None
    looked, upcoming = said_as.iso(c["slot_at"]), said_as.iso(c["next_slot_at"])
    return {
        "id": str(c["id"]),
        "version": c["version"],
        "state": said_as.state(c),
        "name": {"a": c["name"], "b": said_as.kind(c["kind"]), "href": f"/checks/{c['id']}"},
        "node_id": str(c["node_id"]),
        "node_name": c["node_name"],
        "node_sub": c["node_namespace"],
        "mark": _icons.mark_of(c["node_system"], c["node_kind"], c["node_type"]),
        "system": c["node_system"],
        "reason": c["reason"] if c["slot_at"] else "",
        "value": said_as.number(c["kind"], c["value"], c["config"]),
        "slot_at": {"text": words.ago(looked), "title": words.stamp(looked)}
        if looked
        else {"text": "—", "title": "not yet"},
        "next_slot_at": {"text": said_as.soon(c["next_slot_at"], now) or "—", "title": words.stamp(upcoming)},
        "here": not removed,
        "removed": removed,
        "paused": paused and not removed,
        "goes": not paused and not removed,
        "looks": not paused and not removed and c["state"] != "muted",
    }


def nothing(filters: dict[str, Any]) -> Any:
    if filters:
        return _grid.empty("No check matches", "Take a filter away.", "search")
    more = [_forms.opener(FORM, "new", "New check", "plus", primary=True)] if _deps.can("admin") else []
    return _grid.empty(
        "No check yet",
        "Events already tell which jobs failed and what is late. A check looks at the real thing beside that: how fresh "
        "a table is, how many rows came, whether a service answers, what lags behind.",
        "heart-rate-monitor",
        *more,
    )


@callback(
    Output({"list": NAME, "filter": "team"}, "data"),
    Input(f"{NAME}-filters", "id"),
    State({"list": NAME, "filter": "team"}, "value"),
)
def owners(_: object, chosen: list[str] | None) -> list[Any]:
    """The teams that own a node with a check."""
    try:
        with _deps.dlv().record.tx() as conn:
            found = store.owners(conn)
    except DlvError:
        found = []
    data = [
        {"value": "none", "label": "Nobody yet"},
        *({"value": n, "label": f"{n} ({k:,})"} for n, k in found),
    ]
    return _grid.offered(data, chosen)


_grid.answer(NAME, rows, lambda n: words.many(n, "check"), nothing, None)
_grid.follow(NAME)
