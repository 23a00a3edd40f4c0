"""Partitions by day: there before they are needed, gone when they expire, and never with unfolded events in them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from said import T0, dataset, event, say

from store import partitions


def _today(record: Any) -> date:
    return record.one("select (now() at time zone 'UTC')::date as d")["d"]


def _event(conn: Any, day: date, number: int, *, pending: bool) -> None:
    digest = number.to_bytes(32)
    conn.execute(
        "insert into event (day, id, producer_id, hash, size, body) values (%s, %s, 1, %s, 1, 'x')",
        (day, number, digest),
    )
    conn.execute("insert into event_key (producer_id, hash, day) values (1, %s, %s)", (digest, day))
    if pending:
        conn.execute("insert into event_pending (id, day) values (%s, %s)", (number, day))


def test_today_and_the_next_days_exist_and_a_second_call_makes_nothing(record: Any) -> None:
    day = _today(record)
    for parent in partitions.PARENTS:
        have = {d for _, d in partitions._existing(record, parent)}
        assert {day + timedelta(days=n) for n in range(partitions.AHEAD + 1)} <= have
    assert partitions.ensure_ahead(record) == []


def test_expired_days_go_with_their_keys_and_waiting_events_stay(record: Any) -> None:
    today = _today(record)
    old, older, kept = today - timedelta(days=40), today - timedelta(days=50), today - timedelta(days=30)
    with record.tx() as conn:
        for day in (old, older, kept):
            partitions.ensure(conn, day)
        _event(conn, old, 1, pending=False)
        _event(conn, older, 2, pending=True)
        _event(conn, kept, 3, pending=False)
        conn.execute("insert into run_key (key, day) values (gen_random_uuid(), %s)", (old,))
    dropped = partitions.expire(record, event_days=30, run_days=45)
    assert set(dropped) == {f"event_{old:%Y%m%d}", f"run_{older:%Y%m%d}"}
    assert [r["id"] for r in record.all("select id from event order by id")] == [2, 3]
    assert [r["day"] for r in record.all("select day from event_key order by day")] == [older, kept]
    assert record.one("select count(*) n from run_key")["n"] == 1


def test_an_attached_partition_has_the_parents_key(record: Any) -> None:
    rows = record.all(
        "select count(*) n from pg_index i join pg_inherits h on h.inhrelid = i.indrelid where i.indisprimary"
    )
    assert rows[0]["n"] == len(partitions.PARENTS) * (partitions.AHEAD + 2)


def test_proofs_of_an_edge_expire_with_their_runs_but_for_the_newest(record: Any) -> None:
    table = dataset("postgres://db.example:5432", "d.s.t")
    say(record, event("a", [table], minute=0, run="r1"), event("a", [table], minute=9, run="r2"))
    assert len(record.all("select run_key from edge_run")) == 2
    with record.tx() as conn:
        conn.execute("update run_key set day = day - 400")
    partitions.expire(record, event_days=30, run_days=300)
    assert record.all("select last_at from edge_run") == [{"last_at": T0 + timedelta(minutes=9)}]
    assert record.all("select valid_to from edge_interval") == [{"valid_to": None}]
