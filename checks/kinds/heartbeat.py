"""Heartbeat: a batch job calls a URL at its start, success and failure; silence is a failure too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from checks.fields import Field, in_words
from checks.kind import Kind
from checks.result import Beat, Observation, Past, Spec, Verdict
from connections.link import Link

#: pairs of start and success from which a usual duration is learnt
LEAST_RUNS = 3


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    """The calls came in by themselves; they are part of the spec."""
    return Observation(now, {"beats": spec.beats, "since": spec.begun_at or now})


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    beats: Sequence[Beat] = seen.seen["beats"]
    every = timedelta(seconds=spec.config["expect"])
    grace = timedelta(seconds=spec.config["grace"])
    ended = next((b for b in beats if b.kind in ("success", "fail")), None)
    success = next((b for b in beats if b.kind == "success"), None)
    took = _lasted(beats)
    value = took[0] if took and ended and ended.kind == "success" else None
    if ended and ended.kind == "fail":
        what = f": {ended.note}" if ended.note else ""
        return Verdict("fail", f"the job said at {_at(ended.at)} that it failed{what}", value, "failed")
    open_since = _open(beats, ended)
    if open_since is not None:
        limit = _longest(spec, took, every, grace)
        if seen.at > open_since + limit:
            said = f"started at {_at(open_since)} and did not end within {in_words(limit.total_seconds())}"
            return Verdict("fail", said, value, "late")
    last = max(success.at, seen.seen["since"]) if success else seen.seen["since"]
    # a call in the future (the clock was set back since) keeps nobody fresh beyond its own time
    due = min(last, seen.at) + every + grace
    if seen.at > due:
        ago = in_words((seen.at - last).total_seconds())
        said = f"no success for {ago}, expected every {in_words(every.total_seconds())}"
        said = said if success else f"never called in {ago}, expected every {in_words(every.total_seconds())}"
        return Verdict("fail", said, value, "late")
    if success is None:
        return Verdict("ok", f"waiting for the first call, until {_at(due)}", value)
    running = f", running since {_at(open_since)}" if open_since else ""
    return Verdict("ok", f"last success at {_at(success.at)}{running}", value)


def _open(beats: Sequence[Beat], ended: Beat | None) -> datetime | None:
    """When the run began that has not ended; None where none is under way."""
    starts = [b.at for b in beats if b.kind == "start" and (ended is None or b.at > ended.at)]
    return min(starts) if starts else None


def _lasted(beats: Sequence[Beat]) -> list[float]:
    """Seconds from start to success, newest first."""
    out: list[float] = []
    start: Beat | None = None
    for b in reversed(beats):
        if b.kind == "start":
            start = start or b
        else:
            if start is not None and b.kind == "success":
                out.insert(0, (b.at - start.at).total_seconds())
            start = None
    return out


def _longest(spec: Spec, took: Sequence[float], every: timedelta, grace: timedelta) -> timedelta:
    """How long a run may last: as the form says, else three times what it usually takes, else until the next is due."""
    said = spec.config.get("longest")
    if said:
        return timedelta(seconds=said)
    if len(took) < LEAST_RUNS:
        return every + grace
    usual = median(took)
    return timedelta(seconds=max(usual * 3, usual + 300)) + grace


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


KIND = Kind(
    name="heartbeat",
    label="Heartbeat",
    says="The job did not call its URL in time, or said that it failed",
    fields=(
        Field(
            "expect", "Calls every", "duration", required=True, default=86400, low=30, high=366 * 86400, limit=True,
            help="The longest time between two successes of a healthy job",
        ),
        Field(
            "grace", "Grace", "duration", default=900, low=0, high=30 * 86400, limit=True,
            help="How much longer than that is still good",
        ),
        Field(
            "longest", "A run lasts at most", "duration", low=10, high=30 * 86400, limit=True,
            help="From start to success. Empty: three times what it usually takes, learnt from its calls",
        ),
    ),
    observe=observe,
    judge=judge,
    systems=("airflow", "spark", "dbt"),
    every_seconds=60,
    unit="s",
    called=True,
)  # fmt: skip
