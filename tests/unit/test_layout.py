"""Where the canvas draws what: layers to the right, room between cards, the same picture every time."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from answers.layout import COLUMN, ROW, acyclic, place, spaced

graphs = st.integers(1, 25).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=60)
    )
)


@given(graphs)
def test_cards_never_overlap_and_every_card_has_a_place(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, edges = graph
    at = place(range(n), edges)
    assert set(at) == set(range(n))
    by_column: dict[int, list[int]] = {}
    for x, y in at.values():
        assert x >= 0 and y >= 0 and x % COLUMN == 0
        by_column.setdefault(x, []).append(y)
    for ys in by_column.values():
        assert all(b - a >= ROW - 1 for a, b in pairwise(sorted(ys)))


@given(graphs)
def test_what_is_no_cycle_runs_from_left_to_right(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, pairs = graph
    edges = [(min(p), max(p)) for p in pairs if p[0] != p[1]]
    at = place(range(n), edges)
    assert all(at[a][0] < at[b][0] for a, b in edges)


@given(graphs)
def test_breaking_cycles_turns_edges_round_and_loses_none(graph: tuple[int, list[tuple[int, int]]]) -> None:
    n, pairs = graph
    said = sorted({p for p in pairs if p[0] != p[1]})
    forward = acyclic(n, said)
    assert {frozenset(p) for p in forward} == {frozenset(p) for p in said}
    order: list[int] = []
    left = {v: {a for a, b in forward if b == v} for v in range(n)}
    while left:
        free = [v for v, before in left.items() if not before & left.keys()]
        assert free, "a cycle is left"
        order += free
        for v in free:
            del left[v]


def test_the_same_graph_gives_the_same_picture_whatever_order_its_edges_come_in() -> None:
    edges = [(a, b) for a in range(8) for b in range(8, 16) if (a * b) % 3 == 0]
    shuffled = edges[:]
    random.Random(1).shuffle(shuffled)
    assert place(range(16), edges) == place(range(16), shuffled)


def test_a_chain_runs_straight_and_a_source_stands_beside_what_it_feeds() -> None:
    at = place("abcdx", [("a", "b"), ("b", "c"), ("c", "d"), ("x", "d")])
    assert at["a"][1] == at["b"][1]
    assert at["x"][0] == at["c"][0], "a source of the last card is not drawn at the far left"


def test_a_group_stands_together() -> None:
    nodes = ["s", *(f"n{i}" for i in range(6))]
    group = {f"n{i}": "dag" if i % 2 else "" for i in range(6)}
    at = place(nodes, [("s", n) for n in nodes[1:]], group=group)
    order = sorted((n for n in nodes[1:]), key=lambda n: at[n][1])
    where = [order.index(n) for n in nodes[1:] if group[n]]
    assert max(where) - min(where) == len(where) - 1


@given(st.lists(st.floats(-1e6, 1e6), max_size=40))
def test_spacing_keeps_order_and_distance(wish: list[float]) -> None:
    at = spaced(wish, 10)
    assert len(at) == len(wish)
    assert all(b - a >= 10 - 1e-3 for a, b in pairwise(at))


def test_spacing_leaves_alone_what_has_room() -> None:
    assert spaced([0.0, 50.0, 200.0], 10) == [0.0, 50.0, 200.0]
    assert spaced([5.0, 5.0], 10) == [0.0, 10.0]
