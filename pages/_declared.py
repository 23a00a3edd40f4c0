"""Forms made from declared fields: the form, the API and the docs read the same declaration.

A field is anything with the attributes of :class:`Declared`; kinds of connection, check and channel have them. A field
that counts only beside some value of another is shown only then, in the browser (js/9-declared.js).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from dash import ALL, ClientsideFunction, Input, Output, clientside_callback, dcc, html
from dash.development.base_component import Component

from pages import _forms

#: how many of six columns a field takes
_WIDTH = {
    "host": 4, "port": 2, "number": 3, "choice": 3, "url": 6, "hosts": 6, "path": 6, "area": 6, "pem": 6, "sql": 6, "text": 3, "header": 3,
}  # fmt: skip
When = tuple[str, tuple[str, ...]]
SET = "Set; write to replace it"


class Declared(Protocol):
    """What a field says of itself. ``when``: (another field, its values) beside which it counts."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def default(self) -> Any: ...
    @property
    def choices(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def help(self) -> str: ...
    @property
    def example(self) -> str: ...
    @property
    def when(self) -> When | None: ...
    @property
    def secret(self) -> bool: ...


def values(fields: Iterable[Declared], now: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a form of these fields opens with: what is stored, else the defaults; of secrets nothing."""
    said = now or {}
    return {
        f.name: "" if f.secret else said.get(f.name, f.default if f.default is not None else "")
        for f in fields
    }


def body(
    form: str, fields: Iterable[Declared], now: Mapping[str, Any], kept: Collection[str] = (), *, fold: str = "Certificates"
) -> list[Component]:  # fmt: skip
    """The fields as components. ``kept``: secrets that are stored; certificates lie folded under ``fold``."""
    plain: list[Component] = []
    folded: list[Component] = []
    for f in fields:
        (folded if f.kind == "pem" else plain).append(_placed(form, f, now, kept))
    out: list[Component] = [html.Div(plain, className="declared")]
    if folded:
        stored = any(now.get(f.name) or f.name in kept for f in fields if f.kind == "pem")
        details = html.Details(
            [html.Summary(fold), html.Div(folded, className="declared")], open=stored, className="folded"
        )
        out.append(html.Div(details, **_when(_any([f.when for f in fields if f.kind == "pem"]))))
    return out


def _placed(form: str, f: Declared, now: Mapping[str, Any], kept: Collection[str]) -> Component:
    return html.Div(
        _component(form, f, now.get(f.name), f.name in kept),
        className=f"w{_WIDTH.get(f.kind, 3)}",
        **_when(f.when),
    )


def _any(whens: Sequence[When | None]) -> When | None:
    """When any of these fields is shown; None: always, or not told by one field."""
    names = {w[0] for w in whens if w}
    if None in whens or len(names) != 1:
        return None
    return names.pop(), tuple(dict.fromkeys(v for w in whens if w for v in w[1]))


def _when(when: When | None) -> dict[str, str]:
    return {"data-when": json.dumps([when[0], list(when[1])])} if when else {}


def _component(form: str, f: Declared, value: Any, kept: bool) -> Component:
    # what a field says of itself stands below it, so that fields side by side stay on one line
    more: dict[str, Any] = {"inputWrapperOrder": ["label", "input", "description", "error"]}
    if f.help:
        more["description"] = f.help
    if f.required:
        more["withAsterisk"] = True
    if f.secret:
        more |= {"placeholder": SET} if kept else {}
        if f.kind == "pem":
            return _forms.area(
                form, f.name, f.label, "", className="mono-field", minRows=3, maxRows=6, **more
            )
        # no password field: the browser would offer to keep it, and it belongs to no account of whoever types it
        return _forms.text(form, f.name, f.label, "", autoComplete="off", className="secret-field", **more)
    if f.kind == "choice":
        data = [{"value": v, "label": label} for v, label in f.choices]
        return _forms.choice(form, f.name, f.label, data, value or f.default, allowDeselect=False, **more)
    if f.kind in ("port", "number"):
        return _forms.number(
            form, f.name, f.label, value, allowDecimal=False, allowNegative=False, thousandSeparator="", hideControls=True, **more
        )  # fmt: skip
    if f.example:
        more["placeholder"] = f.example
    if f.kind == "pem":
        more["placeholder"] = "-----BEGIN CERTIFICATE-----"
        return _forms.area(form, f.name, f.label, value, className="mono-field", minRows=3, maxRows=6, **more)
    if f.kind == "sql":
        return _forms.area(form, f.name, f.label, value, className="mono-field", minRows=4, **more)
    if f.kind == "area":
        return _forms.area(form, f.name, f.label, value, **more)
    return _forms.text(form, f.name, f.label, value, autoComplete="off", **more)


def follow(form: str) -> None:
    """Register, once at import, what shows and hides fields; :func:`place` goes into the layout."""
    clientside_callback(
        ClientsideFunction("dlv", "declared_follow"),
        Output(f"{form}-declared", "data"),
        Input({"form": form, "field": ALL}, "value"),
        prevent_initial_call=True,
    )


def place(form: str) -> Component:
    return dcc.Store(id=f"{form}-declared")


def split(
    fields: Iterable[Declared], said: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """(plain, secrets) of what a form said: fields that do not count are left out, an empty secret stays as it is."""
    counts = {f.name: f.when is None or said.get(f.when[0]) in f.when[1] for f in fields}
    plain = {f.name: said.get(f.name) for f in fields if not f.secret and counts[f.name] and f.name in said}
    secrets = {f.name: said[f.name] for f in fields if f.secret and counts[f.name] and said.get(f.name)}
    return plain, secrets
