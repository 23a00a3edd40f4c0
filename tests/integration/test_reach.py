"""Reach on both engines, each answer compared as a set with a breadth-first search in memory."""

from __future__ import annotations

import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from estates import Estate, clique, diamonds, graph_edges, hub, random_estate, ring, uid

from graph import project, reach, schema
from graph.driver import Graph
from graph.model import Direction, Filters

G = 1
BOTH: tuple[Direction, Direction] = ("downstream", "upstream")


def load(graph: Graph, estate: Estate) -> None:
    schema.prepare(graph, G)
    schema.drop(graph, G)
    nodes, edges = list(estate.nodes.values()), graph_edges(estate.edges)
    for i in range(0, len(nodes), 5000):
        project.fill(graph, G, nodes=nodes[i : i + 5000], epoch=1)
    for i in range(0, len(edges), 5000):
        project.fill(graph, G, edges=edges[i : i + 5000], epoch=1)


def compare(
    graph: Graph,
    estate: Estate,
    start: UUID,
    direction: Direction,
    depth: int | None = None,
    filters: Filters | None = None,
    limit: int = 10_000,
) -> None:
    """The whole answer of impact, counts too, with the oracle's."""
    from_dataset = estate.nodes[start].type == "dataset"
    want = estate.reach(start, direction, depth, filters)
    got = reach.impact(graph, G, start, from_dataset, direction, depth, filters, limit)
    assert got.items == [(n, hop) for hop, n in want[:limit]]
    assert got.cut == (len(want) > limit)
    assert got.total == len(want)
    assert got.by_hop == Counter(hop for hop, _ in want)
    assert got.by_kind == Counter(estate.nodes[n].kind for _, n in want)
    assert got.by_system == Counter(estate.nodes[n].system for _, n in want)
    assert got.by_owner == Counter(estate.nodes[n].owner for _, n in want)


def test_random_graphs(engine: Graph) -> None:
    rng = random.Random(20)
    for _ in range(12):
        estate = random_estate(rng, rng.randint(1, 25), rng.randint(1, 25), rng.randint(0, 90))
        load(engine, estate)
        for start in rng.sample(sorted(estate.nodes), min(4, len(estate.nodes))):
            for direction in BOTH:
                compare(engine, estate, start, direction)
                compare(engine, estate, start, direction, rng.randint(1, 4))
                lengths = estate.lengths(start, direction)
                steps = rng.randint(1, 6)
                assert reach.within(engine, G, start, direction) == sorted(lengths)
                near = sorted(n for n, length in lengths.items() if length <= steps)
                assert reach.within(engine, G, start, direction, steps) == near
        some = set(rng.sample(sorted(estate.nodes), min(12, len(estate.nodes))))
        assert reach.induced(engine, G, some) == sorted(e for e in estate.edges if some >= set(e))
        into, out = Counter(t for _, t in estate.edges), Counter(s for s, _ in estate.edges)
        assert reach.degrees(engine, G, some) == {n: (into[n], out[n]) for n in some}
        for direction in BOTH:
            assert reach.below(engine, G, some, direction) == many(estate, some, direction)


def many(estate: Estate, starts: set[UUID], direction: Direction) -> set[UUID]:
    """What is reached by at least one edge from any of the starts, themselves too where a way leads back."""
    out = estate.neighbours(direction)
    found: set[UUID] = set()
    todo = deque(starts)
    while todo:
        for t in out[todo.popleft()]:
            if t not in found:
                found.add(t)
                todo.append(t)
    return found


FILTERS = [
    Filters(type=("dataset",)),
    Filters(kind=("table", "task")),
    Filters(system=("postgres",)),
    Filters(environment=("prod",), owner=(str(uid(9001)), "")),
    Filters(tag=("pii",)),
    Filters(tag=("pii", "gold"), system=("kafka", "spark")),
    Filters(kind=("no such kind",)),
]


def test_filters_select_and_never_prune(engine: Graph) -> None:
    rng = random.Random(21)
    estate = random_estate(rng, 60, 60, 200)
    load(engine, estate)
    starts = rng.sample(sorted(estate.nodes), 3)
    for filters, start, direction in itertools.product(FILTERS, starts, BOTH):
        compare(engine, estate, start, direction, None, filters)
    compare(engine, estate, starts[0], "downstream", 2, FILTERS[5])


def test_pages_follow_each_other_without_gap_or_repeat(engine: Graph) -> None:
    estate = random_estate(random.Random(22), 60, 60, 260)
    load(engine, estate)
    start = max(estate.nodes, key=lambda n: len(estate.lengths(n, "downstream")))
    from_dataset = estate.nodes[start].type == "dataset"
    for filters in (Filters(), Filters(tag=("pii",))):
        want = estate.reach(start, "downstream", None, filters)
        assert len(want) > 20
        pages: list[tuple[UUID, int]] = []
        after = None
        while True:
            page = reach.impact(engine, G, start, from_dataset, "downstream", None, filters, 7, after)
            assert page.total == len(want)
            pages += page.items
            if not page.cut:
                break
            after = (page.items[-1][1], page.items[-1][0])
        assert pages == [(n, hop) for hop, n in want]
        last = (want[-1][0], want[-1][1])
        assert reach.impact(engine, G, start, from_dataset, "downstream", None, filters, 7, last).items == []


@pytest.mark.parametrize(
    ("make", "start", "end"),
    [(diamonds, 0, 120), (ring, 0, 500), (clique, 0, 31)],
    ids=["40 diamonds", "ring of 1000", "clique of 30"],
)
def test_shapes_that_break_the_enumeration_of_paths(
    engine: Graph, make: Callable[[], Estate], start: int, end: int
) -> None:
    estate = make()
    load(engine, estate)
    for direction in BOTH:
        for n in (start, end):
            compare(engine, estate, uid(n), direction)
            compare(engine, estate, uid(n), direction, 3, Filters(system=("spark",)), 5)
    lengths = estate.lengths(uid(start), "downstream")
    assert uid(start) not in {n for n, _ in reach.impact(engine, G, uid(start), True).items}
    path = reach.shortest(engine, G, uid(start), uid(end))
    assert len(path) == lengths[uid(end)] + 1
    assert set(itertools.pairwise(path)) <= estate.edges
    found = reach.paths(engine, G, uid(start), uid(end), 5)
    assert len(found.paths[0]) == len(path)
    assert found.cut == (make is not ring)


def test_a_job_that_reads_what_it_writes(engine: Graph) -> None:
    from estates import bipartite

    estate = bipartite([(0, 1), (1, 0), (1, 2)], [1])
    load(engine, estate)
    for start, direction in itertools.product(estate.nodes, BOTH):
        compare(engine, estate, start, direction)
    assert reach.below(engine, G, [uid(0)]) == {uid(0), uid(1), uid(2)}
    assert reach.ancestors_among(engine, G, uid(0), [uid(0), uid(1), uid(2)]) == [(uid(1), 1)]


def test_a_hub_of_fifty_thousand(engine: Graph) -> None:
    estate = hub(50_000)
    load(engine, estate)
    compare(engine, estate, uid(0), "downstream", limit=200)
    compare(engine, estate, uid(0), "downstream", 1, Filters(tag=("pii",), kind=("task",)), limit=200)
    compare(engine, estate, uid(50_001), "upstream")
    assert reach.degrees(engine, G, [uid(0)]) == {uid(0): (0, 50_000)}
    # one more edge at the hub, written as the projector does it
    node = next(n for n in estate.nodes.values() if n.id == uid(2))
    project.apply(engine, G, [node], [], graph_edges([(uid(50_001), uid(2))]))
    estate.edges.add((uid(50_001), uid(2)))
    compare(engine, estate, uid(50_001), "downstream")
    # the hub goes as a whole: taking its consumers away first would look through its edges for each of them
    project.apply(engine, G, gone=[uid(0)])
    assert reach.within(engine, G, uid(50_001), "upstream") == [uid(1)]


def test_failed_ancestors_with_their_hop(engine: Graph) -> None:
    rng = random.Random(23)
    estate = random_estate(rng, 40, 40, 130)
    load(engine, estate)
    for node in rng.sample(sorted(estate.nodes), 6):
        bad = rng.sample(sorted(estate.nodes), 20)
        want = [(n, hop) for hop, n in estate_hops(estate, node) if n in bad]
        assert reach.ancestors_among(engine, G, node, bad) == want
    assert reach.ancestors_among(engine, G, node, []) == []


def estate_hops(estate: Estate, node: UUID) -> list[tuple[int, UUID]]:
    from graph.model import hop_of

    from_dataset = estate.nodes[node].type == "dataset"
    return sorted((hop_of(n, from_dataset), i) for i, n in estate.lengths(node, "upstream").items())


def test_paths_are_the_shortest_simple_ones(engine: Graph) -> None:
    rng = random.Random(24)
    for _ in range(5):
        estate = random_estate(rng, 8, 8, 34)
        load(engine, estate)
        for a, b in itertools.islice(itertools.permutations(sorted(estate.nodes), 2), 0, 240, 24):
            every = sorted(all_simple_paths(estate, a, b), key=len)
            for limit in (1, 4, 100):
                got = reach.paths(engine, G, a, b, limit)
                assert [len(p) for p in got.paths] == [len(p) for p in every[:limit]]
                assert len({tuple(p) for p in got.paths}) == len(got.paths)
                assert {tuple(p) for p in got.paths} <= {tuple(p) for p in every}
                assert got.cut == (len(every) > limit)
            short = reach.shortest(engine, G, a, b)
            assert len(short) == (len(every[0]) if every else 0)
    assert reach.paths(engine, G, a, a).paths == []
    assert reach.shortest(engine, G, a, a) == [a]


def all_simple_paths(estate: Estate, a: UUID, b: UUID) -> list[list[UUID]]:
    out = estate.neighbours("downstream")
    found, todo = [], [[a]]
    while todo:
        path = todo.pop()
        if path[-1] == b:
            found.append(path)
            continue
        todo += [[*path, t] for t in out[path[-1]] if t not in path]
    return found


def test_what_nobody_knows_reaches_nothing(engine: Graph) -> None:
    schema.prepare(engine, G)
    reach.warm(engine, G)
    got = reach.impact(engine, G, uid(1), True)
    assert (got.total, got.items, got.cut) == (0, [], False)
    assert reach.within(engine, G, uid(1), "upstream") == []
    assert reach.shortest(engine, G, uid(1), uid(2)) == []
    assert reach.degrees(engine, G, [uid(1)]) == {}


def test_a_node_that_goes_while_it_is_to_speak_for_others_takes_none_of_them_along(
    engine: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate = diamonds()
    load(engine, estate)
    full = reach.impact(engine, G, uid(0), True)
    monkeypatch.setattr(reach, "_codes", {})
    ask, gone = Graph.read, []

    def late(self: Graph, query: str, **params: Any) -> list[dict[str, Any]]:
        if "n.facets" in query and not gone:
            # it is asked for all that have its code, and is there no more when the question arrives
            gone.append(UUID(params["ids"][0]))
            project.apply(engine, G, gone=gone)
        return ask(self, query, **params)

    monkeypatch.setattr(Graph, "read", late)
    got = reach.impact(engine, G, uid(0), True, limit=1000)
    monkeypatch.undo()
    assert gone and got == reach.impact(engine, G, uid(0), True, limit=1000)
    assert 0 < got.total < full.total


def operators(plan: dict[str, Any]) -> list[str]:
    own = [str(plan["operatorType"]).split("@")[0]]
    return own + [o for c in plan.get("children", []) for o in operators(c)]


@pytest.mark.neo4j
def test_neo4j_walks_breadth_first_and_prunes(neo4j_lts: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every question of reach that is asked, seen as it is sent."""
    sent: dict[str, dict[str, Any]] = {}
    ask = Graph.read

    def noting(self: Graph, query: str, **params: Any) -> list[dict[str, Any]]:
        sent[query] = params
        return ask(self, query, **params)

    estate = random_estate(random.Random(25), 30, 30, 90)
    load(neo4j_lts, estate)
    start = max(estate.nodes, key=lambda n: len(estate.lengths(n, "downstream")))
    from_dataset = estate.nodes[start].type == "dataset"
    monkeypatch.setattr(Graph, "read", noting)
    for direction, depth, filters in itertools.product(BOTH, (None, 1, 3), (Filters(), *FILTERS)):
        reach.impact(neo4j_lts, G, start, from_dataset, direction, depth, filters, 5)
        reach.impact(neo4j_lts, G, start, from_dataset, direction, depth, filters, 5, (1, uid(3)))
        reach.within(neo4j_lts, G, start, direction, depth)
        reach.ancestors_among(neo4j_lts, G, start, [uid(1)], direction)
    walks = {q: p for q, p in sent.items() if "*1.." in q and "*1..1]" not in q}
    # down and up: of impact at three depths, whatever the filters, and of within at the two that are more than an edge
    assert from_dataset and len(walks) == 10
    assert sum("min(length(p))" in q for q in walks) == 6
    for query, params in walks.items():
        ops = operators(neo4j_lts.plan(query, **params))
        expands = [o for o in ops if o.startswith("VarLengthExpand")]
        assert expands and all(o.startswith("VarLengthExpand(Pruning,BFS") for o in expands), (query, ops)
        # where the walk starts from is the planner's choice on so few nodes; that it prunes is not
