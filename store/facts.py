"""Facts of a batch of events → the record, in one transaction. Each statement joins what is there with what is new,
so that any order and any repetition of events ends in the same rows.

Rows are written in the order of their keys: two fold workers then wait for each other instead of deadlocking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from ingest import ids
from ingest.facts import AliasSeen, Facts, RunFact, join_runs
from store import evidence, intervals, partitions
from store.record import Conn


@dataclass
class Touched:
    """What a batch changed.

    ``seen`` aliases were only seen again; ``changed`` ones are new or told differently; ``nodes`` gained or lost an
    alias; ``judged`` aliases have news of their assertions; ``runs`` moved; ``opened`` edges hold from now on.
    """

    seen: set[UUID] = field(default_factory=set)
    changed: set[UUID] = field(default_factory=set)
    nodes: set[UUID] = field(default_factory=set)
    judged: set[UUID] = field(default_factory=set)
    runs: set[UUID] = field(default_factory=set)
    edges: set[UUID] = field(default_factory=set)
    opened: set[UUID] = field(default_factory=set)


def write(conn: Conn, facts: Facts, today: datetime) -> Touched:
    """Write everything the batch says; the caller materialises and judges what is returned."""
    touched = Touched()
    _aliases(conn, facts.aliases, touched)
    _sent(conn, facts)
    _evidence(conn, facts, touched)
    _drops(conn, facts, touched)
    _runs(conn, facts, touched, today)
    _edges(conn, facts, touched)
    touched.opened = intervals.recompute(conn, touched.edges)
    _columns(conn, facts)
    _schemas(conn, facts)
    _facets(conn, facts)
    _fields(conn, facts, touched)
    _assertions(conn, facts, touched)
    _warnings(conn, facts)
    touched.nodes |= set(nodes_of(conn, touched.changed).values())
    return touched


def nodes_of(conn: Conn, aliases: Iterable[UUID]) -> dict[UUID, UUID]:
    """Node id by alias id."""
    rows = conn.execute("select id, node_id from alias where id = any(%s)", (list(aliases),))
    return {r["id"]: r["node_id"] for r in rows}


def join_aliases(
    seen: Iterable[AliasSeen],
) -> dict[UUID, tuple[AliasSeen, datetime, datetime, datetime | None]]:
    """One row an alias: the surest kind, the newest parent, first and last time."""
    out: dict[UUID, tuple[AliasSeen, datetime, datetime, datetime | None]] = {}
    for a in seen:
        parent_at = a.at if a.parent else None
        if a.id not in out:
            out[a.id] = (a, a.at, a.at, parent_at)
            continue
        b, first, last, at = out[a.id]
        surest = max(a, b, key=_sureness)
        parent = b.parent
        if parent_at and (at is None or (parent_at, str(a.parent)) > (at, str(b.parent))):
            parent, at = a.parent, parent_at
        unresolved = max((x for x in (a.unresolved, b.unresolved) if x), default=None)
        joined = b._replace(
            kind=surest.kind,
            kind_rank=surest.kind_rank,
            system=surest.system,
            parent=parent,
            unresolved=unresolved,
        )
        out[a.id] = (joined, min(first, a.at), max(last, a.at), at)
    return out


def _sureness(a: AliasSeen) -> tuple[int, str, str]:
    return (a.kind_rank, a.kind, a.system)


def _aliases(conn: Conn, seen: list[AliasSeen], touched: Touched) -> None:
    rows = [v for _, v in sorted(join_aliases(seen).items())]
    if not rows:
        return
    told = conn.execute(
        """
        with x as (
            select * from jsonb_to_recordset(%s) as x(id uuid, environment text, namespace text, name text, type text,
                kind text, kind_rank smallint, system text, parent_id uuid, parent_at timestamptz, unresolved text,
                first_seen timestamptz, last_seen timestamptz)),
        before as materialized (
            select a.id, a.kind, a.kind_rank, a.system, a.parent_id, a.unresolved
            from alias a where a.id in (select id from x)),
        after as (
        insert into alias (id, environment, namespace, name, type, kind, kind_rank, system, node_id, parent_id,
                           parent_at, unresolved, first_seen, last_seen)
        select id, environment, namespace, name, type, kind, kind_rank, system, id, parent_id, parent_at, unresolved,
               first_seen, last_seen from x order by id
        on conflict (id) do update set
            kind = case when (excluded.kind_rank, excluded.kind, excluded.system)
                             > (alias.kind_rank, alias.kind, alias.system) then excluded.kind else alias.kind end,
            system = case when (excluded.kind_rank, excluded.kind, excluded.system)
                               > (alias.kind_rank, alias.kind, alias.system) then excluded.system else alias.system end,
            kind_rank = greatest(alias.kind_rank, excluded.kind_rank),
            parent_id = case when excluded.parent_at is not null and
                                  (alias.parent_at is null or
                                   (excluded.parent_at, excluded.parent_id::text) > (alias.parent_at, alias.parent_id::text))
                             then excluded.parent_id else alias.parent_id end,
            parent_at = greatest(alias.parent_at, excluded.parent_at),
            unresolved = greatest(alias.unresolved, excluded.unresolved),
            first_seen = least(alias.first_seen, excluded.first_seen),
            last_seen = greatest(alias.last_seen, excluded.last_seen)
        returning id, kind, kind_rank, system, parent_id, unresolved)
        select a.id, b.id is null or (a.kind, a.kind_rank, a.system, a.parent_id, a.unresolved)
               is distinct from (b.kind, b.kind_rank, b.system, b.parent_id, b.unresolved) as changed
        from after a left join before b on b.id = a.id
        """,
        (
            Jsonb(
                [
                    {
                        "id": a.id, "environment": a.environment, "namespace": a.namespace, "name": a.name,
                        "type": a.type, "kind": a.kind, "kind_rank": a.kind_rank, "system": a.system,
                        "parent_id": a.parent, "parent_at": parent_at, "unresolved": a.unresolved,
                        "first_seen": first, "last_seen": last,
                    }
                    for a, first, last, parent_at in rows
                ]
            ),
        ),
    ).fetchall()  # fmt: skip
    for r in told:
        (touched.changed if r["changed"] else touched.seen).add(r["id"])


def _sent(conn: Conn, facts: Facts) -> None:
    rows = sorted(facts.sent, key=lambda s: (s.namespace, s.name, s.type, s.producer, s.alias))
    if rows:
        conn.execute(
            """
            insert into alias_sent (namespace, name, type, producer_id, alias_id)
            select s, n, t, p, a from jsonb_to_recordset(%s) as x(s text, n text, t text, p bigint, a uuid)
            on conflict do nothing
            """,
            (
                Jsonb(
                    [
                        {"s": s.namespace, "n": s.name, "t": s.type, "p": s.producer, "a": s.alias}
                        for s in rows
                    ]
                ),
            ),
        )


def _evidence(conn: Conn, facts: Facts, touched: Touched) -> None:
    """New evidence moves nodes together; known evidence costs one statement and moves nothing."""
    least: dict[tuple[UUID, UUID, str], tuple[datetime, str]] = {}
    for j in facts.joined:
        key = (j.a, j.b, j.kind)
        least[key] = min(least.get(key, (j.at, j.source)), (j.at, j.source))
    if not least:
        return
    rows = sorted((k, v) for k, v in least.items())
    fresh = conn.execute(
        """
        insert into evidence (a, b, kind, created_at, source)
        select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::timestamptz[], %s::text[])
        on conflict (a, b, kind) do update
            set created_at = excluded.created_at, source = excluded.source
            where (excluded.created_at, excluded.source) < (evidence.created_at, evidence.source)
        returning a, b, xmax = 0 as inserted
        """,
        (
            [k[0] for k, _ in rows],
            [k[1] for k, _ in rows],
            [k[2] for k, _ in rows],
            [v[0] for _, v in rows],
            [v[1] for _, v in rows],
        ),
    ).fetchall()
    moved = {x for r in fresh if r["inserted"] for x in (r["a"], r["b"])}
    if moved:
        touched.nodes |= evidence.components(conn, moved)


def _drops(conn: Conn, facts: Facts, touched: Touched) -> None:
    rows = sorted({(d.alias, d.at): d for d in facts.drops}.items())
    if not rows:
        return
    conn.execute(
        """
        insert into dataset_drop (alias_id, at, renamed_to)
        select * from unnest(%s::uuid[], %s::timestamptz[], %s::uuid[])
        on conflict (alias_id, at) do update set renamed_to = greatest(dataset_drop.renamed_to, excluded.renamed_to)
        """,
        ([k[0] for k, _ in rows], [k[1] for k, _ in rows], [d.renamed_to for _, d in rows]),
    )
    hit = conn.execute(
        "select id from edge where source = any(%(a)s) or target = any(%(a)s)", {"a": [k[0] for k, _ in rows]}
    )
    touched.edges |= {r["id"] for r in hit}
    touched.changed |= {k[0] for k, _ in rows}


_RUN_COLUMNS = (
    "job_alias run_id state state_at state_hash started_at ended_at due_at nominal_start nominal_end first_event_at "
    "last_event_at trigger try_number max_tries sub streaming parent_job parent_run_id error error_detail log_url "
    "producer_id detail"
).split()


def _runs(conn: Conn, facts: Facts, touched: Touched, today: datetime) -> None:
    """Read, join, write: the one join of two statements about a run is :func:`ingest.facts.join_runs`."""
    keys = sorted(facts.runs)
    if not keys:
        return
    day = today.date()
    partitions.ensure(conn, day)
    conn.execute(
        "insert into run_key (key, day) select k, %s from unnest(%s::uuid[]) k on conflict do nothing",
        (day, keys),
    )
    # the lock is on run_key: a run that two workers see for the first time has no row of its own yet
    days = {
        r["key"]: r["day"]
        for r in conn.execute(
            "select key, day from run_key where key = any(%s) order by key for update", (keys,)
        )
    }
    known = {
        r["key"]: _run_of(r)
        for r in conn.execute(
            "select * from run where key = any(%s) and day = any(%s)", (keys, sorted(set(days.values())))
        )
    }
    out: list[tuple[Any, ...]] = []
    for key in keys:
        run = join_runs(known[key], facts.runs[key]) if key in known else facts.runs[key]
        if known.get(key) == run:
            continue
        touched.runs.add(key)
        out.append((days[key], key, *_values(run)))
    if not out:
        return
    names = ", ".join(_RUN_COLUMNS)
    sets = ", ".join(f"{c} = excluded.{c}" for c in _RUN_COLUMNS)
    marks = ", ".join(["%s"] * (len(_RUN_COLUMNS) + 2))
    with conn.cursor() as cur:
        cur.executemany(
            f"insert into run (day, key, {names}) values ({marks}) on conflict (day, key) do update set {sets}",
            out,
        )


def _values(r: RunFact) -> tuple[Any, ...]:
    return (
        r.job, r.run_id, r.state, r.state_at, r.state_hash, r.started_at, r.ended_at, r.due_at, r.nominal_start,
        r.nominal_end, r.first_event_at, r.last_event_at, r.trigger, r.try_number, r.max_tries, r.sub, r.streaming,
        r.parent_job, r.parent_run_id, r.error, r.error_detail, r.log_url, r.producer, Jsonb(r.detail),
    )  # fmt: skip


def _run_of(r: dict[str, Any]) -> RunFact:
    return RunFact(
        key=r["key"], job=r["job_alias"], run_id=r["run_id"], state=r["state"], state_at=r["state_at"],
        state_hash=bytes(r["state_hash"]), first_event_at=r["first_event_at"], last_event_at=r["last_event_at"],
        producer=r["producer_id"], started_at=r["started_at"], ended_at=r["ended_at"],
        nominal_start=r["nominal_start"], nominal_end=r["nominal_end"], trigger=r["trigger"],
        try_number=r["try_number"], max_tries=r["max_tries"], sub=r["sub"], streaming=r["streaming"],
        parent_job=r["parent_job"], parent_run_id=r["parent_run_id"], error=r["error"],
        error_detail=r["error_detail"], log_url=r["log_url"], detail=r["detail"],
    )  # fmt: skip


def _edges(conn: Conn, facts: Facts, touched: Touched) -> None:
    proofs: dict[tuple[UUID, UUID, str], tuple[datetime, datetime]] = {}
    ends: dict[UUID, tuple[UUID, UUID]] = {}
    for e in facts.edges:
        edge = ids.edge_id(e.source, e.target)
        ends[edge] = (e.source, e.target)
        key = (edge, e.run, e.provenance)
        first, last = proofs.get(key, (e.at, e.at))
        proofs[key] = (min(first, e.at), max(last, e.at))
    if not ends:
        return
    seen: dict[UUID, tuple[datetime, datetime, set[str]]] = {}
    for (edge, _run, how), (first, last) in proofs.items():
        f, la, hows = seen.get(edge, (first, last, set()))
        seen[edge] = (min(f, first), max(la, last), hows | {how})
    rows = [
        {"id": edge, "s": ends[edge][0], "t": ends[edge][1], "p": sorted(hows), "f": first, "l": last}
        for edge, (first, last, hows) in sorted(seen.items())
    ]
    conn.execute(
        """
        insert into edge (id, source, target, provenance, first_seen, last_seen)
        select id, s, t, p, f, l
        from jsonb_to_recordset(%s) as x(id uuid, s uuid, t uuid, p text[], f timestamptz, l timestamptz)
        on conflict (id) do update set
            provenance = case when edge.provenance @> excluded.provenance then edge.provenance else
                (select array_agg(distinct p order by p) from unnest(edge.provenance || excluded.provenance) p) end,
            first_seen = least(edge.first_seen, excluded.first_seen),
            last_seen = greatest(edge.last_seen, excluded.last_seen)
        """,
        (Jsonb(rows),),
    )
    order = [
        {"e": edge, "r": run, "p": how, "f": first, "l": last}
        for (edge, run, how), (first, last) in sorted(proofs.items())
    ]
    conn.execute(
        """
        insert into edge_run (edge_id, run_key, provenance, first_at, last_at)
        select e, r, p, f, l
        from jsonb_to_recordset(%s) as x(e uuid, r uuid, p text, f timestamptz, l timestamptz)
        on conflict (edge_id, run_key, provenance) do update set
            first_at = least(edge_run.first_at, excluded.first_at), last_at = greatest(edge_run.last_at, excluded.last_at)
            where excluded.first_at < edge_run.first_at or excluded.last_at > edge_run.last_at
        """,
        (Jsonb(order),),
    )
    touched.edges |= set(ends)


def _columns(conn: Conn, facts: Facts) -> None:
    joined: dict[tuple[Any, ...], tuple[str, bool, float, datetime, datetime]] = {}
    for c in facts.columns:
        key = (c.job, c.source, c.source_column, c.target, c.target_column, c.provenance)
        how, masking, sure, first, last = joined.get(
            key, (c.transformation, c.masking, c.confidence, c.at, c.at)
        )
        joined[key] = (
            max(how, c.transformation), masking or c.masking, max(sure, c.confidence), min(first, c.at), max(last, c.at)
        )  # fmt: skip
    rows = [
        {
            "j": key[0], "sa": key[1], "sc": key[2], "ta": key[3], "tc": key[4], "p": key[5],
            "how": how, "m": masking, "c": sure, "f": first, "l": last,
        }
        for key, (how, masking, sure, first, last) in sorted(joined.items())
    ]  # fmt: skip
    if rows:
        conn.execute(
            """
            insert into column_edge (job_alias, source_alias, source_column, target_alias, target_column, provenance,
                                     transformation, masking, confidence, first_seen, last_seen)
            select j, sa, sc, ta, tc, p, how, m, c, f, l
            from jsonb_to_recordset(%s) as x(j uuid, sa uuid, sc text, ta uuid, tc text, p text, how text, m bool, c real,
                                             f timestamptz, l timestamptz)
            on conflict (job_alias, source_alias, source_column, target_alias, target_column, provenance)
            do update set
                transformation = greatest(column_edge.transformation, excluded.transformation),
                masking = column_edge.masking or excluded.masking,
                confidence = greatest(column_edge.confidence, excluded.confidence),
                first_seen = least(column_edge.first_seen, excluded.first_seen),
                last_seen = greatest(column_edge.last_seen, excluded.last_seen)
            """,
            (Jsonb(rows),),
        )


def _schemas(conn: Conn, facts: Facts) -> None:
    joined: dict[tuple[UUID, bytes], tuple[Any, datetime, datetime]] = {}
    for s in facts.schemas:
        fields, first, last = joined.get((s.alias, s.hash), (s.fields, s.at, s.at))
        joined[(s.alias, s.hash)] = (fields, min(first, s.at), max(last, s.at))
    rows = sorted(joined.items(), key=lambda kv: kv[0])
    if not rows:
        return
    again = conn.execute(
        """
        update schema_version s set first_seen = least(s.first_seen, x.f), last_seen = greatest(s.last_seen, x.l)
        from unnest(%s::uuid[], %s::bytea[], %s::timestamptz[], %s::timestamptz[]) x(a, h, f, l)
        where s.alias_id = x.a and s.hash = x.h
        returning s.alias_id, s.hash
        """,
        ([k[0] for k, _ in rows], [k[1] for k, _ in rows], [v[1] for _, v in rows], [v[2] for _, v in rows]),
    )
    known = {(r["alias_id"], bytes(r["hash"])) for r in again}
    new = [
        {"a": alias, "h": hash_.hex(), "v": fields, "f": first, "l": last}
        for (alias, hash_), (fields, first, last) in rows
        if (alias, hash_) not in known
    ]
    if new:
        conn.execute(
            """
            insert into schema_version (alias_id, hash, fields, first_seen, last_seen)
            select a, decode(h, 'hex'), v::jsonb, f, l
            from jsonb_to_recordset(%s) as x(a uuid, h text, v text, f timestamptz, l timestamptz)
            on conflict (alias_id, hash) do update set
                first_seen = least(schema_version.first_seen, excluded.first_seen),
                last_seen = greatest(schema_version.last_seen, excluded.last_seen)
            """,
            (Jsonb(new),),
        )


def _facets(conn: Conn, facts: Facts) -> None:
    newest: dict[tuple[UUID, str], tuple[datetime, bytes, Any]] = {}
    for f in facts.facets:
        key = (f.alias, f.name)
        if key not in newest or (f.at, f.hash) > newest[key][:2]:
            newest[key] = (f.at, f.hash, f.body)
    if newest:
        rows = [
            {"a": alias, "n": name, "t": at, "h": hash_.hex(), "b": body}
            for (alias, name), (at, hash_, body) in sorted(newest.items(), key=lambda kv: kv[0])
        ]
        conn.execute(
            """
            insert into alias_facet (alias_id, name, at, hash, body)
            select a, n, t, decode(h, 'hex'), b
            from jsonb_to_recordset(%s) as x(a uuid, n text, t timestamptz, h text, b jsonb)
            on conflict (alias_id, name) do update set
                at = excluded.at, hash = excluded.hash,
                body = case when alias_facet.hash = excluded.hash then alias_facet.body else excluded.body end
                where (excluded.at, excluded.hash) > (alias_facet.at, alias_facet.hash)
            """,
            (Jsonb(rows),),
        )


def _fields(conn: Conn, facts: Facts, touched: Touched) -> None:
    """What events say of owner, tags and description; people's own words have rows of their own and outrank these."""
    newest: dict[tuple[UUID, str], tuple[datetime, str, Any]] = {}
    for f in facts.fields:
        key = (f.alias, f.field)
        mine = (f.at, f.by, f.value)
        if key not in newest or (mine[0], mine[1], str(mine[2])) > (*newest[key][:2], str(newest[key][2])):
            newest[key] = mine
    if not newest:
        return
    rows = [
        {"a": alias, "f": name, "t": at, "b": by, "v": value}
        for (alias, name), (at, by, value) in sorted(newest.items(), key=lambda kv: kv[0])
    ]
    told = conn.execute(
        """
        with x as (select * from jsonb_to_recordset(%s) as x(a uuid, f text, t timestamptz, b text, v jsonb)),
        before as materialized (
            select p.alias_id, p.field, p.value from alias_field p join x on x.a = p.alias_id and x.f = p.field
            where p.source = 'event'),
        after as (
            insert into alias_field (alias_id, field, source, value, set_by, set_at)
            select a, f, 'event', v, b, t from x
            on conflict (alias_id, field, source) do update set
                value = excluded.value, set_by = excluded.set_by, set_at = excluded.set_at
                where (excluded.set_at, excluded.set_by, excluded.value::text)
                      > (alias_field.set_at, alias_field.set_by, alias_field.value::text)
            returning alias_id, field, value)
        select distinct a.alias_id from after a left join before b using (alias_id, field)
        where b.value is distinct from a.value
        """,
        (Jsonb(rows),),
    )
    touched.changed |= {r["alias_id"] for r in told}


def _assertions(conn: Conn, facts: Facts, touched: Touched) -> None:
    newest: dict[tuple[UUID, str, str], Any] = {}
    for a in facts.assertions:
        key = (a.alias, a.name, a.column)
        if key not in newest or (a.at, a.hash) > (newest[key].at, newest[key].hash):
            newest[key] = a
    rows = [v for _, v in sorted(newest.items(), key=lambda kv: kv[0])]
    if rows:
        touched.judged |= {a.alias for a in rows}
        conn.execute(
            """
            insert into assertion (alias_id, name, column_name, severity, success, message, at, hash, run_key)
            select * from unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::bool[], %s::text[],
                                 %s::timestamptz[], %s::bytea[], %s::uuid[])
            on conflict (alias_id, name, column_name) do update set
                severity = excluded.severity, success = excluded.success, message = excluded.message,
                at = excluded.at, hash = excluded.hash, run_key = excluded.run_key
                where (excluded.at, excluded.hash) > (assertion.at, assertion.hash)
            """,
            (
                [a.alias for a in rows],
                [a.name for a in rows],
                [a.column for a in rows],
                [a.severity for a in rows],
                [a.success for a in rows],
                [a.message for a in rows],
                [a.at for a in rows],
                [a.hash for a in rows],
                [a.run for a in rows],
            ),
        )


def _warnings(conn: Conn, facts: Facts) -> None:
    joined: dict[tuple[UUID | None, int, str, str], tuple[datetime, datetime]] = {}
    for w in facts.warnings:
        key = (w.alias, w.producer, w.path, w.message)
        first, last = joined.get(key, (w.at, w.at))
        joined[key] = (min(first, w.at), max(last, w.at))
    rows = sorted(joined.items(), key=lambda kv: (str(kv[0][0]), kv[0][1:]))
    if rows:
        conn.execute(
            """
            insert into event_warning (alias_id, producer_id, path, message, first_at, last_at)
            select * from unnest(%s::uuid[], %s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
            on conflict (alias_id, producer_id, path, message) do update set
                first_at = least(event_warning.first_at, excluded.first_at),
                last_at = greatest(event_warning.last_at, excluded.last_at)
            """,
            tuple(map(list, zip(*[(*k, *v) for k, v in rows], strict=True))),
        )
