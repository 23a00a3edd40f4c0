"""The check worker in this process, on a real Postgres and real targets: what it looked at, what hangs, what it cannot
write, what it gives back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from faulty import answering, hanging
from scheduling import add_check, add_node

from checks import edits
from connections import opening
from settings import Settings
from store import checks as check_store
from store import slots
from store.audit import SYSTEM
from store.record import Record
from tests.conftest import eventually
from workers import checking


@pytest.fixture
def target() -> Iterator[str]:
    with answering() as address:
        yield address


@pytest.fixture
def silent() -> Iterator[str]:
    with hanging() as address:
        yield address


def link(record: Record, settings: Settings, address: str) -> UUID:
    with record.tx() as conn:
        made: UUID = opening.create(conn, SYSTEM, settings, f"to {uuid4()}", "http", {"url": address}, {})[
            "id"
        ]
    return made


def check(record: Record, connection: UUID, **config: Any) -> UUID:
    """An HTTP check that is due now."""
    with record.tx() as conn:
        made: UUID = edits.create(
            conn, SYSTEM,
            {"kind": "http", "name": "a check", "node_id": add_node(conn, str(uuid4())), "connection_id": connection,
             "every_seconds": 600, "config": config},
        )["id"]  # fmt: skip
        assert slots.now(conn, made)
    return made


def said(record: Record, *ids: UUID) -> list[tuple[str, str]]:
    rows = {r["check_id"]: r for r in record.all("select check_id, status, reason from check_result")}
    return [(rows[i]["status"], rows[i]["reason"]) for i in ids]


def test_looks_end_as_what_they_saw_and_what_could_not_be_looked_at_is_no_failure(
    record: Record, stack: Settings, target: str
) -> None:
    well, gone, closed = (
        link(record, stack, target),
        link(record, stack, target),
        link(record, stack, "http://127.0.0.1:1/"),
    )
    ids = [check(record, well), check(record, gone), check(record, closed), check(record, well, status="404")]
    with record.tx() as conn:
        conn.execute("update connection set retired_at = now() where id = %s", (gone,))
        strange = add_check(conn, add_node(conn, "strange"), kind="no such kind")
        assert slots.now(conn, strange)
        paused = check_store.create(
            conn,
            SYSTEM,
            "heartbeat",
            {"name": "paused", "node_id": add_node(conn, "paused"), "every_seconds": 600},
        )["id"]
        assert slots.now(conn, paused)
        check_store.pause(conn, SYSTEM, paused)
    checking.run_due(record, stack)
    ended = said(record, *ids, strange, paused)
    assert [s for s, _ in ended] == ["ok", "not_checked", "fail", "fail", "not_checked", "not_checked"]
    assert "paused" in ended[-1][1]
    assert record.all("select 1 from check_slot union all select 1 from check_look") == []


def test_a_target_that_never_answers_is_given_up_and_its_place_kept_until_its_thread_ends(
    record: Record, stack: Settings, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(checking, "MARGIN", 0.1)
    slow = check(record, link(record, stack, silent), timeout=4)
    with checking.Looking(record, stack) as looking:
        eventually(lambda: looking.step() == 0 and not record.all("select 1 from check_slot"))
        assert [s for s, _ in said(record, slow)] == ["not_checked"]
        assert len(record.all("select 1 from check_look")) == 1
        eventually(lambda: not record.all("select 1 from check_look"))
    assert [s for s, _ in said(record, slow)] == ["not_checked"]


def test_a_worker_that_stops_gives_back_what_it_looks_at(
    record: Record, stack: Settings, silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "GRACE", 0.1)
    check(record, link(record, stack, silent), timeout=5)
    with checking.Looking(record, stack) as looking:
        assert looking.step() == 1
    [row] = record.all("select attempts, token, due_again <= now() as due from check_slot")
    assert row == {"attempts": 0, "token": None, "due": True}


def test_what_cannot_be_written_ends_as_a_fault_of_ours(record: Record, stack: Settings, target: str) -> None:
    id_ = check(record, link(record, stack, target))
    with record.tx() as conn:
        conn.execute("alter table check_result add constraint broken check (status <> 'ok')")
    checking.run_due(record, stack)
    assert said(record, id_) == [("error", "DLV could not write the result")]
    row = record.one("select health from check_state where check_id = %s", (id_,))
    assert row and row["health"] == "unknown"


def test_two_looks_at_once_through_one_connection(record: Record, stack: Settings, target: str) -> None:
    through = link(record, stack, target)
    ids = [check(record, through) for _ in range(5)]
    most = 0
    with checking.Looking(record, stack) as looking:

        def worked() -> bool:
            nonlocal most
            looking.step()
            most = max(most, len(record.all("select 1 from check_look")))
            return not record.all("select 1 from check_slot")

        eventually(worked)
    assert {s for s, _ in said(record, *ids)} == {"ok"}
    assert most <= slots.AT_ONCE


def test_when_a_check_looked_is_known(record: Record, stack: Settings, target: str) -> None:
    id_ = check(record, link(record, stack, target))
    checking.run_due(record, stack)
    row = record.one("select slot_at, started_at, ended_at from check_result where check_id = %s", (id_,))
    assert row
    times: list[datetime] = [row["slot_at"], row["started_at"], row["ended_at"]]
    assert times == sorted(times)
