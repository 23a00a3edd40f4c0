"""The record comes into the graph whole: nothing skipped, nothing stale, whatever is killed and however late."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from estates import Estate, put, put_edges, put_nodes, random_estate

from errors import GraphAway
from graph import project, reach, schema
from graph.driver import Graph
from ingest import ids
from settings import Settings
from store import dirty, evidence, materialise, projection
from store.record import MIGRATIONS, Record
from workers import projector, rebuild

Content = tuple[dict[str, dict[str, Any]], list[tuple[UUID, UUID]]]


def shown(graph: Graph, generation: int) -> Content:
    """All that the graph holds of a generation; an edge held twice is in the list twice."""
    n = schema.names(generation)
    nodes = graph.read(f"MATCH (n:{n.node}) RETURN collect(properties(n)) AS nodes")[0]["nodes"]
    edges = graph.read(f"MATCH (a:{n.node})-[:{n.flow}]->(b:{n.node}) RETURN collect([a.id, b.id]) AS edges")
    return {p["id"]: p for p in nodes}, sorted((UUID(a), UUID(b)) for a, b in edges[0]["edges"])


def told(record: Record) -> Content:
    with record.tx() as conn:
        nodes = [n for some in projection.all_nodes(conn, 500) for n in some]
        edges = [(e.source, e.target) for some in projection.all_edges(conn, 500) for e in some]
    return {str(n.id): project.properties(n) for n in nodes}, sorted(edges)


def catch_up(record: Record, graph: Graph) -> None:
    while projector.project_once(record, graph):
        pass
    assert record.one("select count(*) as n from graph_dirty") == {"n": 0}


@pytest.fixture
def estate(record: Record) -> Estate:
    made = random_estate(random.Random(1), 40, 40, 150)
    with record.tx() as conn:
        put(conn, made)
    return made


def test_nodes_retire_and_come_back_and_edges_end(record: Record, engine: Graph, estate: Estate) -> None:
    while projector.project_once(record, engine, batch=70):
        pass
    assert shown(engine, 1) == told(record)
    assert shown(engine, 1)[1] == sorted(estate.edges)
    some, edge = max(estate.nodes, key=lambda n: len(estate.lengths(n, "upstream"))), min(estate.edges)
    with record.tx() as conn:
        conn.execute("update node set retired_at = now() where id = %s", (some,))
        conn.execute("update edge_interval set valid_to = now() where edge_id = %s", (ids.edge_id(*edge),))
        dirty.mark(conn, "node", [some])
        dirty.mark(conn, "edge", [ids.edge_id(*edge)])
    catch_up(record, engine)
    assert str(some) not in shown(engine, 1)[0] and edge not in shown(engine, 1)[1]
    assert shown(engine, 1) == told(record)
    with record.tx() as conn:
        conn.execute("update node set retired_at = null where id = %s", (some,))
        dirty.mark(conn, "node", [some])
    catch_up(record, engine)
    assert shown(engine, 1)[1] == sorted(estate.edges - {edge})


def test_a_merge_moves_edges_and_a_split_moves_them_back(
    record: Record, engine: Graph, estate: Estate
) -> None:
    catch_up(record, engine)
    before = shown(engine, 1)
    datasets = sorted(
        n for n, g in estate.nodes.items() if g.type == "dataset" and estate.lengths(n, "downstream")
    )
    a, b = datasets[0], datasets[-1]
    for kind in ("merge", "split"):
        with record.tx() as conn:
            conn.execute(
                "insert into evidence (a, b, kind, source, created_at) values (%s, %s, %s, 'test', now())",
                (a, b, kind),
            )
            materialise.refresh(conn, evidence.components(conn, [a, b]))
        catch_up(record, engine)
        assert shown(engine, 1) == told(record)
        assert (str(b) in shown(engine, 1)[0]) == (kind == "split")
    assert shown(engine, 1)[1] == before[1]


def test_an_older_projector_is_fenced_out(record: Record, engine: Graph, estate: Estate) -> None:
    catch_up(record, engine)
    with record.tx() as conn:
        newer = dirty.epoch(conn)
    project.raise_fence(engine, project.PROJECTOR, newer)
    some = next(iter(estate.nodes))
    with pytest.raises(project.Fenced):
        project.apply(engine, 1, [], [some], epoch=newer - 1)
    assert str(some) in shown(engine, 1)[0], "its transaction was undone"


def test_a_lost_graph_is_made_again(
    record: Record, engine: Graph, estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "READERS_SECONDS", 0.0)
    catch_up(record, engine)
    schema.drop(engine, 1)
    project.reset_fence(engine)
    with record.tx() as conn:
        dirty.mark(conn, "node", [next(iter(estate.nodes))])
    catch_up(record, engine)
    assert shown(engine, record.one("select generation from graph_state")["generation"]) == told(record)  # type: ignore[index]


def test_a_graph_that_an_earlier_dlv_laid_out_is_made_again(
    record: Record, engine: Graph, estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "READERS_SECONDS", 0.0)
    catch_up(record, engine)
    datasets = [n for n, g in estate.nodes.items() if g.type == "dataset"]
    start = max(datasets, key=lambda n: len(estate.lengths(n, "downstream")))
    reached = reach.impact(engine, 1, start, True).total
    engine.write("MATCH (f:Fence {id: $new}) SET f.id = 'projector'", new=project.PROJECTOR)
    engine.write("MATCH (n:N1) SET n.line = 'd' + n.id + n.facets")
    if engine.dialect == "arcadedb":
        with pytest.raises(GraphAway):
            reach.impact(engine, 1, start, True)
    migration = (MIGRATIONS / "0006_layout.sql").read_text()
    with record.tx() as conn:
        conn.execute(migration)
    catch_up(record, engine)
    generation = record.one("select generation from graph_state")["generation"]  # type: ignore[index]
    assert generation == 2
    assert shown(engine, 2) == told(record)
    assert reach.impact(engine, 2, start, True).total == reached > 0


def test_killed_at_any_moment_while_writers_commit_late(
    record: Record, graph: Graph, database_url: str, graph_settings: Settings, estate: Estate
) -> None:
    s = graph_settings
    command = [sys.executable, str(Path(__file__).with_name("projecting.py")), database_url]
    command += [s.graph_url, s.graph_user, s.graph_password, s.graph_database]
    done = threading.Event()

    def write(seed: int) -> None:
        rng = random.Random(seed)
        nodes, pairs = sorted(estate.nodes), sorted(estate.edges)
        while not done.is_set():
            with record.tx() as conn:
                # in one order, as every writer of the product takes its locks
                some, few = sorted(rng.sample(nodes, 3)), sorted(rng.sample(pairs, 3))
                conn.execute(
                    "update node set tags = %s, retired_at = case when %s then now() end where id = any(%s)",
                    ([str(rng.random())], rng.random() < 0.3, some[:1]),
                )
                dirty.mark(conn, "node", some[:1])
                if rng.random() < 0.4:
                    time.sleep(rng.random() * 0.2)  # marked, and committed late
                e = ids.edge_id(*few[0])
                conn.execute(
                    "update edge_interval set valid_to = case when %s then now() end where edge_id = %s",
                    (rng.random() < 0.5, e),
                )
                dirty.mark(conn, "edge", [e])

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for w in writers:
        w.start()
    rng = random.Random(9)
    kills = 0
    try:
        for _ in range(6):
            with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
                assert child.stdout and child.stdout.readline() == b"running\n"
                time.sleep(rng.random() * 0.8)
                child.kill()
                kills += 1
    finally:
        done.set()
        for w in writers:
            w.join()
    assert kills == 6
    end = time.monotonic() + 30
    while record.one("select count(*) as n from graph_dirty") != {"n": 0} and time.monotonic() < end:
        projector.project_once(record, graph)
    assert record.one("select count(*) as n from graph_dirty") == {"n": 0}
    assert shown(graph, 1) == told(record)


def test_a_rebuild_is_never_seen_half_done(
    record: Record, engine: Graph, estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader in a loop, and a projector and a writer that go on beside the rebuild."""
    monkeypatch.setattr(rebuild, "FILL", 10)
    monkeypatch.setattr(rebuild, "READERS_SECONDS", 2.0)
    catch_up(record, engine)
    start = max(estate.nodes, key=lambda n: len(estate.lengths(n, "downstream")))
    from_dataset, whole = estate.nodes[start].type == "dataset", len(estate.reach(start, "downstream"))
    done, seen, failed = threading.Event(), set(), []
    late = random_estate(random.Random(3), 70, 0, 0)
    added = [n for i, n in enumerate(late.nodes.values()) if i >= 40]

    def look() -> None:
        while not done.is_set():
            generation = dirty.generation(record)
            seen.add((generation, reach.impact(engine, generation, start, from_dataset).total))

    def work() -> None:
        try:
            for n in added:
                with record.tx() as conn:
                    put_nodes(conn, [n])
                projector.project_once(record, engine)
        except Exception as e:
            failed.append(e)

    others = [threading.Thread(target=look), threading.Thread(target=work)]
    for o in others:
        o.start()
    steps: list[tuple[int, int]] = []
    try:
        rebuild.rebuild(record, engine, lambda n, total: steps.append((n, total)))
        others[1].join()
    finally:
        done.set()
        others[0].join()
    assert not failed
    assert {total for _, total in seen} == {whole}
    assert {g for g, _ in seen} == {1, 2}, "it was read before and after the switch"
    assert steps[-1][0] == steps[-1][1]
    catch_up(record, engine)
    assert shown(engine, 2) == told(record)
    assert len(shown(engine, 2)[0]) == len(estate.nodes) + len(added)
    assert shown(engine, 1) == ({}, [])


def test_a_killed_rebuild_leaves_readers_what_they_had(record: Record, engine: Graph, estate: Estate) -> None:
    catch_up(record, engine)
    rebuild._start(record)  # and no more: its process is gone, and its lock with it
    with record.tx() as conn:
        put_edges(conn, [min(estate.edges)])
    catch_up(record, engine)
    assert record.one("select generation, rebuild from graph_state") == {"generation": 1, "rebuild": None}
    assert shown(engine, 1) == told(record)
