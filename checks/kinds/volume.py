"""Volume: how many rows there are, against what is usual for this table at this hour of the week."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from checks import moments, tables
from checks.baseline import LEAST, usual
from checks.fields import Field, in_words
from checks.kind import Kind
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from connections.link import Link
from errors import Invalid

_PARTS = """
with recursive part as (
    select cast(:id as oid) as id union all
    select i.inhrelid from pg_catalog.pg_inherits i join part on i.inhparent = part.id)"""
#: as the planner does it: rows a page when it was last analyzed, times the pages of today
_POSTGRES = f"""{_PARTS}
select sum(case when pages = 0 then 0
                when c.reltuples >= 0 and c.relpages > 0 then c.reltuples / c.relpages * pages
                when s.n_live_tup > 0 then s.n_live_tup end) as n,
       count(*) as parts,
       count(*) filter (where pages > 0 and not (c.reltuples >= 0 and c.relpages > 0) and coalesce(s.n_live_tup, 0) = 0) as unknown
  from part join pg_catalog.pg_class c on c.oid = part.id and c.relkind in ('r', 'm')
  left join pg_catalog.pg_stat_all_tables s on s.relid = c.oid,
       lateral (select pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::int as pages) size"""


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    with tables.reading(link) as c:
        moments.utc(c)
        table = tables.find(c, link, spec)
        if table is None:
            return Observation(now, {"missing": True})
        return Observation(now, {"table": str(table), "rows": _rows(c, link, table, spec, now)})


def _rows(c: sa.Connection, link: Link, table: tables.Table, spec: Spec, now: datetime) -> float:
    source = sa.text(table.sql(c))
    how = spec.config["how"]
    if how == "window":
        times = moments.column(c, table, spec.config["column"], spec.config["zone"])
        newest = times.newest(c)
        if newest is None:
            return 0.0
        since = times.like(newest, now - timedelta(seconds=spec.config["window"]))
        column: sa.ColumnClause[Any] = sa.column(times.name)
        counted = (
            sa.select(sa.func.count())
            .select_from(source)
            .where(column > since, column <= times.like(newest, now))
        )
        return float(c.execute(counted).scalar_one())
    if how == "count":
        return float(c.execute(sa.select(sa.func.count()).select_from(source)).scalar_one())
    n = _estimate(c, link, table)
    if n < 1:
        # statistics are wrong at times, and that a table is empty is too much to say by them alone
        if c.execute(sa.select(sa.literal(1)).select_from(source).limit(1)).first():
            raise CannotLook(
                f"the catalog's statistics of {table} are not up to date: they say 0 rows", step="answer",
                hint="ANALYZE the table, or let the check count its rows",
            )  # fmt: skip
        return 0.0
    return round(n)


def _estimate(c: sa.Connection, link: Link, table: tables.Table) -> float:
    n: float | None = None
    if link.kind == "postgres":
        row = c.execute(sa.text(_POSTGRES), {"id": table.id}).one()
        n = float(row.n or 0) if row.parts and not row.unknown else None
    elif link.kind == "mysql":
        if "MariaDB" not in str(c.exec_driver_sql("select version()").scalar_one()):
            c.exec_driver_sql("set session information_schema_stats_expiry = 0")
        n = c.execute(
            sa.text(
                "select table_rows from information_schema.tables where table_schema = :schema and table_name = :name"
            ),
            {"schema": table.schema, "name": table.name},
        ).scalar_one()
    if n is None:
        raise CannotLook(
            f"the catalog has no statistics of {table}", step="answer",
            hint="ANALYZE the table, or let the check count its rows (a view's can only be counted)",
        )  # fmt: skip
    return float(n)


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    config = spec.config
    if seen.seen.get("missing"):
        return Verdict("fail", tables.gone(spec, bool(past.values)))
    n = float(seen.seen["rows"])
    what = f"{n:,.0f} rows" + (
        f" in the last {in_words(config['window'])}" if config["how"] == "window" else ""
    )
    if n == 0 and not config["empty_ok"]:
        return Verdict("fail", f"{what}: there is nothing", n)
    if config.get("least") is not None and n < config["least"]:
        return Verdict("fail", f"{what}, fewer than {config['least']:,.0f}", n)
    if config.get("most") is not None and n > config["most"]:
        return Verdict("fail", f"{what}, more than {config['most']:,.0f}", n)
    since = datetime.fromisoformat(spec.accepted["at"]) if spec.accepted else None
    values = [v for at, v in past.values if since is None or at > since]
    weekly = [v for at, v in past.weekly if since is None or at > since]
    base = usual(values, weekly)
    if base is None:
        return Verdict("ok", f"{what}; learning what is usual, {len(values)} of {LEAST}", n)
    low, high = base.band(config["warn_spreads"])
    local = seen.at.astimezone(ZoneInfo(config["zone"]))
    when = f" on a {local:%A} at {local:%H} h" if base.weekly else ""
    told = f"usually {max(0.0, low):,.0f} to {high:,.0f}{when} ({base.n} {'weeks' if base.weekly else 'results'})"
    detail = {"usual": base.middle, "low": max(0.0, low), "high": high, "weekly": base.weekly, "n": base.n}
    off = base.off(n)
    if config["direction"] == "drop":
        off = min(off, 0.0)
    elif config["direction"] == "rise":
        off = max(off, 0.0)
    if abs(off) <= config["warn_spreads"]:
        return Verdict("ok", f"{what}, {told}", n, detail=detail)
    bad = "fail" if abs(off) > config["error_spreads"] else "warn"
    return Verdict(bad, f"{what}, {'more' if off > 0 else 'fewer'} than usual: {told}", n, detail=detail)


def agree(config: Mapping[str, Any], via: str | None) -> None:
    if config["warn_spreads"] >= config["error_spreads"]:
        raise Invalid(
            "the warning comes before the error", field="config.warn_spreads", hint="a smaller number"
        )
    if (
        config.get("least") is not None
        and config.get("most") is not None
        and config["least"] > config["most"]
    ):
        raise Invalid("never fewer than is above never more than", field="config.least")
    moments.known_zone(config["zone"])
    if config["how"] == "statistics" and via == "sqlite":
        raise Invalid("SQLite keeps no statistics of rows", field="config.how", hint="count them")


KIND = Kind(
    name="volume",
    label="Volume",
    says="There are fewer or more rows than is usual",
    fields=(
        Field(
            "how", "Rows are", "choice", default="statistics",
            choices=(
                ("statistics", "all, by the catalog's statistics"), ("count", "all, counted"),
                ("window", "those of the last hours, counted"),
            ),
            help="Counting reads the whole table; statistics are estimates and cost nothing",
        ),
        tables.TABLE,
        Field("column", "Column", required=True, only=("how", ("window",)), example="created_at", help="When a row came"),
        Field("window", "Of the last", "duration", default=86400, low=60, high=31 * 86400, only=("how", ("window",))),
        Field(
            "direction", "Tell of", "choice", default="both", limit=True,
            choices=(("both", "fewer and more"), ("drop", "fewer"), ("rise", "more")),
        ),
        Field(
            "warn_spreads", "Warn beyond", "number", default=4, low=1, high=100, limit=True,
            help="Times the usual spread (1.48 MAD) away from the median",
        ),
        Field("error_spreads", "Fail beyond", "number", default=8, low=1, high=1000, limit=True),
        Field("least", "Never fewer than", "number", low=0, limit=True, help="Holds while it learns, too"),
        Field("most", "Never more than", "number", low=0, limit=True),
        Field("empty_ok", "No rows at all is good", "switch", default=False, limit=True),
        Field(
            "zone", "Time zone", default="UTC", example="Europe/Berlin",
            help="Whose weekdays and hours have their habits, and of a column that keeps no zone",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=tables.DATABASES,
    systems=tables.SYSTEMS,
    types=("dataset",),
    every_seconds=3600,
    learns=336,
    unit="rows",
    accepts=True,
    agree=agree,
)  # fmt: skip
