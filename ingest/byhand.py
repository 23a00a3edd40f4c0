"""Names that people type are read by the same rules as names that events send, so that both end as one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from errors import Invalid
from ingest import naming
from ingest.reading import rules_of
from store.record import Conn


def read(conn: Conn, said: Mapping[str, Any]) -> dict[str, Any]:
    """``said`` (type, namespace, name; kind, system and environment where given) with the names normalised and what
    was not given filled in. :class:`errors.Invalid` where a rule keeps that name off the map."""
    for field in ("type", "namespace", "name"):
        value = said.get(field)
        if not isinstance(value, str) or not value.strip():
            raise Invalid(f"{field} is needed", field=field)
    rules = rules_of(conn)
    named: naming.Named | naming.NamedJob | None
    if said["type"] == "dataset":
        named = naming.dataset(said["namespace"], said["name"], {}, rules, "")
    elif said["type"] == "job":
        named = naming.job(said["namespace"], said["name"], {}, {}, rules, said.get("environment") or None)
    else:
        raise Invalid(f"type is {said['type']!r}", field="type", hint="dataset or job")
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
