"""What is broken now: each root cause with what it said, since when, whose it is, and what it takes down."""

from __future__ import annotations

import dash
from dash import html

dash.register_page(__name__, path="/", title="Overview · DLV")


def layout() -> html.Div:
    return html.Div(html.H1("Overview"), className="pad")
