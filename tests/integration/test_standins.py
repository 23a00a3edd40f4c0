"""An edge drawn by hand stands until a job is seen that does what it says."""

from __future__ import annotations

from said import dataset, edges, event, node, say

from store import edges as edges_store
from store.audit import SYSTEM
from store.record import Record

PG = "postgres://db.example:5432"


def test_an_observed_job_covers_a_hand_drawn_edge(record: Record) -> None:
    say(record, event("a", [], [dataset(PG, "d.s.one")]), event("b", [dataset(PG, "d.s.two")]))
    one, two = node(record, "d.s.one"), node(record, "d.s.two")
    with record.tx() as conn:
        edges_store.create(conn, SYSTEM, one["id"], two["id"])
    drawn = {e for e in edges(record) if "d.s.one" in e[0] or "d.s.two" in e[1]}
    assert len(drawn) == 2, "one line over a stand-in job: two halves"
    say(record, event("half", [dataset(PG, "d.s.one")], minute=5))
    assert drawn <= edges(record), "a job that only reads covers nothing"
    say(record, event("copy", [dataset(PG, "d.s.one")], [dataset(PG, "d.s.two")], minute=9))
    assert not drawn & edges(record)
    assert {("d.s.one", "copy"), ("copy", "d.s.two")} <= edges(record)
    assert {r["by"] for r in record.all("select by from edge_retirement")} == {"copy"}
