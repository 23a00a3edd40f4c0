"""How long reach takes in the graph, beside a breadth-first search in memory in the same run.

    python -m bench.impact --url bolt://… --user … --password … [--database …] [--sizes 1000 20000 200000]

Prints, for a median dataset and for the hub, p50 and p95 in milliseconds of the question as answers.impact asks it
(exact counts and the nearest 200), the same of the search in memory, and their ratio. The graph database must be one
that nobody needs: generation 999 of it is filled and dropped again.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

from bench import estates
from graph import project, reach, schema
from graph.driver import Graph, connect
from graph.model import GraphEdge

GENERATION = 999
BATCH = 2000


def load(graph: Graph, e: estates.Estate) -> None:
    schema.prepare(graph, GENERATION)
    epoch = int(time.time())
    for i in range(0, e.n, BATCH):
        some = [estates.node(e, j) for j in range(i, min(e.n, i + BATCH))]
        project.fill(graph, GENERATION, nodes=some, epoch=epoch)
    few: list[GraphEdge] = []
    for a in range(e.n):
        few += [GraphEdge(estates.uid(a), estates.uid(b)) for b in e.out[a]]
        if len(few) >= BATCH:
            project.fill(graph, GENERATION, edges=few, epoch=epoch)
            few = []
    project.fill(graph, GENERATION, edges=few, epoch=epoch)


def timed(ask: Callable[[], object], times: int) -> tuple[float, float]:
    """p50 and p95 in milliseconds, after two that are not counted."""
    took = []
    for i in range(times + 2):
        began = time.perf_counter()
        ask()
        if i >= 2:
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.95))]


def median_dataset(e: estates.Estate) -> int:
    rng = random.Random(1)
    reading = [i for i in range(e.n) if not e.job[i] and e.out[i]]
    by_reach = sorted((len(estates.lengths(e, i)), i) for i in rng.sample(reading, min(101, len(reading))))
    return by_reach[len(by_reach) // 2][1]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--url", required=True)
    p.add_argument("--user", default="")
    p.add_argument("--password", default="")
    p.add_argument("--database", default="")
    p.add_argument("--sizes", type=int, nargs="+", default=[1_000, 20_000, 200_000])
    p.add_argument("--million", action="store_true", help="1,000,000 nodes too; loading takes minutes")
    p.add_argument("--times", type=int, default=20)
    a = p.parse_args()
    graph = connect(a.url, a.user, a.password, a.database)
    print(f"{graph.dialect}\n  nodes  edges  start    below  graph p50/p95 ms   memory p50/p95 ms  ratio")
    for n in [*a.sizes, *([1_000_000] if a.million else [])]:
        e = estates.estate(n)
        schema.drop(graph, GENERATION)
        began = time.perf_counter()
        load(graph, e)
        loaded = time.perf_counter() - began
        for name, start in (("median", median_dataset(e)), ("hub", e.hub)):
            want = len(estates.lengths(e, start))
            id_ = estates.uid(start)
            got = reach.impact(graph, GENERATION, id_, True)
            if got.total != want:
                raise SystemExit(f"{n} nodes, {name}: the graph says {got.total}, memory {want}")
            g = timed(lambda id_=id_: reach.impact(graph, GENERATION, id_, True), a.times)  # type: ignore[misc]
            m = timed(lambda e=e, start=start: estates.lengths(e, start), a.times)  # type: ignore[misc]
            print(
                f"{e.n:8} {e.edges:8}  {name:6} {want:7}  {g[0]:8.1f} /{g[1]:8.1f}  {m[0]:8.2f} /{m[1]:8.2f}"
                f"  {g[0] / max(m[0], 0.001):6.1f}"
            )
        print(f"         loaded in {loaded:.1f} s")
        schema.drop(graph, GENERATION)
    graph.close()


if __name__ == "__main__":
    main()
