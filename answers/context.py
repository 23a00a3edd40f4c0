"""What every question needs, in one bundle that is handed down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from settings import Settings
from store.record import Record

if TYPE_CHECKING:
    from graph.driver import Graph


@dataclass(frozen=True)
class Dlv:
    """The settings, the record (Postgres) and the graph. Pages and api take it from
    ``flask.current_app.extensions["dlv"]``.
    """

    settings: Settings
    record: Record
    graph: Graph
