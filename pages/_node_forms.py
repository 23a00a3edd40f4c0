"""The forms of a node: create, edit, retire, bring back, merge, split, and the same edit of many."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import dash_mantine_components as dmc
from dash import Input, Output, State, callback, html, no_update
from dash.development.base_component import Component

import auth
from answers import nodes
from errors import Changed, DlvError, Invalid
from ingest import byhand
from pages import _deps, _forms, _grid
from pages import _words as words
from pages._forms import Done, Opened, Said
from store import node_edits
from store import teams as team_store

FORM = "node"
KINDS = ("table", "view", "topic", "file", "dashboard", "collection", "index", "task", "dag", "query", "model",
         "application", "project", "connector", "job", "api")  # fmt: skip
_SOURCE = {
    "manual": "Set by hand",
    "file": "From a file",
    "pattern": "By a team's pattern",
    "event": "As events say",
}
_SLA = [{"value": "freshness", "label": "Fresh within"}, {"value": "completion", "label": "Done within"}]
_CRITICAL = [
    {"value": "1", "label": "1, most critical"},
    {"value": "2", "label": "2"},
    {"value": "3", "label": "3"},
    {"value": "4", "label": "4, least critical"},
]
_TYPES = [{"value": "dataset", "label": "Dataset"}, {"value": "job", "label": "Job"}]


def teams() -> list[dict[str, str]]:
    """The teams that may own something."""
    with _deps.dlv().record.tx() as conn:
        return [{"value": str(t["id"]), "label": t["name"]} for t in team_store.page(conn, "", 1000)]


def known_tags() -> list[str]:
    return [t["key"] for t in nodes.options(_deps.dlv())["tag"]]


def tell(field: str, value: Any) -> str:
    """A field in words; an owner by name."""
    if field == "owner" and value:
        return next((t["label"] for t in teams() if t["value"] == str(value)), str(value))
    return _forms.told(value)


# ---------------------------------------------------------------- what a form says, as the store takes it


def fields(said: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The store's fields out of those of a form. ``said``: the form's fields to take; an SLA needs both its parts."""
    out: dict[str, Any] = {}
    for name in ("owner", "description", "kind", "name"):
        if name in said:
            out[name] = said[name] or None
    if "tags" in said:
        out["tags"] = tags_of(said["tags"])
    if "criticality" in said:
        out["criticality"] = int(said["criticality"]) if said["criticality"] else None
    if "sla_kind" in said or "sla_minutes" in said:
        out["sla"] = sla(values)
    return out


def tags_of(value: Any) -> list[str]:
    """Tags as they are kept; one that was pasted with commas or spaces in it is several."""
    return sorted({t.lower() for part in value or [] for t in re.split(r"[,;\s]+", str(part)) if t})


def sla(values: Mapping[str, Any]) -> dict[str, Any] | None:
    kind, minutes = values.get("sla_kind"), values.get("sla_minutes")
    if not kind and minutes in ("", None):
        return None
    if not kind:
        raise Invalid("say what is promised", field="sla_kind", hint="fresh within, or done within")
    if minutes in ("", None):
        raise Invalid("say within how many minutes", field="sla_minutes", hint="e.g. 360 for six hours")
    if isinstance(minutes, float) and minutes.is_integer():
        minutes = int(minutes)
    return {"kind": kind, "minutes": minutes}


def _promise(node: Mapping[str, Any] | None) -> dict[str, Any]:
    """A node's editable fields as its form holds them."""
    if node is None:
        return {
            "owner": None,
            "sla_kind": None,
            "sla_minutes": "",
            "tags": [],
            "criticality": None,
            "description": "",
        }
    return {
        "owner": node["owner"],
        "sla_kind": node["sla"]["kind"] if node["sla"] else None,
        "sla_minutes": node["sla"]["minutes"] if node["sla"] else "",
        "tags": node["tags"],
        "criticality": str(node["criticality"]) if node["criticality"] else None,
        "description": node["description"],
    }


def _shared(now: Mapping[str, Any], sources: Mapping[str, str], named: str = "") -> list[Component]:
    """The fields that every node has; ``named`` is the owner that events name where no team is called so."""

    def source(name: str) -> str | None:
        return _SOURCE.get(sources.get(name, ""))

    return [
        _forms.pair(
            _forms.choice(
                FORM, "owner", "Owner", teams(), now["owner"], clearable=True, searchable=True,
                placeholder=named or "Nobody yet", description=source("owner"),
            ),
            _forms.choice(
                FORM, "criticality", "Criticality", _CRITICAL, now["criticality"], clearable=True,
                placeholder="Not said", description=source("criticality"),
            ),
        ),
        _forms.pair(
            _forms.choice(
                FORM, "sla_kind", "SLA", _SLA, now["sla_kind"], clearable=True, placeholder="None",
                description=source("sla"),
            ),
            _forms.number(FORM, "sla_minutes", "Minutes", now["sla_minutes"], allowNegative=False, description=" " if source("sla") else None),
        ),
        _forms.tags(FORM, "tags", "Tags", known_tags(), now["tags"], placeholder="pii, finance …", description=source("tags")),
        _forms.area(FORM, "description", "Description", now["description"], description=source("description")),
    ]  # fmt: skip


# ---------------------------------------------------------------- the actions


def open_new(_: str | None, __: Mapping[str, int]) -> Opened:
    now = {"type": "dataset", "namespace": "", "name": "", "kind": None, "system": "", "environment": ""}
    options = nodes.options(_deps.dlv())
    environments = [o["key"] for o in options["environment"]]
    body = [
        _forms.pair(
            _forms.choice(FORM, "type", "Type", _TYPES, "dataset", allowDeselect=False),
            _forms.choice(FORM, "kind", "Kind", KINDS, None, clearable=True, searchable=True, placeholder="Read from the name"),
        ),
        _forms.text(
            FORM, "namespace", "Namespace", placeholder="postgres://warehouse:5432", className="mono-field", withAsterisk=True,
            description="Where it is, as OpenLineage writes it; naming rules read it like a name that events send",
        ),
        _forms.text(FORM, "name", "Name", placeholder="shop.public.orders", className="mono-field", withAsterisk=True),
        _forms.pair(
            _forms.text(FORM, "system", "System", placeholder="Read from the namespace"),
            dmc.Autocomplete(
                id={"form": FORM, "field": "environment"}, label="Environment", data=environments, value="",
                placeholder="By naming rule, else default", size="sm",
            ),
        ),
        *_shared(_promise(None), {}),
    ]  # fmt: skip
    return Opened(body, now | _promise(None), title="New node")


def create(said: Said) -> Done:
    v = said.values
    given = {k: v.get(k) for k in ("type", "namespace", "name", "kind", "system", "environment") if v.get(k)}
    for needed in ("namespace", "name"):
        if not str(given.get(needed) or "").strip():
            raise Invalid(f"{needed} is needed", field=needed)
    extra = {k: x for k, x in fields(said.changed, v).items() if k not in ("kind", "name")}
    with _deps.dlv().record.tx() as conn:
        read = byhand.read(conn, given | extra)
        id_ = node_edits.create(conn, auth.actor(), read, (str(given["namespace"]), str(given["name"])))
    return Done(f"{nodes.get(_deps.dlv(), id_)['name']} is on the map")


def _one(id_: str | None) -> dict[str, Any]:
    return nodes.get(_deps.dlv(), id_ or "")


def open_edit(id_: str | None, _: Mapping[str, int]) -> Opened:
    n = _one(id_)
    now = {"name": n["name"], "kind": n["kind"]} | _promise(n)
    by_hand = [f for f, s in n["sources"].items() if s == "manual"]
    body = [
        _identity(n),
        _forms.pair(
            _forms.text(FORM, "name", "Shown as", n["name"], description=_SOURCE.get(n["sources"].get("name", ""))),
            _forms.choice(
                FORM, "kind", "Kind", sorted({*KINDS, n["kind"]}), n["kind"], searchable=True, allowDeselect=False,
                description=_SOURCE.get(n["sources"].get("kind", "")),
            ),
        ),
        *_shared(now, n["sources"], n["owner_name"]),
    ]  # fmt: skip
    if by_hand:
        body.append(
            _forms.several(
                FORM, "unset", "Let files, patterns and events say again", [{"value": f, "label": f.upper() if f == "sla" else f.capitalize()} for f in by_hand],
                description="These were set by hand, which outranks all else. Choose one to take that back.",
            )
        )  # fmt: skip
    return Opened(body, now | {"unset": []}, n["version"], f"Edit {n['name']}")


def _identity(n: Mapping[str, Any]) -> Component:
    return html.Div(
        [html.Span(words.kind(n)), html.Code(f"{n['namespace']}/{n['aliases'][0]['name'] if n['aliases'] else n['name']}")],
        className="identity",
    )  # fmt: skip


def edit(said: Said) -> Done:
    node = nodes.resolve(_deps.dlv(), said.id or "")
    unset = list(said.changed.get("unset") or [])
    changes = fields({k: v for k, v in said.changed.items() if k != "unset"}, said.values)
    if not changes and not unset:
        return Done("Nothing was changed")
    with _deps.dlv().record.tx() as conn:
        node_edits.edit(conn, auth.actor(), node, changes, said.version, unset)
    return Done(f"{nodes.get(_deps.dlv(), node)['name']} is saved")


def open_retire(id_: str | None, _: Mapping[str, int]) -> Opened:
    n = _one(id_)
    text = (
        "It leaves the map, the lists and every count. Its history stays, and it can be brought back. "
        "Events that name it again do not bring it back by themselves."
    )
    return Opened([_identity(n), _forms.statement(text)], {}, n["version"], f"Retire {n['name']}?")


def open_unretire(id_: str | None, _: Mapping[str, int]) -> Opened:
    n = _one(id_)
    return Opened(
        [_identity(n), _forms.statement("It is on the map again, with the edges that hold.")],
        {}, n["version"], f"Bring back {n['name']}?",
    )  # fmt: skip


def retire(said: Said) -> Done:
    return _retire(said, back=False)


def unretire(said: Said) -> Done:
    return _retire(said, back=True)


def _retire(said: Said, *, back: bool) -> Done:
    node = nodes.resolve(_deps.dlv(), said.id or "")
    with _deps.dlv().record.tx() as conn:
        node_edits.retire(conn, auth.actor(), node, said.version, back=back)
    name = nodes.get(_deps.dlv(), node)["name"]
    return Done(f"{name} is back on the map" if back else f"{name} is retired")


def open_merge(id_: str | None, selected: Mapping[str, int]) -> Opened:
    if id_ is None and len(selected) == 2:
        id_, other = sorted(selected)
    else:
        other = None
        if id_ is None:
            raise Invalid("choose two nodes to merge", hint="tick exactly two rows, or use Merge in a row")
    n = _one(id_)
    known = [option(_one(other))] if other else []
    body = [
        _identity(n),
        picker("other", "Is the same as", known, other),
        _forms.statement(
            "Both become one node with both histories, names, edges and runs. "
            "It can be split again later, also after new events; what was set by hand on either is kept."
        ),
    ]
    return Opened(body, {"other": None, "id": id_}, None, f"Merge {n['name']} with another node")


def merge(said: Said, node: str | None = None) -> Done:
    if not said.values.get("other"):
        raise Invalid("choose the other node", field="other", hint="type a part of its name")
    dlv = _deps.dlv()
    first = said.id or next(i for i in sorted(said.ids) if i != said.values["other"])
    a, b = nodes.resolve(dlv, first), nodes.resolve(dlv, said.values["other"], "other")
    with dlv.record.tx() as conn:
        one = node_edits.merge(conn, auth.actor(), a, b)
    return Done(f"They are one node now: {nodes.get(dlv, one)['name']}")


def open_split(id_: str | None, _: Mapping[str, int]) -> Opened:
    n = _one(id_)
    names = [
        {"value": a["id"], "label": f"{a['namespace']}/{a['name']}" + (f" ({a['environment']})" if a["environment"] != "default" else "")}
        for a in n["aliases"]
    ]  # fmt: skip
    body = [
        _identity(n),
        _forms.choice(FORM, "alias", "Take this name out", names, None, searchable=True, withAsterisk=True),
        _forms.statement(
            "The name becomes a node of its own, with its edges, runs and what was set on it. "
            "It stays apart: later events do not join the two again. Merging them does."
        ),
    ]
    return Opened(body, {"alias": None}, None, f"Split {n['name']}")


def split(said: Said) -> Done:
    if not said.values.get("alias"):
        raise Invalid("choose a name", field="alias")
    dlv = _deps.dlv()
    node = nodes.resolve(dlv, said.id or "")
    with dlv.record.tx() as conn:
        _rest, gone = node_edits.split(conn, auth.actor(), node, UUID(said.values["alias"]))
    return Done(f"{nodes.get(dlv, gone)['name']} is a node of its own")


# ---------------------------------------------------------------- many at once

_LEAVE = "leave"


def matching(filters: Mapping[str, Any]) -> dict[str, int]:
    """All nodes that the list's filters leave, with the versions they have now."""
    found = _grid.matching_nodes(filters, node_edits.MAX_BULK)
    if not found:
        raise Invalid("no node matches", hint="take a filter away")
    return found


def open_matching(id_: str | None, found: Mapping[str, int]) -> Opened:
    opened = open_bulk(id_, found)
    return replace(opened, title=f"Edit all that match: {words.many(len(found), 'node')}")


def open_bulk(_: str | None, selected: Mapping[str, int]) -> Opened:
    if not selected:
        raise Invalid("no node is chosen", hint="tick the rows to edit, or edit all that match")
    leave = {"value": _LEAVE, "label": "Leave as it is"}
    nobody = {"value": "none", "label": "Nobody"}
    now = {"owner": _LEAVE, "criticality": _LEAVE, "sla_kind": _LEAVE, "sla_minutes": "", "tags_how": "add", "tags": [], "retired": _LEAVE}  # fmt: skip
    how = [
        {"value": "add", "label": "Add these"},
        {"value": "remove", "label": "Take these away"},
        {"value": "replace", "label": "Replace all by these"},
    ]
    body = [
        _forms.pair(
            _forms.choice(FORM, "owner", "Owner", [leave, nobody, *teams()], _LEAVE, searchable=True, allowDeselect=False),
            _forms.choice(FORM, "criticality", "Criticality", [leave, {"value": "none", "label": "Not said"}, *_CRITICAL], _LEAVE, allowDeselect=False),
        ),
        _forms.pair(
            _forms.choice(FORM, "sla_kind", "SLA", [leave, {"value": "none", "label": "None"}, *_SLA], _LEAVE, allowDeselect=False),
            _forms.number(FORM, "sla_minutes", "Minutes", "", allowNegative=False),
        ),
        _forms.pair(
            _forms.choice(FORM, "tags_how", "Tags", how, "add", allowDeselect=False),
            _forms.tags(FORM, "tags", "These", known_tags(), []),
        ),
        _forms.choice(FORM, "retired", "On the map", [leave, {"value": "yes", "label": "Retire them"}, {"value": "no", "label": "Bring them back"}], _LEAVE, allowDeselect=False),
    ]  # fmt: skip
    return Opened(body, now, None, f"Edit {words.many(len(selected), 'node')}")


def bulk(said: Said) -> Done:
    """All or nothing: one that somebody else changed since the list was read stops all."""
    v = said.values
    changes: dict[str, Any] = {}
    if v["owner"] != _LEAVE:
        changes["owner"] = None if v["owner"] == "none" else v["owner"]
    if v["criticality"] != _LEAVE:
        changes["criticality"] = None if v["criticality"] == "none" else int(v["criticality"])
    if v["sla_kind"] in (_LEAVE, "none") and v["sla_minutes"] not in ("", None):
        raise Invalid(
            "say what is promised within these minutes", field="sla_kind", hint="fresh within, or done within"
        )
    if v["sla_kind"] == "none":
        changes["sla"] = None
    elif v["sla_kind"] != _LEAVE:
        changes["sla"] = sla(v)
    tags = tags_of(v["tags"])
    retag = bool(tags) or v["tags_how"] == "replace"
    if not changes and not retag and v["retired"] == _LEAVE:
        raise Invalid("nothing is to be changed", hint="choose a field")
    dlv, actor = _deps.dlv(), auth.actor()
    with dlv.record.tx() as conn:
        by_tags: dict[tuple[str, ...] | None, list[UUID]] = {}
        versions: dict[UUID, int] = {}
        for id_, version in said.ids.items():
            node = nodes.uuid_of(id_)
            versions[node] = version
            wanted: tuple[str, ...] | None = None
            if retag:
                have = set(node_edits.current(conn, node)["tags"])
                new = {"add": have | set(tags), "remove": have - set(tags), "replace": set(tags)}[
                    v["tags_how"]
                ]
                wanted = tuple(sorted(new))
            by_tags.setdefault(wanted, []).append(node)
        if changes or retag:
            for wanted, ids in by_tags.items():
                all_ = changes if wanted is None else changes | {"tags": list(wanted)}
                node_edits.edit_many(conn, actor, ids, all_, versions)
                versions |= {i: versions[i] + 1 for i in ids}
        if v["retired"] != _LEAVE:
            for node, version in versions.items():
                node_edits.retire(conn, actor, node, version, back=v["retired"] == "no")
    return Done(f"{words.many(len(said.ids), 'node')} saved")


def many(said: Said) -> Done:
    """A conflict among many cannot be told field by field: the list is read anew instead."""
    try:
        return bulk(said)
    except Changed as e:
        raise Invalid(
            "somebody else changed one of these nodes since the list was read; none was saved",
            hint=f"close this, look at the list ({', '.join(e.changes) or 'it'} changed), and choose again",
        ) from None


# ---------------------------------------------------------------- choosing a node by typing


def picker(
    field: str, label: str, known: list[dict[str, str]], value: str | None, form: str = FORM
) -> Component:
    """A choice among all nodes, by what is typed."""
    return dmc.Select(
        id={"form": form, "field": field},
        label=label,
        data=known,
        value=value,
        searchable=True,
        clearable=True,
        placeholder="Type a part of its name",
        nothingFoundMessage="Nothing matches",
        filter={"function": "allPass"},
        size="sm",
        withAsterisk=True,
        comboboxProps={"shadow": "md"},
        maxDropdownHeight=280,
    )


def option(n: Mapping[str, Any]) -> dict[str, str]:
    return {"value": n["id"], "label": f"{n['name']} · {words.kind(n)} · {n['namespace']}"}


def found(typed: str | None, data: Any, value: str | None, type_: str | None = None) -> Any:
    """What a picker offers for what is typed so far; what is chosen stays among it."""
    if not typed or any(o["label"] == typed for o in data or []):
        return no_update  # the field shows what was just chosen; the choice may not have arrived yet
    try:
        hits = [option(n) for n in nodes.search(_deps.dlv(), typed, 20)]
    except DlvError:
        return no_update
    kept = [o for o in data or [] if o["value"] == value and all(h["value"] != value for h in hits)]
    return kept + hits


def wire_picker(form: str, field: str) -> None:
    callback(
        Output({"form": form, "field": field}, "data"),
        Input({"form": form, "field": field}, "searchValue"),
        State({"form": form, "field": field}, "data"),
        State({"form": form, "field": field}, "value"),
        prevent_initial_call=True,
    )(found)
