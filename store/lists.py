"""What the admins' lists show: a page of one noun by offset, filtered, sorted, with the total. Reading only.

Nodes have a list of their own in `store.nodes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from errors import Invalid
from store import checks
from store.nodes import like
from store.record import Conn
from store.silences import SHOWN as SILENCE


@dataclass(frozen=True)
class List:
    """``columns`` and ``source`` of a list; ``words`` is the text that ``q`` looks into; ``filters`` maps a name to a
    condition on ``%(name)s``; ``sorts`` maps a name to what is sorted by; ``last`` breaks ties."""

    columns: str
    source: str
    words: str
    filters: Mapping[str, str]
    sorts: Mapping[str, str]
    last: str


_KEY_STATE = """case when k.revoked_at is not null then 'revoked'
                     when k.expires_at <= now() then 'expired' else 'active' end"""
_PRODUCER_STATE = """case when p.retired_at is not null then 'retired' when p.quiet_since is not null then 'quiet'
                          when p.last_event_at is null then 'new' else 'sending' end"""

LISTS = {
    "users": List(
        """u.id, u.issuer, u.username, u.display_name, u.role, u.must_change, u.disabled_at, u.created_at, u.version,
           (select max(s.last_seen_at) from user_session s where s.user_id = u.id) as last_seen_at""",
        "app_user u",
        "u.username || ' ' || u.display_name",
        {
            "role": "u.role = any(%(role)s)",
            "state": "case when u.disabled_at is null then 'enabled' else 'disabled' end = any(%(state)s)",
        },
        {"username": "lower(u.username)", "role": "u.role", "created_at": "u.created_at"},
        "u.id",
    ),
    "keys": List(
        f"""k.id, k.name, k.prefix, k.scopes, p.environment, k.created_at, k.expires_at, k.revoked_at, k.last_used_at,
            c.username as created_by, {_KEY_STATE} as state""",
        "api_key k left join producer p on p.id = k.producer_id left join app_user c on c.id = k.created_by",
        "k.name || ' ' || k.prefix",
        {"state": f"{_KEY_STATE} = any(%(state)s)", "scope": "k.scopes && %(scope)s"},
        {
            "name": "lower(k.name)",
            "created_at": "k.created_at",
            "last_used_at": "coalesce(k.last_used_at, '-infinity')",
            "expires_at": "coalesce(k.expires_at, 'infinity')",
        },
        "k.id",
    ),
    "producers": List(
        f"""p.id, p.name, p.environment, p.created_at, p.last_event_at, p.last_refused_at,
            extract(epoch from p.expected_every)::bigint as expected_every, {_PRODUCER_STATE} as state,
            p.last_refused_at > coalesce(p.last_event_at, '-infinity') as refused,
            p.quiet_since, p.quiet_reason, c.name as connection,
            (select g.error from producer_gap g where g.producer_id = p.id and g.filled_at is null and g.error is not null
              order by g.id desc limit 1) as gap_error,
            (select count(*) from event_warning w where w.producer_id = p.id) as warnings""",
        "producer p left join connection c on c.id = p.connection_id and c.retired_at is null",
        "p.name || ' ' || coalesce(p.environment, '')",
        {"state": f"{_PRODUCER_STATE} = any(%(state)s)"},
        {
            "name": "lower(p.name)",
            "last_event_at": "coalesce(p.last_event_at, '-infinity')",
            "created_at": "p.created_at",
        },
        "p.id",
    ),
    "teams": List(
        """t.id, t.name, t.description, t.people, t.channels, t.retired_at, t.version,
           array(select m.pattern from team_pattern m where m.team_id = t.id order by m.pattern) as patterns,
           (select count(*) from node n where n.owner_id = t.id and n.retired_at is null and not n.standin) as owned""",
        "team t",
        "t.name || ' ' || t.description || ' ' || t.people::text || ' ' || t.channels::text",
        {"state": "case when t.retired_at is null then 'active' else 'retired' end = any(%(state)s)"},
        {
            "name": "lower(t.name)",
            "owned": "(select count(*) from node n where n.owner_id = t.id and n.retired_at is null)",
        },
        "t.id",
    ),
    "connections": List(
        """c.id, c.name, c.kind, c.fields, c.secrets, c.last_test, c.retired_at, c.created_at, c.version,
           (select count(*) from health_check h where h.connection_id = c.id and h.retired_at is null) as checks""",
        "connection c",
        "c.name || ' ' || c.kind || ' ' || c.fields::text",
        {
            "kind": "c.kind = any(%(kind)s)",
            "state": "case when c.retired_at is null then 'active' else 'retired' end = any(%(state)s)",
        },
        {
            "name": "lower(c.name)",
            "checks": "(select count(*) from health_check h where h.connection_id = c.id and h.retired_at is null)",
        },
        "c.id",
    ),
    "rules": List(
        "r.id, r.kind, r.pattern, r.value, r.producer_id, p.name as producer, r.created_at, r.version",
        "naming_rule r left join producer p on p.id = r.producer_id",
        "r.pattern || ' ' || r.value",
        {"kind": "r.kind = any(%(kind)s)"},
        {"id": "r.id", "kind": "r.kind", "pattern": "r.pattern"},
        "r.id",
    ),
    "checks": List(
        checks.SHOWN,
        checks.SOURCE,
        checks.WORDS,
        dict(checks.FILTERS) | {"removed": "c.retired_at is not null = any(%(removed)s::boolean[])"},
        {
            "state": """array_position(array['failed','late','warn','unknown','ok'], s.health) +
                        case when c.paused_at is not null or c.retired_at is not null then 10 else 0 end""",
            "name": "lower(c.name)",
            "node": "lower(n.name)",
            "slot_at": "coalesce(s.slot_at, '-infinity')",
            "next_slot_at": "coalesce(c.next_slot_at, 'infinity')",
        },
        "c.id",
    ),
    "audit": List(
        """a.seq as id, a.at, a.actor_kind, a.actor_name, a.remote_addr, a.action, a.object_type, a.object_id,
           a.before, a.after,
           coalesce(case a.object_type
             when 'node' then (select n.name from node n where n.id::text = a.object_id)
             when 'connection' then (select o.name from connection o where o.id::text = a.object_id)
             when 'team' then (select t.name from team t where t.id::text = a.object_id)
             when 'user' then (select u.username from app_user u where u.id::text = a.object_id)
             when 'api_key' then (select k.name from api_key k where k.id::text = a.object_id)
             when 'check' then (select c.name from health_check c where c.id::text = a.object_id)
             when 'producer' then (select p.name from producer p where p.id::text = a.object_id) end, '') as object_name""",
        "audit_log a",
        "a.actor_name || ' ' || a.action || ' ' || a.object_id || ' ' || coalesce(a.before::text, '') || ' ' || "
        "coalesce(a.after::text, '')",
        {
            "actor": "a.actor_name = any(%(actor)s)",
            "action": "a.action = any(%(action)s)",
            "object_type": "a.object_type = any(%(object_type)s)",
            "object_id": "a.object_id = any(%(object_id)s)",
        },
        {"at": "a.seq"},
        "a.seq",
    ),
    "channels": List(
        """c.id, c.name, c.kind, c.fields, c.last_test, c.retired_at, c.version,
           array(select r.name from alert_rule r where c.id = any(r.channels) order by r.position) as rules,
           (select count(*) from notification n where n.channel_id = c.id and n.status = 'pending') as waiting,
           (select jsonb_build_object('status', n.status, 'at', n.ended_at, 'error', n.error) from notification n
             where n.channel_id = c.id and n.status in ('delivered', 'failed') and n.event <> 'test'
             order by n.seq desc limit 1) as newest""",
        "channel c",
        "c.name || ' ' || c.kind || ' ' || c.fields::text",
        {
            "kind": "c.kind = any(%(kind)s)",
            "state": "case when c.retired_at is null then 'active' else 'removed' end = any(%(state)s)",
        },
        {"name": "lower(c.name)", "kind": "c.kind"},
        "c.id",
    ),
    "notifications": List(
        """n.id, n.incident_id, n.event, n.loud, n.status, n.created_at, n.next_try_at, n.held_until, n.attempts, n.error,
           n.answer, n.ended_at, c.name as channel, c.kind, r.name as rule, i.number, i.title""",
        """notification n join channel c on c.id = n.channel_id left join alert_rule r on r.id = n.rule_id
           left join incident i on i.id = n.incident_id""",
        "c.name || ' ' || coalesce(i.title, '') || ' INC-' || coalesce(i.number::text, '') || ' ' || n.error",
        {
            "status": "n.status = any(%(status)s)",
            "event": "n.event = any(%(event)s)",
            "channel": "n.channel_id = any(%(channel)s::uuid[])",
            "incident": "n.incident_id = any(%(incident)s::uuid[])",
        },
        {"created_at": "n.seq", "channel": "lower(c.name)", "status": "n.status"},
        "n.seq",
    ),
    "silences": List(
        """s.id, s.kind, s.reason, s.nodes, s.tags, s.teams, s.producers, s.starts_at, s.ends_at, s.repeats,
           s.created_by, s.ended_at, s.version, s.state""",
        f"({SILENCE}) s",
        "s.reason || ' ' || s.created_by || ' ' || words(s.tags)",
        {"state": "s.state = any(%(state)s)", "kind": "s.kind = any(%(kind)s)"},
        {"starts_at": "s.starts_at", "ends_at": "s.ends_at"},
        "s.id",
    ),
    "edges": List(
        """e.id, e.source, e.target, e.source_name, e.target_name, e.source_kind, e.target_kind, e.source_system,
           e.target_system, e.source_type, e.target_type, e.standin, e.provenance, e.first_seen, e.last_seen, e.version,
           e.holds""",
        # one line for each pair of nodes; both halves through a stand-in job are one line from dataset to dataset
        """(select min(e.id::text)::uuid as id, s.id as source, t.id as target, s.name as source_name,
                   t.name as target_name, s.kind as source_kind, t.kind as target_kind, s.system as source_system,
                   t.system as target_system, s.type as source_type, t.type as target_type, e.standin,
                   (select array_agg(distinct p order by p) from edge x, unnest(x.provenance) p
                     where x.id = any(array_agg(e.id))) as provenance,
                   min(e.first_seen) as first_seen, max(e.last_seen) as last_seen, max(e.version) as version,
                   bool_or(e.holds) as holds
              from (select e.id, sa.node_id as source, coalesce(far.node_id, ta.node_id) as target,
                           tn.standin, e.first_seen, e.last_seen, e.version,
                           exists (select 1 from edge_interval i where i.edge_id = e.id and i.valid_to is null) as holds
                      from edge e join alias sa on sa.id = e.source join alias ta on ta.id = e.target
                      join node sn on sn.id = sa.node_id and not sn.standin
                      join node tn on tn.id = ta.node_id
                      left join lateral (select fa.node_id from edge f join alias ja on ja.id = f.source
                                           join alias fa on fa.id = f.target
                                          where ja.node_id = tn.id limit 1) far on tn.standin) e
              join node s on s.id = e.source join node t on t.id = e.target
             group by s.id, t.id, e.standin) e""",
        "e.source_name || ' ' || e.target_name",
        {
            "state": "case when e.holds then 'holds' else 'ended' end = any(%(state)s)",
            "provenance": "e.provenance && %(provenance)s",
            "node": "(e.source = any(%(node)s::uuid[]) or e.target = any(%(node)s::uuid[]))",
        },
        {"source": "lower(e.source_name)", "target": "lower(e.target_name)", "last_seen": "e.last_seen"},
        "e.id",
    ),
}


def page(
    conn: Conn,
    what: str,
    filters: Mapping[str, Any] | None = None,
    *,
    sort: str | None = None,
    descending: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> tuple[list[dict[str, Any]], int]:
    """(rows, how many there are in all) of one of :data:`LISTS`. ``q``: words that all must occur."""
    one = LISTS[what]
    sort = sort or next(iter(one.sorts))
    if sort not in one.sorts:
        raise Invalid(f"cannot sort by {sort!r}", field="sort", hint="one of " + ", ".join(one.sorts))
    cond: list[str] = ["true"]
    args: dict[str, Any] = {}
    for name, value in (filters or {}).items():
        if name == "q":
            for i, word in enumerate(str(value or "").lower().split()[:8]):
                cond.append(f"lower({one.words}) like %(q{i})s")
                args[f"q{i}"] = f"%{like(word)}%"
        elif value and name in one.filters:
            cond.append(one.filters[name])
            args[name] = list(value) if isinstance(value, list | tuple) else [value]
    where = " and ".join(cond)
    way = "desc" if descending else "asc"
    rows = conn.execute(
        f"""select {one.columns} from {one.source} where {where}
             order by {one.sorts[sort]} {way}, {one.last} {way} limit %(limit)s offset %(offset)s""",
        args | {"limit": max(1, min(limit, 1000)), "offset": max(0, offset)},
    ).fetchall()
    total = conn.execute(f"select count(*) as n from {one.source} where {where}", args).fetchone()
    return rows, int(total["n"]) if total else 0


def said_in_audit(conn: Conn) -> dict[str, list[str]]:
    """What the audit can be filtered by: actor, action, object_type, each the values that occur."""
    out: dict[str, list[str]] = {}
    for name, column in (("actor", "actor_name"), ("action", "action"), ("object_type", "object_type")):
        rows = conn.execute(f"select distinct {column} as v from audit_log order by 1 limit 500")
        out[name] = [r["v"] for r in rows]
    return out


def team_names(conn: Conn) -> dict[str, str]:
    """Name of every team by its id, retired ones too."""
    return {str(r["id"]): r["name"] for r in conn.execute("select id, name from team")}


def producer_names(conn: Conn) -> dict[int, str]:
    """Name of every producer by its id, retired ones too."""
    return {r["id"]: r["name"] for r in conn.execute("select id, name from producer order by name")}


def kept(conn: Conn) -> tuple[int, int]:
    """(names on record, stored events): what a change of the naming rules has to read again."""
    row = conn.execute(
        "select (select count(*) from alias) as names, (select count(*) from event_key) as events"
    ).fetchone()
    return (int(row["names"]), int(row["events"])) if row else (0, 0)
