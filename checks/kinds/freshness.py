"""Freshness: how old the newest data is, by a timestamp column, the catalog's statistics, or what events said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from checks import moments, tables
from checks.fields import Field, in_words
from checks.kind import Kind
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from connections.link import Link
from errors import Invalid

#: how far ahead of our clock a time still counts as now
SKEW = timedelta(minutes=5)


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    by = spec.config["by"]
    if by in ("run", "event") and spec.about.quiet_since is not None:
        raise CannotLook(  # old news of a producer that sends none says nothing of the data
            f"who sends its events is quiet since {_at(spec.about.quiet_since)}", step="answer", hint="see API keys: producers"
        )  # fmt: skip
    if by == "run":
        if spec.about.made_at is None:
            raise CannotLook(
                "no good run of it is known", step="answer", hint="look at a column, or at its statistics"
            )
        return Observation(now, {"newest": spec.about.made_at})
    if by == "event":
        if spec.about.event_at is None:
            raise CannotLook(
                "no event names it", step="answer", hint="look at a column, or at its statistics"
            )
        return Observation(now, {"newest": spec.about.event_at})
    assert link is not None
    with tables.reading(link) as c:
        moments.utc(c)
        table = tables.find(c, link, spec)
        if table is None:
            return Observation(now, {"missing": True})
        seen = _by_column(c, table, spec, now) if by == "column" else _by_statistics(c, link, table)
        return Observation(now, {"table": str(table)} | seen)


def _by_column(c: sa.Connection, table: tables.Table, spec: Spec, now: datetime) -> dict[str, Any]:
    times = moments.column(c, table, spec.config["column"], spec.config["zone"])
    newest = times.newest(c)
    if newest is None:
        some = c.execute(sa.select(sa.literal(1)).select_from(times.source).limit(1)).first()
        return {"newest": None, "rows": some is not None, "column": times.name}
    at = times.moment(newest, now)
    if at <= now + SKEW:
        return {"newest": at}
    # rows dated in the future keep nothing fresh: the newest that is not one of them counts
    before = times.newest(c, times.like(newest, now + SKEW))
    past = None if before is None else times.moment(before, now)
    return {"newest": past, "future": at, "column": times.name, "rows": True}


# ---------------------------------------------------------------- statistics

#: rows ever written to a table and its partitions, as Postgres's statistics count them
_WRITTEN = """
with recursive part as (
    select cast(:id as oid) as id union all
    select i.inhrelid from pg_catalog.pg_inherits i join part on i.inhparent = part.id)
select sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint from part join pg_catalog.pg_stat_all_tables s on s.relid = part.id"""


def _by_statistics(c: sa.Connection, link: Link, table: tables.Table) -> dict[str, Any]:
    if link.kind == "postgres":
        written = c.execute(sa.text(_WRITTEN), {"id": table.id}).scalar_one()
        if written is None:
            raise CannotLook(
                f"the catalog keeps no statistics of {table}",
                step="answer",
                hint="look at a timestamp column instead",
            )
        return {"written": written}
    if link.kind == "mysql":
        if "MariaDB" not in str(c.exec_driver_sql("select version()").scalar_one()):
            c.exec_driver_sql("set session information_schema_stats_expiry = 0")
        at = c.execute(
            sa.text(
                """select unix_timestamp(update_time) from information_schema.tables
                    where table_schema = :schema and table_name = :name"""
            ),
            {"schema": table.schema, "name": table.name},
        ).scalar_one()
        return {"updated": None if at is None else datetime.fromtimestamp(float(at), UTC)}
    raise CannotLook(
        "SQLite keeps no statistics of when a table was written",
        step="answer",
        hint="look at a timestamp column instead",
    )


# ---------------------------------------------------------------- judging


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    s, now = seen.seen, seen.at
    if s.get("missing"):
        return Verdict("fail", tables.gone(spec, bool(past.memory)))
    if "written" in s or "updated" in s:
        return _by_changes(spec, s, now, past)
    future = f"; some rows are dated in the future, up to {_at(s['future'])}" if s.get("future") else ""
    if s["newest"] is None:
        if s.get("future"):
            return Verdict(
                "fail",
                f"{s['column']} holds only times in the future, up to {_at(s['future'])}",
                memory=_seen(),
            )
        what = f"{s['column']} is empty in every row" if s["rows"] else "the table has no rows"
        return Verdict("fail", what, memory=_seen())
    return _aged(
        spec, s["newest"], now, f"newest {_NAMES[spec.config['by']]} {_at(s['newest'])}{future}", _seen()
    )


def _by_changes(spec: Spec, s: Mapping[str, Any], now: datetime, past: Past) -> Verdict:
    """Statistics that only grow say when a table was written between two looks, and nothing of before the first."""
    was = past.memory
    at = datetime.fromisoformat(was["at"]) if was.get("at") else None
    if "updated" in s:
        if s["updated"] is None and at is None:
            raise CannotLook(
                "the server knows no time of its last change since it was started", step="answer",
                hint="it is known once the table is written again; or look at a timestamp column",
            )  # fmt: skip
        at = max(x for x in (s["updated"], at) if x is not None)
        at = min(at, now)
        return _aged(spec, at, now, f"last written {_at(at)}", {"at": at.isoformat()})
    if at is None or "written" not in was:
        began = {"written": s["written"], "at": now.isoformat(), "waiting": True}
        return Verdict("ok", "watching for changes from now on", 0.0, memory=began)
    # fewer than before: the statistics were reset, which itself says nothing
    moved = s["written"] > was["written"]
    at = now if moved else min(at, now)
    waiting = bool(was.get("waiting")) and not moved
    said = f"no change since DLV began to watch, {_at(at)}" if waiting else f"last change seen {_at(at)}"
    return _aged(spec, at, now, said, {"written": s["written"], "at": at.isoformat(), "waiting": waiting})


def _aged(spec: Spec, at: datetime, now: datetime, said: str, memory: Mapping[str, Any]) -> Verdict:
    age = max(0.0, (now - at).total_seconds())
    old = f"{in_words(age)} old, limit {{}}: {said}"
    error, warn = spec.config["error_after"], spec.config.get("warn_after")
    if age > error:
        return Verdict("fail", old.format(in_words(error)), age, "late", memory=memory)
    if warn and age > warn:
        return Verdict("warn", old.format(in_words(warn)), age, memory=memory)
    return Verdict("ok", f"{in_words(age)} old: {said}", age, memory=memory)


def _seen() -> dict[str, Any]:
    return {"there": True}


def _at(moment_: datetime) -> str:
    return f"{moment_:%Y-%m-%d %H:%M} UTC"


_NAMES = {"column": "row", "run": "good run ended", "event": "event"}


def agree(config: Mapping[str, Any], via: str | None) -> None:
    warn = config.get("warn_after")
    if warn and warn >= config["error_after"]:
        raise Invalid("the warning comes before the error", field="config.warn_after", hint="a shorter time")
    if config["by"] == "statistics" and via == "sqlite":
        raise Invalid(
            "SQLite keeps no statistics of when a table was written",
            field="config.by",
            hint="look at a timestamp column",
        )
    moments.known_zone(config.get("zone", "UTC"))


KIND = Kind(
    name="freshness",
    label="Freshness",
    says="The data is older than it may be",
    fields=(
        Field(
            "by", "Age is told by", "choice", default="column",
            choices=(
                ("column", "a timestamp column"), ("statistics", "the catalog's statistics"),
                ("run", "the last good run, as events say"), ("event", "the last event that names it"),
            ),
            help="Statistics cost nothing, and know what happened since DLV watches",
        ),
        replace(tables.TABLE, only=("by", ("column", "statistics"))),
        Field(
            "column", "Column", required=True, only=("by", ("column",)), example="updated_at",
            help="A timestamp, datetime or date, or seconds since 1970. An index makes it cheap",
        ),
        Field(
            "zone", "Time zone of the column", default="UTC", only=("by", ("column",)), example="Europe/Berlin",
            help="For columns that keep no zone",
        ),
        Field(
            "error_after", "Late after", "duration", required=True, default=86400, low=60, high=366 * 86400, limit=True,
            example="6 h",
        ),
        Field("warn_after", "Warn after", "duration", low=30, high=366 * 86400, limit=True, example="4 h"),
    ),
    observe=observe,
    judge=judge,
    connections=tables.DATABASES,
    systems=tables.SYSTEMS,
    every_seconds=600,
    unit="s",
    agree=agree,
    through=("by", ("column", "statistics")),
)  # fmt: skip
