"""How far a consumer group is behind, and whether that grows.

Partitions without a commit count from their beginning. A group whose lag grew at each of the last looks is stuck where
it also committed nothing in that time, else it falls behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from checks import kafka
from checks.kind import Field, Kind
from checks.result import Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    wanted = kafka.names(spec.config.get("topics") or "")
    with kafka.look(link) as cluster:
        topics = cluster.topics()
        group = cluster.group(str(spec.config["group"]))
        committed = cluster.committed(group.name)
        reads = wanted or sorted({topic for topic, _ in committed} | group.reads)
        cluster.must_see(t for t in reads if t not in topics)
        offsets = cluster.offsets([p for t in reads for p in topics.get(t, ())], committed)
    return Observation(
        now,
        {
            "group": group.name,
            "state": group.state,
            "members": group.members,
            "topics": reads,
            "missing": [t for t in reads if t not in topics],
            "lag": sum(o.lag for o in offsets),
            "lost": sum(o.lost for o in offsets),
            "uncommitted": sum(o.committed is None for o in offsets),
            "committed": sum(o.committed or 0 for o in offsets),
            "partitions": len(offsets),
            "worst": [
                (f"{o.topic}/{o.partition}", o.lag)
                for o in sorted(offsets, key=lambda o: -o.lag)[:5]
                if o.lag
            ],
        },
    )


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    saw, config = seen.seen, spec.config
    group, lag = saw["group"], saw["lag"]
    if saw["state"] == "dead" and saw["uncommitted"] == saw["partitions"]:
        tail = f"; {count(lag, 'record')} wait for it" if saw["partitions"] else ""
        return Verdict("fail", f"Kafka knows no group {group}: it never committed{tail}", lag or None)
    if saw["missing"]:
        return Verdict("fail", f"{group} reads {some(saw['missing'])}, and there is no such topic")
    if not saw["partitions"]:
        return Verdict("warn", f"{group} reads no topic yet")
    looks = _looks(past.memory, saw, seen.at, int(config.get("looks") or 0))
    detail = {k: saw[k] for k in ("state", "members", "partitions", "uncommitted", "lost")}
    detail["worst"] = [list(w) for w in saw["worst"]]
    status, why = _worst(_findings(config, saw, looks))
    behind = f"{group} is {count(lag, 'record')} behind" if lag else f"{group} has read everything"
    reason = f"{behind}: {why}" if why else behind
    return Verdict(status, reason, lag, detail=detail, memory={"looks": looks})


def _findings(
    config: Mapping[str, Any], saw: Mapping[str, Any], looks: Sequence[Any]
) -> list[tuple[str, str]]:
    """(status, words) of all that is to be said; what people chose to ignore is not."""
    out: list[tuple[str, str]] = []
    lag, fail, warn = saw["lag"], config.get("fail"), config.get("warn")
    if fail is not None and lag > fail:
        out.append(("fail", f"more than {fail:,}"))
    elif warn is not None and lag > warn:
        out.append(("warn", f"more than {warn:,}"))
    grows, stands = _trend(looks, int(config.get("looks") or 0))
    if grows and stands:
        out.append(
            (
                config.get("stuck", "fail"),
                f"stuck, it committed nothing in {len(looks) - 1} looks while the lag grew",
            )
        )
    elif grows:
        out.append(("warn", f"falling behind, the lag grew at each of {len(looks) - 1} looks"))
    if not saw["members"]:
        out.append((config.get("empty", "warn"), "the group has no members, nothing reads now"))
    if saw["lost"]:
        out.append(("warn", f"{count(saw['lost'], 'record')} were deleted before they were read"))
    return [f for f in out if f[0] != "ok"]


def _worst(found: Sequence[tuple[str, str]]) -> tuple[str, str]:
    status = next((s for s in ("fail", "warn") if any(f[0] == s for f in found)), "ok")
    said = sorted(found, key=lambda f: ("fail", "warn").index(f[0]))
    return status, "; ".join(words for _, words in said)


def _looks(memory: Mapping[str, Any], saw: Mapping[str, Any], at: datetime, keep: int) -> list[Any]:
    """The last looks as [when, lag, committed]; begun anew where the partitions are others or the group went back."""
    before = memory.get("looks") or []
    of = [saw["partitions"], list(saw["topics"])]
    same = [x for x in before if x[3] == of]
    if same and saw["committed"] < same[-1][2]:
        same = []
    return [*same, [at.isoformat(), saw["lag"], saw["committed"], of]][-(keep + 1) :] if keep else []


def _trend(looks: Sequence[Any], n: int) -> tuple[bool, bool]:
    """(the lag grew at each of the last n looks, nothing was committed in that time)."""
    if not n or len(looks) <= n:
        return False, False
    return all(b[1] > a[1] for a, b in pairwise(looks)), looks[-1][2] == looks[0][2]


KIND = Kind(
    name="kafka_lag",
    label="Kafka consumer lag",
    says="The group does not keep up with its topics, stands still, or is not there.",
    fields=(
        Field("group", "Consumer group", required=True, help="A sink connector's is connect-NAME."),
        Field(
            "topics",
            "Topics",
            help="Separated by commas. Empty: those that the group reads or has committed to.",
        ),
        Field("warn", "Warn above", "whole", low=0, help="Records not read yet, over all partitions."),
        Field("fail", "Fail above", "whole", low=0),
        Field(
            "looks",
            "Trend over",
            "whole",
            default=5,
            low=0,
            high=100,
            help="Looks at each of which the lag grew. 0: the trend is not judged.",
        ),
        Field(
            "stuck",
            "Lag grows and nothing is committed",
            "choice",
            default="fail",
            choices=(("fail", "fail"), ("warn", "warn"), ("ok", "ignore")),
        ),
        Field(
            "empty",
            "The group has no members",
            "choice",
            default="warn",
            choices=(("fail", "fail"), ("warn", "warn"), ("ok", "ignore")),
            help="Ignore for a batch job, which reads and goes.",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("kafka",),
    systems=("kafka",),
    every_seconds=60,
)
