"""Naming rules: how names are read. They apply to events from now on; `dlv refold` applies them to those before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from psycopg import errors as pg

from errors import Changed, Conflict, Invalid, NotFound
from store import audit
from store.audit import Actor
from store.record import Conn

KINDS = ("host_alias", "default_schema", "ignore", "environment", "partition")
_REGEX = ("ignore", "environment", "partition")
_SHOWN = """select r.id, r.kind, r.pattern, r.value, r.producer_id, p.name as producer, r.created_at, r.version
              from naming_rule r left join producer p on p.id = r.producer_id"""


def get(conn: Conn, id_: int) -> dict[str, Any]:
    row = conn.execute(f"{_SHOWN} where r.id = %s", (id_,)).fetchone()
    if row is None:
        raise NotFound(f"no naming rule has the id {id_}", field="id")
    return row


def page(
    conn: Conn, kind: str | None = None, limit: int = 100, after: int | None = None
) -> list[dict[str, Any]]:
    """By id, which is the order in which they are tried, those after ``after``."""
    return conn.execute(
        f"""{_SHOWN} where (%(kind)s::text is null or r.kind = %(kind)s) and r.id > %(after)s
            order by r.id limit %(limit)s""",
        {"kind": kind, "after": after or 0, "limit": limit},
    ).fetchall()


def create(conn: Conn, actor: Actor, said: Mapping[str, Any]) -> dict[str, Any]:
    """A new rule; :class:`errors.Conflict` where there is one of this kind, producer and pattern."""
    new = checked(conn, said)
    try:
        with conn.transaction():
            row = conn.execute(
                """insert into naming_rule (kind, producer_id, pattern, value)
                   values (%(kind)s, %(producer_id)s, %(pattern)s, %(value)s) returning id""",
                new,
            ).fetchone()
    except pg.UniqueViolation:
        raise _taken() from None
    assert row
    audit.write(conn, actor, "rule.create", "rule", row["id"], None, new)
    return get(conn, row["id"])


def edit(
    conn: Conn, actor: Actor, id_: int, changes: Mapping[str, Any], version: int | None = None
) -> dict[str, Any]:
    """Change a rule; :class:`errors.Changed` where somebody else edited it since ``version``."""
    was = _locked(conn, id_, changes, version)
    new = checked(conn, was | dict(changes))
    diff = [k for k in new if new[k] != was[k]]
    if not diff:
        return get(conn, id_)
    try:
        with conn.transaction():
            conn.execute(
                """update naming_rule set kind = %(kind)s, producer_id = %(producer_id)s, pattern = %(pattern)s,
                          value = %(value)s, version = version + 1 where id = %(id)s""",
                new | {"id": id_},
            )
    except pg.UniqueViolation:
        raise _taken() from None
    audit.write(conn, actor, "rule.edit", "rule", id_, {k: was[k] for k in diff}, {k: new[k] for k in diff})
    return get(conn, id_)


def delete(conn: Conn, actor: Actor, id_: int, version: int | None = None) -> None:
    """Take a rule away; :class:`errors.Changed` where somebody else edited it since ``version``."""
    was = _locked(conn, id_, {}, version)
    conn.execute("delete from naming_rule where id = %s", (id_,))
    audit.write(conn, actor, "rule.delete", "rule", id_, was)


def _locked(conn: Conn, id_: int, changes: Mapping[str, Any], version: int | None) -> dict[str, Any]:
    """What a rule says, and nobody else changes it until the transaction ends."""
    conn.execute("select 1 from naming_rule where id = %s for update", (id_,))
    row = get(conn, id_)
    was = {k: row[k] for k in ("kind", "producer_id", "pattern", "value")}
    if version is not None and version != row["version"]:
        raise Changed(
            "somebody else edited this rule since you opened it",
            changes={k: {"yours": v, "theirs": was[k]} for k, v in changes.items() if v != was.get(k)},
            version=row["version"],
            hint="look at what changed and save again with the new version",
        )
    return was


def _taken() -> Conflict:
    return Conflict("there is a rule of this kind for this pattern", field="pattern", hint="edit that one")


def checked(conn: Conn, said: Mapping[str, Any]) -> dict[str, Any]:
    kind, pattern, value = said.get("kind"), said.get("pattern"), said.get("value") or ""
    if kind not in KINDS:
        raise Invalid(f"kind is {kind!r}", field="kind", hint="one of " + ", ".join(KINDS))
    if not isinstance(pattern, str) or not 1 <= len(pattern.strip()) <= 500 or "\x00" in pattern:
        raise Invalid("a rule needs a pattern of at most 500 characters", field="pattern", hint=_HINT[kind])
    if not isinstance(value, str) or len(value) > 500 or "\x00" in value:
        raise Invalid("value is not text of at most 500 characters", field="value")
    pattern, value = pattern.strip(), value.strip()
    if kind in _REGEX:
        try:
            compiled = re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as e:
            raise Invalid(f"not a regular expression: {e}", field="pattern", hint=_HINT[kind]) from None
        if compiled.search(""):
            raise Invalid("this pattern matches every name", field="pattern", hint=_HINT[kind])
        if re.search(r"\([^)]*[+*][^)]*\)[+*]", pattern):
            raise Invalid(
                "a repetition inside a repetition can take for ever",
                field="pattern",
                hint="take one of them out",
            )
        if kind == "partition":
            try:
                compiled.sub(value, "x")
                re._parser.parse_template(value, compiled)  # type: ignore[attr-defined]
            except (re.error, IndexError) as e:
                raise Invalid(f"not a replacement for this pattern: {e}", field="value") from None
    if kind in ("host_alias", "default_schema", "environment") and not value:
        raise Invalid(f"a {kind} rule needs a value", field="value", hint=_HINT[kind])
    if kind == "environment" and not re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", value):
        raise Invalid("an environment is one word", field="value", hint="letters, digits, '.', '_' and '-'")
    if kind == "default_schema" and not re.fullmatch(r"[^.\s]+(\.[^.\s]+)?", value):
        raise Invalid("not a schema", field="value", hint=_HINT[kind])
    if kind == "ignore" and value:
        raise Invalid("an ignore rule has no value", field="value", hint="leave it empty")
    producer = said.get("producer_id")
    if producer is not None:
        if not isinstance(producer, int) or isinstance(producer, bool) or not 0 < producer < 1 << 62:
            raise Invalid("producer_id is not a producer's id", field="producer_id")
        if not conn.execute("select 1 from producer where id = %s", (producer,)).fetchone():
            raise Invalid(f"no producer has the id {producer}", field="producer_id")
    return {"kind": kind, "producer_id": producer, "pattern": pattern, "value": value}


_HINT = {
    "host_alias": "pattern: host or host:port as sent; value: the true host or host:port",
    "default_schema": "pattern: a glob over the namespace; value: schema or database.schema",
    "ignore": "pattern: a regular expression over namespace/name, e.g. /pr_\\d+_",
    "environment": "pattern: a regular expression over the namespace; value: the environment's name",
    "partition": "pattern: a regular expression over namespace/name; value: what replaces it",
}
