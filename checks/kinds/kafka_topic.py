"""A Kafka topic exists, with the partitions and copies it should have."""

from __future__ import annotations

from datetime import datetime

from checks import kafka
from checks.kind import Field, Kind
from checks.result import Observation, Past, Spec, Verdict
from checks.words import count
from connections.link import Link


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    name = kafka.topic_of(spec)
    with kafka.look(link) as cluster:
        topics = cluster.topics()
        cluster.must_see({name} - topics.keys())
    parts = topics.get(name)
    return Observation(
        now,
        {
            "topic": name,
            "known": len(topics),
            "partitions": None if parts is None else len(parts),
            "copies": min((p.replicas for p in parts), default=0) if parts is not None else None,
        },
    )


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    topic, partitions, copies = (seen.seen[k] for k in ("topic", "partitions", "copies"))
    if partitions is None:
        known = count(seen.seen["known"], "topic")
        return Verdict("fail", f"no topic {topic}: this user may see {known}, and it is none of them")
    wanted, wanted_copies = spec.config.get("partitions") or 1, spec.config.get("copies") or 1
    if partitions < wanted:
        return Verdict(
            "fail", f"{topic} has {count(partitions, 'partition')}, less than {wanted}", partitions
        )
    if copies < wanted_copies:
        few = "one copy" if copies == 1 else f"{copies} copies"
        return Verdict("fail", f"{topic} has a partition of {few}, less than {wanted_copies}", partitions)
    return Verdict("ok", f"{topic} exists with {count(partitions, 'partition')}", partitions)


KIND = Kind(
    name="kafka_topic",
    label="Kafka topic exists",
    says="The topic is gone, or has fewer partitions or copies than it should.",
    fields=(
        Field("topic", "Topic", help="Empty: the topic that the node stands for."),
        Field("partitions", "Partitions at least", "whole", default=1, low=1, high=100_000),
        Field(
            "copies",
            "Copies of each partition at least",
            "whole",
            default=1,
            low=1,
            high=100,
            help="The topic's replication factor.",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("kafka",),
    systems=("kafka",),
)
