"""Incidents: one root cause and all its symptoms, what people did about them, and what is still to be told.

What joins what is decided by `alerts.incident.decide`; here its answer is read and written.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from alerts.incident import hold, relapse
from errors import Changed, Conflict, Invalid, NotFound
from store import audit, decisions, silences
from store.audit import Actor
from store.record import Conn

MAX_TEXT = 10_000

# ---------------------------------------------------------------- as people read them

_WHOLE = """
select i.*, w.ord, t.name as owner_name, p.name as producer_name, p.quiet_since,
       n.id as root_id, n.type as root_kind_of, n.kind as root_kind, n.system as root_system,
       n.environment as root_environment, n.namespace as root_namespace, n.name as root_name,
       n.health as root_health, n.criticality as root_criticality, n.owner_id as root_owner_id,
       n.owner_name as root_owner_name, n.running as root_running,
       m.total, m.failed, m.late, m.recovered,
       c.number as cause_number, c.title as cause_title, c.status as cause_status,
       g.number as into_number, g.title as into_title, g.status as into_status,
       (select min(o.ended_at) from notification o
         where o.incident_id = i.id and o.event = 'trigger' and o.status = 'delivered') as heard_at
  from unnest(%(ids)s::uuid[]) with ordinality as w(id, ord)
  join incident i on i.id = w.id
  left join team t on t.id = i.owner_id
  left join producer p on p.id = i.producer_id
  left join alias a on a.id = i.root_node
  left join node n on n.id = coalesce(a.node_id, i.root_node)
  left join incident c on c.id = i.possibly_caused_by
  left join incident g on g.id = i.merged_into
  left join lateral (
    select count(*) as total,
           count(*) filter (where m.recovered_at is null and m.health = 'failed') as failed,
           count(*) filter (where m.recovered_at is null and m.health = 'late') as late,
           count(*) filter (where m.recovered_at is not null) as recovered
      from incident_member m where m.incident_id = i.id) m on true
 order by w.ord"""


def many(conn: Conn, ids: list[UUID]) -> list[dict[str, Any]]:
    """Whole rows of these in this order, with root, owner and how many members are how, in one query."""
    return conn.execute(_WHOLE, {"ids": ids}).fetchall()


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    """One whole row; :class:`errors.NotFound` where there is none."""
    rows = many(conn, [id_])
    if not rows:
        raise NotFound(f"no incident has the id {id_}", field="id")
    return rows[0]


def by_number(conn: Conn, number: int) -> UUID:
    """The id of INC-number; :class:`errors.NotFound` where there is none."""
    row = conn.execute("select id from incident where number = %s", (number,)).fetchone()
    if row is None:
        raise NotFound(f"there is no INC-{number}", field="number")
    return row["id"]


def where(filters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """SQL condition over ``incident i`` and its parameters; several values of one filter mean any of them.

    Keys: status, severity, team (id or name of the owner, 'none' for nobody), node (an id of a root or member),
    producer (id), environment (of the root; a producer that is quiet is of all), acknowledged (bool), since and until
    (opened).
    """
    cond, args = ["true"], {}
    if filters.get("status"):
        cond.append("i.status = any(%(status)s)")
        args["status"] = _list(filters["status"])
    if filters.get("severity"):
        cond.append("i.severity = any(%(severity)s)")
        args["severity"] = [int(v) for v in _list(filters["severity"])]
    if filters.get("team"):
        cond.append(
            """(i.owner_id in (select id from team where id::text = any(%(team)s) or lower(name) = any(%(team)s))
                or ('none' = any(%(team)s) and i.owner_id is null))"""
        )
        args["team"] = [str(v).lower() for v in _list(filters["team"])]
    if filters.get("node"):
        cond.append(
            """i.id in (select m.incident_id from incident_member m where m.node_id in (
                          select b.id from alias a join alias b on b.node_id = a.node_id
                           where a.id = any(%(node)s::uuid[])
                          union select unnest(%(node)s::uuid[])))"""
        )
        args["node"] = [str(v) for v in _list(filters["node"])]
    if filters.get("producer"):
        cond.append("i.producer_id = any(%(producer)s::bigint[])")
        args["producer"] = _list(filters["producer"])
    if filters.get("environment"):
        cond.append(
            """(i.root_node is null or exists (select from alias r join node rn on rn.id = r.node_id
                                              where r.id = i.root_node and rn.environment = any(%(environment)s)))"""
        )
        args["environment"] = _list(filters["environment"])
    if filters.get("acknowledged") is not None:
        cond.append(f"i.acknowledged_at is {'not null' if filters['acknowledged'] else 'null'}")
    for key, sign in (("since", ">="), ("until", "<")):
        if filters.get(key):
            cond.append(f"i.opened_at {sign} %({key})s")
            args[key] = filters[key]
    return " and ".join(cond), args


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def page(
    conn: Conn,
    filters: Mapping[str, Any],
    limit: int,
    *,
    sort: str = "severity",
    after: tuple[Any, ...] | None = None,
) -> list[dict[str, Any]]:
    """id, severity and opened_at of incidents: the worst first, then the newest; with ``sort`` opened the newest
    first. ``after`` is (severity, opened_at, id) of the last of the page before.
    """
    cond, args = where(filters)
    if after is not None:
        args |= {"sev": after[0], "at": after[1], "last": after[2]}
        older = "(i.opened_at, i.id) < (%(at)s::timestamptz, %(last)s::uuid)"
        cond += (
            f" and (i.severity > %(sev)s or (i.severity = %(sev)s and {older}))"
            if sort == "severity"
            else f" and {older}"
        )
    first = "i.severity, " if sort == "severity" else ""
    return conn.execute(
        f"""select i.id, i.severity, i.opened_at from incident i where {cond}
             order by {first}i.opened_at desc, i.id desc limit %(limit)s""",
        args | {"limit": limit},
    ).fetchall()


def members(conn: Conn, id_: UUID, limit: int = 1000, offset: int = 0) -> list[dict[str, Any]]:
    """Members with their nodes: the root first, then what is bad still, then by the time they joined."""
    return conn.execute(
        """select m.role, m.health as member_health, m.joined_at, m.recovered_at, m.hop, m.reason, m.cause,
                  m.last_good, coalesce(n.id, m.node_id) as id, n.type, n.kind, n.system, n.environment, n.namespace,
                  n.name, n.health, n.criticality, n.owner_id, n.owner_name, n.running
             from incident_member m
             left join alias a on a.id = m.node_id
             left join node n on n.id = coalesce(a.node_id, m.node_id)
            where m.incident_id = %s
            order by m.role, m.recovered_at is not null, m.health, m.joined_at, m.node_id limit %s offset %s""",
        (id_, limit, offset),
    ).fetchall()


def entries(conn: Conn, id_: UUID, limit: int = 200, before: int | None = None) -> list[dict[str, Any]]:
    """Lines of the timeline, those stored last first; ``before`` is the id of the last of the page before."""
    return conn.execute(
        """select e.id, e.at, e.kind, e.text, e.actor, e.node_id, e.detail, n.name as node_name
             from incident_entry e
             left join alias a on a.id = e.node_id left join node n on n.id = coalesce(a.node_id, e.node_id)
            where e.incident_id = %s and (%s::bigint is null or e.id < %s)
            order by e.id desc limit %s""",
        (id_, before, before, limit),
    ).fetchall()


#: a result that goes on is counted so far
MOST_LOOKS = 10_000


def looks(conn: Conn, ids: list[int]) -> dict[int, dict[str, Any]]:
    """{id of a line about a check's result: looks, how often it was seen since with no other between, and until, when
    last}: the timeline has one line where a result changes, however long it stays.
    """
    rows = conn.execute(
        """with line as (
             select e.id, i.resolved_at, (e.detail ->> 'check')::uuid as check_id, e.detail ->> 'status' as status,
                    (e.detail ->> 'slot_at')::timestamptz as slot_at,
                    (select min((n.detail ->> 'slot_at')::timestamptz) from incident_entry n
                      where n.incident_id = e.incident_id and n.kind = 'check'
                        and n.detail ->> 'check' = e.detail ->> 'check'
                        and (n.detail ->> 'slot_at')::timestamptz > (e.detail ->> 'slot_at')::timestamptz) as changed
               from incident_entry e join incident i on i.id = e.incident_id
              where e.id = any(%s) and e.kind = 'check')
           select l.id, r.looks, r.until
             from line l cross join lateral (
               select count(*) as looks, max(x.slot_at) as until
                 from (select c.slot_at from check_result c
                        where c.check_id = l.check_id and c.slot_at >= l.slot_at and c.status = l.status
                          and c.slot_at < coalesce(l.changed, 'infinity')
                          and c.slot_at <= coalesce(l.resolved_at, 'infinity')
                        order by c.slot_at limit %s) x) r""",
        (ids, MOST_LOOKS),
    ).fetchall()
    return {r["id"]: {"looks": r["looks"], "until": r["until"]} for r in rows}


def note(
    conn: Conn,
    id_: UUID,
    kind: str,
    text: str,
    *,
    actor: str = "",
    at: datetime | None = None,
    node_id: UUID | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a line to the timeline. ``kind``: as the column says; ``at``: when it happened, now if left out."""
    conn.execute(
        """insert into incident_entry (incident_id, at, kind, text, actor, node_id, detail)
           values (%s, coalesce(%s, now()), %s, %s, %s, %s, %s)""",
        (id_, at, kind, text[:2000], actor, node_id, None if detail is None else Jsonb(dict(detail))),
    )
    conn.execute("update incident set changed_at = now() where id = %s", (id_,))


# ---------------------------------------------------------------- what is still to be told


def to_tell(conn: Conn, now: datetime, limit: int = 100) -> list[dict[str, Any]]:
    """Whole rows of what is to be told by now, the longest due first; locked, so that two workers never tell the same.
    Each is answered by :func:`told` in the same transaction. One whose severity is still being computed waits for
    that, but for no longer than half a minute.
    """
    due = conn.execute(
        """select id from incident where notify_at <= %(now)s
              and (weigh_at is null or weigh_at > %(now)s or weigh_at < %(now)s - interval '30 seconds')
            order by notify_at, id limit %(limit)s for update skip locked""",
        {"now": now, "limit": limit},
    ).fetchall()
    return many(conn, [d["id"] for d in due])


def told(conn: Conn, id_: UUID, severity: int, again_at: datetime | None = None) -> None:
    """People know it as it is, at this severity. With ``again_at`` they do not: it is kept back until then."""
    if again_at is not None:
        conn.execute("update incident set notify_at = %s where id = %s", (again_at, id_))
        return
    conn.execute(
        """update incident set notify_at = null, told_severity = %s, told_status = status,
                  told_at = case when status = 'open' then coalesce(told_at, now()) else told_at end
            where id = %s""",
        (severity, id_),
    )


def due(conn: Conn, id_: UUID, at: datetime) -> None:
    """Have people told at ``at``, or earlier where it is due earlier already."""
    conn.execute(
        "update incident set notify_at = least(coalesce(notify_at, %(at)s), %(at)s) where id = %(id)s",
        {"id": id_, "at": at},
    )


# ---------------------------------------------------------------- what people do


def _locked(conn: Conn, id_: UUID, version: int | None, said: Mapping[str, Any]) -> dict[str, Any]:
    row = conn.execute("select * from incident where id = %s for update", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no incident has the id {id_}", field="id")
    if version is not None and version != row["version"]:
        raise Changed(
            "somebody else changed this incident since you opened it",
            changes={k: {"yours": v, "theirs": row[k]} for k, v in said.items() if v != row[k]},
            version=row["version"],
            hint="look at what changed and try again with the new version",
        )
    if row["status"] == "merged":
        raise Conflict("this incident was merged into another", field="id", hint=f"see {row['merged_into']}")
    return row


def _done(
    conn: Conn,
    actor: Actor,
    id_: UUID,
    action: str,
    kind: str,
    text: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> None:
    conn.execute("update incident set version = version + 1 where id = %s", (id_,))
    note(conn, id_, kind, text, actor=actor.name)
    audit.write(conn, actor, f"incident.{action}", "incident", id_, before, after)


def acknowledge(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Somebody works on it: reminders stop. Acknowledging again changes nothing."""
    row = _locked(conn, id_, version, {})
    if row["status"] != "open":
        raise Conflict("this incident is resolved", field="id", hint="only an open one is acknowledged")
    if row["acknowledged_at"] is None:
        conn.execute(
            "update incident set acknowledged_at = now(), acknowledged_by = %s where id = %s",
            (actor.name, id_),
        )
        if row["told_at"] is not None:
            due(conn, id_, datetime.now(UTC))
        _done(
            conn, actor, id_, "acknowledge", "acknowledged", f"Acknowledged by {actor.name}",
            {"acknowledged_by": None}, {"acknowledged_by": actor.name},
        )  # fmt: skip
    return get(conn, id_)


def unacknowledge(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Nobody works on it any more: reminders begin again."""
    row = _locked(conn, id_, version, {})
    if row["acknowledged_at"] is not None:
        conn.execute(
            "update incident set acknowledged_at = null, acknowledged_by = null where id = %s", (id_,)
        )
        if row["told_at"] is not None:
            due(conn, id_, datetime.now(UTC))
        _done(
            conn, actor, id_, "unacknowledge", "acknowledged", f"Acknowledgement taken back by {actor.name}",
            {"acknowledged_by": row["acknowledged_by"]}, {"acknowledged_by": None},
        )  # fmt: skip
    return get(conn, id_)


def assign(
    conn: Conn, actor: Actor, id_: UUID, changes: Mapping[str, Any], version: int | None = None
) -> dict[str, Any]:
    """Give it to a person (``assignee``, a name, '' or None for nobody) or a team (``owner_id``)."""
    said: dict[str, Any] = {}
    if "assignee" in changes:
        who = " ".join(str(changes["assignee"] or "").split())
        if len(who) > 120 or not who.isprintable():
            raise Invalid("an assignee is a name of at most 120 characters", field="assignee")
        said["assignee"] = who or None
    if "owner_id" in changes:
        owner = changes["owner_id"]
        if (
            owner is not None
            and not conn.execute(
                "select 1 from team where id = %s and retired_at is null", (owner,)
            ).fetchone()
        ):
            raise Invalid(f"no team has the id {owner}", field="owner_id", hint="GET /api/v1/teams")
        said["owner_id"] = owner
    row = _locked(conn, id_, version, said)
    said = {k: v for k, v in said.items() if v != row[k]}
    for field, value in said.items():
        conn.execute(f"update incident set {field} = %s where id = %s", (value, id_))
    if said:
        to = said.get("assignee", row["assignee"]) or "nobody"
        if "owner_id" in said:
            team = conn.execute("select name from team where id = %s", (said["owner_id"],)).fetchone()
            text = f"Owned by {team['name'] if team else 'nobody'}, assigned to {to}"
        else:
            text = f"Assigned to {to}"
        _done(conn, actor, id_, "assign", "assigned", text, {k: row[k] for k in said}, said)
    return get(conn, id_)


def comment(conn: Conn, actor: Actor, id_: UUID, text: str) -> dict[str, Any]:
    """Write into the timeline; a merged incident takes notes too."""
    said = text.strip()
    if not said or len(said) > 2000 or "\x00" in said:
        raise Invalid("a comment has 1 to 2000 characters", field="text")
    if not conn.execute("select 1 from incident where id = %s for update", (id_,)).fetchone():
        raise NotFound(f"no incident has the id {id_}", field="id")
    note(conn, id_, "commented", said, actor=actor.name)
    audit.write(conn, actor, "incident.comment", "incident", id_, None, {"text": said})
    return get(conn, id_)


def resolve(conn: Conn, actor: Actor, id_: UUID, reason: str, version: int | None = None) -> dict[str, Any]:
    """Close it by hand, whatever its members are like; a member that breaks anew within the window opens it again."""
    why = " ".join(reason.split())
    if not why or len(why) > 1000 or "\x00" in why:
        raise Invalid("say in 1 to 1000 characters why it is closed", field="reason")
    row = _locked(conn, id_, version, {})
    if row["status"] == "open":
        # nobody weighs what is over: what was seen of it until now is noted now or never
        decisions.note_runs_and_results(conn, id_, datetime.now(UTC))
        conn.execute(
            """update incident set status = 'resolved', resolved_at = now(),
                      notify_at = case when told_at is not null then now() end where id = %s""",
            (id_,),
        )
        _done(
            conn, actor, id_, "resolve", "resolved", f"Resolved by {actor.name}: {why}",
            {"status": "open"}, {"status": "resolved", "reason": why},
        )  # fmt: skip
    return get(conn, id_)


def silence(conn: Conn, actor: Actor, id_: UUID, ends_at: datetime, reason: str) -> dict[str, Any]:
    """Tell nobody of it until ``ends_at``: a silence over its root, a node or a producer, which is told of then if it
    is open still."""
    row = _locked(conn, id_, None, {})
    root = {"producers": [row["producer_id"]]} if row["root_node"] is None else {"nodes": [row["root_node"]]}
    made = silences.create(
        conn, actor, root | {"ends_at": ends_at, "reason": reason, "starts_at": datetime.now(UTC)}
    )
    until = made["ends_at"].astimezone(UTC)
    text = f"Silenced by {actor.name} until {until:%Y-%m-%d %H:%M} UTC: {made['reason']}"
    note(conn, id_, "silenced", text, actor=actor.name, detail={"silence": str(made["id"])})
    return get(conn, id_)


# ---------------------------------------------------------------- producers


def open_producer(
    conn: Conn,
    producer_id: int,
    reason: str,
    at: datetime,
    *,
    group_seconds: int = 0,
    window: timedelta = timedelta(minutes=30),
    now: datetime | None = None,
) -> UUID:
    """The one open incident about a producer that went quiet or is refused, opened where there is none; one that was
    resolved within the window comes back.

    ``reason`` is what people read, ``at`` since when nothing comes. Told after ``group_seconds``: who calls has
    waited already. It has no members: its jobs are unknown, not bad.
    """
    now = now or datetime.now(UTC)
    have = conn.execute(
        """select id, status, told_at, told_status from incident
            where producer_id = %s and root_type = 'producer'
              and (status = 'open' or (status = 'resolved' and resolved_at > %s))
            order by status, opened_at desc limit 1 for update""",
        (producer_id, now - window),
    ).fetchone()
    if have and have["status"] == "open":
        return have["id"]
    if have:
        over = have["told_at"] is not None and have["told_status"] != "open"
        again = now + relapse(timedelta(seconds=group_seconds), window) if over else None
        conn.execute(
            """update incident set status = 'open', resolved_at = null, error = %(error)s,
                      reopened = least(reopened + 1, 32000), episode_at = %(now)s, notify_at = %(due)s,
                      acknowledged_at = case when %(over)s then null else acknowledged_at end,
                      acknowledged_by = case when %(over)s then null else acknowledged_by end
                where id = %(id)s""",
            {
                "id": have["id"],
                "error": reason[:500],
                "now": now,
                "due": now if have["told_at"] is None else again,
                "over": over,
            },
        )
        note(conn, have["id"], "reopened", f"It came back: {reason}", at=at)
        return have["id"]
    producer = conn.execute("select name from producer where id = %s", (producer_id,)).fetchone()
    if producer is None:
        raise NotFound(f"no producer has the id {producer_id}", field="producer_id")
    id_ = uuid4()
    conn.execute(
        """insert into incident (id, key, root_type, producer_id, title, error, severity, severity_why, opened_at,
                                 episode_at, notify_at)
           values (%s, %s, 'producer', %s, %s, %s, 2, %s, %s, %s, %s)""",
        (
            id_, f"dlv-{id_}", producer_id, f"No events from {producer['name']}", reason[:500],
            Jsonb(["nothing is known of what this producer tells of"]), at, now,
            now + timedelta(seconds=group_seconds),
        ),
    )  # fmt: skip
    note(conn, id_, "opened", f"No events from {producer['name']}: {reason}", at=at)
    return id_


def close_producer(
    conn: Conn,
    producer_id: int,
    reason: str,
    at: datetime,
    *,
    group: timedelta = timedelta(0),
    window: timedelta = timedelta(0),
    now: datetime | None = None,
) -> UUID | None:
    """The producer sends again: its open incident is resolved at ``at``; None where there was none.

    People are told once that has held, as of any node (:func:`alerts.incident.hold`, with ``group`` and ``window``); at
    once where no window is given.
    """
    now = now or datetime.now(UTC)
    row = conn.execute(
        """select id, told_at, told_status, episode_at, reopened from incident
            where producer_id = %s and root_type = 'producer' and status = 'open' for update""",
        (producer_id,),
    ).fetchone()
    if row is None:
        return None
    due = None
    if row["told_at"] is not None and row["told_status"] == "open":
        due = now + hold(now - row["episode_at"], group, window, row["reopened"])
    conn.execute(
        "update incident set status = 'resolved', resolved_at = %s, notify_at = %s where id = %s",
        (at, due, row["id"]),
    )
    note(conn, row["id"], "resolved", reason, at=at)
    return row["id"]
