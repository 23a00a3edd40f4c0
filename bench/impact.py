"""How long impact takes, end to end over REST and in the graph alone, beside a breadth-first search in memory.

    python -m bench.impact [--sizes 5000 200000] [--times 30]              # on the embedded ArcadeDB
    python -m bench.impact --neo4j                                         # on a Neo4j 5 of its own
    python -m bench.impact --sizes --jobs 5000                             # an estate that lies below one source as a whole
    python -m bench.impact --url bolt://… --user … --password … [--loaded]   # on that Neo4j

Starts embedded servers of its own in a folder under /tmp, fills the record and generation 999 of the graph with an
estate (bench.estates), starts `dlv web`, and asks GET /api/v1/nodes/{id}/impact?limit=200 over one connection. Prints
p50 and p95 in milliseconds for a median dataset and the hub: first, as after each change of the graph, and again, when
the answer is kept (answers/kept.py). Then the CPU time that one first question costs the graph (0 where it is another
machine's), web and Postgres, which says more than the time on a machine that does other work as well. A graph given by
--url is emptied of generation 999 before and after, unless it is --loaded already.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import requests

from auth import keys as auth_keys
from bench import estates
from embedded import child
from embedded.stack import Stack
from graph import project, reach, schema
from graph.driver import Graph, connect
from graph.model import GraphEdge, hop_of
from settings import Settings
from settings import load as load_settings
from store import keys
from store.audit import SYSTEM
from store.record import Record, migrate
from tests.integration import neo4j_server

GENERATION = 999
BATCH = 5000


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


def uncounted(times: int) -> int:
    """How often is asked before so many that count: Java compiles while it is asked."""
    return min(times, 100)


def timed(
    ask: Callable[[], object], times: int, prepare: Callable[[], object] = lambda: None
) -> tuple[float, float]:
    """p50 and p95 in milliseconds of so many, after those that are :func:`uncounted`. ``prepare`` is done before each,
    and not counted.
    """
    took = []
    before = uncounted(times)
    for i in range(times + before):
        prepare()
        began = time.perf_counter()
        ask()
        if i >= before:
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return statistics.median(took), took[min(len(took) - 1, int(len(took) * 0.95))]


def median_dataset(e: estates.Estate) -> int:
    rng = random.Random(1)
    reading = [i for i in range(e.n) if not e.job[i] and e.out[i]]
    by_reach = sorted((len(estates.lengths(e, i)), i) for i in rng.sample(reading, min(101, len(reading))))
    return by_reach[len(by_reach) // 2][1]


@contextmanager
def served(given: Settings, home: Path) -> Iterator[tuple[str, dict[str, str], int]]:
    """(address, headers with a key that reads, process id) of `dlv web`, until the block ends."""
    key, hash_, prefix = auth_keys.new()
    record = Record(given.database_url)
    with record.tx() as conn:
        keys.create(conn, SYSTEM, "bench", ["read"], hash_, prefix)
    record.close()
    port = child.free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DLV_")} | {
        "DLV_HOME": str(home), "DLV_PORT": str(port), "DLV_DATABASE_URL": given.database_url,
        "DLV_REDIS_URL": given.redis_url, "DLV_GRAPH_URL": given.graph_url, "DLV_GRAPH_USER": given.graph_user,
        "DLV_GRAPH_PASSWORD": given.graph_password, "DLV_GRAPH_DATABASE": given.graph_database,
        "DLV_SECRET_KEY": "x" * 48, "DLV_API_PER_MINUTE": "1000000",
    }  # fmt: skip
    web = subprocess.Popen([sys.executable, "cli.py", "web"], env=env, cwd=Path(__file__).parents[1])
    try:
        base = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                if requests.get(f"{base}/healthz", timeout=60).ok:
                    break
            except requests.RequestException:
                time.sleep(0.1)
        quiet(web.pid)
        yield base, {"Authorization": f"Bearer {key}"}, web.pid
    finally:
        web.terminate()
        web.wait()


def quiet(pid: int) -> None:
    """Until the process has warmed the graph and does nothing any more."""
    while True:
        before = spent([pid])
        time.sleep(2)
        if spent([pid]) - before < 60:
            return


def fill_record(url: str, e: estates.Estate) -> None:
    """Every node of the estate as a row, one alias each, owned by forty teams; readers are sent to generation 999."""
    record = Record(url)
    with record.tx() as conn:
        conn.execute("truncate node, alias, team cascade")
        conn.execute("update graph_state set generation = %s, projected_at = now()", (GENERATION,))
        nodes = [estates.node(e, i) for i in range(e.n)]
        teams = {t: f"team {i}" for i, t in enumerate(sorted({n.owner for n in nodes if n.owner}))}
        with conn.cursor() as cur:
            with cur.copy("copy team (id, name) from stdin") as copy:
                for team in teams.items():
                    copy.write_row(team)
            with cur.copy(
                "copy alias (id, environment, namespace, name, type, kind, system, node_id, first_seen, last_seen) from stdin"
            ) as copy:
                for i, n in enumerate(nodes):
                    copy.write_row((n.id, n.environment, n.system, f"bench.{n.kind}_{i}", n.type, n.kind, n.system,
                                    n.id, "2026-11-01Z", "2026-11-01Z"))  # fmt: skip
            with cur.copy(
                "copy node (id, type, kind, system, environment, namespace, name, owner_id, owner_name, tags, criticality, first_seen, last_seen, aliases) from stdin"
            ) as copy:
                for i, n in enumerate(nodes):
                    name = f"bench.{n.kind}_{i}"
                    alias = {
                        "id": str(n.id),
                        "environment": n.environment,
                        "namespace": n.system,
                        "name": name,
                    }
                    copy.write_row((n.id, n.type, n.kind, n.system, n.environment, n.system, name, n.owner or None,
                                    teams.get(n.owner, ""), list(n.tags), n.criticality or None, "2026-11-01Z",
                                    "2026-11-01Z", json.dumps([alias])))  # fmt: skip
    record.close()
    with psycopg.connect(url, autocommit=True) as plain:
        plain.execute("vacuum analyze node, alias")


def spent(pids: list[int]) -> float:
    """CPU milliseconds these processes and all below them have used."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            top = psutil.Process(pid)
            for p in [top, *top.children(recursive=True)]:
                with suppress(psutil.Error):
                    total += sum(p.cpu_times()[:2]) * 1000
    return total


def measure(
    base: str,
    headers: dict[str, str],
    e: estates.Estate,
    graph: Graph,
    pids: dict[str, list[int]],
    times: int,
    changed: Callable[[], object],
    chained: bool = False,
) -> None:
    session = requests.Session()
    session.headers.update(headers)
    starts = (
        [("source", e.hub, "")]
        if chained
        else [("median", median_dataset(e), ""), ("hub", e.hub, ""), ("hub", e.hub, "&kind=table&tag=pii")]
    )
    for name, start, asked in starts:
        url = f"{base}/api/v1/nodes/{estates.uid(start)}/impact?limit=200{asked}"

        def ask(url: str = url) -> bytes:
            # whole and unpacked; what a reader then makes of it is the reader's time
            answer = session.get(url, timeout=60)
            answer.raise_for_status()
            return answer.content

        said: dict[str, Any] = json.loads(ask())
        reached = estates.lengths(e, start)
        want = Counter(hop_of(length, True) for length in reached.values())
        if not asked and {c["key"]: c["n"] for c in said["by_hop"]} != want:
            raise SystemExit(f"{name}: {said['by_hop']} is not {want}")
        before = {k: spent(p) for k, p in pids.items()}
        rest = timed(ask, times, changed)
        cpu = {k: (spent(p) - before[k]) / (times + uncounted(times)) for k, p in pids.items()}
        again = timed(ask, times)
        node = estates.uid(start)
        alone = timed(partial(reach.impact, graph, GENERATION, node, True), max(3, times // 3))
        memory = timed(partial(estates.lengths, e, start), 5)
        print(
            f"{e.n:8} {e.edges:8}  {name + asked[:5]:10} {said['total']:7}  {rest[0]:7.0f} /{rest[1]:7.0f} "
            f"  {again[0]:7.0f} /{again[1]:7.0f}  {alone[0]:7.0f} /{alone[1]:7.0f}  {memory[0]:7.1f}  "
            + "  ".join(f"{k} {v:.0f}" for k, v in cpu.items()),
            flush=True,
        )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--neo4j", action="store_true", help="on a Neo4j of its own, from the jars the tests use")
    p.add_argument("--url", default="")
    p.add_argument("--user", default="")
    p.add_argument("--password", default="")
    p.add_argument("--database", default="")
    p.add_argument("--pid", type=int, default=0, help="process of the graph server, for its CPU time")
    p.add_argument(
        "--loaded", action="store_true", help="the graph holds generation 999 of this size already"
    )
    p.add_argument("--sizes", type=int, nargs="*", default=[5_000, 200_000], help="nodes")
    p.add_argument(
        "--jobs", type=int, nargs="*", default=[], help="jobs of estates that lie below one source"
    )
    p.add_argument("--times", type=int, default=30)
    a = p.parse_args()
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-"))
    home.chmod(0o711)
    given = load_settings({"DLV_HOME": str(home), "DLV_DEMO": "0"})
    neo4j = neo4j_server.Server(neo4j_server.LTS, "1g", fast_start=False) if a.neo4j else None
    if neo4j is not None:
        neo4j.start()
        assert neo4j.process is not None
        a.url, a.user, a.password, a.pid = neo4j.url, neo4j.user, neo4j.password, neo4j.process.pid
    if a.url:
        given = given.with_(
            graph_url=a.url, graph_user=a.user, graph_password=a.password, graph_database=a.database
        )
    stack = Stack(given)
    try:
        given = stack.start()
        migrate(given.database_url)
        graph = connect(given.graph_url, given.graph_user, given.graph_password, given.graph_database)
        print(f"{graph.dialect}, load {os.getloadavg()[0]:.1f}")
        print(
            "   nodes    edges  start         below   REST p50 / p95   again p50 / p95   graph p50 / p95   memory  CPU ms a question"
        )
        made = [(False, partial(estates.estate, n)) for n in a.sizes]
        made += [(True, partial(estates.chained, n)) for n in a.jobs]
        for chained, make in made:
            e = make()
            fill_record(given.database_url, e)
            if not a.loaded:
                schema.drop(graph, GENERATION)
                load(graph, e)
            with served(given, home) as (base, headers, web):
                engine = stack.arcadedb.process.pid if stack.arcadedb and stack.arcadedb.process else a.pid
                pids = {"graph": [engine] if engine else [], "web": [web]}
                if stack.postgres and stack.postgres.process:
                    pids["postgres"] = [stack.postgres.process.pid]
                if engine:
                    quiet(engine)
                with psycopg.connect(given.database_url, autocommit=True) as plain:
                    measure(
                        base, headers, e, graph, pids, a.times,
                        lambda: plain.execute("update graph_state set projected_at = clock_timestamp()"), chained,
                    )  # fmt: skip
                for k, some in pids.items():
                    print(f"         {k}: {sum(pss(p) for p in some)} MB")
            if not a.loaded:
                schema.drop(graph, GENERATION)
        graph.close()
    finally:
        stack.stop()
        if neo4j is not None:
            neo4j.stop()
        shutil.rmtree(home, ignore_errors=True)


def pss(pid: int) -> int:
    """MB in use by a process and those below it, what they share counted once."""
    with suppress(psutil.Error):
        top = psutil.Process(pid)
        return int(sum(p.memory_full_info().pss for p in [top, *top.children(recursive=True)])) >> 20
    return 0


if __name__ == "__main__":
    main()
