"""Which nodes are meant: by name, tag and team. The part of a form that alert rules and silences share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import dash_mantine_components as dmc
from dash import Input, Output, State, callback, no_update
from dash.development.base_component import Component

import auth
from answers import nodes
from errors import DlvError
from pages import _deps, _forms
from pages import _node_forms as node_forms
from pages import _words as words
from store import alert_rules

FIELDS = ("nodes", "tags", "teams")


def body(form: str, now: Mapping[str, Any], any_: str) -> list[Component]:
    """The three fields; ``any_`` is what an empty one means."""
    return [
        dmc.MultiSelect(
            id={"form": form, "field": "nodes"},
            label="Nodes",
            data=options(now["nodes"]),
            value=[str(n) for n in now["nodes"]],
            searchable=True,
            clearable=True,
            placeholder=any_ if not now["nodes"] else "",
            nothingFoundMessage="Type a part of a name",
            filter={"function": "allPass"},
            hidePickedOptions=True,
            size="sm",
            comboboxProps={"shadow": "md"},
            maxDropdownHeight=260,
        ),
        _forms.pair(
            _forms.tags(
                form, "tags", "Tags", node_forms.known_tags(), now["tags"], placeholder=any_ if not now["tags"] else ""
            ),
            _forms.several(
                form,
                "teams",
                "Teams",
                node_forms.teams(),
                [str(t) for t in now["teams"]],
                searchable=True,
                clearable=True,
                placeholder=any_ if not now["teams"] else "",
            ),
        ),
    ]  # fmt: skip


def values(now: Mapping[str, Any]) -> dict[str, Any]:
    """As the form holds them."""
    return {
        "nodes": [str(n) for n in now["nodes"]],
        "tags": list(now["tags"]),
        "teams": [str(t) for t in now["teams"]],
    }


def read(said: Mapping[str, Any]) -> dict[str, Any]:
    """As the store takes them: those of the three that are among what was said."""
    out: dict[str, Any] = {}
    for name in ("nodes", "teams"):
        if name in said:
            out[name] = list(said[name] or [])
    if "tags" in said:
        out["tags"] = node_forms.tags_of(said["tags"])
    return out


def options(ids: Iterable[UUID | str]) -> list[dict[str, str]]:
    """Nodes as choices, by their names."""
    wanted = [i if isinstance(i, UUID) else UUID(str(i)) for i in ids]
    if not wanted:
        return []
    with _deps.dlv().record.tx() as conn:
        found = alert_rules.called(conn, wanted)
    return [
        {"value": str(i), "label": _label(found[i]) if i in found else "a node that is gone"} for i in wanted
    ]


def _label(n: Mapping[str, Any]) -> str:
    return f"{n['name']} · {words.kind(n)}"


def wire(form: str, role: str) -> None:
    """Register what offers nodes for what is typed; once, at import."""

    def offer(typed: str | None, data: Any, value: list[str] | None) -> Any:
        if not typed:
            return no_update
        try:
            hits = nodes.search(_deps.dlv(), typed, 20)
        except DlvError:
            return no_update
        chosen = set(value or [])
        kept = [o for o in data or [] if o["value"] in chosen]
        return kept + [{"value": n["id"], "label": _label(n)} for n in hits if n["id"] not in chosen]

    callback(
        Output({"form": form, "field": "nodes"}, "data"),
        Input({"form": form, "field": "nodes"}, "searchValue"),
        State({"form": form, "field": "nodes"}, "data"),
        State({"form": form, "field": "nodes"}, "value"),
        prevent_initial_call=True,
    )(auth.requires(role)(offer))


def said(now: Mapping[str, Any], teams: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    """What is meant, in words: 'orders', 'tag gold', 'team Finance'."""
    out = [names.get(str(n), "a node that is gone") for n in now["nodes"][:3]]
    if len(now["nodes"]) > 3:
        out.append(f"{len(now['nodes']) - 3} more nodes")
    out += [f"tag {t}" for t in now["tags"]]
    return out + [f"team {teams.get(str(t), 'that is gone')}" for t in now["teams"]]


def names_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """{id: name} of the nodes that these name."""
    with _deps.dlv().record.tx() as conn:
        found = alert_rules.called(conn, {n for r in rows for n in r["nodes"][:3]})
    return {str(i): n["name"] for i, n in found.items()}
