"""Custom SQL: one read-only statement gives one number, which has limits. Only the number is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from checks import tables
from checks.fields import Field
from checks.kind import Kind
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from connections.link import Link
from errors import Invalid

_DIALECTS = {"postgres": "postgres", "mysql": "mysql", "sqlite": "sqlite"}
#: what changes something or reaches beyond the database although the transaction is read-only. The user's rights are
#: the wall; this is a fence before it
_REFUSED = re.compile(
    r"""^(?:pg_(?:terminate|cancel|reload|rotate|read|ls|stat_file|promote|switch|create|drop|replication|logical|advisory
        |try_advisory|sleep|notify|wal|backup|start|stop|stat_reset|import|export|file_|execute|current_logfile).*
        |lo_.*|dblink.*|set_config|setval|nextval|currval|query_to_xml.*|database_to_xml.*|schema_to_xml.*|table_to_xml.*|cursor_to_xml.*
        |load_file|sleep|benchmark|get_lock|release_lock|release_all_locks|is_used_lock|master_pos_wait|sys_exec|sys_eval
        |load_extension|readfile|writefile|edit|fts3_tokenizer|zeroblob|randomblob)$""",
    re.IGNORECASE | re.VERBOSE,
)
_CHANGES = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Command, exp.Copy, exp.Set,
    exp.Into, exp.Lock, exp.Use, exp.Pragma, exp.TruncateTable, exp.Transaction, exp.Commit, exp.Rollback, exp.Attach,
    exp.Detach, exp.Kill, exp.LoadData, exp.Grant, exp.Analyze,
)  # fmt: skip


def statement(query: str, dialect: str | None) -> str:
    """The query, where it is one statement that only reads; :class:`errors.Invalid` with why not."""
    text = query.strip().rstrip(";").strip()

    def no(why: str, hint: str = "one SELECT that gives one number") -> Invalid:
        return Invalid(why, field="config.query", hint=hint)

    if re.search(r"/\*\s*[!M+]|/\*M!", text):
        raise no("comments that the server executes are refused", "take /*! … */ and hints away")
    try:
        found = [s for s in sqlglot.parse(text, dialect=dialect) if s is not None]
    except (SqlglotError, RecursionError) as e:
        where = re.search(r"Line (\d+), Col: (\d+)", str(e))
        at = f" at line {where[1]}, column {where[2]}" if where else ""
        raise no(f"this is no SQL that can be read{at}") from None
    if len(found) != 1:
        raise no("it is more than one statement" if found else "it is no statement")
    tree = found[0]
    if not isinstance(tree, exp.Query):
        raise no("it does not begin with SELECT or WITH")
    for node in tree.walk():
        if isinstance(node, _CHANGES):
            raise no(f"it does not only read: {node.key.upper()}")
        if isinstance(node, exp.Func):
            name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
            if _REFUSED.match(str(name)):
                raise no(f"{str(name).lower()}() is refused: it does more than read")
    return text


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    try:
        query = statement(spec.config["query"], _DIALECTS.get(link.kind))
    except Invalid as e:
        raise CannotLook(e.message, step="answer", hint=e.hint or "") from None
    with tables.reading(link) as c, c.begin():
        # no bind parameters: a colon or a percent sign in it is its own
        found = c.exec_driver_sql(query.replace("%", "%%") if link.kind != "sqlite" else query)
        rows = found.fetchmany(2)
        return Observation(now, {"number": number(rows, len(found.keys()))})


def number(rows: Any, columns: int) -> float:
    """The one number of a result; :class:`CannotLook` where it is none, and no word of what it is instead."""
    if columns != 1:
        raise _not_one(f"the query gives {columns} columns")
    if len(rows) != 1:
        raise _not_one("the query gives no row" if not rows else "the query gives more than one row")
    value = rows[0][0]
    if value is None:
        raise CannotLook(
            "the query gives NULL", step="answer", hint="write coalesce(…, 0) where that means none"
        )
    if isinstance(value, bool | int | float | Decimal):
        n = float(value)
        if n == n and abs(n) != float("inf"):
            return n
    raise _not_one("what the query gives is no number")


def _not_one(why: str) -> CannotLook:
    return CannotLook(why, step="answer", hint="it must give one number: one row of one column")


_GOOD: Mapping[str, Any] = {
    "lt": lambda n, limit: n < limit,
    "le": lambda n, limit: n <= limit,
    "gt": lambda n, limit: n > limit,
    "ge": lambda n, limit: n >= limit,
    "eq": lambda n, limit: n == limit,
    "ne": lambda n, limit: n != limit,
}
_WORDS = {
    "lt": "below",
    "le": "at most",
    "gt": "above",
    "ge": "at least",
    "eq": "equal to",
    "ne": "other than",
}


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    n = seen.seen["number"]
    op = spec.config["op"]
    error, warn = spec.config.get("error"), spec.config.get("warn")
    unit = f" {spec.config['unit']}" if spec.config.get("unit") else ""
    told = f"{n:,.6g}{unit}"
    if error is not None and not _GOOD[op](n, error):
        return Verdict("fail", f"{told}, good is {_WORDS[op]} {error:,g}", n)
    if warn is not None and not _GOOD[op](n, warn):
        return Verdict("warn", f"{told}, good is {_WORDS[op]} {warn:,g}", n)
    limit = error if error is not None else warn
    return Verdict("ok", f"{told}, {_WORDS[op]} {limit:,g}", n)


def agree(config: Mapping[str, Any], via: str | None) -> None:
    statement(config["query"], _DIALECTS.get(via or ""))
    error, warn = config.get("error"), config.get("warn")
    if error is None and warn is None:
        raise Invalid(
            "a limit is needed", field="config.error", hint="the number beyond which it fails, or warns"
        )
    if error is not None and warn is not None:
        wrong = (
            warn >= error
            if config["op"] in ("lt", "le")
            else warn <= error
            if config["op"] in ("gt", "ge")
            else warn == error
        )
        if wrong:
            raise Invalid(
                "the warning comes before the error",
                field="config.warn",
                hint="a limit nearer to what is good",
            )


KIND = Kind(
    name="sql",
    label="SQL query",
    says="A number that a query gives is beyond its limit",
    fields=(
        Field(
            "query", "Query", "sql", required=True, example="select count(*) from orders where customer_id is null",
            help="One SELECT that gives one number. It runs read-only and ends after 30 s; only the number is kept",
        ),
        Field(
            "op", "Good while the number is", "choice", default="le", limit=True,
            choices=(
                ("le", "at most the limit"), ("lt", "below the limit"), ("ge", "at least the limit"),
                ("gt", "above the limit"), ("eq", "equal to the limit"), ("ne", "other than the limit"),
            ),
        ),
        Field("error", "Limit to fail", "number", limit=True),
        Field("warn", "Limit to warn", "number", limit=True),
        Field("unit", "What it counts", limit=True, example="orders"),
    ),
    observe=observe,
    judge=judge,
    connections=tables.DATABASES,
    systems=tables.SYSTEMS,
    every_seconds=600,
    agree=agree,
)  # fmt: skip
