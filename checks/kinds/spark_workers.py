"""A standalone Spark master has workers: it calls itself ALIVE with none."""

from __future__ import annotations

from datetime import datetime

from checks import spark
from checks.kind import Field, Kind
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from checks.words import count
from connections.link import Link


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    return Observation(now, spark.master(link))


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    status, alive, states = (seen.seen[k] for k in ("status", "alive", "workers"))
    if status == "STANDBY":
        raise CannotLook(
            "this master is on standby and knows no workers",
            step="answer",
            hint="let the connection name the leader",
        )
    wanted = spec.config.get("workers") or 1
    gone = sum(n for state, n in states.items() if state not in ("ALIVE", "DECOMMISSIONED"))
    detail = {"status": status, "workers": dict(states), "waiting": seen.seen["waiting"]}
    tail = f"; {count(seen.seen['waiting'], 'application')} wait for one" if seen.seen["waiting"] else ""
    if status != "ALIVE":
        return Verdict("warn", f"the master is {status}", alive, detail=detail)
    if alive < wanted:
        left = f", {count(gone, 'worker')} lost" if gone else ""
        few = "no worker is alive" if not alive else f"{count(alive, 'worker')} alive, less than {wanted}"
        return Verdict("fail", f"{few}{left}{tail}", alive, detail=detail)
    if gone:
        return Verdict("warn", f"{count(alive, 'worker')} alive, {gone:,} lost{tail}", alive, detail=detail)
    return Verdict("ok", f"{count(alive, 'worker')} alive{tail}", alive, detail=detail)


KIND = Kind(
    name="spark_workers",
    label="Spark workers",
    says="Too few workers of a standalone Spark cluster are alive.",
    fields=(Field("workers", "Alive workers at least", "whole", default=1, low=1, high=10_000),),
    observe=observe,
    judge=judge,
    connections=("spark",),
    systems=("spark",),
    every_seconds=60,
)
