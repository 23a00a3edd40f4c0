"""What one event says, as plain facts. Standard library only.

Every fact can be joined with another of the same key in any order and any number of times to the same result:
that is what makes replays, re-sends and shuffled arrival harmless. The joins are written once, here
(:func:`join_runs`) or as the ``on conflict`` clause beside the table (store/facts.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ingest.events import TERMINAL

PROVENANCE = ("openlineage", "dbt", "sql", "scan", "manual")


class AliasSeen(NamedTuple):
    id: UUID
    environment: str
    namespace: str
    name: str
    type: str
    kind: str
    kind_rank: int
    system: str
    at: datetime
    parent: UUID | None = None
    unresolved: str | None = None


class Sent(NamedTuple):
    """A name exactly as a producer wrote it, and what it was read as."""

    namespace: str
    name: str
    type: str
    producer: int
    alias: UUID


class Joined(NamedTuple):
    """Evidence that two aliases are one node."""

    a: UUID
    b: UUID
    kind: str
    source: str
    at: datetime


class EdgeSeen(NamedTuple):
    source: UUID
    target: UUID
    run: UUID
    provenance: str
    at: datetime


class ColumnSeen(NamedTuple):
    job: UUID
    source: UUID
    source_column: str
    target: UUID
    target_column: str
    provenance: str
    transformation: str
    masking: bool
    confidence: float
    at: datetime


class SchemaSeen(NamedTuple):
    alias: UUID
    hash: bytes
    #: JSON: a list of {name, type, description?, fields?}
    fields: str
    at: datetime


class FacetSeen(NamedTuple):
    alias: UUID
    name: str
    at: datetime
    hash: bytes
    body: dict[str, Any] | None


class FieldSeen(NamedTuple):
    alias: UUID
    field: str
    value: Any
    by: str
    at: datetime


@dataclass(frozen=True)
class AssertionSeen:
    alias: UUID
    name: str
    column: str
    severity: str
    success: bool
    message: str
    at: datetime
    hash: bytes
    run: UUID | None


@dataclass(frozen=True)
class Dropped:
    alias: UUID
    at: datetime
    renamed_to: UUID | None = None


@dataclass(frozen=True)
class Warned:
    alias: UUID | None
    producer: int
    path: str
    message: str
    at: datetime


@dataclass(frozen=True)
class RunFact:
    """One run as far as it is known. Two of the same key join by :func:`join_runs`."""

    key: UUID
    job: UUID
    run_id: str
    state: str
    state_at: datetime
    state_hash: bytes
    first_event_at: datetime
    last_event_at: datetime
    producer: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    nominal_start: datetime | None = None
    nominal_end: datetime | None = None
    trigger: str = "unknown"
    try_number: int | None = None
    max_tries: int | None = None
    sub: bool = False
    streaming: bool = False
    parent_job: UUID | None = None
    parent_run_id: str | None = None
    error: str | None = None
    error_detail: str | None = None
    log_url: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def due_at(self) -> datetime:
        return self.nominal_start or self.started_at or self.first_event_at


STATE_RANK = {"OTHER": 0, "START": 1, "RUNNING": 2, "COMPLETE": 3, "ABORT": 4, "FAIL": 5}
TRIGGER_RANK = {"unknown": 0, "scheduled": 1, "manual": 2, "backfill": 3}


def _state_key(r: RunFact) -> tuple[Any, ...]:
    """Larger wins: a terminal state over any other; among terminals the earliest; else the newest.

    A failed Spark query sends FAIL and then COMPLETE for one run: the FAIL stands.
    """
    rank = STATE_RANK.get(r.state, 0)
    if r.state in TERMINAL:
        return (1, -r.state_at.timestamp(), rank, r.state_hash)
    return (0, r.state_at.timestamp(), rank, r.state_hash)


def _least(a: Any, b: Any) -> Any:
    return min((x for x in (a, b) if x is not None), default=None)


def _most(a: Any, b: Any) -> Any:
    return max((x for x in (a, b) if x is not None), default=None)


def _join_detail(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    out = dict(a)
    for k, v in b.items():
        if k not in out or json.dumps(v, sort_keys=True) > json.dumps(out[k], sort_keys=True):
            out[k] = v
    return out


def join_runs(a: RunFact, b: RunFact) -> RunFact:
    """What two statements about one run say together: commutative, associative and idempotent."""
    top = max(a, b, key=_state_key)
    parent = _most(
        (a.parent_job, a.parent_run_id or "") if a.parent_job else None,
        (b.parent_job, b.parent_run_id or "") if b.parent_job else None,
    )
    error = _most(
        (a.error, a.error_detail or "") if a.error else None,
        (b.error, b.error_detail or "") if b.error else None,
    )
    return replace(
        a,
        state=top.state,
        state_at=top.state_at,
        state_hash=top.state_hash,
        first_event_at=min(a.first_event_at, b.first_event_at),
        last_event_at=max(a.last_event_at, b.last_event_at),
        producer=min(a.producer, b.producer),
        started_at=_least(a.started_at, b.started_at),
        ended_at=top.state_at if top.state in TERMINAL else None,
        nominal_start=_most(a.nominal_start, b.nominal_start),
        nominal_end=_most(a.nominal_end, b.nominal_end),
        trigger=max(a.trigger, b.trigger, key=lambda t: TRIGGER_RANK.get(t, 0)),
        try_number=_most(a.try_number, b.try_number),
        max_tries=_most(a.max_tries, b.max_tries),
        sub=a.sub or b.sub,
        streaming=a.streaming or b.streaming,
        parent_job=parent[0] if parent else None,
        parent_run_id=(parent[1] or None) if parent else None,
        error=error[0] if error else None,
        error_detail=(error[1] or None) if error else None,
        log_url=_most(a.log_url, b.log_url),
        detail=_join_detail(a.detail, b.detail),
    )


@dataclass
class Facts:
    """Everything a batch of events says."""

    aliases: list[AliasSeen] = field(default_factory=list)
    sent: set[Sent] = field(default_factory=set)
    joined: list[Joined] = field(default_factory=list)
    edges: list[EdgeSeen] = field(default_factory=list)
    columns: list[ColumnSeen] = field(default_factory=list)
    schemas: list[SchemaSeen] = field(default_factory=list)
    facets: list[FacetSeen] = field(default_factory=list)
    fields: list[FieldSeen] = field(default_factory=list)
    assertions: list[AssertionSeen] = field(default_factory=list)
    drops: list[Dropped] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    runs: dict[UUID, RunFact] = field(default_factory=dict)

    def add_run(self, run: RunFact) -> None:
        known = self.runs.get(run.key)
        self.runs[run.key] = join_runs(known, run) if known else run
