"""What SQL says of tables and columns, by sqlglot. Producers miss inputs and invent them; their SQL does not.

The SQL arrives redacted: literals are ``?``. Pure; results are cached by text. A query that cannot be read says so
and never raises.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.lineage import Node, lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope
from sqlglot.schema import MappingSchema

logging.getLogger("sqlglot").setLevel(logging.ERROR)

#: A longer text is not parsed: it is generated, and parsing costs about 1 ms a KB.
LONGEST = 200_000
#: Column lineage: more than these is given up, whole, so that the answer does not depend on the machine's speed.
LONGEST_FOR_COLUMNS = 60_000
MOST_COLUMNS = 300

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
    target_table: Table = ""  # '' for a query that writes nothing itself, as dbt's compiled SQL


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


#: What a parser written for correct SQL may raise on what people and generators write.
_CANNOT = (
    SqlglotError,
    RecursionError,
    ValueError,
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    AssertionError,
)


def read(query: str, dialect: str | None = None) -> SqlSaid:
    """What a text of SQL reads and writes. Never raises; ``parsed`` is False where it could not be read."""
    return _read(query, dialect_of(dialect) or None)


@lru_cache(maxsize=4096)
def _read(query: str, dialect: str | None) -> SqlSaid:
    statements = _parse(query, dialect)
    if not statements:
        return SqlSaid()
    try:
        return _said(statements, dialect)
    except _CANNOT:
        return SqlSaid()


def _said(statements: list[exp.Expression], dialect: str | None) -> SqlSaid:
    inputs: set[Table] = set()
    outputs: set[Table] = set()
    created: set[Table] = set()
    temporary: set[Table] = set()
    ctes: set[str] = set()
    for statement in statements:
        ctes |= {c.alias_or_name.lower() for c in statement.find_all(exp.CTE)}
        targets = list(_written(statement))
        written = [_table(t, dialect) for t in targets]
        temporary.update(_table(t, dialect) for t in targets if _is_temporary(t))
        outputs.update(written)
        inputs.update(_table(t, dialect) for t in _tables_read(statement))
        if isinstance(statement, exp.Create):
            created.update(written)
            if statement.find(exp.TemporaryProperty) is not None:
                temporary.update(written)
        elif isinstance(statement, exp.Drop):
            # made and dropped in one text: a scratch table
            temporary |= {_table(t, dialect) for t in statement.find_all(exp.Table)} & created
        elif isinstance(statement, exp.Alter):
            _follow_rename(statement, dialect, outputs, created)
    own = temporary | {""}
    return SqlSaid(
        frozenset(t for t in inputs - own if not _is_catalog(t)),
        frozenset(t for t in outputs - own if not t.split(".")[-1].startswith("#")),
        frozenset(ctes),
        frozenset(temporary),
        True,
    )


def _is_temporary(table: exp.Table) -> bool:
    """By its name (SQL Server's #x) or by where it stands (select into temporary x)."""
    named = isinstance(table.this, exp.Identifier) and bool(table.this.args.get("temporary"))
    return named or (isinstance(table.parent, exp.Into) and bool(table.parent.args.get("temporary")))


def _follow_rename(
    statement: exp.Expression, dialect: str | None, outputs: set[Table], created: set[Table]
) -> None:
    """Build under another name, then rename: what was built is the table of the new name."""
    renamed = statement.find(exp.AlterRename)
    old = _target(statement.this)
    new = renamed.this if renamed is not None else None
    if old is None or not isinstance(new, exp.Table):
        return
    before, after = _table(old, dialect), _table(new, dialect)
    if before not in outputs:
        return
    if "." not in after and "." in before:
        after = f"{before.rpartition('.')[0]}.{after}"
    outputs.discard(before)
    outputs.add(after)
    if before in created:
        created.add(after)


def _is_catalog(table: Table) -> bool:
    """Tables about tables: no data flows through them."""
    return any(
        p.lower() in ("information_schema", "pg_catalog", "performance_schema") for p in table.split(".")[:-1]
    )


_TYPED = re.compile(r"\b(?:date|timestamp|time|timestamptz|datetime)\s*\?", re.I)
_FORMATTED = re.compile(r"%\(\w+\)s|%s")


def _parse(query: str, dialect: str | None) -> list[exp.Expression]:
    """The statements that can be read; none where none can."""
    if not query.strip() or len(query) > LONGEST:
        return []
    mended = _FORMATTED.sub("?", _TYPED.sub("?", query)).rstrip()
    mended = mended.removesuffix("...")
    texts = [query] if mended == query else [query, mended]
    for text in texts:
        for one in (dialect, None) if dialect else (None,):
            try:
                found = [s for s in sqlglot.parse(text, dialect=one) if s is not None]
            except _CANNOT:
                continue
            if found and not all(isinstance(s, exp.Command) for s in found):
                return found
    pieces = mended.split(";")
    if not 1 < len(pieces) <= 200:
        return []
    return [
        s for piece in pieces for s in _parse(piece, dialect)
    ]  # one bad statement does not hide the others


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


def _target(expression: object) -> exp.Table | None:
    if isinstance(expression, exp.Schema):
        expression = expression.this
    return expression if isinstance(expression, exp.Table) else None


_MADE = ("TABLE", "VIEW", "MATERIALIZED VIEW")


def _written(statement: exp.Expression) -> Iterator[exp.Table]:
    for node in statement.find_all(
        exp.Insert,
        exp.Update,
        exp.Delete,
        exp.Merge,
        exp.Create,
        exp.Copy,
        exp.TruncateTable,
        exp.Into,
        exp.LoadData,
    ):
        if isinstance(node, exp.TruncateTable):
            yield from (t for t in node.expressions if isinstance(t, exp.Table))
            continue
        if isinstance(node, exp.Create) and str(node.args.get("kind")).upper() not in _MADE:
            continue
        if isinstance(node, exp.Copy) and not node.args.get("kind"):
            continue  # COPY … TO reads
        target = _target(node.this)
        if target is not None:
            yield target


def _tables_read(statement: exp.Expression) -> Iterator[exp.Table]:
    for table in statement.find_all(exp.Table):
        if not isinstance(table.this, exp.Identifier) or not _is_source(table):
            continue
        if not table.db and _is_cte(table):
            continue
        yield table


def _is_source(table: exp.Table) -> bool:
    parent = table.parent
    if isinstance(parent, exp.Merge | exp.Delete):
        return table.arg_key == "using"
    if isinstance(parent, exp.Copy):
        return table.arg_key == "this" and not parent.args.get("kind")
    return isinstance(parent, exp.From | exp.Join | exp.Clone | exp.Subquery | exp.Paren | exp.Lateral)


def _is_cte(table: exp.Table) -> bool:
    """Whether the bare name is a CTE in scope here."""
    name = table.name.lower()
    inside: exp.Expression | None = table
    node = table.parent
    while node is not None:
        with_ = node.args.get("with_")
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


# ---------------------------------------------------------------- columns


def columns(
    query: str, dialect: str | None, schemas: Mapping[Table, Sequence[str]] | None = None
) -> list[ColumnSaid]:
    """Which columns each written column is made of. ``schemas``: columns of the tables, named as the query names
    them or more fully; without them ``select *`` cannot be followed. Costs 6 to 8 ms a column: for the background.

    Never raises; what cannot be followed is left out. Too long a text or too many columns give nothing at all.
    """
    if len(query) > LONGEST_FOR_COLUMNS:
        return []
    name = dialect_of(dialect)
    found: set[ColumnSaid] = set()
    for statement in _parse(query, name):
        try:
            found.update(_columns_of(statement, name, schemas or {}))
        except _CANNOT:
            continue
    return sorted(
        found, key=lambda c: (c.target_table, c.target_column, c.source_table, c.source_column, c.kind)
    )


def _columns_of(
    statement: exp.Expression, dialect: str | None, schemas: Mapping[Table, Sequence[str]]
) -> Iterator[ColumnSaid]:
    select, target, wanted = _select_of(statement, dialect, schemas)
    if select is None:
        return
    schema = _schema_for(select, dialect, schemas)
    qualified = qualify(
        select.copy(), dialect=dialect, schema=schema, validate_qualify_columns=False, identify=False
    )
    scope = build_scope(qualified)
    names = [s.alias_or_name for s in qualified.selects]
    if scope is None or len(names) > MOST_COLUMNS:
        return
    roots = lineage(None, qualified, schema, dialect=dialect, scope=scope, trim_selects=False, copy=False)
    for i, name in enumerate(names):
        root = roots.get(name)
        if root is None or not name or name == "*":
            continue
        out = wanted[i] if i < len(wanted) else name
        for leaf, kind in _leaves(root, "IDENTITY"):
            source = _target(leaf.expression)
            column = leaf.name.rpartition(".")[2].strip('"`')
            table = _table(source, dialect) if source is not None else ""
            if table and column and column != "*":
                yield ColumnSaid(out, table, column, kind, target)


def _select_of(
    statement: exp.Expression, dialect: str | None, schemas: Mapping[Table, Sequence[str]]
) -> tuple[exp.Expression | None, Table, Sequence[str]]:
    """(the query, the table it fills, that table's columns in the query's order where they are known)."""
    if isinstance(statement, exp.Query):
        into = statement.find(exp.Into)
        target = _target(into.this) if into is not None else None
        return statement, _table(target, dialect) if target is not None else "", ()
    if not isinstance(statement, exp.Insert | exp.Create) or not isinstance(statement.expression, exp.Query):
        return None, "", ()
    table = _target(statement.this)
    if table is None:
        return None, "", ()
    named: Sequence[str] = ()
    if isinstance(statement.this, exp.Schema):
        named = [c.name for c in statement.this.expressions]
    elif isinstance(statement, exp.Insert):
        named = _columns_known(_table(table, dialect), schemas)
    select = statement.expression.copy()
    outer = statement.args.get("with_")
    if isinstance(outer, exp.With) and select.args.get("with_") is None:
        select.set("with_", outer.copy())
    return select, _table(table, dialect), named


def _columns_known(table: Table, schemas: Mapping[Table, Sequence[str]]) -> Sequence[str]:
    if table in schemas:
        return schemas[table]
    fits = [c for name, c in sorted(schemas.items()) if f".{name}".lower().endswith(f".{table}".lower())]
    return fits[0] if len(fits) == 1 else ()


def _schema_for(
    select: exp.Expression, dialect: str | None, schemas: Mapping[Table, Sequence[str]]
) -> MappingSchema:
    schema = MappingSchema(dialect=dialect)
    for table in _tables_read(select):
        known = _columns_known(_table(table, dialect), schemas)
        if known:
            bare = exp.Table(
                **{k: v.copy() for k, v in table.args.items() if k in ("this", "db", "catalog") and v}
            )
            schema.add_table(bare, dict.fromkeys(known, "unknown"), dialect=dialect, match_depth=False)
    return schema


def _leaves(node: Node, kind: str) -> Iterator[tuple[Node, str]]:
    here = _worse(kind, node.expression)
    if not node.downstream:
        yield node, kind
        return
    for child in node.downstream:
        yield from _leaves(child, here)


def _worse(kind: str, expression: exp.Expression) -> str:
    if isinstance(expression, exp.Table) or kind == "AGGREGATION":
        return kind
    if isinstance(expression, exp.Query):
        return kind
    inner = expression.unalias()
    if inner.find(exp.AggFunc) is not None:
        return "AGGREGATION"
    return kind if isinstance(inner, exp.Column) else "TRANSFORMATION"
