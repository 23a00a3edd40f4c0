"""Results read back, uptime and SLA attainment over days, and what expires."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from scheduling import add_check, add_node
from telling import event, producer, tell

from store import gaps, partitions, results
from store.record import Record
from tests.web import Web

NOW = datetime.now(UTC).replace(second=0, microsecond=0)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long run this module was imported many minutes before its tests begin."""
    monkeypatch.setattr(f"{__name__}.NOW", datetime.now(UTC).replace(second=0, microsecond=0))


def at(days: float, minutes: float = 0) -> datetime:
    """So long before the test began."""
    return NOW - timedelta(days=days, minutes=minutes)


def write(record: Record, check: UUID, slot: datetime, status: str, value: float | None = None) -> None:
    with record.tx() as conn:
        partitions.ensure_days(conn, "check_result", [slot])
        conn.execute(
            "insert into check_result (check_id, slot_at, status, attempts, value, reason) values (%s, %s, %s, 1, %s, 'so')",
            (check, slot, status, value),
        )
        results.recompute(conn, [check], slot)


@pytest.fixture
def two(web: Web) -> tuple[UUID, UUID]:
    """Two checks of two nodes: the first with a result each ten minutes for five hours and a few long ago. The newest is
    a minute old: what is counted ends with the last whole minute, and that may be the first of an hour."""
    record = web.record
    with record.tx() as conn:
        a = add_check(conn, add_node(conn, "shop.public.a"), name="a", every=600)
        b = add_check(conn, add_node(conn, "shop.public.b"), name="b", every=600)
    for n in range(30):
        write(record, a, at(0, n * 10 + 1), "fail" if n % 10 == 3 else "ok", float(n))
    write(record, a, at(20), "fail")
    write(record, a, at(70), "not_checked")
    write(record, b, at(0, 10), "warn")
    return a, b


def pages(web: Web, path: str, limit: int = 7) -> list[dict[str, Any]]:
    """All items of a list, a page at a time."""
    items, cursor = [], None
    while True:
        asked = f"{path}{'&' if '?' in path else '?'}limit={limit}" + (f"&cursor={cursor}" if cursor else "")
        answer = web.client().get(asked, headers=web.bearer("viewer"))
        assert answer.status_code == 200, answer.text
        items += answer.json["items"]
        assert len(answer.json["items"]) <= limit
        cursor = answer.json["next"]
        if not cursor:
            return items


def test_results_come_newest_first_page_by_page(web: Web, two: tuple[UUID, UUID]) -> None:
    a, b = map(str, two)
    all_ = pages(web, "/api/v1/results")
    assert [i["slot_at"] for i in all_] == sorted((i["slot_at"] for i in all_), reverse=True)
    assert len({(i["check_id"], i["slot_at"]) for i in all_}) == len(all_) == 33
    of_a = pages(web, f"/api/v1/checks/{a}/results")
    assert [i for i in all_ if i["check_id"] == a] == of_a
    assert {i["check_name"] for i in of_a} == {"a"}
    assert pages(web, f"/api/v1/results?check={a}&check={b}") == all_
    node = all_[0]["node_id"]
    assert pages(web, f"/api/v1/results?node={node}") == of_a
    assert pages(web, f"/api/v1/results?node={node}&check={b}") == []


def test_results_by_status_and_time(web: Web, two: tuple[UUID, UUID]) -> None:
    def statuses(query: str) -> list[str]:
        return [i["status"] for i in pages(web, f"/api/v1/results?{query}", 2)]

    assert statuses("status=fail") == ["fail"] * 4
    assert statuses("status=fail&status=not_checked") == ["fail"] * 4 + ["not_checked"]
    assert statuses("status=muted") == []
    since, until = (t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in (at(30), at(1)))
    assert statuses(f"since={since}&until={until}") == ["fail"]
    assert len(statuses(f"since={at(0, 11).strftime('%Y-%m-%dT%H:%M:%SZ')}")) == 3
    assert web.client().get("/api/v1/results?cursor=x", headers=web.bearer("viewer")).status_code == 422


def test_the_history_of_a_check_counts_what_slots_ended_as(web: Web, two: tuple[UUID, UUID]) -> None:
    said = web.client().get(f"/api/v1/checks/{two[0]}/history?days=90", headers=web.bearer("viewer")).json
    total = {s: sum(b[s] for b in said["bars"]) for s in ("ok", "fail", "not_checked", "error")}
    assert total == {"ok": 27, "fail": 4, "not_checked": 1, "error": 0}
    assert said["uptime"] == {"1": 90.0, "7": 90.0, "30": round(2700 / 31, 4), "90": round(2700 / 31, 4)}
    gone = web.client().get(f"/api/v1/checks/{UUID(int=7)}/history", headers=web.bearer("viewer"))
    assert gone.status_code == 404


def test_uptime_of_a_node_leaves_out_when_dlv_did_not_look(web: Web) -> None:
    with web.record.tx() as conn:
        node = add_node(conn)
        for when, was, now in ((8, "unknown", "ok"), (4, "ok", "failed"), (3, "failed", "ok")):
            conn.execute(
                "insert into transition (node_id, at, was, now, reason) values (%s, %s, %s, %s, '')",
                (node, at(when), was, now),
            )
        gaps.note(conn, "scheduler", at(3.5), at(2.5), "DLV did not run")
        gaps.note(conn, "check", at(3.25), at(2.75), "no check worker gives a sign of life")
        gaps.note(conn, "alert", at(1), at(0.5), "not its business")
    said = web.client().get(f"/api/v1/nodes/{node}/history?days=7", headers=web.bearer("viewer")).json
    assert said["uptime"]["1"] == 100.0
    assert said["uptime"]["7"] == pytest.approx(100 * 5.5 / 6, abs=0.01)
    assert said["uptime"]["90"] == pytest.approx(100 * 6.5 / 7, abs=0.01)
    assert len(said["gaps"]) == 1
    assert {b["health"] for b in said["bars"]} == {"ok", "failed"}
    assert said["sla"] is None


@pytest.mark.parametrize(("kind", "percent"), [("freshness", 75.0), ("completion", 50.0)])
def test_how_well_a_node_kept_its_sla(web: Web, kind: str, percent: float) -> None:
    """A job each twelve hours: every second one takes seven hours instead of an hour."""
    record = web.record
    who = producer(record)
    events = []
    for n in range(20):
        due = at(9.8) + timedelta(hours=12 * n)
        for state, when in (("START", due), ("COMPLETE", due + timedelta(hours=7 if n % 2 else 1))):
            events.append(event("load.orders", state, when, due=due))
    tell(record, who, events, NOW)
    with record.tx() as conn:
        conn.execute(
            "update node set sla_kind = %s, sla_minutes = %s", (kind, 15 * 60 if kind == "freshness" else 120)
        )
        row = conn.execute("select id from node where type = 'job' and name = 'load.orders'").fetchone()
    assert row is not None
    said = web.client().get(f"/api/v1/nodes/{row['id']}/history?days=7", headers=web.bearer("viewer")).json
    assert said["sla"]["kind"] == kind
    assert len(said["sla"]["days"]) in (7, 8)
    if kind == "completion":
        assert said["sla"]["percent"] == percent
    else:
        # made at +1 h and +7 h of each second slot: the waits are 18 h and 6 h, of which 3 of 24 are beyond the limit
        assert said["sla"]["percent"] == pytest.approx(100 * 21 / 24, abs=1)
    with record.tx() as conn:
        check = add_check(conn, row["id"], name="c")
        other = add_check(conn, add_node(conn, "shop.public.a"), name="a")
    of_check = web.client().get(f"/api/v1/checks/{check}/history?days=1", headers=web.bearer("viewer")).json
    sla = of_check["sla"]
    assert (sla["kind"], sla["minutes"]) == (kind, said["sla"]["minutes"])
    assert list(sla["percent"]) == ["1", "7", "30", "90"]
    assert sla["percent"]["7"] == said["sla"]["percent"], "the same figure as the node's own"
    assert sla["percent"]["30"] == sla["percent"]["90"] != 100.0
    of_other = web.client().get(f"/api/v1/checks/{other}/history", headers=web.bearer("viewer")).json
    assert of_other["sla"] is None


def test_freshness_leaves_out_when_dlv_did_not_look(web: Web) -> None:
    """Made six and two days ago and fresh for a day each: of the three days that it was old, DLV was away for two."""
    record, who = web.record, producer(web.record)
    made = [event("load.orders", "COMPLETE", at(d), due=at(d) - timedelta(hours=1)) for d in (6, 2)]
    tell(record, who, made, NOW)
    with record.tx() as conn:
        conn.execute("update node set sla_kind = 'freshness', sla_minutes = 24 * 60")
        row = conn.execute("select id from node where type = 'job' and name = 'load.orders'").fetchone()
    assert row is not None

    def kept() -> float:
        path = f"/api/v1/nodes/{row['id']}/history?days=7"
        percent: float = web.client().get(path, headers=web.bearer("viewer")).json["sla"]["percent"]
        return percent

    assert kept() == pytest.approx(100 * 2 / 6, abs=0.1)
    with record.tx() as conn:
        gaps.note(conn, "scheduler", at(5), at(3), "DLV did not run")
    assert kept() == pytest.approx(100 * 2 / 4, abs=0.1)


def test_old_results_go_a_day_at_a_time_and_old_counts_with_them(record: Record) -> None:
    with record.tx() as conn:
        check = add_check(conn, add_node(conn))
    for days in (1, 40, 100):
        write(record, check, at(days), "ok")
    assert f"check_result_{at(100):%Y%m%d}" in partitions.expire(record, 30, 400, 90)
    assert len(record.all("select * from check_result")) == 2
    with record.tx() as conn:
        conn.execute("update check_rollup set at = at - interval '30 days' where grain = 'hour'")
    results.expire(record)
    left = record.all("select grain, count(*) as n from check_rollup group by 1 order by 1")
    assert [(r["grain"], r["n"]) for r in left] == [("day", 3), ("hour", 1), ("minute", 1)]
