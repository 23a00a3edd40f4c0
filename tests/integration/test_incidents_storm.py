"""One upstream failure and what follows from it, on an estate of 5,000 nodes, on a real Postgres and a real graph."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from answers import incidents as answers
from answers import status
from settings import Settings
from store import partitions
from store.record import Record
from tests.integration.breaking import GROUP, Breaking, layered, uid
from tests.integration.estates import hub

NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
YESTERDAY = NOW - timedelta(days=1)
ROOT = uid(0)
BELOW = [uid(n) for n in range(1, 201)]

pytestmark = pytest.mark.xdist_group("incidents")


@pytest.fixture
def estate(record: Record, graph: Any, settled: Settings) -> Breaking:
    return Breaking(record, graph, settled, layered(), YESTERDAY)


@pytest.fixture
def small(record: Record, graph: Any, settled: Settings) -> Breaking:
    return Breaking(record, graph, settled, layered(60, 40), YESTERDAY)


def minute(n: float) -> datetime:
    return NOW + timedelta(minutes=n)


def storm(rng: random.Random) -> list[tuple[UUID, str, datetime]]:
    """50 fail and 150 go late, each at an event time of its own after the root's."""
    shuffled = rng.sample(BELOW, len(BELOW))
    return [(n, "failed" if k < 50 else "late", minute(1 + k / 10)) for k, n in enumerate(shuffled)]


@pytest.mark.parametrize("seed", [1, 2])
def test_one_upstream_failure_is_one_incident_and_one_notification(estate: Breaking, seed: int) -> None:
    rng = random.Random(seed)
    said = storm(rng)
    rng.shuffle(said)
    # heard of within the group time, in ten batches, the root last; its FAIL has the earliest event time
    for k in range(10):
        heard = minute(30) + timedelta(seconds=5 * k)
        estate.turn_all(said[k * 20 : k * 20 + 20], noted=heard)
        estate.tell(heard)
    final = minute(30) + timedelta(seconds=52)
    estate.turn(ROOT, "failed", NOW, noted=final)
    for seconds in range(0, 300, 15):
        estate.tell(final + timedelta(seconds=seconds))
    assert estate.partition() == {ROOT: {ROOT, *BELOW}}
    assert [(event, id_) for _, id_, event, _ in estate.told] == [("trigger", estate.open()[0]["id"])]
    assert estate.told[0][0] - final <= timedelta(seconds=90)
    found = answers.get(estate.dlv, estate.told[0][1])
    assert found["members"] == {"total": 201, "failed": 51, "late": 150, "recovered": 0}
    assert {m["id"] for m in found["member_list"]} == {str(n) for n in [ROOT, *BELOW]}
    assert (found["blast"]["total"], found["at_risk"]) == (200, 0)
    assert sum(h["n"] for h in found["blast"]["by_hop"]) == 200


def plant(estate: Breaking, rng: random.Random) -> list[tuple[UUID, str, datetime]]:
    """20 nodes inside the radius that ran well after the root and all above them had failed, and fail for themselves."""
    planted = []
    for k, n in enumerate(sorted(rng.sample(range(1, 201), 20))):
        with estate.record.tx() as conn:
            conn.execute("update node set made_at = %s where id = %s", (minute(30 + k - 0.5), uid(n)))
        planted.append((uid(n), "failed", minute(30 + k)))
    return planted


def test_unrelated_failures_inside_that_radius_are_incidents_of_their_own(estate: Breaking) -> None:
    rng = random.Random(3)
    planted = plant(estate, rng)
    apart = {n for n, _, _ in planted}
    estate.turn(ROOT, "failed", NOW, noted=minute(1))
    estate.turn_all([s for s in storm(rng) if s[0] not in apart], noted=minute(2))
    estate.tell(minute(2))
    estate.turn_all(planted, noted=minute(53))
    estate.tell(minute(53))
    estate.tell(minute(55))
    assert estate.partition() == {ROOT: {ROOT, *BELOW} - apart} | {n: {n} for n in apart}
    assert [e for _, _, e, _ in estate.told] == ["trigger"] * 21


def test_in_any_order_and_in_one_batch_they_stay_apart_as_well(estate: Breaking) -> None:
    rng = random.Random(4)
    planted = plant(estate, rng)
    apart = {n for n, _, _ in planted}
    said = [s for s in storm(rng) if s[0] not in apart] + planted + [(ROOT, "failed", NOW)]
    rng.shuffle(said)
    estate.turn_all(said, noted=minute(53))
    estate.decide(minute(53))
    assert estate.partition() == {ROOT: {ROOT, *BELOW} - apart} | {n: {n} for n in apart}


def test_a_week_old_red_swallows_nothing(small: Breaking) -> None:
    small.turn(ROOT, "failed", NOW - timedelta(days=7), noted=NOW - timedelta(days=7))
    small.tell(NOW - timedelta(days=7) + GROUP)
    with small.record.tx() as conn:
        conn.execute("update node set made_at = %s where id = any(%s)", (YESTERDAY, BELOW))
    small.turn(BELOW[0], "failed", NOW, noted=NOW)
    small.tell(NOW)
    small.tell(NOW + GROUP)
    assert small.partition() == {ROOT: {ROOT}, BELOW[0]: {BELOW[0]}}
    assert [e for _, _, e, _ in small.told] == ["trigger", "trigger"]


def test_a_root_that_shows_up_after_people_were_told_keeps_the_key(small: Breaking) -> None:
    small.turn(BELOW[15], "failed", minute(2), noted=minute(3))
    small.turn(BELOW[5], "failed", minute(2), noted=minute(5))
    small.tell(minute(4))
    small.tell(minute(7))
    before = {i["id"]: i for i in small.open()}
    small.turn(ROOT, "failed", NOW, noted=minute(8))
    small.tell(minute(8))
    (now,) = small.open()
    assert (now["root_node"], set(now["members"])) == (ROOT, {ROOT, BELOW[5], BELOW[15]})
    first = min(before.values(), key=lambda i: i["told_at"])
    assert (now["id"], now["key"], now["number"]) == (first["id"], first["key"], first["number"])
    kinds = [e["kind"] for e in answers.timeline(small.dlv, now["id"])["items"]]
    assert "rerooted" in kinds


@pytest.mark.parametrize(("bad", "good"), [(0.5, 0.5), (1, 4), (5, 5), (9, 3), (2, 13)])
def test_flapping_for_an_hour_is_at_most_two_notifications(small: Breaking, bad: float, good: float) -> None:
    at = 0.0
    while at < 60:
        small.turn(ROOT, "failed", minute(at), noted=minute(at))
        step = 0.5
        k = 0.0
        while k < bad:
            small.tell(minute(at + k))
            k += step
        small.turn(ROOT, "ok", minute(at + bad), noted=minute(at + bad))
        k = 0.0
        while k < good:
            small.tell(minute(at + bad + k))
            k += step
        at += bad + good
    assert 1 <= len([t for t in small.told if t[0] <= minute(60)]) <= 2
    assert small.told[0][2] == "trigger"
    assert len({t[1] for t in small.told}) == 1
    # once it holds, people are told that it is over, and it stays one incident
    small.tell(minute(at + 31))
    assert small.told[-1][2] == "resolve"
    rows = small.record.all("select status, reopened from incident")
    assert [r["status"] for r in rows] == ["resolved"]


def test_it_is_told_again_when_it_gets_worse(small: Breaking) -> None:
    small.turn(ROOT, "late", NOW, noted=NOW)
    small.tell(NOW)
    small.tell(NOW + GROUP)
    with small.record.tx() as conn:
        conn.execute("update node set criticality = 1 where id = %s", (BELOW[0],))
    small.turn(BELOW[0], "failed", minute(5), noted=minute(5))
    small.tell(minute(5))
    small.tell(minute(6))
    assert [(e, s) for _, _, e, s in small.told] == [("trigger", 4), ("update", 1)]
    found = answers.get(small.dlv, small.told[0][1])
    assert found["severity_why"][0].endswith("of criticality 1, has failed")


def test_a_recovery_and_a_relapse(small: Breaking) -> None:
    small.turn(ROOT, "failed", NOW, noted=NOW)
    small.turn(BELOW[0], "failed", minute(1), noted=minute(1))
    small.tell(minute(2))
    small.turn(ROOT, "ok", minute(4), noted=minute(4))
    small.tell(minute(4))
    assert small.partition() == {ROOT: {ROOT, BELOW[0]}}
    small.turn(BELOW[0], "ok", minute(6), noted=minute(6))
    for m in range(6, 20):
        small.tell(minute(m))
    assert small.partition() == {}
    assert [e for _, _, e, _ in small.told] == ["trigger", "resolve"]
    key = small.told[0][1]
    small.turn(ROOT, "failed", minute(25), noted=minute(25))
    for m in range(25, 40):
        small.tell(minute(m))
    assert [(e, i) for _, i, e, _ in small.told] == [("trigger", key), ("resolve", key), ("trigger", key)]


@pytest.mark.slow
def test_a_red_hub_with_many_below_it_writes_one_transition(
    record: Record, graph: Any, settled: Settings
) -> None:
    jobs = 82_000
    below = jobs + jobs // 10
    assert below > 90_000
    big = Breaking(record, graph, settled, hub(jobs), NOW - timedelta(days=1))
    big.turn(ROOT, "failed", NOW, noted=NOW)
    big.tell(NOW)
    big.tell(NOW + GROUP)
    assert record.all("select node_id, was, now from transition") == [
        {"node_id": ROOT, "was": "ok", "now": "failed"}
    ]
    assert record.all("select node_id from incident_member") == [{"node_id": ROOT}]
    (found,) = big.open()
    assert (found["blast"]["total"], found["blast"]["at_risk"]) == (below, below)
    assert [(e, i) for _, i, e, _ in big.told] == [("trigger", found["id"])]
    status.forget(record)
    said = status.counts(big.dlv)
    assert (said["roots"], said["symptoms"], said["at_risk"], said["failed"]) == (1, 0, below, 1)


def test_off_the_map_is_not_bad(small: Breaking) -> None:
    small.turn(ROOT, "failed", NOW, noted=NOW)
    small.decide(NOW)
    with small.record.tx() as conn:
        conn.execute("update node set retired_at = now() where id = %s", (ROOT,))
    small.decide(minute(1))
    assert small.partition() == {}


def test_what_the_graph_has_to_learn_is_waited_for_but_not_for_long(small: Breaking) -> None:
    small.turn(BELOW[0], "failed", NOW, noted=NOW)
    with small.record.tx() as conn:
        conn.execute(
            "insert into graph_dirty (kind, key, version, marked_at) values ('edge', %s, 1, %s)",
            (ROOT, minute(-1)),
        )
    # nothing that was stored later goes before it
    small.turn(BELOW[0], "ok", minute(0.05), noted=NOW - timedelta(minutes=2))
    small.decide(minute(0.1))
    assert small.record.one("select count(*) as n from incident") == {"n": 0}
    small.decide(minute(0.5))
    assert [r["status"] for r in small.record.all("select status from incident")] == ["resolved"]


def test_the_result_that_ends_it_stands_in_the_timeline_before_the_end(small: Breaking) -> None:
    check = uid(80_002)

    def judged(at: datetime, status: str, health: str) -> None:
        with small.record.tx() as conn:
            conn.execute(
                "insert into check_result (check_id, slot_at, ended_at, status, reason) values (%s, %s, %s, %s, 'rows')",
                (check, at, at, status),
            )
        small.turn(BELOW[0], health, at, noted=at, check=check)
        small.decide(at)

    with small.record.tx() as conn:
        partitions.ensure_days(conn, "check_result", [minute(-5)])
        conn.execute(
            "insert into health_check (id, name, kind, node_id, every_seconds) values (%s, 'rows', 'sql', %s, 60)",
            (check, BELOW[0]),
        )
    judged(minute(0), "fail", "failed")
    (found,) = small.open()
    # it stays as it is for hours: that is one line, however often it is looked at
    for n in range(1, 30):
        with small.record.tx() as conn:
            conn.execute(
                "insert into check_result (check_id, slot_at, ended_at, status) values (%s, %s, %s, 'fail')",
                (check, minute(6 * n), minute(6 * n)),
            )
        small.decide(minute(6 * n))
    judged(minute(181), "ok", "ok")
    assert small.open() == []
    entries = answers.timeline(small.dlv, found["id"])["items"][::-1]
    assert [(e["looks"], e["until"]) for e in entries if e["kind"] == "check"] == [
        (30, status.iso(minute(174))), (1, status.iso(minute(181))),
    ]  # fmt: skip
    assert all(e["looks"] is None for e in entries if e["kind"] != "check")
    lines = [(e["kind"], e["text"]) for e in entries]
    name = f"rows on {answers.get(small.dlv, found['id'])['root']['name']}"
    assert [t for k, t in lines if k == "check"] == [f"{name}: fail, rows", f"{name}: ok, rows"]
    assert lines.index(("check", f"{name}: ok, rows")) < lines.index(
        ("resolved", "All members are good again")
    )
    said = answers.postmortem(small.dlv, found["id"])[1]
    assert (
        f"{name}: ok, rows |" in said and f"{name}: fail, rows (30 times until 2026-11-27 08:54:00) |" in said
    )


def test_what_no_run_makes_was_last_good_when_its_check_said_so(small: Breaking) -> None:
    check = uid(80_001)
    with small.record.tx() as conn:
        partitions.ensure_days(conn, "check_result", [minute(-5)])
        conn.execute("update node set made_at = null where id = any(%s)", ([BELOW[0], BELOW[1]],))
        conn.execute(
            "insert into health_check (id, name, kind, node_id, every_seconds) values (%s, 'rows', 'sql', %s, 60)",
            (check, BELOW[0]),
        )
        conn.execute(
            "insert into check_result (check_id, slot_at, status) values (%s, %s, 'ok')", (check, minute(-5))
        )
    small.turn(ROOT, "failed", NOW, noted=NOW)
    small.turn(BELOW[0], "failed", minute(5), noted=NOW, check=check)
    small.turn(BELOW[1], "failed", minute(7), noted=NOW, reason="never seen good")
    small.decide(minute(8))
    # the second was never good, but it is what the root itself writes
    assert small.partition() == {ROOT: {ROOT, BELOW[0], BELOW[1]}}
    (found,) = small.open()
    members = {m["id"]: m for m in answers.get(small.dlv, found["id"])["member_list"]}
    assert members[str(BELOW[0])]["last_good"] == "2026-11-27T05:55:00Z"
