"""DLV watches itself: what is dead shows within a minute, on the page, in the status and in the metrics, and the ping to
the outside stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from answers.context import Queue
from pages import _shell
from settings import Settings
from store import beats, parts
from store.record import Record
from tests.conftest import eventually
from tests.integration import alarms as t
from tests.integration.receivers import Receiver, listening
from tests.integration.test_workers import running
from tests.web import Web
from workers import watch


@pytest.fixture
def outside() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def ago(record: Record, part: str, seconds: int) -> None:
    """As if its newest sign of life were so old."""
    with record.tx() as conn:
        conn.execute(
            "update part_beat set at = dlv_now() - %s * interval '1 second' where part = %s", (seconds, part)
        )


def metric(web: Web, line: str) -> float:
    said = web.client().get("/metrics", headers=web.bearer("viewer")).text
    (found,) = [row.rsplit(" ", 1)[1] for row in said.splitlines() if row.startswith(line + " ")]
    return float(found)


def banner(web: Web) -> str:
    from answers import status

    with web.server.test_request_context():
        return " ".join(str(n) for n in _shell.away(status.counts(web.dlv)))


def test_where_nothing_was_ever_started_nothing_is_said(record: Record) -> None:
    with record.tx() as conn:
        assert {p["ok"] for p in parts.look(conn).values()} == {True}
        beats.note(conn, "scheduler", "here", {})
        # the template that this record was copied from may be many minutes old
        conn.execute("update schema_migration set applied_at = now()")
        assert parts.look(conn)["alert"]["ok"], "all start one after another"
        conn.execute("update schema_migration set applied_at = now() - interval '1 hour'")
        said = parts.look(conn)
    assert said["scheduler"]["ok"]
    assert said["alert"]["reason"] == "no worker that tells people was ever started"


def test_a_dead_alerter_shows_and_the_ping_stops(web: Web, settled: Settings, outside: Receiver) -> None:
    told = settled.with_(deadman_url=f"{outside.url}/ping/secret-id")
    dead_man = watch.DeadMan(told, web.record)

    def ok(part: str) -> bool:
        with web.record.tx() as conn:
            said = parts.look(conn)[part]
        return bool(said["ok"] and said["ago"] is not None and said["ago"] < beats.AWAY_SECONDS)

    with running(told, "scheduler"):
        with running(told, "worker", "alert") as alerter:
            eventually(lambda: ok("alert") and ok("scheduler"), timeout=60)
            eventually(lambda: outside.got, timeout=30)  # the scheduler's own call
            assert outside.got[0].path == "/ping/secret-id"
            assert dead_man.alive()
            alerter.kill()
            alerter.wait()
        # 30 s without a sign, and it is away: well within the minute
        assert beats.AWAY_SECONDS + beats.EVERY < 60
        ago(web.record, "alert", beats.AWAY_SECONDS + 1)
        assert not dead_man.alive()
        outside.got.clear()
        dead_man.step()
        assert outside.got == []
        said = web.client().get("/api/v1/status", headers=web.bearer("viewer")).json["parts"]["alert"]
        assert said["ok"] is False and said["since"] is not None
        assert "No worker that tells people gives a sign of life since" in banner(web)
        assert metric(web, 'dlv_part_up{part="alert"}') == 0
        assert metric(web, 'dlv_part_up{part="scheduler"}') == 1
        assert metric(web, 'dlv_part_beat_age_seconds{part="alert"}') > beats.AWAY_SECONDS
        assert web.client().get("/readyz").json["parts"]["alert"]["ok"] is False


def test_a_dead_scheduler_shows(web: Web) -> None:
    with web.record.tx() as conn:
        beats.note(conn, "scheduler", "here", {})
        beats.note(conn, "alert", "here", {})
    ago(web.record, "scheduler", 40)
    assert "No scheduler gives a sign of life since" in banner(web)
    assert metric(web, 'dlv_part_up{part="scheduler"}') == 0


def test_an_alerter_that_lives_and_does_nothing_is_behind(web: Web, settled: Settings) -> None:
    with web.record.tx() as conn:
        for part in parts.NAMES:
            beats.note(conn, part, "here", {})
        t.an_incident(conn, t.a_node(conn, "orders"))
        assert parts.look(conn)["alert"]["ok"]
        conn.execute("update incident set notify_at = now() - interval '2 minutes'")
        assert "incidents wait to be told" in parts.look(conn)["alert"]["reason"]
    assert not watch.DeadMan(settled, web.record).alive()


def test_an_open_incident_that_nobody_hears_of_shows(web: Web, settled: Settings) -> None:
    told = settled.with_(secrets_keys="main:" + "k" * 40)
    assert "nobody is told" not in banner(web)
    with web.record.tx() as conn:
        t.an_incident(conn, t.a_node(conn, "orders"))
    assert "Incidents are open and nobody is told" in banner(web)
    t.a_rule(web.record, t.a_webhook(web.record, told, "https://hooks.example.com/x"))
    assert "nobody is told" not in banner(web)


def test_a_redis_that_is_away_is_named_and_is_asked_once_in_a_while(web: Web, settled: Settings) -> None:
    assert "Redis" not in banner(web)
    away = Web(settled.with_(redis_url="redis://127.0.0.1:9/0"))
    try:
        viewer = away.bearer("viewer", "somebody")
        said = away.client().get("/api/v1/status", headers=viewer).json["parts"]["queue"]
        assert said["ok"] is False and said["since"] is not None
        (down,) = away.client().get("/api/v1/wall", headers=viewer).json["down"]
        assert (down["name"], down["since"]) == ("Redis", said["since"])
        assert "Redis does not answer since" in banner(away) and "work starts late" in banner(away)
        assert away.client().get("/readyz").json["parts"]["queue"]["ok"] is False
        assert metric(away, 'dlv_part_up{part="queue"}') == 0
    finally:
        away.close()


def test_nobody_waits_for_who_asks_redis() -> None:
    began, answer, asked = threading.Event(), threading.Event(), []

    def ping() -> None:
        asked.append(True)
        began.set()
        answer.wait(30)
        raise ConnectionError

    queue = Queue(ping)
    first = threading.Thread(target=queue.look)
    first.start()
    assert began.wait(30)
    assert queue.look()["ok"], "what is not known yet is not away"
    answer.set()
    first.join()
    said = [queue.look() for _ in range(50)]
    assert said[0] == said[-1] and not said[0]["ok"] and len(asked) == 1


def test_a_ping_that_fails_harms_nobody_and_tells_no_secret(
    record: Record, settled: Settings, outside: Receiver, caplog: Any
) -> None:
    outside.answers = [500, "reset"]
    dead_man = watch.DeadMan(settled.with_(deadman_url=f"{outside.url}/ping/secret-id"), record)
    assert [dead_man.ping() for _ in range(3)] == [False, False, True]
    assert len([r for r in caplog.records if "could not be called" in r.message]) == 1
    assert "secret-id" not in caplog.text


def test_a_worker_gives_signs_of_life_while_it_waits(record: Record, settled: Settings) -> None:
    life = watch.Life(settled.with_(database_url=record.url), "alert")
    life.beat()
    life.beat()
    with record.tx() as conn:
        (row,) = beats.newest(conn)
    assert (row["part"], row["instances"]) == ("alert", 1)
    nowhere = watch.Life(settled.with_(database_url="postgresql://127.0.0.1:9/none"), "alert")
    nowhere.beat()
