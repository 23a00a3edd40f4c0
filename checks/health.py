"""Health: its words, their order, and how runs and assertions are judged. Pure, standard library only.

Source: the table "a node's own health" in docs/design.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import NamedTuple
from uuid import UUID

#: From best to worst. A node takes the worse of what speaks about it. Unknown where nothing is known speaks least;
#: unknown because DLV could not look (:attr:`Health.blind`) outweighs ok, for then nobody may call it good
ORDER = ("unknown", "ok", "warn", "late", "failed")
BAD = ("failed", "late")

#: Lateness needs a known schedule or at least this many finished runs.
RUNS_TO_LEARN = 7


class RunSeen(NamedTuple):
    """What judging needs of one run of a job. Times are aware UTC."""

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
    #: a nominal time was sent: it is known when the run was due, not only when it started
    nominal: bool = False
    nominal_end: datetime | None = None
    #: the run it is part of, as it was sent: the DAG's, the application's
    parent_run: str | None = None
    #: which of a mapped task's instances it is
    part: str = ""
    #: says COMPLETE, and nothing ran beneath it that should have (a Spark application)
    hollow: bool = False
    producer: int = 0

    @property
    def ready_at(self) -> datetime:
        """When it could start: the end of its data interval, else when it was due."""
        return self.nominal_end or self.due_at


@dataclass(frozen=True)
class ParentRun:
    """A run of the job's parent (its DAG, project or application). ``failed``: what failed in it, by name."""

    run_id: str
    state: str
    due_at: datetime
    ended_at: datetime | None
    trigger: str = "unknown"
    nominal: bool = False
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deaf:
    """A time in which DLV could not hear of runs, and nobody told since: its own absence, or a quiet producer's."""

    began_at: datetime
    ended_at: datetime
    why: str


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
    #: when time alone may change this; None: only news can
    next_at: datetime | None = None


UNKNOWN = Health("unknown", "nothing known yet")


def worse(a: Health, b: Health) -> Health:
    """The worse of two, the first where they are equal; ``next_at`` is the earlier of both.

    From best to worst: unknown, ok, blind, warn, late, failed.
    """
    top = b if _rank(b) > _rank(a) else a
    next_at = _earlier(a.next_at, b.next_at)
    return top if top.next_at == next_at else replace(top, next_at=next_at)


def _rank(h: Health) -> float:
    return 1.5 if h.blind else ORDER.index(h.state)


def _earlier(*moments: datetime | None) -> datetime | None:
    return min((m for m in moments if m is not None), default=None)


def is_final(run: RunSeen) -> bool:
    """A FAIL is final when no try is left, or nothing is known of retries."""
    return run.try_number is None or run.max_tries is None or run.try_number >= run.max_tries


def judge_runs(
    runs: Iterable[RunSeen],
    now: datetime | None = None,
    *,
    parents: Iterable[ParentRun] = (),
    deaf: Sequence[Deaf] = (),
    next_due: datetime | None = None,
    has_parent: bool = False,
) -> Health:
    """Own health of a job from its runs, in any order.

    It follows the newest scheduled data interval: a backfill, manual or older run may clear a failure and never
    reddens. A FAIL with tries left warns; ABORT changes nothing. ``now``: as far as DLV has heard; with it lateness is
    judged: not ended in its usual time, due and not started, passed over by a run of its parent (``parents``).
    ``next_due`` is when the next run is due by a schedule that is known; without it a rhythm of at least
    :data:`RUNS_TO_LEARN` runs is learnt. What may have happened in a ``deaf`` time is unknown, never late.
    """
    seen = sorted(runs, key=order_of)
    if not seen:
        return UNKNOWN
    good = [r for r in seen if r.state == "COMPLETE" and r.ended_at and not r.hollow]
    made_at = max((r.ended_at for r in good if r.ended_at), default=None)
    open_runs = [r for r in seen if r.state in OPEN]
    running = bool(open_runs) and open_runs[-1].due_at >= seen[-1].due_at
    decided = [r for r in seen if may_redden(r.trigger) and r.state in ("COMPLETE", "FAIL") and r.ended_at]
    verdict = _verdict(decided, good)
    verdict = _flowing(open_runs, decided) or verdict
    if now is not None and not any(r.streaming for r in seen):
        for late in (
            _passed_over(seen, list(parents), deaf),
            _overdue(open_runs, decided, good, now, deaf),
            _not_started(seen, good, list(parents), now, deaf, next_due, has_parent),
        ):
            verdict = worse(verdict, late) if late else verdict
    return replace(verdict, made_at=made_at, running=running)


#: states of a run that has not ended
OPEN = ("START", "RUNNING", "OTHER")


def may_redden(trigger: str) -> bool:
    """A manual run or a backfill never reddens."""
    return trigger in ("scheduled", "unknown")


def _verdict(decided: list[RunSeen], good: list[RunSeen]) -> Health:
    if not decided:
        if good:
            last = max(good, key=_ended)
            return Health("ok", "last run completed", last.ended_at, last.key)
        return UNKNOWN
    by_due = _by_due(decided)
    newest = by_due[max(by_due)]
    if newest.state == "COMPLETE" and not newest.hollow:
        return Health("ok", "last run completed", newest.ended_at, newest.key)
    cleared = [r for r in good if r.part == newest.part and _ended(r) > _ended(newest)]
    if cleared:
        last = max(cleared, key=_ended)
        return Health("ok", "a later run completed", last.ended_at, last.key)
    if newest.hollow:
        why = "says COMPLETE, but no job ran beneath it"
        return Health("unknown", why, newest.ended_at, newest.key, blind=True)
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


def _by_due(decided: list[RunSeen]) -> dict[datetime, RunSeen]:
    """The run that speaks for each data interval: of several tries the one that ended last, of a mapped task's
    instances one that failed."""
    parts: dict[tuple[datetime, str], RunSeen] = {}
    for r in decided:
        key = (r.due_at, r.part)
        known = parts.get(key)
        if known is None or _ended(r) > _ended(known):
            parts[key] = r
    out: dict[datetime, RunSeen] = {}
    for (due, _), r in parts.items():
        known = out.get(due)
        out[due] = r if known is None else max(known, r, key=_badness)
    return out


def _badness(run: RunSeen) -> tuple[bool, bool, tuple[datetime, int]]:
    return (run.state == "FAIL", run.state == "FAIL" and is_final(run), _ended(run))


def _flowing(open_runs: list[RunSeen], decided: list[RunSeen]) -> Health | None:
    """A stream has no end to wait for: one that runs, started after the last end that counts, is good."""
    ended = max((r.ended_at for r in decided if r.ended_at), default=None)
    for run in reversed(open_runs):
        start = run.started_at or run.due_at
        if run.streaming and (ended is None or start > ended):
            return Health("ok", "the stream is running", start, run.key)
    return None


def _ended(run: RunSeen) -> tuple[datetime, int]:
    return (run.ended_at or run.due_at, run.key.int)


def order_of(run: RunSeen) -> tuple[datetime, datetime, int]:
    """By data interval, then by start: the newest run of a job is the largest."""
    return (run.due_at, run.started_at or run.due_at, run.key.int)


# ---------------------------------------------------------------- late


def _late(
    reason: str, began: datetime, limit: datetime, deaf: Sequence[Deaf], run: UUID | None = None
) -> Health:
    """Late since ``limit``; unknown where what was waited for from ``began`` on may have happened unheard."""
    for d in deaf:
        if d.began_at <= limit and d.ended_at >= began:
            return Health("unknown", d.why, d.ended_at, run, blind=True)
    return Health("late", reason, limit, run)


def _overdue(
    open_runs: list[RunSeen], decided: list[RunSeen], good: list[RunSeen], now: datetime, deaf: Sequence[Deaf]
) -> Health | None:
    """Started and not ended in its usual time. A run that was left open before others that ended is old news."""
    lasted = [
        (r.ended_at - r.started_at).total_seconds()
        for r in good
        if r.ended_at and r.started_at and r.ended_at > r.started_at
    ]
    if len(lasted) < RUNS_TO_LEARN:
        return None
    usual = median(lasted)
    allowed = timedelta(seconds=max(usual * 3, usual + 300))
    found: Health | None = None
    for run in open_runs:
        if not run.started_at or not may_redden(run.trigger) or any(_after(d, run) for d in decided):
            continue
        limit = run.started_at + allowed
        if now > limit:
            why = f"running for longer than its usual {human(usual)}"
            one = _late(why, run.started_at, limit, deaf, run.key)
        else:
            one = Health("unknown", "", next_at=limit)
        found = worse(found, one) if found else one
    return found


def _after(ended: RunSeen, run: RunSeen) -> bool:
    """``ended`` speaks for a newer data interval than the open ``run``, or ended this one's after it had started."""
    if ended.due_at != run.due_at:
        return ended.due_at > run.due_at
    return (
        ended.part == run.part
        and ended.ended_at is not None
        and ended.ended_at >= (run.started_at or run.due_at)
    )


def passed_over(runs: Iterable[RunSeen], parents: Iterable[ParentRun]) -> ParentRun | None:
    """The newest run of the parent that ended without this job, which every completed one of at least
    :data:`RUNS_TO_LEARN` before it had reached."""
    ended = sorted(
        (p for p in parents if may_redden(p.trigger) and p.ended_at and p.state in ("COMPLETE", "FAIL")),
        key=lambda p: (p.due_at, p.ended_at or p.due_at),
    )
    if not ended:
        return None
    last, seen = ended[-1], list(runs)
    if _reached(last, seen) or any(r.due_at > last.due_at for r in seen):
        return None
    before = [p for p in ended if p.due_at < last.due_at and p.state == "COMPLETE"][-RUNS_TO_LEARN:]
    return last if len(before) == RUNS_TO_LEARN and all(_reached(p, seen) for p in before) else None


def _reached(parent: ParentRun, runs: list[RunSeen]) -> bool:
    return any(
        r.parent_run == parent.run_id or (parent.nominal and r.nominal and r.due_at == parent.due_at)
        for r in runs
    )


def _passed_over(seen: list[RunSeen], parents: list[ParentRun], deaf: Sequence[Deaf]) -> Health | None:
    """An orchestrator sends nothing of what it skips because something upstream failed.

    A parent that completed with nothing failed in it left the job out on purpose (a branch): that is not late.
    """
    over = passed_over(seen, parents)
    if over is None or over.ended_at is None or not (over.failed or over.state == "FAIL"):
        return None
    if not over.failed:
        why = "not started: the run it is part of failed"
    elif len(over.failed) <= 2:
        why = f"not started: upstream {' and '.join(over.failed)} failed"
    else:
        why = f"not started: upstream {over.failed[0]} and {len(over.failed) - 1} more failed"
    return _late(why, over.due_at, over.ended_at, deaf)


#: completed runs of its parent without it, after which a job counts as taken out of it
TAKEN_OUT = 3


def _not_started(
    seen: list[RunSeen],
    good: list[RunSeen],
    parents: list[ParentRun],
    now: datetime,
    deaf: Sequence[Deaf],
    next_due: datetime | None,
    has_parent: bool,
) -> Health | None:
    """Due and not started, by a schedule that is known or by the job's own rhythm."""
    skipped = [p for p in parents if p.state == "COMPLETE" and not p.failed and not _reached(p, seen)]
    newest = max(r.due_at for r in seen)
    skipped = [p for p in skipped if p.due_at > newest]
    if len(skipped) >= TAKEN_OUT:
        return None
    expected = expect(seen, good, next_due, has_parent)
    if expected is None:
        return None
    # what its parent left out on purpose was not due
    while skipped and any(p.due_at >= expected.due_at - expected.step / 2 for p in skipped):
        skipped = [p for p in skipped if p.due_at >= expected.due_at + expected.step / 2]
        expected = replace(
            expected, due_at=expected.due_at + expected.step, limit=expected.limit + expected.step
        )
    if now <= expected.limit:
        return Health("unknown", "", next_at=expected.limit)
    return _late(f"due at {moment(expected.due_at)} and not started", expected.due_at, expected.limit, deaf)


@dataclass(frozen=True)
class Expected:
    """When a job's next run is due, when it starts as it usually does, from when on it counts as late, and the distance
    between two."""

    due_at: datetime
    start: datetime
    limit: datetime
    step: timedelta


def expect(
    seen: Iterable[RunSeen],
    good: Iterable[RunSeen],
    next_due: datetime | None = None,
    has_parent: bool = False,
) -> Expected | None:
    """When the next run is due: by ``next_due``, else by the rhythm of at least :data:`RUNS_TO_LEARN` scheduled runs.

    A run that says nothing of a schedule has one where it comes as regularly as a clock and is no part of another.
    None where neither is known.
    """
    seen = list(seen)
    scheduled = [r for r in seen if r.trigger == "scheduled" or (r.trigger == "unknown" and r.nominal)]
    if not scheduled and not has_parent:
        scheduled = [r for r in seen if r.trigger == "unknown"]
        strict = True
    else:
        strict = False
    ready = sorted({r.ready_at for r in scheduled})
    if not ready:
        return None
    gaps = [(b - a).total_seconds() for a, b in pairwise(ready)]
    waits = sorted(max((r.started_at - r.ready_at).total_seconds(), 0.0) for r in scheduled if r.started_at)
    delay = median(waits) if waits else 0.0
    if next_due is not None:
        step = median(gaps) if gaps else max((next_due - ready[-1]).total_seconds(), 300.0)
        due = next_due
    elif len(ready) >= RUNS_TO_LEARN:
        step = median(gaps)
        if strict and max(gaps) > step * 1.5:
            return None
        due = _by_rhythm(ready, gaps, step)
    else:
        return None
    # the start may come as late as it did before: all but its worst start count
    slow = waits[-2] if len(waits) > 2 else delay
    margin = max(300.0, min(step * 0.25, 3600.0), (slow - delay) * 1.5)
    # a run by hand after the due time did the work
    made = max((r.ended_at for r in good if r.ended_at and not may_redden(r.trigger)), default=None)
    while made is not None and made >= due and step > 0:
        due += timedelta(seconds=step)
    start = due + timedelta(seconds=delay)
    return Expected(due, start, start + timedelta(seconds=margin), timedelta(seconds=step))


#: seconds after which something that usually happened would have been heard
HEARD = timedelta(seconds=60)


def was_due(
    runs: Iterable[RunSeen], since: datetime, now: datetime, next_due: datetime | None = None
) -> bool:
    """Whether something of a job should have been heard between ``since`` and ``now``: a start by its schedule or
    rhythm, or the end of a run by its usual time. For telling a quiet producer from a quiet hour."""
    seen = [r for r in runs if not r.streaming]
    good = [r for r in seen if r.state == "COMPLETE" and r.ended_at]
    expected = expect(seen, good, next_due)
    if expected and since - HEARD <= expected.start <= now - HEARD:
        return True
    lasted = [(r.ended_at - r.started_at).total_seconds() for r in good if r.ended_at and r.started_at]
    newest = max(seen, key=order_of, default=None)
    if newest is None or newest.state not in OPEN or not newest.started_at or len(lasted) < RUNS_TO_LEARN:
        return False
    end = newest.started_at + timedelta(seconds=max(lasted))
    return since <= end <= now - HEARD


WEEK = timedelta(days=7)


def _by_rhythm(ready: list[datetime], gaps: list[float], step: float) -> datetime:
    """The next due time. Where the gaps differ, what was not due a week before is not due now (weekends); where that
    is not known, the longest gap may come again."""
    last, usual = ready[-1], timedelta(seconds=step)
    odd = [g for g in gaps if g > step * 1.5]
    due = last + usual
    if not odd:
        return due
    if due - WEEK >= ready[0] - usual / 2:
        for _ in range(200):
            if any(abs(due - WEEK - r) <= usual / 2 for r in ready):
                return due
            if due - WEEK > last:
                break
            due += usual
    return last + (usual if len(odd) == 1 else timedelta(seconds=max(gaps)))


# ---------------------------------------------------------------- limits that people set


def judge_sla(
    sla: Mapping[str, object],
    runs: Iterable[RunSeen],
    made_at: datetime | None,
    now: datetime | None,
    *,
    deaf: Sequence[Deaf] = (),
    next_due: datetime | None = None,
) -> tuple[Health, datetime | None]:
    """What a node's SLA says (``sla_kind``, ``sla_minutes``), and when it breaks next unless something is done.

    freshness: its data is at most so old. completion: it is done at most so long after each run was due. Unknown
    where it has no SLA, or nothing to reckon from.
    """
    minutes = sla.get("sla_minutes")
    if now is None or not isinstance(minutes, int):
        return UNKNOWN, None
    if sla.get("sla_kind") == "freshness":
        return _freshness(timedelta(minutes=minutes), made_at, now, deaf)
    if sla.get("sla_kind") == "completion":
        return _completion(timedelta(minutes=minutes), list(runs), now, deaf, next_due)
    return UNKNOWN, None


def judge_freshness(sla: Mapping[str, object], made_at: datetime | None, now: datetime | None) -> Health:
    """Data older than its error limit is late. ``sla`` has sla_kind and sla_minutes; unknown where it has none."""
    return judge_sla(sla, (), made_at, now)[0] if sla.get("sla_kind") == "freshness" else UNKNOWN


def _freshness(
    allowed: timedelta, made_at: datetime | None, now: datetime, deaf: Sequence[Deaf]
) -> tuple[Health, datetime | None]:
    if made_at is None:
        return UNKNOWN, None
    limit = made_at + allowed
    if now <= limit:
        return replace(UNKNOWN, next_at=limit), limit
    why = f"last made {moment(made_at)}, older than its limit of {human(allowed.total_seconds())}"
    return _late(why, made_at, limit, deaf), limit


def _completion(
    allowed: timedelta, runs: list[RunSeen], now: datetime, deaf: Sequence[Deaf], next_due: datetime | None
) -> tuple[Health, datetime | None]:
    counted = [r for r in runs if may_redden(r.trigger) and r.state != "ABORT"]
    if not counted:
        return UNKNOWN, None
    good = [r for r in runs if r.state == "COMPLETE" and r.ended_at and not r.hollow]
    due = max(r.ready_at for r in counted)
    if any(r.ready_at == due or (r.trigger == "manual" and r.ended_at and r.ended_at >= due) for r in good):
        following = expect(runs, good, next_due)
        if following is None:
            return UNKNOWN, None
        due = following.due_at
    limit = due + allowed
    if now <= limit:
        return replace(UNKNOWN, next_at=limit), limit
    why = f"not done within {human(allowed.total_seconds())} of {moment(due)}, when it was due"
    return _late(why, due, limit, deaf), limit


def next_sla(node: Mapping[str, object], now: datetime) -> datetime | None:
    """When a node breaks its SLA next, from its row (``sla_at``, kept by store.health.judge); None where it has none,
    nothing is known to reckon from, or it is broken already."""
    at = node.get("sla_at")
    return at if isinstance(at, datetime) and at > now else None


def moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def human(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# ---------------------------------------------------------------- assertions and checks


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
