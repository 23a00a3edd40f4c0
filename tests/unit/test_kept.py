"""Answers about reach are kept while the graph is as it was, and no longer."""

from __future__ import annotations

from uuid import UUID

import pytest

from answers import kept
from graph.driver import Graph
from graph.model import Reach


def answer(nodes: int = 0) -> Reach:
    return Reach(nodes, [(UUID(int=i), 1) for i in range(nodes)], {}, {}, {}, {}, False)


class Asked:
    """Counts how often it is asked."""

    def __init__(self, nodes: int = 0) -> None:
        self.times = 0
        self.nodes = nodes

    def __call__(self) -> Reach:
        self.times += 1
        return answer(self.nodes)


@pytest.fixture
def graph() -> Graph:
    return Graph("bolt://127.0.0.1:1")


def test_a_question_is_asked_once_while_nothing_changes(graph: Graph) -> None:
    ask = Asked()
    first = kept.answer(graph, 1, "q", ask)
    assert kept.answer(graph, 1, "q", ask) is first and ask.times == 1
    kept.answer(graph, 1, "another", ask)
    assert ask.times == 2


def test_every_change_of_the_graph_and_every_other_graph_is_asked_anew(graph: Graph) -> None:
    ask = Asked()
    kept.answer(graph, 1, "q", ask)
    kept.answer(graph, 2, "q", ask)
    kept.answer(Graph("bolt://127.0.0.1:1"), 2, "q", ask)
    assert ask.times == 3
    kept.answer(graph, 2, "q", ask)
    assert ask.times == 3


def test_what_is_asked_while_the_graph_changes_is_not_an_answer_about_it_afterwards(graph: Graph) -> None:
    def slow() -> Reach:
        kept.answer(graph, "after", "other", Asked())
        return answer()

    ask = Asked()
    kept.answer(graph, "before", "q", slow)
    kept.answer(graph, "after", "q", ask)
    assert ask.times == 1


def test_an_error_is_not_an_answer(graph: Graph) -> None:
    def broken() -> Reach:
        raise ValueError("no")

    ask = Asked()
    with pytest.raises(ValueError, match="no"):
        kept.answer(graph, 1, "q", broken)
    kept.answer(graph, 1, "q", ask)
    assert ask.times == 1


def test_the_newest_are_kept_and_none_that_is_large(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 2)
    monkeypatch.setattr(kept, "MOST_ITEMS", 3)
    small, large = Asked(3), Asked(4)
    for question in ("a", "b", "a", "c"):
        kept.answer(graph, 1, question, small)
    assert small.times == 3, "a, b and c, once each"
    kept.answer(graph, 1, "a", small)
    assert small.times == 3, "it was asked after b, which went"
    kept.answer(graph, 1, "b", small)
    assert small.times == 4
    kept.answer(graph, 1, "large", large)
    kept.answer(graph, 1, "large", large)
    assert large.times == 2
