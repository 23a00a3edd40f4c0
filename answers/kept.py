"""Answers about reach, kept for as long as the graph is as it was when it gave them.

An incident has everybody whom it concerns ask the same, and each page that refreshes itself asks it again. The record
says when the graph last changed: the projector notes it after each change, before which a kept answer may be what was
true a moment ago, as any answer on its way may be.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from graph.model import Reach

if TYPE_CHECKING:
    from graph.driver import Graph

#: so many answers of one graph, none of them with more nodes than this
MOST, MOST_ITEMS = 200, 500


class _Kept:
    def __init__(self, state: Hashable) -> None:
        self.state = state
        self.answers: OrderedDict[Hashable, Reach] = OrderedDict()


_kept: WeakKeyDictionary[Graph, _Kept] = WeakKeyDictionary()
_lock = threading.Lock()


def answer(graph: Graph, state: Hashable, question: Hashable, ask: Callable[[], Reach]) -> Reach:
    """What was answered to this question in this state of the graph, else what ``ask`` says; nobody may change it."""
    with _lock:
        kept = _kept.get(graph)
        if kept is None or kept.state != state:
            kept = _kept[graph] = _Kept(state)
        elif question in kept.answers:
            kept.answers.move_to_end(question)
            return kept.answers[question]
    said = ask()
    if len(said.items) <= MOST_ITEMS:
        with _lock:
            kept.answers[question] = said
            while len(kept.answers) > MOST:
                kept.answers.popitem(last=False)
    return said
