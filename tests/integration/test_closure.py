"""Reach as of a date, from the record, by the oracle that the graph is compared with."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from estates import T0, Estate, put, put_edges, put_nodes, put_teams, random_estate, ring, uid

from graph.model import Filters
from store import closure
from store.record import Record


@pytest.mark.parametrize("seed", range(4))
def test_random_graphs_at_random_times(record: Record, seed: int) -> None:
    rng = random.Random(seed)
    estate = random_estate(rng, 25, 25, 110)
    spans = {
        e: (T0 + timedelta(days=rng.randint(0, 9)), rng.choice((None, rng.randint(1, 9))))
        for e in estate.edges
    }
    retired = {n: T0 + timedelta(days=rng.randint(0, 9)) for n in rng.sample(sorted(estate.nodes), 5)}
    with record.tx() as conn:
        put_teams(conn)
        put_nodes(conn, list(estate.nodes.values()))
        for e, (since, days) in spans.items():
            put_edges(conn, [e], since=since, until=since + timedelta(days=days) if days else None)
        for n, at in retired.items():
            conn.execute("update node set retired_at = %s where id = %s", (at, n))
    for day in (0, 3, 6, 30):
        at = T0 + timedelta(days=day)
        gone = {n for n, when in retired.items() if when <= at}
        then = Estate(
            estate.nodes,
            {
                e
                for e, (since, days) in spans.items()
                if since <= at and (not days or at < since + timedelta(days=days)) and not gone & set(e)
            },
        )
        for start in rng.sample(sorted(set(estate.nodes) - gone), 4):
            for direction in ("downstream", "upstream"):
                with record.tx() as conn:
                    got = closure.closure_as_of(conn, start, direction, at)
                    near = closure.closure_as_of(conn, start, direction, at, 3)
                    page = closure.impact(
                        conn,
                        start,
                        estate.nodes[start].type == "dataset",
                        direction,
                        2,
                        Filters(tag=("pii",)),
                        at,
                        3,
                    )
                want = then.lengths(start, direction)
                assert dict(got) == want and len(got) == len(want)
                assert dict(near) == {n: steps for n, steps in want.items() if steps <= 3}
                listed = then.reach(start, direction, 2, Filters(tag=("pii",)))
                assert page.items == [(n, hop) for hop, n in listed[:3]]
                assert (page.total, page.cut) == (len(listed), len(listed) > 3)


def test_a_long_ring_is_walked_in_memory(record: Record) -> None:
    estate = ring(300)
    with record.tx() as conn:
        put(conn, estate)
    at = T0 + timedelta(days=1)
    with record.tx() as conn:
        for limit in (None, 40):
            got = dict(closure.closure_as_of(conn, uid(0), "downstream", at, limit))
            want = estate.lengths(uid(0), "downstream")
            assert got == {n: steps for n, steps in want.items() if limit is None or steps <= limit}
