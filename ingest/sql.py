"""What SQL says of tables and columns, by sqlglot. Producers miss inputs and invent them; their SQL does not.

The SQL arrives redacted: literals are ``?``. Pure; results are cached by text. A query that cannot be read says so
and never raises.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

logging.getLogger("sqlglot").setLevel(logging.ERROR)

#: A longer text is not parsed: it is generated, and parsing costs about 1 ms a KB.
LONGEST = 200_000

Table = (
    str  # 'database.schema.table', as many parts as written, without quotes, case folded as the system does
)


@dataclass(frozen=True)
class SqlSaid:
    """Tables that a text of one or more statements really reads and writes."""

    inputs: frozenset[Table] = frozenset()
    outputs: frozenset[Table] = frozenset()
    ctes: frozenset[str] = frozenset()
    temporary: frozenset[Table] = frozenset()  # made and gone within the session; in neither of the above
    parsed: bool = False


@dataclass(frozen=True)
class ColumnSaid:
    """``kind``: IDENTITY (passed on as it is), TRANSFORMATION or AGGREGATION."""

    target_column: str
    source_table: Table
    source_column: str
    kind: str


_DIALECTS = {
    "postgres": "postgres", "redshift": "redshift", "cockroachdb": "postgres", "mysql": "mysql", "mssql": "tsql",
    "oracle": "oracle", "snowflake": "snowflake", "bigquery": "bigquery", "trino": "trino", "athena": "athena",
    "databricks": "databricks", "spark": "spark", "hive": "hive", "glue": "hive", "clickhouse": "clickhouse",
    "teradata": "teradata", "sqlite": "sqlite", "duckdb": "duckdb", "unitycatalog": "databricks",
    "postgresql": "postgres", "sqlserver": "tsql", "tsql": "tsql", "presto": "presto", "mariadb": "mysql",
}  # fmt: skip


def dialect_of(system: str | None) -> str | None:
    """sqlglot's dialect for a system as DLV names it, or a dialect as producers name it; None: unknown."""
    return _DIALECTS.get((system or "").lower().strip())


def read(query: str, dialect: str | None = None) -> SqlSaid:
    """What a text of SQL reads and writes. Never raises; ``parsed`` is False where it could not be read."""
    return _read(query, dialect_of(dialect) or None)


@lru_cache(maxsize=4096)
def _read(query: str, dialect: str | None) -> SqlSaid:
    statements = _parse(query, dialect)
    if statements is None:
        return SqlSaid()
    inputs: set[Table] = set()
    outputs: set[Table] = set()
    ctes: set[str] = set()
    temporary: set[Table] = set()
    for statement in statements:
        names = {c.alias_or_name.lower() for c in statement.find_all(exp.CTE)}
        ctes |= names
        written = list(_written(statement))
        if _makes_temporary(statement):
            temporary |= {_table(t, dialect) for t in written}
        outputs |= {_table(t, dialect) for t in written}
        inputs |= {_table(t, dialect) for t in _tables_read(statement, written)}
    outputs = {t for t in outputs if t and t not in temporary}
    inputs = {t for t in inputs if t and t not in temporary}
    return SqlSaid(frozenset(inputs), frozenset(outputs), frozenset(ctes), frozenset(temporary), True)


def _parse(query: str, dialect: str | None) -> list[exp.Expression] | None:
    if not query.strip() or len(query) > LONGEST:
        return None
    for text in (query, re.sub(r"\b(?:date|timestamp|time|timestamptz)\s*\?", "?", query, flags=re.I)):
        for one in (dialect, None) if dialect else (None,):
            try:
                found = [s for s in sqlglot.parse(text, dialect=one) if s is not None]
            except (
                SqlglotError,
                RecursionError,
                ValueError,
                KeyError,
                AttributeError,
                TypeError,
                IndexError,
            ):
                continue
            if found and not all(isinstance(s, exp.Command) for s in found):
                return found
    return None


def _table(table: exp.Table, dialect: str | None) -> Table:
    parts = []
    for part in table.parts:
        if not isinstance(part, exp.Identifier):
            return ""
        parts.append(_folded(part, dialect))
    return ".".join(p for p in parts if p)


def _folded(identifier: exp.Identifier, dialect: str | None) -> str:
    name: str = identifier.name
    if identifier.quoted:
        return name
    if dialect in ("snowflake", "oracle", "teradata"):
        return name.upper()
    if dialect in ("mysql", "bigquery", "clickhouse"):
        return name
    return name.lower()


def _target(expression: exp.Expression | None) -> exp.Table | None:
    if isinstance(expression, exp.Schema):
        expression = expression.this
    return expression if isinstance(expression, exp.Table) else None


def _written(statement: exp.Expression) -> Iterator[exp.Table]:
    for node in statement.find_all(
        exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Copy, exp.TruncateTable, exp.Into
    ):
        if isinstance(node, exp.Create) and node.kind not in ("TABLE", "VIEW", "MATERIALIZED VIEW"):
            continue
        if isinstance(node, exp.Copy) and not node.args.get("kind"):
            continue  # COPY … TO reads
        if isinstance(node, exp.TruncateTable):
            yield from (t for t in node.expressions if isinstance(t, exp.Table))
            continue
        target = _target(node.this)
        if target is not None:
            yield target


def _makes_temporary(statement: exp.Expression) -> bool:
    return isinstance(statement, exp.Create) and statement.find(exp.TemporaryProperty) is not None


def _tables_read(statement: exp.Expression, written: list[exp.Table]) -> Iterator[exp.Table]:
    ids = {id(t) for t in written}
    for table in statement.find_all(exp.Table):
        if id(table) in ids or not isinstance(table.this, exp.Identifier):
            continue
        if not table.db and _is_cte(table):
            continue
        yield table


def _is_cte(table: exp.Table) -> bool:
    """Whether the bare name is a CTE in scope here."""
    name = table.name.lower()
    inside: exp.Expression | None = table
    node = table.parent
    while node is not None:
        with_ = node.args.get("with_") or node.args.get("with")
        if isinstance(with_, exp.With):
            for cte in with_.expressions:
                if cte is inside and not with_.recursive:
                    break  # a CTE sees those before it, and itself only if recursive
                if cte.alias_or_name.lower() == name:
                    return True
        if not isinstance(node, exp.With):
            inside = node
        node = node.parent
    return False


def columns(
    query: str, dialect: str | None, schemas: Mapping[Table, tuple[str, ...]] | None = None
) -> list[ColumnSaid]:
    """Column lineage of one statement. Costs 6 to 8 ms a column: for the background."""
    return []
