"""Real dbt with its OpenLineage wrapper, in both of its modes, on the embedded Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import serving
from serving import Dbt, Served, Shop

from settings import Settings

# one group: what is set up once for this file is set up in one test process
pytestmark = [pytest.mark.dbt, pytest.mark.slow, pytest.mark.xdist_group("dbt")]

served_by_module = serving.served_by_module

MODELS = {f"model.larkfield.{m}" for m in ("stg_orders", "stg_customers", "fct_orders", "dim_customers")}
#: makes nothing; only the newer mode speaks of it
EPHEMERAL = "model.larkfield.eph_payments"


@pytest.fixture(scope="module")
def shop(stack: Settings) -> Iterator[Shop]:
    with serving.shop(stack) as s:
        yield s


@pytest.fixture(scope="module")
def built(served_by_module: Served, shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Everything built, and one model that cannot be built, by both modes; all events folded."""
    s = served_by_module
    dbt = Dbt(shop, s.base, s.key("dbt-test"), tmp_path_factory.mktemp("dbt"))
    for logs in (False, True):
        # a test and a model fail on purpose: the exit code is dbt's own
        said = dbt.run("build", logs=logs, ok=False)
        assert "Completed with 1 error" in said, said
        assert shop.execute("select count(*) from analytics_marts.fct_orders") == [(2,)]
        assert s.fold() > 10
        names = {r["name"] for r in rows(s, "select name from alias where type = 'job'")}
        assert names >= MODELS, f"structured logs {logs}"
    for logs in (False, True):
        said = dbt.run(
            "run", "--select", "broken_margin", "--vars", "{with_broken: true}", logs=logs, ok=False
        )
        assert "cost_that_is_not_there" in said
        assert s.fold() > 0
    return s


def rows(s: Served, query: str, *params: Any) -> list[dict[str, Any]]:
    return s.record.all(query, params)


def node(s: Served, type_: str, name: str) -> dict[str, Any]:
    (row,) = rows(s, "select * from node where type = %s and name = %s", type_, name)
    return row


def read_by(s: Served, job: str) -> set[str]:
    """The last part of the names of what a job reads, by edges that hold."""
    found = rows(
        s,
        """select distinct n.name from edge e join alias a on a.id = e.source join alias j on j.id = e.target
           join node n on n.id = a.node_id join node w on w.id = j.node_id
           where w.name = %s and w.type = 'job' and e.retired_at is null""",
        job,
    )
    return {r["name"].rpartition(".")[2] for r in found}


def test_a_model_is_one_job_whatever_the_mode_calls_it(built: Served) -> None:
    jobs = rows(built, "select * from node where type = 'job' and kind = 'model'")
    assert sorted(j["name"] for j in jobs) == sorted(MODELS | {EPHEMERAL, "model.larkfield.broken_margin"})
    for job in jobs:
        sent = rows(
            built,
            "select distinct s.name from alias_sent s join alias a on a.id = s.alias_id where a.node_id = %s",
            job["id"],
        )
        assert len(sent) >= (1 if job["name"] == EPHEMERAL else 2), sent
    (seed,) = rows(built, "select * from node where type = 'job' and kind = 'seed'")
    assert seed["name"] == "seed.larkfield.countries"
    kinds = {r["kind"] for r in rows(built, "select distinct kind from node where type = 'job'")}
    assert kinds == {"model", "seed", "project"}, "no query, no test, nothing else"


def test_model_and_table_are_two_nodes_and_the_model_belongs_to_its_project(
    built: Served, shop: Shop
) -> None:
    table = node(built, "dataset", f"{shop.database}.analytics_marts.fct_orders")
    model = node(built, "job", "model.larkfield.fct_orders")
    assert table["id"] != model["id"]
    assert (table["kind"], model["kind"], model["system"]) == ("table", "model", "dbt")
    assert table["namespace"] == f"postgres://localhost.dbt-test:{shop.port}", "loopback is the sender's own"
    assert node(built, "dataset", f"{shop.database}.analytics_staging.stg_orders")["kind"] == "view"
    projects = {r["id"]: r for r in rows(built, "select * from node where kind = 'project'")}
    assert model["parent_id"] in projects
    assert not rows(
        built,
        "select 1 from edge e join alias a on a.id in (e.source, e.target) where a.node_id = any(%s)",
        list(projects),
    )


def test_tests_are_assertions_on_what_they_test(built: Served, shop: Shop) -> None:
    assert not rows(built, "select name from node where name like '%%test.%%' or name like '%%not_null%%'")
    found = rows(
        built,
        """select n.name, s.name as assertion, s.column_name, s.success from assertion s
           join alias a on a.id = s.alias_id join node n on n.id = a.node_id""",
    )
    assert {(r["name"].rpartition(".")[2], r["success"]) for r in found} == {
        ("orders", True), ("fct_orders", True), ("dim_customers", True), ("dim_customers", False),
    }  # fmt: skip
    failed = node(built, "dataset", f"{shop.database}.analytics_marts.dim_customers")
    assert failed["health"] == "failed"
    assert "accepted_values" in failed["health_reason"]
    assert node(built, "job", "model.larkfield.dim_customers")["health"] == "ok", "the model itself was built"


def test_what_a_model_reads_is_what_its_sql_reads(built: Served) -> None:
    assert read_by(built, "model.larkfield.stg_orders") == {"orders"}
    assert read_by(built, "model.larkfield.dim_customers") == {"stg_customers", "fct_orders", "countries"}
    fct = read_by(built, "model.larkfield.fct_orders")
    assert {"stg_orders", "payments"} <= fct, "through the ephemeral model"
    invented = rows(
        built, "select name from node where type = 'dataset' and name ~ '(joined|spent|__dbt__cte__)'"
    )
    assert invented == []


def test_a_model_that_cannot_be_built_is_red_with_the_first_line_of_its_error(built: Served) -> None:
    job = node(built, "job", "model.larkfield.broken_margin")
    assert job["health"] == "failed"
    assert job["health_reason"].startswith("Database Error in model broken_margin")
    (run,) = rows(
        built,
        "select r.* from run r join alias a on a.id = r.job_alias where a.node_id = %s and r.error is not null "
        "and not r.sub",
        job["id"],
    ) or [None]  # fmt: skip
    assert run is not None
    assert "cost_that_is_not_there" in run["error_detail"]


def test_schemas_and_columns_are_there_and_literals_are_not(built: Served, shop: Shop) -> None:
    fct = node(built, "dataset", f"{shop.database}.analytics_marts.fct_orders")
    assert fct["description"] == "One row an order, with what was paid for it"
    schema = rows(
        built,
        "select s.fields from schema_version s join alias a on a.id = s.alias_id where a.node_id = %s",
        fct["id"],
    )
    assert any({f["name"] for f in s["fields"]} >= {"order_id"} for s in schema)
    columns = rows(
        built,
        """select c.source_column, c.target_column, n.name from column_edge c join alias t on t.id = c.target_alias
           join alias a on a.id = c.source_alias join node n on n.id = a.node_id where t.node_id = %s""",
        node(built, "dataset", f"{shop.database}.analytics_staging.stg_orders")["id"],
    )
    assert ("order_id", "order_id") in {(c["source_column"], c["target_column"]) for c in columns}
    everything = "\n".join(repr(rows(built, f'select * from "{t}"')) for t in built.tables() if t != "event")
    assert "hunter2draft" not in everything
    assert "private.example" not in everything
