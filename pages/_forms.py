"""Forms in a dialog: fields with what is wrong beside them, and what to do where somebody else saved first.

A page makes one :class:`Dialog` with its actions, puts ``place()`` into its layout, and opens it with a button made by
:func:`opener` (or with a row's button, js/7-admin.js).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, callback, ctx, dcc, html, no_update
from dash.development.base_component import Component

import auth
from errors import Changed, DlvError, Forbidden
from pages import _words as words
from pages._icons import glyph, ic


@dataclass(frozen=True)
class Opened:
    """A form as it opens. ``values`` are what its fields hold, by field; only what differs from them is saved."""

    body: Sequence[Any]
    values: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None
    title: str | None = None


@dataclass(frozen=True)
class Said:
    """What was sent. ``changed`` holds the fields that differ from what the form opened with."""

    id: str | None
    ids: Mapping[str, int]
    values: Mapping[str, Any]
    changed: Mapping[str, Any]
    version: int | None


@dataclass(frozen=True)
class Done:
    """What came of it: a line for the page, and where ``show`` is given what the dialog shows from now on (a key that is
    shown once)."""

    line: str
    show: Any = None


@dataclass(frozen=True)
class Action:
    """One thing a dialog can do. ``open`` gets the id and the ids selected in the list; ``run`` does it."""

    title: str
    open: Callable[[str | None, Mapping[str, int]], Opened]
    run: Callable[[Said], Done]
    #: empty: the dialog only shows something
    button: str = "Save"
    danger: bool = False
    #: the least that may do it, where that is more than the dialog asks for
    role: str | None = None
    #: what it is done to where the list's filters say so and not what is ticked: filters → {id: version}
    matching: Callable[[Mapping[str, Any]], Mapping[str, int]] | None = None
    #: how a field's value is told when two people differ on it
    tell: Callable[[str, Any], str] = lambda _, v: told(v)


class Dialog:
    """A dialog and the one callback behind it: opens, saves, tells what is wrong or what changed meanwhile."""

    def __init__(
        self,
        name: str,
        actions: Mapping[str, Action],
        *,
        grid: str | None = None,
        fresh: bool = False,
        role: str = "admin",
        starts: bool = False,
        size: int = 620,
    ) -> None:
        """``grid``: the list that is read again after a save; without one, ``fresh`` makes a store ``{name}-fresh``
        that changes then. ``role``: the least that may open and save. ``starts``: a page may come with it open."""
        self.name, self.actions, self.size, self.role = name, dict(actions), size, role
        self.fresh = fresh or grid is not None
        self.own = fresh and grid is None
        tells = [Output(f"{grid or name}-fresh", "data")] if self.fresh else []
        selected = [State(grid, "selectedRows")] if grid else []
        if grid and any(a.matching for a in actions.values()):
            selected.append(State(f"{grid}-filters", "data"))
        callback(
            Output(f"{name}-dialog", "opened"),
            Output(f"{name}-dialog", "title"),
            Output(f"{name}-body", "children"),
            Output(f"{name}-state", "data"),
            Output(f"{name}-error", "children"),
            Output(f"{name}-conflict", "children"),
            Output(f"{name}-save", "children"),
            Output(f"{name}-save", "className"),
            Output(f"{name}-again", "className"),
            Output(f"{name}-shut", "children"),
            Output(f"{name}-toast", "children"),
            Output({"form": name, "field": ALL}, "error"),
            *tells,
            Input(f"{name}-ask", "data"),
            Input(f"{name}-save", "n_clicks"),
            Input(f"{name}-again", "n_clicks"),
            State({"form": name, "field": ALL}, "value"),
            State(f"{name}-state", "data"),
            *selected,
            running=[(Output(f"{name}-save", "disabled"), True, False)],
            prevent_initial_call=not starts,
        )(auth.requires(role)(self._answer))

    def place(self, first: Mapping[str, Any] | None = None) -> list[Component]:
        """The dialog and its stores. ``first``: {mode, id} to open with."""
        n = self.name
        return [
            # an empty store calls its callbacks as it mounts; one that holds something does not
            dcc.Store(id=f"{n}-ask", data=dict(first or {})),
            dcc.Store(id=f"{n}-state"),
            *([dcc.Store(id=f"{n}-fresh", data="")] if self.own else []),
            html.Div(id=f"{n}-toast", className="toast", role="status"),
            dmc.Modal(
                [
                    html.Div(id=f"{n}-body", className="form"),
                    html.Div(id=f"{n}-conflict", role="alert"),
                    html.P(id=f"{n}-error", className="form-error", role="alert"),
                    html.Div(
                        [
                            html.Button(
                                "Cancel", id=f"{n}-shut", className="btn quiet", **{"data-shut-dialog": n}
                            ),
                            html.Button("Write mine again", id=f"{n}-again", className="btn gone"),
                            html.Button("Save", id=f"{n}-save", className="btn primary form-save"),
                        ],
                        className="form-foot",
                    ),
                ],
                id=f"{n}-dialog",
                className="dialog",
                opened=False,
                keepMounted=True,
                size=self.size,
                centered=False,
                yOffset="6vh",
                transitionProps={"duration": 90},
                title="Form",
                closeButtonProps={"aria-label": "Close"},
            ),
        ]

    # ------------------------------------------------------------ the callback

    def _answer(
        self,
        ask: Any,
        _: Any,
        __: Any,
        values: list[Any],
        state: Any,
        selected: Any = None,
        filters: Any = None,
    ) -> tuple[Any, ...]:
        fields = [o["id"]["field"] for o in ctx.outputs_list[11]]
        if ctx.triggered_id is None and state:
            # fields that came while the form is open call this anew: nobody asked for it to be opened again
            return self._answer_of(fields, errors=[no_update] * len(fields))
        try:
            if ctx.triggered_id in (f"{self.name}-save", f"{self.name}-again"):
                again = ctx.triggered_id.endswith("-again")
                return self._save(dict(zip(fields, values, strict=True)), fields, state or {}, again)
            return self._open(ask, fields, selected or [], (filters or {}).get("values") or {})
        except Changed as e:
            return self._changed(e, fields, state or {})
        except DlvError as e:
            return self._wrong(e, fields)

    def _answer_of(self, fields: Sequence[str], **said: Any) -> tuple[Any, ...]:
        """The callback's answer: what is not said stays as it is, errors are wiped."""
        order = (
            "opened",
            "title",
            "body",
            "state",
            "error",
            "conflict",
            "button",
            "save",
            "again",
            "shut",
            "toast",
        )
        out = [said.get(k, no_update) for k in order]
        out.append(said.get("errors", [None] * len(fields)))
        if self.fresh:
            out.append(said.get("fresh", no_update))
        return tuple(out)

    def _open(
        self,
        ask: Any,
        fields: Sequence[str],
        selected: Sequence[Mapping[str, Any]],
        filters: Mapping[str, Any],
    ) -> tuple[Any, ...]:
        action = self.actions.get((ask or {}).get("mode", ""))
        if action is None:
            return self._answer_of(fields, errors=[no_update] * len(fields))
        if action.role and not auth.may(action.role):
            raise Forbidden(f"this needs {action.role}", hint="ask an admin of DLV")
        ids = {str(r["id"]): int(r.get("version") or 0) for r in selected} if not ask.get("id") else {}
        if action.matching:
            ids = dict(action.matching(filters))
        opened = action.open(ask.get("id"), ids)
        state = {
            "mode": ask["mode"],
            "id": ask.get("id"),
            "ids": ids,
            "version": opened.version,
            "values": dict(opened.values),
        }
        return self._answer_of(
            fields,
            opened=True,
            title=opened.title or action.title,
            body=list(opened.body),
            state=state,
            error="",
            conflict=None,
            button=action.button,
            save="btn form-save "
            + ("gone" if not action.button else "danger" if action.danger else "primary"),
            again="btn gone",
            shut="Cancel" if action.button else "Close",
            toast="",
            errors=[no_update] * len(fields),
        )

    def _save(
        self, values: dict[str, Any], fields: Sequence[str], state: Mapping[str, Any], again: bool
    ) -> tuple[Any, ...]:
        action = self.actions.get(state.get("mode", ""))
        if action is None:
            return self._answer_of(fields)
        if action.role and not auth.may(action.role):
            raise Forbidden(f"this needs {action.role}", hint="ask an admin of DLV")
        before = state.get("values") or {}
        said = Said(
            id=state.get("id"),
            ids=state.get("ids") or {},
            values=values,
            changed={k: v for k, v in values.items() if _same(v) != _same(before.get(k))},
            version=state.get("now") if again else state.get("version"),
        )
        done = action.run(said)
        common: dict[str, Any] = {
            "fresh": f"{state}{ctx.triggered[0]['value']}",
            "error": "",
            "conflict": None,
            "again": "btn gone",
        }
        toast = toasted("ok", done.line)
        if done.show is None:
            return self._answer_of(fields, opened=False, toast=toast, **common)
        return self._answer_of(
            fields,
            body=done.show,
            title=done.line,
            save="btn form-save gone",
            shut="Done",
            toast=toast,
            errors=[no_update] * len(fields),
            **common,
        )

    def _wrong(self, e: DlvError, fields: Sequence[str]) -> tuple[Any, ...]:
        """Beside the field that it is about; at the foot where it is about none of them."""
        at = place_of(e.field, fields)
        line = f"{sentence(e.message)} {sentence(e.hint)}".strip() if e.hint else sentence(e.message)
        if ctx.triggered_id == f"{self.name}-ask":
            return self._answer_of(fields, toast=toasted("failed", line), errors=[no_update] * len(fields))
        errors = [line if f == at else None for f in fields]
        return self._answer_of(fields, error="" if at else line, errors=errors)

    def _changed(self, e: Changed, fields: Sequence[str], state: Mapping[str, Any]) -> tuple[Any, ...]:
        """Somebody else saved first: what they wrote, what is mine, and both ways on."""
        tell = self.actions[state["mode"]].tell
        rows = [
            html.Tr(
                [
                    html.Th(name.replace("_", " ").capitalize(), scope="row"),
                    html.Td(
                        tell(name, c["yours"])
                        if "yours" in c
                        else html.Span("not changed by you", className="muted")
                    ),
                    html.Td(
                        [
                            tell(name, c.get("theirs")),
                            html.Div(f"{c['by']}, {words.ago(c['at'])}", className="muted")
                            if c.get("by")
                            else None,
                        ]
                    ),
                ]
            )
            for name, c in e.changes.items()
            if isinstance(c, Mapping)
        ]
        box = html.Div(
            [
                html.B("Somebody else saved this since you opened it"),
                html.Table(
                    [
                        html.Thead(
                            html.Tr(
                                [
                                    html.Th("Field", scope="col"),
                                    html.Th("Yours", scope="col"),
                                    html.Th("Theirs", scope="col"),
                                ]
                            )
                        ),
                        html.Tbody(rows),
                    ],
                    className="list",
                ),
                html.P(
                    "Nothing of yours is saved yet. Writing again saves your fields and leaves theirs in all others."
                ),
                html.Button(
                    "Take theirs",
                    className="btn small",
                    **{
                        "data-ask-dialog": self.name,
                        "data-mode": state["mode"],
                        **({"data-id": state["id"]} if state.get("id") else {}),
                    },
                ),
            ],
            className="conflict",
        )
        return self._answer_of(
            fields,
            conflict=box,
            state={**state, "now": e.version},
            save="btn form-save gone",
            again="btn primary",
            error="",
        )


def toasted(state: str, line: str) -> Component:
    """A line that stays for some seconds; its key is new each time, so that it shows again."""
    return html.Div([glyph(state), html.Span(line)], className=f"toast-in c-{state}", key=uuid4().hex)


def place_of(said: str | None, fields: Sequence[str]) -> str | None:
    """The form's field that an error's field means: sla.minutes is sla_minutes, people.0.email is people."""
    if not said:
        return None
    for name in (said.replace(".", "_"), said.split(".")[0]):
        if name in fields:
            return name
    return None


def sentence(text: str | None) -> str:
    """A message as a sentence of its own."""
    text = (text or "").strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!", "…")) else ".") if text else ""


def _same(value: Any) -> Any:
    return None if value in ("", [], None) else value


def told(value: Any) -> str:
    """A field's value in words."""
    if value in (None, "", []):
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(told(v) for v in value)
    if isinstance(value, Mapping):
        if set(value) == {"kind", "minutes"}:
            return words.sla({"sla": value})
        return " ".join(str(v) for v in value.values() if v)
    return str(value)


# ---------------------------------------------------------------- buttons and fields


def opener(dialog: str, mode: str, label: str, icon: str, *, primary: bool = False, **more: Any) -> Component:
    """A button that opens a dialog."""
    return html.Button(
        [ic(icon), label],
        className="btn small primary" if primary else "btn small",
        **{"data-ask-dialog": dialog, "data-mode": mode, **more},
    )


def _id(form: str, name: str) -> dict[str, str]:
    return {"form": form, "field": name}


def text(form: str, name: str, label: str, value: Any = "", **more: Any) -> Component:
    return dmc.TextInput(id=_id(form, name), label=label, value=value or "", **_plain(more))


def area(form: str, name: str, label: str, value: Any = "", **more: Any) -> Component:
    tall = {"autosize": True, "minRows": 2, "maxRows": 12}
    return dmc.Textarea(id=_id(form, name), label=label, value=value or "", **(tall | _plain(more)))


def number(form: str, name: str, label: str, value: Any = "", **more: Any) -> Component:
    return dmc.NumberInput(
        id=_id(form, name), label=label, value="" if value is None else value, **_plain(more)
    )


def choice(
    form: str, name: str, label: str, data: Sequence[Any], value: Any = None, **more: Any
) -> Component:
    return dmc.Select(id=_id(form, name), label=label, data=list(data), value=value, **_box(more))


def several(form: str, name: str, label: str, data: Sequence[Any], value: Any = (), **more: Any) -> Component:
    return dmc.MultiSelect(
        id=_id(form, name), label=label, data=list(data), value=list(value or ()), **_box(more)
    )


def tags(form: str, name: str, label: str, data: Sequence[str], value: Any = (), **more: Any) -> Component:
    return dmc.TagsInput(
        id=_id(form, name),
        label=label,
        data=list(data),
        value=list(value or ()),
        splitChars=[",", ";", " "],
        **_box(more),
    )


def _plain(more: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": "sm", **more}


def _box(more: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": "sm", "comboboxProps": {"shadow": "md"}, "maxDropdownHeight": 260, **more}


def pair(*fields: Component) -> Component:
    """Fields side by side."""
    return html.Div(list(fields), className="form-pair")


def statement(*parts: Any) -> Component:
    """What an action will do, in words, before it is done."""
    return html.Div([html.P(p) if isinstance(p, str) else p for p in parts], className="statement")


def secret(label: str, value: str, note: str) -> Component:
    """Something that is shown once, with a button that copies it."""
    return html.Div(
        [
            html.H3(label),
            html.Div(
                [
                    html.Code(value, id="shown-once", className="shown-once"),
                    html.Button(
                        [ic("copy"), html.Span("Copy")], className="btn small", **{"data-copy": "shown-once"}
                    ),
                ],
                className="once-line",
            ),
            html.P(note, className="muted"),
        ],
        className="once",
    )
