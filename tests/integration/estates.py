"""Estates for tests of reach: generated ones, and rows of the record put there without any event."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from graph.model import Direction, Filters, GraphEdge, GraphNode, hop_of
from ingest import ids
from store import dirty
from store.record import Conn

T0 = datetime(2026, 11, 1, tzinfo=UTC)


def uid(n: int) -> UUID:
    """Small numbers as ids, spread so that their order is not that of the numbers."""
    return UUID(int=(n * 0x9E3779B97F4A7C15F39CC0605CEDC835 + 1) % (1 << 128))


@dataclass
class Estate:
    """Datasets and jobs by number, edges between them: the in-memory graph the oracle walks."""

    nodes: dict[UUID, GraphNode] = field(default_factory=dict)
    edges: set[tuple[UUID, UUID]] = field(default_factory=set)

    def add(self, node: GraphNode) -> UUID:
        self.nodes[node.id] = node
        return node.id

    def neighbours(self, direction: Direction) -> dict[UUID, list[UUID]]:
        out: dict[UUID, list[UUID]] = defaultdict(list)
        for s, t in self.edges:
            if direction == "downstream":
                out[s].append(t)
            else:
                out[t].append(s)
        return out

    def lengths(self, start: UUID, direction: Direction) -> dict[UUID, int]:
        """Fewest edges to everything reached, the start left out: plain breadth-first search."""
        out = self.neighbours(direction)
        found = {start: 0}
        todo = deque([start])
        while todo:
            n = todo.popleft()
            for t in out[n]:
                if t not in found:
                    found[t] = found[n] + 1
                    todo.append(t)
        del found[start]
        return found

    def reach(
        self,
        start: UUID,
        direction: Direction,
        depth: int | None = None,
        filters: Filters | None = None,
    ) -> list[tuple[int, UUID]]:
        """(hop, id) of what :func:`graph.reach.impact` must list, in its order."""
        from_dataset = self.nodes[start].type == "dataset"
        hops = {n: hop_of(length, from_dataset) for n, length in self.lengths(start, direction).items()}
        return sorted(
            (hop, n)
            for n, hop in hops.items()
            if (depth is None or hop <= depth)
            and not self.nodes[n].standin
            and passes(self.nodes[n], filters or Filters())
        )


def passes(node: GraphNode, filters: Filters) -> bool:
    single = ("type", "kind", "system", "environment", "owner")
    if any(getattr(filters, f) and getattr(node, f) not in getattr(filters, f) for f in single):
        return False
    return not filters.tag or bool(set(filters.tag) & set(node.tags))


def node(n: int, type_: str, rng: random.Random | None = None, *, standin: bool = False) -> GraphNode:
    r = rng or random.Random(n)
    return GraphNode(
        id=uid(n),
        type=type_,
        kind=r.choice(("table", "view", "topic") if type_ == "dataset" else ("task", "query")),
        system=r.choice(("postgres", "kafka", "spark")),
        environment=r.choice(("prod", "staging")),
        owner=r.choice(("", str(uid(9001)), str(uid(9002)))),
        tags=tuple(sorted(r.sample(("pii", "gold", "raw"), r.randint(0, 2)))),
        criticality=r.randint(0, 4),
        standin=standin,
    )


def bipartite(pairs: Iterable[tuple[int, int]], jobs: Iterable[int], seed: int = 0) -> Estate:
    """An estate over numbered nodes; ``jobs`` are jobs, the others datasets."""
    rng = random.Random(seed)
    pairs = list(pairs)
    is_job = set(jobs)
    estate = Estate()
    for n in sorted({n for p in pairs for n in p} | is_job):
        estate.add(node(n, "job" if n in is_job else "dataset", rng))
    estate.edges = {(uid(a), uid(b)) for a, b in pairs}
    return estate


def random_estate(rng: random.Random, datasets: int, jobs: int, edges: int) -> Estate:
    """Edges at random either way, so with rings; every tenth job is a stand-in."""
    estate = Estate()
    for n in range(datasets):
        estate.add(node(n, "dataset", rng))
    for n in range(jobs):
        estate.add(node(1000 + n, "job", rng, standin=n % 10 == 9))
    for _ in range(edges if datasets and jobs else 0):
        d, j = uid(rng.randrange(datasets)), uid(1000 + rng.randrange(jobs))
        estate.edges.add((d, j) if rng.random() < 0.55 else (j, d))
    return estate


def diamonds(k: int = 40) -> Estate:
    """k diamonds in a row: 2^k paths from end to end. Dataset, two jobs, dataset, ..."""
    pairs, jobs = [], []
    for i in range(k):
        a = 3 * i
        pairs += [(a, a + 1), (a, a + 2), (a + 1, a + 3), (a + 2, a + 3)]
        jobs += [a + 1, a + 2]
    return bipartite(pairs, jobs)


def ring(k: int = 1000) -> Estate:
    return bipartite([(i, (i + 1) % k) for i in range(k)], range(1, k, 2))


def clique(k: int = 30) -> Estate:
    """k datasets and k jobs, every dataset read and written by every job."""
    pairs = [(d, k + j) for d in range(k) for j in range(k)]
    return bipartite(pairs + [(j, d) for d, j in pairs], range(k, 2 * k))


def hub(k: int = 50_000) -> Estate:
    """One dataset with k consuming jobs, every tenth of which writes a dataset."""
    pairs = [(0, i) for i in range(1, k + 1)] + [(i, k + i) for i in range(1, k + 1, 10)]
    return bipartite(pairs, range(1, k + 1))


def graph_edges(pairs: Iterable[tuple[UUID, UUID]]) -> list[GraphEdge]:
    return [GraphEdge(a, b) for a, b in sorted(pairs)]


# ---------------------------------------------------------------- straight into the record


def put_nodes(conn: Conn, nodes: Sequence[GraphNode], *, mark: bool = True) -> None:
    """Nodes of one alias each, as the fold would leave them, without events."""
    with conn.cursor() as cur:
        cur.executemany(
            """insert into alias (id, environment, namespace, name, type, kind, system, node_id, first_seen, last_seen)
               values (%(id)s, %(env)s, 'tests', %(name)s, %(type)s, %(kind)s, %(system)s, %(id)s, %(t)s, %(t)s)
               on conflict (id) do nothing""",
            [_row(n) for n in nodes],
        )
        cur.executemany(
            """insert into node (id, type, kind, system, environment, namespace, name, standin, owner_id, tags,
                                 criticality, first_seen, last_seen)
               values (%(id)s, %(type)s, %(kind)s, %(system)s, %(env)s, 'tests', %(name)s, %(standin)s, %(owner)s,
                       %(tags)s, %(crit)s, %(t)s, %(t)s)
               on conflict (id) do update set retired_at = null, tags = excluded.tags""",
            [_row(n) for n in nodes],
        )
    if mark:
        dirty.mark(conn, "node", [n.id for n in nodes])


def _row(n: GraphNode) -> dict[str, object]:
    return {
        "id": n.id, "env": n.environment, "name": str(n.id), "type": n.type, "kind": n.kind, "system": n.system,
        "standin": n.standin, "owner": UUID(n.owner) if n.owner else None, "tags": list(n.tags),
        "crit": n.criticality or None, "t": T0,
    }  # fmt: skip


def put_teams(conn: Conn) -> None:
    for n in (9001, 9002):
        conn.execute(
            "insert into team (id, name) values (%s, %s) on conflict do nothing", (uid(n), f"team {n}")
        )


def put_edges(
    conn: Conn,
    pairs: Sequence[tuple[UUID, UUID]],
    *,
    since: datetime = T0,
    until: datetime | None = None,
    mark: bool = True,
) -> None:
    """Edges between aliases that hold from ``since`` until ``until`` (None: still)."""
    rows = [(ids.edge_id(a, b), a, b, since, until, since + timedelta(seconds=1)) for a, b in pairs]
    with conn.cursor() as cur:
        cur.executemany(
            """insert into edge (id, source, target, provenance, first_seen, last_seen)
               values (%s, %s, %s, '{openlineage}', %s, %s) on conflict (id) do nothing""",
            [(e, a, b, s, last) for e, a, b, s, _, last in rows],
        )
        cur.executemany(
            """insert into edge_interval (edge_id, valid_from, last_seen, valid_to) values (%s, %s, %s, %s)
               on conflict (edge_id, valid_from) do update set valid_to = excluded.valid_to""",
            [(e, s, last, u) for e, _, _, s, u, last in rows],
        )
    if mark:
        dirty.mark(conn, "edge", [r[0] for r in rows])


def put(conn: Conn, estate: Estate) -> None:
    put_teams(conn)
    put_nodes(conn, list(estate.nodes.values()))
    put_edges(conn, sorted(estate.edges))
