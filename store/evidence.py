"""Which names are one node: connected components of aliases over evidence, where a split wins over all.

The components are a pure function of the evidence (:func:`join`), whatever order it came in: joins are taken in a
fixed order, and one that would bring a split pair together is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from store import dirty
from store.record import LOCK_EVIDENCE, Conn

#: what people said first, then what tools said
_ORDER = {"merge": 0, "naming": 1, "symlink": 2}


def join(
    aliases: Iterable[UUID], joins: Iterable[tuple[UUID, UUID, str]], splits: Iterable[tuple[UUID, UUID]]
) -> dict[UUID, UUID]:
    """The smallest alias id of each alias's component."""
    root = {a: a for a in aliases}
    members = {a: {a} for a in root}
    apart: dict[UUID, set[UUID]] = {a: set() for a in root}
    for a, b in splits:
        if a in apart and b in apart:
            apart[a].add(b)
            apart[b].add(a)

    for a, b, _kind in sorted(joins, key=lambda j: (_ORDER[j[2]], j[0], j[1])):
        if a not in root or b not in root:
            continue
        ra, rb = root[a], root[b]
        if ra == rb or any(apart[m] & members[rb] for m in members[ra]):
            continue
        keep, gone = min(ra, rb), max(ra, rb)
        for m in members[gone]:
            root[m] = keep
        members[keep] |= members.pop(gone)
    return root


def components(conn: Conn, alias_ids: Iterable[UUID]) -> set[UUID]:
    """Recompute the components that these aliases touch; returns every node id that gained or lost an alias."""
    conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_EVIDENCE,))
    old = _reachable(conn, set(alias_ids))
    if not old:
        return set()
    rows = conn.execute(
        "select a, b, kind from evidence where a = any(%(x)s) and b = any(%(x)s)", {"x": list(old)}
    ).fetchall()
    types = {
        r["id"]: r["type"]
        for r in conn.execute("select id, type from alias where id = any(%s)", (list(old),))
    }
    new = join(
        old,
        [
            (r["a"], r["b"], r["kind"])
            for r in rows
            if r["kind"] != "split" and types[r["a"]] == types[r["b"]]
        ],
        [(r["a"], r["b"]) for r in rows if r["kind"] == "split"],
    )
    moved = {a for a in old if old[a] != new[a]}
    for a in sorted(moved):
        conn.execute("update alias set node_id = %s where id = %s", (new[a], a))
    touched = {old[a] for a in moved} | {new[a] for a in moved}
    dirty.mark(conn, "node", touched)  # their edges' ends moved, whatever else of them stayed
    return touched


def _reachable(conn: Conn, start: set[UUID]) -> dict[UUID, UUID]:
    """Node id by alias, for all aliases that share a node or evidence with the start, transitively."""
    found: dict[UUID, UUID] = {}
    todo = set(start)
    while todo:
        rows = conn.execute(
            """
            select m.id, m.node_id from alias m
            where m.node_id in (select node_id from alias where id = any(%(t)s))
            union
            select x.id, x.node_id from evidence e
            join alias x on x.id = case when e.a = any(%(t)s) then e.b else e.a end
            where e.kind <> 'split' and (e.a = any(%(t)s) or e.b = any(%(t)s))
            """,
            {"t": list(todo)},
        ).fetchall()
        fresh = {r["id"]: r["node_id"] for r in rows if r["id"] not in found}
        found |= fresh
        todo = set(fresh)
    return found
