"""Column edges that a job's own SQL tells, beside those that its producer states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from store.record import Conn

#: how sure an edge is that the SQL tells and the producer does not; stated by both it is 1
ALONE = 0.9


@dataclass(frozen=True)
class Unread:
    """A job whose SQL was not read yet: its alias, the text, the dialect where it is stated, and the facet's hash."""

    job: UUID
    query: str
    dialect: str | None
    hash: bytes


@dataclass(frozen=True)
class End:
    """A dataset that a job reads or writes, with its newest columns where they are known."""

    alias: UUID
    namespace: str
    name: str
    reads: bool
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """One column edge: ``kind`` is IDENTITY, TRANSFORMATION or AGGREGATION."""

    source: UUID
    source_column: str
    target: UUID
    target_column: str
    kind: str


def unread(conn: Conn, limit: int) -> list[Unread]:
    """Jobs whose SQL changed since it was read, or never was. Held by this transaction, passed over by others."""
    rows = conn.execute(
        """select f.alias_id, f.hash, f.body from alias_facet f left join sql_read r on r.alias_id = f.alias_id
            where f.name = 'sql' and r.hash is distinct from f.hash
            order by f.alias_id limit %s for update of f skip locked""",
        (limit,),
    )
    out = []
    for r in rows:
        body = r["body"] if isinstance(r["body"], dict) else {}
        query, dialect = body.get("query"), body.get("dialect")
        out.append(
            Unread(
                r["alias_id"],
                query if isinstance(query, str) else "",
                dialect if isinstance(dialect, str) else None,
                bytes(r["hash"]),
            )
        )
    return out


def ends(conn: Conn, job: UUID) -> list[End]:
    """What the job reads and writes now, by the names under which it does."""
    rows = conn.execute(
        """select a.id, a.namespace, a.name, x.reads, s.fields
             from (select e.source as id, true as reads, e.id as edge from edge e where e.target = %(j)s
                   union all select e.target, false, e.id from edge e where e.source = %(j)s) x
             join edge_interval i on i.edge_id = x.edge and i.valid_to is null
             join alias a on a.id = x.id and a.type = 'dataset'
             left join lateral (select v.fields from schema_version v where v.alias_id = a.id
                                 order by v.last_seen desc, v.hash limit 1) s on true
            order by a.id, x.reads""",
        {"j": job},
    )
    return [End(r["id"], r["namespace"], r["name"], r["reads"], _names(r["fields"])) for r in rows]


def _names(fields: Any) -> tuple[str, ...]:
    return tuple(f["name"] for f in fields) if isinstance(fields, list) else ()


def write(conn: Conn, said: Unread, told: Iterable[Told]) -> None:
    """What this text tells takes the place of what the job's text before it told."""
    rows: Sequence[dict[str, Any]] = [
        {"s": t.source, "sc": t.source_column, "t": t.target, "tc": t.target_column, "k": f"DIRECT/{t.kind}"}
        for t in sorted(told, key=lambda t: (t.source, t.source_column, t.target, t.target_column, t.kind))
    ]
    conn.execute("delete from column_edge where job_alias = %s and provenance = 'sql'", (said.job,))
    if rows:
        conn.execute(
            """
            insert into column_edge (job_alias, source_alias, source_column, target_alias, target_column, provenance,
                                     transformation, confidence, first_seen, last_seen)
            select distinct on (s, sc, t, tc) %(j)s, s, sc, t, tc, 'sql', k,
                   case when exists (
                     select from column_edge o where o.job_alias = %(j)s and o.source_alias = x.s and o.source_column = x.sc
                        and o.target_alias = x.t and o.target_column = x.tc and o.provenance <> 'sql') then 1 else %(c)s end,
                   a.first_seen, a.last_seen
              from jsonb_to_recordset(%(rows)s) as x(s uuid, sc text, t uuid, tc text, k text)
              join alias a on a.id = %(j)s
             order by s, sc, t, tc, k
            """,
            {"j": said.job, "c": ALONE, "rows": Jsonb(rows)},
        )
    conn.execute(
        """insert into sql_read (alias_id, hash, found) values (%s, %s, %s)
           on conflict (alias_id) do update set hash = excluded.hash, found = excluded.found, read_at = now()""",
        (said.job, said.hash, len(rows)),
    )
