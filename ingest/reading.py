"""The naming rules in force: DLV's defaults and what admins added."""

from __future__ import annotations

from dataclasses import replace

from ingest.naming import Rules
from store.record import Conn


def rules_of(conn: Conn) -> Rules:
    """Rules from the record; an admin's own rule comes before the defaults of its kind."""
    rows = conn.execute(
        "select r.kind, r.pattern, r.value, p.name as producer from naming_rule r "
        "left join producer p on p.id = r.producer_id order by r.id"
    ).fetchall()
    base = Rules.default()
    if not rows:
        return base
    return replace(
        base,
        host_aliases={
            **base.host_aliases,
            **{(r["producer"], r["pattern"]): r["value"] for r in rows if r["kind"] == "host_alias"},
        },
        default_schemas=(
            *((r["pattern"], r["value"]) for r in rows if r["kind"] == "default_schema"),
            *base.default_schemas,
        ),
        ignore=(*(r["pattern"] for r in rows if r["kind"] == "ignore"), *base.ignore),
        environments=(
            *((r["pattern"], r["value"]) for r in rows if r["kind"] == "environment"),
            *base.environments,
        ),
        partitions=(
            *((r["pattern"], r["value"]) for r in rows if r["kind"] == "partition"),
            *base.partitions,
        ),
    )
