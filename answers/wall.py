"""The wall: one compact list of tiles with their last day, what is broken on top, and how old all of it is.

A snapshot is made once for everybody who asks the same, at most every :data:`FRESH` seconds; browsers that poll with
its ETag are told 304. Nothing here is a component: js/8-wall.js draws it.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson

from alerts import routing
from answers import causes, impact, incidents, nodes, status
from answers import look as look_of
from errors import GraphAway
from store import runs as run_store
from store import silences
from store import standing as record_of
from store import wall as store

if TYPE_CHECKING:
    from answers.context import Dlv
    from store.record import Record

#: seconds for which a snapshot is given again without looking
FRESH = 2.0
#: seconds for which an older one is given while somebody makes the next
STALE = 6.0
#: tiles at most, the worst; what is left out is counted
MOST = 6000
#: buckets of history and the seconds of each
BARS, BUCKET = 24, 3600
#: open incidents, and root causes without one, told in full on top
TOLD, ROOTS = 12, 6
#: different questions kept at once
_KEPT = 24
#: seconds for which the blast radius of a root without an incident is kept
_RADIUS = 30.0

#: own health by its number in a row and its digit in the bars; 5 is an hour in which DLV itself did not look
STATES = ("ok", "warn", "late", "failed", "unknown")
GAP = 5
#: which state an hour is remembered by, worst last
_RANK = {4: 0, 0: 1, 1: 2, 2: 3, 3: 4}
ROLES = (None, "root", "symptom", "at_risk")
#: what a row says, by place; js/8-wall.js reads the same list. `id` in base64url (:func:`short`), `since` in minutes of
#: the epoch, 0 where all is well; `marks`: 1 running, 2 muted, 4 paused, and criticality times 8; kind, place, team,
#: pipeline and silence are places in the lists beside. What says nothing at the end of a row is left out
ROW = (
    "id",
    "name",
    "health",
    "role",
    "since",
    "kind",
    "place",
    "team",
    "pipeline",
    "bars",
    "marks",
    "reason",
    "silence",
)
#: what a kind says, by place: 'Postgres table', 'Postgres', then as the record has it, then the icon
KIND = ("label", "system_label", "kind", "system", "type", "mark")
#: what the list can be cut down by
FILTERS = ("environment", "system", "team", "type", "tag", "q")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Snapshot:
    """What everybody who asks the same is shown. ``at``: when it was looked at; ``packed``: compressed forms of
    ``body``, filled by whoever sends it.
    """

    body: bytes
    etag: str
    at: datetime
    packed: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    snapshot: Snapshot | None = None
    made: float = -1e9


@dataclass
class _Memory:
    """What one record's wall remembers between two looks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    slots: OrderedDict[Any, _Slot] = field(default_factory=OrderedDict)
    bars: tuple[Any, dict[UUID, list[tuple[datetime, int, int]]]] | None = None
    radius: dict[UUID, tuple[float, dict[str, Any]]] = field(default_factory=dict)


_memories: WeakKeyDictionary[Record, _Memory] = WeakKeyDictionary()
_all = threading.Lock()


def _memory(record: Record) -> _Memory:
    with _all:
        return _memories.setdefault(record, _Memory())


def forget(record: Record) -> None:
    """Drop what is kept for this record (a test, or a change that must show at once)."""
    with _all:
        _memories.pop(record, None)


def snapshot(dlv: Dlv, filters: Mapping[str, Any] | None = None, *, unknown: bool = False) -> Snapshot:
    """The wall as JSON bytes, see :func:`look`. Raises :class:`errors.RecordAway` where nobody can look."""
    said = {k: v for k, v in (filters or {}).items() if v}
    key = (unknown, tuple(sorted((k, str(v)) for k, v in said.items())))
    memory = _memory(dlv.record)
    with memory.lock:
        slot = memory.slots.setdefault(key, _Slot())
        memory.slots.move_to_end(key)
        while len(memory.slots) > _KEPT:
            memory.slots.popitem(last=False)
    kept, age = slot.snapshot, time.monotonic() - slot.made
    if kept and age < FRESH:
        return kept
    # one looks, the others are shown what was there a moment ago
    if not slot.lock.acquire(blocking=kept is None or age > STALE):
        assert kept
        return kept
    try:
        if slot.snapshot and time.monotonic() - slot.made < FRESH:
            return slot.snapshot
        at = datetime.now(UTC)
        body = orjson.dumps(look(dlv, said, unknown=unknown, now=at))
        etag = hashlib.blake2b(body, digest_size=12).hexdigest()
        old = slot.snapshot
        same = old is not None and old.etag == etag
        slot.snapshot = Snapshot(body, etag, at, old.packed if same and old else {})
        slot.made = time.monotonic()
        return slot.snapshot
    finally:
        slot.lock.release()


def look(
    dlv: Dlv, filters: Mapping[str, Any] | None = None, *, unknown: bool = False, now: datetime | None = None
) -> dict[str, Any]:
    """{counts, incidents, roots, down, rows, …}: the wall as of ``now``. Says nothing that changes while nothing
    happens, so that equal answers are equal bytes.

    ``rows`` are tiles in the order of :data:`ROW`, the worst first. ``kinds`` (see :data:`KIND`),
    ``places`` ([namespace, environment]), ``teams``, ``pipelines`` ([id, name]) and ``silences`` ([kind, until when,
    why]) are what rows point into. ``until`` is the end of the newest bar. ``total`` counts all tiles, ``cut`` those left out, ``unheard`` nodes of which nothing
    was ever known. ``roots`` are root causes that no incident holds yet; ``down`` are parts of DLV that do not work.
    """
    said = dict(filters or {})
    now = now or datetime.now(UTC)
    environments = _list(said.get("environment"))
    standing = status.standing(dlv)
    counts = status.counts(dlv, environments)
    until = _hour(now)
    since = until - timedelta(seconds=BARS * BUCKET)
    with dlv.record.read() as conn:
        found = store.tiles(conn, said, MOST, unknown=unknown)
        pipes = store.pipelines(conn, [r["id"] for r in found])
        quiet = routing.quiet(map(_facts, found), silences.active(conn, now), now)
        gaps = store.gaps(conn, since)
        unheard = store.unheard(conn, said)
        stamp = (since, *store.changed(conn, since))
        memory = _memory(dlv.record)
        if memory.bars is None or memory.bars[0] != stamp:
            memory.bars = (stamp, _by_node(store.transitions(conn, since)))
    changes = memory.bars[1]
    hidden = blind(gaps, since, now)
    lists = {name: _Places() for name in ("kinds", "places", "teams", "pipelines", "silences")}
    rows = []
    for r in found:
        pipe = pipes.get(r["id"])
        role = standing.role(r["id"])
        bad = r["health"] in ("failed", "late", "warn")
        tail: list[Any] = [r["health_reason"][:120]] if bad else []
        if held := quiet.get(r["id"]):
            said_of = (held[0].kind, status.iso(held[1]), held[0].reason)
            tail = [*(tail or [""]), lists["silences"].of(said_of)]
        rows.append(
            [
                short(r["id"]),
                r["name"],
                STATES.index(r["health"]),
                ROLES.index(role),
                int(r["health_since"].timestamp() // 60) if bad and r["health_since"] else 0,
                lists["kinds"].of((look_of.kind(r), look_of.system(r["system"]), *_plain(r))),
                lists["places"].of((r["namespace"], r["environment"])),
                lists["teams"].of(r["owner_name"]),
                lists["pipelines"].of((str(pipe[0]), pipe[1]) if pipe else None),
                bars(r, changes.get(r["id"], ()), since, now, hidden),
                r["running"] | r["muted"] << 1 | r["paused"] << 2 | (r["criticality"] or 0) << 3,
                *tail,
            ]
        )
    rows.sort(key=_worst)
    total = found[0]["total"] if found else 0
    return {
        "counts": {k: v for k, v in counts.items() if k != "parts"},
        "incidents": _incidents(dlv, environments),
        "roots": _loose(dlv, standing, environments),
        "down": down(counts),
        "until": status.iso(until),
        **{name: places.all() for name, places in lists.items()},
        "rows": rows,
        "total": total,
        "cut": total - len(rows),
        "unheard": 0 if unknown else unheard,
    }


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or [])


def short(id_: UUID) -> str:
    """The 16 bytes of an id in base64url: 22 characters instead of 36."""
    return base64.urlsafe_b64encode(id_.bytes)[:22].decode()


def _plain(r: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return r["kind"], r["system"], r["type"], look_of.mark_of(r["system"], r["kind"], r["type"])


def _facts(r: Mapping[str, Any]) -> routing.Facts:
    return routing.Facts(r["id"], frozenset(r["tags"]), r["owner_id"], r["environment"])


class _Places:
    """Values by their place in a list, so that a row says a number."""

    def __init__(self) -> None:
        self._at: dict[Any, int] = {}

    def of(self, value: Any) -> int:
        return self._at.setdefault(value, len(self._at))

    def all(self) -> list[Any]:
        return list(self._at)


#: (health, role) from what must be seen first to what may be folded away
_FIRST = (
    (3, 1), (2, 1), (1, 1), (4, 1), (3, 2), (2, 2), (3, 0), (2, 0), (3, 3), (2, 3), (1, 2), (1, 0), (1, 3), (4, 2), (0, 3),
    (4, 3), (4, 0), (0, 0),
)  # fmt: skip
_ORDER = {pair: n for n, pair in enumerate(_FIRST)}


def _worst(row: Sequence[Any]) -> tuple[Any, ...]:
    """Roots before symptoms before the rest; among equals the more critical, then by name."""
    return (_ORDER.get((row[2], row[3]), 99), (row[10] >> 3) or 9, row[1], row[0])


def _hour(now: datetime) -> datetime:
    """End of the bucket that ``now`` is in."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(seconds=BUCKET)


def _by_node(found: Iterable[Mapping[str, Any]]) -> dict[UUID, list[tuple[datetime, int, int]]]:
    out: dict[UUID, list[tuple[datetime, int, int]]] = {}
    for r in found:
        out.setdefault(r["node_id"], []).append((r["at"], STATES.index(r["was"]), STATES.index(r["now"])))
    return out


def blind(gaps: Iterable[Mapping[str, Any]], since: datetime, now: datetime) -> frozenset[int]:
    """Buckets of which DLV did not look for at least half."""
    seconds = [0.0] * BARS
    for g in gaps:
        for i in range(BARS):
            start = since + timedelta(seconds=i * BUCKET)
            end = min(start + timedelta(seconds=BUCKET), now)
            seconds[i] += max(
                0.0, (min(g["ended_at"] or now, end) - max(g["began_at"], start)).total_seconds()
            )
    lasts = [min(BUCKET, (now - since).total_seconds() - i * BUCKET) for i in range(BARS)]
    return frozenset(i for i in range(BARS) if lasts[i] > 0 and seconds[i] >= lasts[i] / 2)


def bars(
    row: Mapping[str, Any],
    changes: Sequence[tuple[datetime, int, int]],
    since: datetime,
    now: datetime,
    hidden: frozenset[int],
) -> str:
    """The worst own health of each hour, two hours a character in base 36 (older times six plus newer), the oldest
    first; where the text is shorter, its first character holds for all before it.

    An hour in which DLV did not look is a gap, unless something bad is known of it. Before a node was first seen
    nothing is known.
    """
    state = changes[0][1] if changes else STATES.index(row["health"])
    worst = [-1] * BARS
    at = 0
    for moment, _, new in [*changes, (now, 0, -1)]:
        i = min(BARS - 1, max(0, int((moment - since).total_seconds() // BUCKET)))
        # a state holds until the change, not into the hour that begins with it
        begins = (moment - since).total_seconds() == i * BUCKET
        for j in range(at, i if begins else i + 1):
            if worst[j] < 0 or _RANK[state] > _RANK[worst[j]]:
                worst[j] = state
        at, state = i, new
    first = (row["first_seen"] - since).total_seconds() // BUCKET
    for i in range(BARS):
        if worst[i] < 0 or (i < first and _RANK[worst[i]] < 2):
            worst[i] = 4
        if i in hidden and _RANK[worst[i]] < 2:
            worst[i] = GAP
    text = "".join(_DIGITS[worst[i] * 6 + worst[i + 1]] for i in range(0, BARS, 2))
    return text[0] + text.lstrip(text[0])


def unpacked(text: str) -> list[str]:
    """The bars of a row again, a word an hour; 'gap' where DLV did not look."""
    whole = text[0] * (BARS // 2 - len(text)) + text
    digits = [d for c in whole for d in divmod(_DIGITS.index(c), 6)]
    return [(*STATES, "gap")[d] for d in digits]


# ---------------------------------------------------------------- on top


def _drawn(n: Mapping[str, Any]) -> dict[str, str]:
    """What the mark beside a name needs."""
    return {
        "what": look_of.kind(n),
        "system": n["system"],
        "mark": look_of.mark_of(n["system"], n["kind"], n["type"]),
    }


def open_incidents(dlv: Dlv, environments: Sequence[str] = ()) -> dict[str, Any]:
    """{open, unacknowledged, by_severity}, as :func:`answers.status.counts` has them."""
    with dlv.record.read() as conn:
        return store.open_count(conn, environments)


def call(dlv: Dlv, owner: str | None, hit: Mapping[str, int]) -> list[dict[str, Any]]:
    """Who to call: the owner's team first, then those that are hit ({team id: nodes}), the most hit first; each with
    people and channels.
    """
    ids = {t for t in [owner, *hit] if t}
    with dlv.record.read() as conn:
        teams = [nodes.plain(t) for t in store.teams(conn, [UUID(i) for i in ids])]
    said = [t | {"owns": t["id"] == owner, "hit": hit.get(t["id"], 0)} for t in teams]
    return sorted(said, key=lambda t: (not t["owns"], -t["hit"], t["name"]))


def _incidents(dlv: Dlv, environments: Sequence[str]) -> list[dict[str, Any]]:
    """Open incidents as the wall tells them, the most severe first. A quiet producer is of every environment."""
    found = incidents.page(dlv, {"environment": list(environments)}, TOLD)["items"]
    return [_incident(i) for i in found]


def _incident(i: Mapping[str, Any]) -> dict[str, Any]:
    root, blast = i["root"], i["blast"]
    said = root or {"kind": "producer", "system": "", "type": "job"}
    return {
        "incident": i["id"],
        "number": i["number"],
        "severity": i["severity"],
        "title": i["title"],
        "error": i["error"][:240],
        "log": i["log_url"],
        "node": root["id"] if root else None,
        "name": root["name"] if root else (i["producer"] or {}).get("name", ""),
        "namespace": root["namespace"] if root else "",
        "health": root["health"] if root else "unknown",
        **_drawn(said),
        "since": i["opened_at"],
        "owner": i["owner_name"] or (root or {}).get("owner_name") or "",
        "taken": i["assignee"] or i["acknowledged_by"] or "",
        "total": blast.get("total"),
        "hops": len(blast.get("by_hop") or []) or None,
        "teams": len(blast.get("teams") or []),
        **{k: i["members"][k] for k in ("failed", "late", "recovered")},
    }


def _loose(dlv: Dlv, standing: status.Standing, environments: list[str]) -> list[dict[str, Any]]:
    """Root causes that no open incident holds: decided about in a moment, or the alerter is away. While the graph is
    away, whatever is failed or late: who is a root is not known, and silence would be a lie.
    """
    with dlv.record.read() as conn:
        loose = standing.roots
        if loose is None:
            loose = frozenset(r["id"] for r in record_of.bad(conn))
        taken = store.held(conn, list(loose))
    found = [
        n
        for n in nodes.many(dlv, sorted(loose - taken.keys()))
        if not environments or n["environment"] in environments
    ]
    found.sort(key=lambda n: (n["criticality"] or 9, n["health_since"] or "", n["name"]))
    with dlv.record.read() as conn:
        said = run_store.last_errors(conn, [UUID(n["id"]) for n in found[:ROOTS]])
    out: list[dict[str, Any]] = []
    for n in found[:ROOTS]:
        run = said.get(UUID(n["id"]), {})
        radius = _radius(dlv, UUID(n["id"])) if standing.reason is None else {}
        out.append(
            {
                "incident": None,
                "node": n["id"],
                **{k: n[k] for k in ("name", "namespace", "health", "criticality")},
                **_drawn(n),
                "error": (run.get("error") or n["health_reason"])[:240],
                "log": run.get("log_url"),
                "since": n["health_since"],
                "owner": n["owner_name"],
                "total": radius.get("total"),
                "hops": radius.get("hops"),
                "teams": radius.get("teams", 0),
                "more": len(found) - ROOTS if len(out) == ROOTS - 1 and len(found) > ROOTS else 0,
            }
        )
    return out


def _radius(dlv: Dlv, node: UUID) -> dict[str, Any]:
    """{total, hops, teams} below a node; kept for a while, for a hub's takes its time. {} where the graph is away."""
    memory = _memory(dlv.record)
    kept = memory.radius.get(node)
    if kept and time.monotonic() - kept[0] < _RADIUS:
        return kept[1]
    try:
        found = impact.impact(dlv, node, limit=1)
    except GraphAway:
        return {}
    said = {
        "total": found["total"],
        "hops": found["by_hop"][-1]["key"] if found["by_hop"] else 0,
        "teams": sum(t["key"] is not None for t in found["by_team"]),
    }
    if len(memory.radius) > 500:
        memory.radius.clear()
    memory.radius[node] = (time.monotonic(), said)
    return said


#: how parts of DLV are called where people read of them, and what it means that one is down
PARTS = {
    "record": ("Postgres", "nothing new is known"),
    "graph": ("The graph", "root causes, symptoms and what is at risk are not told apart"),
    "ingest": ("Reading of events", "runs of the last minutes may be missing"),
    "fold": ("Reading of events", "events are accepted, and show once they are read"),
    "project": ("The projector", "the map does not follow what changes"),
    "scheduler": ("The scheduler", "no check is due, nothing turns late, and work starts late"),
    "check": ("The check worker", "checks do not look; what they said is old"),
    "alert": ("The alerter", "no incident is opened, and nobody is told"),
    "queue": ("Redis", "work starts late"),
}
#: parts without which what tiles say is not looked at any more: a green one may long be red
BLIND = frozenset({"record", "ingest", "fold", "scheduler", "check"})
#: seconds that the oldest event may wait before the wall says that it is behind
BEHIND = 60.0


def down(counts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parts of DLV that do not work: {part, name, since, means, blind}, for the banner; ``blind``: what the tiles say is
    old without this one.
    """
    out = []
    for part, said in counts["parts"].items():
        since, ok = said.get("since"), said.get("ok", True)
        if part == "ingest":
            # an event set aside is a matter for admins; events that wait too long make the wall old
            oldest = nodes.time_of(said["oldest"], "oldest") if said.get("oldest") else None
            ok = oldest is None or (datetime.now(UTC) - oldest).total_seconds() < BEHIND
            since = said.get("oldest")
        if ok:
            continue
        name, means = PARTS.get(part, (part.capitalize(), said.get("reason") or "it does not work"))
        out.append({"part": part, "name": name, "since": since, "means": means, "blind": part in BLIND})
    if counts.get("nobody_told"):
        means = "incidents are open, and no alert rule leads to a channel"
        out.append(
            {"part": "alert rules", "name": "Nobody is told", "since": None, "means": means, "blind": False}
        )
    return out


# ---------------------------------------------------------------- one tile, asked why


def why(dlv: Dlv, id_: str | UUID) -> dict[str, Any]:
    """{causes, more, incident, blast, call, reason}: what a red tile's reader asks first.

    ``causes`` are the node's root causes ({…node, error, log_url, path: [node]}), the node itself where it is one, that of
    its incident (with no path) where no edge leads to one;
    ``more`` counts further ones. ``blast`` ({total, by_hop, by_team}) is of the first cause. ``call`` are the teams of
    the causes and of what they reach ({id, name, people, channels, owns, hit}), those who own the cause first.
    ``reason`` says why the graph could not be asked.
    """
    node = nodes.get(dlv, id_)
    me = UUID(node["id"])
    with dlv.record.read() as conn:
        incident = store.incident_of(conn, me)
    out: dict[str, Any] = {"node": node, "causes": [], "more": 0, "blast": None, "call": [], "reason": None}
    out["incident"] = nodes.plain(incident) if incident else None
    try:
        found = [] if node["role"] == "root" else _roots_above(dlv, me)
        out["more"] = max(0, len(found) - 3)
        if not found and node["role"] == "symptom" and incident and incident["root"] not in (None, me):
            # no edge leads there, and the incident knows it all the same
            found = [_itself(dlv, nodes.get(dlv, incident["root"]))]
        if not found:
            found = [_itself(dlv, node)] if node["health"] in ("failed", "late") else []
        out["causes"] = [c | {"path": _named(dlv, c["path"])} for c in found[:3]]
        if found:
            first = impact.impact(dlv, found[0]["id"], limit=1)
            out["blast"] = {k: first[k] for k in ("total", "by_hop", "by_team")}
    except GraphAway as e:
        out["reason"] = e.message
        if not out["causes"] and node["health"] in ("failed", "late"):
            out["causes"] = [_itself(dlv, node) | {"path": []}]
    hit = {t["key"]: t["n"] for t in (out["blast"] or {}).get("by_team", []) if t["key"]}
    out["call"] = call(dlv, out["causes"][0]["owner"] if out["causes"] else None, hit)
    return out


def _roots_above(dlv: Dlv, me: UUID) -> list[dict[str, Any]]:
    return [c for c in causes.causes(dlv, me)["items"] if c["root"]]


def _itself(dlv: Dlv, node: Mapping[str, Any]) -> dict[str, Any]:
    with dlv.record.read() as conn:
        said = run_store.last_errors(conn, [UUID(node["id"])]).get(UUID(node["id"]), {})
    error = said.get("error") or node["health_reason"]
    return dict(node) | {"root": True, "hop": 0, "path": [], "error": error, "log_url": said.get("log_url")}


def _named(dlv: Dlv, path: Iterable[str]) -> list[dict[str, Any]]:
    keys = ("id", "name", "type", "kind", "system", "namespace", "health", "role")
    return [{k: n[k] for k in keys} for n in nodes.many(dlv, [UUID(p) for p in path])]
