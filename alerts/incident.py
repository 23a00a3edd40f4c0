"""Incidents: what they are made of, and what joins what. Pure, standard library only.

The rule, in one place. A node *n* went bad at ``since`` and was last good at ``last_good``. A bad node *a* explains it
where a way of edges that runs used leads from *a* to *n* and *a* went bad after *n* was last good (and had not
recovered before *n* went bad). Of several the one that was bad already is taken before one that went bad later, then
the nearest, then the most recent. What nothing explains is the root of an incident, all that follows from it, link by
link, is its symptoms. Where *n* was never good nothing can be said of before and after: only the job that writes it,
or the same run, explains it.

All of that is a function of event times and edges, never of the order in which DLV heard: so failures in any order
end in the same incidents. Which row an incident is, its key and what people were told of it, is kept apart from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

BAD = ("failed", "late")
#: what a node's reason says when nothing speaks of it any more: then it can not be bad any more either
NOTHING_KNOWN = "nothing known yet"
_IDS = UUID("7f0f1c9e-5c5b-4d53-9a57-0a4f6c1de5a1")


@dataclass(frozen=True)
class Change:
    """A transition of one node's own health, as the decision is handed it.

    ``at`` is the event time of what caused it, ``noted_at`` when DLV noticed, ``last_good`` when the node was last made
    or ended well as known then (None: never), ``run`` and ``check`` what turned it.
    """

    transition: int
    node: UUID
    at: datetime
    was: str
    now: str
    reason: str
    noted_at: datetime | None = None
    last_good: datetime | None = None
    run: UUID | None = None
    check: UUID | None = None


@dataclass(frozen=True)
class Member:
    """A node in an incident. ``since`` is when it went bad; ``cause`` the member it follows from, ``hop`` how many
    edges away; ``health`` is failed or late, ok once it recovered."""

    node: UUID
    health: str
    since: datetime
    last_good: datetime | None = None
    recovered_at: datetime | None = None
    run: UUID | None = None
    cause: UUID | None = None
    hop: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Incident:
    """An incident about a node that is open, or was resolved not long ago."""

    id: UUID
    number: int
    root: UUID
    status: str = "open"
    told_at: datetime | None = None
    resolved_at: datetime | None = None
    members: tuple[Member, ...] = ()
    graph_away: bool = False

    @property
    def by_hand(self) -> bool:
        """Closed by people while something in it was bad: it takes nothing in."""
        return self.status == "resolved" and any(m.recovered_at is None for m in self.members)


@dataclass(frozen=True)
class Estate:
    """What the decision is handed of the map: the edges that count among what is bad and what lies between (who flows
    into whom), which of the bad nodes are jobs, and the parent (DAG, application) of those that have one."""

    edges: frozenset[tuple[UUID, UUID]] = frozenset()
    jobs: frozenset[UUID] = frozenset()
    parents: Mapping[UUID, UUID] = field(default_factory=dict)


# ---------------------------------------------------------------- what is to be done


@dataclass(frozen=True)
class Opened:
    """A new incident with this root. ``away``: decided without the graph."""

    incident: UUID
    root: Member
    noted_at: datetime | None
    away: bool = False


@dataclass(frozen=True)
class Joined:
    """This node is a member now, or what is known of it as a member changed."""

    incident: UUID
    member: Member
    was_in: UUID | None = None  # the incident it was moved from
    again: bool = False  # it is a member already and came back


@dataclass(frozen=True)
class Recovered:
    incident: UUID
    node: UUID
    at: datetime


@dataclass(frozen=True)
class Rerooted:
    """A root that showed up later: key and number stay."""

    incident: UUID
    root: UUID
    was: UUID


@dataclass(frozen=True)
class Merged:
    """Taken over, members and all."""

    incident: UUID
    into: UUID


@dataclass(frozen=True)
class Resolved:
    """All members are good again, the last at ``at``."""

    incident: UUID
    at: datetime


@dataclass(frozen=True)
class Reopened:
    incident: UUID
    at: datetime


@dataclass(frozen=True)
class Linked:
    """In doubt: possibly caused by what is in that incident."""

    incident: UUID
    to: UUID
    node: UUID


@dataclass(frozen=True)
class Grouped:
    """What was decided without the graph has been looked at with it."""

    incident: UUID


@dataclass(frozen=True)
class Noted:
    """A transition of a member, for the timeline."""

    incident: UUID
    change: Change


Action = Opened | Joined | Recovered | Rerooted | Merged | Resolved | Reopened | Linked | Grouped | Noted


# ---------------------------------------------------------------- deciding


@dataclass(eq=False)
class _Bad:
    """A member, or a node that just went bad, while deciding."""

    m: Member
    incident: UUID | None = None
    cause: _Bad | None = None
    hop: int | None = None
    recovered_at: datetime | None = None
    health: str = ""
    said: list[Change] = field(default_factory=list)

    def now(self) -> Member:
        return Member(
            self.m.node, self.health, self.m.since, self.m.last_good, self.recovered_at, self.m.run,
            self.cause.m.node if self.cause else None, self.hop, self.m.reason,
        )  # fmt: skip


def decide(
    changes: Iterable[Change],
    incidents: Iterable[Incident],
    estate: Estate,
    *,
    window: timedelta,
    again: Iterable[UUID] = (),
    away: bool = False,
) -> list[Action]:
    """What these changes, in the order in which they were stored, do to the incidents.

    ``incidents``: those of any node named here and of all that lies above or below it, open or resolved within
    ``window`` (a member that breaks again within it stays in its incident). ``again``: members whose place is looked
    for anew, as of incidents that were decided without the graph. ``away``: the graph cannot be asked, so every node
    that goes bad opens an incident of its own, but for what one run did.
    """
    return _Decision(list(incidents), estate, window, away).take(list(changes), set(again))


#: (went bad later, edges away, time between, id): the least explains best
_Rank = tuple[bool, int, timedelta, UUID]
_FAR = 1 << 20


class _Decision:
    def __init__(self, incidents: list[Incident], estate: Estate, window: timedelta, away: bool) -> None:
        self.window, self.away, self.estate = window, away, estate
        self.rows = {i.id: i for i in incidents}
        self.status = {i.id: i.status for i in incidents}
        self.shut = {i.id for i in incidents if i.by_hand}
        self.members: dict[UUID, dict[int, _Bad]] = {}
        self.of: dict[UUID, list[_Bad]] = defaultdict(list)
        self.fresh: dict[int, _Bad] = {}
        self.moved: dict[int, _Bad] = {}
        self.touched: set[UUID] = set()
        self.actions: list[Action] = []
        for i in incidents:
            found = {
                m.node: _Bad(m, i.id, hop=m.hop, recovered_at=m.recovered_at, health=m.health)
                for m in i.members
            }
            root = found.get(i.root)
            for b in found.values():
                # who is not the root and whose cause is gone still follows from the root
                if b is not root:
                    b.cause = (found.get(b.m.cause) if b.m.cause else None) or root
                self.of[b.m.node].append(b)
            self.members[i.id] = {id(b): b for b in found.values()}

    def take(self, changes: list[Change], again: set[UUID]) -> list[Action]:
        for c in changes:
            self._happened(c)
        looked = self.fresh | self.moved
        for id_, bs in self.members.items():
            if self.status[id_] == "open":
                looked |= {k: b for k, b in bs.items() if b.m.node in again and b.recovered_at is None}
        if looked:
            self._explain()
            self._place(looked)
        for id_, i in self.rows.items():
            if i.graph_away and not self.away and any(m.node in again for m in i.members):
                self.actions.append(Grouped(id_))
        self._close()
        return self.actions

    # ------------------------------------------------------------ what happened to whom

    def _home(self, node: UUID, at: datetime) -> _Bad | None:
        """Where a node is a member: bad still, or good again for no longer than the window before ``at``."""
        best: _Bad | None = None
        for b in self.of[node]:
            if b.recovered_at is not None and at - b.recovered_at > self.window:
                continue
            if b.incident is not None and self.status[b.incident] == "resolved":
                ended = self.rows[b.incident].resolved_at
                if ended is not None and at - ended > self.window:
                    continue
            if best is None or _newness(b) > _newness(best):
                best = b
        return best

    def _happened(self, c: Change) -> None:
        home = self._home(c.node, c.at)
        if home is None:
            if c.now in BAD:
                since = c.at if c.last_good is None else max(c.at, c.last_good)
                new = _Bad(
                    Member(c.node, c.now, since, c.last_good, None, c.run, reason=c.reason), health=c.now
                )
                new.said.append(c)
                self.fresh[id(new)] = new
                self.of[c.node].append(new)
            return
        again = home.recovered_at is not None
        if c.now in BAD:
            home.recovered_at, home.health = None, c.now
            # a failure heard of late may be older than the lateness by which it was noticed
            since = home.m.since if again or (home.m.last_good or c.at) > c.at else min(home.m.since, c.at)
            if (since, c.now) != (home.m.since, home.m.health):
                self.moved[id(home)] = home
            home.m = replace(home.m, health=c.now, since=since, run=c.run or home.m.run, reason=c.reason)
        elif again:
            return
        elif c.now == "ok" or (c.now == "unknown" and c.reason == NOTHING_KNOWN):
            home.recovered_at, home.health = max(c.at, home.m.since), "ok"
        if home.incident is None:
            home.said.append(c)
            return
        self._note(home.incident, c)
        if c.now in BAD:
            self.actions.append(Joined(home.incident, home.now(), again=again))
            if self.status[home.incident] == "resolved":
                self._reopen(home.incident, c.at)
        elif home.recovered_at is not None:
            self.actions.append(Recovered(home.incident, c.node, home.recovered_at))

    def _reopen(self, id_: UUID, at: datetime) -> None:
        self.status[id_] = "open"
        self.shut.discard(id_)
        self.actions.append(Reopened(id_, at))

    def _note(self, id_: UUID, c: Change) -> None:
        self.touched.add(id_)
        self.actions.append(Noted(id_, c))

    # ------------------------------------------------------------ what explains what

    def _key(self, b: _Bad) -> tuple[datetime, bool, UUID]:
        """Who went bad before whom: a job before what it writes at the same moment."""
        return (b.m.since, b.m.node not in self.estate.jobs, b.m.node)

    def _open(self) -> list[_Bad]:
        """Who can be explained and explain: all but what people closed while it was bad."""
        return [b for bs in self.of.values() for b in bs if b.incident is None or b.incident not in self.shut]

    def _rank(self, a: _Bad, n: _Bad, hop: int) -> _Rank:
        return (self._key(a) > self._key(n), hop, abs(n.m.since - a.m.since), a.m.node)

    def _explain(self) -> None:
        """Find the cause of all that is bad anew, the earliest first, so that the answer is one of the whole set."""
        self.ways = ways = _Ways(self.of, self.estate, self.away)
        told = sorted(
            (b for b in self._open() if b.recovered_at is None or id(b) in self.fresh), key=self._key
        )
        before = {id(n): n.cause for n in told}
        for n in told:
            n.cause = None
        for n in told:
            best: _Rank | None = None
            was, far = before[id(n)], n.hop
            # no way is known any more, or none ever was: it stays where it was put
            stays = was is not None and (n.m.cause is None or not ways.leads(was.m.node, n.m.node))
            if stays and was is not None and not _follows(was, n):
                best, n.cause = self._rank(was, n, _FAR if far is None else far), was
            for hop, nodes in ways.above(n.m.node):
                if best is not None and not best[0] and best[1] < hop:
                    break  # nothing further away explains it better
                for a in (a for node in nodes for a in self.of[node]):
                    if self._explains(a, n, hop):
                        rank = self._rank(a, n, hop)
                        if (best is None or rank < best) and not _follows(a, n):
                            best, n.cause, n.hop = rank, a, hop
            if n.cause is None:
                n.hop = None

    def _explains(self, a: _Bad, n: _Bad, hop: int) -> bool:
        if a.m.node == n.m.node or (a.incident is not None and a.incident in self.shut):
            return False
        if a.recovered_at is not None:
            # what is only late is noticed late: it may still wait for what has been repaired meanwhile
            grace = self.window if n.m.health == "late" else timedelta(0)
            if a.recovered_at + grace <= n.m.since:
                return False
        if self._key(a) > self._key(n) and self.ways.leads(n.m.node, a.m.node):
            return False  # of a ring the earliest is the root
        if a.m.run is not None and a.m.run == n.m.run:
            return True
        if n.m.last_good is None:
            return hop == 1 and a.m.node in self.estate.jobs and n.m.node not in self.estate.jobs
        return a.m.since > n.m.last_good

    # ------------------------------------------------------------ which incident that is

    def _place(self, looked: Mapping[int, _Bad]) -> None:
        homes: dict[int, list[UUID]] = defaultdict(list)
        for id_, bs in self.members.items():
            root = next((b for b in bs.values() if b.m.node == self.rows[id_].root), None)
            if root is not None and id_ not in self.shut:
                homes[id(_root(root))].append(id_)
        placed = [b for b in self._open() if b.recovered_at is None or id(b) in self.fresh]
        roots = {id(r): r for r in map(_root, placed)}
        order = sorted(roots.values(), key=self._key)
        for r in order:
            self._settle(r, homes[id(r)])
        for b in sorted(placed, key=self._key):
            self._follow(b)
        for b in self.fresh.values():
            assert b.incident is not None
            for c in b.said:
                self._note(b.incident, c)
        for r in order:
            if id(r) in looked:
                self._link(r)

    def _settle(self, root: _Bad, homes: list[UUID]) -> None:
        """The incident of this root: of those it has the one people were told of first, then the oldest; else a new one."""
        if not homes:
            first = root.said[0] if root.said else None
            mark = str(first.transition) if first else root.m.since.isoformat()
            id_ = uuid5(_IDS, f"{root.m.node}/{mark}")
            self.status[id_], self.members[id_] = "open", {}
            self.actions.append(Opened(id_, root.now(), first.noted_at if first else None, self.away))
            if root.incident is not None:
                self.actions.append(Joined(id_, root.now(), was_in=root.incident))
            self._put(root, id_)
            return
        keep, *others = sorted(homes, key=self._age)
        for other in others:
            self.actions.append(Merged(other, keep))
            for b in list(self.members[other].values()):
                self._put(b, keep)
            self.status[other] = "merged"
            self.touched.discard(other)
        if root.incident != keep:
            self.actions.append(Joined(keep, root.now(), was_in=root.incident))
            self._put(root, keep)
        if self.rows[keep].root != root.m.node:
            self.actions.append(Rerooted(keep, root.m.node, self.rows[keep].root))
        if self.status[keep] == "resolved" and root.recovered_at is None:
            self._reopen(keep, root.m.since)

    def _age(self, id_: UUID) -> tuple[bool, float, int]:
        i = self.rows[id_]
        return (i.told_at is None, i.told_at.timestamp() if i.told_at else 0.0, i.number)

    def _put(self, b: _Bad, id_: UUID) -> None:
        if b.incident is not None:
            self.members[b.incident].pop(id(b), None)
            self.touched.add(b.incident)
        b.incident = id_
        self.members[id_][id(b)] = b
        self.touched.add(id_)

    def _follow(self, b: _Bad) -> None:
        """Into the incident of the root it follows from."""
        to = _root(b).incident
        assert to is not None
        before = b.incident
        if before == to:
            if b.m.cause != (b.cause.m.node if b.cause else None):
                self.actions.append(Joined(to, b.now()))
            return
        self.actions.append(Joined(to, b.now(), was_in=before))
        self._put(b, to)
        if self.status[to] == "resolved" and b.recovered_at is None:
            self._reopen(to, b.m.since)

    def _link(self, root: _Bad) -> None:
        """What is bad above a root, and may be its cause or not."""
        found: list[tuple[int, timedelta, UUID, UUID]] = []
        for hop, nodes in self.ways.above(root.m.node):
            for a in (a for node in nodes for a in self.of[node]):
                if a.incident is None or a.incident == root.incident or self.status[a.incident] == "merged":
                    continue
                if a.recovered_at is not None and root.m.since - a.recovered_at > self.window:
                    continue
                if root.m.last_good is None or a.m.since > root.m.last_good:
                    found.append((hop, abs(root.m.since - a.m.since), a.m.node, a.incident))
            if found:
                break
        if found and root.incident is not None and not self.away:
            _, _, node, to = min(found)
            self.actions.append(Linked(root.incident, to, node))

    # ------------------------------------------------------------ what is over

    def _close(self) -> None:
        for id_ in sorted(self.touched):
            ends = [b.recovered_at for b in self.members[id_].values()]
            if self.status[id_] == "open" and ends and None not in ends:
                self.actions.append(Resolved(id_, max(e for e in ends if e)))


def _newness(b: _Bad) -> tuple[bool, datetime]:
    return (b.recovered_at is None, b.m.since)


def _follows(a: _Bad | None, n: _Bad) -> bool:
    """Whether a follows from n already."""
    while a is not None and a is not n:
        a = a.cause
    return a is n


def _root(b: _Bad) -> _Bad:
    while b.cause is not None:
        b = b.cause
    return b


class _Ways:
    """Who leads to whom, and by how many edges."""

    def __init__(self, of: Mapping[UUID, list[_Bad]], estate: Estate, away: bool) -> None:
        self.into: dict[UUID, set[UUID]] = defaultdict(set)
        self.bad = {n for n, bs in of.items() if bs}
        everyone = [b for bs in of.values() for b in bs]
        if not away:
            for a, b in estate.edges:
                self.into[b].add(a)
            for bad in everyone:
                parent = estate.parents.get(bad.m.node)
                if parent is None or parent == bad.m.node:
                    continue
                # a DAG that failed with its own task is that task's symptom; a task that was never started, for
                # the orchestrator skips what lies behind a failure, follows from its DAG
                if bad.m.health == "late" and bad.m.run is None:
                    self.into[bad.m.node].add(parent)
                else:
                    self.into[parent].add(bad.m.node)
        by_run: dict[UUID, set[UUID]] = defaultdict(set)
        for bad in everyone:
            if bad.m.run is not None:
                by_run[bad.m.run].add(bad.m.node)
        for same in by_run.values():
            for node in same - estate.jobs:
                self.into[node] |= same & estate.jobs
        self._kept: dict[UUID, set[UUID]] = {}

    def above(self, node: UUID) -> Iterator[tuple[int, list[UUID]]]:
        """(edges, bad nodes just so many edges above), nearest first, as far as anybody asks."""
        seen = {node}
        level, hop = [node], 0
        while level:
            level = [a for n in level for a in self.into.get(n, ()) if not (a in seen or seen.add(a))]  # type: ignore[func-returns-value]
            hop += 1
            bad = [a for a in level if a in self.bad]
            if bad:
                yield hop, bad

    def leads(self, a: UUID, b: UUID) -> bool:
        if b not in self._kept:
            self._kept[b] = {n for _, nodes in self.above(b) for n in nodes}
        return a in self._kept[b]


# ---------------------------------------------------------------- when people are told


def hold(bad_for: timedelta, group: timedelta, window: timedelta, reopened: int) -> timedelta:
    """How long a recovery has to hold before people are told of it: half as long again as it was broken, at least the
    group time, at most the window; after a relapse the whole window. So what flaps is told once, and once when it is
    over.
    """
    if reopened:
        return max(window, group)
    return max(group, min(bad_for * 1.5, window))


def relapse(group: timedelta, window: timedelta) -> timedelta:
    """How long it has to be broken again, after people were told that it was over, before they are told again."""
    return max(group, window / 3)
