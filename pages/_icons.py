"""Icons and marks as components. Every one is a mask over the colour of its text, so that one file serves both
schemes; the files are in assets/icons, their licences in assets/vendor/LICENSES.md.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from dash import html

from pages import _words as words

ICONS = Path(__file__).resolve().parent.parent / "assets" / "icons"

#: systems that have no mark of their own are drawn as what they are
_ALIKE = {
    "s3": "kind-bucket",
    "gs": "kind-bucket",
    "abfss": "kind-bucket",
    "wasbs": "kind-bucket",
    "oss": "kind-bucket",
}
_KINDS = {"stream": "topic", "project": "project", "notebook": "query", "sql": "query", "connector": "job"}


@functools.cache
def names() -> frozenset[str]:
    return frozenset(p.stem for p in ICONS.glob("*.svg"))


def ic(name: str, **style: Any) -> html.Span:
    """One icon, for the eye only: whoever listens hears the text beside it."""
    return html.Span(
        className="ic", style={"--i": f"url(/assets/icons/{name}.svg)", **style}, **{"aria-hidden": "true"}
    )


def mark_of(system: str, kind: str, type_: str) -> str:
    """The file that stands for a node: its system's mark, else its kind's."""
    if f"sys-{system}" in names():
        return f"sys-{system}"
    if system in ("dbt", "api"):
        return f"kind-{system}"
    if kind not in ("table", "view", "topic", "dashboard") and system in _ALIKE:
        return _ALIKE[system]
    named = f"kind-{_KINDS.get(kind, kind)}"
    if named in names():
        return named
    return "kind-job" if type_ == "job" else "kind-dataset"


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
