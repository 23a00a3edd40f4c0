"""The alert worker: decides about incidents, one at a time under an advisory lock, then tells people."""

from __future__ import annotations

from graph.driver import Graph
from settings import Settings
from store.record import Record
from workers import delivery


def step(record: Record, graph: Graph, settings: Settings) -> int:
    """Decide about new transitions, then deliver what is due; how much was done."""
    return decide(record, graph, settings) + delivery.deliver(record, settings)


def decide(record: Record, graph: Graph, settings: Settings) -> int:
    """Turn pending transitions into incidents; how many were decided."""
    return 0
