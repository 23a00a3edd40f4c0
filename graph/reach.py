"""What reaches what, now. Breadth-first, directed, exact; paths are never enumerated.

One set of Cypher; only where a distance is wanted do the two engines differ (:func:`_levels`). Neo4j says
``min(length(p))``. ArcadeDB knows no length without reading every edge and building every path, but hands out what one
plain walk finds level by level, and levels are jobs and datasets in turn. Of each node leaves one short text, its line
(:func:`graph.project.line`), from which everything is counted here. Distances are edges; :func:`graph.model.hop_of`
makes hops of them. Ids travel as text.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from itertools import chain
from operator import itemgetter
from uuid import UUID

from errors import GraphAway
from graph.driver import Graph
from graph.model import (
    BRIEF,
    CODE,
    Direction,
    Filters,
    Paths,
    Reach,
    brief,
    edges_of,
    from_brief,
    hop_of,
    line_code,
)
from graph.schema import names

#: what a node's ``facets`` hold, in this order (:func:`graph.project.facets`)
FACETS = ("type", "kind", "system", "environment", "owner")

#: beyond so many nodes between two ends, paths are looked for among the nearest only, and the answer says so
MAX_BETWEEN = 20_000
#: up to so many starts are walked one by one, inside the engine; more of them together, level by level
MAX_WALKS = 8
#: candidates the search for paths looks at, at most
MAX_CANDIDATES = 20_000
#: how often a walk is done where a node that was to speak for others went away before it was asked
TRIES = 3


def impact(
    graph: Graph,
    generation: int,
    node: UUID,
    from_dataset: bool,
    direction: Direction = "downstream",
    depth: int | None = None,
    filters: Filters | None = None,
    limit: int = 200,
    after: tuple[int, UUID] | None = None,
) -> Reach:
    """Everything downstream or upstream of a node within ``depth`` hops: exact counts, the nearest ``limit`` of it.

    ``after`` is the last (hop, id) of the page before. An unknown node reaches nothing.
    """
    steps = None if depth is None else edges_of(depth, from_dataset)
    filters = filters or Filters()
    for _ in range(TRIES):
        by_hop: dict[int, list[str]] = defaultdict(list)
        for length, lines in _levels(graph, generation, node, direction, steps):
            by_hop[hop_of(length, from_dataset)] += lines
        # by a map, which keeps no list of what it cuts: thousands of new texts push all else out of the caches
        counts = Counter(map(_code_of, chain.from_iterable(by_hop.values())))
        told = _told(graph, generation, counts, by_hop)
        if len(told) == len(counts):
            break
    free = filters == Filters()
    # stand-ins, which have no facets, are never among what is wanted
    passing = {c: f for c, (f, tags) in told.items() if f and (free or _passes(f, tags, filters))}
    facets: Counter[str] = Counter()
    for code, f in passing.items():
        facets[f] += counts[code]
    every = len(passing) == len(counts)
    hops: Counter[int] = Counter()
    items: list[tuple[UUID, int]] = []
    cut = False
    for hop, all_ in sorted(by_hop.items()):
        lines = all_ if every else [x for x in all_ if x[_CODE:] in passing]
        if not lines:
            continue
        hops[hop] = len(lines)
        if cut or (after is not None and hop < after[0]):
            continue
        found = [x[1:_CODE] for x in lines]
        if after is not None and hop == after[0]:
            last = brief(after[1])
            found = [i for i in found if i > last]
        # one more than there is room for shows that there is more
        items += [(from_brief(i), hop) for i in nsmallest(limit + 1 - len(items), found)]
        cut = len(items) > limit
    return _answer(hops, facets, items[:limit], cut)


def _answer(by_hop: Counter[int], by_facets: Counter[str], items: list[tuple[UUID, int]], cut: bool) -> Reach:
    by_kind, by_system, by_owner = Counter[str](), Counter[str](), Counter[str]()
    for facets, n in by_facets.items():
        _, kind, system, _, owner = _said(facets)
        by_kind[kind] += n
        by_system[system] += n
        by_owner[owner] += n
    return Reach(by_hop.total(), items, dict(by_hop), dict(by_kind), dict(by_system), dict(by_owner), cut)


def _levels(
    graph: Graph, generation: int, node: UUID, direction: Direction, steps: int | None
) -> Iterable[tuple[int, list[str]]]:
    """(edges, lines of the nodes just so many edges away), nearest first, the node itself left out."""
    n = names(generation)
    arrow = _arrow(n.flow, direction, steps)
    if graph.dialect == "neo4j":
        # no list of pairs: Neo4j makes and sends two flat ones in half the time
        row = graph.read(
            f"MATCH (a:{n.node} {{id: $id}}) USING INDEX a:{n.node}(id) MATCH p = (a){arrow}(d) WHERE d <> a "
            "WITH d, min(length(p)) AS l RETURN collect(l) AS lengths, collect(d.line) AS lines",
            id=str(node),
        )[0]
        _laid_out(row["lines"], len(row["lengths"]))
        levels: dict[int, list[str]] = defaultdict(list)
        for length, line in zip(row["lengths"], row["lines"], strict=True):
            levels[length].append(line)
        return sorted(levels.items())
    text = f"MATCH (:{n.node} {{id: $id}}){arrow}(d:{n.node}) RETURN collect(DISTINCT d.line) AS lines"
    lines: list[str] = graph.read(text, id=str(node))[0]["lines"]
    _laid_out(lines, len(lines))
    return _by_type(lines, node)


def _laid_out(lines: list[str], number: int) -> None:
    if len(lines) != number or (lines and len(lines[0]) != _LINE):
        raise GraphAway("an earlier DLV laid the graph out; it is being rebuilt", hint="see /readyz")


def _by_type(lines: list[str], node: UUID) -> Iterator[tuple[int, list[str]]]:
    """The levels of :func:`_levels` of what ArcadeDB has found.

    It walks breadth-first for anything DISTINCT, each node once, and keeps that order. An edge always leads from a
    dataset to a job or back, so a level ends where the type changes.
    """
    joined = "".join(lines)
    own = brief(node)
    at = joined.find(own)
    while at >= 0 and at % _LINE != 1:
        at = joined.find(own, at + 1)
    back = at // _LINE if at >= 0 else -1
    for length, level in enumerate(_LEVEL.finditer(joined[::_LINE]), 1):
        start, end = level.span()
        if start <= back < end:
            # a way back to the node makes it one of its own level; it is alone there at most in the last
            yield length, lines[start:back] + lines[back + 1 : end]
        else:
            yield length, lines[start:end]


_LEVEL = re.compile("d+|j+")
#: where the code begins in a line
_CODE = 1 + BRIEF
_LINE = _CODE + CODE
#: a line's code → (facets, tags) of one node that has it; it says the same in every generation of every graph
_codes: dict[str, tuple[str, frozenset[str]]] = {}
_MOST_CODES = 100_000


def _told(
    graph: Graph, generation: int, codes: Iterable[str], by_hop: Mapping[int, list[str]]
) -> dict[str, tuple[str, frozenset[str]]]:
    """(facets, tags) of each code of these lines; what is not remembered is read from one node that has it. A code is
    missing where that node went away meanwhile."""
    told = {code: said for code in codes if (said := _codes.get(code))}
    unknown = {code for code in codes if code not in told}
    if unknown:
        every_line = chain.from_iterable(by_hop.values())
        one_of = {code: x for x in every_line if (code := x[_CODE:]) in unknown}
        asked = {str(from_brief(x[1:_CODE])): code for code, x in one_of.items()}
        n = names(generation)
        rows = graph.read(
            f"UNWIND $ids AS k MATCH (n:{n.node} {{id: k}}) RETURN collect([k, n.facets, n.tags]) AS said",
            ids=list(asked),
        )
        if len(_codes) > _MOST_CODES:
            _codes.clear()
        for i, facets, tags in rows[0]["said"]:
            # where the node changed between the two questions: those of its code as it is now
            told[asked[i]] = _codes[line_code(facets, tags)] = (facets, frozenset(tags))
    return told


_code_of = itemgetter(slice(_CODE, _LINE))


def _said(facets: str) -> list[str]:
    return facets.rstrip(" ").split("\t")


def _passes(facets: str, tags: frozenset[str], filters: Filters) -> bool:
    if filters.tag and tags.isdisjoint(filters.tag):
        return False
    said = dict(zip(FACETS, _said(facets), strict=True))
    return all(not getattr(filters, name) or said[name] in getattr(filters, name) for name in FACETS)


def _arrow(flow: str, direction: Direction, steps: int | None) -> str:
    length = "*1.." if steps is None else f"*1..{int(steps)}"
    return f"-[:{flow}{length}]->" if direction == "downstream" else f"<-[:{flow}{length}]-"


def within(
    graph: Graph, generation: int, node: UUID, direction: Direction, edges: int | None = None
) -> list[UUID]:
    """All nodes at most so many edges away (None: however far), stand-in jobs too, without the node itself."""
    if edges == 0:
        return []
    found = _ids(graph, generation, node, direction, edges)
    return sorted(found - {node})


def _ids(
    graph: Graph, generation: int, node: UUID, direction: Direction, steps: int | None = None
) -> set[UUID]:
    n = names(generation)
    arrow = _arrow(n.flow, direction, steps)
    # Neo4j would rather scan a graph of a few nodes than look into the index; ArcadeDB knows no hints
    start = (
        f"MATCH (a:{n.node} {{id: $id}}) USING INDEX a:{n.node}(id) MATCH (a)"
        if graph.dialect == "neo4j"
        else f"MATCH (:{n.node} {{id: $id}})"
    )
    text = f"{start}{arrow}(d:{n.node}) RETURN collect(DISTINCT d.id) AS ids"
    return {UUID(i) for i in graph.read(text, id=str(node))[0]["ids"]}


def below(
    graph: Graph, generation: int, ids: Iterable[UUID], direction: Direction = "downstream"
) -> set[UUID]:
    """Descendants (upstream: ancestors) of any of these. One of them is part of it only where another, or a way
    round, leads to it.
    """
    starts = sorted(set(ids))
    if len(starts) <= MAX_WALKS:
        below_them: set[UUID] = set()
        for start in starts:
            # what lies below something found has been found with it
            if start not in below_them:
                below_them |= _ids(graph, generation, start, direction)
        return below_them
    n = names(generation)
    step = (
        f"UNWIND $keys AS k MATCH (:{n.node} {{id: k}}){_arrow(n.flow, direction, 1)}(d:{n.node}) "
        "RETURN collect(DISTINCT d.id) AS ids"
    )
    found: set[str] = set()
    frontier = {str(i) for i in starts}
    while frontier:
        answer = graph.read(step, keys=sorted(frontier))[0]["ids"]
        frontier = set(answer) - found
        found |= frontier
    return {UUID(i) for i in found}


def ancestors_among(
    graph: Graph,
    generation: int,
    node: UUID,
    ids: Iterable[UUID],
    direction: Direction = "upstream",
    from_dataset: bool | None = None,
) -> list[tuple[UUID, int]]:
    """Which of these lead to the node, with their hop, nearest first; the node itself is not among them."""
    wanted = set(ids)
    if not wanted:
        return []
    if from_dataset is None:
        from_dataset = is_dataset(graph, generation, node)
    briefly = {brief(i): i for i in wanted}
    levels = _levels(graph, generation, node, direction, None)
    found = sorted(
        (hop_of(length, from_dataset), briefly[i])
        for length, lines in levels
        for x in lines
        if (i := x[1:_CODE]) in briefly
    )
    return [(i, hop) for hop, i in found]


def is_dataset(graph: Graph, generation: int, node: UUID) -> bool:
    """Whether a node is a dataset; also where the graph does not know it."""
    n = names(generation)
    rows = graph.read(f"MATCH (n:{n.node} {{id: $id}}) RETURN n.type AS type", id=str(node))
    return not rows or rows[0]["type"] == "dataset"


def induced(graph: Graph, generation: int, ids: Iterable[UUID]) -> list[tuple[UUID, UUID]]:
    """The edges both ends of which are among these."""
    n = names(generation)
    wanted = {str(i) for i in ids}
    text = (
        f"UNWIND $keys AS k MATCH (b:{n.node} {{id: k}})<-[:{n.flow}]-(a:{n.node}) "
        "RETURN collect([a.id, b.id]) AS edges"
    )
    if not wanted:
        return []
    edges = graph.read(text, keys=sorted(wanted))[0]["edges"]
    return sorted((UUID(a), UUID(b)) for a, b in edges if a in wanted)


def degrees(graph: Graph, generation: int, ids: Iterable[UUID]) -> dict[UUID, tuple[int, int]]:
    """How many edges come into and leave each node: (in, out). Nodes that the graph does not know are left out."""
    n = names(generation)
    keys = sorted({str(i) for i in ids})
    if not keys:
        return {}
    counted: dict[UUID, list[int]] = {}
    known = f"UNWIND $keys AS k MATCH (n:{n.node} {{id: k}}) RETURN collect(n.id) AS ids"
    for i in graph.read(known, keys=keys)[0]["ids"]:
        counted[UUID(i)] = [0, 0]
    for side, arrow in ((0, f"<-[:{n.flow}]-"), (1, f"-[:{n.flow}]->")):
        text = (
            f"UNWIND $keys AS k MATCH (n:{n.node} {{id: k}}){arrow}(o:{n.node}) "
            "WITH n.id AS id, count(o) AS c RETURN collect([id, c]) AS counts"
        )
        for i, c in graph.read(text, keys=keys)[0]["counts"]:
            counted[UUID(i)][side] = c
    return {i: (c[0], c[1]) for i, c in counted.items()}


def shortest(graph: Graph, generation: int, a: UUID, b: UUID) -> list[UUID]:
    """Nodes of a shortest path from a to b, both included; [] where there is none, [a] where they are the same."""
    if a == b:
        return [a]
    n = names(generation)
    text = (
        f"MATCH (a:{n.node} {{id: $a}}), (b:{n.node} {{id: $b}}) "
        f"MATCH p = shortestPath((a)-[:{n.flow}*]->(b)) RETURN [n IN nodes(p) | n.id] AS ids LIMIT 1"
    )
    rows = graph.read(text, a=str(a), b=str(b))
    return [UUID(i) for i in rows[0]["ids"]] if rows else []


def paths(graph: Graph, generation: int, a: UUID, b: UUID, limit: int = 10) -> Paths:
    """The ``limit`` shortest simple paths from a to b, shortest first, ties by ids.

    They are looked for inside what lies below a and above b, in memory. ``cut``: there are more than these.
    """
    if a == b:
        return Paths([], False)
    down = _ids(graph, generation, a, "downstream")
    if b not in down:
        return Paths([], False)
    between = (down & _ids(graph, generation, b, "upstream")) | {a, b}
    too_many = len(between) > MAX_BETWEEN
    if too_many:
        way = shortest(graph, generation, a, b)
        near = set(within(graph, generation, a, "downstream", len(way) + 2))
        between = (between & near) | {a, b}
    out: dict[UUID, list[UUID]] = defaultdict(list)
    for s, t in induced(graph, generation, between):
        out[s].append(t)
    found: list[list[UUID]] = []
    for looked, path in enumerate(_simple_paths(out, a, b), 1):
        if path is not None:
            if len(found) == limit:
                return Paths(found, True)
            found.append(path)
        if looked > MAX_CANDIDATES:
            return Paths(found, True)
    return Paths(found, too_many)


def _simple_paths(out: dict[UUID, list[UUID]], a: UUID, b: UUID) -> Iterator[list[UUID] | None]:
    """Simple paths shortest first (best-first on length so far plus fewest edges left, so no dead end is entered
    but for a ring). Yields None now and then, so that the caller can stop a search that finds nothing.
    """
    back: dict[UUID, list[UUID]] = defaultdict(list)
    for s, ts in out.items():
        for t in ts:
            back[t].append(s)
    left = {b: 0}
    todo = deque([b])
    while todo:
        t = todo.popleft()
        for s in back[t]:
            if s not in left:
                left[s] = left[t] + 1
                todo.append(s)
    heap: list[tuple[int, int, list[UUID]]] = [(left[a], 0, [a])] if a in left else []
    while heap:
        _, _, path = heapq.heappop(heap)
        last = path[-1]
        if last == b:
            yield path
            continue
        for t in out.get(last, ()):
            if t in left and t not in path:
                grown = [*path, t]
                heapq.heappush(heap, (len(path) + left[t], -len(path), grown))
        yield None


def warm(graph: Graph, generation: int) -> None:
    """Ask each question once, about nobody: the first time a text is seen it costs hundreds of milliseconds."""
    nobody, other = UUID(int=0), UUID(int=1)
    directions: tuple[Direction, Direction] = ("downstream", "upstream")
    for direction in directions:
        for from_dataset in (True, False):
            for depth in (None, 1, 2, 3):
                impact(graph, generation, nobody, from_dataset, direction, depth)
        within(graph, generation, nobody, direction)
        below(graph, generation, [nobody], direction)
        below(graph, generation, [UUID(int=i) for i in range(MAX_WALKS + 1)], direction)
        ancestors_among(graph, generation, nobody, [other], direction)
    induced(graph, generation, [nobody])
    degrees(graph, generation, [nobody])
    shortest(graph, generation, nobody, other)
    paths(graph, generation, nobody, other)
