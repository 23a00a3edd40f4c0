"""Partitions of Kafka that have fewer copies in sync than they should, or no leader at all."""

from __future__ import annotations

from datetime import datetime

from checks import kafka
from checks.kind import Field, Kind
from checks.result import Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    name = kafka.topic_of(spec) if spec.config.get("of", "topic") == "topic" else None
    with kafka.look(link) as cluster:
        topics = cluster.topics()
        cluster.must_see({name} - topics.keys() if name else ())
    parts = [p for ps in topics.values() for p in ps] if name is None else topics.get(name)
    return Observation(
        now,
        {
            "topic": name,
            "partitions": None if parts is None else len(parts),
            "offline": [f"{p.topic}/{p.id}" for p in parts or () if p.leader is None],
            "under": [
                (f"{p.topic}/{p.id}", p.in_sync, p.replicas)
                for p in parts or ()
                if p.leader is not None and p.in_sync < p.replicas
            ],
        },
    )


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    topic, partitions, offline, under = (seen.seen[k] for k in ("topic", "partitions", "offline", "under"))
    if partitions is None:
        return Verdict("fail", f"no topic {topic}")
    bad = len(offline) + len(under)
    detail = {"offline": offline[:50], "under_replicated": [list(u) for u in under[:50]]}
    if offline:
        return Verdict(
            "fail",
            f"{count(len(offline), 'partition')} without a leader: {some(offline)}",
            bad,
            detail=detail,
        )
    if under:
        named = some([f"{name} ({n} of {of} in sync)" for name, n, of in under])
        status = spec.config.get("under", "fail")
        return Verdict(
            status, f"{count(len(under), 'under-replicated partition')}: {named}", bad, detail=detail
        )
    return Verdict("ok", f"all copies of {count(partitions, 'partition')} are in sync", 0)


KIND = Kind(
    name="kafka_replication",
    label="Kafka partitions in sync",
    says="Partitions have lost copies, or have no leader and cannot be read or written.",
    fields=(
        Field(
            "of",
            "Look at",
            "choice",
            default="topic",
            choices=(("topic", "one topic"), ("cluster", "every topic of the cluster")),
        ),
        Field("topic", "Topic", help="Empty: the topic that the node stands for."),
        Field(
            "under",
            "Under-replicated partitions",
            "choice",
            default="fail",
            choices=(("fail", "fail"), ("warn", "warn")),
            help="A partition without a leader always fails.",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("kafka",),
    systems=("kafka",),
)
