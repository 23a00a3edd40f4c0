"""The naming rules in force: DLV's defaults and what admins added."""

from __future__ import annotations

from functools import lru_cache

from ingest.naming import Rules
from store.record import Conn

Row = tuple[str, str, str, str | None]


def rules_of(conn: Conn) -> Rules:
    """Rules from the record. The same object as long as the rules stay the same, for it remembers names it has read."""
    rows = conn.execute(
        "select r.kind, r.pattern, r.value, p.name as producer from naming_rule r "
        "left join producer p on p.id = r.producer_id order by r.id"
    )
    return _rules(tuple((r["kind"], r["pattern"], r["value"], r["producer"]) for r in rows))


@lru_cache(maxsize=2)
def _rules(rows: tuple[Row, ...]) -> Rules:
    def pairs(kind: str) -> list[tuple[str, str]]:
        return [(pattern, value) for k, pattern, value, _ in rows if k == kind]

    return Rules.default().plus(
        host_aliases={
            (producer, pattern): value for k, pattern, value, producer in rows if k == "host_alias"
        },
        default_schemas=pairs("default_schema"),
        ignore=[pattern for pattern, _ in pairs("ignore")],
        environments=pairs("environment"),
        partitions=pairs("partition"),
    )
