"""What the canvas draws: the neighbourhood of a node, with large fans folded, laid out.

It is read from the record, not from the graph: folding ranks neighbours by health and criticality, which only the
record holds, and so the canvas draws while the graph is away, and as of a date, in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from answers import cursor as cursors
from answers import layout, nodes
from answers.impact import check
from answers.status import iso
from errors import Invalid
from graph.model import edges_of
from store import edges as store

if TYPE_CHECKING:
    from answers.context import Dlv
    from store.record import Conn

#: neighbours of one node in one direction that are drawn; a fan one or two larger is drawn whole
FAN, SLACK = 12, 3
#: failed and late neighbours are never folded away, up to this many of one node
FAN_BAD = 200
#: about as many elements as still read well and draw in half a second
CAP = 1000
MAX_DEPTH = 20

#: an edge not seen for so long ages on screen; nothing is dropped for it
AGING, STALE = timedelta(days=7), timedelta(days=30)


def around(
    dlv: Dlv,
    id_: str | UUID,
    up: int = 1,
    down: int = 1,
    as_of: datetime | None = None,
    jobs: bool = True,
    *,
    grown: Sequence[tuple[str | UUID, str]] = (),
    also: Sequence[str | UUID] = (),
    group: bool = False,
    cap: int = CAP,
) -> dict[str, Any]:
    """{node, nodes, edges, folded: [{node, direction, count, via}], cut, as_of}.

    ``up`` and ``down`` count hops, that is datasets. ``grown`` adds what is one hop from further nodes, each (id,
    direction), and ``also`` single nodes picked from a fold. ``jobs`` False draws from dataset to dataset. ``group``
    keeps nodes of one parent together.

    A node has ``x``, ``y`` and ``more`` {upstream, downstream}: how many neighbours are not drawn. An edge has {id,
    ids, source, target, provenance, first_seen, last_seen, age, standin, via}: ``age`` is fresh, aging or stale;
    ``via`` are hidden jobs. ``cut`` says that the cap kept something from being drawn that was asked for.
    """
    for name, hops in (("up", up), ("down", down)):
        if not 0 <= hops <= MAX_DEPTH:
            raise Invalid(f"{name} is {hops}", field=name, hint=f"hops from 0 to {MAX_DEPTH}")
    centre = nodes.resolve(dlv, id_)
    wishes: list[tuple[UUID, str, int]] = [(centre, "upstream", up), (centre, "downstream", down)]
    for other, direction in grown:
        check(direction, None)
        wishes.append((nodes.resolve(dlv, other, "grown"), direction, 1))
    extra = [nodes.resolve(dlv, n, "also") for n in also]
    view = _View(centre, cap)
    with dlv.record.read() as conn:
        types = _types(conn, [w[0] for w in wishes])
        for start, direction, hops in wishes:
            if hops:
                view.walk(conn, start, direction, edges_of(hops, types.get(start) == "dataset"), as_of)
        view.shown |= dict.fromkeys(extra)
        drawn = store.induced(conn, view.shown, as_of)
        degrees = store.degrees(conn, view.shown, as_of)
    whole = {UUID(n["id"]): n for n in nodes.many(dlv, view.shown)}
    return _picture(view, whole, drawn, degrees, jobs, group, as_of)


def expand(
    dlv: Dlv, id_: str | UUID, direction: str, as_of: datetime | None = None, jobs: bool = True
) -> dict[str, Any]:
    """What growing by one node in one direction adds, as ``around``."""
    check(direction, None)
    return around(dlv, id_, int(direction == "upstream"), int(direction == "downstream"), as_of, jobs)


def folded(
    dlv: Dlv,
    id_: str | UUID,
    direction: str,
    shown: Iterable[str | UUID] = (),
    as_of: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> dict[str, Any]:
    """{items, total, next}: the neighbours of a node in one direction that are not among ``shown``, those that
    matter most first; beyond a stand-in job the dataset it leads to."""
    check(direction, None)
    limit = max(1, min(limit, nodes.MAX_PAGE))
    node = nodes.resolve(dlv, id_)
    without = [nodes.uuid_of(s, "shown") for s in shown]
    offset = 0
    if cursor:
        (offset,) = cursors.decode(cursor, 1)
        if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < 1 << 31:
            raise Invalid("cursor is not one that this call gave", field="cursor")
    with dlv.record.read() as conn:
        ids, total = store.neighbour_ids(conn, node, direction, as_of, without, limit, offset)
        beyond = store.beyond(conn, ids, direction, as_of)
    more = offset + limit < total
    items = nodes.many(dlv, [beyond.get(i, i) for i in ids])
    return {"items": items, "total": total, "next": cursors.encode([offset + limit]) if more else None}


class _View:
    """What is drawn so far, and of which nodes a fan was folded in which direction."""

    def __init__(self, centre: UUID, cap: int) -> None:
        self.shown: dict[UUID, None] = {centre: None}
        self.opened: set[tuple[UUID, str]] = set()
        self.cap = cap
        self.cut = False

    def walk(self, conn: Conn, start: UUID, direction: str, steps: int, at: datetime | None) -> None:
        """Breadth first, fans folded, until the steps or the room end."""
        self.shown.setdefault(start)
        seen = {start}
        frontier = [start]
        for _ in range(steps):
            if not frontier:
                return
            if len(self.shown) >= self.cap:
                self.cut = True
                return
            self.opened |= {(n, direction) for n in frontier}
            rows = store.neighbours(conn, frontier, direction, at, FAN + SLACK, FAN_BAD)
            frontier = []
            for r in rows:
                if r["far"] in seen or (r["n"] > FAN + SLACK and r["rank"] > FAN and not r["bad"]):
                    continue
                if len(self.shown) >= self.cap and r["far"] not in self.shown:
                    self.cut = True
                    continue
                seen.add(r["far"])
                self.shown.setdefault(r["far"])
                frontier.append(r["far"])


def _types(conn: Conn, ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = conn.execute("select id, type from node where id = any(%s)", (list(ids),))
    return {r["id"]: r["type"] for r in rows}


def _picture(
    view: _View,
    whole: Mapping[UUID, dict[str, Any]],
    drawn: Sequence[Mapping[str, Any]],
    degrees: Mapping[tuple[UUID, str], int],
    jobs: bool,
    group: bool,
    as_of: datetime | None,
) -> dict[str, Any]:
    centre = next(iter(view.shown))
    edges = {(r["source"], r["target"]): _edge(r, as_of) for r in drawn}
    visible: dict[tuple[UUID, str], int] = {}
    for a, b in edges:
        visible[a, "downstream"] = visible.get((a, "downstream"), 0) + 1
        visible[b, "upstream"] = visible.get((b, "upstream"), 0) + 1
    hidden = {k: n - visible.get(k, 0) for k, n in degrees.items() if n > visible.get(k, 0)}
    gone = {
        n for n, w in whole.items() if n != centre and (w["standin"] or (not jobs and w["type"] == "job"))
    }
    # a stand-in or job at the rim has nothing behind it to be drawn to: it would vanish with its edge
    edges, beside = _through(edges, gone, whole)
    keep = {n: w for n, w in whole.items() if n not in gone}
    at = layout.place(
        list(keep), list(edges), group={n: w["parent_id"] or "" for n, w in keep.items()} if group else None
    )
    folds: list[dict[str, Any]] = []
    for (n, direction), count in sorted(hidden.items(), key=lambda kv: (str(kv[0][0]), kv[0][1])):
        if (n, direction) not in view.opened:
            continue
        host = n if n in keep else beside.get((n, direction))
        if host is not None:
            folds.append(
                {
                    "node": str(host),
                    "direction": direction,
                    "count": count,
                    "via": None if host == n else str(n),
                }
            )
    out = []
    for n, w in keep.items():
        more = {d: hidden.get((n, d), 0) for d in ("upstream", "downstream")}
        out.append(w | {"x": at[n][0], "y": at[n][1], "more": more})
    return {
        "node": str(centre),
        "nodes": out,
        "edges": [e | {"source": str(a), "target": str(b)} for (a, b), e in edges.items()],
        "folded": folds,
        "cut": view.cut,
        "as_of": iso(as_of),
    }


def among(dlv: Dlv, ids: Iterable[str | UUID]) -> list[dict[str, Any]]:
    """The edges that hold now among these nodes, as :func:`around` has them."""
    with dlv.record.read() as conn:
        rows = store.induced(conn, [UUID(str(i)) for i in ids], None)
    return [_edge(r, None) | {"source": str(r["source"]), "target": str(r["target"])} for r in rows]


def _edge(row: Mapping[str, Any], as_of: datetime | None) -> dict[str, Any]:
    return {
        "id": str(row["ids"][0]),
        "ids": [str(i) for i in row["ids"]],
        "provenance": row["provenance"],
        "first_seen": iso(row["first_seen"]),
        "last_seen": iso(row["last_seen"]),
        "age": age(row["last_seen"], row["provenance"], as_of or datetime.now(UTC)),
        "standin": False,
        "via": [],
    }


def age(last_seen: datetime, provenance: Sequence[str], now: datetime) -> str:
    """fresh, aging or stale, by when the edge was last seen; what people drew does not age."""
    if "manual" in provenance or now - last_seen < AGING:
        return "fresh"
    return "aging" if now - last_seen < STALE else "stale"


def _through(
    edges: Mapping[tuple[UUID, UUID], dict[str, Any]],
    gone: set[UUID],
    whole: Mapping[UUID, Mapping[str, Any]],
) -> tuple[dict[tuple[UUID, UUID], dict[str, Any]], dict[tuple[UUID, str], UUID]]:
    """Edges with the jobs in ``gone`` taken out, each pair through them one edge; and where to show what was folded
    beyond such a job: (job, direction) → the drawn node on its other side."""
    kept = {k: e for k, e in edges.items() if k[0] not in gone and k[1] not in gone}
    reads: dict[UUID, list[tuple[UUID, dict[str, Any]]]] = {}
    writes: dict[UUID, list[tuple[UUID, dict[str, Any]]]] = {}
    for (a, b), e in edges.items():
        if b in gone:
            reads.setdefault(b, []).append((a, e))
        if a in gone:
            writes.setdefault(a, []).append((b, e))
    for job in sorted(gone, key=str):
        for a, first in reads.get(job, ()):
            for b, second in writes.get(job, ()):
                if a != b:
                    joined = _join(first, second, job, bool(whole[job]["standin"]))
                    kept[a, b] = _merge(kept[a, b], joined) if (a, b) in kept else joined
    beside = {(job, "downstream"): min((a for a, _ in es), key=str) for job, es in reads.items()}
    beside |= {(job, "upstream"): min((b for b, _ in es), key=str) for job, es in writes.items()}
    return kept, beside


_AGES = ("fresh", "aging", "stale")


def _join(first: Mapping[str, Any], second: Mapping[str, Any], job: UUID, standin: bool) -> dict[str, Any]:
    """Two halves through a job as one edge: as old as its older half. ``id`` is that of the first half."""
    return {
        "id": first["id"],
        "ids": [*first["ids"], *second["ids"]],
        "provenance": sorted({*first["provenance"], *second["provenance"]}),
        "first_seen": max(first["first_seen"], second["first_seen"]),
        "last_seen": min(first["last_seen"], second["last_seen"]),
        "age": max(first["age"], second["age"], key=_AGES.index),
        "standin": standin,
        "via": [str(job)],
    }


def _merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Two edges between the same two nodes as one: as fresh as the fresher."""
    return {
        "id": one["id"],
        "ids": [*one["ids"], *other["ids"]],
        "provenance": sorted({*one["provenance"], *other["provenance"]}),
        "first_seen": min(one["first_seen"], other["first_seen"]),
        "last_seen": max(one["last_seen"], other["last_seen"]),
        "age": min(one["age"], other["age"], key=_AGES.index),
        "standin": one["standin"] and other["standin"],
        "via": [*one["via"], *other["via"]],
    }
