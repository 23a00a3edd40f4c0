"""Who is told of what: rules in the order in which they are looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from alerts.routing import Facts, Rule
from errors import Changed, Conflict, Invalid, NotFound
from store import audit, settable
from store.audit import Actor
from store.record import Conn

FIELDS = (
    "name",
    "enabled",
    "min_severity",
    "nodes",
    "tags",
    "teams",
    "environments",
    "channels",
    "group_seconds",
    "repeat_minutes",
    "stop",
)
NEW: dict[str, Any] = {
    "enabled": True,
    "min_severity": 4,
    "nodes": [],
    "tags": [],
    "teams": [],
    "environments": [],
    "channels": [],
    "group_seconds": None,
    "repeat_minutes": None,
    "stop": False,
}
#: more are a mistake, and every incident is held against all of them
MOST = 500


def every(conn: Conn) -> list[dict[str, Any]]:
    """All rules in their order."""
    return conn.execute("select * from alert_rule order by position, id").fetchall()


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    row = conn.execute("select * from alert_rule where id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no alert rule has the id {id_}", field="id")
    return row


def active(conn: Conn) -> list[Rule]:
    """The rules that are on, as :func:`alerts.routing.route` takes them; nodes that were merged are followed, and
    channels that were removed are left out."""
    rows = conn.execute(
        """select r.id, r.name, r.min_severity, r.tags, r.teams, r.environments, r.group_seconds, r.repeat_minutes,
                  r.stop, r.nodes || array(select a.node_id from alias a where a.id = any(r.nodes)) as nodes,
                  array(select c.id from unnest(r.channels) with ordinality w(id, n)
                          join channel c on c.id = w.id and c.retired_at is null order by w.n) as channels
             from alert_rule r where r.enabled order by r.position, r.id"""
    ).fetchall()
    return [
        Rule(
            id=r["id"],
            name=r["name"],
            channels=tuple(r["channels"]),
            min_severity=r["min_severity"],
            nodes=frozenset(r["nodes"]),
            tags=frozenset(r["tags"]),
            teams=frozenset(r["teams"]),
            environments=frozenset(r["environments"]),
            group_seconds=r["group_seconds"],
            repeat_minutes=r["repeat_minutes"],
            stop=r["stop"],
        )
        for r in rows
    ]


def facts(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, Facts]:
    """{id as it was given: what rules look at of the node it leads to}. An id that leads nowhere is left out."""
    rows = conn.execute(
        """select a.id as given, n.id, n.tags, n.owner_id, n.environment
             from alias a join node n on n.id = a.node_id where a.id = any(%s)""",
        (list(set(ids)),),
    ).fetchall()
    return {
        r["given"]: Facts(r["id"], frozenset(r["tags"]), r["owner_id"], r["environment"] or "") for r in rows
    }


def called(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """{id as it was given: name, kind, type, system of the node it leads to}, for showing what a rule or silence names."""
    rows = conn.execute(
        """select a.id as given, n.id, n.name, n.kind, n.type, n.system
             from alias a join node n on n.id = a.node_id where a.id = any(%s)""",
        (list(set(ids)),),
    ).fetchall()
    return {r["given"]: r for r in rows}


def create(conn: Conn, actor: Actor, said: Mapping[str, Any]) -> dict[str, Any]:
    """A new rule, below all others."""
    if not said.get("name"):
        raise Invalid("an alert rule needs a name", field="name")
    new = NEW | checked(conn, said)
    if not new["channels"]:
        raise Invalid("a rule tells somebody", field="channels", hint="choose one channel or more")
    id_ = uuid4()
    conn.execute("lock table alert_rule in share row exclusive mode")
    row = conn.execute(
        "select count(*) as n, coalesce(max(position), 0) + 1 as next from alert_rule"
    ).fetchone()
    assert row
    if row["n"] >= MOST:
        raise Conflict(
            f"there are {MOST} rules already", hint="one rule may name several teams, tags or nodes"
        )
    conn.execute(
        """insert into alert_rule (id, position, name, enabled, min_severity, nodes, tags, teams, environments, channels,
                                   group_seconds, repeat_minutes, stop)
           values (%(id)s, %(position)s, %(name)s, %(enabled)s, %(min_severity)s, %(nodes)s, %(tags)s, %(teams)s,
                   %(environments)s, %(channels)s, %(group_seconds)s, %(repeat_minutes)s, %(stop)s)""",
        new | {"id": id_, "position": row["next"]},
    )
    audit.write(conn, actor, "alert_rule.create", "alert_rule", id_, None, new)
    return get(conn, id_)


def edit(
    conn: Conn, actor: Actor, id_: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:
    """Change a rule; :class:`errors.Changed` where somebody else did first."""
    was = _locked(conn, id_)
    said = checked(conn, changes)
    now = {k: was[k] for k in FIELDS}
    _same_version(was, version, {k: v for k, v in said.items() if v != now[k]}, now)
    said = {k: v for k, v in said.items() if v != now[k]}
    if not said:
        return was
    if "channels" in said and not said["channels"]:
        raise Invalid(
            "a rule tells somebody", field="channels", hint="choose a channel, or switch the rule off"
        )
    sets = ", ".join(f"{k} = %({k})s" for k in said)
    conn.execute(f"update alert_rule set {sets}, version = version + 1 where id = %(id)s", said | {"id": id_})
    audit.write(conn, actor, "alert_rule.edit", "alert_rule", id_, {k: now[k] for k in said}, said)
    return get(conn, id_)


def move(conn: Conn, actor: Actor, id_: UUID, position: int) -> list[dict[str, Any]]:
    """Put a rule to a place in the order (1 is the first to be looked at); returns all rules in the new order."""
    conn.execute("lock table alert_rule in share row exclusive mode")
    order = [r["id"] for r in every(conn)]
    if id_ not in order:
        raise NotFound(f"no alert rule has the id {id_}", field="id")
    was = order.index(id_) + 1
    order.remove(id_)
    order.insert(max(1, position) - 1, id_)
    conn.execute(
        "update alert_rule r set position = w.n from unnest(%s::uuid[]) with ordinality w(id, n) where r.id = w.id",
        (order,),
    )
    now = order.index(id_) + 1
    if now != was:
        audit.write(conn, actor, "alert_rule.move", "alert_rule", id_, {"position": was}, {"position": now})
    return every(conn)


def remove(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> None:
    """Take a rule away. What it told people stays in the delivery log."""
    was = _locked(conn, id_)
    _same_version(was, version, {}, {})
    conn.execute("delete from alert_rule where id = %s", (id_,))
    audit.write(conn, actor, "alert_rule.remove", "alert_rule", id_, {k: was[k] for k in FIELDS}, None)


def _locked(conn: Conn, id_: UUID) -> dict[str, Any]:
    if not conn.execute("select 1 from alert_rule where id = %s for update", (id_,)).fetchone():
        raise NotFound(f"no alert rule has the id {id_}", field="id")
    return get(conn, id_)


def _same_version(
    was: Mapping[str, Any], version: int | None, said: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this rule since you opened it",
            changes={k: {"yours": v, "theirs": now[k]} for k, v in said.items()},
            version=was["version"],
            hint="look at what changed and save again with the new version",
        )


# ---------------------------------------------------------------- what a field may be


def checked(conn: Conn, said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they are stored; raises :class:`errors.Invalid` that names the one that is wrong."""
    settable.only(said, FIELDS)
    out: dict[str, Any] = {}
    for field, value in said.items():
        if field == "name":
            out[field] = settable.named(value, "a rule's name")
        elif field in ("enabled", "stop"):
            if not isinstance(value, bool):
                raise Invalid(f"{field} is true or false", field=field)
            out[field] = value
        elif field == "min_severity":
            out[field] = _between(value, field, 1, 4)
        elif field == "group_seconds":
            out[field] = None if value is None else _between(value, field, 0, 3600)
        elif field == "repeat_minutes":
            out[field] = None if value is None else _between(value, field, 5, 10_080)
        elif field in ("tags", "environments"):
            out[field] = words_of(value, field)
        else:
            out[field] = ids_of(conn, value, field)
    return out


#: field of a rule or silence → (query that finds which of %s exist, what one is called)
_KNOWN = {
    "nodes": ("select id from alias where id = any(%s)", "node"),
    "teams": ("select id from team where id = any(%s)", "team"),
    "channels": ("select id from channel where id = any(%s) and retired_at is null", "channel"),
}


def ids_of(conn: Conn, value: Any, field: str) -> list[UUID]:
    """Ids that exist, each once, in the order they were given."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > 1000:
        raise Invalid(f"{field} is not a list of at most 1000 ids", field=field)
    try:
        ids = list(dict.fromkeys(v if isinstance(v, UUID) else UUID(str(v)) for v in value))
    except ValueError:
        raise Invalid(f"{field} has an entry that is no id", field=field, hint="ids are UUIDs") from None
    query, what = _KNOWN[field]
    found = {r["id"] for r in conn.execute(query, (ids,))}
    for i in ids:
        if i not in found:
            raise Invalid(f"no {what} has the id {i}", field=field)
    return ids


def words_of(value: Any, field: str) -> list[str]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > 200:
        raise Invalid(f"{field} is not a list of at most 200 words", field=field)
    out = []
    for v in value:
        word = v.strip() if isinstance(v, str) else ""
        if not 1 <= len(word) <= 120 or not word.isprintable():
            raise Invalid(f"{field} has an entry that is not 1 to 120 characters", field=field)
        out.append(word)
    return sorted(set(out))


def _between(value: Any, field: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Invalid(f"{field} is a whole number from {low} to {high}", field=field)
    return value
