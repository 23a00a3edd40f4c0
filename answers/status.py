"""What is broken, what broke it, and what it takes down: the one place where any count on any page comes from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

from errors import GraphAway
from graph import reach
from store import notifications, parts, wall
from store import standing as record_of

if TYPE_CHECKING:
    from answers.context import Dlv
    from store.record import Record

#: recovered nodes that are asked one by one; beyond, what lies below stays at risk (fail open)
_ASKED = 100
#: seconds for which an answer is given again without looking at the record
_FRESH = 1.0
#: the least that the graph can be asked
_HERE = "RETURN 1 AS here"


@dataclass(frozen=True)
class Standing:
    """Roots and symptoms among the failed and late nodes, and what is at risk below the roots.

    What an open incident holds is what it is there: the incident knows more than edges do (a task that was skipped behind
    a failure follows from it). Else a failed or late node with no such ancestor is a root (of a cycle: its earliest),
    with one a symptom. All three are None where the graph is away; ``reason`` says so, and only what an open incident
    holds, ``held``, has a role.
    """

    roots: frozenset[UUID] | None
    symptoms: frozenset[UUID] | None
    at_risk: frozenset[UUID] | None
    reason: str | None = None
    held: Mapping[UUID, str] = field(default_factory=dict)

    def role(self, node: UUID) -> str | None:
        """root, symptom, at_risk, or None: nothing of these, or not known."""
        if self.roots is None or self.symptoms is None or self.at_risk is None:
            return self.held.get(node)
        for name, ids in (("root", self.roots), ("symptom", self.symptoms), ("at_risk", self.at_risk)):
            if node in ids:
                return name
        return None


@dataclass
class _Kept:
    key: Any
    value: Standing
    until: float


_kept: WeakKeyDictionary[Record, _Kept] = WeakKeyDictionary()
_away: WeakKeyDictionary[Record, datetime] = WeakKeyDictionary()
_lock = threading.Lock()


def standing(dlv: Dlv) -> Standing:
    """Root, symptom and at risk as of now; kept while neither the graph nor health has changed."""
    with _lock:
        kept = _kept.get(dlv.record)
        if kept and time.monotonic() < kept.until:
            return kept.value
        with dlv.record.read() as conn:
            state = record_of.graph_state(conn)
            bad = record_of.bad(conn)
            recovered = record_of.recovered(conn)
            held = record_of.held(conn)
            key = (
                state["generation"],
                state["projected_at"],
                tuple((r["id"], r["health_since"]) for r in bad),
                tuple((r["id"], r["recovered_at"]) for r in recovered),
                held,
            )
        # what was made anew since is not part of the key, so a kept answer is looked at again after a while
        fresh = kept and kept.key == key and not recovered and kept.value.reason is None
        if kept and fresh and _answers(dlv):
            kept.until = time.monotonic() + _FRESH
            return kept.value
        value = _ask(dlv, state["generation"], bad, recovered, held)
        _kept[dlv.record] = _Kept(key, value, time.monotonic() + _FRESH)
        return value


def forget(record: Record) -> None:
    """Drop what is kept for this record (a test, or a change that must show at once)."""
    with _lock:
        _kept.pop(record, None)


def _ask(
    dlv: Dlv,
    generation: int,
    bad: list[dict[str, Any]],
    recovered: list[dict[str, Any]],
    held: Mapping[UUID, str],
) -> Standing:
    def below(ids: Iterable[UUID]) -> set[UUID]:
        ids = list(ids)
        return set(reach.below(dlv.graph, generation, ids)) if ids else set()

    def above(node: UUID, among: Iterable[UUID]) -> set[UUID]:
        return {n for n, _ in reach.ancestors_among(dlv.graph, generation, node, list(among))} - {node}

    try:
        if not bad and not recovered:
            # nothing else would ask it, and that it is away has to be said all the same
            dlv.graph.read(_HERE)
        roots, symptoms = split(bad, below, above)
        # what lies below any bad node lies below its root
        under = below(roots)
        at_risk = _at_risk(dlv, under, recovered, below)
    except GraphAway as e:
        _away.setdefault(dlv.record, datetime.now(UTC))
        return Standing(None, None, None, e.message, held)
    _away.pop(dlv.record, None)
    first = {n for n, role in held.items() if role == "root"}
    rest = held.keys() - first
    return Standing(
        frozenset((roots - rest) | first),
        frozenset((symptoms - first) | rest),
        frozenset(at_risk - held.keys()),
    )


def _answers(dlv: Dlv) -> bool:
    """Whether the graph answers now."""
    try:
        dlv.graph.read(_HERE)
    except GraphAway:
        return False
    return True


def split(
    bad: list[dict[str, Any]],
    below: Callable[[Iterable[UUID]], set[UUID]],
    above: Callable[[UUID, Iterable[UUID]], set[UUID]],
) -> tuple[set[UUID], set[UUID]]:
    """(roots, symptoms) of failed and late rows, which come the earliest first.

    A DAG or application that failed with one of its own tasks is that task's symptom. In a cycle the earliest is the
    root, and all others in it are symptoms.
    """
    order = [r["id"] for r in bad]
    ids = set(order)
    parents = {r["parent_id"] for r in bad if r["parent_id"] in ids}
    roots = ids - below(order)
    rest = ids - roots
    rest -= below(roots)
    while rest:  # only what is in or below a cycle that nothing bad leads into
        candidates = rest
        while True:
            first = next(i for i in order if i in candidates)
            up = (above(first, candidates) & candidates) | {first}
            ring = (below([first]) & up) | {first}
            if ring == up:
                break
            candidates = up - ring
        roots.add(first)
        rest -= ring | below([first])
    roots -= parents
    return roots, ids - roots


def _at_risk(
    dlv: Dlv, under: set[UUID], recovered: list[dict[str, Any]], below: Callable[[Iterable[UUID]], set[UUID]]
) -> set[UUID]:
    """What is below an open root, and what is below one that recovered and was not made anew since."""
    with dlv.record.read() as conn:
        found = {r["id"] for r in record_of.shown(conn, list(under))}
        if not recovered:
            return found
        rest = below(r["id"] for r in recovered) - under
        newest = recovered[0]["recovered_at"]
        made = {
            r["id"]: r["made_at"]
            for r in record_of.shown(conn, list(rest))
            if r["made_at"] is not None and r["made_at"] < newest
        }
    for r in recovered[:_ASKED]:
        stale = {n for n, at in made.items() if at < r["recovered_at"]}
        if not stale:
            break
        hit = stale & below([r["id"]])
        found |= hit
        for n in hit:
            del made[n]
    if len(recovered) > _ASKED:
        found |= {n for n, at in made.items() if at < recovered[_ASKED]["recovered_at"]}
    return found


def graph_away(dlv: Dlv) -> dict[str, Any] | None:
    """None while the graph answers, else {since, reason}."""
    now = standing(dlv)
    if now.reason is None:
        return None
    with dlv.record.read() as conn:
        since = record_of.graph_state(conn)["away_since"]
    return {"since": iso(since or _away.get(dlv.record)), "reason": now.reason}


def counts(dlv: Dlv, environments: Sequence[str] = ()) -> dict[str, Any]:
    """{failed, late, warn, ok, unknown, total, running, roots, symptoms, at_risk, incidents, reason, parts}; of these
    environments alone where some are given.

    roots, symptoms and at_risk are None while the graph is away, and ``reason`` says why. ``parts`` says of graph and
    ingest whether they are up, since when not, and how much they have still to do, of scheduler and workers whether they
    give signs of life, and of queue whether Redis answers. ``nobody_told``: incidents are open and no alert rule leads to
    a channel.
    """
    now = standing(dlv)
    named = {name: getattr(now, name) for name in ("roots", "symptoms", "at_risk")}
    with dlv.record.read() as conn:
        out = record_of.counts(conn, environments)
        state = record_of.graph_state(conn)
        queue = record_of.queue(conn)
        own = parts.look(conn)
        out["nobody_told"] = notifications.nobody_told(conn)
        if environments:
            within = record_of.within(
                conn, list(frozenset().union(*(n or () for n in named.values()))), environments
            )
            named = {name: None if ids is None else ids & within for name, ids in named.items()}
        out["incidents"] = wall.open_count(conn, environments)
    for name, ids in named.items():
        out[name] = None if ids is None else len(ids)
    out["reason"] = now.reason
    own["queue"] = dlv.queue.look()
    away = now.reason is not None
    out["parts"] = {
        "record": {"ok": True, "since": None},
        "graph": {
            "ok": not away,
            "since": iso(state["away_since"] or _away.get(dlv.record)) if away else None,
            "reason": now.reason,
            "projected_at": iso(state["projected_at"]),
            "waiting": state["waiting"],
            "oldest": iso(state["oldest"]),
            "rebuild": state["rebuild"],
        },
        "ingest": {
            "ok": queue["set_aside"] == 0,
            "since": None,
            "waiting": queue["waiting"],
            "set_aside": queue["set_aside"],
            "oldest": iso(queue["oldest"]),
        },
    } | {
        name: {"ok": said["ok"], "since": iso(said["since"]), "reason": said["reason"]}
        for name, said in own.items()
    }
    return out


def iso(at: datetime | None) -> str | None:
    """ISO 8601 in UTC with Z, as everywhere in the API."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
