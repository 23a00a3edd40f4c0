"""What the graph still has to learn: one mark a key, with a version that moves at every mark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from psycopg.types.json import Jsonb

from store.record import LOCK_PROJECTOR, LOCK_REBUILD, Conn, Record

#: seconds for which readers go on with the generation they know; a rebuild waits longer before it drops the old one
GENERATION_SECONDS = 1.0

_known: WeakKeyDictionary[Record, tuple[int, float]] = WeakKeyDictionary()
_known_lock = threading.Lock()


@dataclass
class Claim:
    """Marks as they were read: key → version."""

    nodes: dict[UUID, int] = field(default_factory=dict)
    edges: dict[UUID, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.nodes) + len(self.edges)


def mark(conn: Conn, kind: str, keys: Iterable[UUID]) -> None:
    """Mark nodes or edges as changed, in the transaction that changes them."""
    wanted = sorted(set(keys))
    if wanted:
        conn.execute(
            "insert into graph_dirty (kind, key, version) select %s, k, nextval('graph_version_seq') from unnest(%s::uuid[]) k "
            "on conflict (kind, key) do update set version = excluded.version, marked_at = now()",
            (kind, wanted),
        )


def claim(conn: Conn, limit: int) -> Claim:
    """At most ``limit`` marks, nodes before edges: an edge is only claimed with or after the nodes at its ends."""
    said = Claim()
    for r in conn.execute(
        "select kind, key, version from graph_dirty order by kind desc, version limit %s", (limit,)
    ):
        (said.nodes if r["kind"] == "node" else said.edges)[r["key"]] = r["version"]
    return said


def clear(conn: Conn, said: Claim, *, redo: bool = False) -> int:
    """Remove the marks that have not moved since they were claimed; returns how many.

    One that somebody is moving right now is left alone rather than waited for. With ``redo`` the keys are kept for
    the generation that a rebuild is filling.
    """
    done = 0
    for kind, marks in (("node", said.nodes), ("edge", said.edges)):
        if not marks:
            continue
        given = {"kind": kind, "keys": list(marks), "versions": list(marks.values())}
        if redo:
            conn.execute(
                "insert into graph_redo (kind, key) select %(kind)s, k from unnest(%(keys)s::uuid[]) k "
                "on conflict do nothing",
                given,
            )
        done += conn.execute(
            """delete from graph_dirty d using (
                 select x.key from graph_dirty x
                   join unnest(%(keys)s::uuid[], %(versions)s::bigint[]) as c(key, version)
                     on x.kind = %(kind)s and x.key = c.key and x.version = c.version
                    for update of x skip locked) still
               where d.kind = %(kind)s and d.key = still.key""",
            given,
        ).rowcount
    return done


def backlog(conn: Conn) -> int:
    """How many marks wait."""
    row = conn.execute("select count(*) as n from graph_dirty").fetchone()
    return int(row["n"]) if row else 0


def redo(conn: Conn, limit: int) -> Claim:
    """Keys that the next generation still has to learn."""
    said = Claim()
    for r in conn.execute("select kind, key from graph_redo order by kind desc, key limit %s", (limit,)):
        (said.nodes if r["kind"] == "node" else said.edges)[r["key"]] = 0
    return said


def redone(conn: Conn, said: Claim) -> None:
    for kind, marks in (("node", said.nodes), ("edge", said.edges)):
        conn.execute("delete from graph_redo where kind = %s and key = any(%s)", (kind, list(marks)))


# ---------------------------------------------------------------- which graph, and since when


def state(conn: Conn) -> dict[str, Any]:
    """generation, projected_at, away_since, rebuild, and ``last``: the highest version ever given."""
    row = conn.execute(
        """select g.generation, g.projected_at, g.away_since, g.rebuild, s.last_value as last
             from graph_state g, graph_version_seq s"""
    ).fetchone()
    assert row
    return row


def generation(record: Record) -> int:
    """The generation readers use, known for at most :data:`GENERATION_SECONDS`."""
    now = time.monotonic()
    with _known_lock:
        known = _known.get(record)
    if known and now < known[1]:
        return known[0]
    row = record.one("select generation from graph_state")
    value = int(row["generation"]) if row else 1
    with _known_lock:
        _known[record] = (value, now + GENERATION_SECONDS)
    return value


def epoch(conn: Conn) -> int:
    """A number higher than any given before: who writes the graph with it fences out who wrote before."""
    row = conn.execute("select nextval('graph_version_seq') as n").fetchone()
    assert row
    return int(row["n"])


def hold_projector(conn: Conn, *, wait: bool = False) -> bool:
    """Be the only projector until this transaction ends."""
    return _hold(conn, LOCK_PROJECTOR, wait)


def hold_rebuild(conn: Conn) -> bool:
    """Be the only rebuild until this transaction ends."""
    return _hold(conn, LOCK_REBUILD, False)


def _hold(conn: Conn, key: int, wait: bool) -> bool:
    if wait:
        conn.execute("select pg_advisory_xact_lock(%s)", (key,))
        return True
    row = conn.execute("select pg_try_advisory_xact_lock(%s) as mine", (key,)).fetchone()
    return bool(row and row["mine"])


def caught_up(conn: Conn) -> None:
    conn.execute("update graph_state set projected_at = now(), away_since = null")


def away(conn: Conn) -> None:
    """The graph cannot be reached; since when is kept from the first time."""
    conn.execute("update graph_state set away_since = now() where away_since is null")


def back(conn: Conn) -> None:
    conn.execute("update graph_state set away_since = null")


def rebuilding(conn: Conn, said: dict[str, Any] | None) -> None:
    """How far a rebuild is; None: none runs, and nothing is kept for it."""
    conn.execute("update graph_state set rebuild = %s", (None if said is None else Jsonb(said),))
    if said is None:
        conn.execute("delete from graph_redo")


def switch(conn: Conn, to: int) -> None:
    """From now on readers use this generation."""
    conn.execute(
        "update graph_state set generation = %s, rebuild = null, projected_at = now(), away_since = null",
        (to,),
    )
    conn.execute("delete from graph_redo")
