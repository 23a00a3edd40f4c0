"""Icons and marks as components. Every one is a mask over the colour of its text, so that one file serves both
schemes; the files are in assets/icons, their licences in assets/vendor/LICENSES.md.
"""

from __future__ import annotations

from typing import Any

from dash import html

from answers.look import mark_of
from pages import _words as words


def ic(name: str, **style: Any) -> html.Span:
    """One icon, for the eye only: whoever listens hears the text beside it."""
    return html.Span(
        className="ic", style={"--i": f"url(/assets/icons/{name}.svg)", **style}, **{"aria-hidden": "true"}
    )


def sys(node: Any) -> html.Span:
    """The mark of a node's system, in the system's colour."""
    mark = mark_of(node["system"], node["kind"], node["type"])
    return html.Span(
        className=f"ic sys {node['system']}",
        style={"--i": f"url(/assets/icons/{mark}.svg)"},
        title=words.kind(node),
        **{"aria-hidden": "true"},
    )


def glyph(state: str) -> html.Span:
    """The shape that stands for a state, without its word: only ever beside the word."""
    return html.Span(
        className="glyph", style={"--i": f"url(/assets/icons/st-{state}.svg)"}, **{"aria-hidden": "true"}
    )


def health(state: str) -> html.Span:
    """Own health by shape, word and colour."""
    return html.Span([glyph(state), words.HEALTH[state]], className=f"st c-{state}")


_LOOK = {"root": "tag solid", "symptom": "tag hollow", "at_risk": "tag dashed"}


def role(name: str | None) -> html.Span | None:
    """Root cause, symptom or at risk: a filled, a hollow and a dashed mark; None for a node that is none of these."""
    if name is None:
        return None
    return html.Span([glyph(name), words.ROLES[name]], className=f"{_LOOK[name]} c-{name}")
