"""Kinds that look into databases, on real Postgres, MariaDB and SQLite: what is there, what is gone, what may not be seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import mariadb_server
import pytest
import serving

from checks import registry
from checks.fields import checked
from checks.result import About, Past, Spec, Verdict
from connections import guard
from connections.kinds import KINDS
from connections.link import Link
from settings import Settings

HOUR = timedelta(hours=1)
#: a role belongs to the whole server, and two processes may run these tests on one
NOBODY = f"nobody_{uuid4().hex[:12]}"
mariadb = mariadb_server.mariadb


def link(kind: str, fields: dict[str, Any], secret: dict[str, str] | None = None) -> Link:
    return Link(uuid4(), "a connection", kind, KINDS[kind].checked(fields), guard.Guard(), secret or {}, 4.0)


def spec(kind: str, name: str, config: dict[str, Any], system: str = "postgres", **how: Any) -> Spec:
    whole = checked(registry.KINDS[kind].fields, config)
    about = About("dataset", "table", system, ((f"{system}://db", name),))
    return Spec(uuid4(), "a check", kind, uuid4(), whole, about=about, **how)


def now() -> datetime:
    return datetime.now(UTC)


# ---------------------------------------------------------------- Postgres


@pytest.fixture(scope="module")
def shop(stack: Settings) -> Iterator[serving.Shop]:
    with serving.shop(stack) as made:
        made.execute(
            """create table public.seen (id int, at timestamptz, plain timestamp, day date, epoch bigint, word text,
                                         "Mixed Case" timestamptz, at_infinity timestamp);
               create table public."Quoted.Name" (at timestamptz);
               insert into public."Quoted.Name" values (now());
               create table public.nothing (at timestamptz);
               create table public.parts (at timestamptz, n int) partition by range (n);
               create table public.parts_1 partition of public.parts for values from (0) to (100);
               create table public.parts_2 partition of public.parts for values from (100) to (200);
               create view public.seen_v as select * from public.seen;
               create table raw.seen (at timestamptz);
               """
            + f"create role {NOBODY} login password 'nobody 1';"
            + f'grant connect on database "{made.database}" to {NOBODY}'
        )
        yield made
        made.execute(f"drop owned by {NOBODY}; drop role {NOBODY}")


def postgres(shop: serving.Shop, **change: Any) -> Link:
    fields = {
        "host": "127.0.0.1",
        "port": shop.port,
        "database": shop.database,
        "username": shop.user,
        "tls": "off",
    }
    secret = change.pop("secret", shop.password)
    return link("postgres", fields | change, {"password": secret})


def ask(shop: serving.Shop, kind: str, table: str, past: Past | None = None, **config: Any) -> Verdict:
    s = spec(kind, f"{shop.database}.{table}", config)
    return registry.look(s, postgres(shop), past or Past(), now())


def put(shop: serving.Shop, query: str) -> None:
    shop.execute("truncate public.seen; " + query)


@pytest.mark.parametrize(
    "column", ["at", "plain", "day", "epoch", "word", "Mixed Case", "mixed case", "at_infinity"]
)
def test_freshness_of_any_sort_of_column(shop: serving.Shop, column: str) -> None:
    put(
        shop,
        """insert into public.seen select n, t, t at time zone 'Europe/Berlin', (t at time zone 'Europe/Berlin')::date,
                  extract(epoch from t), to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), t,
                  t at time zone 'Europe/Berlin'
             from (select n, now() - n * interval '1 day' - interval '2 hours' as t from generate_series(0, 3) n) x""",
    )
    shop.execute("insert into public.seen (at_infinity) values ('infinity'), ('-infinity')")
    how = {"column": column, "zone": "Europe/Berlin", "error_after": "26 h", "warn_after": "25 h"}
    good = ask(shop, "freshness", "public.seen", **how)
    assert good.status == "ok", good.reason
    shop.execute("delete from public.seen where id = 0")
    late = ask(shop, "freshness", "public.seen", **how | {"error_after": "1 h", "warn_after": "30 min"})
    # a day's last row is as old as the day's end, so that of yesterday is not yet old in the first hour of a day
    assert late.status in (("ok", "warn", "fail") if column == "day" else ("fail",)), late.reason
    if column != "day":
        assert late.value is not None
        assert (late.health, abs(late.value - 26 * 3600) < 60) == ("late", True)


def test_an_empty_table_and_an_empty_column_have_verdicts_of_their_own(shop: serving.Shop) -> None:
    got = ask(shop, "freshness", "public.nothing", column="at")
    assert (got.status, got.reason) == ("fail", "the table has no rows")
    put(shop, "insert into public.seen (id) values (1)")
    got = ask(shop, "freshness", "public.seen", column="at")
    assert (got.status, got.reason) == ("fail", "at is empty in every row")


@pytest.mark.parametrize("column", ["at", "plain", "epoch", "word", "day"])
def test_rows_of_the_future_keep_nothing_fresh(shop: serving.Shop, column: str) -> None:
    put(
        shop,
        """insert into public.seen select 1, t, t at time zone 'UTC', (t at time zone 'UTC')::date, extract(epoch from t),
                  to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
             from unnest(array[now() - interval '3 days', now() + interval '400 days']) t""",
    )
    got = ask(shop, "freshness", "public.seen", column=column, error_after="1 d")
    assert (got.status, got.health) == ("fail", "late")
    assert "in the future" in got.reason
    shop.execute("delete from public.seen where at < now()")
    got = ask(shop, "freshness", "public.seen", column=column, error_after="1 d")
    assert got.status == "fail"
    assert "only times in the future" in got.reason
    shop.execute("truncate public.seen; insert into public.seen (at) values (now() + interval '1 minute')")
    assert ask(shop, "freshness", "public.seen", column="at").status == "ok", (
        "a clock a minute ahead is nothing"
    )


def test_statistics_notice_writes_to_a_table_and_to_its_partitions(shop: serving.Shop) -> None:
    for table, write in (
        ("public.seen", "insert into public.seen (id) values (1)"),
        ("public.parts", "insert into public.parts values (now(), 150)"),
    ):
        s = spec("freshness", f"{shop.database}.{table}", {"by": "statistics", "error_after": 3600})
        first = registry.look(s, postgres(shop), Past(), now())
        assert (first.status, "watching" in first.reason) == ("ok", True)
        shop.execute(f"{write}; select pg_stat_force_next_flush()")
        later = registry.look(s, postgres(shop), Past(memory=first.memory or {}), now() + 2 * HOUR)
        assert (later.status, later.value) == ("ok", 0), (table, later.reason)
        quiet = registry.look(s, postgres(shop), Past(memory=later.memory or {}), now() + 4 * HOUR)
        assert (quiet.status, quiet.health) == ("fail", "late")
    view = ask(shop, "freshness", "public.seen_v", by="statistics")
    assert (view.status, view.detail and view.detail["step"]) == ("not_checked", "answer")


def test_rows_by_statistics_and_counted(shop: serving.Shop) -> None:
    put(
        shop,
        "insert into public.seen (id, at) select n, now() - n * interval '1 minute' from generate_series(1, 5000) n",
    )
    shop.execute(
        "analyze public.seen; truncate public.parts; insert into public.parts select now(), n from generate_series(0, 199) n; analyze public.parts"
    )
    assert ask(shop, "volume", "public.seen").value == pytest.approx(5000, rel=0.02)
    shop.execute("insert into public.seen (id) select n from generate_series(1, 5000) n")
    assert ask(shop, "volume", "public.seen").value == pytest.approx(10_000, rel=0.15), "no ANALYZE since"
    tables = ("public.seen", "public.seen_v", "public.parts", "raw.orders")
    counted = [ask(shop, "volume", t, how="count").value for t in tables]
    assert counted == [10_000, 10_000, 200, 2]
    assert ask(shop, "volume", "public.parts").value == pytest.approx(200, rel=0.05)
    assert ask(shop, "volume", "public.seen_v").status == "not_checked", "a view has no statistics"
    hour = ask(shop, "volume", "public.seen", how="window", column="at", window="1 h")
    assert hour.value == pytest.approx(59, abs=1)


def test_an_empty_table_is_told_and_never_by_statistics_alone(shop: serving.Shop) -> None:
    got = ask(shop, "volume", "public.nothing")
    assert (got.status, got.value) == ("fail", 0)
    got = ask(shop, "volume", "public.nothing", how="window", column="at")
    assert (got.status, got.value) == ("fail", 0)
    # statistics that say none of a table that has rows
    shop.execute("create table public.stale as select 1 as a; analyze public.stale")
    shop.execute("update pg_class set reltuples = 0 where oid = 'public.stale'::regclass")
    assert ask(shop, "volume", "public.stale").status == "not_checked"


def test_schema_of_every_type_is_told_in_one_way(shop: serving.Shop) -> None:
    shop.execute(
        """create type public.mood as enum ('a', 'b'); create domain public.positive as int check (value > 0);
           create table public.typed (a bigint, b varchar(20), c numeric(10,2), d timestamptz, e timestamp(3), f text[],
             g jsonb, h uuid, i double precision, j public.mood, k int4range, l bytea, m interval, n tsvector,
             o public.positive, p money, q xml, r int generated always as identity, s pg_lsn, t point)"""
    )
    first = ask(shop, "schema", "public.typed")
    assert (first.status, first.reason[:10]) == ("ok", "20 columns")
    assert first.memory is not None
    assert first.memory["base"] == {
        "a": "bigint", "b": "varchar(20)", "c": "numeric(10, 2)", "d": "timestamp with time zone",
        "e": "timestamp(3) without time zone", "f": "text[]", "g": "jsonb", "h": "uuid", "i": "double precision",
        "j": "mood", "k": "int4range", "l": "bytea", "m": "interval", "n": "tsvector", "o": "positive", "p": "money",
        "q": "xml", "r": "integer", "s": "pg_lsn", "t": "point",
    }  # fmt: skip
    memory = Past(memory=first.memory)
    assert ask(shop, "schema", "public.typed", memory).status == "ok"
    shop.execute("alter table public.typed add column u text, alter column b type varchar(40), drop column t")
    drift = ask(shop, "schema", "public.typed", memory)
    assert (drift.status, drift.reason) == (
        "fail", "removed: t; other type: b (varchar(20), now varchar(40)); added: u text",
    )  # fmt: skip
    shop.execute("drop table public.typed")
    assert ask(shop, "schema", "public.typed", memory).status == "fail"


def test_a_number_that_a_query_gives(shop: serving.Shop) -> None:
    def asked(query: str, **limits: Any) -> Verdict:
        return ask(shop, "sql", "raw.orders", query=query, **{"op": "le", "error": 1} | limits)

    assert asked("select count(*) from raw.orders", error=2).status == "ok"
    got = asked("select count(*) from raw.orders where status like '%ped' and 1 = 1", error=0)
    assert (got.status, got.value) == ("fail", 1)
    assert asked("select sum(amount) from raw.payments", op="ge", error=100).value == 30
    for query in (
        "select full_name from raw.customers limit 1", "select count(*), 1 from raw.orders", "select order_id from raw.orders",
        "select order_id from raw.orders where false", "select max(order_id) from raw.orders where false",
        "select full_name::int from raw.customers", "select count(*) from raw.nowhere", "select nothing from raw.orders",
        "select 1 / 0",
    ):  # fmt: skip
        got = asked(query)
        assert (got.status, got.detail and got.detail["step"]) == ("not_checked", "answer"), (query, got)
        assert "Ada" not in f"{got}", query
    # what the fence does not know, the transaction and the server refuse
    shop.execute(
        "create function public.writes() returns int language sql as 'delete from raw.orders returning 1'"
    )
    assert asked("select public.writes()").status == "not_checked"
    assert asked("select count(*) from raw.orders").value == 2


def test_which_table_is_meant(shop: serving.Shop) -> None:
    quoted = ask(shop, "freshness", 'public."Quoted.Name"', column="at")
    assert quoted.status == "ok", quoted.reason
    upper = registry.look(
        spec("volume", "X", {"how": "count", "table": "RAW.Orders"}), postgres(shop), Past(), now()
    )
    assert upper.value == 2
    visible = registry.look(
        spec("volume", "X", {"how": "count", "table": "parts"}), postgres(shop), Past(), now()
    )
    assert visible.value is not None
    elsewhere = registry.look(
        spec("volume", "otherdb.public.seen", {"how": "count"}), postgres(shop), Past(), now()
    )
    assert (elsewhere.status, "otherdb" in elsewhere.reason) == ("not_checked", True)
    nowhere = ask(shop, "volume", "public.never_there")
    assert (nowhere.status, nowhere.detail and nowhere.detail["step"]) == ("not_checked", "answer")
    was = Past(values=((now() - HOUR, 5.0),))
    assert ask(shop, "volume", "public.never_there", was).status == "fail", "it was there before"
    hostile = registry.look(
        spec("volume", "x", {"how": "count", "table": 'public."seen""; drop table raw.orders; --"'}),
        postgres(shop),
        Past(),
        now(),
    )
    assert hostile.status == "not_checked"
    assert ask(shop, "sql", "raw.orders", query="select count(*) from raw.orders", error=2).status == "ok"


def test_who_may_not_read_is_told_what_to_grant(shop: serving.Shop) -> None:
    there = postgres(shop, username=NOBODY, secret="nobody 1")
    s = spec("volume", f"{shop.database}.raw.orders", {"how": "count"})
    got = registry.look(s, there, Past(), now())
    assert (got.status, got.detail and got.detail["step"]) == ("not_checked", "permission")
    assert got.detail and "grant" in got.detail["hint"].lower()
    # the catalog is open to all who may connect
    schema = registry.look(spec("schema", f"{shop.database}.raw.orders", {}), there, Past(), now())
    assert schema.status == "ok"


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"secret": "wrong one"}, "sign-in"),
        ({"port": 1}, "route"),
        ({"host": "no-such-host.invalid"}, "name"),
        ({"host": "169.254.169.254"}, "route"),
        ({"tls": "verified"}, "tls"),
        ({"database": "nowhere"}, "permission"),
    ],
)
def test_what_cannot_be_reached_is_unknown(shop: serving.Shop, change: dict[str, Any], step: str) -> None:
    s = spec("freshness", "raw.orders", {"column": "placed_on"})
    got = registry.look(s, postgres(shop, **change), Past(), now())
    assert (got.status, got.detail and got.detail["step"]) == ("not_checked", step), got
    assert "wrong one" not in f"{got}"


def test_a_query_ends_after_its_time(shop: serving.Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from connections import sql

    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 1)
    slow = "select count(*) from generate_series(1, 100000000000) n"
    got = ask(shop, "sql", "raw.orders", query=slow, error=1)
    assert (got.status, got.detail and got.detail["step"]) == ("not_checked", "answer")
    assert "ended after 1 s" in got.reason


# ---------------------------------------------------------------- SQLite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as c:
        c.executescript(
            """create table Orders (id integer primary key, at text, made real, day date, any_, price decimal(10,2));
               create view recent as select * from Orders;"""
        )
        for n in range(5):
            at = now() - n * HOUR
            c.execute(
                "insert into Orders values (?, ?, ?, ?, 1, 2.5)",
                (n, at.strftime("%Y-%m-%d %H:%M:%S"), at.timestamp(), at.date().isoformat()),
            )
    return path


def sqlite(file: Path, kind: str, table: str = "orders", past: Past | None = None, **config: Any) -> Verdict:
    s = spec(kind, table, config, "sqlite")
    return registry.look(s, link("sqlite", {"path": str(file)}), past or Past(), now())


def test_sqlite_in_all_kinds(file: Path) -> None:
    for column in ("at", "made", "day"):
        assert sqlite(file, "freshness", column=column, error_after="1 h").status == "ok", column
    with sqlite3.connect(file) as c:
        c.execute("delete from Orders where id < 3")
    late = sqlite(file, "freshness", column="at", error_after="1 h")
    assert (late.status, late.health) == ("fail", "late")
    assert sqlite(file, "volume", how="count").value == 2
    assert sqlite(file, "volume", "recent", how="count").value == 2
    assert sqlite(file, "volume", how="window", column="at", window="3 h 30 min").value == 1
    assert sqlite(file, "volume").status == "not_checked", "no statistics"
    assert sqlite(file, "freshness", by="statistics").status == "not_checked"
    schema = sqlite(file, "schema")
    assert schema.memory is not None
    assert schema.memory["base"] == {
        "id": "integer", "at": "text", "made": "real", "day": "date", "any_": "no type", "price": "decimal(10, 2)",
    }  # fmt: skip
    with sqlite3.connect(file) as c:
        c.execute("alter table Orders rename column any_ to some")
    assert (
        sqlite(file, "schema", past=Past(memory=schema.memory)).reason == "removed: any_; added: some no type"
    )
    assert (
        sqlite(file, "sql", query="select count(*) from Orders where price > 2", op="ge", error=2).status
        == "ok"
    )
    assert sqlite(file, "sql", query="select count(*) from nowhere", error=2).status == "not_checked"
    assert sqlite(file, "volume", "nowhere", how="count").status == "not_checked"


def test_sqlite_is_never_written_and_never_made(file: Path) -> None:
    before = file.read_bytes()
    assert sqlite(file, "sql", query="select count(*) from Orders", error=9).status == "ok"
    assert file.read_bytes() == before
    gone = sqlite(file.with_name("none.db"), "volume", how="count")
    assert (gone.status, gone.detail and gone.detail["step"]) == ("not_checked", "name")
    assert not file.with_name("none.db").exists()


def test_a_query_on_sqlite_ends_after_its_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from connections import sql

    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 1)
    slow = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    got = sqlite(file, "sql", query=slow, error=1)
    assert (got.status, "ended after 1 s" in got.reason) == ("not_checked", True), got


# ---------------------------------------------------------------- MariaDB


def maria(
    server: mariadb_server.MariaDB, kind: str, table: str, past: Past | None = None, **config: Any
) -> Verdict:
    s = spec(kind, f"shop.{table}", config, "mysql")
    return registry.look(
        s, link("mysql", server.fields(), {"password": server.password}), past or Past(), now()
    )


def test_mariadb_freshness_of_any_sort_of_column(mariadb: mariadb_server.MariaDB) -> None:
    mariadb.execute(
        """drop table if exists shop.seen;
           create table shop.seen (id int, stamped timestamp null, plain datetime, day date, epoch bigint, word varchar(40));
           set time_zone = '+05:00';
           insert into shop.seen values
             (1, now() - interval 2 hour, utc_timestamp() - interval 2 hour, utc_date(), unix_timestamp() - 7200,
              date_format(utc_timestamp() - interval 2 hour, '%Y-%m-%d %H:%i:%s')),
             (2, now() + interval 400 day, utc_timestamp() + interval 400 day, utc_date() + interval 400 day,
              unix_timestamp() + 34560000, date_format(utc_timestamp() + interval 400 day, '%Y-%m-%d %H:%i:%s'))"""
    )
    for column in ("stamped", "plain", "epoch", "word", "day"):
        got = maria(mariadb, "freshness", "seen", column=column, error_after="1 d")
        assert (got.status, "in the future" in got.reason) == ("ok", True), (column, got.reason)
        if column != "day":
            late = maria(mariadb, "freshness", "seen", column=column, error_after="90 min")
            assert (late.status, late.health) == ("fail", "late"), (column, late.reason)
            assert late.value == pytest.approx(7200, abs=60), column
    # a datetime keeps no zone: the form says which
    berlin = maria(mariadb, "freshness", "seen", column="plain", zone="Asia/Kolkata", error_after="1 d")
    assert berlin.value == pytest.approx(7200 + 5.5 * 3600, abs=60)
    stamped = maria(mariadb, "freshness", "seen", column="stamped", zone="Asia/Kolkata", error_after="1 d")
    assert stamped.value == pytest.approx(7200, abs=60), "a timestamp keeps its moment"
    mariadb.execute("truncate shop.seen")
    assert maria(mariadb, "freshness", "seen", column="plain").reason == "the table has no rows"


def test_mariadb_statistics(mariadb: mariadb_server.MariaDB) -> None:
    blocks = [",".join(f"({n})" for n in range(k, k + 500)) for k in range(0, 3000, 500)]
    mariadb.execute(
        "drop table if exists shop.counted; create table shop.counted (id int primary key);"
        + ";".join(f"insert into shop.counted values {b}" for b in blocks)
        + "; analyze table shop.counted"
    )
    assert maria(mariadb, "volume", "counted", how="statistics").value == pytest.approx(3000, rel=0.2)
    assert maria(mariadb, "volume", "counted", how="count").value == 3000
    fresh = maria(mariadb, "freshness", "counted", by="statistics", error_after="1 h")
    assert (fresh.status, fresh.value is not None and fresh.value < 120) == ("ok", True), fresh.reason
    assert fresh.memory is not None
    late = registry.look(
        spec("freshness", "shop.counted", {"by": "statistics", "error_after": 3600}, "mysql"),
        link("mysql", mariadb.fields(), {"password": mariadb.password}), Past(memory=fresh.memory), now() + 2 * HOUR,
    )  # fmt: skip
    assert (late.status, late.health) == ("fail", "late")


def test_mariadb_schema_and_sql(mariadb: mariadb_server.MariaDB) -> None:
    mariadb.execute(
        """drop table if exists shop.Typed;
           create table shop.Typed (a bigint unsigned, b varchar(20) collate utf8mb4_bin, c decimal(10,2), d datetime(3),
             e timestamp null, f enum('x','y'), g json, h tinyint(1), i int(5), j double, k longtext, l bit(3), m year)"""
    )
    first = maria(mariadb, "schema", "Typed")
    assert first.status == "ok", first.reason
    assert first.memory is not None
    base = first.memory["base"]
    assert {n: base[n] for n in "abcdfij"} == {
        "a": "bigint unsigned", "b": "varchar(20)", "c": "decimal(10, 2)", "d": "datetime(3)", "f": "enum('x','y')",
        "i": "integer", "j": "double",
    }  # fmt: skip
    assert set(base) == set("abcdefghijklm") and all(base.values())
    assert maria(mariadb, "schema", "Typed", Past(memory=first.memory)).reason == "13 columns, none changed"
    mariadb.execute("alter table shop.Typed modify i bigint, drop m, add n int")
    got = maria(mariadb, "schema", "Typed", Past(memory=first.memory))
    assert (got.status, got.reason) == (
        "fail",
        "removed: m; other type: i (integer, now bigint); added: n integer",
    )

    asked = {"op": "le", "error": 1}
    assert (
        maria(
            mariadb, "sql", "orders", query="select count(*) from orders where status like '%ped'", **asked
        ).value
        == 1
    )
    for query in (
        "select status from orders limit 1", "select count(*) from nowhere", "select nothing from orders",
        "select cast(full_name as int) + 'x' from customers", "select count(*) from orders for update",
        "select * from orders into outfile '/tmp/x'", "select 1; select 2",
    ):  # fmt: skip
        got = maria(mariadb, "sql", "orders", query=query, **asked)
        assert got.status == "not_checked", (query, got)
        assert "Ada" not in f"{got}"


def test_mariadb_out_of_reach_is_unknown(mariadb: mariadb_server.MariaDB) -> None:
    s = spec("volume", "shop.orders", {"how": "count"}, "mysql")
    for change, secret, step in (
        ({"port": 1}, mariadb.password, "route"),
        ({}, "wrong one", "sign-in"),
        ({"ca": None}, mariadb.password, "tls"),
    ):
        got = registry.look(s, link("mysql", mariadb.fields(**change), {"password": secret}), Past(), now())
        assert (got.status, got.detail and got.detail["step"]) == ("not_checked", step), got
        assert "wrong one" not in f"{got}"
    assert maria(mariadb, "volume", "nowhere", how="count").status == "not_checked"
    assert maria(mariadb, "volume", "ORDERS", how="count").value == 2


def test_a_query_on_mariadb_ends_after_its_time(
    mariadb: mariadb_server.MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connections import sql

    monkeypatch.setattr(sql, "STATEMENT_SECONDS", 1)
    many = "select count(*) from " + ", ".join(f"information_schema.columns c{n}" for n in range(5))
    got = maria(mariadb, "sql", "orders", query=many, error=1)
    assert (got.status, "ended after 1 s" in got.reason) == ("not_checked", True), got
