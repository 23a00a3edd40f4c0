"""Health on a real record: what checks say joins what runs say, and what events alone tell."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from telling import day, event, node, producer, tell, transitions

from store import health
from store.record import Record

TABLE = ("postgres://db:5432", "shop.public.orders")


def check_on(record: Record, node_id: UUID, name: str = "freshness") -> UUID:
    check = uuid4()
    with record.tx() as conn:
        conn.execute(
            "insert into health_check (id, name, kind, node_id, every_seconds) values (%s, %s, 'sql', %s, 60)",
            (check, name, node_id),
        )
    return check


def said(record: Record, check: UUID, status: str, says: str, at: datetime, reason: str = "") -> None:
    """What store.slots.finish does with a result: the state, and the node judged, in one transaction."""
    with record.tx() as conn:
        conn.execute(
            """insert into check_state (check_id, status, health, reason, since, slot_at) values (%s, %s, %s, %s, %s, %s)
               on conflict (check_id) do update set status = excluded.status, health = excluded.health,
               reason = excluded.reason, since = excluded.since, slot_at = excluded.slot_at""",
            (check, status, says, reason or says, at, at),
        )
        row = conn.execute("select node_id from health_check where id = %s", (check,)).fetchone()
        assert row is not None
        of = conn.execute("select node_id from alias where id = %s", (row["node_id"],)).fetchone()
        assert of is not None
        health.judge(conn, [of["node_id"]], at)


@pytest.fixture
def shop(record: Record) -> Record:
    """A task that wrote a table, both good."""
    p = producer(record)
    told: list[dict[str, Any]] = [
        event("shop.load", "START", day(0), due=day(0)),
        event("shop.load", "COMPLETE", day(0, 5), due=day(0), outputs=[TABLE]),
    ]
    tell(record, p, told, day(0, 6))
    return record


@pytest.mark.parametrize(
    ("status", "says", "becomes"),
    [
        ("ok", "ok", "ok"),
        ("warn", "warn", "warn"),
        ("fail", "late", "late"),
        ("fail", "failed", "failed"),
        ("not_checked", "unknown", "unknown"),
        ("error", "unknown", "unknown"),
        ("muted", "unknown", "ok"),
    ],
)
def test_what_a_check_says_of_a_node_with_good_runs(
    shop: Record, status: str, says: str, becomes: str
) -> None:
    table = node(shop, TABLE[1])
    check = check_on(shop, table["id"])
    said(shop, check, status, says, day(0, 10), "12 rows are missing")
    after = node(shop, TABLE[1])
    assert after["health"] == becomes
    if becomes != "ok":
        assert "12 rows are missing" in after["health_reason"] and "freshness" in after["health_reason"]
        moved = shop.one(
            "select now, check_id from transition where node_id = %s order by id desc", (table["id"],)
        )
        assert moved == {"now": becomes, "check_id": check}
    else:
        assert shop.one("select 1 as x from transition where check_id is not null") is None
    waiting = shop.one(
        "select count(*) as n from transition t where not exists "
        "(select from transition_pending p where p.transition_id = t.id)"
    )
    assert waiting == {"n": 0}, "whoever decides about incidents is told of every transition"


def test_a_check_that_cannot_look_hides_no_failure_and_recovers_nothing(shop: Record) -> None:
    table = node(shop, TABLE[1])
    reach, rows = check_on(shop, table["id"], "reach"), check_on(shop, table["id"], "rows")
    said(shop, rows, "fail", "failed", day(0, 10))
    said(shop, reach, "not_checked", "unknown", day(0, 11), "the host did not answer")
    assert node(shop, TABLE[1])["health"] == "failed", "another check knows that it failed"
    said(shop, rows, "not_checked", "unknown", day(0, 12), "the host did not answer")
    assert node(shop, TABLE[1])["health"] == "unknown", (
        "never failed by a collector that does not reach its source"
    )
    assert node(shop, TABLE[1])["recovered_at"] is None
    said(shop, reach, "ok", "ok", day(0, 13))
    said(shop, rows, "ok", "ok", day(0, 14))
    after = node(shop, TABLE[1])
    assert (after["health"], after["recovered_at"]) == ("ok", after["health_since"])
    assert [t[1] for t in transitions(shop, TABLE[1])] == ["ok", "failed", "unknown", "ok"]


def test_paused_and_retired_checks_say_nothing(shop: Record) -> None:
    table = node(shop, TABLE[1])
    check = check_on(shop, table["id"])
    said(shop, check, "fail", "failed", day(0, 10))
    for column in ("paused_at", "retired_at"):
        with shop.tx() as conn:
            conn.execute(f"update health_check set {column} = now() where id = %s", (check,))  # type: ignore[arg-type]
            health.judge(conn, [table["id"]], day(0, 11))
        assert node(shop, TABLE[1])["health"] == "ok"
        with shop.tx() as conn:
            conn.execute(f"update health_check set {column} = null where id = %s", (check,))  # type: ignore[arg-type]
            health.judge(conn, [table["id"]], day(0, 11))
        assert node(shop, TABLE[1])["health"] == "failed"


def test_a_check_alone_speaks_for_a_job_too(shop: Record) -> None:
    job = node(shop, "shop.load")
    said(shop, check_on(shop, job["id"], "heartbeat"), "fail", "late", day(0, 30), "no call for 20 min")
    assert (node(shop, "shop.load")["health"], node(shop, "shop.load")["made_at"]) == ("late", day(0, 5))
