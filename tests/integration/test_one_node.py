"""One table, one node; one model, one job; and what producers get wrong is put right."""

from __future__ import annotations

from datetime import timedelta

import pytest
from by_hand import ADMIN
from said import T0, dataset, edges, event, node, nodes, say

from store import drawer, evidence, materialise, node_edits
from store.record import MIGRATIONS, Record

pytestmark = pytest.mark.usefixtures("nodes_tell_what_their_aliases_say")

PG = "postgres://db.example:5432"


def rule(record: Record, kind: str, pattern: str, value: str) -> None:
    with record.tx() as conn:
        conn.execute(
            "insert into naming_rule (kind, pattern, value) values (%s, %s, %s)", (kind, pattern, value)
        )


def test_quotes_case_and_default_port_are_one_table(record: Record) -> None:
    say(
        record,
        event("a", [dataset("postgres://DB.example:5432", 'shop."public"."orders"')]),
        event("b", [dataset("postgresql://db.example", "shop.public.ORDERS")]),
    )
    assert nodes(record, "dataset") == {"shop.public.orders"}
    assert edges(record) == {("shop.public.orders", "a"), ("shop.public.orders", "b")}


def test_loopback_names_join_within_a_producer_and_not_across(record: Record) -> None:
    say(record, event("a", [dataset("postgres://localhost:5432", "d.s.t")]), by="airflow")
    say(record, event("b", [dataset("postgres://127.0.0.1:5432", "d.s.t")]), by="airflow")
    assert len(record.all("select id from node where type = 'dataset'")) == 1
    say(record, event("c", [dataset("postgres://localhost:5432", "d.s.t")]), by="spark")
    assert len(record.all("select id from node where type = 'dataset'")) == 2


def test_a_host_alias_joins_what_two_producers_call_differently(record: Record) -> None:
    rule(record, "host_alias", "localhost:5432", "db.example:5432")
    rule(record, "host_alias", "10.0.0.7:5432", "db.example:5432")
    say(record, event("a", [dataset("postgres://localhost:5432", "d.s.t")]), by="airflow")
    say(record, event("b", [dataset("postgres://10.0.0.7:5432", "d.s.t")]), by="spark")
    say(record, event("c", [dataset(PG, "d.s.t")]), by="dbt")
    assert {r["namespace"] for r in record.all("select namespace from node where type = 'dataset'")} == {PG}


def test_a_schemaless_jdbc_name_is_resolved_by_a_configured_default_only(record: Record) -> None:
    spark = event("load", [], [dataset(PG, "shop.orders")])
    say(record, spark)
    lost = node(record, "shop.orders")
    why = record.one("select unresolved from alias where node_id = %s", (lost["id"],))
    assert why and "schema" in why["unresolved"], "what was tried is said"
    with record.tx() as conn:
        conn.execute("truncate alias, node, edge cascade")
    rule(record, "default_schema", "postgres://*", "public")
    say(record, spark, event("read", [dataset(PG, "shop.public.orders")]))
    assert nodes(record, "dataset") == {"shop.public.orders"}


def test_symlinks_in_both_directions_end_as_one_node(record: Record) -> None:
    table, path = ("hive://metastore:9083", "sales.orders"), ("s3://lake", "warehouse/sales/orders")
    by_path = dataset(
        *path, symlinks={"identifiers": [{"namespace": table[0], "name": table[1], "type": "TABLE"}]}
    )
    by_table = dataset(
        *table, symlinks={"identifiers": [{"namespace": path[0], "name": path[1], "type": "LOCATION"}]}
    )
    say(record, event("write", [], [by_path]))
    say(record, event("read", [by_table]))
    assert len(record.all("select id from node where type = 'dataset'")) == 1
    assert node(record, "sales.orders")["kind"] == "table", "the table is shown, not the files it lies in"


def test_a_merge_keeps_both_histories_and_a_split_holds_after_later_events(record: Record) -> None:
    say(
        record,
        event("a", [], [dataset(PG, "d.s.one")], minute=0),
        event("b", [dataset(PG, "d.s.two")], minute=1),
    )
    ids = {r["name"]: r["id"] for r in record.all("select id, name from alias where type = 'dataset'")}
    one, two = sorted(ids.values())

    def say_evidence(kind: str) -> None:
        with record.tx() as conn:
            conn.execute(
                "insert into evidence (a, b, kind, source, created_at) values (%s, %s, %s, 'admin', now())",
                (one, two, kind),
            )
            touched = evidence.components(conn, [one])
            materialise.refresh(conn, touched)

    say_evidence("merge")
    assert [r["id"] for r in record.all("select id from node where type = 'dataset'")] == [one]
    assert {x for e in edges(record) for x in e} >= {"a", "b"}
    linked = dataset(
        PG, "d.s.one", symlinks={"identifiers": [{"namespace": PG, "name": "d.s.two", "type": "TABLE"}]}
    )
    say(record, event("a", [], [linked], minute=2))
    say_evidence("split")
    assert nodes(record, "dataset") == {"d.s.one", "d.s.two"}
    say(record, event("a", [], [linked], minute=3))
    assert nodes(record, "dataset") == {"d.s.one", "d.s.two"}, "a split wins over what events say later"
    assert edges(record) == {("a", "d.s.one"), ("d.s.two", "b")}


def test_dbts_three_names_are_one_job_and_its_tests_are_assertions(record: Record) -> None:
    dbt = {"jobType": {"integration": "DBT", "jobType": "MODEL", "processingType": "BATCH"}}
    unique = {**dbt, "dbt_node": {"unique_id": "model.shop.orders"}}
    out = [dataset(PG, "d.marts.orders")]
    test = event(
        "d.marts.shop.orders.test",
        [dataset(PG, "d.marts.orders", dataQualityAssertions={"assertions": [
            {"assertion": "not_null", "column": "id", "success": False, "severity": "error", "actual": "3", "expected": "0"}]})],
        minute=9, namespace="dbt",
        job_facets={"jobType": {"integration": "DBT", "jobType": "TEST"}, "dbt_node": {"unique_id": "model.shop.orders"}},
    )  # fmt: skip
    say(
        record,
        event("d.marts.shop.orders", [], out, namespace="dbt", job_facets=unique),
        event("d.marts.shop.orders.build.run", [], out, minute=1, namespace="dbt", job_facets=unique),
        event("model.shop.orders", [], out, minute=2, namespace="dbt", job_facets=unique),
        event("model.shop.orders.sql.1", [], [], minute=3, namespace="dbt", job_facets={"jobType": {"integration": "DBT", "jobType": "SQL"}}),
        test,
    )  # fmt: skip
    assert nodes(record) == {"model.shop.orders", "d.marts.orders"}
    assert node(record, "d.marts.orders")["health"] == "failed"
    assert node(record, "model.shop.orders")["health"] == "ok"
    say(record, event("model.shop.orders", [], out, minute=20, namespace="dbt", job_facets=unique))
    assert node(record, "d.marts.orders")["health"] == "failed", (
        "a COMPLETE of the job does not clear an assertion"
    )


def test_the_sql_adds_what_was_missed_and_takes_away_invented_ctes(record: Record) -> None:
    sql = {
        "query": "insert into d.marts.totals with recent as (select * from d.raw.orders join d.raw.payments using (id)) "
        "select * from recent",
        "dialect": "postgres",
    }
    say(
        record,
        event(
            "totals",
            [dataset(PG, "d.raw.orders"), dataset(PG, "d.marts.recent")],
            [dataset(PG, "d.marts.totals")],
            job_facets={"sql": sql},
        ),
    )
    assert edges(record) == {
        ("d.raw.orders", "totals"),
        ("d.raw.payments", "totals"),
        ("totals", "d.marts.totals"),
    }
    how = record.one(
        "select provenance from edge e join alias a on a.id = e.source where a.name = 'd.raw.payments'"
    )
    assert how and how["provenance"] == ["sql"]


def test_queries_collapse_onto_their_task_and_the_dag_is_its_parent(record: Record) -> None:
    airflow = {"jobType": {"integration": "AIRFLOW", "jobType": "TASK"}}
    query = {"jobType": {"integration": "AIRFLOW", "jobType": "QUERY"}}
    parent = {"parent": {"job": {"namespace": "tests", "name": "etl"}, "run": {"runId": "x"}}}
    task = {"parent": {"job": {"namespace": "tests", "name": "etl.load"}, "run": {"runId": "y"}}}
    say(
        record,
        event("etl.load", [], [], job_facets=airflow, run_facets=parent),
        event(
            "etl.load.query.1",
            [dataset(PG, "d.s.a")],
            [dataset(PG, "d.s.b")],
            job_facets=query,
            run_facets=task,
        ),
    )
    assert nodes(record, "job") == {"etl", "etl.load"}
    assert node(record, "etl.load")["parent_id"] == node(record, "etl")["id"]
    assert edges(record) == {("d.s.a", "etl.load"), ("etl.load", "d.s.b")}


def test_a_drop_ends_the_edges_and_a_rename_points_to_the_new_name(record: Record) -> None:
    gone = {"lifecycleStateChange": {"lifecycleStateChange": "DROP"}}
    renamed = {
        "lifecycleStateChange": {
            "lifecycleStateChange": "RENAME",
            "previousIdentifier": {"namespace": PG, "name": "d.s.old"},
        }
    }
    say(record, event("make", [], [dataset(PG, "d.s.t"), dataset(PG, "d.s.old")], minute=0))
    say(record, event("clean", [], [dataset(PG, "d.s.t", **gone)], minute=10))
    assert edges(record) == {("make", "d.s.old")}
    assert edges(record, T0 + timedelta(minutes=5)) == {("make", "d.s.t"), ("make", "d.s.old")}
    assert node(record, "d.s.t")["dropped_at"] == T0 + timedelta(minutes=10)
    say(record, event("swap", [], [dataset(PG, "d.s.new", **renamed)], minute=20))
    assert edges(record) == {("swap", "d.s.new")}
    to = record.one("select a.name from dataset_drop d join alias a on a.id = d.renamed_to")
    assert to and to["name"] == "d.s.new"
    with record.read() as conn:
        for name, other, way in (("d.s.old", "d.s.new", "to"), ("d.s.new", "d.s.old", "from")):
            (said,) = drawer.renamed(conn, node(record, name)["id"])
            assert (said["way"], said["name"], said["at"]) == (way, other, T0 + timedelta(minutes=20))
    say(record, event("make", [], [dataset(PG, "d.s.t")], minute=30))
    assert ("make", "d.s.t") in edges(record), "made again, it holds again"
    assert node(record, "d.s.t")["dropped_at"] is None


def test_partitions_fold_and_throwaway_schemas_stay_off_the_map(record: Record) -> None:
    say(
        record,
        event("a", [dataset("s3://lake", "orders/dt=2026-11-01"), dataset("s3://lake", "orders/dt=2026-11-02/part-0001.parquet")]),
        event("b", [dataset("s3a://lake", "/orders/2026/11/03/")]),
        event("c", [dataset(PG, "d.dbt_cloud_pr_12_34.orders")], [dataset(PG, "d.pr_77.orders")]),
    )  # fmt: skip
    assert len(nodes(record, "dataset")) == 1


def test_a_node_has_its_producers_environment_for_jobs_and_a_patterns_for_datasets(record: Record) -> None:
    rule(record, "environment", r"db\.staging", "staging")
    with record.tx() as conn:
        conn.execute("insert into producer (name, environment) values ('keyed', 'prod')")
    say(
        record,
        event("a", [dataset("postgres://db.staging:5432", "d.s.t")], [dataset(PG, "d.s.t2")]),
        by="keyed",
    )
    by_name = {r["name"]: r["environment"] for r in record.all("select name, environment from node")}
    assert by_name["d.s.t"] == "staging" and by_name["d.s.t2"] == "default"
    # said() folds without the key's environment column, so the job falls back to the pattern as well
    assert by_name["a"] == "default"


def test_rows_that_an_earlier_version_wrote_learn_what_their_aliases_say(record: Record) -> None:
    spark = dataset("postgres://db.example:5432", "orders")
    say(record, event("load", [spark], [dataset(PG, "d.s.one")]), event("read", [dataset(PG, "d.s.two")]))
    one, two = node(record, "d.s.one"), node(record, "d.s.two")
    told = "select id, aliases, unresolved, sources from node order by id"
    with record.tx() as conn:
        node_edits.edit(conn, ADMIN, one["id"], {"description": "orders"}, one["version"])
        node_edits.merge(conn, ADMIN, one["id"], two["id"])
        kept = conn.execute(told).fetchall()
        assert any(len(r["aliases"]) == 2 and r["sources"] for r in kept) and any(
            r["unresolved"] for r in kept
        )
        conn.execute("alter table node drop column aliases, drop column unresolved, drop column sources")
        conn.execute((MIGRATIONS / "0008_node_told.sql").read_text())  # type: ignore[call-overload]
        assert conn.execute(told).fetchall() == kept
