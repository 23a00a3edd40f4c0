"""After a naming rule changed: read every known name again, move what it said, and fold the stored events once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from ingest import ids, naming
from ingest.reading import rules_of
from store import evidence, health, materialise, pending, rename
from store.record import Conn, Record


@dataclass(frozen=True)
class Refolded:
    """``moved`` and ``removed`` count names, ``queued`` stored events that the fold worker will read again."""

    moved: int
    removed: int
    queued: int


def refold(
    record: Record,
    *,
    now: datetime | None = None,
    log: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    then: Callable[[Conn, Refolded], None] | None = None,
) -> Refolded:
    """One transaction: names move at once, and what only events can tell follows as they are folded again.

    ``progress`` is told how many of how many names have moved; ``then`` is called last, in the transaction.
    """
    now = now or datetime.now(UTC)
    with record.tx() as conn:
        moves = _moves(conn)
        before = {
            r["node_id"] for r in conn.execute("select node_id from alias where id = any(%s)", (list(moves),))
        }
        near: set[UUID] = set()
        for n, (old, new) in enumerate(sorted(moves.items())):
            if progress:
                progress(n, len(moves))
            if new is None:
                rename.remove(conn, old)
            else:
                near |= rename.move(conn, old, new)
        members = {
            r["id"] for r in conn.execute("select id from alias where node_id = any(%s)", (list(before),))
        }
        touched = before | evidence.components(conn, near | members)
        touched |= {
            r["node_id"] for r in conn.execute("select node_id from alias where id = any(%s)", (list(near),))
        }
        materialise.refresh(conn, touched)
        health.judge(conn, touched, now)
        queued = pending.again(conn)
        removed = sum(new is None for new in moves.values())
        done = Refolded(len(moves) - removed, removed, queued)
        if then:
            then(conn, done)
    if log:
        log(f"{done.moved} names moved, {removed} removed, {queued} events queued")
    return done


def _moves(conn: Conn) -> dict[UUID, dict[str, Any] | None]:
    """What each alias whose every sent name is now read differently becomes; None: ignored by a rule."""
    rules = rules_of(conn)
    readings: dict[UUID, Counter[UUID | None]] = {}
    described: dict[UUID, dict[str, Any]] = {}
    for r in conn.execute(
        """
        select s.namespace, s.name, s.type, s.alias_id, coalesce(p.name, '') as producer, p.environment as of_key,
               a.environment, a.namespace as alias_namespace, a.name as alias_name
        from alias_sent s join alias a on a.id = s.alias_id left join producer p on p.id = s.producer_id
        where s.producer_id <> 0
        """
    ):
        new = _read(r, rules)
        if new:
            described[new["id"]] = new
        readings.setdefault(r["alias_id"], Counter())[new["id"] if new else None] += 1
    moves: dict[UUID, dict[str, Any] | None] = {}
    for alias, seen in readings.items():
        if alias in seen:
            continue
        best = max(seen, key=lambda k: (k is not None, seen[k], str(k)))
        moves[alias] = described[best] if best is not None else None
    return moves


def _read(r: dict[str, Any], rules: naming.Rules) -> dict[str, Any] | None:
    if r["type"] == "dataset":
        named = naming.dataset(r["namespace"], r["name"], {}, rules, r["producer"])
        if named is None:
            return None
        new = {
            "environment": named.environment,
            "namespace": named.namespace,
            "name": named.name,
            "unresolved": named.unresolved,
        }
    else:
        # a job's name hangs on its facets, which its next event brings; the rules only move its environment
        new = {
            "environment": naming.environment(r["namespace"], rules, r["of_key"]),
            "namespace": r["alias_namespace"],
            "name": r["alias_name"],
            "unresolved": None,
        }
    return {"id": ids.alias_id(new["environment"], new["namespace"], new["name"], r["type"]), **new}
