"""The demo estate: of the promised size, with one thing broken, by the same way that clients' events take."""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from canonical import difference, export

from answers.status import split
from ingest import demo, openlineage
from ingest.fold import fold_pending, rejudge
from settings import Settings
from store import pending, standing
from store.record import Record, migrate

SPEC = Path(__file__).parents[2] / "../shared/corpus/openlineage-spec"
pytestmark = pytest.mark.xdist_group("demo")  # seeded once
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def seeded(stack: Settings) -> Iterator[Record]:
    """One seeded record for all tests here, which leave it as it is."""
    name = f"t_{uuid4().hex[:16]}"
    url = stack.database_url.replace("@/dlv?", f"@/{name}?")
    with psycopg.connect(stack.database_url, autocommit=True) as conn:
        conn.execute(f'create database "{name}"')
    migrate(url)
    record = Record(url)
    assert demo.seed(record, NOW) is True
    yield record
    record.close()
    with psycopg.connect(stack.database_url, autocommit=True) as conn:
        conn.execute(f'drop database "{name}" with (force)')


def named(record: Record, **wanted: Any) -> list[str]:
    """'type name' of the nodes whose row has these values."""
    cond = " and ".join(f"{k} = %({k})s" for k in wanted)
    rows = record.all(f"select type, name from node where {cond} order by type, name", wanted)
    return [f"{r['type']} {r['name']}" for r in rows]


def reach(record: Record) -> tuple[Any, Any]:
    """below and above as answers.status asks them, over the record's edges by plain sets."""
    down: dict[UUID, set[UUID]] = defaultdict(set)
    up: dict[UUID, set[UUID]] = defaultdict(set)
    for e in record.all(
        "select s.node_id as a, t.node_id as b from edge e join alias s on s.id = e.source join alias t on t.id = e.target"
    ):
        down[e["a"]].add(e["b"])
        up[e["b"]].add(e["a"])

    def closure(start: Iterable[UUID], step: dict[UUID, set[UUID]]) -> set[UUID]:
        seen: set[UUID] = set()
        todo = list(start)
        while todo:
            new = step[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    return lambda ids: closure(ids, down), lambda node, among: closure([node], up) & set(among)


def test_an_estate_of_some_sixty_nodes_over_all_systems(seeded: Record) -> None:
    rows = seeded.all("select type, kind, system, environment, owner_name, description, name from node")
    assert 55 <= len(rows) <= 75
    systems = {r["system"] for r in rows}
    assert systems >= {"airflow", "spark", "kafka", "flink", "dbt", "postgres", "s3", "looker", "metabase"}
    kinds = Counter((r["type"], r["kind"]) for r in rows)
    for kind in (
        ("job", "dag"), ("job", "task"), ("job", "application"), ("job", "query"), ("job", "connector"),
        ("job", "stream"), ("job", "model"), ("job", "project"), ("dataset", "table"), ("dataset", "view"),
        ("dataset", "topic"), ("dataset", "file"), ("dataset", "dashboard"),
    ):  # fmt: skip
        assert kinds[kind], kind
    assert kinds["dataset", "dashboard"] == 2
    assert {r["environment"] for r in rows} == {"prod"}
    assert all(r["owner_name"] for r in rows), "every node has a team"
    assert all(r["description"] for r in rows if r["type"] == "dataset")
    assert not [r["name"] for r in rows if r["name"].startswith("test.")], (
        "dbt's tests are assertions, not nodes"
    )


def test_exactly_one_root_and_what_fails_because_of_it(seeded: Record) -> None:
    with seeded.tx() as conn:
        bad = standing.bad(conn)
    below, above = reach(seeded)
    roots, _symptoms = split(bad, below, above)
    (root,) = roots
    name = {r["id"]: r["name"] for r in seeded.all("select id, name from node")}
    assert name[root] == "payments_ingest.load_charges"
    assert named(seeded, health="failed") == [
        "dataset warehouse.raw.charges",
        "job finance_close",
        "job finance_close.reconcile_payments",
        "job payments_ingest",
        "job payments_ingest.load_charges",
    ]
    assert named(seeded, health="late") == ["dataset dashboards/executive_revenue"]
    at_risk = {name[n] for n in below(roots)} - {name[r["id"]] for r in bad}
    assert at_risk >= {
        "warehouse.marts.revenue_daily",
        "exports/finance/revenue_daily",
        "model.larkfield.fct_orders",
    }
    assert "dashboards/marketing_performance" not in at_risk


def test_all_else_is_well_but_for_one_retry_and_one_stream_that_runs(seeded: Record) -> None:
    assert named(seeded, health="warn") == ["job marketing_ingest.load_ad_spend"]
    assert named(seeded, health="unknown") == []
    assert named(seeded, running=True) == ["job order-enrichment"]


def test_the_failure_says_why_and_where_its_log_is(seeded: Record) -> None:
    row = seeded.one(
        "select id, health_reason, health_since from node where name = 'payments_ingest.load_charges'"
    )
    assert row is not None
    assert "column c.fee_amount does not exist" in row["health_reason"]
    assert NOW - timedelta(hours=8) < row["health_since"] < NOW
    run = seeded.one(
        "select r.* from run r join alias a on a.id = r.job_alias where a.node_id = %s order by r.ended_at desc limit 1",
        (row["id"],),
    )
    assert run is not None
    assert (run["state"], run["try_number"], run["max_tries"], run["trigger"]) == ("FAIL", 3, 3, "scheduled")
    assert run["log_url"].startswith("https://airflow.larkfield.example/")
    assert run["nominal_end"] <= run["started_at"]


def test_time_alone_changes_nothing_for_an_hour(seeded: Record) -> None:
    assert rejudge(seeded, now=NOW) == 0
    assert rejudge(seeded, now=NOW + timedelta(hours=1)) == 0


def test_two_weeks_of_runs_schemas_columns_and_past_trouble(seeded: Record) -> None:
    runs = seeded.all(
        """select n.name, count(*) as n, min(r.started_at) as first from node n join alias a on a.node_id = n.id
           join run r on r.job_alias = a.id where n.type = 'job' group by 1"""
    )
    assert len(runs) == len(seeded.all("select 1 from node where type = 'job'")), "every job has runs"
    streams = {"order-enrichment"}
    assert all(r["n"] >= 13 for r in runs if r["name"] not in streams), runs
    assert all(r["first"] < NOW - timedelta(days=12) for r in runs)
    personal = seeded.all("select name from node where 'pii' = any(tags) and type = 'dataset'")
    assert {r["name"] for r in personal} >= {"shop.public.customers", "warehouse.marts.dim_customers"}
    bare = seeded.all(
        """select name from node n where type = 'dataset' and not exists (select from alias a join schema_version s
           on s.alias_id = a.id where a.node_id = n.id)"""
    )
    assert bare == []
    columns = seeded.one("select count(*) as n, count(distinct target_alias) as targets from column_edge")
    assert columns is not None
    assert columns["n"] > 80
    assert columns["targets"] > 20
    critical = named(seeded, criticality=1)
    assert "dataset dashboards/executive_revenue" in critical
    assert seeded.one("select 1 from node where sla_kind = 'freshness'")
    told = {r["name"] for r in seeded.all("select name, people, channels from team where people <> '[]'")}
    assert len(told) == len(demo.TEAMS)
    past = seeded.all(
        """select n.name, t.was, t.now, t.at from transition t join node n on n.id = t.node_id
           where t.now = 'failed' and t.at < %s""",
        (NOW - timedelta(days=2),),
    )
    assert {r["name"] for r in past} >= {"shop_ingest.load_stock", "warehouse.staging.stg_orders"}


def test_seeding_again_is_a_no_op(seeded: Record) -> None:
    before = export(seeded)
    assert demo.seed(seeded) is False
    assert export(seeded) == before


def test_a_record_that_holds_an_event_is_left_alone(record: Record) -> None:
    from store import events

    with record.tx() as conn:
        conn.execute("insert into producer (name) values ('mine')")
    events.take(record, 1, [(b"x" * 32, b"{}")])
    assert demo.seed(record, NOW) is False
    assert record.all("select 1 from team") == []


def test_folding_all_of_it_again_changes_nothing(seeded: Record) -> None:
    before = export(seeded)
    with seeded.tx() as conn:
        assert pending.again(conn) > 1000
    while fold_pending(seeded, now=NOW):
        pass
    after = export(seeded)
    assert after == before, difference(before, after)


def test_nothing_warns_and_nothing_is_set_aside(seeded: Record) -> None:
    assert seeded.all("select * from event_warning") == []
    assert seeded.all("select * from event_pending") == []
    assert seeded.all("select name, unresolved from alias where unresolved is not null") == []
    bodies = [zlib.decompress(r["body"]) for r in seeded.all("select body from event")]
    assert [w for b in bodies for w in openlineage.parse(b).warnings] == []


@pytest.mark.parametrize("hour", [0, 6, 13, 23])
def test_whatever_the_hour_the_story_ends_now(hour: int) -> None:
    now = datetime(2026, 3, 29, hour, 59, 59, tzinfo=UTC)
    story = demo.story(now)
    times = [datetime.fromisoformat(e["eventTime"]) for e in story]
    assert max(times) <= now
    assert min(times) > now - timedelta(days=demo.DAYS + 1)
    assert times == sorted(times)
    assert story == demo.story(now)


@pytest.mark.corpus
@pytest.mark.skipif(
    not SPEC.exists(), reason="../shared/corpus is absent: no OpenLineage schemas to check against"
)
def test_every_event_and_facet_is_as_the_specification_has_it() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    from referencing import Registry, Resource

    schemas = [
        json.loads(p.read_text()) for p in [SPEC / "OpenLineage.json", *(SPEC / "facets").glob("*.json")]
    ]
    by_id = {s["$id"]: s for s in schemas}
    registry = Registry().with_resources((i, Resource.from_contents(s)) for i, s in by_id.items())

    def of(ref: str) -> Any:
        return jsonschema.Draft202012Validator({"$ref": ref}, registry=registry)

    run_event = of("https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent")
    seen: dict[str, Any] = {}
    # of each job and state one: the others differ in ids, times and counts alone
    for event in {(e["job"]["name"], e["eventType"]): e for e in demo.story(NOW)}.values():
        run_event.validate(event)
        for facet in facets(event):
            url = facet["_schemaURL"]
            if url.startswith("https://openlineage.io/"):
                if url not in seen:
                    assert url.split("#")[0] in by_id, url
                    seen[url] = of(url)
                seen[url].validate(facet)
    assert len(seen) > 10


def facets(said: Any) -> Iterator[dict[str, Any]]:
    if isinstance(said, dict):
        if "_schemaURL" in said:
            yield said
        for value in said.values():
            yield from facets(value)
    elif isinstance(said, list):
        for value in said:
            yield from facets(value)
