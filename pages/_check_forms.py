"""The forms of checks: made, edited, paused, muted, removed, accepted, given a URL. Two pages open them.

The form follows the kind: :mod:`checks.kind` says its fields, :mod:`checks.offer` which kinds and connections fit a node.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dash import Input, Output, callback, dcc, html, no_update
from dash.development.base_component import Component
from flask import request

import auth
from answers import nodes
from auth.gate import new_token
from checks import edits, offer
from checks.fields import Field, in_words, seconds
from checks.kind import Kind
from checks.registry import KINDS
from errors import DlvError, Invalid
from pages import _check_words as said_as
from pages import _declared, _deps, _forms, _node_forms
from pages import _words as words
from pages._forms import Done, Opened, Said
from store import checks as store

_SEVERITY = [{"value": "error", "label": "fails the node"}, {"value": "warn", "label": "only warns"}]
_MUTE = [("1", "an hour"), ("4", "4 hours"), ("24", "a day"), ("168", "a week")]
#: how fields of checks are drawn by pages._declared
_DRAWN = {"duration": "text", "switch": "choice", "whole": "text", "number": "text"}
_YES_NO = (("yes", "Yes"), ("no", "No"))


@dataclass(frozen=True)
class Shown:
    """A field of a kind of check, as pages._declared draws one; its name in the form is ``config_NAME``."""

    name: str
    label: str
    kind: str
    required: bool
    default: Any
    choices: tuple[tuple[str, str], ...]
    help: str
    example: str
    when: tuple[str, tuple[str, ...]] | None
    secret: bool = False


def shown(f: Field) -> Shown:
    when = (f"config_{f.only[0]}", tuple(_text(v) for v in f.only[1])) if f.only else None
    return Shown(
        f"config_{f.name}", f.label, _DRAWN.get(f.kind, f.kind), f.required, _written(f, f.default),
        _YES_NO if f.kind == "switch" else f.choices, f.help, f.example, when,
    )  # fmt: skip


def _text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _written(f: Field, value: Any) -> str:
    """A value as the form holds it."""
    if value is None:
        return ""
    if f.kind == "duration":
        return _time(float(value))
    if f.kind in ("number", "whole"):
        return f"{value:g}" if abs(float(value)) < 1e15 else str(value)
    return _text(value)


def _time(value: float) -> str:
    """Seconds in words that mean exactly them."""
    text = in_words(value)
    return text if seconds(text) == value else f"{value:g} s"


def values(kind: Kind, config: Mapping[str, Any] | None) -> dict[str, str]:
    """What the form of a kind opens with."""
    said = config if config is not None else {}
    return {
        f"config_{f.name}": _written(f, said.get(f.name, f.default if config is None else None))
        for f in kind.fields
    }


def _config(kind: Kind, said: Mapping[str, Any]) -> dict[str, Any]:
    """The kind's fields among what a form said; an empty one is None."""
    out: dict[str, Any] = {}
    for f in kind.fields:
        if f"config_{f.name}" in said:
            value = said[f"config_{f.name}"]
            if f.kind == "switch" and value in ("yes", "no"):
                value = value == "yes"
            out[f.name] = None if value == "" else value
    return out


def _every(text: Any) -> int:
    try:
        n = seconds(str(text))
    except ValueError:
        n = 0.5
    if n != int(n) or n < store.LEAST or n > store.MOST:
        raise Invalid(
            "a time between 10 s and 7 d", field="every_seconds", hint="such as 60 s, 15 min or 6 h"
        )
    return int(n)


# ---------------------------------------------------------------- the form


def _common(form: str, now: Mapping[str, Any]) -> list[Component]:
    return [
        _forms.text(form, "name", "Name", now["name"], withAsterisk=True),
        _forms.pair(
            _forms.text(
                form,
                "every_seconds",
                "Looks every",
                now["every_seconds"],
                withAsterisk=True,
                placeholder="15 min",
            ),
            _forms.choice(
                form, "severity", "A failure of it", _SEVERITY, now["severity"], allowDeselect=False
            ),
        ),
    ]


def _connections(
    form: str, kind: Kind, ways: Sequence[Mapping[str, Any]], value: str | None
) -> list[Component]:
    """The choice of a connection. Always a part of the form, so that what is sent is said; hidden where none is used."""
    data = [
        {"value": str(w["id"]), "label": w["name"] + (" · leads to this node's host" if w["matches"] else "")}
        for w in ways
    ]
    more: dict[str, Any] = {}
    if not kind.connections:
        more["style"] = {"display": "none"}
    elif not data:
        more |= {
            "description": "There is none of this kind yet: an admin makes one under Connections",
            "placeholder": "None",
        }
    chosen = _forms.choice(
        form, "connection_id", "Through the connection", data, value, searchable=True, clearable=True,
        placeholder=more.pop("placeholder", "Choose one"), **more,
    )  # fmt: skip
    when = (
        {"data-when": json.dumps([f"config_{kind.through[0]}", list(kind.through[1])])}
        if kind.through
        else {}
    )
    return [html.Div(chosen, **when)]


def _part(
    form: str, kind: Kind, ways: Sequence[Mapping[str, Any]], way: str | None, now: Mapping[str, Any]
) -> list[Component]:
    fields = [shown(f) for f in kind.fields]
    return [
        html.P(_forms.sentence(kind.says), className="muted kind-says"),
        *_connections(form, kind, ways, way),
        *_declared.body(form, fields, now),
    ]


def kind_options(node: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The choice of a kind, those made for the node's system in a group of their own, first."""
    made: list[dict[str, str]] = []
    others: list[dict[str, str]] = []
    for kind, fits in offer.kinds_for(node):
        (made if fits else others).append({"value": kind.name, "label": kind.label})
    if not made or node is None:
        return others
    return [
        {"group": f"Made for {words.system(node['system'])}", "items": made},
        {"group": "For anything", "items": others},
    ]


def _node(id_: str | None) -> dict[str, Any] | None:
    if not id_:
        return None
    try:
        return nodes.get(_deps.dlv(), id_)
    except DlvError:
        return None


def open_new(form: str, node_id: str | None) -> Opened:
    node = _node(node_id)
    known = [_node_forms.option(node)] if node else []
    first = offer.kinds_for(node)[0][0].name if node else None
    body = [
        _node_forms.picker("node_id", "Speaks of", known, node["id"] if node else None, form),
        _forms.choice(form, "kind", "Kind", kind_options(node), first, withAsterisk=True, allowDeselect=False, searchable=True, placeholder="Choose a node first"),
        html.Div(id=f"{form}-part", className="form-part"),
    ]  # fmt: skip
    return Opened(body, {})


def follow_kind(form: str, kind_name: str | None, node_id: str | None) -> tuple[Any, Any]:
    """The kinds that fit the node, and the form of the kind that is chosen."""
    node = _node(node_id)
    kind = KINDS.get(kind_name or "")
    if kind is None:
        return kind_options(node), no_update
    name, ways = f"{kind.label}: {offer.leaf(node['name'])}" if node else kind.label, []
    with _deps.dlv().record.tx() as conn:
        ways = offer.ways(conn, kind, node)
    own = [w for w in ways if w["matches"]] or (ways if len(ways) == 1 else [])
    common = {"name": name, "every_seconds": _time(kind.every_seconds), "severity": "error"}
    return kind_options(node), [
        *_part(form, kind, ways, str(own[0]["id"]) if own else None, values(kind, None)),
        html.Hr(className="form-line"),
        *_common(form, common),
    ]


def create(said: Said) -> Done:
    v = said.values
    kind = edits.kind_of(v.get("kind"))
    if not v.get("node_id"):
        raise Invalid("choose a node", field="node_id", hint="type a part of its name")
    config = _config(kind, v)
    new: dict[str, Any] = {
        "kind": kind.name,
        "name": v.get("name") or "",
        "node_id": nodes.resolve(_deps.dlv(), v["node_id"], "node_id"),
        "severity": v.get("severity") or "error",
        "every_seconds": _every(v.get("every_seconds")),
        "config": config,
    }
    if kind.needs_connection(_plain(kind, config)):
        new["connection_id"] = v.get("connection_id") or None
    token, hash_ = new_token()
    with _deps.dlv().record.tx() as conn:
        made = edits.create(conn, auth.actor(), new)
        if kind.called:
            edits.new_url(conn, auth.actor(), made["id"], hash_)
    return Done(f"{made['name']} is made and looks now", url_shown(token) if kind.called else None)


def _plain(kind: Kind, config: Mapping[str, Any]) -> dict[str, Any]:
    """A config with its defaults, before it is checked: enough to say whether a connection is used."""
    return {f.name: f.default if config.get(f.name) is None else config[f.name] for f in kind.fields}


def _row(id_: str | None) -> dict[str, Any]:
    with _deps.dlv().record.tx() as conn:
        return store.get(conn, nodes.uuid_of(id_ or ""))


def open_edit(form: str, id_: str | None) -> Opened:
    row = _row(id_)
    kind = edits.kind_of(row["kind"])
    node = _node(str(row["node_id"]))
    with _deps.dlv().record.tx() as conn:
        ways = offer.ways(conn, kind, node)
    way = str(row["connection_id"]) if row["connection_id"] else None
    if way and all(str(w["id"]) != way for w in ways):
        ways = [*ways, {"id": way, "name": f"{row['connection_name']} (retired)", "matches": False}]
    now: dict[str, Any] = values(kind, row["config"]) | {
        "name": row["name"], "every_seconds": _time(row["every_seconds"]), "severity": row["severity"],
        "connection_id": way, "node_id": str(row["node_id"]),
    }  # fmt: skip
    known = [_node_forms.option(node)] if node else []
    body = [
        _node_forms.picker("node_id", "Speaks of", known, now["node_id"], form),
        html.Div(_part(form, kind, ways, way, now), className="form-part"),
        html.Hr(className="form-line"),
        *_common(form, now),
    ]
    return Opened(body, now, row["version"], f"Edit {row['name']}")


def edit(said: Said) -> Done:
    if not said.changed:
        return Done("Nothing was changed")
    row = _row(said.id)
    kind = edits.kind_of(row["kind"])
    changes: dict[str, Any] = {k: said.changed[k] for k in ("name", "severity") if k in said.changed}
    if "every_seconds" in said.changed:
        changes["every_seconds"] = _every(said.changed["every_seconds"])
    if "connection_id" in said.changed:
        changes["connection_id"] = said.changed["connection_id"] or None
    if "node_id" in said.changed:
        changes["node_id"] = nodes.resolve(_deps.dlv(), said.changed["node_id"] or "", "node_id")
    config = _config(kind, said.changed)
    if config:
        changes["config"] = config
    with _deps.dlv().record.tx() as conn:
        row = edits.edit(conn, auth.actor(), nodes.uuid_of(said.id or ""), changes, said.version)
    return Done(f"{row['name']} is saved")


# ---------------------------------------------------------------- its life


def _told(id_: str | None, title: str, *text: str) -> Opened:
    row = _row(id_)
    return Opened([_forms.statement(*text)], {}, row["version"], title.format(row["name"]))


def open_pause(_: str, id_: str | None) -> Opened:
    return _told(id_, "Pause {}?", "It looks no more and says nothing of its node, until it is resumed.")


def open_resume(_: str, id_: str | None) -> Opened:
    return _told(
        id_, "Resume {}?", "It looks at once, and then in its rhythm. What it missed counts for nobody."
    )


def open_retire(_: str, id_: str | None) -> Opened:
    return _told(
        id_, "Remove {}?", "It looks no more and says nothing of its node.",
        "Its results stay until they expire, and it can be brought back.",
    )  # fmt: skip


def open_back(_: str, id_: str | None) -> Opened:
    return _told(id_, "Bring back {}?", "It looks at once, and then in its rhythm.")


def _did(said: Said, what: Any, word: str) -> Done:
    with _deps.dlv().record.tx() as conn:
        row = what(conn, auth.actor(), nodes.uuid_of(said.id or ""), said.version)
    return Done(f"{row['name']} is {word}")


def open_accept(_: str, id_: str | None) -> Opened:
    row = _row(id_)
    what = (
        "The columns as they are now are what later looks compare with."
        if row["kind"] == "schema"
        else "What is usual is learnt anew from now on; until then it is silent."
    )
    return Opened(
        [_forms.statement(html.P(row["reason"]), what)], {}, row["version"], f"Accept what {row['name']} saw?"
    )


def accept(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        row = edits.accept(conn, auth.actor(), nodes.uuid_of(said.id or ""))
    return Done(f"{row['name']}: accepted, it looks again now")


def open_url(_: str, id_: str | None) -> Opened:
    row = _row(id_)
    end = "The URL it has now ends at once: the job must be given the new one." if row["has_url"] else ""
    return Opened(
        [_forms.statement("A new URL is made and shown once.", *([end] if end else []))], {}, row["version"],
        f"New URL for {row['name']}",
    )  # fmt: skip


def make_url(said: Said) -> Done:
    token, hash_ = new_token()
    with _deps.dlv().record.tx() as conn:
        edits.new_url(conn, auth.actor(), nodes.uuid_of(said.id or ""), hash_)
    return Done("The URL is made", url_shown(token))


def url_shown(token: str) -> Component:
    settings = _deps.dlv().settings
    base = f"{(settings.public_url or request.url_root).rstrip('/')}/api/v1/heartbeats/{token}"
    calls = f"curl -fsS {base}/start\nyour-job && curl -fsS {base} || curl -fsS {base}/fail"
    return html.Div(
        [
            _forms.secret(
                "The job calls this at success", base, "It is shown this once: whoever has it can call it."
            ),
            html.P("At its start and where it fails it calls the same with /start and /fail. In a shell:"),
            html.Pre(calls, className="mono"),
        ],
        className="form-part",
    )


def open_mute(form: str, id_: str | None) -> Opened:
    row = _row(id_)
    if row["state"] == "muted":
        until = words.stamp(said_as.iso(row["muted_until"]))
        choices = [
            *({"value": v, "label": f"for {label} more"} for v, label in _MUTE),
            {"value": "", "label": "no longer"},
        ]
        body = [
            _forms.statement(f"It is muted until {until}."),
            _forms.choice(form, "hours", "Mute it", choices, "", allowDeselect=False),
        ]
    else:
        choices = [{"value": v, "label": f"for {label}"} for v, label in _MUTE]
        body = [
            _forms.statement("It goes on, but its results count for nothing: nobody is told, and its node is not judged by it."),
            _forms.choice(form, "hours", "Mute it", choices, "4", allowDeselect=False),
        ]  # fmt: skip
    return Opened(body, {}, row["version"], f"Mute {row['name']}")


def mute(said: Said) -> Done:
    hours = str(said.values.get("hours") or "")
    until = datetime.now(UTC) + timedelta(hours=int(hours)) if hours.isdigit() else None
    with _deps.dlv().record.tx() as conn:
        row = store.mute(conn, auth.actor(), nodes.uuid_of(said.id or ""), until)
    if until is None:
        return Done(f"{row['name']} is no longer muted and looks now")
    return Done(f"{row['name']} is muted until {words.stamp(until.isoformat())}")


def open_run(_: str, id_: str | None) -> Opened:
    return _told(
        id_, "{}: look now?", "It looks once beside its rhythm; the result shows within some seconds."
    )


def run(said: Said) -> Done:
    with _deps.dlv().record.tx() as conn:
        row = store.run(conn, auth.actor(), nodes.uuid_of(said.id or ""))
    return Done(f"{row['name']} looks now")


# ---------------------------------------------------------------- the dialog


def install(form: str, grid: str | None) -> _forms.Dialog:
    """The dialog of checks and what belongs to it, once at import for a page. ``grid``: the list it belongs to.

    Responders open it to look now and to mute; all else is for admins."""

    def action(title: str, what: Any, run_: Any, button: str = "Save", **more: Any) -> _forms.Action:
        return _forms.Action(
            title, lambda id_, _: what(form, id_), run_, button, **({"role": "admin"} | more)
        )

    dialog = _forms.Dialog(
        form,
        {
            "new": action("New check", open_new, create, "Create"),
            "edit": action("Edit", open_edit, edit),
            "pause": action("Pause", open_pause, lambda s: _did(s, store.pause, "paused"), "Pause"),
            "resume": action("Resume", open_resume, lambda s: _did(s, store.resume, "resumed"), "Resume"),
            "retire": action("Remove", open_retire, lambda s: _did(s, store.retire, "removed"), "Remove", danger=True),
            "unretire": action("Bring back", open_back, lambda s: _did(s, store.unretire, "back"), "Bring back"),
            "accept": action("Accept", open_accept, accept, "Accept"),
            "url": action("New URL", open_url, make_url, "Make it"),
            "mute": action("Mute", open_mute, mute, "Mute", role=None),
            "run": action("Look now", open_run, run, "Look now", role=None),
        },
        grid=grid,
        fresh=grid is None,
        role="responder",
        size=680,
        starts=True,
    )  # fmt: skip
    _node_forms.wire_picker(form, "node_id")
    _declared.follow(form)

    @callback(
        Output({"form": form, "field": "kind"}, "data"),
        Output(f"{form}-part", "children"),
        Input({"form": form, "field": "kind"}, "value"),
        Input({"form": form, "field": "node_id"}, "value"),
    )
    @auth.requires("admin")
    def follow(kind_name: str | None, node_id: str | None) -> tuple[Any, Any]:
        return follow_kind(form, kind_name, node_id)

    return dialog


def place(form: str, dialog: _forms.Dialog, first: Mapping[str, Any] | None = None) -> list[Component]:
    """The dialog in a layout, for those who may open it; what listens to it finds its store in any case."""
    if _deps.can("responder"):
        return [*dialog.place(first), _declared.place(form)]
    return [dcc.Store(id=f"{form}-fresh", data="")] if dialog.own else []
