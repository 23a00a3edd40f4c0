"""Applying the naming rules to everything on record: asked for once, done by one worker, whatever dies meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from said import dataset, event, say

from errors import Conflict, RecordAway
from ingest import refold
from store import rule_jobs, rules
from store.audit import SYSTEM, Actor
from store.record import Record
from workers import rules as applying
from workers import scheduler, wake

ADA = Actor("user", "7", "ada", "10.0.0.1")


@pytest.fixture
def asked(record: Record) -> Record:
    """Two hosts of one table, a rule that makes them one, and the wish to apply it."""
    for host in ("10.0.0.7", "db.example"):
        say(record, event("load", [], [dataset(f"postgres://{host}:5432", "d.s.t")], minute=0))
    with record.tx() as conn:
        rules.create(
            conn, SYSTEM, {"kind": "host_alias", "pattern": "10.0.0.7:5432", "value": "db.example:5432"}
        )
        rule_jobs.ask(conn, ADA)
    return record


def names(record: Record) -> list[str]:
    return [
        r["namespace"]
        for r in record.all("select distinct namespace from alias where type = 'dataset' order by 1")
    ]


def newest(record: Record) -> dict[str, Any]:
    with record.tx() as conn:
        row = rule_jobs.newest(conn)
    assert row
    return row


BEFORE = ["postgres://10.0.0.7:5432", "postgres://db.example:5432"]


def test_a_worker_applies_them_and_the_audit_says_who_asked(asked: Record) -> None:
    with pytest.raises(Conflict), asked.tx() as conn:
        rule_jobs.ask(conn, ADA)
    assert names(asked) == BEFORE
    assert applying.apply_asked(asked) == 1
    assert names(asked) == ["postgres://db.example:5432"]
    job = newest(asked)
    assert job["ended_at"] and job["error"] is None and job["asked_by"] == "ada"
    assert job["result"] == {"moved": 1, "removed": 0, "queued": 0}
    said = asked.all("select actor_name, remote_addr, after from audit_log where action = 'rule.apply'")
    assert said == [{"actor_name": "ada", "remote_addr": "10.0.0.1", "after": job["result"]}]
    assert applying.apply_asked(asked) == 0
    with asked.tx() as conn:
        rule_jobs.ask(conn, ADA)  # again, later


def test_a_worker_that_dies_is_followed_by_another(asked: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def dies(*_: Any, **__: Any) -> None:
        raise Killed

    real = refold.refold
    for _ in range(2):
        monkeypatch.setattr(refold, "refold", dies)
        with pytest.raises(Killed):
            applying.apply_asked(asked)
        assert newest(asked)["ended_at"] is None and names(asked) == BEFORE
    monkeypatch.setattr(refold, "refold", real)
    assert applying.apply_asked(asked) == 1
    assert newest(asked)["result"]["moved"] == 1


def test_one_that_kills_its_worker_each_time_is_given_up(
    asked: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(rule_jobs.ATTEMPTS):
        with asked.tx() as conn:
            assert rule_jobs.begin(conn)
    assert applying.apply_asked(asked) == 0
    assert "given up" in newest(asked)["error"] and names(asked) == BEFORE


def test_a_fault_changes_nothing_and_is_told(asked: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any) -> None:
        raise ValueError("after all names have moved")

    monkeypatch.setattr(rule_jobs, "finish", late)
    assert applying.apply_asked(asked) == 1
    job = newest(asked)
    assert names(asked) == BEFORE and job["result"] is None
    assert job["error"] == "DLV's own fault: ValueError; nothing was changed"


def test_a_record_that_goes_away_leaves_it_waiting(asked: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise RecordAway("gone")

    monkeypatch.setattr(refold, "refold", away)
    with pytest.raises(RecordAway):
        applying.apply_asked(asked)
    assert newest(asked)["ended_at"] is None


def test_one_worker_at_a_time_and_the_scheduler_wakes_it(asked: Record, redis_url: str) -> None:
    with asked.tx() as other:
        assert rule_jobs.hold(other)
        assert applying.apply_asked(asked) == 0
    with wake.connect(redis_url) as client:
        assert wake.FOLD in scheduler.tick(asked, client)


def test_how_far_it_is_shows_while_it_runs(asked: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    real = refold.refold

    def slowly(record: Record, *, progress: Any, then: Any) -> Any:
        def told(done: int, total: int) -> None:
            progress(done, total)
            seen.append(newest(record))

        return real(record, progress=told, then=then)

    monkeypatch.setattr(refold, "refold", slowly)
    applying.apply_asked(asked)
    assert [(j["done"], j["total"], j["ended_at"]) for j in seen] == [(0, 1, None)]
