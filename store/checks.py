"""Checks: what is verified on a schedule on a node. Their slots are in store.slots, what is judged is in checks/.

Configs come whole and checked (``checks.edits``); here is their life: made, edited, paused, muted, retired, each with
its audit row in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from checks import schedule
from checks.result import About, Beat, Past, Spec
from errors import Changed, Conflict, Invalid, NotFound
from store import audit, health, nodes, settable, slots
from store.audit import Actor
from store.record import Conn

FIELDS = ("name", "node_id", "connection_id", "config", "severity", "every_seconds")
SEVERITIES = ("error", "warn")
#: seconds between two slots
LEAST, MOST = 10, 7 * 86400
#: how long a check may be muted at once
LONGEST_MUTE = timedelta(days=90)
#: calls of a heartbeat's URL that judging looks at
BEATS = 60
#: weeks whose same hour a kind that learns is handed
WEEKS = 8

#: what a check is now, in one word for people: its health, or why it has none
_STATE = """case when c.retired_at is not null then 'retired' when c.paused_at is not null then 'paused'
                 when c.muted_until > now() then 'muted' else s.health end"""
#: a check with its state, its node and its connection
SHOWN = f"""c.id, c.name, c.kind, n.id as node_id, n.name as node_name, n.namespace as node_namespace,
    n.system as node_system, n.kind as node_kind, n.type as node_type, n.environment, n.owner_id, n.owner_name,
    c.connection_id, x.name as connection_name, x.kind as connection_kind, x.retired_at is not null as connection_retired,
    c.config, c.severity, c.every_seconds, c.paused_at, c.muted_until, c.next_slot_at, c.retired_at, c.created_at,
    c.version, c.token_hash is not null as has_url, c.accepted ->> 'at' as accepted_at,
    s.status, s.health, s.reason, s.since, s.slot_at, s.value, {_STATE} as state"""
SOURCE = """health_check c join check_state s on s.check_id = c.id join alias a on a.id = c.node_id
    join node n on n.id = a.node_id left join connection x on x.id = c.connection_id"""
#: lists filter by these: name → condition on ``%(name)s``
FILTERS = {
    "state": f"{_STATE} = any(%(state)s)",
    "status": "s.status = any(%(status)s)",
    "kind": "c.kind = any(%(kind)s)",
    "system": "n.system = any(%(system)s)",
    "environment": "n.environment = any(%(environment)s)",
    "team": """(n.owner_id::text = any(%(team)s) or lower(n.owner_name) = any(select lower(t) from unnest(%(team)s::text[]) t)
                or ('none' = any(%(team)s) and n.owner_name = ''))""",
    "connection": "c.connection_id::text = any(%(connection)s)",
    "node": "a.node_id in (select node_id from alias where id::text = any(%(node)s))",
}
WORDS = "c.name || ' ' || c.kind || ' ' || n.name || ' ' || n.namespace"


# ---------------------------------------------------------------- reading


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    """A check with its state, retired ones too; :class:`errors.NotFound` where there is none."""
    row = conn.execute(f"select {SHOWN} from {SOURCE} where c.id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no check has the id {id_}", field="id")
    return row


def page(
    conn: Conn, filters: Mapping[str, Any], limit: int = 100, after: tuple[str, UUID] | None = None
) -> list[dict[str, Any]]:
    """By name, those after (lower name, id). ``filters``: q, retired (True: those too) and :data:`FILTERS`."""
    cond = ["true" if filters.get("retired") else "c.retired_at is null"]
    args: dict[str, Any] = {"limit": limit}
    for i, word in enumerate(str(filters.get("q") or "").lower().split()[:8]):
        cond.append(f"lower({WORDS}) like %(q{i})s")
        args[f"q{i}"] = f"%{nodes.like(word)}%"
    for name, condition in FILTERS.items():
        if filters.get(name):
            cond.append(condition)
            args[name] = [str(v) for v in filters[name]]
    if after:
        cond.append("(lower(c.name), c.id) > (%(after_name)s::text, %(after_id)s::uuid)")
        args |= {"after_name": after[0], "after_id": after[1]}
    return conn.execute(
        f"""select {SHOWN} from {SOURCE} where {" and ".join(cond)} order by lower(c.name), c.id limit %(limit)s""",
        args,
    ).fetchall()


def of_node(conn: Conn, node: UUID) -> list[dict[str, Any]]:
    """The checks that speak of a node, the worst first."""
    return conn.execute(
        f"""select {SHOWN} from {SOURCE} where a.node_id = %s and c.retired_at is null
             order by array_position(array['failed','late','warn','unknown','ok'], s.health), lower(c.name), c.id limit 200""",
        (node,),
    ).fetchall()


def owners(conn: Conn) -> list[tuple[str, int]]:
    """Names of the teams that own nodes with checks, and how many checks those are."""
    rows = conn.execute(
        f"""select n.owner_name as name, count(*) as n from {SOURCE}
             where c.retired_at is null and n.owner_name <> '' group by 1 order by 2 desc, 1 limit 200"""
    )
    return [(r["name"], r["n"]) for r in rows]


def recent(conn: Conn, id_: UUID, limit: int = 100) -> list[dict[str, Any]]:
    """The newest results of a check, newest first."""
    return conn.execute(
        """select slot_at, status, attempts, started_at, ended_at, value, reason, detail from check_result
            where check_id = %s order by slot_at desc limit %s""",
        (id_, limit),
    ).fetchall()


def beats(conn: Conn, id_: UUID, limit: int = BEATS) -> list[Beat]:
    """The newest calls of a heartbeat's URL, newest first."""
    rows = conn.execute(
        "select at, kind, note from heartbeat where check_id = %s order by at desc, id desc limit %s",
        (id_, limit),
    )
    return [Beat(r["at"], r["kind"], r["note"]) for r in rows]


def spec(conn: Conn, id_: UUID) -> Spec | None:
    """What a kind is handed, with what the record knows of the node; None where the check is gone or retired."""
    row = conn.execute(
        """select c.id, c.name, c.kind, a.node_id, c.config, c.severity, c.every_seconds, c.connection_id, c.accepted,
                  c.begun_at, n.type, n.kind as node_kind, n.system, n.made_at, n.last_seen,
                  (select jsonb_agg(jsonb_build_array(o.namespace, o.name) order by o.id <> c.node_id, o.last_seen desc, o.id)
                     from alias o where o.node_id = a.node_id) as names,
                  (select case when bool_and(p.quiet_since is not null) then max(p.quiet_since) end
                     from alias o join alias_sent t on t.alias_id = o.id join producer p on p.id = t.producer_id
                    where o.node_id = a.node_id and p.retired_at is null) as quiet_since
             from health_check c join alias a on a.id = c.node_id join node n on n.id = a.node_id
            where c.id = %s and c.retired_at is null""",
        (id_,),
    ).fetchone()
    if row is None:
        return None
    return Spec(
        id=row["id"], name=row["name"], kind=row["kind"], node_id=row["node_id"], config=row["config"],
        severity=row["severity"], every_seconds=row["every_seconds"], connection_id=row["connection_id"],
        about=About(
            row["type"], row["node_kind"], row["system"], tuple((n[0], n[1]) for n in row["names"]), row["made_at"],
            row["last_seen"], row["quiet_since"],
        ),
        beats=tuple(beats(conn, id_)) if row["connection_id"] is None else (),
        accepted=row["accepted"],
        begun_at=row["begun_at"],
    )  # fmt: skip


def past(conn: Conn, id_: UUID, n: int, now: datetime | None = None) -> Past:
    """State, memory and the newest ``n`` numbers of a check. With ``n`` above 0 also the mean of the same hour of the
    same weekday in each of the :data:`WEEKS` weeks before ``now``, as the clocks of its config's ``zone`` count hours.
    """
    state = conn.execute(
        """select s.status, s.memory, c.learnt_from, coalesce(c.config ->> 'zone', 'UTC') as zone from check_state s join health_check c on c.id = s.check_id
            where s.check_id = %s""",
        (id_,),
    ).fetchone()
    if state is None:
        return Past()
    if not n:
        return Past(state["status"], state["memory"])
    values = conn.execute(
        """select slot_at, value from check_result
            where check_id = %s and slot_at >= %s and value is not null and status in ('ok', 'warn', 'fail')
            order by slot_at desc limit %s""",
        (id_, state["learnt_from"], n),
    ).fetchall()
    weekly = conn.execute(
        """select h.at, avg(r.value) as value from unnest(%s::timestamptz[]) as h(at)
             join check_result r on r.check_id = %s and r.slot_at >= h.at and r.slot_at < h.at + interval '1 hour'
              and r.slot_at >= %s and r.value is not null and r.status in ('ok', 'warn', 'fail')
            group by h.at order by h.at""",
        (_same_hours(now or datetime.now(UTC), state["zone"]), id_, state["learnt_from"]),
    ).fetchall()
    return Past(
        state["status"],
        state["memory"],
        tuple((r["slot_at"], r["value"]) for r in reversed(values)),
        tuple((r["at"], r["value"]) for r in weekly),
    )


def _same_hours(now: datetime, zone: str) -> list[datetime]:
    """The beginning of this hour in each of the weeks before, by the clock of a zone (summer time moves them)."""
    hour = now.astimezone(ZoneInfo(zone)).replace(minute=0, second=0, microsecond=0, fold=0)
    return [(hour - timedelta(weeks=k)).astimezone(UTC) for k in range(WEEKS, 0, -1)]


# ---------------------------------------------------------------- people's changes


def create(conn: Conn, actor: Actor, kind: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """A new check. ``said``: :data:`FIELDS`, the config whole. It looks for the first time at once."""
    new = {"severity": "error", "connection_id": None, "config": {}} | settable.checked(said, _CHECK)
    for field in ("name", "node_id", "every_seconds"):
        if field not in new:
            raise Invalid(f"a check needs its {field.replace('_', ' ')}", field=field)
    _known(conn, new)
    id_ = uuid4()
    offset = schedule.offset_of(id_, new["every_seconds"])
    with conn.transaction():
        conn.execute(
            """insert into health_check (id, name, kind, node_id, connection_id, config, severity, every_seconds,
                                         offset_seconds, next_slot_at)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            (
                id_, new["name"], kind, new["node_id"], new["connection_id"], Jsonb(new["config"]), new["severity"],
                new["every_seconds"], offset, _next(conn, id_, new["every_seconds"]),
            ),
        )  # fmt: skip
        conn.execute("insert into check_state (check_id) values (%s)", (id_,))
        slots.now(conn, id_)
    audit.write(conn, actor, "check.create", "check", id_, None, {"kind": kind} | _told(new))
    return get(conn, id_)


def edit(
    conn: Conn,
    actor: Actor,
    id_: UUID,
    changes: Mapping[str, Any],
    version: int | None,
    *,
    anew: bool = False,
) -> dict[str, Any]:
    """Change fields of :data:`FIELDS`. ``anew``: it looks at something else now and forgets what it learnt and saw."""
    said = settable.checked(changes, _CHECK)
    was = _locked(conn, id_)
    now = {k: was[k] for k in FIELDS}
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this check since you opened it",
            changes={k: {"yours": v, "theirs": now[k]} for k, v in _told(said).items() if v != _told(now)[k]},
            version=was["version"],
            hint="look at what changed and save again with the new version",
        )
    said = {k: v for k, v in said.items() if v != now[k]}
    if not said:
        return get(conn, id_)
    _known(conn, said)
    slots.due(conn, checks=[id_])  # what was due until now is of the old interval
    new = now | said
    offset = schedule.offset_of(id_, new["every_seconds"])
    conn.execute(
        """update health_check set name = %s, node_id = %s, connection_id = %s, config = %s, severity = %s,
                  every_seconds = %s, offset_seconds = %s, version = version + 1,
                  next_slot_at = case when paused_at is null and retired_at is null then %s end where id = %s""",
        (
            new["name"], new["node_id"], new["connection_id"], Jsonb(new["config"]), new["severity"],
            new["every_seconds"], offset, _next(conn, id_, new["every_seconds"]), id_,
        ),
    )  # fmt: skip
    if anew:
        conn.execute(
            "update health_check set accepted = null, learnt_from = now(), begun_at = now() where id = %s",
            (id_,),
        )
        _forget(conn, id_, memory=True)
    if said.keys() & {"config", "node_id", "connection_id", "severity"}:
        slots.now(conn, id_)
    _judge(conn, was["on_node"], new["node_id"])
    audit.write(conn, actor, "check.edit", "check", id_, _told({k: now[k] for k in said}), _told(said))
    return get(conn, id_)


def retire(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Remove it: no slot is made any more, it says nothing of its node, its results stay until they expire."""
    return _life(
        conn, actor, id_, "retire", version, "retired_at = coalesce(retired_at, now()), next_slot_at = null"
    )


def unretire(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Bring it back. It begins anew: what it said before is long past."""
    return _life(
        conn, actor, id_, "unretire", version, "retired_at = null, begun_at = now(), next_slot_at = %(next)s"
    )


def pause(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """No slot is made until it is resumed, and it says nothing of its node meanwhile."""
    return _life(
        conn, actor, id_, "pause", version, "paused_at = coalesce(paused_at, now()), next_slot_at = null"
    )


def resume(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """Look again, from the next slot on; what was missed while it was paused is nobody's."""
    return _life(
        conn, actor, id_, "resume", version,
        "paused_at = null, begun_at = now(), next_slot_at = case when retired_at is null then %(next)s end",
    )  # fmt: skip


def _life(
    conn: Conn, actor: Actor, id_: UUID, action: str, version: int | None, change: str
) -> dict[str, Any]:
    was = _locked(conn, id_)
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this check since you opened it",
            changes={},
            version=was["version"],
            hint="look at what changed and try again with the new version",
        )
    slots.due(conn, checks=[id_])
    conn.execute(
        f"update health_check set {change}, version = version + 1 where id = %(id)s",
        {"id": id_, "next": _next(conn, id_, was["every_seconds"])},
    )
    if action in ("resume", "unretire"):
        _forget(conn, id_)
        slots.now(conn, id_)
    _judge(conn, was["on_node"])
    now = get(conn, id_)
    keys = ("paused_at", "retired_at")
    audit.write(
        conn, actor, f"check.{action}", "check", id_, {k: was[k] for k in keys}, {k: now[k] for k in keys}
    )
    return now


def _forget(conn: Conn, id_: UUID, *, memory: bool = False) -> None:
    """What it last said is of another time or thing."""
    conn.execute(
        """update check_state set status = 'not_checked', health = 'unknown', reason = 'not checked yet', since = null,
                  value = null, memory = case when %s then '{}' else memory end where check_id = %s""",
        (memory, id_),
    )


def mute(conn: Conn, actor: Actor, id_: UUID, until: datetime | None) -> dict[str, Any]:
    """Slots before ``until`` end as muted, and nobody is told; None ends it. It counts as no edit: responders do it."""
    was = _locked(conn, id_)
    now = _now(conn)
    if until is not None and not now < until <= now + LONGEST_MUTE:
        raise Invalid(
            "a check is muted until a time in the coming 90 days",
            field="until",
            hint="pause or remove it instead",
        )
    conn.execute("update health_check set muted_until = %s where id = %s", (until, id_))
    if until is None:
        slots.now(conn, id_)
    audit.write(
        conn, actor, "check.mute" if until else "check.unmute", "check", id_,
        {"muted_until": was["muted_until"]}, {"muted_until": until},
    )  # fmt: skip
    return get(conn, id_)


def accept(conn: Conn, actor: Actor, id_: UUID) -> dict[str, Any]:
    """What the newest look saw is the new normal from the next look on. Only of kinds that accept."""
    _locked(conn, id_)
    state = conn.execute("select memory, slot_at from check_state where check_id = %s", (id_,)).fetchone()
    if not state or state["slot_at"] is None:
        raise Conflict("there is nothing to accept yet", hint="wait for the first result")
    at = _now(conn)
    conn.execute(
        "update health_check set accepted = %s where id = %s",
        (Jsonb({"at": at.isoformat(), "memory": state["memory"]}), id_),
    )
    slots.now(conn, id_)
    audit.write(conn, actor, "check.accept", "check", id_, None, {"accepted": state["memory"]})
    return get(conn, id_)


def run(conn: Conn, actor: Actor, id_: UUID) -> dict[str, Any]:
    """Have it look at once; :class:`errors.Conflict` where it does not look now."""
    was = _locked(conn, id_)
    if slots.now(conn, id_) is None:
        why = (
            ("was removed", "bring it back first")
            if was["retired_at"]
            else ("is paused", "resume it first")
            if was["paused_at"]
            else ("is muted, or its node is under planned maintenance", "end that first")
        )
        raise Conflict(f"the check {why[0]}", hint=why[1])
    audit.write(conn, actor, "check.run", "check", id_)
    return get(conn, id_)


def set_token(conn: Conn, actor: Actor, id_: UUID, hash_: bytes) -> None:
    """A new URL of a heartbeat, by the SHA-256 of its token; the old one ends at once."""
    _locked(conn, id_)
    conn.execute("update health_check set token_hash = %s where id = %s", (hash_, id_))
    audit.write(conn, actor, "check.url", "check", id_, None, {"url": "replaced"})


# ---------------------------------------------------------------- heartbeats


def by_token(conn: Conn, hash_: bytes) -> dict[str, Any] | None:
    """The heartbeat whose URL has a token of this SHA-256; None where there is none or it is retired."""
    return conn.execute(
        """select c.id, c.name, c.paused_at, s.status from health_check c join check_state s on s.check_id = c.id
            where c.token_hash = %s and c.retired_at is null""",
        (hash_,),
    ).fetchone()


def beat(conn: Conn, check: Mapping[str, Any], kind: str, note: str = "") -> None:
    """Note a call of a heartbeat's URL. ``check``: as :func:`by_token` gives it. A failure, and a success after
    anything but good, are judged at once."""
    conn.execute(
        "insert into heartbeat (check_id, kind, note, at) values (%s, %s, %s, dlv_now())",
        (check["id"], kind, note[:500]),
    )
    if kind == "fail" or (kind == "success" and check["status"] != "ok"):
        slots.now(conn, check["id"])


def expire_beats(conn: Conn, keep: int = 500) -> int:
    """Remove all but the newest ``keep`` calls of each heartbeat; how many were removed."""
    return conn.execute(
        """delete from heartbeat h using (
               select id from (select id, row_number() over (partition by check_id order by at desc, id desc) as n
                                 from heartbeat) o where o.n > %s) x
            where h.id = x.id""",
        (keep,),
    ).rowcount


# ---------------------------------------------------------------- what a field may be


def _id(field: str, value: Any) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(str(value))
    except ValueError:
        raise Invalid(f"{str(value)[:60]!r} is no id", field=field) from None


def _severity(value: Any) -> str:
    if value not in SEVERITIES:
        raise Invalid(f"severity {str(value)[:40]!r} is not known", field="severity", hint="error or warn")
    return str(value)


def _every(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not LEAST <= value <= MOST:
        raise Invalid("a check looks every 10 seconds to 7 days", field="every_seconds")
    return value


def _config(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Invalid("config is an object", field="config")
    return dict(value)


_CHECK = {
    "name": lambda v: settable.named(v, "a check's name", 160),
    "node_id": lambda v: _id("node_id", v),
    "connection_id": lambda v: None if v is None else _id("connection_id", v),
    "config": _config,
    "severity": _severity,
    "every_seconds": _every,
}


def _known(conn: Conn, said: Mapping[str, Any]) -> None:
    """The node and the connection that it names exist."""
    if (
        "node_id" in said
        and not conn.execute(
            "select 1 from alias a join node n on n.id = a.node_id where a.id = %s", (said["node_id"],)
        ).fetchone()
    ):
        raise Invalid(f"no node has the id {said['node_id']}", field="node_id")
    if (
        said.get("connection_id")
        and not conn.execute(
            "select 1 from connection where id = %s and retired_at is null", (said["connection_id"],)
        ).fetchone()
    ):
        raise Invalid(f"no connection has the id {said['connection_id']}", field="connection_id")


def _told(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as the audit and a conflict tell them."""
    return {k: str(v) if isinstance(v, UUID) else v for k, v in fields.items()}


def _locked(conn: Conn, id_: UUID) -> dict[str, Any]:
    row = conn.execute(
        """select c.*, a.node_id as on_node from health_check c join alias a on a.id = c.node_id
            where c.id = %s for update of c""",
        (id_,),
    ).fetchone()
    if row is None:
        raise NotFound(f"no check has the id {id_}", field="id")
    return row


def _judge(conn: Conn, *nodes_: UUID) -> None:
    """What a check says of its node changed: its node is judged again."""
    found: Sequence[dict[str, Any]] = conn.execute(
        "select distinct node_id from alias where id = any(%s) or node_id = any(%s)",
        (list(nodes_), list(nodes_)),
    ).fetchall()
    health.judge(conn, [r["node_id"] for r in found], _now(conn))


def _now(conn: Conn) -> datetime:
    row = conn.execute("select dlv_now() as at").fetchone()
    assert row is not None
    at: datetime = row["at"]
    return at


def _next(conn: Conn, id_: UUID, every: int) -> datetime:
    return schedule.slot_after(_now(conn), every, schedule.offset_of(id_, every))
