"""Health: its words, their order, and how runs and assertions are judged. Pure, standard library only.

Source: the table "a node's own health" in docs/design.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from uuid import UUID

#: From best to worst. A node takes the worse of what speaks about it. Unknown where nothing is known speaks least;
#: unknown because DLV could not look (:attr:`Health.blind`) outweighs ok, for then nobody may call it good
ORDER = ("unknown", "ok", "warn", "late", "failed")
BAD = ("failed", "late")

#: Lateness needs a known schedule or at least this many finished runs.
RUNS_TO_LEARN = 7


@dataclass(frozen=True)
class RunSeen:
    """What judging needs of one run of a job."""

    key: UUID
    state: str
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    trigger: str = "unknown"
    try_number: int | None = None
    max_tries: int | None = None
    streaming: bool = False
    error: str | None = None


@dataclass(frozen=True)
class Health:
    state: str
    reason: str
    since: datetime | None = None
    run: UUID | None = None
    made_at: datetime | None = None
    running: bool = False
    #: the check that says so, if one does
    check: UUID | None = None
    #: unknown because something that should be seen cannot be: a check that did not reach its source, a quiet producer
    blind: bool = False


UNKNOWN = Health("unknown", "nothing known yet")


def worse(a: Health, b: Health) -> Health:
    """The worse of two; the first where they are equal. From best to worst: unknown, ok, blind, warn, late, failed."""
    return b if _rank(b) > _rank(a) else a


def _rank(h: Health) -> float:
    return 1.5 if h.blind else ORDER.index(h.state)


def is_final(run: RunSeen) -> bool:
    """A FAIL is final when no try is left, or nothing is known of retries."""
    return run.try_number is None or run.max_tries is None or run.try_number >= run.max_tries


def judge_runs(runs: Iterable[RunSeen], now: datetime | None = None) -> Health:
    """Own health of a job from its runs, in any order.

    It follows the newest scheduled data interval: a backfill, manual or older run may clear a failure and never
    reddens. A FAIL with tries left warns; ABORT changes nothing. With ``now`` a run that started and did not end
    in its usual time is late, where at least :data:`RUNS_TO_LEARN` runs ended and the job is not streaming.
    """
    seen = sorted(runs, key=lambda r: (r.due_at, r.started_at or r.due_at, str(r.key)))
    if not seen:
        return UNKNOWN
    good = [r for r in seen if r.state == "COMPLETE" and r.ended_at]
    made_at = max((r.ended_at for r in good if r.ended_at), default=None)
    open_runs = [r for r in seen if r.state in ("START", "RUNNING", "OTHER")]
    running = bool(open_runs) and open_runs[-1].due_at >= seen[-1].due_at
    decided = [
        r
        for r in seen
        if r.trigger in ("scheduled", "unknown") and r.state in ("COMPLETE", "FAIL") and r.ended_at
    ]
    verdict = _verdict(decided, good)
    verdict = _flowing(open_runs, decided) or verdict
    late = _overdue(open_runs, good, now) or _not_started(seen, now)
    if late and ORDER.index(late.state) > ORDER.index(verdict.state):
        verdict = late
    return Health(verdict.state, verdict.reason, verdict.since, verdict.run, made_at, running)


def _verdict(decided: list[RunSeen], good: list[RunSeen]) -> Health:
    if not decided:
        if good:
            last = max(good, key=_ended)
            return Health("ok", "last run completed", last.ended_at, last.key)
        return UNKNOWN
    # several tries share a data interval: the one that ended last speaks for it
    by_due: dict[datetime, RunSeen] = {}
    for r in decided:
        by_due[r.due_at] = max(by_due.get(r.due_at, r), r, key=_ended)
    newest = by_due[max(by_due)]
    if newest.state == "COMPLETE":
        return Health("ok", "last run completed", newest.ended_at, newest.key)
    cleared = [r for r in good if r.ended_at and newest.ended_at and r.ended_at > newest.ended_at]
    if cleared:
        last = max(cleared, key=_ended)
        return Health("ok", "a later run completed", last.ended_at, last.key)
    why = newest.error or "run failed"
    if not is_final(newest):
        why = f"try {newest.try_number} of {newest.max_tries} failed, retry pending: {why}"
        return Health("warn", why, newest.ended_at, newest.key)
    first = newest
    for due in sorted(by_due, reverse=True):
        if by_due[due].state != "FAIL":
            break
        first = by_due[due]
    return Health("failed", why, first.ended_at, newest.key)


def _flowing(open_runs: list[RunSeen], decided: list[RunSeen]) -> Health | None:
    """A stream has no end to wait for: one that runs, started after the last end that counts, is good."""
    ended = max((r.ended_at for r in decided if r.ended_at), default=None)
    for run in reversed(open_runs):
        start = run.started_at or run.due_at
        if run.streaming and (ended is None or start > ended):
            return Health("ok", "the stream is running", start, run.key)
    return None


def _ended(run: RunSeen) -> tuple[datetime, str]:
    return (run.ended_at or run.due_at, str(run.key))


def _overdue(open_runs: list[RunSeen], good: list[RunSeen], now: datetime | None) -> Health | None:
    if now is None or len(good) < RUNS_TO_LEARN:
        return None
    lasted = [
        (r.ended_at - r.started_at).total_seconds()
        for r in good
        if r.ended_at and r.started_at and r.ended_at > r.started_at
    ]
    if len(lasted) < RUNS_TO_LEARN:
        return None
    usual = median(lasted)
    limit = timedelta(seconds=max(usual * 3, usual + 300))
    for run in open_runs:
        if run.streaming or not run.started_at or run.trigger in ("manual", "backfill"):
            continue
        if now - run.started_at > limit:
            return Health(
                "late", f"running for longer than its usual {_human(usual)}", run.started_at + limit, run.key
            )
    return None


def _not_started(seen: list[RunSeen], now: datetime | None) -> Health | None:
    """Due and not started, by the rhythm of at least :data:`RUNS_TO_LEARN` gaps between scheduled data intervals."""
    due = sorted({r.due_at for r in seen if r.trigger == "scheduled"})
    if now is None or len(due) <= RUNS_TO_LEARN or any(r.streaming for r in seen):
        return None
    gaps = [(b - a).total_seconds() for a, b in pairwise(due)]
    usual = median(gaps)
    # a daily job whose interval starts a day before it runs is not late: its own usual delay is part of the rhythm
    waits = [
        (r.started_at - r.due_at).total_seconds() for r in seen if r.trigger == "scheduled" and r.started_at
    ]
    delay = median(waits) if waits else 0.0
    expected = due[-1] + timedelta(seconds=usual + max(delay, 0.0))
    limit = expected + timedelta(seconds=max(usual * 0.25, 300))
    if now <= limit or max(gaps) > usual * 4:
        return None
    return Health("late", f"due at {expected:%Y-%m-%d %H:%M} UTC and not started", limit, None)


def judge_freshness(sla: Mapping[str, object], made_at: datetime | None, now: datetime | None) -> Health:
    """Data older than its error limit is late. ``sla`` has sla_kind and sla_minutes; unknown where it has none."""
    minutes = sla.get("sla_minutes")
    if now is None or made_at is None or sla.get("sla_kind") != "freshness" or not isinstance(minutes, int):
        return UNKNOWN
    limit = made_at + timedelta(minutes=minutes)
    if now <= limit:
        return UNKNOWN
    return Health(
        "late",
        f"last made {made_at:%Y-%m-%d %H:%M} UTC, older than its limit of {_human(minutes * 60)}",
        limit,
    )


def next_sla(node: Mapping[str, object], now: datetime) -> datetime | None:
    """When a node breaks its SLA next, from its row (``sla_at``, kept by store.health.judge); None where it has none,
    nothing is known to reckon from, or it is broken already."""
    at = node.get("sla_at")
    return at if isinstance(at, datetime) and at > now else None


def _human(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class AssertionSeen:
    name: str
    column: str
    severity: str
    success: bool
    at: datetime
    message: str = ""
    run: UUID | None = None


def judge_assertions(assertions: Iterable[AssertionSeen]) -> Health:
    """A failed assertion marks its dataset by severity, and a later run of the job does not clear it."""
    verdict = UNKNOWN
    for a in sorted(assertions, key=lambda a: (a.name, a.column)):
        if a.success:
            one = Health("ok", "all assertions passed", a.at, a.run)
        else:
            where = f" on {a.column}" if a.column else ""
            tail = f": {a.message}" if a.message else ""
            one = Health(
                "failed" if a.severity == "error" else "warn", f"{a.name}{where} failed{tail}", a.at, a.run
            )
        verdict = worse(verdict, one)
    return verdict


@dataclass(frozen=True)
class CheckSeen:
    """The state of a check that is neither paused nor retired, as its newest result left it (check_state)."""

    id: UUID
    name: str
    status: str
    health: str
    reason: str
    since: datetime | None = None


def judge_checks(checks: Iterable[CheckSeen]) -> Health:
    """The worst of a node's checks, with the check that says so.

    One that could not look (``not_checked``, or ``error``: a fault of DLV's own) is blind: it makes unknown of ok and
    hides nothing that is known to be bad. One that never looked yet, or is muted, says nothing.
    """
    verdict = UNKNOWN
    for c in sorted(checks, key=lambda c: (c.name, c.id)):
        verdict = worse(verdict, _of_check(c))
    return verdict


def _of_check(c: CheckSeen) -> Health:
    if c.health != "unknown":
        return Health(c.health, f"{c.name}: {c.reason}", c.since, check=c.id)
    if c.status in ("not_checked", "error") and c.since is not None:
        why = "could not look" if c.status == "not_checked" else "could not be judged"
        return Health("unknown", f"{c.name} {why}: {c.reason}", c.since, check=c.id, blind=True)
    return UNKNOWN
