"""What SQL reads, writes and makes its columns of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.redact import redact_sql
from ingest.sql import ColumnSaid, columns, dialect_of, read

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
needs_corpus = pytest.mark.skipif(
    not (CORPUS / "openlineage").is_dir(), reason="../shared/corpus is not on this machine"
)

READS_WRITES = [
    ("select a from s", {"s"}, set()),
    ("select * from s1 join s2 using (x) where x in (select y from s3)", {"s1", "s2", "s3"}, set()),
    ("select a from s1 union all select a from s2 except select a from s3", {"s1", "s2", "s3"}, set()),
    ("with c as (select * from s) select * from c", {"s"}, set()),
    ("with a as (select * from b), b as (select * from a) select * from b", {"b"}, set()),
    ("select * from b where x in (with b as (select 1 as y) select y from b)", {"b"}, set()),
    (
        "with recursive r as (select 1 union all select x from r join base on true) select * from r",
        {"base"},
        set(),
    ),
    ("insert into t (a) with p as (select * from s1) select * from p join s2 on true", {"s1", "s2"}, {"t"}),
    (
        "with x as (insert into t1 select * from s1 returning *) insert into t2 select * from x",
        {"s1"},
        {"t1", "t2"},
    ),
    ("insert into t values (1, 2)", set(), {"t"}),
    ("update t set a = s.a from s where s.id = t.id", {"s"}, {"t"}),
    ("delete from t using s where s.id = t.id", {"s"}, {"t"}),
    (
        "merge into t using (select * from s) q on t.a = q.a when matched then update set b = q.b",
        {"s"},
        {"t"},
    ),
    ("merge into t using s on t.a = s.a when not matched then insert values (s.a)", {"s"}, {"t"}),
    ("create table t as select * from s", {"s"}, {"t"}),
    ("create table if not exists db.sch.t (a int)", set(), {"db.sch.t"}),
    ("create view v as select * from s", {"s"}, {"v"}),
    ("create materialized view v as select * from s", {"s"}, {"v"}),
    ("select * into t from s", {"s"}, {"t"}),
    ("truncate table t", set(), {"t"}),
    ("copy t from '/x.csv'", set(), {"t"}),
    ("copy t to '/x.csv'", {"t"}, set()),
    ("copy (select * from s) to '/x.csv'", {"s"}, set()),
    ("drop table if exists t; create table t as select * from s", {"s"}, {"t"}),
    ("create table x as select * from s; insert into t select * from x; drop table x", {"s"}, {"t"}),
    ("create temporary table x as select * from s; insert into t select * from x", {"s"}, {"t"}),
    ("create table a.t__new as select * from s; alter table a.t__new rename to t", {"s"}, {"a.t"}),
    ("select * from information_schema.tables", set(), set()),
    ("comment on table t is 'x'; grant select on t to y; analyze t; create index i on t (a)", set(), set()),
    ("nonsense here ((; select * from s", {"s"}, set()),
    ("select * from s where d > date '2026-01-01' and t < timestamp '2026-01-01 00:00:00'", {"s"}, set()),
    ("select a from s where b = %s and c = %(name)s", {"s"}, set()),
    ('select * from "Shop"."raw"."Orders", PLAIN.Mixed', {"Shop.raw.Orders", "plain.mixed"}, set()),
]


@pytest.mark.parametrize("redacted", [False, True])
@pytest.mark.parametrize(("query", "inputs", "outputs"), READS_WRITES)
def test_reads_and_writes(query: str, inputs: set[str], outputs: set[str], redacted: bool) -> None:
    said = read(redact_sql(query, "postgres") if redacted else query, "postgres")
    assert said.parsed
    assert (set(said.inputs), set(said.outputs)) == (inputs, outputs)


def test_dialects() -> None:
    assert read("select * from `p-1`.ds.T", "bigquery").inputs == {"p-1.ds.T"}
    assert read("select * from a.b", "snowflake").inputs == {"A.B"}
    assert read("insert overwrite table t partition (dt='x') select * from s", "spark").outputs == {"t"}
    assert read("select * from [dbo].[Orders]", "mssql").inputs == {"dbo.Orders"}
    assert read("select * into temporary x from s; insert into t select * from x", "postgres").outputs == {
        "t"
    }
    assert read("select * into #x from s; insert into t select * from #x", "mssql").outputs == {"t"}
    assert dialect_of("mssql") == "tsql"
    assert dialect_of("airflow") is None
    assert dialect_of(None) is None


def test_names_of_ctes_are_told() -> None:
    assert read("with Agg as (select 1), b as (select 2) select * from agg, b").ctes == {"agg", "b"}


@pytest.mark.parametrize("query", ["", "   ", "not sql at all (", "%%%", "select " + "(" * 500])
def test_what_cannot_be_read_says_so(query: str) -> None:
    said = read(query)
    assert (said.parsed, said.inputs, said.outputs) == (False, frozenset(), frozenset())


@needs_corpus
def test_corpus_finds_the_input_that_the_producer_missed() -> None:
    facets: dict[str, Any] = {}
    for line in (CORPUS / "openlineage" / "airflow.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["job"]["name"] == "shop_etl.load_totals":
            facets = event["job"]["facets"]
    said = read(redact_sql(facets["sql"]["query"], "postgres"), "postgres")
    assert said.inputs == {"raw.orders", "raw.payments", "raw.customers"}
    assert said.outputs == {"raw.order_totals"}
    assert said.ctes == {"p"}


def said(query: str, dialect: str | None = "postgres", schemas: Any = None) -> set[tuple[str, str, str, str]]:
    return {
        (c.target_column, c.source_table, c.source_column, c.kind) for c in columns(query, dialect, schemas)
    }


def test_columns_of_an_insert_follow_its_own_names() -> None:
    query = (
        "insert into raw.totals (id, total, name) with p as (select order_id, sum(cents) / ? as total from raw.payments group by 1) "
        "select o.id, p.total, c.first || ? || c.last from raw.orders o join p on p.order_id = o.id join raw.customers c on true"
    )
    assert columns(query, "postgres") == [
        ColumnSaid("id", "raw.orders", "id", "IDENTITY", "raw.totals"),
        ColumnSaid("name", "raw.customers", "first", "TRANSFORMATION", "raw.totals"),
        ColumnSaid("name", "raw.customers", "last", "TRANSFORMATION", "raw.totals"),
        ColumnSaid("total", "raw.payments", "cents", "AGGREGATION", "raw.totals"),
    ]


def test_columns_through_star_need_the_schema() -> None:
    query = "create table t as select *, x + 1 as z from (select * from s.a) q"
    assert said(query) == set()
    assert said(query, schemas={"db.s.a": ("x", "y")}) == {
        ("x", "s.a", "x", "IDENTITY"), ("y", "s.a", "y", "IDENTITY"), ("z", "s.a", "x", "TRANSFORMATION"),
    }  # fmt: skip


def test_columns_without_names_are_placed_by_the_tables_schema() -> None:
    assert said("insert into t select a, b from s", schemas={"x.t": ("one", "two")}) == {
        ("one", "s", "a", "IDENTITY"), ("two", "s", "b", "IDENTITY"),
    }  # fmt: skip


def test_columns_of_unions_name_every_source() -> None:
    assert said("select id as k from a union all select nr from b") == {
        ("k", "a", "id", "IDENTITY"), ("k", "b", "nr", "IDENTITY"),
    }  # fmt: skip


def test_columns_of_what_cannot_be_followed_are_left_out() -> None:
    assert columns("delete from t", "postgres") == []
    assert columns("broken (", "postgres") == []
    assert columns("select a from t -- " + "x" * 70_000, "postgres") == []


_WORDS = st.sampled_from(
    ["select", "insert into", "with", "as", "from", "join", "t", "s.a", "(", ")", ",", "*", "?", "a", "where", "=", ";", "create table",
     "drop table", "alter table", "rename to", "merge into", "using", "on", "union all", "copy", "update", "set", "'x'", "delete from", '"']
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(_WORDS, max_size=14).map(" ".join),
    st.sampled_from([None, "postgres", "mssql", "bigquery", "spark", "made up"]),
)
def test_anything_is_read_without_a_crash(query: str, dialect: str | None) -> None:
    found = read(query, dialect)
    assert "" not in found.inputs | found.outputs
    columns(query, dialect, {"s.a": ("a",)})
