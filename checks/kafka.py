"""Looking at a Kafka cluster: what its topics and consumer groups are like now, or why that could not be seen.

Everything is asked by listing: naming a topic that does not exist in a request for metadata makes it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, OffsetSpec

from checks.result import CannotLook, Spec
from connections import kafka, ladder
from connections.link import Link

T = TypeVar("T")


@dataclass(frozen=True)
class Partition:
    """One partition of a topic. ``leader`` is None where it has none."""

    topic: str
    id: int
    leader: int | None
    replicas: int
    in_sync: int


@dataclass(frozen=True)
class Offsets:
    """Where a group stands in a partition. ``committed`` is None where it never committed."""

    topic: str
    partition: int
    begin: int
    end: int
    committed: int | None

    @property
    def lag(self) -> int:
        """Records it has not read; all that is there where nothing is committed."""
        return max(self.end - (self.begin if self.committed is None else self.committed), 0)

    @property
    def lost(self) -> int:
        """Records that were deleted before it read them."""
        return 0 if self.committed is None else max(self.begin - self.committed, 0)


@dataclass(frozen=True)
class Group:
    """A consumer group. ``state`` is Kafka's word, lower case; dead: Kafka knows no such group. ``reads``: the topics
    that its members are assigned now."""

    name: str
    state: str
    members: int
    reads: frozenset[str] = frozenset()


class Cluster:
    """A cluster that answered. Every question ends within the connection's timeout."""

    def __init__(self, admin: AdminClient, metadata: ClusterMetadata, timeout: float) -> None:
        self._admin = admin
        self._metadata = metadata
        self._timeout = timeout

    def topics(self) -> dict[str, list[Partition]]:
        """Every topic that the user may see, with its partitions. :class:`CannotLook` where it may see none."""
        out: dict[str, list[Partition]] = {}
        for name, topic in self._metadata.topics.items():
            if topic.error is not None:
                _refused(topic.error, f"the topic {name}")
                if topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # deleted while it was listed
            out[name] = [
                Partition(name, p.id, p.leader if p.leader >= 0 else None, len(p.replicas), len(p.isrs))
                for p in sorted(topic.partitions.values(), key=lambda p: p.id)
            ]
        if not out and self._hidden([kafka.OFFSETS]):
            raise CannotLook("the user may see no topic", step="permission", hint=_GRANT)
        return out

    def must_see(self, names: Iterable[str]) -> None:
        """:class:`CannotLook` where one of these topics, which the list does not name, may be hidden from the user: it
        is not known then whether it exists."""
        if found := self._hidden(list(names)):
            raise CannotLook(
                f"the user may not describe the topic {found[0]}", step="permission", hint=_GRANT
            )

    def _hidden(self, names: list[str]) -> list[str]:
        try:
            return kafka.hidden(self._admin, names, self._timeout)
        except TimeoutError:
            raise _silent(f"the topic {names[0]}", self._timeout) from None

    def group(self, name: str) -> Group:
        """What Kafka says of a group; its state is dead where Kafka knows none of that name."""
        asked = self._admin.describe_consumer_groups([name], request_timeout=self._timeout)
        try:
            said = self._wait(asked[name], f"the group {name}")
        except _NoGroup:
            return Group(name, "dead", 0)
        reads = frozenset(
            p.topic for m in said.members if m.assignment for p in m.assignment.topic_partitions or ()
        )
        return Group(name, said.state.name.lower(), len(said.members), reads)

    def committed(self, name: str) -> dict[tuple[str, int], int]:
        """What a group has committed, by (topic, partition); partitions without a commit are left out."""
        asked = self._admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(name)], request_timeout=self._timeout
        )
        try:
            said = self._wait(asked[name], f"the offsets of {name}")
        except _NoGroup:
            return {}
        out = {}
        for p in said.topic_partitions or ():
            if p.error is not None:
                _refused(p.error, f"the offsets of {name} in {p.topic}")
            elif p.offset >= 0:
                out[p.topic, p.partition] = p.offset
        return out

    def offsets(
        self, partitions: Iterable[Partition], committed: Mapping[tuple[str, int], int]
    ) -> list[Offsets]:
        """Beginning and end of these partitions, and where the group stands in them."""
        wanted = [TopicPartition(p.topic, p.id) for p in partitions]
        if not wanted:
            return []
        # the beginning first: it may only move towards the end, so that no lag comes out too small
        begins = self._listed(wanted, OffsetSpec.earliest())
        ends = self._listed(wanted, OffsetSpec.latest())
        return [
            Offsets(topic, number, begins[topic, number], end, committed.get((topic, number)))
            for (topic, number), end in sorted(ends.items())
        ]

    def _listed(self, wanted: list[TopicPartition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        asked = self._admin.list_offsets(dict.fromkeys(wanted, spec), request_timeout=self._timeout)
        return {
            (p.topic, p.partition): int(self._wait(f, f"the offsets of {p.topic}/{p.partition}").offset)
            for p, f in asked.items()
        }

    def _wait(self, future: Future[T], what: str) -> T:
        try:
            return future.result(self._timeout + 0.5)
        except TimeoutError:
            raise _silent(what, self._timeout) from None
        except KafkaException as e:
            error = e.args[0]
            if error.code() in (KafkaError.GROUP_ID_NOT_FOUND,):
                raise _NoGroup from None
            _refused(error, what)
            if error.code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
                raise _silent(what, self._timeout) from None
            raise CannotLook(f"Kafka did not tell {what}: {error.str()}", step="answer") from None


_GRANT = "grant it Describe on topics and groups"


class _NoGroup(Exception):
    """Kafka knows no group of this name."""


def _silent(what: str, timeout: float) -> CannotLook:
    return CannotLook(
        f"no broker told {what} within {timeout:g} s", step="answer", hint="the cluster may be overloaded"
    )


def _refused(error: KafkaError, what: str) -> None:
    """Raise where the user may not see it."""
    if "AUTHORIZATION" in error.name():
        raise CannotLook(
            f"the user may not describe {what}",
            step="permission",
            hint=_GRANT,
        )


@contextmanager
def look(link: Link) -> Iterator[Cluster]:
    """The cluster behind a connection, or :class:`CannotLook` with the step that failed and why."""
    try:
        admin, metadata = kafka.reached(link)
    except kafka.KafkaAway as e:
        raise _told(e) from None
    except OSError as e:
        step, message, hint = ladder.told(e, "name")
        raise CannotLook(message or "the name does not resolve", step=step, hint=hint) from None
    yield Cluster(admin, metadata, link.timeout)


#: librdkafka's "HOST:PORT/bootstrap: WHAT (after 5ms in state APIVERSION_QUERY, 2 identical error(s) suppressed)"
_SAID = re.compile(r"^(?:\S+://)?(?P<broker>[^/\s]+:\d+)(?:/\w+)?: (?P<what>.*?)(?: \(after \d+ms.*)?$", re.S)


def _told(e: kafka.KafkaAway) -> CannotLook:
    """Why no broker was reached, in words without the figures that differ from one try to the next."""
    m = _SAID.match(e.message)
    broker, what = (m["broker"], m["what"]) if m else ("", e.message)
    hint = e.hint or ""
    step = "route"
    if e.reason == "_RESOLVE":
        step = "name"
    elif e.reason == "_SSL":
        step = "tls"
    elif "AUTHENTICATION" in e.reason or "SASL" in e.reason:
        step, hint = "sign-in", hint or "check user, password and mechanism"
    elif "Invalid response size" in what or "parse" in what.lower():
        what, hint = (
            "what listens there does not speak Kafka",
            "check the port; it may be one for HTTP or TLS",
        )
    elif "refused" in what.lower():
        what, hint = (
            "connection refused, nothing listens on this port",
            "check the port, and that the broker runs",
        )
    elif e.reason == "_TIMED_OUT" or "timed out" in what.lower():
        what = "it does not answer" if broker else "no broker answers"
        hint = "it may hang, or a firewall drops what is sent there, or the port is not one for clients"
    elif re.search("isconnect|closed|roken pipe|reset by peer", what):
        what, hint = "it closes the connection", hint or "the listener may want TLS or a sign-in (SASL)"
    return CannotLook(f"{broker}: {what}" if broker else what, step=step, hint=hint)


def topic_of(spec: Spec) -> str:
    """The topic that a check looks at: named in its config, or the one that its node stands for."""
    if named := str(spec.config.get("topic") or ""):
        return named
    for namespace, name in spec.about.names:
        if namespace.startswith("kafka://"):
            return name
    raise CannotLook(
        "the node stands for no Kafka topic, and the check names none",
        step="name",
        hint="name the topic in the check",
    )


def names(text: str) -> list[str]:
    """Names separated by commas, spaces or new lines."""
    return sorted({t for t in re.split(r"[\s,]+", text) if t})
