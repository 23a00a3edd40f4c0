"""One table, one node: names that mean the same are read as the same, and only those."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import naming, openlineage
from ingest.events import Event
from ingest.naming import Rules

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(
    not (CORPUS / "openlineage").is_dir(), reason="../shared/corpus is not on this machine"
)
RULES = Rules.default()


def corpus_events() -> list[Event]:
    return [
        openlineage.parse(line)
        for file in sorted((CORPUS / "openlineage").glob("*.jsonl"))
        for line in file.read_bytes().splitlines()
        if line.strip()
    ]


def named(
    namespace: str, name: str, rules: Rules = RULES, producer: str = "p", facets: Any = None
) -> naming.Named:
    found = naming.dataset(namespace, name, facets or {}, rules, producer)
    assert found is not None
    return found


def pair(namespace: str, name: str, rules: Rules = RULES, producer: str = "p") -> tuple[str, str]:
    found = named(namespace, name, rules, producer)
    return found.namespace, found.name


SAME = [
    # each row: one dataset, as different producers write it
    [
        ("postgres://db:5432", "shop.public.orders"),
        ("postgresql://DB", "shop.public.orders"),
        ("postgres://db", 'shop."public"."orders"'),
        ("postgres://bob:secret@db:5432", "SHOP.Public.ORDERS"),
        ("jdbc:postgresql://db:5432/shop?user=x", "public.orders"),
        ("postgresql+psycopg2://db:5432/shop", "public.orders"),
        ("postgres://db:5432", '"shop"."public"."orders"'),
    ],
    [
        ("snowflake://acme-prod", "SHOP.PUBLIC.ORDERS"),
        ("snowflake://ACME-PROD", "shop.public.orders"),
        ("snowflake://acme-prod.snowflakecomputing.com", 'shop."PUBLIC".orders'),
        ("jdbc:snowflake://acme-prod.snowflakecomputing.com/?db=SHOP", "PUBLIC.ORDERS"),
    ],
    [
        ("mysql://db:3306", "shop.orders"),
        ("mariadb://db", "shop.orders"),
        ("mysql://DB", "`shop`.`orders`"),
        ("jdbc:mysql://db:3306/shop", "orders"),
    ],
    [
        ("mssql://db:1433", "shop.dbo.orders"),
        ("sqlserver://db", "[Shop].[dbo].[Orders]"),
        ("jdbc:sqlserver://db:1433;databaseName=shop;encrypt=true", "dbo.orders"),
    ],
    [
        ("oracle://db:1521", "ORCL.HR.EMP"),
        ("jdbc:oracle:thin:@//db:1521/orcl", "hr.emp"),
        ("jdbc:oracle:thin:@db:1521:orcl", "HR.EMP"),
    ],
    [
        ("bigquery", "proj-1.ds.t"),
        ("bigquery://", "`proj-1.ds.t`".replace("`", "")),
        ("bigquery", "proj-1:ds.t"),
        ("bigquery", "`proj-1`.`ds`.`t`"),
        ("bigquery", "proj-1.ds.t$20260101"),
    ],
    [("kafka://b1:9092,b2:9092", "orders"), ("kafka://b2:9092,b1", "orders"), ("kafka://B1", "orders")],
    [
        ("s3://lake", "raw/orders"),
        ("s3a://lake", "/raw/orders/"),
        ("s3n://lake/", "raw//orders"),
        ("s3://lake", "raw/orders/dt=2026-01-01"),
        ("s3://lake", "raw/orders/year=2026/month=01/part-0001-x.snappy.parquet"),
        ("s3://lake", "raw/orders/2026/01/31/13"),
        ("s3://lake", "raw/orders/2026-01-31"),
        ("s3://lake", "s3a://lake/raw/orders"),
        ("s3://lake", "raw/orders/_delta_log/00001.json"),
        ("s3://lake", "raw/orders/_SUCCESS"),
    ],
    [
        ("file", "/srv/report_2026-01-01.csv"),
        ("file://", "/srv/report_2026-02-28.csv"),
        ("file:///", "srv/report_20260228.csv"),
        ("file://localhost", "/srv/report_2026-02-28.csv"),
        ("file", "file:///srv/report_2026-02-28.csv"),
    ],
    [("gs://lake", "raw/orders"), ("gcs://lake", "raw/orders/")],
    [("hdfs://nn", "/data/x"), ("hdfs://NN:8020", "data/x/"), ("hdfs://nn:8020/data", "x")],
    [
        ("abfss://box@acct.dfs.core.windows.net", "raw/orders"),
        ("abfs://box@ACCT.dfs.core.windows.net", "/raw/orders/"),
    ],
    [
        ("hive://meta:9083", "default.orders"),
        ("hive://meta", "Default.`Orders`"),
        ("thrift://meta:9083", "DEFAULT.orders"),
    ],
    [("arn:aws:glue:us-east-1:123", "table/db/t"), ("ARN:aws:glue:us-east-1:123", "table/DB/T")],
]


@pytest.mark.parametrize("spellings", SAME, ids=lambda s: s[0][0] + "/" + s[0][1])
def test_spellings_of_one_dataset_are_one(spellings: list[tuple[str, str]]) -> None:
    read = {pair(*s) for s in spellings}
    assert len(read) == 1, read
    assert pair(*read.copy().pop()) == read.pop(), "reading it again changes nothing"


DIFFERENT = [
    (("postgres://db:5432", "shop.public.orders"), ("postgres://db:5433", "shop.public.orders")),
    (("postgres://db", "shop.public.orders"), ("redshift://db", "shop.public.orders")),
    (("postgres://db", "shop.public.orders"), ("postgres://db", 'shop.public."Orders"')),
    (("postgres://db", 'a."b.c".d'), ("postgres://db", "a.b.c.d")),
    (("s3://lake", "raw/orders"), ("s3://lake2", "raw/orders")),
    (("s3://lake", "raw/Orders"), ("s3://lake", "raw/orders")),
    (("mysql://db", "shop.Orders"), ("mysql://db", "shop.orders")),
    (("kafka://b1", "orders"), ("kafka://b2", "orders")),
    (("file", "/data/orders.csv"), ("file", "/data/orders2.csv")),
    (("s3://lake", "raw/v2026/orders"), ("s3://lake", "raw/orders")),
]


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_datasets_stay_apart(a: tuple[str, str], b: tuple[str, str]) -> None:
    assert pair(*a) != pair(*b)


def test_loopback_joins_only_within_one_producer() -> None:
    spellings = ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "127.0.0.1:5432", "localhost.localdomain"]
    mine = {pair(f"postgres://{h}", "a.b.c", producer="airflow prod") for h in spellings}
    assert mine == {("postgres://localhost.airflow-prod:5432", "a.b.c")}
    assert pair("postgres://localhost", "a.b.c", producer="dbt") not in mine
    assert pair(*mine.copy().pop(), producer="dbt") in mine, "a name already read is not read again"


def test_host_aliases_lead_to_the_true_host() -> None:
    rules = RULES.plus(
        host_aliases={
            (None, "db"): "db.prod.internal:6432",
            ("airflow", "localhost:15432"): "db.prod.internal:6432",
            ("sqlmesh", "sqlmesh"): "postgres://db.prod.internal:6432",
        }
    )
    true = ("postgres://db.prod.internal:6432", "a.b.c")
    assert pair("postgres://db", "a.b.c", rules) == true
    assert pair("postgres://127.0.0.1:15432", "a.b.c", rules, "airflow") == true
    assert pair("postgres://localhost:15432", "a.b.c", rules, "dbt") != true
    assert pair("sqlmesh", '"a"."b"."c"', rules, "sqlmesh") == true


def test_a_short_name_resolves_only_by_a_configured_default() -> None:
    short = named("postgres://db", "shop.orders")
    assert short.name == "shop.orders"
    assert short.unresolved is not None
    assert "database.schema.table" in short.unresolved
    assert "default schema for postgres://db:5432" in short.unresolved

    rules = RULES.plus(default_schemas=[("postgres://db:*", "public")])
    resolved = named("postgres://db", "shop.orders", rules)
    assert (resolved.name, resolved.unresolved) == ("shop.public.orders", None)
    assert named("postgres://other", "shop.orders", rules).unresolved is not None
    one_part = named("postgres://db", "orders", rules)
    assert one_part.unresolved is not None
    assert "names no database" in one_part.unresolved
    assert pair("jdbc:postgresql://db/shop", "orders", rules)[1] == "shop.public.orders"

    both = RULES.plus(default_schemas=[("postgres://db:*", "shop.public")])
    assert pair("postgres://db", "orders", both)[1] == "shop.public.orders"
    assert pair("postgres://db", "shop.orders", both)[1] == "shop.public.orders"
    assert pair("postgres://db", "public.orders", both)[1] == "shop.public.orders"
    odd = named("postgres://db", "crm.orders", both)
    assert odd.unresolved is not None
    assert "shop.public" in odd.unresolved


def test_a_quoted_name_in_a_namespace_of_no_system_is_visibly_unresolved() -> None:
    read = named("sqlmesh", '"shop"."public"."orders"')
    assert (read.name, read.system) == ("shop.public.orders", "unknown")
    assert read.unresolved is not None
    assert "sqlmesh" in read.unresolved
    assert named("demo", "a.b").unresolved is None


@pytest.mark.parametrize(
    ("namespace", "name"),
    [
        ("postgres://db", "shop.pg_temp_3.x"),
        ("postgres://db", "shop.analytics.orders__dbt_tmp"),
        ("postgres://db", "shop.analytics.orders__dbt_backup"),
        ("snowflake://a", "SHOP.DBT_CLOUD_PR_12_34.ORDERS".lower()),
        ("snowflake://a", "SHOP.DBT_CLOUD_PR_12_34.ORDERS"),
        ("postgres://db", "shop.pr_123.orders"),
        ("postgres://db", "shop.analytics_dbt_test__audit.not_null"),
        ("s3://lake", "x/_temporary/0/_x"),
        ("mssql://db", "tempdb.dbo.#x"),
    ],
)
def test_throw_away_names_are_ignored(namespace: str, name: str) -> None:
    assert naming.dataset(namespace, name, {}, RULES, "p") is None
    assert naming.dataset(namespace, name, {}, Rules(), "p") is not None


def test_a_temporary_table_is_ignored_by_its_facet() -> None:
    facets = {"datasetType": {"datasetType": "TABLE", "subType": "TEMPORARY"}}
    assert naming.dataset("postgres://db", "a.b.c", facets, RULES, "p") is None


def test_environment_comes_from_the_namespace_and_for_jobs_first_from_the_key() -> None:
    rules = RULES.plus(environments=[(r"//stag", "staging"), (r"prod", "prod")])
    assert named("postgres://staging-db", "a.b.c", rules).environment == "staging"
    assert named("postgres://prod-db", "a.b.c", rules).environment == "prod"
    assert named("postgres://db", "a.b.c", rules).environment == "default"
    assert job("airflow-prod", "a.b", rules=rules).environment == "prod"
    assert job("airflow-prod", "a.b", rules=rules, env="staging").environment == "staging"


@pytest.mark.parametrize(
    ("namespace", "facets", "kind"),
    [
        ("postgres://db", {}, "table"),
        ("postgres://db", {"datasetType": {"datasetType": "VIEW"}}, "view"),
        ("postgres://db", {"datasetType": {"datasetType": "VIEW", "subType": "MATERIALIZED"}}, "materialized view"),
        ("postgres://db", {"dbt_model": {"config": {"materialized": "incremental"}}}, "table"),
        ("postgres://db", {"dbt_model": {"config": {"materialized": "ephemeral"}}}, "ephemeral"),
        ("postgres://db", {"dbt_model": {"config": {"materialized": "table"}}, "datasetType": {"datasetType": "VIEW"}}, "view"),
        ("kafka://b", {}, "topic"),
        ("s3://b", {}, "file"),
        ("s3://b", {"storage": {"storageLayer": "iceberg"}}, "table"),
        ("looker://x", {}, "dashboard"),
        ("demo", {}, "dataset"),
        ("postgres://db", {"datasetType": "nonsense", "dbt_model": [1], "symlinks": {"identifiers": 3}}, "table"),
    ],
)  # fmt: skip
def test_kind_by_the_surest_source(namespace: str, facets: dict[str, Any], kind: str) -> None:
    assert named(namespace, "a.b.c", facets=facets).kind == kind


def test_symlinks_are_read_like_names_and_lead_nowhere_else() -> None:
    facets = {
        "symlinks": {
            "identifiers": [
                {"namespace": "hive://META", "name": "Default.Orders", "type": "TABLE"},
                {"namespace": "s3a://lake", "name": "raw/orders/", "type": "LOCATION"},  # itself
                {"namespace": "postgres://db", "name": "a.pg_temp_1.x", "type": "TABLE"},  # ignored
                {"name": None},
                7,
            ]
        }
    }
    read = named("s3://lake", "raw/orders", facets=facets)
    assert read.symlinks == (("hive://meta:9083", "default.orders", "TABLE"),)
    assert read.kind == "table"


def test_wrong_patterns_of_admins_break_nothing() -> None:
    rules = RULES.plus(ignore=["("], environments=[("[", "x")], partitions=[("*", ""), ("(a)", r"\7")])
    assert named("s3://lake", "a/b", rules).name == "a/b"


# ---------------------------------------------------------------- jobs


def job(
    namespace: str,
    name: str,
    facets: Any = None,
    run: Any = None,
    rules: Rules = RULES,
    env: str | None = None,
) -> naming.NamedJob:
    found = naming.job(namespace, name, facets or {}, run or {}, rules, env)
    assert found is not None
    return found


DBT = {"jobType": {"integration": "DBT", "jobType": "MODEL"}}


def test_dbts_three_names_are_one_job() -> None:
    facets = {**DBT, "dbt_node": {"unique_id": "model.jaffle.orders"}}
    parent = {
        "parent": {
            "job": {"namespace": "d", "name": "model.jaffle.orders"},
            "root": {"job": {"namespace": "d", "name": "dbt-run"}},
        }
    }
    read = [
        job("d", "jaffle.marts.jaffle.orders", facets),
        job("d", "jaffle.marts.jaffle.orders", DBT),
        job("d", "jaffle.marts.jaffle.orders.build.run", DBT),
        job("d", "model.jaffle.orders", DBT),
        job("d", "model.jaffle.orders.sql.3", {"jobType": {"integration": "DBT", "jobType": "SQL"}}, parent),
    ]  # fmt: skip
    assert {(j.namespace, j.name, j.kind, j.system) for j in read} == {
        ("d", "model.jaffle.orders", "model", "dbt")
    }
    assert [j.sub for j in read] == [False, False, False, False, True]
    assert read[0].same_as == (("d", "jaffle.marts.jaffle.orders"),)
    assert read[3].same_as == ()
    assert read[4].parent == ("d", "dbt-run")
    assert read[4].parent_kind == "project"


@pytest.mark.parametrize(
    ("name", "job_type", "kind"),
    [
        ("jaffle.snap.jaffle.orders_snapshot.snapshot", "SNAPSHOT", "snapshot"),
        ("jaffle.snap.jaffle.orders_snapshot.build.snapshot", "SNAPSHOT", "snapshot"),
        ("seed.jaffle.codes", "SEED", "seed"),
        ("dbt-run-jaffle", "JOB", "project"),
        ("my.dbt.nightly.job", "JOB", "project"),
    ],
)
def test_other_dbt_jobs(name: str, job_type: str, kind: str) -> None:
    read = job("d", name, {"jobType": {"integration": "DBT", "jobType": job_type}})
    assert (read.kind, read.is_test) == (kind, False)


@pytest.mark.parametrize(
    "name",
    [
        "test.jaffle.not_null_orders_id.abc",
        "test.jaffle.not_null_orders_id.abc.sql.1",
        "jaffle.marts.jaffle.orders.test",
        "jaffle.marts.jaffle.orders.build.test",
        "jaffle.raw.source.jaffle.raw.orders.test",
    ],
)
def test_dbt_tests_are_no_jobs(name: str) -> None:
    assert job("d", name, {"jobType": {"integration": "DBT", "jobType": "SQL"}}).is_test


def test_a_model_built_in_a_pull_requests_schema_is_ignored() -> None:
    node = {
        "dbt_node": {
            "unique_id": "model.jaffle.orders",
            "schema": "dbt_cloud_pr_7_12",
            "database": "d",
            "alias": "orders",
        }
    }
    assert naming.job("d", "model.jaffle.orders", {**DBT, **node}, {}, RULES, None) is None


AIRFLOW = {"jobType": {"integration": "AIRFLOW", "jobType": "TASK", "processingType": "BATCH"}}


def airflow_run(**dag_run: Any) -> dict[str, Any]:
    return {
        "airflow": {
            "dagRun": dag_run,
            "task": {"retries": 2},
            "taskInstance": {"try_number": 1, "log_url": "http://airflow/log?try_number=1"},
        },
        "parent": {"job": {"namespace": "a", "name": "dag"}, "run": {"runId": "x"}},
        "processing_engine": {"name": "Airflow", "version": "3.3.2"},
    }


def test_airflow_says_dag_tries_trigger_interval_and_log() -> None:
    run = airflow_run(
        run_type="scheduled",
        data_interval_start="2026-01-01T00:00:00Z",
        data_interval_end="2026-01-02T00:00:00Z",
    )
    read = job("a", "dag.task", AIRFLOW, run)
    assert (read.kind, read.system, read.parent, read.parent_kind) == ("task", "airflow", ("a", "dag"), "dag")
    assert (read.trigger, read.try_number, read.max_tries) == ("scheduled", 1, 3)
    assert read.nominal == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))
    assert read.log_url == "http://airflow/log?try_number=1"
    assert read.engine == "Airflow 3.3.2"


@pytest.mark.parametrize(
    ("dag_run", "trigger"),
    [
        ({"run_type": "manual"}, "manual"),
        ({"run_type": "backfill"}, "backfill"),
        ({"run_id": "manual__2026-01-01T00:00:00"}, "manual"),
        ({"run_id": "backfill__2026"}, "backfill"),
        ({"run_id": "scheduled__2026"}, "scheduled"),
        ({"run_type": "asset_triggered"}, "scheduled"),
        ({"run_id": "mine"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_what_triggered_a_run(dag_run: dict[str, Any], trigger: str) -> None:
    assert job("a", "dag.task", AIRFLOW, airflow_run(**dag_run)).trigger == trigger


def test_queries_collapse_onto_their_task_whose_dag_is_the_parent() -> None:
    run = {
        "parent": {
            "job": {"namespace": "a", "name": "dag.task"},
            "root": {"job": {"namespace": "a", "name": "dag"}},
        }
    }
    read = job("a", "dag.task.query.2", {"jobType": {"integration": "AIRFLOW", "jobType": "QUERY"}}, run)
    assert (read.name, read.kind, read.sub, read.parent) == ("dag.task", "task", True, ("a", "dag"))
    assert read.same_as == (("a", "dag.task.query.2"),)
    assert job("x", "my.query.2").name == "my.query.2", "nobody says that this one is a query of another job"


def test_streaming_and_links_that_are_no_links() -> None:
    facets = {"jobType": {"integration": "SPARK", "jobType": "SQL_JOB", "processingType": "STREAMING"}}
    read = job("s", "app.query", facets, {"airflow": {"taskInstance": {"log_url": "javascript:alert(1)"}}})
    assert read.streaming
    assert read.log_url is None


# ---------------------------------------------------------------- the corpus, and anything


@needs_corpus
def test_corpus_one_table_one_name() -> None:
    seen: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
    for event in corpus_events():
        for d in (*event.inputs, *event.outputs):
            read = naming.dataset(d.namespace, d.name, d.facets, RULES, "one")
            if read:
                seen[(read.namespace, read.name)].add((d.namespace, d.name))
                assert read.unresolved is None or read.system == "sqlite"
    assert seen[("postgres://localhost.one:15432", "jaffle.raw.orders")] == {
        ("postgres://127.0.0.1:15432", "jaffle.raw.orders"),
        ("postgres://localhost:15432", "jaffle.raw.orders"),
    }
    assert not any("dbt_test__audit" in name for _, name in seen)


@needs_corpus
def test_corpus_jobs_are_models_tasks_and_queries() -> None:
    jobs = {}
    for event in corpus_events():
        if event.job is None or event.job.namespace == "demo":
            continue
        read = naming.job(
            event.job.namespace,
            event.job.name,
            event.job.facets,
            event.run_facets,
            RULES,
            None,
            event.producer_uri,
        )
        assert read is not None
        if not read.is_test:
            jobs[(read.namespace, read.name)] = read
    dbt = sorted(n for ns, n in jobs if ns == "dbt-prod")
    assert dbt == [
        "dbt-run-jaffle",
        *(f"model.jaffle.{m}" for m in ("customers", "daily_revenue", "int_payments_pivot", "orders", "stg_customers", "stg_orders", "stg_payments")),
        "seed.jaffle.country_codes",
        "snapshot.jaffle.orders_snapshot",
    ]  # fmt: skip
    assert not any(".query." in n for _, n in jobs)
    assert jobs[("airflow-prod", "shop_etl.hook_copy")].parent == ("airflow-prod", "shop_etl")
    assert jobs[("lake", "lake_enrich.adaptive_spark_plan.curated_orders_enriched")].parent == (
        "lake",
        "lake_enrich",
    )


@needs_corpus
def test_reading_does_not_depend_on_order() -> None:
    events = corpus_events()

    def read(order: list[Event]) -> dict[bytes, Any]:
        rules = Rules.default()
        return {
            e.hash: (
                [naming.dataset(d.namespace, d.name, d.facets, rules, "p") for d in (*e.inputs, *e.outputs)],
                e.job and naming.job(e.job.namespace, e.job.name, e.job.facets, e.run_facets, rules, None),
            )
            for e in order
        }

    shuffled = events[:]
    random.Random(7).shuffle(shuffled)
    assert read(events) == read(shuffled)


_NAMESPACES = st.sampled_from(
    ["postgres://DB", "jdbc:postgresql://h/db", "snowflake://A", "mysql://h", "s3a://b", "file", "file://h", "hdfs://n",
     "kafka://b,a", "bigquery", "mssql://h", "abfss://c@a.b", "hive://h", "demo", "jdbc:", "://", "sqlite:/x", "arn:aws:glue:r:1",
     "jdbc:oracle:thin:@h:1:x", "dbfs", "file:/w", "postgres://localhost", "postgres://[::1]:1", ""]
) | st.text(max_size=12)  # fmt: skip
_NAMES = st.lists(
    st.sampled_from(["a", "B", '"', '"Q"', ".", "/", "`x`", "[y]", "dt=1", "2026", "01", "part-0", "_2026-01-01.csv", " ", "$20260101", ":", "file:/z", "s3://b/c"]),
    max_size=8,
).map("".join) | st.text(max_size=12)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(_NAMESPACES, _NAMES, st.sampled_from(["p", "Ä b", ""]))
def test_any_name_is_read_and_reading_again_changes_nothing(namespace: str, name: str, producer: str) -> None:
    first = naming.dataset(namespace, name, {}, RULES, producer)
    if first is not None:
        again = naming.dataset(first.namespace, first.name, {}, RULES, producer)
        assert again is not None
        assert (again.namespace, again.name, again.environment, again.system) == (
            first.namespace, first.name, first.environment, first.system,
        )  # fmt: skip


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda c: (
        st.lists(c, max_size=3)
        | st.dictionaries(
            st.sampled_from(["jobType", "integration", "dbt_node", "unique_id", "airflow", "dagRun", "task", "retries", "parent",
                             "job", "name", "root", "run", "nominalTime", "nominalStartTime", "symlinks", "identifiers", "storage"]),
            c, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["jobType", "dbt_node", "airflow", "parent", "nominalTime", "symlinks", "datasetType"]
        ),
        _ANY,
        max_size=3,
    ),
    st.text(max_size=10),
)
def test_any_facets_are_read(facets: dict[str, Any], name: str) -> None:
    naming.job("n", name, facets, facets, RULES, None)
    naming.dataset("s3://x", name, facets, RULES, "p")
    json.dumps(facets)
