"""Silences and maintenance windows: times in which nobody is told of what they cover."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from alerts.routing import EVERY, Silence
from errors import Changed, Invalid, NotFound
from store import audit, incidents, producers, settable
from store.alert_rules import facts, ids_of, words_of
from store.audit import Actor
from store.record import Conn

FIELDS = ("kind", "reason", "nodes", "tags", "teams", "producers", "starts_at", "ends_at", "repeats")
#: the longest window; what is longer is a check or a rule that should be removed
LONGEST = timedelta(days=90)

#: upcoming, active or over; a window that repeats is active while one of its turns holds
SHOWN = """select s.*, case when s.ended_at is not null then 'over'
                             when s.repeats = '' and s.ends_at <= now() then 'over'
                             when s.starts_at > now() then 'upcoming'
                             when s.repeats = '' or mod(extract(epoch from now() - s.starts_at),
                                      case s.repeats when 'daily' then 86400 else 604800 end)
                                  < extract(epoch from s.ends_at - s.starts_at) then 'active'
                             else 'upcoming' end as state
              from silence s"""


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    row = conn.execute(f"{SHOWN} where s.id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no silence has the id {id_}", field="id")
    return row


def page(
    conn: Conn, *, over: bool = False, limit: int = 100, after: tuple[datetime, UUID] | None = None
) -> list[dict[str, Any]]:
    """The last to begin first; ``over``: those that have ended too."""
    return conn.execute(
        f"""select * from ({SHOWN}) s where (%(over)s or s.state <> 'over')
              and (%(id)s::uuid is null or (s.starts_at, s.id) < (%(at)s::timestamptz, %(id)s::uuid))
            order by s.starts_at desc, s.id desc limit %(limit)s""",
        {
            "over": over,
            "limit": limit,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
        },
    ).fetchall()


def active(conn: Conn, at: datetime) -> list[Silence]:
    """The silences that hold at this moment, as :mod:`alerts.routing` takes them; merged nodes are followed."""
    rows = conn.execute(
        """select s.id, s.kind, s.reason, s.tags, s.teams, s.producers, s.starts_at, s.ends_at,
                  s.repeats, s.nodes || array(select a.node_id from alias a where a.id = any(s.nodes)) as nodes
             from silence s
            where s.ended_at is null and s.starts_at <= %(at)s and (s.repeats <> '' or s.ends_at > %(at)s)
            order by s.starts_at, s.id""",
        {"at": at},
    ).fetchall()
    found = [
        Silence(
            id=r["id"],
            starts_at=r["starts_at"],
            ends_at=r["ends_at"],
            kind=r["kind"],
            reason=r["reason"],
            nodes=frozenset(r["nodes"]),
            tags=frozenset(r["tags"]),
            teams=frozenset(r["teams"]),
            producers=frozenset(r["producers"]),
            repeats=r["repeats"],
        )
        for r in rows
    ]
    return [s for s in found if s.until(at)]


def covering(conn: Conn, node_ids: Iterable[UUID], at: datetime) -> dict[UUID, Silence]:
    """{id as it was given: the silence that covers its node at this moment}; where several do, a maintenance window
    before a silence. The schedule ends slots under maintenance as muted."""
    holding = sorted(active(conn, at), key=lambda s: s.kind != "maintenance")
    if not holding:
        return {}
    out = {}
    for given, node in facts(conn, node_ids).items():
        found = next((s for s in holding if s.covers(node)), None)
        if found:
            out[given] = found
    return out


def create(conn: Conn, actor: Actor, said: Mapping[str, Any]) -> dict[str, Any]:
    """A new silence, from now on where ``starts_at`` is not said."""
    now = datetime.now(UTC)
    new: dict[str, Any] = {
        "kind": "silence",
        "nodes": [],
        "tags": [],
        "teams": [],
        "producers": [],
        "repeats": "",
        "starts_at": now,
    } | checked(conn, said)
    if not new.get("reason"):
        raise Invalid("say why, for who comes later", field="reason")
    if "ends_at" not in new:
        raise Invalid("a silence has an end", field="ends_at")
    _window(new)
    ends_at: datetime = new["ends_at"]
    if not new["repeats"] and ends_at <= now:
        raise Invalid("it would be over already", field="ends_at", hint="times are in UTC")
    id_ = uuid4()
    conn.execute(
        """insert into silence (id, kind, reason, nodes, tags, teams, producers, starts_at, ends_at, repeats,
                                created_by)
           values (%(id)s, %(kind)s, %(reason)s, %(nodes)s, %(tags)s, %(teams)s, %(producers)s, %(starts_at)s,
                   %(ends_at)s, %(repeats)s, %(by)s)""",
        new | {"id": id_, "by": actor.name},
    )
    audit.write(conn, actor, "silence.create", "silence", id_, None, new)
    return get(conn, id_)


def edit(
    conn: Conn, actor: Actor, id_: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:
    """Change a silence that has not ended. What it kept back is looked at again."""
    was = _locked(conn, id_)
    if was["ended_at"]:
        raise Invalid("this silence was ended; it is history", field="id", hint="make a new one")
    said = checked(conn, changes)
    now = {k: was[k] for k in FIELDS}
    said = {k: v for k, v in said.items() if v != now[k]}
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this silence since you opened it",
            changes={k: {"yours": v, "theirs": now[k]} for k, v in said.items()},
            version=was["version"],
            hint="look at what changed and save again with the new version",
        )
    if not said:
        return was
    _window(now | said)
    sets = ", ".join(f"{k} = %({k})s" for k in said)
    conn.execute(f"update silence set {sets}, version = version + 1 where id = %(id)s", said | {"id": id_})
    look_again(conn, id_)
    audit.write(conn, actor, "silence.edit", "silence", id_, {k: now[k] for k in said}, said)
    return get(conn, id_)


def end(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """End a silence now; people are told of what it kept back and is still open."""
    was = _locked(conn, id_)
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this silence since you opened it", changes={}, version=was["version"]
        )
    if was["ended_at"] is None:
        conn.execute("update silence set ended_at = now(), version = version + 1 where id = %s", (id_,))
        look_again(conn, id_)
        audit.write(conn, actor, "silence.end", "silence", id_, {"ended": False}, {"ended": True})
    return get(conn, id_)


def look_again(conn: Conn, id_: UUID) -> None:
    """Open incidents that this silence kept back are decided about anew."""
    kept = conn.execute(
        """select distinct i.id from notification n join incident i on i.id = n.incident_id
            where n.silence_id = %s and n.status = 'silenced' and i.status = 'open'""",
        (id_,),
    ).fetchall()
    for row in kept:
        incidents.due(conn, row["id"], datetime.now(UTC))


def _locked(conn: Conn, id_: UUID) -> dict[str, Any]:
    if not conn.execute("select 1 from silence where id = %s for update", (id_,)).fetchone():
        raise NotFound(f"no silence has the id {id_}", field="id")
    return get(conn, id_)


def checked(conn: Conn, said: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they are stored; raises :class:`errors.Invalid` that names the one that is wrong."""
    settable.only(said, FIELDS)
    out: dict[str, Any] = {}
    for field, value in said.items():
        if field == "kind":
            if value not in ("silence", "maintenance"):
                raise Invalid("kind is silence or maintenance", field=field)
            out[field] = value
        elif field == "repeats":
            if value not in ("", *EVERY):
                raise Invalid("repeats is daily, weekly or empty", field=field)
            out[field] = value
        elif field == "reason":
            text = " ".join(value.split()) if isinstance(value, str) else ""
            if not 1 <= len(text) <= 500 or "\x00" in text:
                raise Invalid("a reason has 1 to 500 characters", field=field)
            out[field] = text
        elif field in ("starts_at", "ends_at"):
            if not isinstance(value, datetime) or value.tzinfo is None:
                raise Invalid(f"{field} is a time with its zone", field=field)
            out[field] = value
        elif field == "tags":
            out[field] = words_of(value, field)
        elif field == "producers":
            out[field] = producers.known(conn, value)
        else:
            out[field] = ids_of(conn, value, field)
    return out


def _window(new: Mapping[str, Any]) -> None:
    length = new["ends_at"] - new["starts_at"]
    if length <= timedelta(0):
        raise Invalid("it ends before it begins", field="ends_at")
    if length > LONGEST:
        raise Invalid(
            f"longer than {LONGEST.days} days", field="ends_at", hint="switch off the rule or the check"
        )
    every = EVERY.get(new["repeats"])
    if every and length >= every:
        raise Invalid(f"a {new['repeats']} window is shorter than its distance", field="ends_at")
