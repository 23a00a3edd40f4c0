"""From real events through the fold to incidents, on a real Postgres and a real graph."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from answers import incidents as answers
from answers import nodes, status, wall
from answers.context import Dlv
from graph.driver import connect
from ingest import demo
from ingest.fold import fold_pending, rejudge
from settings import Settings
from store import incidents as store
from store.audit import SYSTEM
from store.record import Record
from tests.integration import by_hand
from tests.integration.alarms import a_rule, a_webhook
from tests.integration.telling import day, event, node, producer, tell
from workers import alerting, delivery

pytestmark = pytest.mark.xdist_group("incidents")
TODAY = 9


def projected(record: Record, graph: Any) -> None:
    by_hand.project(record, graph)
    with record.tx() as conn:
        conn.execute("delete from graph_dirty")


def decide(record: Record, graph: Any, settings: Settings, now: datetime | None = None) -> None:
    while alerting.decide(record, graph, settings, now=now or datetime.now(UTC)):
        pass


def partition(dlv: Dlv) -> dict[str, set[str]]:
    """{name of the root: names of all members} of what is open."""
    return {
        i["root"]["name"]: {m["name"] for m in answers.get(dlv, i["id"])["member_list"]}
        for i in answers.page(dlv)["items"]
    }


def table(n: int) -> tuple[str, str]:
    return ("postgres://wh:5432", f"wh.mart.t{n}")


def line(k: int, state: str, at: datetime, due: datetime, **how: Any) -> dict[str, Any]:
    """A run of job k: reads what an earlier job wrote, writes its own table; job 0 is the root."""
    reads = [table((k - 1) // 3)] if k else []
    return event(f"dag{k}.task{k}", state, at, due=due, inputs=reads, outputs=[table(k)], **how)


def history(jobs: int, days: int = TODAY) -> list[dict[str, Any]]:
    return [line(k, "COMPLETE", day(d, k / 10 + 5), day(d, k / 10)) for d in range(days) for k in range(jobs)]


def test_a_failed_run_and_all_that_follows_is_one_incident(
    record: Record, graph: Any, settled: Settings
) -> None:
    jobs, who = 101, producer(record)
    tell(record, who, history(jobs), day(TODAY))
    with record.tx() as conn:
        conn.execute("update node set sla_kind = 'freshness', sla_minutes = 26 * 60 where type = 'dataset'")
    projected(record, graph)
    decide(record, graph, settled)
    dlv = Dlv(settled, record, graph)
    assert partition(dlv) == {}
    rng = random.Random(5)
    failing = rng.sample(range(1, jobs), 25)
    events = [
        line(k, "FAIL", day(TODAY, k / 10 + 9), day(TODAY, k / 10), error=f"task {k} found nothing") for k in failing
    ]  # fmt: skip
    rng.shuffle(events)
    now = day(TODAY, 10 * 60)
    rejudge(record, now=now)
    for part in (events[:12], events[12:]):
        tell(record, who, part, now)
        decide(record, graph, settled)
    # the root's own FAIL comes last; its last try is final
    tell(
        record,
        who,
        [line(0, "FAIL", day(TODAY, 4), day(TODAY), error="relation raw.orders does not exist")],
        now,
    )
    decide(record, graph, settled)
    bad = {r["name"] for r in record.all("select name from node where health in ('failed', 'late')")}
    assert len(bad) == 2 * jobs
    assert partition(dlv) == {"dag0.task0": bad}
    (item,) = answers.page(dlv)["items"]
    assert (item["error"], item["blast"]["total"]) == ("relation raw.orders does not exist", 2 * jobs - 1)
    assert item["members"]["failed"] == 52
    assert len(record.all("select 1 from incident where notify_at is not null")) == 1
    errors = record.all(
        "select text from incident_entry where incident_id = %s and kind = 'run_error'", (item["id"],)
    )
    assert len({e["text"] for e in errors}) == len(errors) == 26
    # all run well: it is over
    tell(
        record,
        who,
        [line(k, "COMPLETE", day(TODAY, 720 + k), day(TODAY, k / 10), tries=(2, 1)) for k in range(jobs)],
        day(TODAY, 900),
    )
    decide(record, graph, settled)
    assert partition(dlv) == {}
    assert answers.get(dlv, item["id"])["members"]["recovered"] == 2 * jobs


def test_what_airflow_skips_behind_a_failure_is_one_incident_with_it(
    record: Record, graph: Any, settled: Settings
) -> None:
    who = producer(record)
    tasks = ["extract", "transform", "load", "report"]

    def dag(d: int, *, fails: bool) -> list[dict[str, Any]]:
        due = day(d)
        run = f"00000000-0000-4000-8000-{d:012d}"
        out = [
            event(f"nightly.{t}", "COMPLETE", day(d, 5 + k), due=due, parent=("nightly", run))
            for k, t in enumerate(tasks)
            if not fails
        ]
        if fails:  # upstream_failed sends nothing
            out.append(
                event(
                    "nightly.extract",
                    "FAIL",
                    day(d, 5),
                    due=due,
                    parent=("nightly", run),
                    error="no such host",
                )
            )
        return [*out, event("nightly", "FAIL" if fails else "COMPLETE", day(d, 12), due=due, run=run)]

    tell(record, who, [e for d in range(TODAY) for e in dag(d, fails=False)], day(TODAY))
    projected(record, graph)
    now = day(TODAY, 30)
    tell(record, who, dag(TODAY, fails=True), now)
    rejudge(record, now=now)
    health = {r["name"]: r["health"] for r in record.all("select name, health from node")}
    assert health == {
        "nightly": "failed", "nightly.extract": "failed", "nightly.transform": "late", "nightly.load": "late",
        "nightly.report": "late",
    }  # fmt: skip
    decide(record, graph, settled)
    dlv = Dlv(settled, record, graph)
    assert partition(dlv) == {"nightly.extract": set(health)}
    # the skipped tasks have no edge to the failed one: only the incident knows what they follow from
    status.forget(record)
    (item,) = answers.page(dlv)["items"]
    roles = {m["name"]: m["role"] for m in answers.get(dlv, item["id"])["member_list"]}
    assert roles == dict.fromkeys(health, "symptom") | {"nightly.extract": "root"}
    said = wall.look(dlv)
    assert {r[1]: wall.ROLES[r[3]] for r in said["rows"]} == roles
    assert said["rows"][0][1] == "nightly.extract", "first of all"
    assert (said["counts"]["roots"], said["counts"]["symptoms"]) == (1, 4)
    assert said["roots"] == []
    why = wall.why(dlv, nodes.page(dlv, {"q": "nightly.load"})["items"][0]["id"])
    assert [c["name"] for c in why["causes"]] == ["nightly.extract"]
    assert why["causes"][0]["error"] == "no such host"
    with record.tx() as conn:  # what no incident holds any more stands by itself
        conn.execute("update incident set status = 'resolved', resolved_at = now()")
    status.forget(record)
    assert status.counts(dlv)["roots"] == 4
    with record.tx() as conn:
        conn.execute("update incident set status = 'open', resolved_at = null")
    tell(record, who, dag(TODAY + 1, fails=False), day(TODAY + 1, 20))
    status.forget(record)
    assert {r[3] for r in wall.look(dlv)["rows"]} == {0}, (
        "what is well again has no role, until it is decided about, too"
    )


def test_an_edge_that_runs_no_longer_use_leads_nowhere(record: Record, graph: Any, settled: Settings) -> None:
    who = producer(record)
    events = history(1, 12)
    for d in range(12):  # for the last six days job 1 has read another table
        reads = table(0) if d < 6 else table(50)
        events.append(
            event("dag1.task1", "COMPLETE", day(d, 30), due=day(d, 20), inputs=[reads], outputs=[table(1)])
        )
    tell(record, who, events, day(12))
    projected(record, graph)
    dlv = Dlv(settled, record, graph)
    now = day(12, 60)
    failed = [
        line(0, "FAIL", day(12, 4), day(12)),
        event("dag1.task1", "FAIL", day(12, 30), due=day(12, 20), inputs=[table(50)], outputs=[table(1)]),
    ]
    tell(record, who, failed, now)
    decide(record, graph, settled)
    assert partition(dlv) == {
        "dag0.task0": {"dag0.task0", "wh.mart.t0"},
        "dag1.task1": {"dag1.task1", "wh.mart.t1"},
    }


def test_the_graph_away_each_opens_its_own_and_regroups(
    record: Record, graph: Any, settled: Settings
) -> None:
    """Alerting fails open: all three are told of at once; regrouped, the one that is left is not told of again."""
    who = producer(record)
    tell(record, who, history(4), day(TODAY))
    projected(record, graph)
    told = settled.with_(secrets_keys="main:" + "k" * 40)
    a_rule(record, a_webhook(record, told, "https://hooks.example.com/x"))
    dlv = Dlv(settled, record, graph)

    def heard(minutes: float) -> dict[str, list[str]]:
        """What is told of each key by then."""
        while delivery.tell(record, told, datetime.now(UTC) + timedelta(minutes=minutes)):
            pass
        said: dict[str, list[str]] = {}
        for r in record.all(
            "select i.key, n.event from notification n join incident i on i.id = n.incident_id order by n.seq"
        ):
            said.setdefault(r["key"], []).append(r["event"])
        return said

    nowhere = connect("bolt://127.0.0.1:9", "neo4j", "x", "")
    try:
        now = day(TODAY, 60)
        for k in (3, 2, 0):
            failed = line(k, "FAIL", day(TODAY, k + 4), day(TODAY, k / 10))
            tell(record, who, [failed], now)
            decide(record, nowhere, settled)
        apart = partition(dlv)
        # what one run did is one, even so
        assert apart == {f"dag{k}.task{k}": {f"dag{k}.task{k}", f"wh.mart.t{k}"} for k in (0, 2, 3)}
        items = answers.page(dlv)["items"]
        assert all(i["graph_away"] and i["blast"] == {} for i in items)
        keys = {i["key"] for i in items}
        decide(record, nowhere, settled)
        assert partition(dlv) == apart
        assert heard(2) == {key: ["trigger"] for key in keys}
    finally:
        nowhere.close()
    decide(record, graph, settled)
    (item,) = answers.page(dlv)["items"]
    assert (item["root"]["name"], item["members"]["failed"], item["graph_away"]) == ("dag0.task0", 6, False)
    assert item["key"] in keys
    assert item["blast"]["total"] == 7
    after = heard(10)
    assert set(after) == keys
    assert [e for e in after.pop(item["key"]) if e != "update"] == ["trigger"], "its key is known, it goes on"
    assert set(map(tuple, after.values())) == {("trigger", "resolve")}, (
        "what was merged is over under its own"
    )


def test_the_demo_is_one_broken_load_and_what_it_takes_down(
    record: Record, graph: Any, settled: Settings
) -> None:
    demo.seed(record)
    while fold_pending(record):
        pass
    projected(record, graph)
    decide(record, graph, settled)
    dlv = Dlv(settled, record, graph)
    found = partition(dlv)
    assert list(found) == ["payments_ingest.load_charges"]
    assert found["payments_ingest.load_charges"] >= {
        "payments_ingest", "warehouse.raw.charges", "finance_close.reconcile_payments", "dashboards/executive_revenue",
    }  # fmt: skip
    # one run, a dataset and its DAG went down and came back earlier: those are told as what is over
    old = answers.page(dlv, {"status": ["resolved"]})["items"]
    assert {i["root"]["name"] for i in old} == {"shop_ingest.load_stock", "warehouse.staging.stg_orders"}


def test_what_turned_it_stands_in_the_timeline(record: Record, graph: Any, settled: Settings) -> None:
    who = producer(record)
    tell(record, who, history(1), day(TODAY))
    projected(record, graph)
    now = day(TODAY, 60)
    tell(record, who, [line(0, "FAIL", day(TODAY, 4), day(TODAY), error="disk full")], now)
    check = node(record, "wh.mart.t0")["id"]
    with record.tx() as conn:
        conn.execute(
            """insert into health_check (id, name, kind, node_id, every_seconds) values (%s, 'rows', 'sql', %s, 60)""",
            (check, check),
        )
        moment = datetime.now(UTC).replace(second=0, microsecond=0)
        for k, status in enumerate(("ok", "fail", "fail", "ok")):
            conn.execute(
                """insert into check_result (check_id, slot_at, status, reason) values (%s, %s, %s, %s)""",
                (check, moment - timedelta(minutes=4 - k), status, f"{k} rows"),
            )
    decide(record, graph, settled)
    dlv = Dlv(settled, record, graph)
    (item,) = answers.page(dlv)["items"]
    lines = [(e["kind"], e["text"]) for e in reversed(answers.timeline(dlv, item["id"])["items"])]
    assert [t for k, t in lines if k == "run_error"] == ["dag0.task0: disk full"]
    assert [t for k, t in lines if k == "check"] == [
        "rows on wh.mart.t0: ok, 0 rows", "rows on wh.mart.t0: fail, 1 rows", "rows on wh.mart.t0: ok, 3 rows",
    ]  # fmt: skip
    with record.tx() as conn:
        conn.execute("update incident set weigh_at = now()")
    decide(record, graph, settled)
    assert len(answers.timeline(dlv, item["id"])["items"]) == len(lines)
    # what was seen since nobody looks at once a person has closed it
    with record.tx() as conn:
        conn.execute(
            "insert into check_result (check_id, slot_at, status, reason) values (%s, %s, 'warn', 'few rows')",
            (check, moment),
        )
        store.resolve(conn, SYSTEM, UUID(item["id"]), "the disk is larger now")
    last = answers.timeline(dlv, item["id"])["items"][:2]
    assert [e["kind"] for e in last] == ["resolved", "check"]
    assert last[1]["text"] == "rows on wh.mart.t0: warn, few rows"
