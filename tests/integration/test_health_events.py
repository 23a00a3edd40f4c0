"""Health on a real record: what checks say joins what runs say, and what events alone tell."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from airflow_like import answering
from telling import day, event, node, producer, run_id, states, tell, transitions

from connections import opening
from ingest.fold import rejudge
from settings import Settings
from store import health, node_edits, partitions
from store.audit import SYSTEM
from store.record import Record
from workers import producers as watching

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


# ---------------------------------------------------------------- what events alone tell


DAG = "payments"


def dag_day(n: int, ran: dict[str, str], outcome: str | None = "COMPLETE") -> list[dict[str, Any]]:
    """A DAG's run of one day: each task with how it ended, one after the other; ``outcome`` None: it goes on."""
    due, mine = day(n), run_id("airflow://prod", DAG, n)
    said = [event(DAG, "START", due, due=due, run=mine)]
    for at, (task, ended) in enumerate(ran.items(), 1):
        one = {"due": due, "parent": (DAG, mine), "outputs": [("postgres://db:5432", f"shop.public.{task}")]}
        said.append(event(f"{DAG}.{task}", "START", due + timedelta(minutes=5 * at), **one))
        if ended != "START":
            said.append(event(f"{DAG}.{task}", ended, due + timedelta(minutes=5 * at + 4), **one))
    if outcome:
        said.append(event(DAG, outcome, due + timedelta(minutes=60), due=due, run=mine))
    return said


WHOLE = {"load_charges": "COMPLETE", "enrich": "COMPLETE", "report": "COMPLETE"}


def week(record: Record, days: int = 8) -> int:
    p = producer(record)
    for n in range(days):
        tell(record, p, dag_day(n, WHOLE), day(n, 61))
    return p


def test_what_lies_downstream_of_a_failure_is_late_and_not_silent(record: Record) -> None:
    p = week(record)
    tell(record, p, dag_day(8, {"load_charges": "FAIL"}, None), day(8, 20))
    assert states(record) == {
        DAG: "ok",
        f"{DAG}.load_charges": "failed",
        f"{DAG}.enrich": "ok",
        f"{DAG}.report": "ok",
    }
    tell(record, p, dag_day(8, {"load_charges": "FAIL"}, "FAIL"), day(8, 61))
    for name in ("enrich", "report"):
        late = node(record, f"{DAG}.{name}")
        assert (late["health"], late["health_reason"], late["health_since"]) == (
            "late", "not started: upstream load_charges failed", day(8, 60),
        )  # fmt: skip
        assert node(record, f"shop.public.{name}")["health"] == "late", "and what it writes is not made"
    assert node(record, "shop.public.load_charges")["health"] == "failed"
    tell(record, p, dag_day(9, WHOLE), day(9, 61))
    assert set(states(record).values()) == {"ok"}
    assert node(record, f"{DAG}.enrich")["recovered_at"] == day(9, 14)


def test_in_whatever_order_the_events_of_a_failed_dag_come(record: Record) -> None:
    p = week(record)
    said = dag_day(8, {"load_charges": "FAIL"}, "FAIL")
    for e in reversed(said):
        tell(record, p, [e], day(8, 61))
    assert node(record, f"{DAG}.report")["health_reason"] == "not started: upstream load_charges failed"


def test_a_task_that_is_retried_warns_until_its_last_try(record: Record) -> None:
    p = week(record)
    name, due = f"{DAG}.load_charges", day(8)
    tell(record, p, [event(name, "FAIL", day(8, 9), due=due, tries=(1, 1), error="timeout")], day(8, 10))
    assert (node(record, name)["health"], node(record, name)["health_reason"]) == (
        "warn", "try 1 of 2 failed, retry pending: timeout",
    )  # fmt: skip
    tell(record, p, [event(name, "FAIL", day(8, 19), due=due, tries=(2, 1), error="timeout")], day(8, 20))
    assert node(record, name)["health"] == "failed"


@pytest.mark.parametrize("trigger", ["manual", "backfill"])
def test_a_backfill_or_a_run_by_hand_reddens_nothing(record: Record, trigger: str) -> None:
    p = week(record)
    name = f"{DAG}.load_charges"
    tell(record, p, [event(name, "FAIL", day(8, 9), due=day(3), trigger=trigger)], day(8, 10))
    tell(record, p, [event(name, "FAIL", day(8, 11), due=day(8), trigger=trigger)], day(8, 12))
    tell(record, p, [event(name, "FAIL", day(8, 13), due=day(2), run="again")], day(8, 14))
    assert set(states(record).values()) == {"ok"}
    tell(record, p, [event(name, "ABORT", day(8, 15), due=day(8), run="stopped")], day(8, 16))
    assert set(states(record).values()) == {"ok"}, "ABORT changes nothing"


def test_a_run_that_does_not_start_or_end_is_late_when_its_time_is_over(record: Record) -> None:
    p = week(record)
    tell(record, p, dag_day(8, {"load_charges": "COMPLETE", "enrich": "START"}, None), day(8, 20))
    assert rejudge(record, now=day(8, 13)) == 0
    rejudge(record, now=day(8, 40))
    assert states(record)[f"{DAG}.enrich"] == "late", "it takes 4 minutes and ran for 30"
    rejudge(record, now=day(8, 90))
    assert states(record)[f"{DAG}.report"] == "late", "due a quarter after the DAG began"
    rejudge(record, now=day(9, 70))
    assert set(states(record).values()) == {"late"}


def test_time_is_judged_only_as_far_as_dlv_has_heard(record: Record) -> None:
    p = week(record)
    with record.tx() as conn:
        partitions.ensure(conn, day(8).date())
        conn.execute("insert into event (day, id, producer_id, received_at, hash, size, body) values (%s, 1, %s, %s, '', 0, '')",
                     (day(8).date(), p, day(8, 1)))  # fmt: skip
        conn.execute("insert into event_pending (id, day) values (1, %s)", (day(8).date(),))
    assert rejudge(record, now=day(9)) == 0, (
        "an event of that morning waits to be folded: it may be the start"
    )
    with record.tx() as conn:
        conn.execute("delete from event_pending")
    assert rejudge(record, now=day(9)) > 0


def test_a_schedule_that_is_named_needs_no_rhythm(record: Record) -> None:
    p = producer(record)
    nightly = {"dag": {"timetable": {"expression": "0 6 * * 1-5", "timezone": "Europe/Berlin"}}}
    friday = datetime(2026, 11, 6, 5, tzinfo=UTC)
    for state, at in (("START", friday), ("COMPLETE", friday + timedelta(minutes=9))):
        said = event("nightly", state, at, due=friday)
        said["run"]["facets"]["airflow"] |= nightly
        tell(record, p, [said], at)
    rejudge(record, now=friday + timedelta(days=2, hours=20))
    assert states(record) == {"nightly": "ok"}, "on Sunday nothing is due"
    rejudge(record, now=friday + timedelta(days=3, hours=2))
    assert (states(record), node(record, "nightly")["health_reason"]) == (
        {"nightly": "late"}, "due at 2026-11-09 05:00 UTC and not started",
    )  # fmt: skip


def test_a_completion_limit_is_judged_and_told_beforehand(record: Record) -> None:
    week(record)
    table = node(record, "shop.public.report")
    with record.tx() as conn:
        said = {"sla": {"kind": "completion", "minutes": 45}}
        node_edits.edit(conn, SYSTEM, table["id"], said, None)
    with record.tx() as conn:
        conn.execute("update node set judge_at = %s where sla_kind is not null", (day(7, 100),))
    rejudge(record, now=day(7, 100))
    assert node(record, "shop.public.report")["sla_at"] == day(8, 45)
    rejudge(record, now=day(8, 46))
    late = node(record, "shop.public.report")
    assert (late["health"], late["health_since"]) == ("late", day(8, 45))


def test_another_limit_is_judged_at_the_next_turn(record: Record) -> None:
    week(record)
    table = node(record, "shop.public.report")
    with record.tx() as conn:
        node_edits.edit(conn, SYSTEM, table["id"], {"sla": {"kind": "freshness", "minutes": 30}}, None)
    row = record.one("select judge_at <= now() as due from node where id = %s", (table["id"],))
    assert row == {"due": True}
    with record.tx() as conn:
        conn.execute("update node set judge_at = %s where id = %s", (day(7, 60), table["id"]))
    rejudge(record, now=day(7, 61))
    assert node(record, "shop.public.report")["sla_at"] == table["made_at"] + timedelta(minutes=30)


# ---------------------------------------------------------------- Spark applications with nothing beneath


APP, SPARK = "nightly_report", "spark://prod"


def application(beneath: str | None, task: bool = False) -> list[dict[str, Any]]:
    one: dict[str, Any] = {"namespace": SPARK}
    mine = run_id(SPARK, APP, "a")
    above = {"parent": ("spark.submit", "task-run")} if task else {}
    said = [
        event(APP, "START", day(0), run=mine, kind="APPLICATION", **one, **above),
        event(APP, "COMPLETE", day(0, 5), run=mine, kind="APPLICATION", **one, **above),
    ]
    if beneath:
        inner = f"{APP}.write_report"
        said.append(event(inner, "START", day(0, 1), run="q", kind=beneath, parent=(APP, mine), **one))
        if beneath == "SQL_JOB":
            said.append(event(inner, "COMPLETE", day(0, 4), run="q", kind=beneath, parent=(APP, mine), **one))
    return said


@pytest.mark.parametrize("turn", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize(
    ("beneath", "becomes"), [(None, "unknown"), ("RDD_JOB", "unknown"), ("SQL_JOB", "ok")], ids=str
)
def test_an_application_that_completes_with_nothing_beneath(
    record: Record, beneath: str | None, becomes: str, turn: bool
) -> None:
    p = producer(record, "spark-prod")
    said = application(beneath)
    for e in reversed(said) if turn else said:
        tell(record, p, [e], day(0, 6))
    found = node(record, APP)
    assert found["health"] == becomes
    if becomes == "unknown":
        assert found["health_reason"] == "says COMPLETE, but no job ran beneath it"
        assert found["made_at"] is None


@pytest.mark.parametrize("first", [True, False], ids=["task first", "task last"])
@pytest.mark.parametrize(("ended", "becomes"), [("COMPLETE", "ok"), ("FAIL", "unknown")])
def test_its_parent_task_confirms_it(record: Record, ended: str, becomes: str, first: bool) -> None:
    p = producer(record, "spark-prod")
    task = [event("spark.submit", ended, day(0, 7), run="task-run", namespace=SPARK, due=day(0))]
    told = [task, application(None, task=True)]
    for part in told if first else told[::-1]:
        tell(record, p, part, day(0, 8))
    assert node(record, APP)["health"] == becomes


@pytest.mark.parametrize(
    ("jobs", "becomes"), [(["SUCCEEDED"], "ok"), (["SUCCEEDED", "FAILED"], "failed"), (None, "unknown")]
)
def test_the_history_server_confirms_it_or_knows_better(
    record: Record, stack: Settings, jobs: list[str] | None, becomes: str
) -> None:
    p = producer(record, "spark-prod")
    tell(record, p, application(None), day(0, 6))
    settings = stack.with_(secrets_keys="main:" + "k" * 40)
    with history(jobs) as base:
        with record.tx() as conn:
            opening.create(conn, SYSTEM, settings, "history", "spark", {"history_url": base}, {})
        watching.confirm(record, settings, day(0, 7))
    assert node(record, APP)["health"] == becomes
    assert watching.confirm(record, settings, day(0, 8)) == 0
    tell(record, p, application(None)[::-1], day(0, 9))
    assert node(record, APP)["health"] == becomes, "the same events again change nothing"


@contextmanager
def history(jobs: list[str] | None) -> Iterator[str]:
    """A Spark history server that knows of the application, with these jobs; None: it does not know it."""
    began = day(0)
    attempt = {
        "startTime": f"{began:%Y-%m-%dT%H:%M:%S}.000GMT", "startTimeEpoch": int(began.timestamp() * 1000),
        "endTime": f"{day(0, 5):%Y-%m-%dT%H:%M:%S}.000GMT", "endTimeEpoch": int(day(0, 5).timestamp() * 1000),
        "completed": True, "appSparkVersion": "3.5.9", "sparkUser": "x", "duration": 300000,
    }  # fmt: skip
    app = {"id": "app-1", "name": APP, "attempts": [attempt]}
    listed = [{"jobId": n, "name": f"job {n}", "status": s} for n, s in enumerate(jobs or ())]
    answers: dict[str, Any] = {
        "/api/v1/version": {"spark": "3.5.9"},
        "/api/v1/applications": [] if jobs is None else [app],
        "/api/v1/applications/app-1": app,
        "/api/v1/applications/app-1/jobs": listed,
        "/api/v1/applications/app-1/stages": [],
    }
    with answering(lambda path, _: (200, answers[path]) if path in answers else (404, {})) as base:
        yield base


# ---------------------------------------------------------------- how much it costs


def test_only_nodes_whose_time_has_come_are_judged_again(record: Record) -> None:
    """5,000 jobs with a rhythm: a turn at which nothing is due reads an index and judges nobody."""
    p = week(record)
    with record.tx() as conn:
        conn.execute(
            """insert into node (id, type, kind, system, environment, namespace, name, first_seen, last_seen, judge_at)
               select gen_random_uuid(), 'job', 'task', 'airflow', 'prod', 'airflow://prod', 'idle.' || n, %s, %s, %s
               from generate_series(1, 5000) n""",
            (day(0), day(7), day(20)),
        )  # fmt: skip
    untouched = "select count(*) as n from node where name like 'idle.%%' and judge_at = %s"
    rejudge(record, now=day(8, 10))
    assert record.one(untouched, (day(20),)) == {"n": 5000}, "nobody's time had come"
    tell(record, p, dag_day(8, WHOLE), day(8, 61))
    rejudge(record, now=day(20, 1))
    assert record.one(untouched, (day(20),)) == {"n": 0}
    assert states(record)[DAG] == "late"
