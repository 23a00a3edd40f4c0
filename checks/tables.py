"""Looking at a table through a database connection: which table a node means, and errors as what they say of reaching it.

Statements here are ours; names that come from a node or a form are quoted by SQLAlchemy's dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from checks.fields import Field
from checks.result import CannotLook, Spec
from connections import ladder, sql
from connections.guard import Refused
from connections.link import Link

#: the connections of all kinds of check that look into a database
DATABASES = ("postgres", "mysql", "sqlite")
SYSTEMS = ("postgres", "redshift", "cockroachdb", "mysql", "mariadb", "sqlite")

TABLE = Field(
    "table", "Table", help="As schema.table. Empty: the node's own name", example="public.orders",
)  # fmt: skip

_PART = re.compile(r'"(?:[^"]|"")*"|[^."]+')


@dataclass(frozen=True)
class Table:
    """A table that exists. ``id`` is Postgres's oid; ``kind`` its relkind (r, p, v, m, f), or table and view elsewhere."""

    schema: str | None
    name: str
    kind: str = "table"
    id: int | None = None

    def sql(self, c: sa.Connection) -> str:
        """Its quoted name."""
        return quoted(c, self.name, self.schema)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


def quoted(c: sa.Connection, name: str, schema: str | None = None) -> str:
    """A name as this database quotes it, always in quotes."""
    quote = c.dialect.identifier_preparer.quote_identifier
    return f"{quote(schema)}.{quote(name)}" if schema else quote(name)


@contextmanager
def reading(link: Link) -> Iterator[sa.Connection]:
    """A read-only connection. What keeps from reaching the database, or from an answer, is :class:`CannotLook`; what
    the database says is kept only where it cannot hold a value of a row."""
    try:
        with sql.connection(link) as c:
            yield c
    except (CannotLook, Refused):
        raise
    except (exc.SQLAlchemyError, OSError) as e:
        raise cannot(link, e) from None


def cannot(link: Link, e: BaseException) -> CannotLook:
    """What an error of the way to a database or of a statement means."""
    said = sql.explain(link, e) if isinstance(e, Exception) else None
    if said:
        return CannotLook(said[1], step=said[0], hint=said[2])
    for one in ladder.chain(e):
        known = _of_statement(one)
        if known:
            return known
    step, message, hint = ladder.told(e, "route")
    if message:
        return CannotLook(message, step=step, hint=hint)
    cause = getattr(e, "orig", None) or e
    code = getattr(cause, "sqlstate", None) or (cause.args[0] if _numbered(cause) else "")
    return CannotLook(
        f"the database refuses the query ({type(cause).__name__}{f' {code}' if code else ''})",
        step="answer",
        hint="try it with the connection's user; its text is not kept, for it may hold values of rows",
    )


def _numbered(e: object) -> bool:
    args: tuple[Any, ...] = getattr(e, "args", ())
    return len(args) > 0 and isinstance(args[0], int)


def _of_statement(e: BaseException) -> CannotLook | None:
    state = str(getattr(e, "sqlstate", None) or "")
    number = e.args[0] if _numbered(e) and type(e).__module__.startswith("pymysql") else 0
    text = str(e) if type(e).__module__ == "sqlite3" else ""
    if state == "57014" or number in (1317, 1969, 3024) or text == "interrupted":
        return CannotLook(
            f"the query was ended after {sql.STATEMENT_SECONDS} s", step="answer",
            hint="an index on the column helps, or the catalog's statistics in place of reading the table",
        )  # fmt: skip
    if state == "55P03" or number == 1205:
        return CannotLook("somebody holds a lock on it", step="answer", hint="the next look tries again")
    if state in ("42P01", "3F000") or number == 1146 or text.startswith("no such table"):
        return CannotLook("it names a table that is not there", step="answer", hint="check the names in it")
    if state == "42703" or number == 1054 or text.startswith("no such column"):
        return CannotLook("it names a column that is not there", step="answer", hint="check the names in it")
    if state in ("42601",) or number == 1064 or "syntax error" in text:
        return CannotLook(
            "the database does not understand the query", step="answer", hint="check its syntax"
        )
    if state in ("25006",) or number == 1792 or "readonly database" in text or "attempt to write" in text:
        return CannotLook("the query wants to write, and checks only read", step="answer")
    return None


# ---------------------------------------------------------------- which table


def named(spec: Spec) -> list[str]:
    """The parts of the table's name: as the check's form says, else of the node's first name, as DLV writes names."""
    said = str(spec.config.get("table") or "")
    if not said and spec.about.names:
        said = spec.about.names[0][1]
    found = [m[0] for m in _PART.finditer(said)]
    return [p[1:-1].replace('""', '"') if p.startswith('"') else p.strip() for p in found if p.strip()]


def find(c: sa.Connection, link: Link, spec: Spec) -> Table | None:
    """The table that a check means; None where the database has none of this name. Letters' case counts only where two
    names differ by nothing else. :class:`CannotLook` where the check or the connection cannot mean a table here."""
    parts = named(spec)
    if not parts:
        raise CannotLook(
            "it is not said which table to look at", step="answer", hint="name the table in the check's form"
        )
    name, *above = parts[::-1]
    schema = above[0] if above else None
    database = above[1] if len(above) > 1 else None
    if link.kind == "postgres" and database and database.lower() != str(link.fields["database"]).lower():
        raise CannotLook(
            f"the table lies in the database {database}, and the connection leads to {link.fields['database']}",
            step="answer", hint=f"choose a connection to {database}, or name the table in the check's form",
        )  # fmt: skip
    args: dict[str, Any] = {"name": name, "schema": schema}
    if link.kind == "mysql" and schema is None:
        args["schema"] = link.get("database")
        if args["schema"] is None:
            raise CannotLook(
                "it is not said which database the table lies in",
                step="answer",
                hint="name it as database.table",
            )
    if link.kind == "sqlite":
        args["schema"] = None
    rows = c.execute(sa.text(_FIND[link.kind]), args).all()
    same = [r for r in rows if r[1] == name and schema in (None, r[0])] or rows
    if len({(r[0], r[1]) for r in same}) > 1:
        raise CannotLook(
            f"{name} means several tables: {', '.join(f'{r[0]}.{r[1]}' for r in same[:4])}", step="answer",
            hint="name one in the check's form",
        )  # fmt: skip
    if not same:
        return None
    row = same[0]
    return Table(row[0], row[1], row[2], row[3])


_FIND = {
    "postgres": """select n.nspname, c.relname, c.relkind::text, c.oid::bigint
                     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                    where lower(c.relname) = lower(:name) and c.relkind in ('r', 'p', 'v', 'm', 'f')
                      and (cast(:schema as text) is null and pg_catalog.pg_table_is_visible(c.oid)
                           or lower(n.nspname) = lower(cast(:schema as text)))""",
    "mysql": """select table_schema, table_name, lower(table_type), null from information_schema.tables
                 where lower(table_name) = lower(:name) and lower(table_schema) = lower(:schema)""",
    "sqlite": """select null, name, type, null from sqlite_master
                  where lower(name) = lower(:name) and type in ('table', 'view') and :schema is null""",
}


def gone(spec: Spec, known: bool) -> str:
    """What to say of a table that is not there. Where it was there before, that is a failure; else the check's name for
    it may be wrong, and nothing is known: :class:`CannotLook`."""
    what = ".".join(named(spec))
    if known:
        return f"the table {what} is no longer there"
    raise CannotLook(
        f"there is no table {what}, or the connection's user may not see it", step="answer",
        hint="check the table in the check's form, and what the user may read",
    )  # fmt: skip
