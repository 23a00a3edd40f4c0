"""The wall for a screen that nobody touches: /wall?kiosk=1. Without the parameter it is the first page."""

from __future__ import annotations

from typing import Any

import dash
from dash.development.base_component import Component

from pages import _wall

dash.register_page(__name__, path="/wall", title="Health · DLV")


def layout(kiosk: str = "", **_: Any) -> Component:
    return _wall.place(kiosk=kiosk not in ("", "0"))
