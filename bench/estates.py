"""A synthetic estate for the benches: datasets and jobs in layers, fan-out by Zipf, the same for the same seed.

Layers run from sources over staging and intermediate tables to marts and dashboards. Most of a job's inputs come from
the layers just before, one in five from the most popular tables of the whole estate; a few jobs read what they write,
and a few late tables feed early jobs, so there are rings. One conformed table is read by every sixth job, as a
calendar or a customer dimension is: it is the hub.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field
from uuid import UUID

from graph.model import GraphNode

LAYERS = (10, 23, 9, 8, 8, 7, 7, 7, 12, 9)
SYSTEMS = ("postgres", "kafka", "spark", "snowflake", "s3")


@dataclass
class Estate:
    """Nodes by number; ``type`` 0 dataset, 1 job. Edges are pairs of numbers."""

    job: bytearray = field(default_factory=bytearray)
    out: list[array[int]] = field(default_factory=list)
    into: list[array[int]] = field(default_factory=list)
    hub: int = 0

    @property
    def n(self) -> int:
        return len(self.job)

    @property
    def edges(self) -> int:
        return sum(len(o) for o in self.out)

    def add(self, job: bool) -> int:
        self.job.append(job)
        self.out.append(array("i"))
        self.into.append(array("i"))
        return len(self.job) - 1

    def link(self, a: int, b: int) -> None:
        if b not in self.out[a] if len(self.out[a]) < len(self.into[b]) else a not in self.into[b]:
            self.out[a].append(b)
            self.into[b].append(a)


def estate(n: int, seed: int = 7) -> Estate:
    """About ``n`` nodes and twice as many edges."""
    rng = random.Random(seed)
    e = Estate()
    layers: list[list[int]] = []
    popular: list[int] = []
    total = sum(LAYERS)
    for depth, share in enumerate(LAYERS):
        want = max(2, n * share // total)
        made: list[int] = []
        if depth == 0:
            made = [e.add(False) for _ in range(want)]
            e.hub = made[0]
        else:
            for _ in range(want // 2):
                job = e.add(True)
                for _ in range(min(1 + int(rng.expovariate(0.75)), 20)):
                    if popular and rng.random() < 0.2:
                        source = popular[int(len(popular) * rng.random() ** 4)]
                    else:
                        back = layers[max(0, depth - 1 - int(rng.expovariate(1.1)))]
                        source = back[int(len(back) * rng.random() ** 1.6)]
                    e.link(source, job)
                if rng.random() < 1 / 6 and depth > 1:
                    e.link(e.hub, job)
                table = e.add(False)
                e.link(job, table)
                made.append(table)
                if rng.random() < 1 / 1000:
                    e.link(table, job)
        layers.append(made)
        popular += made[: max(1, len(made) // 50)]
    jobs = [i for i in range(e.n) if e.job[i]]
    for _ in range(max(1, n // 20_000)):
        e.link(rng.choice(layers[-1]), rng.choice(jobs[: len(jobs) // 4]))
    return e


#: a job of :func:`chained` reads from tables at most so many before its own
WINDOW = 50


def chained(jobs: int, seed: int = 7) -> Estate:
    """So many jobs, each of which reads two tables and writes one, all of them below one source, the hub."""
    rng = random.Random(seed)
    e = Estate()
    tables = [e.add(False)]
    e.hub = tables[0]
    for _ in range(jobs):
        job = e.add(True)
        for source in {rng.choice(tables[-WINDOW:]), rng.choice(tables[-WINDOW:])}:
            e.link(source, job)
        tables.append(e.add(False))
        e.link(job, tables[-1])
    return e


def uid(i: int) -> UUID:
    """Spread, as real ids are, so that an index is not filled in order."""
    return UUID(int=(i * 0x9E3779B97F4A7C15F39CC0605CEDC835 + 1) % (1 << 128))


def node(e: Estate, i: int) -> GraphNode:
    r = i * 2654435761 % (1 << 32)
    job = bool(e.job[i])
    return GraphNode(
        id=uid(i),
        type="job" if job else "dataset",
        kind=("task", "query", "model")[r % 3] if job else ("table", "view", "topic")[r % 3],
        system=SYSTEMS[r // 3 % 5],
        environment="prod",
        owner=str(uid(10_000_000 + r % 40)) if r % 10 else "",
        tags=("pii",) if r % 7 == 0 else (),
        criticality=r % 5,
    )


def lengths(e: Estate, start: int, downstream: bool = True) -> dict[int, int]:
    """Breadth-first search in memory: fewest edges to everything reached."""
    near = e.out if downstream else e.into
    found = {start: 0}
    frontier = [start]
    length = 0
    while frontier:
        length += 1
        reached = []
        for a in frontier:
            for b in near[a]:
                if b not in found:
                    found[b] = length
                    reached.append(b)
        frontier = reached
    del found[start]
    return found
