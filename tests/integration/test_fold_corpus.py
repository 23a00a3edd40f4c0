"""Real clients' events, in any order and doubled, fold to one and the same record."""

from __future__ import annotations

import hashlib
import json
import os
import random
import zlib
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from canonical import difference, export

from graph.driver import Graph
from ingest import fold, openlineage, redact
from store.record import Record
from workers.projector import project_once

CORPUS = Path(__file__).parents[2] / ".." / "shared" / "corpus" / "openlineage"
FILES = sorted(p.name for p in CORPUS.glob("*.jsonl"))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SHUFFLES = int(os.environ.get("DLV_TEST_SHUFFLES", "50"))

pytestmark = pytest.mark.corpus
needs_corpus = pytest.mark.skipif(not FILES, reason="../shared/corpus is absent: no real events to fold")


def rows_of(bodies: list[bytes], start: int = 1) -> list[dict[str, object]]:
    """Claimed rows as the receiver stores them and the fold worker sees them."""
    return [
        {
            "id": i, "day": NOW.date(), "producer_id": 1, "received_at": NOW, "hash": hashlib.sha256(b).digest(),
            "body": zlib.compress(orjson.dumps(redact.redact_event(openlineage.read_json(b)))), "producer": "corpus",
            "environment": None,
        }
        for i, b in enumerate(bodies, start)
    ]  # fmt: skip


def bodies(name: str) -> list[bytes]:
    return [line for line in (CORPUS / name).read_bytes().splitlines() if line.strip()]


def fold_all(record: Record, rows: list[dict[str, object]], batch: int) -> None:
    for i in range(0, len(rows), batch):
        with record.tx() as conn:
            fold.fold(conn, rows[i : i + batch], NOW)


def empty(record: Record) -> None:
    with record.tx() as conn:
        conn.execute(
            "truncate alias, alias_sent, evidence, dataset_drop, alias_field, node, edge, edge_interval, edge_run, "
            "column_edge, schema_version, alias_facet, assertion, event_warning, run, run_key, transition, "
            "graph_dirty, annotation, edge_retirement, health_check, check_state, heartbeat, sql_read"
        )


def drawn(record: Record, graph: Graph) -> list[str]:
    """What the graph holds once everything is projected, as sorted lines."""
    while project_once(record, graph):
        pass
    rows = graph.read("MATCH (n:N1) RETURN collect(n {.*}) AS found")[0]["found"]
    ways = graph.read("MATCH (a:N1)-[:F1]->(b:N1) RETURN collect([a.id, b.id]) AS found")[0]["found"]
    return sorted([repr(sorted(n.items())) for n in rows] + [f"{a} → {b}" for a, b in ways])


@needs_corpus
@pytest.mark.parametrize("name", FILES)
def test_shuffled_and_doubled_it_is_the_same_record_and_graph(
    name: str, record: Record, graph: Graph
) -> None:
    rows = rows_of(bodies(name))
    with record.tx() as conn:
        conn.execute("insert into producer (name) values ('corpus')")
    fold_all(record, rows, 400)
    expected = {**export(record), "graph": drawn(record, graph)}
    assert expected["alias"] and expected["graph"], "the file folds to something"
    rng = random.Random(7)
    for n in range(SHUFFLES):
        empty(record)
        graph.write("MATCH (n:N1) DETACH DELETE n RETURN count(*) AS n")
        mixed = rows + rows
        rng.shuffle(mixed)
        fold_all(record, mixed, rng.choice([7, 60, 900]))
        got = {**export(record), "graph": drawn(record, graph)}
        assert got == expected, f"shuffle {n}:\n{difference(expected, got)}"


@needs_corpus
@pytest.mark.parametrize("name", FILES)
def test_every_event_is_accepted(name: str) -> None:
    for body in bodies(name):
        event = openlineage.parse(body)
        assert event.job or event.dataset or event.warnings, json.loads(body)
