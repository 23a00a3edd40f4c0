"""Columns that a job's SQL tells: through its CTEs, under the names of the tables it really reads."""

from __future__ import annotations

from said import dataset, event, say

from ingest import derive
from store.record import Record

PG = "postgres://db:5432"
QUERY = (
    "insert into mart.totals (id, total) with p as (select order_id, sum(cents) as total from raw.payments group by 1) "
    "select o.id, p.total from raw.orders o join p on p.order_id = o.id"
)


def schema(*names: str) -> dict[str, object]:
    return {"fields": [{"name": n, "type": "int"} for n in names]}


def tell(record: Record, query: str, minute: float = 0, **lineage: object) -> None:
    out = dataset(PG, "shop.mart.totals", schema=schema("ID", "total"), **lineage)  # type: ignore[arg-type]
    reads = [dataset(PG, "shop.raw.orders", schema=schema("id")), dataset(PG, "shop.raw.payments")]
    say(record, event("load", reads, [out], minute=minute, job_facets={"sql": {"query": query}}))


def edges(record: Record) -> set[tuple[str, str, str, str, str, float]]:
    return {
        (r["source"], r["source_column"], r["target_column"], r["provenance"], r["transformation"], round(r["confidence"], 2))
        for r in record.all(
            """select s.name as source, c.source_column, c.target_column, c.provenance, c.transformation, c.confidence
                 from column_edge c join alias s on s.id = c.source_alias"""
        )
    }  # fmt: skip


def test_columns_are_found_through_a_cte_and_once_a_text(record: Record) -> None:
    tell(record, QUERY)
    assert derive.some(record, 30) == 1
    assert edges(record) == {
        ("shop.raw.orders", "id", "ID", "sql", "DIRECT/IDENTITY", 0.9),
        ("shop.raw.payments", "cents", "total", "sql", "DIRECT/AGGREGATION", 0.9),
    }
    tell(record, QUERY, minute=5)
    assert derive.some(record, 30) == 0, "the same text is not read again"


def test_another_text_takes_the_place_of_what_the_one_before_told(record: Record) -> None:
    tell(record, QUERY)
    derive.some(record, 30)
    tell(record, "insert into mart.totals (id) select id from raw.orders", minute=5)
    assert derive.some(record, 30) == 1
    assert edges(record) == {("shop.raw.orders", "id", "ID", "sql", "DIRECT/IDENTITY", 0.9)}


def test_what_the_producer_says_too_is_sure(record: Record) -> None:
    said = {"fields": {"ID": {"inputFields": [{"namespace": PG, "name": "shop.raw.orders", "field": "id"}]}}}
    tell(record, QUERY, columnLineage=said)
    derive.some(record, 30)
    by = {(e[0], e[3]): e[5] for e in edges(record)}
    assert by[("shop.raw.orders", "sql")] == 1.0
    assert by[("shop.raw.payments", "sql")] == 0.9


def test_a_text_that_cannot_be_read_is_not_tried_for_ever(record: Record) -> None:
    tell(record, "this is no sql (((")
    assert derive.some(record, 30) == 1
    assert derive.some(record, 30) == 0
    assert edges(record) == set()


def test_a_name_that_could_be_two_tables_tells_nothing(record: Record) -> None:
    reads = [dataset(PG, "shop.a.orders"), dataset(PG, "shop.b.orders")]
    query = "insert into totals select id from orders"
    say(record, event("load", reads, [dataset(PG, "shop.mart.totals")], job_facets={"sql": {"query": query}}))
    assert derive.some(record, 30) == 1
    assert edges(record) == set()
