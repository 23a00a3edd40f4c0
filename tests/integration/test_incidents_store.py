"""Incidents in the record: what people do about them, and what is still to be told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from answers import incidents as answers
from answers.context import Dlv
from errors import Changed, Conflict, Invalid, NotFound
from settings import Settings
from store import incidents
from store.audit import Actor
from store.record import Record

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
ANNA = Actor("user", "u1", "anna")


@pytest.fixture
def producer(record: Record) -> int:
    row = record.one("insert into producer (name) values ('airflow-prod') returning id")
    assert row
    return int(row["id"])


@pytest.fixture
def dlv(record: Record, graph: Any, settled: Settings) -> Dlv:
    return Dlv(settled, record, graph)


def opened(record: Record, producer: int) -> UUID:
    with record.tx() as conn:
        return incidents.open_producer(conn, producer, "no event for 20 min, usually one every minute", NOW)


def test_a_quiet_producer_is_one_incident(record: Record, producer: int, dlv: Dlv) -> None:
    id_ = opened(record, producer)
    assert opened(record, producer) == id_
    page = answers.page(dlv)
    assert [(i["id"], i["title"], i["root"]) for i in page["items"]] == [
        (str(id_), "No events from airflow-prod", None)
    ]
    assert page["items"][0]["producer"]["name"] == "airflow-prod"
    with record.tx() as conn:
        assert incidents.close_producer(conn, producer, "it sends again", NOW) == id_
        assert incidents.close_producer(conn, producer, "it sends again", NOW) is None
    assert answers.page(dlv)["items"] == []
    assert answers.get(dlv, id_)["status"] == "resolved"
    with record.tx() as conn:
        conn.execute("update incident set resolved_at = now() - interval '10 min'")
    assert opened(record, producer) == id_
    assert answers.get(dlv, id_)["reopened"] == 1
    with record.tx() as conn:
        incidents.close_producer(conn, producer, "it sends again", datetime.now(UTC) - timedelta(minutes=31))
    assert opened(record, producer) != id_


def test_what_is_told_is_told_once(record: Record, producer: int) -> None:
    id_ = opened(record, producer)
    later = datetime.now(UTC) + timedelta(minutes=1)
    with record.tx() as conn:
        due = incidents.to_tell(conn, later)
        assert [(d["id"], d["status"]) for d in due] == [(id_, "open")]
        incidents.told(conn, id_, due[0]["severity"])
    with record.tx() as conn:
        assert incidents.to_tell(conn, later) == []
        incidents.acknowledge(conn, ANNA, id_)
        incidents.resolve(conn, ANNA, id_, "the key was renewed")
    with record.tx() as conn:
        assert [d["status"] for d in incidents.to_tell(conn, later)] == ["resolved"]
        incidents.told(conn, id_, 2)
    with record.tx() as conn:
        assert incidents.to_tell(conn, later) == []


def test_what_a_silence_keeps_back_is_told_after_it(record: Record, producer: int) -> None:
    id_ = opened(record, producer)
    later = datetime.now(UTC) + timedelta(minutes=1)
    with record.tx() as conn:
        incidents.told(conn, id_, 2, again_at=later)
        assert incidents.to_tell(conn, later - timedelta(seconds=1)) == []
        assert [d["told_at"] for d in incidents.to_tell(conn, later)] == [None]


def test_nobody_is_told_that_something_untold_is_over(record: Record, producer: int) -> None:
    opened(record, producer)
    with record.tx() as conn:
        incidents.close_producer(conn, producer, "it sends again", NOW)
    with record.tx() as conn:
        assert incidents.to_tell(conn, datetime.now(UTC) + timedelta(hours=1)) == []


def test_two_workers_never_take_the_same(record: Record, producer: int) -> None:
    opened(record, producer)
    later = datetime.now(UTC) + timedelta(minutes=1)
    with record.tx() as one, record.tx() as two:
        assert len(incidents.to_tell(one, later)) == 1
        assert incidents.to_tell(two, later) == []


def test_what_people_do_stands_in_timeline_and_audit(record: Record, producer: int, dlv: Dlv) -> None:
    id_ = opened(record, producer)
    team = uuid4()
    with record.tx() as conn:
        conn.execute("insert into team (id, name) values (%s, 'Payments')", (team,))
    with record.tx() as conn:
        incidents.acknowledge(conn, ANNA, id_)
        incidents.acknowledge(conn, ANNA, id_)
        incidents.assign(conn, ANNA, id_, {"assignee": "  Bob ", "owner_id": team})
        incidents.comment(conn, ANNA, id_, "looking at the scheduler")
        incidents.unacknowledge(conn, ANNA, id_)
        incidents.resolve(conn, ANNA, id_, "key renewed")
    said = answers.get(dlv, id_)
    assert (said["assignee"], said["owner_name"], said["acknowledged_by"]) == ("Bob", "Payments", None)
    assert [e["kind"] for e in said["timeline"]["items"]] == [
        "resolved", "acknowledged", "commented", "assigned", "acknowledged", "opened",
    ]  # fmt: skip
    done = record.all("select action from audit_log where object_type = 'incident' order by seq")
    assert [d["action"] for d in done] == [
        "incident.acknowledge", "incident.assign", "incident.comment", "incident.unacknowledge",
        "incident.resolve",
    ]  # fmt: skip


def test_two_people_at_once(record: Record, producer: int) -> None:
    id_ = opened(record, producer)
    with record.tx() as conn:
        incidents.assign(conn, ANNA, id_, {"assignee": "anna"}, version=1)
    with pytest.raises(Changed) as e, record.tx() as conn:
        incidents.assign(conn, ANNA, id_, {"assignee": "bob"}, version=1)
    assert e.value.changes == {"assignee": {"yours": "bob", "theirs": "anna"}}


def test_what_cannot_be(record: Record, producer: int) -> None:
    id_ = opened(record, producer)
    with record.tx() as conn:
        incidents.resolve(conn, ANNA, id_, "done")
    with pytest.raises(Conflict), record.tx() as conn:
        incidents.acknowledge(conn, ANNA, id_)
    with pytest.raises(Invalid), record.tx() as conn:
        incidents.comment(conn, ANNA, id_, "   ")
    with pytest.raises(Invalid), record.tx() as conn:
        incidents.assign(conn, ANNA, id_, {"owner_id": uuid4()})
    with pytest.raises(NotFound), record.tx() as conn:
        incidents.comment(conn, ANNA, uuid4(), "hello")


def test_found_by_number_and_by_filter(record: Record, producer: int, dlv: Dlv) -> None:
    id_ = opened(record, producer)
    number = answers.get(dlv, id_)["number"]
    assert answers.get(dlv, f"INC-{number}")["id"] == answers.get(dlv, str(number))["id"] == str(id_)
    for wrong in ("INC-999999", "nonsense", uuid4()):
        with pytest.raises(NotFound):
            answers.get(dlv, wrong)
    for filters, found in (
        ({"severity": [2]}, 1),
        ({"severity": [1]}, 0),
        ({"team": ["none"]}, 1),
        ({"acknowledged": True}, 0),
        ({"producer": [producer]}, 1),
        ({"status": ["resolved"]}, 0),
        ({"since": NOW + timedelta(seconds=1)}, 0),
    ):
        assert len(answers.page(dlv, filters)["items"]) == found, filters


def test_pages_meet_without_gap_or_double(record: Record, dlv: Dlv) -> None:
    ids = []
    with record.tx() as conn:
        for n in range(9):
            row = conn.execute("insert into producer (name) values (%s) returning id", (f"p{n}",)).fetchone()
            assert row
            id_ = incidents.open_producer(conn, row["id"], "quiet", NOW + timedelta(minutes=n % 3))
            conn.execute("update incident set severity = %s where id = %s", (1 + n % 4, id_))
            ids.append(str(id_))
    for sort in ("severity", "opened"):
        whole = [i["id"] for i in answers.page(dlv, sort=sort)["items"]]
        assert sorted(whole) == sorted(ids)
        seen: list[str] = []
        cursor = None
        while True:
            page = answers.page(dlv, limit=2, cursor=cursor, sort=sort)
            seen += [i["id"] for i in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == whole
