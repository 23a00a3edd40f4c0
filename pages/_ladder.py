"""How far a connection came: name, route, TLS, sign-in, permission, each with its state, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

from pages import _forms
from pages import _words as words
from pages._icons import glyph

STEPS = {"name": "Name", "route": "Route", "tls": "TLS", "sign-in": "Sign-in", "permission": "Permission"}
_STATES = {
    "ok": ("ok", "ok"),
    "failed": ("failed", "failed"),
    "skipped": ("unknown", "not used"),
    "open": ("unknown", "not reached"),
}


def ladder(tested: Mapping[str, Any]) -> Component:
    """A test as :meth:`connections.kind.Tested.shown` tells it, or as the record keeps it (then with ``at``)."""
    rungs = []
    for one in tested.get("steps", ()):
        look, word = _STATES[one["state"]]
        rungs.append(
            html.Li(
                [glyph(look), html.B(STEPS[one["step"]]), html.Span(word)],
                className=f"rung {one['state']} c-{look}",
            )
        )
    state = "ok" if tested["ok"] else "failed"
    title = "It works" if tested["ok"] else f"{STEPS[tested['step']]} failed"
    tail = f"tried {words.ago(tested['at'])}" if tested.get("at") else f"after {tested['seconds']:.1f} s"
    return html.Div(
        [
            html.Ol(rungs, className="rungs", **{"aria-label": "How far it came"}),
            html.Div(
                [
                    html.P(
                        [html.B(title), html.Span(tail, className="muted")],
                        className=f"said-head c-{state}",
                    ),
                    html.P(_forms.sentence(tested["message"])),
                    html.P(_forms.sentence(tested["hint"]), className="hint") if tested.get("hint") else None,
                ],
                className="said",
            ),
        ],
        className=f"ladder c-{state}",
        role="status",
    )
