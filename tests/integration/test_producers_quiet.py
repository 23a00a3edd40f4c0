"""A producer that goes quiet is one incident about the producer; its jobs are unknown, never late; the gap is filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from airflow_like import AirflowLike, listening
from alarms import a_rule, a_team, a_webhook
from telling import day, event, node, producer, states, tell, transitions

from auth.keys import digest
from checks import airflow
from connections import opening
from errors import Invalid
from graph.driver import Graph
from ingest import gap
from settings import Settings
from store import incidents, keys, producers, silences
from store.audit import SYSTEM
from store.record import Record
from workers import alerting, delivery
from workers import producers as watching

NAMESPACE = "airflow://prod"
T0 = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


# ---------------------------------------------------------------- an Airflow of 800 jobs, as it really was


DAGS, TASKS = 40, 19


@dataclass(frozen=True)
class Truth:
    """What happened to one job in one hour, in Airflow's words."""

    dag: str
    task: str
    due: datetime
    start: datetime | None
    end: datetime | None
    state: str

    @property
    def name(self) -> str:
        return f"{self.dag}.{self.task}" if self.task else self.dag

    def run_state(self) -> airflow.RunState:
        return airflow.RunState(
            self.dag, self.task, f"scheduled__{self.due.isoformat()}", -1, self.state, "scheduled", self.due, self.due,
            self.due, self.due, None, self.start, self.end, 1 if self.task else 0, 0,
        )  # fmt: skip

    def events(self) -> list[dict[str, Any]]:
        said = airflow.lineage_events(NAMESPACE, self.run_state())
        for e in said:
            # what the provider sends of a task more than its REST tells
            e["run"]["facets"]["tags"] = {"tags": [{"key": "team", "value": "finance"}]}
        return [gap.specified(e) for e in said]

    def rest(self) -> dict[str, Any]:
        at = {
            "start_date": self.start and self.start.isoformat(), "end_date": self.end and self.end.isoformat(),
            "logical_date": self.due.isoformat(), "run_after": self.due.isoformat(), "dag_id": self.dag,
            "dag_run_id": f"scheduled__{self.due.isoformat()}", "state": self.state,
            "updated_at": (self.end or self.start or self.due + HOUR / 2).isoformat(),
        }  # fmt: skip
        if self.task:
            return at | {"task_id": self.task, "map_index": -1, "try_number": 1, "max_tries": 0}
        span = {"data_interval_start": self.due.isoformat(), "data_interval_end": self.due.isoformat()}
        return at | span | {"run_type": "scheduled"}


def hour(n: int, broken: tuple[str, str] | None = None) -> list[Truth]:
    """Every DAG once in this hour, a minute apart, its tasks one after the other, a minute each."""
    out = []
    for d in range(DAGS):
        dag, due = f"dag_{d}", T0 + HOUR * n
        at = due + timedelta(minutes=1, seconds=20 * d)
        start, failed = at, False
        for t in range(TASKS):
            name = f"t{t}"
            if failed:
                out.append(Truth(dag, name, due, None, None, "upstream_failed"))
                continue
            end = at + timedelta(seconds=60)
            failed = (dag, name) == broken
            out.append(Truth(dag, name, due, at, end, "failed" if failed else "success"))
            at = end
        out.append(Truth(dag, "", due, start, at, "failed" if failed else "success"))
    return out


def sent(truths: list[Truth], since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The events of a time, in order."""
    said = [e for t in truths for e in t.events() if since <= datetime.fromisoformat(e["eventTime"]) < until]
    return sorted(said, key=lambda e: e["eventTime"])


def heard(record: Record, producer_id: int, events: list[dict[str, Any]], now: datetime) -> None:
    """Fold events that arrived at ``now``; the receiver notes when it last heard."""
    with record.tx() as conn:
        conn.execute("update producer set last_event_at = %s where id = %s", (now, producer_id))
    tell(record, producer_id, events, now)


@pytest.fixture
def settings(stack: Settings) -> Settings:
    return stack.with_(secrets_keys="main:" + "k" * 40)


@pytest.fixture
def rest() -> Iterator[AirflowLike]:
    with listening() as like:
        yield like


def connected(record: Record, settings: Settings, producer_id: int, base: str) -> None:
    with record.tx() as conn:
        made = opening.create(
            conn,
            SYSTEM,
            settings,
            "airflow prod",
            "airflow",
            {"url": base, "username": "viewer"},
            {"password": "x"},
        )
        producers.connect(conn, SYSTEM, producer_id, UUID(str(made["id"])))


SAID = {"success": "ok", "failed": "failed", "upstream_failed": "late"}


def test_an_airflow_cut_off_for_an_hour(
    record: Record, graph: Graph, settings: Settings, rest: AirflowLike
) -> None:
    """800 jobs: one incident, none late, and ten minutes after it is back all states equal Airflow's."""
    p = producer(record)
    connected(record, settings, p, rest.base)
    before = [t for n in range(7) for t in hour(n)]
    during = [*hour(7), *hour(8, broken=("dag_3", "t5"))]
    cut, back = T0 + HOUR * 7 + HOUR / 6, T0 + HOUR * 8 + HOUR / 6
    # of the tasks' history only the ends, to be brief
    heard(record, p, [e for t in before for e in t.events()[-1 if t.task else 0 :]], T0 + HOUR * 7)
    heard(record, p, sent(during, T0 + HOUR * 7, cut), cut)
    assert Counter(states(record).values()) == {"ok": 800}

    now = cut
    while now < back:
        now += timedelta(minutes=2)
        watching.step(record, now)
        assert watching.fill(record, settings, now) == -1, "nothing is asked for while it is quiet"
    assert Counter(states(record).values()) == {"unknown": 800}
    reason = node(record, "dag_7.t3")["health_reason"]
    assert reason == f"its producer airflow-prod is quiet since {cut:%Y-%m-%d %H:%M} UTC"
    while alerting.decide(record, graph, settings, now=now):
        pass
    incidents = record.all("select root_type, producer_id, status, opened_at, error from incident")
    assert [(i["root_type"], i["producer_id"], i["status"], i["opened_at"]) for i in incidents] == [
        ("producer", p, "open", cut)
    ]
    assert "of its jobs were due" in incidents[0]["error"]
    assert record.all("select 1 from transition where now in ('late', 'failed')") == [], (
        "none late at any time"
    )

    # back again: what runs from now on is sent, what was missed is asked for
    rest.runs = [t.rest() for t in [*before, *during] if not t.task]
    rest.tasks = [t.rest() for t in [*before, *during] if t.task]
    heard(record, p, sent(during, back, back + HOUR), back + timedelta(minutes=2))
    watching.step(record, back + timedelta(minutes=2))
    assert watching.fill(record, settings, back + timedelta(minutes=3)) > 800
    watching.step(record, back + timedelta(minutes=3))
    later = hour(8, broken=("dag_3", "t5"))
    watching.step(record, back + timedelta(minutes=10))
    wanted = {t.name: SAID[t.state] for t in later}
    assert states(record) == wanted
    assert Counter(wanted.values())["late"] == TASKS - 6
    assert node(record, "dag_3.t9")["health_reason"] == "not started: upstream t5 failed"
    assert record.all("select status from incident where root_type = 'producer'") == [{"status": "resolved"}]
    assert record.all("select 1 from event_warning") == [], "what is filled in breaks no specification"
    gaps = record.all("select began_at, filled_at, error from producer_gap")
    assert [(g["began_at"], g["filled_at"], g["error"]) for g in gaps] == [
        (cut, back + timedelta(minutes=3), None)
    ]

    # what was kept by the client and comes after all changes nothing
    known = record.one("select count(*) as n from run")
    tell(record, p, sent(during, cut, back)[::-1], back + timedelta(minutes=20))
    assert states(record) == wanted
    assert record.one("select count(*) as n from run") == known, "no run is there twice"


def test_a_task_that_has_never_run_is_a_node_once_airflow_names_it(
    record: Record, settings: Settings, rest: AirflowLike
) -> None:
    """It was skipped behind a failure in the gap: no event tells of it, Airflow does. Whether it is late is not known: it
    has never run. The first run that is sent joins it."""
    p = producer(record)
    connected(record, settings, p, rest.base)
    due = [T0 + HOUR * n for n in range(3)]
    first = [Truth("etl", "load", due[0], due[0], due[0] + HOUR / 6, "success")]
    first.append(Truth("etl", "", due[0], due[0], due[0] + HOUR / 6, "success"))
    missed = [
        Truth("etl", "load", due[1], due[1], due[1] + HOUR / 6, "failed"),
        Truth("etl", "group.after", due[1], None, due[1] + HOUR / 6, "upstream_failed"),
        Truth("etl", "branch", due[1], None, None, "removed"),
        Truth("etl", "", due[1], due[1], due[1] + HOUR / 6, "failed"),
        # a name with a dot does not tell where the DAG's ends
        Truth("team.etl", "after", due[1], None, due[1] + HOUR / 6, "upstream_failed"),
    ]
    heard(record, p, [e for t in first for e in t.events()], due[0] + HOUR / 6)
    with record.tx() as conn:
        producers.add_gap(conn, p, due[1], due[1] + HOUR / 2, "its key had expired", due[2])
    rest.runs = [t.rest() for t in missed if not t.task]
    rest.tasks = [t.rest() for t in missed if t.task]
    assert watching.fill(record, settings, due[2]) == 5
    assert states(record) == {"etl": "failed", "etl.load": "failed", "etl.group.after": "unknown"}
    new = node(record, "etl.group.after")
    assert (new["kind"], new["system"], new["namespace"]) == ("task", "airflow", NAMESPACE)
    assert (new["parent_id"], new["health_reason"]) == (node(record, "etl")["id"], "nothing known yet")
    assert record.all("select 1 from event_warning") == []
    assert (
        record.all("select 1 from run r join alias a on a.id = r.job_alias where a.name = 'etl.group.after'")
        == []
    )

    good = Truth("etl", "group.after", due[2], due[2], due[2] + HOUR / 6, "success")
    heard(record, p, good.events(), due[2] + HOUR / 6)
    assert states(record)["etl.group.after"] == "ok"
    assert len(record.all("select 1 from node where name like 'etl%after'")) == 1


def test_none_is_late_while_it_is_not_known_whether_the_producer_is_quiet(record: Record) -> None:
    p = producer(record)
    jobs = ("a", "b", "c")
    for n in range(8):
        for j in jobs:
            heard(record, p, quarter(j, n), day(0, 15 * n + 5))
    seen = set()
    for minute in range(110, 180):
        watching.step(record, day(0, minute))
        seen |= set(states(record).values())
    assert seen == {"ok", "unknown"}
    assert transitions(record, "a") == [("unknown", "ok"), ("ok", "unknown")]
    heard(record, p, [e for j in jobs for e in quarter(j, 12)], day(0, 185))
    watching.step(record, day(0, 185))
    assert set(states(record).values()) == {"ok"}
    assert record.all("select status from incident") == [{"status": "resolved"}]


def quarter(job: str, n: int) -> list[dict[str, Any]]:
    """A job that runs every quarter of an hour for two minutes."""
    due = day(0, 15 * n)
    return [
        event(job, "START", due, due=due, kind="JOB"),
        event(job, "COMPLETE", due + timedelta(minutes=2), due=due, kind="JOB"),
    ]


def test_one_job_that_does_not_start_is_late_where_others_are_heard(record: Record) -> None:
    p = producer(record)
    for n in range(8):
        heard(record, p, [e for j in ("a", "b", "c") for e in quarter(j, n)], day(0, 15 * n + 5))
    for n in range(8, 10):
        heard(record, p, [e for j in ("a", "b") for e in quarter(j, n)], day(0, 15 * n + 5))
        watching.step(record, day(0, 15 * n + 12))
    assert states(record) == {"a": "ok", "b": "ok", "c": "late"}
    assert record.all("select 1 from incident where root_type = 'producer'") == []


def test_the_only_job_of_a_producer_is_late_and_not_its_producer_quiet(record: Record) -> None:
    p = producer(record)
    for n in range(8):
        heard(record, p, quarter("alone", n), day(0, 15 * n + 5))
    for minute in range(110, 140):
        watching.step(record, day(0, minute))
    assert states(record) == {"alone": "late"}
    assert record.all("select 1 from incident") == []


def test_how_often_events_are_expected_may_be_said(record: Record) -> None:
    p = producer(record)
    with record.tx() as conn:
        producers.expect(conn, SYSTEM, p, timedelta(minutes=5))
    heard(record, p, quarter("alone", 0), day(0, 3))
    watching.step(record, day(0, 7))
    assert states(record) == {"alone": "ok"}
    watching.step(record, day(0, 9))
    watching.step(record, day(0, 10))
    assert states(record) == {"alone": "unknown"}
    assert record.all("select error from incident") == [{"error": "no event for 6 min, expected every 5 min"}]


@pytest.mark.parametrize(("quiet", "good"), [(3, 1), (4, 2), (6, 9), (2, 12)])
def test_a_producer_that_flaps_for_an_hour_is_told_twice_at_most(
    record: Record, settings: Settings, quiet: int, good: int
) -> None:
    p = producer(record)
    with record.tx() as conn:
        producers.expect(conn, SYSTEM, p, timedelta(minutes=1))
    a_rule(record, a_webhook(record, settings, "https://hooks.example.com/x"))
    told = watching.Telling.of(settings)

    def hears(minutes: float, half_minutes: int) -> None:
        for n in range(half_minutes):
            now = day(0, minutes + n / 2)
            with record.tx() as conn:
                conn.execute("update producer set last_event_at = %s where id = %s", (now, p))
            watching.step(record, now, told)
            delivery.tell(record, settings, now)

    minute = 0.0
    hears(minute, 2)
    while minute < 60:
        for n in range(2 * quiet + 3):
            now = day(0, minute + 1 + n / 2)
            watching.step(record, now, told)
            delivery.tell(record, settings, now)
        minute += quiet + 2
        hears(minute, 2 * good)
        minute += good
    said = [r["event"] for r in record.all("select event from notification order by seq")]
    assert said[0] == "trigger" and 1 <= len(said) <= 2
    (row,) = record.all("select status, reopened from incident")
    assert row["status"] == "resolved" and row["reopened"] >= 60 // (quiet + good + 2) - 1
    # once it holds, people are told that it is over
    hears(minute, 65)
    said = [r["event"] for r in record.all("select event from notification order by seq")]
    assert said == ["trigger", "resolve"]


def test_who_owns_what_a_quiet_producer_tells_of_is_told(record: Record, settings: Settings) -> None:
    p, other = producer(record), producer(record, "another")
    for n in range(2):
        heard(record, p, [*quarter("etl.load", n), *quarter("etl.check", n)], day(0, 15 * n + 5))
        heard(record, other, quarter("elsewhere", n), day(0, 15 * n + 5))
    with record.tx() as conn:
        for q in (p, other):
            producers.expect(conn, SYSTEM, q, timedelta(minutes=30))
        payments, ads = a_team(conn, "Payments"), a_team(conn, "Ads")
        for name, team, tags in (("etl.load", payments, ["gold"]), ("elsewhere", ads, ["tin"])):
            conn.execute("update node set owner_id = %s, tags = %s where name = %s", (team, tags, name))
    environment = node(record, "etl.load")["environment"]
    mine = {"teams": [payments]}, {"tags": ["gold"]}, {"nodes": [node(record, "etl.check")["id"]]}, {"environments": [environment]}  # fmt: skip
    others = {"teams": [ads]}, {"tags": ["tin"]}, {"nodes": [node(record, "elsewhere")["id"]]}, {"environments": ["nowhere"]}  # fmt: skip
    for conditions in (*mine, *others):
        (kind,) = conditions
        name = f"{'mine' if conditions in mine else 'others'}: {kind}"
        hook = a_webhook(record, settings, "https://hooks.example.com/x", name)
        a_rule(record, hook, name=name, **conditions)
    now = day(0, 60)
    heard(record, other, quarter("elsewhere", 3), now)
    watching.step(record, now)
    delivery.tell(record, settings, now)
    told = record.all("select c.name from notification n join channel c on c.id = n.channel_id order by 1")
    assert [t["name"] for t in told] == ["mine: environments", "mine: nodes", "mine: tags", "mine: teams"]


def test_planned_work_on_all_that_a_producer_tells_of_keeps_its_silence_back(
    record: Record, settings: Settings
) -> None:
    p = producer(record)
    heard(record, p, [*quarter("a", 0), *quarter("b", 0)], day(0, 5))
    a_rule(record, a_webhook(record, settings, "https://hooks.example.com/x"))
    with record.tx() as conn:
        producers.expect(conn, SYSTEM, p, timedelta(minutes=30))
        conn.execute("update node set tags = '{work}' where name = 'a'")
        silences.create(
            conn, SYSTEM,
            {"tags": ["work"], "reason": "moving", "starts_at": day(0, 0), "ends_at": day(0, 90), "repeats": "daily"},
        )  # fmt: skip
        conn.execute("update node set tags = '{work}' where name = 'b'")
    watching.step(record, day(0, 60))
    delivery.tell(record, settings, day(0, 60))
    assert statuses(record) == ["silenced"]
    delivery.tell(record, settings, day(0, 91))
    assert statuses(record) == ["silenced", "pending"]


def test_an_incident_about_a_producer_is_silenced_as_any_other(record: Record, settings: Settings) -> None:
    p, other = producer(record), producer(record, "other")
    heard(record, p, quarter("a", 0), day(0, 5))
    heard(record, other, quarter("b", 0), day(0, 5))
    a_rule(record, a_webhook(record, settings, "https://hooks.example.com/x"))
    with record.tx() as conn:
        producers.expect(conn, SYSTEM, p, timedelta(minutes=30))
        producers.expect(conn, SYSTEM, other, timedelta(minutes=30))
    now = datetime.now(UTC)
    watching.step(record, now)
    with record.tx() as conn:
        [mine] = conn.execute("select id from incident where producer_id = %s", (p,)).fetchall()
        incidents.silence(conn, SYSTEM, mine["id"], now + timedelta(minutes=30), "their cluster moves")
        [made] = silences.page(conn)
        assert made["producers"] == [p] and not made["nodes"]
        assert "Silenced by" in incidents.entries(conn, mine["id"])[0]["text"]
        for wrong in ([0], ["x"], "7"):
            with pytest.raises(Invalid) as e:
                silences.edit(conn, SYSTEM, made["id"], {"producers": wrong}, made["version"])
            assert e.value.field == "producers"
    told = "select i.producer_id, n.status from notification n join incident i on i.id = n.incident_id order by n.seq"
    soon = now + timedelta(minutes=5)
    delivery.tell(record, settings, soon)
    assert {(t["producer_id"], t["status"]) for t in record.all(told)} == {
        (p, "silenced"),
        (other, "pending"),
    }
    delivery.tell(record, settings, now + timedelta(minutes=31))
    assert [(t["producer_id"], t["status"]) for t in record.all(told)][-1] == (p, "pending")


def statuses(record: Record) -> list[str]:
    return [r["status"] for r in record.all("select status from notification order by seq")]


def test_a_refused_key_is_one_incident_at_once(record: Record) -> None:
    now = datetime.now(UTC)
    with record.tx() as conn:
        keys.create(
            conn, SYSTEM, "airflow-prod", ["lineage:write"], digest("secret"), "dlv_", expires_at=now - timedelta(minutes=1)
        )  # fmt: skip
    row = record.one("select id from producer")
    assert row is not None
    p = row["id"]
    heard(record, p, quarter("alone", 0), now - timedelta(minutes=5))
    with record.tx() as conn:
        conn.execute(
            "update producer set refused_since = %s, last_refused_at = %s where id = %s", (now, now, p)
        )
    watching.step(record, now + timedelta(seconds=5))
    assert states(record) == {"alone": "ok"}, "once may be a slip"
    with record.tx() as conn:
        conn.execute(
            "update producer set last_refused_at = %s where id = %s", (now + timedelta(seconds=30), p)
        )
    watching.step(record, now + timedelta(seconds=31))
    assert states(record) == {"alone": "unknown"}
    found = record.all("select error from incident where status = 'open'")
    assert len(found) == 1 and "expired" in found[0]["error"]
    heard(record, p, quarter("alone", 1), now + timedelta(minutes=2))
    watching.step(record, now + timedelta(minutes=2))
    assert states(record) == {"alone": "ok"}


def test_what_dlv_missed_while_it_was_down_is_unknown_until_it_is_asked_for(
    record: Record, settings: Settings, rest: AirflowLike
) -> None:
    p = producer(record)
    connected(record, settings, p, rest.base)
    for n in range(8):
        heard(record, p, [e for j in ("a", "b") for e in quarter(j, n)], day(0, 15 * n + 5))
    with record.tx() as conn:
        conn.execute(
            "insert into own_gap (part, began_at, ended_at, reason) values ('scheduler', %s, %s, 'DLV did not run')",
            (day(0, 115), day(0, 140)),
        )
    # DLV is back at minute 140; job a is heard of again, of b's run at minute 120 and 135 nothing is known
    heard(record, p, quarter("a", 9)[1:], day(0, 141))
    watching.step(record, day(0, 141))
    for minute in (145, 150):
        watching.step(record, day(0, minute))
    assert states(record) == {"a": "ok", "b": "unknown"}
    assert node(record, "b")["health_reason"] == "DLV did not run from 2026-11-01 01:55 to 02:20 UTC"
    rest.away = True
    now = day(0, 150)
    assert watching.fill(record, settings, now) == 0, "Airflow does not answer"
    row = record.one("select error, next_try_at, filled_at from producer_gap")
    assert row is not None and row["error"] and row["next_try_at"] > now and row["filled_at"] is None
    rest.away = False
    due = day(0, 135)
    rest.runs = [Truth("b", "", due, due, due + timedelta(minutes=2), "success").rest()]
    assert watching.fill(record, settings, now + timedelta(minutes=1)) == 2
    watching.step(record, now)
    assert states(record) == {"a": "ok", "b": "ok"}


def test_nothing_more_is_expected_of_a_retired_producer(record: Record) -> None:
    p = producer(record)
    for n in range(8):
        heard(record, p, [e for j in ("a", "b") for e in quarter(j, n)], day(0, 15 * n + 5))
    with record.tx() as conn:
        producers.retire(conn, SYSTEM, [p], day(0, 120))
    for minute in range(120, 300, 10):
        watching.step(record, day(0, minute))
    assert states(record) == {"a": "ok", "b": "ok"}
    assert record.all("select 1 from incident") == []


def test_no_producer_is_quiet_while_the_web_that_would_hear_it_is_away(record: Record) -> None:
    p = producer(record)
    for n in range(8):
        heard(record, p, [e for j in ("a", "b") for e in quarter(j, n)], day(0, 15 * n + 5))
    with record.tx() as conn:
        conn.execute(
            "insert into own_gap (part, began_at, reason) values ('web', %s, 'no web gives a sign of life')",
            (day(0, 112),),
        )
    for minute in range(112, 170):
        watching.step(record, day(0, minute))
    assert states(record) == {"a": "ok", "b": "ok"}
    with record.tx() as conn:
        conn.execute("update own_gap set ended_at = %s", (day(0, 170),))
    watching.step(record, day(0, 171))
    assert states(record) == {"a": "unknown", "b": "unknown"}, "what fell due meanwhile is not known"
    assert record.all("select 1 from incident") == []
    heard(record, p, [e for j in ("a", "b") for e in quarter(j, 11)], day(0, 172))
    assert states(record) == {"a": "ok", "b": "ok"}


def test_a_paused_dag_and_its_tasks_are_never_late(
    record: Record, settings: Settings, rest: AirflowLike
) -> None:
    p = producer(record)
    connected(record, settings, p, rest.base)
    for n in range(8):
        due = day(n)
        for dag in ("rests", "works"):
            mine = f"{dag}-{n}"
            one = {"due": due, "parent": (dag, mine)}
            told = [
                event(dag, "START", due, due=due, run=mine),
                event(f"{dag}.task", "START", due, **one),
                event(f"{dag}.task", "COMPLETE", due + timedelta(minutes=2), **one),
                event(dag, "COMPLETE", due + timedelta(minutes=3), due=due, run=mine),
            ]
            tell(record, p, told, day(n, 5))
    rest.dags = [{"dag_id": "rests", "is_paused": True}, {"dag_id": "works", "is_paused": False}]
    assert watching.paused(record, settings, day(7, 10)) == 2
    watching.step(record, day(9))
    assert states(record) == {"rests": "ok", "rests.task": "ok", "works": "late", "works.task": "late"}
    rest.dags[0]["is_paused"] = False
    assert watching.paused(record, settings, day(9)) == 2
    watching.step(record, day(9, 1))
    assert set(states(record).values()) == {"late"}
