"""Column edges from a job's SQL: producers state them with the names of CTEs, or not at all; the text itself does not.

In the background: following columns costs 6 to 8 ms each. A text is read once; what it told is replaced when the job
sends another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ingest import sql
from store import columns
from store.columns import End, Told, Unread
from store.record import Record


def some(record: Record, seconds: float = 0.3) -> int:
    """Read the SQL of jobs that was not read yet, for about so long; how many were read."""
    until = time.monotonic() + seconds
    done = 0
    while time.monotonic() < until:
        with record.tx() as conn:
            found = columns.unread(conn, 1)
            for job in found:
                columns.write(conn, job, told(job, columns.ends(conn, job.job)))
        if not found:
            break
        done += 1
    return done


def told(job: Unread, ends: Sequence[End]) -> list[Told]:
    """The column edges that the job's text tells, between datasets that it is known to read and to write. A table that
    is neither, or could be two of them, tells nothing."""
    if not job.query.strip():
        return []
    dialect = sql.dialect_of(job.dialect) or next(
        (d for e in ends if (d := sql.dialect_of(e.namespace.split(":", 1)[0]))), None
    )
    schemas = {e.name: e.columns for e in ends if e.columns}
    reads = [e for e in ends if e.reads]
    writes = [e for e in ends if not e.reads]
    out = []
    for c in sql.columns(job.query, dialect, schemas):
        source = _the_one(reads, c.source_table)
        # a query that names no target, as dbt compiles them, fills the one table that its job writes
        target = (
            _the_one(writes, c.target_table) if c.target_table else (writes[0] if len(writes) == 1 else None)
        )
        if source is not None and target is not None:
            out.append(
                Told(
                    source.alias,
                    _as_known(source, c.source_column),
                    target.alias,
                    _as_known(target, c.target_column),
                    c.kind,
                )
            )
    return out


def _the_one(among: Sequence[End], table: str) -> End | None:
    """The dataset whose name ends with this one, part by part; None where none or several do."""
    wanted = table.casefold().split(".")
    found = [e for e in among if e.name.casefold().split(".")[-len(wanted) :] == wanted]
    return found[0] if len(found) == 1 else None


def _as_known(end: End, column: str) -> str:
    """The column as the schema writes it, whatever its case in the text."""
    return next((c for c in end.columns if c.casefold() == column.casefold()), column)
