"""What the decision about incidents reads, and how its answer is written, both in one transaction.

A transition waits in ``transition_pending`` until the transaction that decided about it removes it there: killed at
any moment, nothing is lost and nothing is done twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from alerts import incident as said
from alerts.incident import BAD, Action, Change, Incident, Member
from graph.model import GraphEdge
from store.record import LOCK_INCIDENTS, Conn

#: an edge counts where one of the newest so many runs of its job that named any data used it
RUNS = 5
#: how long a transition waits for the graph to learn what came with it
PATIENCE = timedelta(seconds=15)
#: how often an open incident is weighed anew, for SLAs come nearer by themselves
WEIGH_EVERY = timedelta(minutes=5)
#: further messages of an incident wait so long, so that what comes together is told together
SETTLE = timedelta(seconds=15)


def hold(conn: Conn) -> bool:
    """Be the only one to decide until this transaction ends; False where somebody else does."""
    row = conn.execute("select pg_try_advisory_xact_lock(%s) as mine", (LOCK_INCIDENTS,)).fetchone()
    return bool(row and row["mine"])


# ---------------------------------------------------------------- what is to be decided


def pending(conn: Conn, now: datetime, limit: int) -> list[Change]:
    """Transitions nobody has decided about, in the order in which they were stored.

    What the graph has still to learn may be how they hang together, so they wait for it, but not for long; and none
    goes before one that was stored earlier, for it may be of the same node.
    """
    rows = conn.execute(
        """select t.id, coalesce(a.node_id, t.node_id) as node_id, t.at, t.noted_at, t.was, t.now, t.reason, t.run_key,
                  t.check_id, t.made_at, c.kind as check_kind,
                  case when t.check_id is not null and t.made_at is null and t.now in ('failed', 'late') then
                    (select max(r.slot_at) from check_result r
                      where r.check_id = t.check_id and r.status = 'ok' and r.slot_at < t.at
                        and r.slot_at > t.at - interval '30 days') end as last_ok
             from transition_pending p join transition t on t.id = p.transition_id
             left join alias a on a.id = t.node_id left join health_check c on c.id = t.check_id
            where p.transition_id < coalesce(
                    (select min(w.transition_id) from transition_pending w
                      where w.marked_at >= %(now)s - %(patience)s
                        and w.marked_at >= (select min(marked_at) from graph_dirty)), %(all)s)
            order by t.id limit %(limit)s""",
        {"now": now, "patience": PATIENCE, "limit": limit, "all": 1 << 62},
    )
    return [
        Change(
            r["id"], r["node_id"], r["at"], r["was"], r["now"], r["reason"], r["noted_at"], _last_good(r),
            r["run_key"], r["check_id"],
        )
        for r in rows
    ]  # fmt: skip


def _last_good(r: Mapping[str, Any]) -> datetime | None:
    """When a node was last good before it went bad: last made or ended well. Of what no run makes, when the check that
    failed last found it good; but the age of data is found good until long after it was made."""
    if r["made_at"] is not None or r["check_kind"] == "freshness":
        return r["made_at"]  # type: ignore[no-any-return]
    return r["last_ok"]  # type: ignore[no-any-return]


def decided(conn: Conn, changes: Iterable[Change]) -> None:
    conn.execute(
        "delete from transition_pending where transition_id = any(%s)", ([c.transition for c in changes],)
    )


def strays(conn: Conn, now: datetime, window: timedelta) -> list[Change]:
    """Members that are not bad any more though no transition says so: off the map, joined to another node, or at warn
    for longer than the window (a retry that pends is no recovery, a limit that is passed for good is no failure)."""
    rows = conn.execute(
        """select distinct n.id, n.health, n.health_since,
                  n.retired_at is not null or n.dropped_at is not null as gone
             from incident_member m join incident i on i.id = m.incident_id and i.status = 'open'
             join alias a on a.id = m.node_id join node n on n.id = a.node_id
            where m.recovered_at is null
              and (n.retired_at is not null or n.dropped_at is not null or n.health = 'ok'
                   or (n.health = 'warn' and n.health_since < %(now)s - %(window)s))
              and not exists (select 1 from transition_pending p join transition t on t.id = p.transition_id
                               where t.node_id = m.node_id or t.node_id = n.id)""",
        {"now": now, "window": window},
    )
    return [
        Change(
            0, r["id"], now if r["gone"] else r["health_since"] or now, "failed", "ok",
            "no longer on the map" if r["gone"] else f"it is {r['health']}", now,
        )
        for r in rows
    ]  # fmt: skip


def follow_merges(conn: Conn) -> None:
    """Members and roots of what is open go by the node that their alias belongs to now."""
    conn.execute(
        """with moved as (
             select m.incident_id, m.node_id as old, a.node_id as new,
                    exists (select 1 from incident_member x where x.incident_id = m.incident_id and x.node_id = a.node_id)
                      or row_number() over (partition by m.incident_id, a.node_id order by m.role, m.node_id) > 1 as double
               from incident_member m join incident i on i.id = m.incident_id and i.status <> 'merged'
               join alias a on a.id = m.node_id and a.node_id <> m.node_id),
           gone as (delete from incident_member m using moved w
                     where w.double and m.incident_id = w.incident_id and m.node_id = w.old)
           update incident_member m set node_id = w.new from moved w
            where not w.double and m.incident_id = w.incident_id and m.node_id = w.old"""
    )
    conn.execute(
        """update incident i set root_node = a.node_id from alias a
            where a.id = i.root_node and a.node_id <> i.root_node and i.status <> 'merged'"""
    )
    conn.execute(
        """update incident_member m set role = 'root' from incident i
            where i.id = m.incident_id and i.status <> 'merged' and m.node_id = i.root_node and m.role <> 'root'"""
    )


# ---------------------------------------------------------------- what there is already


def alive(conn: Conn, now: datetime, window: timedelta) -> dict[UUID, set[UUID]]:
    """{node: incidents} of all members of what is open, or was resolved within the window."""
    out: dict[UUID, set[UUID]] = defaultdict(set)
    for r in conn.execute(
        """select m.node_id, m.incident_id from incident i join incident_member m on m.incident_id = i.id
            where i.root_type = 'node' and (i.status = 'open' or (i.status = 'resolved' and i.resolved_at > %s))""",
        (now - 2 * window,),
    ):
        out[r["node_id"]].add(r["incident_id"])
    return out


def load(conn: Conn, ids: Iterable[UUID]) -> list[Incident]:
    """These incidents with all their members, the oldest first."""
    wanted = list(ids)
    members: dict[UUID, list[Member]] = defaultdict(list)
    for r in conn.execute(
        "select * from incident_member where incident_id = any(%s) order by node_id", (wanted,)
    ):
        members[r["incident_id"]].append(
            Member(
                r["node_id"], r["health"], r["joined_at"], r["last_good"], r["recovered_at"], r["run_key"], r["cause"],
                r["hop"], r["reason"],
            )
        )  # fmt: skip
    return [
        Incident(
            r["id"], r["number"], r["root_node"], r["status"], r["told_at"], r["resolved_at"], tuple(members[r["id"]]),
            r["graph_away"],
        )
        for r in conn.execute("select * from incident where id = any(%s) order by number", (wanted,))
    ]  # fmt: skip


def to_look_at_again(conn: Conn, now: datetime) -> tuple[set[UUID], set[UUID]]:
    """(members of what was decided without the graph, members of what people are about to be told of): their place is
    looked for once more."""
    away: set[UUID] = set()
    soon: set[UUID] = set()
    for r in conn.execute(
        """select m.node_id, i.graph_away from incident i join incident_member m on m.incident_id = i.id
            where i.status = 'open' and i.root_type = 'node' and m.recovered_at is null
              and (i.graph_away or (i.told_at is null and i.notify_at <= %s and m.node_id = i.root_node))""",
        (now,),
    ):
        (away if r["graph_away"] else soon).add(r["node_id"])
    return away, soon


@dataclass(frozen=True)
class Family:
    """Which of some nodes are jobs, and their parents."""

    jobs: frozenset[UUID]
    parents: Mapping[UUID, UUID]


def family(conn: Conn, nodes: Iterable[UUID]) -> Family:
    rows = conn.execute("select id, type, parent_id from node where id = any(%s)", (list(nodes),)).fetchall()
    return Family(
        frozenset(r["id"] for r in rows if r["type"] == "job"),
        {r["id"]: r["parent_id"] for r in rows if r["parent_id"] is not None},
    )


def used(conn: Conn, pairs: Iterable[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Those of these edges between nodes that count: they hold now, and one of the newest :data:`RUNS` runs of the job
    that named any data used them. Where no run of the job named data (a view, a line drawn by hand, a scan) an edge
    counts as it holds.
    """
    wanted = sorted({GraphEdge(a, b) for a, b in pairs}, key=lambda e: (e.source, e.target))
    rows = conn.execute(
        """with pair as (select * from unnest(%s::uuid[], %s::uuid[]) as p(source, target)),
           held as (
             select p.source, p.target, e.id, case when s.type = 'job' then s.id else t.id end as job
               from pair p join alias s on s.node_id = p.source join edge e on e.source = s.id
               join alias t on t.id = e.target and t.node_id = p.target
              where e.retired_at is null
                and exists (select 1 from edge_interval i where i.edge_id = e.id and i.valid_to is null)),
           job as (select distinct job from held),
           seen as (
             select j.job, p.run_key, max(p.last_at) as at
               from job j
               join lateral (select id from edge where source = j.job union all
                             select id from edge where target = j.job) e on true
               join lateral (select run_key, last_at from edge_run r
                              where r.edge_id = e.id and r.run_key <> e.id and r.provenance in ('openlineage', 'dbt')
                              order by last_at desc limit %s) p on true
              group by j.job, p.run_key),
           newest as (
             select job, run_key from (
               select *, row_number() over (partition by job order by at desc, run_key) as k from seen) s
              where k <= %s)
           select distinct h.source, h.target from held h
            where not exists (select 1 from newest n where n.job = h.job)
               or exists (select 1 from edge_run r where r.edge_id = h.id and r.provenance not in ('openlineage', 'dbt'))
               or exists (select 1 from newest n join edge_run r on r.run_key = n.run_key and r.edge_id = h.id
                           where n.job = h.job)""",
        ([p.source for p in wanted], [p.target for p in wanted], RUNS, RUNS),
    )
    return {(r["source"], r["target"]) for r in rows}


# ---------------------------------------------------------------- what was decided


def apply(
    conn: Conn,
    actions: Iterable[Action],
    now: datetime,
    *,
    wait: Mapping[UUID, int],
    group: timedelta,
    window: timedelta,
) -> list[UUID]:
    """Write what was decided; returns the incidents that changed, for weighing.

    ``wait``: {node: seconds} how long failures of a node gather before they are told, where that is not ``group``.
    """
    writing = _Writing(conn, list(actions), now, wait, group, window)
    for action in writing.actions:
        writing.write(action)
    writing.finish()
    return sorted(writing.changed)


class _Writing:
    def __init__(
        self,
        conn: Conn,
        actions: list[Action],
        now: datetime,
        wait: Mapping[UUID, int],
        group: timedelta,
        window: timedelta,
    ) -> None:
        self.conn, self.actions, self.now = conn, actions, now
        self.wait, self.group, self.window = wait, group, window
        self.changed: set[UUID] = set()
        self.members: list[dict[str, Any]] = []
        self.soon: dict[UUID, timedelta] = {}
        self.retitled: set[UUID] = set()
        self.lines: list[tuple[UUID, datetime, str, str, UUID | None, Jsonb | None]] = []
        nodes: set[UUID] = set()
        for a in actions:
            if isinstance(a, (said.Opened, said.Rerooted)):
                nodes.add(a.root.node if isinstance(a, said.Opened) else a.root)
            elif isinstance(a, said.Joined):
                nodes |= {a.member.node} | ({a.member.cause} if a.member.cause else set())
            elif isinstance(a, said.Noted):
                nodes.add(a.change.node)
            elif isinstance(a, (said.Recovered, said.Linked)):
                nodes.add(a.node)
        self.nodes = {
            r["id"]: r
            for r in conn.execute(
                "select id, type, name, owner_id from node where id = any(%s)", (list(nodes),)
            )
        }
        runs = {a.change.run for a in actions if isinstance(a, said.Noted) and a.change.run}
        self.runs = {
            r["key"]: r
            for r in conn.execute(
                """select r.key, r.run_id, r.state, r.error, r.log_url, r.ended_at from run_key k
                     join run r on r.day = k.day and r.key = k.key where k.key = any(%s)""",
                (list(runs),),
            )
        }

    def name(self, node: UUID) -> str:
        row = self.nodes.get(node)
        return row["name"] if row else str(node)

    def line(
        self, id_: UUID, at: datetime, kind: str, text: str, node: UUID | None = None, **detail: Any
    ) -> None:
        self.changed.add(id_)
        self.lines.append((id_, at, kind, text[:2000], node, Jsonb(detail) if detail else None))

    def write(self, a: Action) -> None:
        if isinstance(a, (said.Merged, said.Rerooted, said.Recovered)):
            self._flush()
        getattr(self, "_" + type(a).__name__.lower())(a)

    # ------------------------------------------------------------ one method an action

    def _opened(self, a: said.Opened) -> None:
        node = self.nodes.get(a.root.node, {})
        noted = a.noted_at or self.now
        self.conn.execute(
            """insert into incident (id, key, root_node, title, error, owner_id, opened_at, noted_at, episode_at,
                                     notify_at, graph_away, weigh_at)
               values (%(id)s, %(key)s, %(root)s, %(title)s, %(error)s, %(owner)s, %(at)s, %(noted)s, %(noted)s,
                       %(due)s, %(away)s, %(now)s)""",
            {
                "id": a.incident, "key": f"dlv-{a.incident}", "root": a.root.node,
                "title": _title(self.name(a.root.node), a.root.health), "error": _first_line(a.root.reason),
                "owner": node.get("owner_id"), "at": a.root.since, "noted": noted, "now": self.now,
                "due": noted + self._gather(a.root.node), "away": a.away,
            },
        )  # fmt: skip
        self._member(a.incident, a.root, "root")
        self.retitled.add(a.incident)
        self.line(
            a.incident, a.root.since, "opened", f"Opened: {_title(self.name(a.root.node), a.root.health)}",
            a.root.node, **({"graph_away": True} if a.away else {}),
        )  # fmt: skip

    def _joined(self, a: said.Joined) -> None:
        m = a.member
        if a.was_in is not None:
            self._flush()
            self.conn.execute(
                "delete from incident_member where incident_id = %s and node_id = %s", (a.was_in, m.node)
            )
            self.line(
                a.was_in, self.now, "joined", f"{self.name(m.node)} belongs to another incident", m.node
            )
        self._member(a.incident, m, None)
        if m.cause is None:
            self.retitled.add(a.incident)
        if a.again:
            return
        text = f"{self.name(m.node)} joined: it {_verb(m.health)}"
        if m.cause is not None:
            far = f", {m.hop} {'edge' if m.hop == 1 else 'edges'} away" if m.hop is not None else ""
            text += f" after {self.name(m.cause)}{far}"
        if m.last_good is not None:
            text += f"; last good {m.last_good:%Y-%m-%d %H:%M} UTC"
        self.line(
            a.incident, m.since, "joined", text, m.node, cause=str(m.cause) if m.cause else None, hop=m.hop
        )
        soon = self._gather(m.node)
        self.soon[a.incident] = min(soon, self.soon.get(a.incident, soon))

    def _member(self, id_: UUID, m: Member, role: str | None) -> None:
        self.changed.add(id_)
        self.members.append(
            {
                "id": id_, "node": m.node, "role": role, "health": m.health, "since": m.since, "good": m.last_good,
                "recovered": m.recovered_at, "run": m.run, "cause": m.cause,
                "hop": None if m.hop is None else min(m.hop, 32_000), "reason": m.reason[:500],
            }
        )  # fmt: skip

    def _flush(self) -> None:
        """Write the members so far, all in one go: a storm brings hundreds."""
        if not self.members:
            return
        with self.conn.cursor() as cur:
            cur.executemany(
                """insert into incident_member (incident_id, node_id, role, health, joined_at, last_good, recovered_at,
                                                run_key, cause, hop, reason)
                   values (%(id)s, %(node)s,
                           coalesce(%(role)s, case when (select root_node from incident where id = %(id)s) = %(node)s
                                                   then 'root' else 'symptom' end),
                           %(health)s, %(since)s, %(good)s, %(recovered)s, %(run)s, %(cause)s, %(hop)s, %(reason)s)
                   on conflict (incident_id, node_id) do update set role = excluded.role, health = excluded.health,
                       joined_at = excluded.joined_at, last_good = excluded.last_good,
                       recovered_at = excluded.recovered_at, run_key = excluded.run_key, cause = excluded.cause,
                       hop = excluded.hop, reason = excluded.reason""",
                self.members,
            )
        self.members = []

    def _recovered(self, a: said.Recovered) -> None:
        self.conn.execute(
            """update incident_member set recovered_at = %s, health = 'ok' where incident_id = %s and node_id = %s""",
            (a.at, a.incident, a.node),
        )
        self.line(a.incident, a.at, "recovered", f"{self.name(a.node)} is good again", a.node)

    def _rerooted(self, a: said.Rerooted) -> None:
        self.conn.execute(
            """update incident i set root_node = %(root)s, owner_id =
                 case when owner_id is not distinct from (select n.owner_id from node n where n.id = %(was)s)
                      then (select n.owner_id from node n where n.id = %(root)s) else owner_id end,
                 notify_at = case when told_at is null or status <> 'open' then notify_at
                                  else least(coalesce(notify_at, %(now)s), %(now)s) end
                where i.id = %(id)s""",
            {"id": a.incident, "root": a.root, "was": a.was, "now": self.now},
        )
        self.conn.execute(
            """update incident_member set role = case when node_id = %s then 'root' else 'symptom' end
                where incident_id = %s""",
            (a.root, a.incident),
        )
        self.retitled.add(a.incident)
        self.line(
            a.incident, self.now, "rerooted", f"Root cause is {self.name(a.root)}", a.root, was=str(a.was)
        )

    def _merged(self, a: said.Merged) -> None:
        given = {"id": a.incident, "into": a.into, "now": self.now}
        self.conn.execute(
            """insert into incident_member (incident_id, node_id, role, health, joined_at, last_good, recovered_at,
                                            run_key, cause, hop, reason)
               select %(into)s, node_id, 'symptom', health, joined_at, last_good, recovered_at, run_key, cause, hop, reason
                 from incident_member where incident_id = %(id)s
               on conflict (incident_id, node_id) do nothing""",
            given,
        )
        self.conn.execute("delete from incident_member where incident_id = %(id)s", given)
        self.conn.execute(
            """update incident i set
                 notify_at = case when i.told_at is null then least(i.notify_at, o.notify_at) else i.notify_at end,
                 opened_at = least(i.opened_at, o.opened_at), noted_at = least(i.noted_at, o.noted_at),
                 episode_at = least(i.episode_at, o.episode_at)
                from incident o where i.id = %(into)s and o.id = %(id)s""",
            given,
        )
        row = self.conn.execute(
            """update incident set status = 'merged', merged_into = %(into)s, resolved_at = %(now)s, weigh_at = null,
                      graph_away = false, notify_at = case when told_at is not null then %(now)s end
                where id = %(id)s returning number, title""",
            given,
        ).fetchone()
        self.conn.execute(
            "update incident set merged_into = %(into)s where merged_into = %(id)s and status = 'merged'",
            given,
        )
        self.conn.execute(
            "update incident set possibly_caused_by = %(into)s where possibly_caused_by = %(id)s and id <> %(into)s",
            given,
        )
        assert row
        self.line(
            a.into,
            self.now,
            "merged",
            f"Took over INC-{row['number']}: {row['title']}",
            merged=str(a.incident),
        )
        self.line(
            a.incident, self.now, "merged", "Merged into the incident of its root cause", into=str(a.into)
        )
        self.changed.discard(a.incident)

    def _resolved(self, a: said.Resolved) -> None:
        row = self.conn.execute(
            "select told_at, told_status, episode_at, reopened from incident where id = %s", (a.incident,)
        ).fetchone()
        assert row
        due = None
        if row["told_at"] is not None and row["told_status"] == "open":
            held = said.hold(self.now - row["episode_at"], self.group, self.window, row["reopened"])
            due = self.now + held
        self.conn.execute(
            "update incident set status = 'resolved', resolved_at = %s, notify_at = %s where id = %s",
            (a.at, due, a.incident),
        )
        # nobody weighs what is over: the result that ended it is noted now or never
        note_runs_and_results(self.conn, a.incident, self.now)
        self.line(a.incident, a.at, "resolved", "All members are good again")

    def _reopened(self, a: said.Reopened) -> None:
        row = self.conn.execute(
            "select told_at, told_status, noted_at from incident where id = %s", (a.incident,)
        ).fetchone()
        assert row
        over = row["told_at"] is not None and row["told_status"] != "open"
        if row["told_at"] is None:
            due = max(self.now, row["noted_at"] + self.group)
        else:
            due = self.now + said.relapse(self.group, self.window) if over else None
        self.conn.execute(
            """update incident set status = 'open', resolved_at = null, reopened = least(reopened + 1, 32000),
                      episode_at = %(now)s, notify_at = %(due)s,
                      acknowledged_at = case when %(over)s then null else acknowledged_at end,
                      acknowledged_by = case when %(over)s then null else acknowledged_by end
                where id = %(id)s""",
            {"id": a.incident, "now": self.now, "due": due, "over": over},
        )
        self.line(a.incident, a.at, "reopened", "It came back")

    def _linked(self, a: said.Linked) -> None:
        row = self.conn.execute(
            """update incident i set possibly_caused_by = %(to)s from incident o
                where i.id = %(id)s and i.possibly_caused_by is null and o.id = %(to)s returning o.number""",
            {"id": a.incident, "to": a.to},
        ).fetchone()
        if row:
            text = f"Possibly caused by {self.name(a.node)} (INC-{row['number']})"
            self.line(a.incident, self.now, "linked", text, a.node, to=str(a.to))

    def _grouped(self, a: said.Grouped) -> None:
        self.conn.execute("update incident set graph_away = false where id = %s", (a.incident,))
        self.changed.add(a.incident)

    def _noted(self, a: said.Noted) -> None:
        c = a.change
        detail: dict[str, Any] = {"was": c.was, "now": c.now}
        if c.check is not None:
            detail["check"] = str(c.check)
        self.line(
            a.incident,
            c.at,
            "transition",
            f"{self.name(c.node)}: {c.was} to {c.now}, {c.reason}",
            c.node,
            **detail,
        )
        # a dataset is judged by the run of the job that writes it: that is told once, of the job
        run = self.runs.get(c.run) if c.run is not None and c.now in BAD else None
        if run is not None and run["state"] == "FAIL" and self.nodes.get(c.node, {}).get("type") == "job":
            self.line(
                a.incident, run["ended_at"] or c.at, "run_error",
                f"{self.name(c.node)}: {run['error'] or 'run failed'}", c.node,
                run=str(run["key"]), run_id=run["run_id"], log_url=run["log_url"],
            )  # fmt: skip

    def _gather(self, node: UUID) -> timedelta:
        return timedelta(seconds=self.wait[node]) if node in self.wait else self.group

    # ------------------------------------------------------------ at the end

    def finish(self) -> None:
        self._flush()
        for id_, soon in self.soon.items():
            # untold: it may be told sooner; told: the message may be edited, once what comes together has come
            self.conn.execute(
                """update incident set notify_at =
                     case when told_at is null then least(notify_at, %(soon)s)
                          else least(coalesce(notify_at, %(later)s), %(later)s) end
                    where id = %(id)s and status = 'open' and (told_at is null or told_status = 'open')""",
                {"id": id_, "soon": self.now + soon, "later": self.now + self.group},
            )
        lines = sorted(self.lines, key=lambda said: said[1])
        if lines:
            with self.conn.cursor() as cur:
                cur.executemany(
                    """insert into incident_entry (incident_id, at, kind, text, node_id, detail)
                       values (%s, %s, %s, %s, %s, %s)""",
                    lines,
                )
        if self.retitled:
            # the root's newest error says more than the reason it was opened with
            self.conn.execute(
                """update incident i set
                     title = n.name || case when n.health = 'late' or (n.health <> 'failed' and m.health = 'late')
                                            then ' is late' else ' failed' end,
                     error = split_part(coalesce(nullif(r.error, ''), nullif(n.health_reason, ''), i.error), E'\\n', 1),
                     log_url = r.log_url
                    from node n join incident_member m on m.node_id = n.id
                    left join run_key k on k.key = coalesce(m.run_key, n.health_run)
                    left join run r on r.day = k.day and r.key = k.key
                   where i.id = any(%s) and n.id = i.root_node and m.incident_id = i.id""",
                (list(self.retitled),),
            )
        if self.changed:
            self.conn.execute(
                """update incident set changed_at = %(now)s, weigh_at = case when status = 'open' then %(now)s end
                    where id = any(%(ids)s)""",
                {"ids": list(self.changed), "now": self.now},
            )


def _title(name: str, health: str) -> str:
    return f"{name} {'is late' if health == 'late' else 'failed'}"


def _verb(health: str) -> str:
    return {"late": "is late", "ok": "was bad"}.get(health, "failed")


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[0][:500]


# ---------------------------------------------------------------- how bad it is


def to_weigh(conn: Conn, now: datetime, limit: int) -> list[dict[str, Any]]:
    """Open incidents whose blast radius and severity are to be computed: id, root, what was computed and told last,
    and ``bad``: [{node, health, cause}] of the members that have not recovered. Locked until the transaction ends.
    """
    return conn.execute(
        """select i.id, coalesce(n.id, i.root_node) as root, coalesce(n.type, 'dataset') as root_type, i.root_type as about,
                  i.told_at, i.told_severity, i.severity, i.severity_why, i.blast,
                  (select coalesce(jsonb_agg(jsonb_build_object('node', m.node_id, 'health', m.health, 'cause', m.cause)
                                             order by m.joined_at, m.node_id), '[]')
                     from incident_member m where m.incident_id = i.id and m.recovered_at is null) as bad
             from incident i left join alias a on a.id = i.root_node left join node n on n.id = a.node_id
            where i.weigh_at <= %s and i.status = 'open' order by i.weigh_at, i.id limit %s
              for update of i skip locked""",
        (now, limit),
    ).fetchall()


_THING = """n.id, n.name, n.type, n.kind, n.system, n.health, n.criticality, n.owner_id, n.owner_name, n.sla_kind,
            n.sla_minutes, n.sla_at"""


def weighty(conn: Conn) -> list[dict[str, Any]]:
    """Nodes on the map that make an incident worse: of criticality 1 or 2, or with an SLA."""
    return conn.execute(
        f"""select {_THING} from node n
             where (n.criticality in (1, 2) or n.sla_kind is not null)
               and n.retired_at is null and n.dropped_at is null and not n.standin"""
    ).fetchall()


def things(conn: Conn, ids: Iterable[UUID]) -> list[dict[str, Any]]:
    """The same fields of these nodes."""
    return conn.execute(f"select {_THING} from node n where n.id = any(%s)", (list(ids),)).fetchall()


def team_names(conn: Conn, ids: Iterable[str]) -> dict[str, str]:
    rows = conn.execute("select id::text as id, name from team where id::text = any(%s)", (list(ids),))
    return {r["id"]: r["name"] for r in rows}


def weighed(
    conn: Conn,
    row: Mapping[str, Any],
    severity: int,
    why: list[str],
    blast: Mapping[str, Any],
    now: datetime,
) -> None:
    """Keep severity, reasons and blast radius; people are told again where it got worse than they know."""
    conn.execute(
        """update incident set severity = %s, severity_why = %s, blast = %s, weigh_at = %s where id = %s""",
        (severity, Jsonb(why), Jsonb(dict(blast)), now + WEIGH_EVERY, row["id"]),
    )
    if severity != row["severity"] and row["told_at"] is not None:
        word = "raised" if severity < row["severity"] else "lowered"
        text = f"Severity {word} from {row['severity']} to {severity}: {why[0]}"
        conn.execute(
            "insert into incident_entry (incident_id, at, kind, text) values (%s, %s, 'severity', %s)",
            (row["id"], now, text),
        )
    if row["told_severity"] is not None and severity < row["told_severity"]:
        conn.execute(
            "update incident set notify_at = least(coalesce(notify_at, %(at)s), %(at)s) where id = %(id)s",
            {"at": now + SETTLE, "id": row["id"]},
        )


def note_runs_and_results(conn: Conn, id_: UUID, now: datetime) -> None:
    """Into the timeline: failed runs of members since it opened, and results of their checks where they changed."""
    given = {"id": id_, "now": now}
    conn.execute(
        """insert into incident_entry (incident_id, at, kind, text, node_id, detail)
           select %(id)s, r.ended_at, 'run_error', left(n.name || ': ' || coalesce(r.error, 'run failed'), 2000), n.id,
                  jsonb_build_object('run', r.key, 'run_id', r.run_id, 'log_url', r.log_url)
             from incident i join incident_member m on m.incident_id = i.id
             join node n on n.id = m.node_id join alias a on a.node_id = n.id and a.type = 'job'
             join lateral (select * from run r where r.job_alias = a.id and not r.sub and r.state = 'FAIL'
                              and r.day >= (i.opened_at - interval '2 days')::date and r.ended_at >= i.opened_at
                            order by r.due_at desc limit 5) r on true
            where i.id = %(id)s
              and not exists (select 1 from incident_entry e where e.incident_id = i.id and e.kind = 'run_error'
                                 and e.detail ->> 'run' = r.key::text)
            order by r.ended_at, r.key""",
        given,
    )
    conn.execute(
        """with seen as (
             select c.id as check_id, c.name as check_name, n.id, n.name, x.slot_at, x.ended_at, x.status, x.reason,
                    x.value, lag(x.status) over (partition by c.id order by x.slot_at) as before, i.opened_at
               from incident i join incident_member m on m.incident_id = i.id
               join node n on n.id = m.node_id join alias a on a.node_id = n.id join health_check c on c.node_id = a.id
               join check_result x on x.check_id = c.id
                and x.slot_at >= greatest(i.opened_at - interval '1 hour', %(now)s - interval '2 hours')
              where i.id = %(id)s and x.status <> 'muted')
           insert into incident_entry (incident_id, at, kind, text, node_id, detail)
           select %(id)s, s.ended_at, 'check', left(s.check_name || ' on ' || s.name || ': ' || s.status
                    || case when s.reason = '' then '' else ', ' || s.reason end, 2000), s.id,
                  jsonb_build_object('check', s.check_id, 'slot_at', s.slot_at, 'status', s.status, 'value', s.value)
             from seen s
            where s.status is distinct from s.before and s.slot_at >= s.opened_at - interval '10 minutes'
              -- the hour before only says what the first of this one differs from
              and s.slot_at >= %(now)s - interval '1 hour'
              and not exists (select 1 from incident_entry e where e.incident_id = %(id)s and e.kind = 'check'
                                 and e.detail ->> 'check' = s.check_id::text
                                 and (e.detail ->> 'slot_at')::timestamptz = s.slot_at)
            order by s.slot_at, s.check_id""",
        given,
    )
