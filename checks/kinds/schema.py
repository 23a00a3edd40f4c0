"""Schema drift: columns and types against what a person last accepted, or what the first look saw."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from checks import tables
from checks.fields import Field
from checks.kind import Kind
from checks.result import Observation, Past, Spec, Verdict
from connections.link import Link

#: names of columns told in a reason
_TOLD = 6


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    with tables.reading(link) as c:
        table = tables.find(c, link, spec)
        if table is None:
            return Observation(now, {"missing": True})
        return Observation(now, {"table": str(table), "columns": columns(c, table)})


def columns(c: sa.Connection, table: tables.Table) -> dict[str, str]:
    """Type of each column by its name, in the table's order, each type written in one way."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", sa.exc.SAWarning
        )  # a type that SQLAlchemy does not know is told as it is
        found = sa.inspect(c).get_columns(table.name, schema=table.schema)
    out = {x["name"]: written(x["type"], c) for x in found}
    unknown = [name for name, type_ in out.items() if type_ == ""]
    return out | (_raw(c, table, unknown) if unknown else {})


def written(type_: Any, c: sa.Connection) -> str:
    """'varchar(20)', 'numeric(10, 2)', 'timestamp with time zone'; empty where SQLAlchemy does not know the type.
    Collations and the display width of integers are no part of it: servers of other versions tell them otherwise."""
    if isinstance(type_, sa.types.NullType):
        return ""
    if getattr(type_, "collation", None):
        type_ = type_.copy() if hasattr(type_, "copy") else type_
        type_.collation = None
    if getattr(type_, "charset", None):
        type_.charset = None
    if getattr(type_, "display_width", None) and not isinstance(type_, sa.types.Boolean):
        type_.display_width = None
    try:
        return " ".join(type_.compile(dialect=c.dialect).lower().split())
    except sa.exc.CompileError:
        return ""


def _raw(c: sa.Connection, table: tables.Table, names: list[str]) -> dict[str, str]:
    """What the database itself calls the types of these columns."""
    if c.dialect.name == "postgresql":
        rows = c.execute(
            sa.text(
                """select attname, pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
                    where attrelid = cast(:id as oid) and attnum > 0 and not attisdropped"""
            ),
            {"id": table.id},
        ).all()
        said = {r[0]: str(r[1]) for r in rows}
    elif c.dialect.name == "sqlite":
        quoted = tables.quoted(c, table.name)
        said = {r[1]: str(r[2]).lower() for r in c.exec_driver_sql(f"pragma table_info({quoted})").all()}
    else:
        rows = c.execute(
            sa.text(
                """select column_name, column_type from information_schema.columns
                    where table_schema = :schema and table_name = :name"""
            ),
            {"schema": table.schema, "name": table.name},
        ).all()
        said = {r[0]: str(r[1]) for r in rows}
    return {n: said.get(n) or "no type" for n in names}


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    accepted = spec.accepted or {}
    now_accepted = accepted.get("at")
    base: Mapping[str, str] | None = past.memory.get("base")
    if now_accepted and past.memory.get("accepted_at") != now_accepted:
        base = accepted["memory"].get("columns")
    if seen.seen.get("missing"):
        return Verdict("fail", tables.gone(spec, bool(base)))
    now: dict[str, str] = seen.seen["columns"]
    ignored = {x.strip().lower() for x in str(spec.config.get("ignore") or "").split(",") if x.strip()}
    if base is None:
        return Verdict(
            "ok",
            f"{_many(len(now))}; this is what later looks compare with",
            memory=_memory(now, now, now_accepted),
        )
    added = [n for n in now if n not in base and n.lower() not in ignored]
    removed = [n for n in base if n not in now and n.lower() not in ignored]
    retyped = [n for n in base if n in now and now[n] != base[n] and n.lower() not in ignored]
    if spec.config["added"] == "accept" and added:
        base, added = {**base, **{n: now[n] for n in added}}, []
    memory = _memory(now, base, now_accepted)
    if not (added or removed or retyped):
        return Verdict("ok", f"{_many(len(now))}, none changed", memory=memory)
    said = []
    if removed:
        said.append(f"removed: {_names(removed)}")
    if retyped:
        said.append("other type: " + _names([f"{n} ({base[n]}, now {now[n]})" for n in retyped]))
    if added:
        said.append("added: " + _names([f"{n} {now[n]}" for n in added]))
    detail = {
        "added": {n: now[n] for n in added[:200]},
        "removed": {n: base[n] for n in removed[:200]},
        "retyped": {n: [base[n], now[n]] for n in retyped[:200]},
    }
    bad = "fail" if removed or retyped or spec.config["added"] == "fail" else "warn"
    return Verdict(bad, "; ".join(said), detail=detail, memory=memory)


def _memory(now: Mapping[str, str], base: Mapping[str, str], accepted_at: str | None) -> dict[str, Any]:
    return {"columns": dict(now), "base": dict(base), "accepted_at": accepted_at}


def _names(names: list[str]) -> str:
    more = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _many(n: int) -> str:
    return f"{n} column" + ("" if n == 1 else "s")


KIND = Kind(
    name="schema",
    label="Schema drift",
    says="Columns were added, removed or changed their type since somebody last accepted them",
    fields=(
        tables.TABLE,
        Field(
            "added", "A new column", "choice", default="warn", limit=True,
            choices=(("warn", "warns until it is accepted"), ("fail", "fails until it is accepted"), ("accept", "is accepted at once")),
            help="A column that is removed or gets another type always fails",
        ),
        Field("ignore", "Columns that do not matter", limit=True, example="_loaded_at, _batch", help="Separated by commas"),
    ),
    observe=observe,
    judge=judge,
    connections=tables.DATABASES,
    systems=tables.SYSTEMS,
    types=("dataset",),
    every_seconds=3600,
    accepts=True,
)  # fmt: skip
