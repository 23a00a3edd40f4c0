"""Teams: people and channels; they own nodes by hand or by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID, uuid4

from psycopg import errors as pg
from psycopg.types.json import Jsonb

from errors import Changed, Conflict, Invalid, NotFound
from store import audit, materialise, settable
from store.audit import Actor
from store.record import Conn

FIELDS = ("name", "description", "people", "channels", "patterns")
CHANNELS = ("email", "slack", "teams", "webhook", "pagerduty", "opsgenie", "phone")
#: node rows rebuilt at once after a change of what a team owns
_CHUNK = 1000

_SHOWN = """select t.id, t.name, t.description, t.people, t.channels, t.retired_at, t.version,
                   coalesce((select jsonb_agg(p.pattern order by p.pattern) from team_pattern p where p.team_id = t.id),
                            '[]') as patterns,
                   (select count(*) from node n where n.owner_id = t.id and n.retired_at is null) as owned
              from team t"""


def get(conn: Conn, id_: UUID) -> dict[str, Any]:
    row = conn.execute(f"{_SHOWN} where t.id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no team has the id {id_}", field="id")
    return row


def page(
    conn: Conn, q: str = "", limit: int = 50, after: tuple[str, UUID] | None = None, *, retired: bool = False
) -> list[dict[str, Any]]:
    """By name, those after (lower name, id)."""
    return conn.execute(
        f"""{_SHOWN} where (%(retired)s or t.retired_at is null) and strpos(lower(t.name), lower(%(q)s)) > 0
              and (%(id)s::uuid is null or (lower(t.name), t.id) > (%(name)s::text, %(id)s::uuid))
            order by lower(t.name), t.id limit %(limit)s""",
        {
            "q": q, "limit": limit, "retired": retired,
            "name": after[0] if after else None, "id": after[1] if after else None,
        },
    ).fetchall()  # fmt: skip


def create(conn: Conn, actor: Actor, said: Mapping[str, Any]) -> dict[str, Any]:
    """A new team; :class:`errors.Conflict` where the name is taken, whatever its case."""
    if "name" not in said:
        raise Invalid("a team needs a name", field="name")
    new = {"description": "", "people": [], "channels": [], "patterns": []} | settable.checked(said, _CHECK)
    id_ = uuid4()
    try:
        with conn.transaction():
            conn.execute(
                "insert into team (id, name, description, people, channels) values (%s, %s, %s, %s, %s)",
                (id_, new["name"], new["description"], Jsonb(new["people"]), Jsonb(new["channels"])),
            )
    except pg.UniqueViolation:
        raise _taken(new["name"]) from None
    _patterns(conn, id_, new["patterns"])
    _refresh(conn, id_, {new["name"]}, new["patterns"])
    audit.write(conn, actor, "team.create", "team", id_, None, new)
    return get(conn, id_)


def edit(
    conn: Conn, actor: Actor, id_: UUID, changes: Mapping[str, Any], version: int | None
) -> dict[str, Any]:
    """Change a team and, with its name or patterns, what it owns. ``retired`` False brings it back."""
    said = settable.checked({k: v for k, v in changes.items() if k != "retired"}, _CHECK)
    if not conn.execute("select 1 from team where id = %s for update", (id_,)).fetchone():
        raise NotFound(f"no team has the id {id_}", field="id")
    was = get(conn, id_)
    if changes.get("retired") is not None:
        if not isinstance(changes["retired"], bool):
            raise Invalid("retired is true or false", field="retired")
        said["retired"] = changes["retired"]
    now = {k: was[k] for k in FIELDS} | {"retired": was["retired_at"] is not None}
    if version is not None and version != was["version"]:
        raise Changed(
            "somebody else edited this team since you opened it",
            changes={k: {"yours": v, "theirs": now[k]} for k, v in said.items() if v != now[k]},
            version=was["version"],
            hint="look at what changed and save again with the new version",
        )
    said = {k: v for k, v in said.items() if v != now[k]}
    if not said:
        return was
    new = now | said
    try:
        with conn.transaction():
            conn.execute(
                """update team set name = %s, description = %s, people = %s, channels = %s, version = version + 1,
                          retired_at = case when %s then coalesce(retired_at, now()) end where id = %s""",
                (
                    new["name"],
                    new["description"],
                    Jsonb(new["people"]),
                    Jsonb(new["channels"]),
                    new["retired"],
                    id_,
                ),
            )
    except pg.UniqueViolation:
        raise _taken(new["name"]) from None
    _patterns(conn, id_, new["patterns"])
    if said.keys() & {"name", "patterns", "retired"}:
        _refresh(conn, id_, {was["name"], new["name"]}, [*was["patterns"], *new["patterns"]])
    audit.write(
        conn, actor, "team.edit", "team", id_, {k: now[k] for k in said}, said,
    )  # fmt: skip
    return get(conn, id_)


def retire(conn: Conn, actor: Actor, id_: UUID, version: int | None = None) -> dict[str, Any]:
    """The team owns nothing any more; its name stays taken, and it can be brought back."""
    return edit(conn, actor, id_, {"retired": True}, version)


def _taken(name: str) -> Conflict:
    return Conflict(
        f"there is a team called {name!r} already", field="name", hint="choose another name, or bring it back"
    )


# ---------------------------------------------------------------- what a field may be


def _description(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 5000 or "\x00" in value:
        raise Invalid("description is not text of at most 5000 characters", field="description")
    return value.strip()


def _people(value: Any) -> list[dict[str, str]]:
    out = []
    for i, person in enumerate(_objects(value, "people", {"name", "email"})):
        name, email = person.get("name", "").strip(), person.get("email", "").strip()
        if not name and not email:
            raise Invalid("a person needs a name or an address", field=f"people.{i}")
        if email and not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
            raise Invalid(f"{email[:80]!r} is no mail address", field=f"people.{i}.email", hint="name@host")
        out.append({"name": name, "email": email})
    return out


def _channels(value: Any) -> list[dict[str, str]]:
    out = []
    for i, channel in enumerate(_objects(value, "channels", {"kind", "target"})):
        kind, target = channel.get("kind", "").strip().lower(), channel.get("target", "").strip()
        if kind not in CHANNELS:
            raise Invalid(
                f"no channel is of kind {kind[:40]!r}", field=f"channels.{i}.kind", hint=", ".join(CHANNELS)
            )
        if not target:
            raise Invalid("a channel needs a target", field=f"channels.{i}.target", hint="e.g. #data-oncall")
        out.append({"kind": kind, "target": target})
    return out


def _objects(value: Any, field: str, keys: set[str]) -> list[Mapping[str, str]]:
    if not isinstance(value, list) or len(value) > 200:
        raise Invalid(f"{field} is not a list of at most 200", field=field)
    for i, one in enumerate(value):
        if (
            not isinstance(one, Mapping)
            or set(one) - keys
            or not all(isinstance(v, str) for v in one.values())
        ):
            raise Invalid(
                f"{field} has an entry that is not {' and '.join(sorted(keys))}", field=f"{field}.{i}"
            )
        if any(len(v) > 300 or "\x00" in v for v in one.values()):
            raise Invalid("longer than 300 characters", field=f"{field}.{i}")
    return value


def _glob(value: Any) -> list[str]:
    if not isinstance(value, list) or len(value) > 200 or not all(isinstance(p, str) for p in value):
        raise Invalid("patterns is not a list of at most 200 patterns", field="patterns")
    out = sorted({p.strip() for p in value if p.strip()})
    for p in out:
        if len(p) > 500 or "\x00" in p:
            raise Invalid("a pattern is longer than 500 characters", field="patterns")
        if not p.strip("*?/"):
            raise Invalid(
                f"{p!r} would match every node", field="patterns", hint="e.g. postgres://shop*/shop.public.*"
            )
    return out


_CHECK = {
    "name": lambda v: settable.named(v, "a team's name"),
    "description": _description,
    "people": _people,
    "channels": _channels,
    "patterns": _glob,
}


# ---------------------------------------------------------------- what a team owns


def _patterns(conn: Conn, id_: UUID, patterns: Iterable[str]) -> None:
    wanted = set(patterns)
    have = {r["pattern"] for r in conn.execute("select pattern from team_pattern where team_id = %s", (id_,))}
    conn.execute(
        "delete from team_pattern where team_id = %s and pattern = any(%s)", (id_, list(have - wanted))
    )
    for pattern in sorted(wanted - have):
        conn.execute("insert into team_pattern (team_id, pattern) values (%s, %s)", (id_, pattern))


def _refresh(conn: Conn, id_: UUID, names: set[str], patterns: Iterable[str]) -> None:
    """Rebuild the rows of all nodes that a change of this team may concern."""
    rows = conn.execute(
        """select n.id from node n where n.owner_id = %(id)s or lower(n.owner_name) = any(%(names)s)
           union select a.node_id from alias a join alias_field f on f.alias_id = a.id and f.field = 'owner'
                  where f.value #>> '{}' = %(id)s::text or lower(f.value #>> '{}') = any(%(names)s)
           union select a.node_id from alias a where lower(a.namespace || '/' || a.name) ~ any(%(globs)s)""",
        {"id": id_, "names": [n.lower() for n in names], "globs": [regex(p.lower()) for p in set(patterns)]},
    ).fetchall()
    nodes = sorted(r["id"] for r in rows)
    for start in range(0, len(nodes), _CHUNK):
        materialise.refresh(conn, nodes[start : start + _CHUNK])


def regex(glob: str) -> str:
    """A glob (``*``, ``?``, ``[…]``) as a regular expression of Postgres over the whole text."""
    out = ""
    i = 0
    while i < len(glob):
        c = glob[i]
        close = glob.find("]", i + 2) if c == "[" else -1
        if c == "*":
            out += ".*"
        elif c == "?":
            out += "."
        elif close > 0:
            inside = glob[i + 1 : close].replace("\\", "\\\\").replace("[", "\\[")
            out += f"[{'^' + inside[1:] if inside.startswith('!') else inside}]"
            i = close
        else:
            out += re.sub(r"([^\w/])", r"\\\1", c)
        i += 1
    return f"^(?:{out})$"


def matched(conn: Conn, patterns: Iterable[str]) -> dict[str, int]:
    """How many nodes on the map each pattern matches, whoever owns them."""
    out = {}
    for pattern in _glob(list(patterns)):
        row = conn.execute(
            """select count(distinct n.id) as n from alias a join node n on n.id = a.node_id
                where n.retired_at is null and not n.standin
                  and lower(a.namespace || '/' || a.name) ~ %s""",
            (regex(pattern.lower()),),
        ).fetchone()
        out[pattern] = int(row["n"]) if row else 0
    return out
