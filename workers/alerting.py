"""The alert worker: decides about incidents, one at a time under an advisory lock, then tells people."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from alerts import incident as rule
from alerts import routing
from alerts import severity as scale
from alerts.incident import BAD, Change, Estate
from alerts.severity import Radius, Thing
from answers.status import iso
from errors import GraphAway
from graph import reach
from graph.driver import Graph
from graph.model import Reach
from settings import Settings
from store import alert_rules, decisions, dirty
from store.record import Conn, Record
from workers import delivery

log = logging.getLogger("dlv.alerting")

#: transitions decided about at a time, and incidents weighed at a time
BATCH, WEIGHED = 1000, 25
#: nodes at risk that a message shows
SHOWN = 20


def step(record: Record, graph: Graph, settings: Settings) -> int:
    """Decide about new transitions, then deliver what is due; how much was done. What was decided is told also where
    deciding fails: one change that cannot be decided about must not keep people from hearing of all others."""
    done = 0
    try:
        done = decide(record, graph, settings)
    finally:
        told = delivery.deliver(record, settings)
    return done + told


def decide(record: Record, graph: Graph, settings: Settings, *, now: datetime | None = None) -> int:
    """Turn pending transitions into incidents, and weigh those that changed; how many were decided and weighed."""
    at = now or datetime.now(UTC)
    return _decide(record, graph, settings, at) + weigh(record, graph, settings, at)


def _decide(record: Record, graph: Graph, settings: Settings, now: datetime) -> int:
    window = timedelta(minutes=settings.reopen_minutes)
    group = timedelta(seconds=settings.group_seconds)
    with record.tx() as conn:
        if not decisions.hold(conn):
            return 0
        decisions.follow_merges(conn)
        changes = decisions.pending(conn, now, BATCH)
        away, soon = decisions.to_look_at_again(conn, now)
        strays = decisions.strays(conn, now, window)
        if not (changes or away or soon or strays):
            return 0
        alive = decisions.alive(conn, now, window)
        again = away | soon
        gone = False
        try:
            estate, ids = _estate(conn, graph, dirty.state(conn)["generation"], changes, again, alive)
        except GraphAway as e:
            if not (changes or strays):
                return 0  # nothing but what waits for the graph
            log.warning("deciding without the graph: %s", e.message)
            estate, ids = _without(conn, changes, alive)
            gone, again = True, set()
        incidents = decisions.load(conn, ids | {i for s in strays for i in alive.get(s.node, ())})
        actions = rule.decide(strays + changes, incidents, estate, window=window, again=again, away=gone)
        bad = {c.node for c in changes if c.now in BAD}
        wait = _wait(conn, bad, settings.group_seconds)
        decisions.apply(conn, actions, now, wait=wait, group=group, window=window)
        decisions.decided(conn, changes)
    return len(changes) + len(strays)


def _estate(
    conn: Conn,
    graph: Graph,
    generation: int,
    changes: Iterable[Change],
    again: set[UUID],
    alive: Mapping[UUID, set[UUID]],
) -> tuple[Estate, set[UUID]]:
    """What the decision is handed of the map, and the incidents that it concerns: those of all that lies above or below
    what went bad, and of its family. A few questions of the graph, however many nodes went bad."""
    named = {c.node for c in changes}
    fresh = {c.node for c in changes if c.now in BAD} | again
    ids = {i for n in named | again for i in alive.get(n, ())}
    if not fresh:
        return Estate(), ids
    near = set(fresh)
    if alive.keys() - fresh:
        near |= (
            reach.below(graph, generation, fresh, "upstream") | reach.below(graph, generation, fresh)
        ) & alive.keys()
    family = decisions.family(conn, alive.keys() | fresh)
    parents = {family.parents[n] for n in fresh if n in family.parents} | fresh
    near |= {n for n in alive if n in parents or family.parents.get(n) in parents}
    ids |= {i for n in near for i in alive.get(n, ())}
    members = {n for n, of in alive.items() if of & ids} | fresh
    between = members
    if len(members) > 1:
        down = reach.below(graph, generation, members)
        between = members | (down & reach.below(graph, generation, members, "upstream"))
    edges = decisions.used(conn, reach.induced(graph, generation, between))
    known = decisions.family(conn, members)
    return Estate(frozenset(edges), known.jobs, known.parents), ids


def _without(
    conn: Conn, changes: Iterable[Change], alive: Mapping[UUID, set[UUID]]
) -> tuple[Estate, set[UUID]]:
    nodes = {c.node for c in changes}
    return Estate(jobs=decisions.family(conn, nodes).jobs), {i for n in nodes for i in alive.get(n, ())}


def _wait(conn: Conn, nodes: set[UUID], default: int) -> dict[UUID, int]:
    """How long failures of these nodes gather, where a rule says that it is not the default."""
    rules = alert_rules.active(conn)
    if not any(r.group_seconds is not None for r in rules):
        return {}
    facts = alert_rules.facts(conn, nodes)
    return {n: routing.group_seconds([f], rules, default) for n, f in facts.items()}


# ---------------------------------------------------------------- how bad it is


def weigh(record: Record, graph: Graph, settings: Settings, now: datetime) -> int:
    """Compute blast radius and severity of the incidents that changed, or were not looked at for long; how many."""
    with record.tx() as conn:
        rows = decisions.to_weigh(conn, now, WEIGHED)
        if not rows:
            return 0
        generation = dirty.state(conn)["generation"]
        weighty = {r["id"]: r for r in decisions.weighty(conn)}
        away = False
        for row in rows:
            decisions.note_runs_and_results(conn, row["id"], now)
            if row["about"] != "node":
                decisions.weighed(conn, row, row["severity"], row["severity_why"], row["blast"], now)
                continue
            below = None
            if not away:
                try:
                    below = _below(graph, generation, row, weighty)
                except GraphAway:
                    away = True
            if (
                below is None and row["blast"]
            ):  # what was counted last says more than nothing; it says as of when
                decisions.weighed(conn, row, row["severity"], row["severity_why"], row["blast"], now)
                continue
            severity, why, blast = _weighed(conn, row, below, weighty, now)
            decisions.weighed(conn, row, severity, why, blast, now)
    return len(rows)


def _below(
    graph: Graph, generation: int, row: Mapping[str, Any], weighty: Mapping[UUID, Any]
) -> tuple[Reach, dict[UUID, int]]:
    """What lies below the root, and how far below those lie that matter. Once the root has recovered, below the first of
    what still follows from it."""
    bad = [UUID(m["node"]) for m in row["bad"]]
    root, from_dataset = row["root"], row["root_type"] == "dataset"
    if bad and root not in bad:
        root = bad[0]
        from_dataset = reach.is_dataset(graph, generation, root)
    found = reach.impact(graph, generation, root, from_dataset, "downstream", None, None, 3 * SHOWN)
    wanted = {*weighty, *bad} - {root}
    hops = (
        dict(reach.ancestors_among(graph, generation, root, wanted, "downstream", from_dataset))
        if wanted
        else {}
    )
    return found, hops


def _weighed(
    conn: Conn,
    row: Mapping[str, Any],
    below: tuple[Reach, dict[UUID, int]] | None,
    weighty: Mapping[UUID, dict[str, Any]],
    now: datetime,
) -> tuple[int, list[str], dict[str, Any]]:
    health = {UUID(m["node"]): m["health"] for m in row["bad"]}
    found, hops = below if below is not None else (None, {})
    near = dict(found.items) if found is not None else {}
    touched = {n: weighty[n] for n in {*health, *hops} if n in weighty}
    others = decisions.things(conn, ({*near, *health} - touched.keys()))
    rows = touched | {r["id"]: r for r in others}
    breaks = {n: r["sla_at"] for n, r in touched.items()}
    things = [
        Thing(
            n, r["name"], _word(r), 0 if n in health else hops.get(n, 1), health.get(n, "ok"), r["criticality"], breaks[n]
        )
        for n, r in touched.items()
    ]  # fmt: skip
    owners = {str(k): n for k, n in found.by_owner.items() if k} if found is not None else {}
    for n in health:
        if n in rows and rows[n]["owner_id"] and n not in hops:
            owners[str(rows[n]["owner_id"])] = owners.get(str(rows[n]["owner_id"]), 0) + 1
    failed = sum(h == "failed" for h in health.values())
    total = found.total if found is not None else None
    severity, why = scale.weigh(Radius(failed, len(health) - failed, total, len(owners), things), now)
    if found is None:
        return severity, why, {}
    safe = [n for n in {**hops, **near} if n not in health and n in rows]
    next_sla = min(((b, n) for n, b in breaks.items() if b is not None and b > now), default=None)
    critical = sorted(
        (r["criticality"], hops[n], r["name"], n)
        for n, r in touched.items()
        if r["criticality"] in (1, 2) and n in hops and n not in health
    )
    blast = {
        "total": found.total,
        "by_hop": [{"key": k, "n": n} for k, n in sorted(found.by_hop.items())],
        "teams": _teams(conn, owners),
        "critical": [
            {"id": str(n), "name": name, "criticality": c, "hop": hop} for c, hop, name, n in critical[:SHOWN]
        ],
        "next_sla": (
            {"node": str(next_sla[1]), "name": rows[next_sla[1]]["name"], "at": iso(next_sla[0])}
            if next_sla
            else None
        ),
        "datasets": _datasets(rows, safe, hops | near, breaks),
        "at_risk": max(0, found.total - sum(n in hops for n in health)),
        "as_of": iso(now),
    }
    return severity, why, blast


def _datasets(
    rows: Mapping[UUID, dict[str, Any]],
    safe: Iterable[UUID],
    hops: Mapping[UUID, int],
    breaks: Mapping[UUID, datetime | None],
) -> list[dict[str, Any]]:
    """Datasets at risk: the next to break its SLA first, then the critical, then the nearest."""
    found = [n for n in safe if rows[n]["type"] == "dataset"]
    last = datetime.max.replace(tzinfo=UTC)
    found.sort(
        key=lambda n: (breaks.get(n) or last, rows[n]["criticality"] or 9, hops.get(n, 1), rows[n]["name"], n)
    )
    return [
        {
            "id": str(n),
            "name": rows[n]["name"],
            "kind": rows[n]["kind"],
            "system": rows[n]["system"],
            "team": rows[n]["owner_name"],
            "sla_kind": rows[n]["sla_kind"],
            "sla_minutes": rows[n]["sla_minutes"],
            "breaks_at": iso(breaks.get(n)),
        }
        for n in found[:SHOWN]
    ]


def _word(r: Mapping[str, Any]) -> str:
    return str(r["kind"] or r["type"])


def _teams(conn: Conn, owners: Mapping[str, int]) -> list[dict[str, Any]]:
    names = decisions.team_names(conn, owners)
    found = [{"id": k, "name": names[k], "n": n} for k, n in owners.items() if k in names]
    return sorted(found, key=lambda t: (-int(t["n"]), str(t["name"])))
