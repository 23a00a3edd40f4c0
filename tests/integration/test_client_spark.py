"""Real Spark with the OpenLineage listener, reading and writing the embedded Postgres; and dbt beside it, which calls
the same table by another name."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import serving
from serving import CACHE, Dbt, Served, Shop, clean_environment, environment, run

from ingest import refold
from settings import Settings
from store import rules
from store.audit import SYSTEM

JARS = CACHE / "openlineage-spark"
DATA = Path(__file__).parents[1] / "data" / "spark"
NEEDS = {
    "Java (java on the path)": shutil.which("java"),
    f"the OpenLineage listener in {JARS.relative_to(CACHE.parent)}": list(
        JARS.glob("openlineage-spark*.jar")
    ),
    f"the PostgreSQL driver in {JARS.relative_to(CACHE.parent)}": list(JARS.glob("postgresql*.jar")),
}
MISSING = [what for what, found in NEEDS.items() if not found]

pytestmark = [
    pytest.mark.spark,
    pytest.mark.slow,
    pytest.mark.xdist_group("spark"),  # what is set up once for this file is set up in one test process
    pytest.mark.skipif(
        bool(MISSING), reason=f"no {', no '.join(MISSING)}: deploy/test-tools.sh java fetches it"
    ),
]

served_by_module = serving.served_by_module


class Spark:
    """spark-submit of tests/data/spark/shop_job.py with the listener."""

    def __init__(self, shop: Shop, base: str, key: str, folder: Path) -> None:
        venv = environment("spark", DATA / "requirements.txt")
        self.folder = folder
        self.env = clean_environment(
            **shop.environment(), PYSPARK_PYTHON=str(venv / "bin/python"), SPARK_LOCAL_IP="127.0.0.1",
            PATH=f"{venv}/bin:{os.environ['PATH']}",
        )  # fmt: skip
        auth = {"type": "api_key", "apiKey": key}
        self.command = [
            venv / "bin/spark-submit", "--properties-file", DATA / "spark.conf",
            "--driver-class-path", ":".join(str(j) for j in sorted(JARS.glob("*.jar"))),
            "--conf", f"spark.openlineage.transport.url={base}",
            *(x for k, v in auth.items() for x in ("--conf", f"spark.openlineage.transport.auth.{k}={v}")),
            "--conf", f"spark.sql.warehouse.dir=file://{folder}/warehouse",
        ]  # fmt: skip

    def run(self, step: str) -> str:
        return run([*self.command, DATA / "shop_job.py", step, self.folder], env=self.env, cwd=self.folder)


@pytest.fixture(scope="module")
def shop(stack: Settings) -> Iterator[Shop]:
    with serving.shop(stack) as s:
        yield s


@pytest.fixture(scope="module")
def ran(
    served_by_module: Served, shop: Shop, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Served, Path]:
    """Both steps of the job run, nothing else sent, all events folded."""
    s = served_by_module
    folder = tmp_path_factory.mktemp("lake")
    (folder / "charges.csv").write_text("payment_id,order_id,amount\n10,1,4.00\n11,2,6.00\n12,2,-1.00\n")
    spark = Spark(shop, s.base, s.key("spark-test"), folder)
    spark.run("load")
    assert shop.execute("select count(*) from raw.payments") == [(5,)], "Spark wrote the table"
    assert "failed as wanted" in spark.run("fail")
    assert s.fold() > 10
    return s, folder


def rows(s: Served, query: str, *params: Any) -> list[dict[str, Any]]:
    return s.record.all(query, params)


def edges(s: Served) -> set[tuple[str, str]]:
    found = rows(
        s,
        """select distinct a.node_id as a, b.node_id as b, n.name as from_name, m.name as to_name from edge e
           join alias a on a.id = e.source join alias b on b.id = e.target
           join node n on n.id = a.node_id join node m on m.id = b.node_id where e.retired_at is null""",
    )
    return {(r["from_name"], r["to_name"]) for r in found}


def below(s: Served, node: UUID) -> set[str]:
    """Names of everything downstream, by the record's edges."""
    found = rows(
        s,
        """with recursive d(id) as (select %s::uuid union
             select b.node_id from d join alias a on a.node_id = d.id join edge e on e.source = a.id
             join alias b on b.id = e.target where e.retired_at is null)
           select n.name from d join node n on n.id = d.id""",
        node,
    )
    return {r["name"] for r in found}


def test_what_spark_reads_and_writes_is_on_the_map(ran: tuple[Served, Path], shop: Shop) -> None:
    s, folder = ran
    through = {
        (a, c) for a, b in edges(s) for b2, c in edges(s) if b == b2 and a.startswith(("/", shop.database))
    }
    payments = [
        r["name"]
        for r in rows(s, "select name from node where name like '%%payments' and system = 'postgres'")
    ]
    assert len(payments) == 1
    assert through == {
        (f"{folder}/charges.csv", f"{folder}/charges"),
        (f"{folder}/charges", payments[0]),
        (f"{shop.database}.raw.orders", f"{folder}/orders_by_status"),
        (f"{folder}/charges", f"{folder}/checked"),
    }
    apps = {r["name"]: r["id"] for r in rows(s, "select * from node where kind = 'application'")}
    assert set(apps) == {"shop_load", "shop_fail"}
    queries = rows(s, "select * from node where system = 'spark' and kind = 'query'")
    assert queries
    assert {q["parent_id"] for q in queries} <= set(apps.values())


def test_a_failed_query_stays_failed_after_its_complete(ran: tuple[Served, Path]) -> None:
    s, _ = ran
    failed = rows(s, "select * from node where type = 'job' and health = 'failed'")
    assert [f["name"].partition(".")[0] for f in failed] == ["shop_fail"]
    assert failed[0]["kind"] == "query"
    runs = rows(
        s,
        "select r.* from run r join alias a on a.id = r.job_alias where a.node_id = %s",
        failed[0]["id"],
    )
    assert [r["state"] for r in runs] == ["FAIL"]
    assert runs[0]["error"].startswith("Job aborted due to stage failure")
    assert failed[0]["health_reason"] == runs[0]["error"]
    assert "amount is not a number" in runs[0]["error_detail"]
    states = rows(s, "select health from node where name = 'shop_load'")
    assert [r["health"] for r in states] == ["ok"]
    assert rows(s, "select name from node where running and kind <> 'rdd'") == []


def test_no_password_of_the_connection_is_kept(ran: tuple[Served, Path], shop: Shop) -> None:
    s, _ = ran
    for event in rows(s, "select body from event"):
        assert shop.password not in zlib.decompress(event["body"]).decode()
    for table in s.tables():
        assert shop.password not in repr(rows(s, f'select * from "{table}"')), table
    assert shop.password not in s.said()


@pytest.fixture(scope="module")
def bodies(ran: tuple[Served, Path], shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """What Spark sent, and what dbt, with a key of its own, sent after it about the same database."""
    s, _ = ran
    dbt = Dbt(shop, s.base, s.key("dbt-test"), tmp_path_factory.mktemp("dbt"))
    dbt.run("build", "--exclude-resource-type", "test", logs=True)
    assert s.fold() > 0
    senders = {
        r["name"] for r in rows(s, "select p.name from event e join producer p on p.id = e.producer_id")
    }
    assert senders == {"spark-test", "dbt-test"}
    return [zlib.decompress(r["body"]) for r in rows(s, "select body from event order by id")]


@pytest.mark.dbt
def test_sparks_table_and_dbts_source_are_one_node_once_rules_say_so(
    ran: tuple[Served, Path], bodies: list[bytes], shop: Shop
) -> None:
    """An admin's work: two nodes that cannot be known to be one, then the rule of the schema, then that of the host."""
    s, folder = ran
    two = {r["namespace"]: r for r in tables(s)}
    assert set(two) == {f"postgres://localhost.{p}:{shop.port}" for p in ("spark-test", "dbt-test")}, (
        "two loopbacks"
    )
    of_spark = two[f"postgres://localhost.spark-test:{shop.port}"]
    assert of_spark["name"] == f"{shop.database}.payments", "the listener knows no schema"
    (said,) = rows(s, "select unresolved from alias where node_id = %s", of_spark["id"])
    assert "default schema" in said["unresolved"], "what was tried is said"

    with s.record.tx() as conn:
        rule = {"kind": "default_schema", "pattern": "postgres://*", "value": f"{shop.database}.raw"}
        rules.create(conn, SYSTEM, rule)
        for host in ("127.0.0.1", "localhost"):
            rules.create(conn, SYSTEM, {"kind": "host_alias", "pattern": host, "value": "shop-db.example"})
    refold.refold(s.record)
    s.fold()
    (one,) = tables(s)
    assert one["name"] == f"{shop.database}.raw.payments"
    assert one["namespace"] == f"postgres://shop-db.example:{shop.port}"
    marts = {f"{shop.database}.analytics_marts.{t}" for t in ("fct_orders", "dim_customers")}
    assert marts <= below(s, one["id"])
    (files,) = rows(s, "select id from node where name = %s", f"{folder}/charges")
    assert marts <= below(s, files["id"]), "from Spark's files to dbt's marts"


@pytest.mark.dbt
def test_with_one_key_for_both_the_rule_of_the_schema_is_enough(
    ran: tuple[Served, Path], bodies: list[bytes], shop: Shop
) -> None:
    s, _ = ran
    s.empty()
    with s.record.tx() as conn:
        rule = {"kind": "default_schema", "pattern": "postgres://*", "value": f"{shop.database}.raw"}
        rules.create(conn, SYSTEM, rule)
    for body in bodies:
        assert s.post("/api/v1/lineage", body, s.key("one-machine")).status_code == 201
    assert s.fold() == len(bodies)
    (one,) = tables(s)
    assert one["namespace"] == f"postgres://localhost.one-machine:{shop.port}"
    assert f"{shop.database}.analytics_marts.fct_orders" in below(s, one["id"])


def tables(s: Served) -> list[dict[str, Any]]:
    return rows(
        s,
        "select * from node where type = 'dataset' and system = 'postgres' and name ~ '(^|[.])payments$' order by name",
    )
