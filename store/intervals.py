"""The life of an edge: from when to when it held.

Intervals are a pure function of what proves an edge (edge_run) and what ends it (drops at either end, retirements);
:func:`life` is that function, :func:`recompute` applies it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from store import dirty
from store.record import Conn

Interval = tuple[datetime, datetime, datetime | None]


def life(sightings: Iterable[datetime], ends: Iterable[datetime]) -> list[Interval]:
    """(valid_from, last_seen, valid_to) in order. A sighting at the very time of an end belongs to what follows it."""
    out: list[Interval] = []
    cuts: Sequence[datetime] = sorted(set(ends))
    points = sorted(set(sightings))
    i = 0
    for n in range(len(cuts) + 1):
        end = cuts[n] if n < len(cuts) else None
        mine = []
        while i < len(points) and (end is None or points[i] < end):
            mine.append(points[i])
            i += 1
        if mine:
            out.append((mine[0], mine[-1], end))
    return out


def recompute(conn: Conn, edge_ids: set[UUID]) -> set[UUID]:
    """Rewrite the intervals of these edges, mark in the graph those that began or ceased to hold, and return them."""
    if not edge_ids:
        return set()
    wanted = sorted(edge_ids)
    ended = _ends(conn, wanted)
    changed = _endless(conn, [e for e in wanted if e not in ended])
    if ended:
        changed |= _ended(conn, ended)
    dirty.mark(conn, "edge", changed)
    return changed


def _ends(conn: Conn, edge_ids: list[UUID]) -> dict[UUID, list[datetime]]:
    rows = conn.execute(
        """
        select e.id, d.at from edge e join dataset_drop d on d.alias_id in (e.source, e.target) where e.id = any(%(e)s)
        union
        select edge_id, at from edge_retirement where edge_id = any(%(e)s)
        """,
        {"e": edge_ids},
    )
    out: dict[UUID, list[datetime]] = defaultdict(list)
    for r in rows:
        out[r["id"]].append(r["at"])
    return out


def _endless(conn: Conn, edge_ids: list[UUID]) -> set[UUID]:
    """Nothing ever ended these: one interval from first to last sighting."""
    if not edge_ids:
        return set()
    opened = conn.execute(
        """
        with e as (select id, first_seen, last_seen from edge where id = any(%s)),
        moved as (
            update edge_interval i set valid_from = e.first_seen, last_seen = e.last_seen
            from e where i.edge_id = e.id returning i.edge_id)
        insert into edge_interval (edge_id, valid_from, last_seen)
        select id, first_seen, last_seen from e where id not in (select edge_id from moved)
        returning edge_id
        """,
        (edge_ids,),
    )
    return {r["edge_id"] for r in opened}


def _ended(conn: Conn, ends: dict[UUID, list[datetime]]) -> set[UUID]:
    ids = sorted(ends)
    sightings: dict[UUID, list[datetime]] = defaultdict(list)
    for r in conn.execute("select edge_id, first_at, last_at from edge_run where edge_id = any(%s)", (ids,)):
        sightings[r["edge_id"]] += [r["first_at"], r["last_at"]]
    before: dict[UUID, list[Interval]] = defaultdict(list)
    for r in conn.execute(
        "select edge_id, valid_from, last_seen, valid_to from edge_interval where edge_id = any(%s) order by valid_from",
        (ids,),
    ):
        before[r["edge_id"]].append((r["valid_from"], r["last_seen"], r["valid_to"]))
    changed: set[UUID] = set()
    for edge in ids:
        proofs = sightings[edge]
        # proofs expire with their runs: what ended before the oldest of them stays as it was written
        kept = [i for i in before[edge] if i[2] is not None and (not proofs or i[2] <= min(proofs))]
        after = kept + life(proofs, ends[edge])
        if after == before[edge]:
            continue
        conn.execute("delete from edge_interval where edge_id = %s", (edge,))
        with conn.cursor() as cur:
            cur.executemany(
                "insert into edge_interval (edge_id, valid_from, last_seen, valid_to) values (%s, %s, %s, %s)",
                [(edge, *i) for i in after],
            )
        holds = any(i[2] is None for i in after)
        if holds != any(i[2] is None for i in before[edge]) or not before[edge]:
            changed.add(edge)
    conn.execute(
        """
        update edge set retired_at = (
            select max(at) from edge_retirement r where r.edge_id = edge.id
                and not exists (select from edge_interval i where i.edge_id = edge.id and i.valid_to is null))
        where id = any(%s)
        """,
        (ids,),
    )
    return changed
