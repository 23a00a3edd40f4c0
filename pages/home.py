"""The first page: the wall. What is broken on top, then a tile for everything that DLV watches."""

from __future__ import annotations

from typing import Any

import dash
from dash.development.base_component import Component

from pages import _wall

dash.register_page(__name__, path="/", title="Health · DLV")


def layout(**_: Any) -> Component:
    return _wall.place()
