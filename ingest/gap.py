"""Run states that nobody sent: what another source knows of a time in which events did not come → the record.

They are told as the events that would have been sent, with the same run ids, names and times, so that an event that
comes after all changes nothing, in any order. They are not kept as events.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from ingest import fold, ids
from ingest.facts import Facts, RunFact
from store import facts as facts_store
from store import health
from store.record import Conn, Record

#: events folded in one transaction; those of a DAG run come after those of its tasks
AT_ONCE = 2000


@dataclass(frozen=True)
class Names:
    """Under which namespace a producer sends its jobs: that of each by its name, and the commonest for those unknown.
    ``aliases``: the alias by name."""

    of: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = "default"
    aliases: Mapping[str, UUID] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        return self.of.get(name, self.otherwise)


def names(conn: Conn, producer_id: int, system: str = "airflow") -> Names:
    """How a producer names its jobs of one system, exactly as it sent them."""
    rows = conn.execute(
        """select s.namespace, s.name, s.alias_id from alias_sent s join alias a on a.id = s.alias_id
           where s.producer_id = %s and s.type = 'job' and a.system = %s order by a.last_seen""",
        (producer_id, system),
    ).fetchall()
    if not rows:
        return Names()
    commonest, _ = Counter(r["namespace"] for r in rows).most_common(1)[0]
    return Names(
        {r["name"]: r["namespace"] for r in rows}, commonest, {r["name"]: r["alias_id"] for r in rows}
    )


def known(conn: Conn, runs: Iterable[tuple[UUID, str]]) -> dict[str, tuple[str, datetime | None]]:
    """(state, end) by run id of those of these runs, (job alias, run id), that are known."""
    asked = {ids.run_key(alias, run_id): run_id for alias, run_id in runs}
    rows = conn.execute(
        """select k.key, r.state, r.ended_at from run_key k
           join lateral (select state, ended_at from run r where r.day = k.day and r.key = k.key limit 1) r on true
           where k.key = any(%s)""",
        (list(asked),),
    )
    return {asked[r["key"]]: (r["state"], r["ended_at"]) for r in rows}


def fill(
    record: Record,
    producer_id: int,
    producer: str,
    environment: str | None,
    events: list[dict[str, Any]],
    now: datetime,
) -> int:
    """Fold events that were not sent, as this producer's; returns how many."""
    told = sorted(events, key=lambda e: ("run" in e and "parent" not in e["run"]["facets"], e["eventTime"]))
    for start in range(0, len(told), AT_ONCE):
        rows = [_row(producer_id, producer, environment, e, now) for e in told[start : start + AT_ONCE]]
        with record.tx() as conn:
            fold.fold(conn, rows, now)
    return len(told)


def _row(
    producer_id: int, producer: str, environment: str | None, event: dict[str, Any], now: datetime
) -> dict[str, Any]:
    said = specified(event)
    # a source that only knows the state must not stand in for the error that an event told or will tell
    if "run" in said:
        said["run"]["facets"].pop("errorMessage", None)
    body = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return {
        "id": 0, "day": now.date(), "producer_id": producer_id, "received_at": now,
        "hash": hashlib.sha256(body).digest(), "body": zlib.compress(body, 1), "producer": producer,
        "environment": environment,
    }  # fmt: skip


_FACET = {"_schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunFacet"}


def specified(event: dict[str, Any]) -> dict[str, Any]:
    """A copy of the event whose facets name producer and schema, as the specification asks: it is not warned of."""
    of = {"_producer": event["producer"], **_FACET}
    return event | {
        part: event[part] | {"facets": {k: {**of, **v} for k, v in event[part]["facets"].items()}}
        for part in ("run", "job")
        if part in event
    }


def confirm(conn: Conn, key: UUID, failed: bool, reason: str, now: datetime) -> None:
    """What a Spark history server says of an application's run that nothing ran beneath: it is as good as it says, or
    failed after all, for ``reason``."""
    row = conn.execute(
        """select r.* from run_key k
           join lateral (select * from run r where r.day = k.day and r.key = k.key limit 1) r on true
           where k.key = %s""",
        (key,),
    ).fetchone()
    if row is None:
        return
    facts = Facts()
    facts.add_run(
        RunFact(
            key, row["job_alias"], row["run_id"], "FAIL" if failed else row["state"], row["state_at"],
            b"" if failed else bytes(row["state_hash"]), row["first_event_at"], row["last_event_at"],
            row["producer_id"], ended_at=row["ended_at"], error=reason[:500] if failed else None,
            detail={"confirmed": "failed" if failed else "completed"},
        )
    )  # fmt: skip
    touched = facts_store.write(conn, facts, now)
    health.judge(conn, health.affected(conn, set(), touched.runs), now)
