"""Names that people type are read by the same rules as names that events send, so that both end as one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import Invalid
from ingest import ids, naming
from ingest.reading import rules_of
from store import nodes
from store.record import Conn


def read(conn: Conn, said: Mapping[str, Any]) -> dict[str, Any]:
    """``said`` (type, namespace, name; kind, system and environment where given) with the names normalised and what
    was not given filled in. :class:`errors.Invalid` where a rule keeps that name off the map."""
    named = _named(conn, said)
    if named is None:
        raise Invalid(
            "a naming rule ignores this name", field="name", hint="change the rule, or choose another name"
        )
    return {
        **said,
        "environment": said.get("environment") or named.environment,
        "namespace": named.namespace,
        "name": named.name,
        "kind": said.get("kind") or named.kind,
        "system": said.get("system") or named.system,
    }


def tried(conn: Conn, said: Mapping[str, Any]) -> dict[str, Any] | None:
    """What ``said`` (type, namespace, name; producer) is read as under the rules as they are now: {environment,
    namespace, name, kind, system, unresolved, node_id}; None where a rule keeps it off the map."""
    named = _named(conn, said)
    if named is None:
        return None
    alias = ids.alias_id(named.environment, named.namespace, named.name, said["type"])
    return {
        **{k: getattr(named, k) for k in ("environment", "namespace", "name", "kind", "system")},
        "unresolved": getattr(named, "unresolved", None),
        "node_id": nodes.resolve(conn, alias),
    }


def _named(conn: Conn, said: Mapping[str, Any]) -> naming.Named | naming.NamedJob | None:
    for field in ("type", "namespace", "name"):
        value = said.get(field)
        if not isinstance(value, str) or not value.strip():
            raise Invalid(f"{field} is needed", field=field)
    rules = rules_of(conn)
    try:
        if said["type"] == "dataset":
            return naming.dataset(said["namespace"], said["name"], {}, rules, said.get("producer") or "")
        if said["type"] == "job":
            environment = said.get("environment") or None
            return naming.job(said["namespace"], said["name"], {}, {}, rules, environment)
    except ValueError as e:
        raise Invalid(f"the name cannot be read: {e}", field="name") from e
    raise Invalid(f"type is {said['type']!r}", field="type", hint="dataset or job")
