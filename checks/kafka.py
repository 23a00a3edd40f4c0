"""Looking at a Kafka cluster: what its topics and consumer groups are like now, or why that could not be seen.

Everything is asked by listing: naming a topic that does not exist in a request for metadata makes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from kafka import OffsetSpec, TopicPartition
from kafka.errors import AuthorizationError, GroupIdNotFoundError, KafkaError, UnknownTopicOrPartitionError

from checks.result import CannotLook, Spec
from checks.words import some
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
    """A consumer group. ``state`` is Kafka's word, lower case (stable, empty, preparing rebalance); dead: Kafka knows no
    such group. ``reads``: the topics that its members are assigned now."""

    name: str
    state: str
    members: int
    reads: frozenset[str] = frozenset()


class Cluster:
    """A cluster that answered. Every question ends within the connection's timeout."""

    def __init__(self, client: kafka.Client, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    def topics(self) -> dict[str, list[Partition]]:
        """Every topic that the user may see, with its partitions. :class:`CannotLook` where it may see none."""
        out: dict[str, list[Partition]] = {}
        for topic in self._client.listed.topics:
            if kafka.is_forbidden(topic.error_code):
                raise _may_not(f"the topic {topic.name}")
            if topic.error_code == UnknownTopicOrPartitionError.errno:
                continue  # deleted while it was listed
            out[topic.name] = [
                Partition(
                    topic.name,
                    p.partition_index,
                    p.leader_id if p.leader_id >= 0 else None,
                    len(p.replica_nodes),
                    len(p.isr_nodes),
                )
                for p in sorted(topic.partitions, key=lambda p: p.partition_index)
            ]
        if not out and self._hidden([kafka.OFFSETS]):
            raise CannotLook("the user may see no topic", step="permission", hint=_GRANT)
        return out

    def must_see(self, names: Iterable[str]) -> None:
        """:class:`CannotLook` where one of these topics, which the list does not name, may be hidden from the user: it
        is not known then whether it exists."""
        if found := self._hidden(list(names)):
            raise _may_not(f"the topic {found[0]}")

    def _hidden(self, names: list[str]) -> list[str]:
        if not names:
            return []
        return self._answer(lambda: self._client.hidden(names), f"the topic {names[0]}")

    def group(self, name: str) -> Group:
        """What Kafka says of a group; its state is dead where Kafka knows none of that name."""
        try:
            word, members, reads = self._answer(lambda: self._client.group(name), f"the group {name}")
        except GroupIdNotFoundError:
            return Group(name, "dead", 0)
        return Group(name, re.sub("(?<=[a-z])(?=[A-Z])", " ", word).lower(), members, reads)

    def committed(self, name: str) -> dict[tuple[str, int], int]:
        """What a group has committed, by (topic, partition); partitions without a commit are left out."""
        try:
            said = self._answer(
                lambda: self._client.ask(lambda admin: admin.list_group_offsets([name])),
                f"the offsets of {name}",
            )
        except GroupIdNotFoundError:
            return {}
        return {(p.topic, p.partition): at.offset for p, at in said[name].items() if at.offset >= 0}

    def offsets(
        self, partitions: Iterable[Partition], committed: Mapping[tuple[str, int], int]
    ) -> list[Offsets]:
        """Beginning and end of these partitions, and where the group stands in them."""
        wanted = list(partitions)
        if not wanted:
            return []
        if headless := [f"{p.topic}/{p.id}" for p in wanted if p.leader is None]:
            raise CannotLook(
                f"Kafka did not tell the offsets of {some(headless)}: without a leader there is nobody to ask",
                step="answer",
            )
        # the beginning first: it may only move towards the end, so that no lag comes out too small
        begins = self._listed(wanted, OffsetSpec.EARLIEST)
        ends = self._listed(wanted, OffsetSpec.LATEST)
        return [
            Offsets(topic, number, begins[topic, number], end, committed.get((topic, number)))
            for (topic, number), end in sorted(ends.items())
        ]

    def _listed(self, wanted: list[Partition], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        asked = {TopicPartition(p.topic, p.id): spec for p in wanted}
        told = self._answer(
            lambda: self._client.ask(lambda admin: admin.list_partition_offsets(asked)),
            f"the offsets of {some(sorted({p.topic for p in wanted}))}",
        )
        return {(p.topic, p.partition): at.offset for p, at in told.items()}

    def _answer(self, ask: Callable[[], T], what: str) -> T:
        """The answer, or :class:`CannotLook`; :class:`kafka.errors.GroupIdNotFoundError` is for the caller."""
        try:
            return ask()
        except GroupIdNotFoundError:
            raise
        except AuthorizationError:
            raise _may_not(what) from None
        except TimeoutError:
            raise CannotLook(
                f"no broker told {what} within {self._timeout:g} s",
                step="answer",
                hint="the cluster may be overloaded",
            ) from None
        except KafkaError as e:
            words, hint = self._client.told(e)
            raise CannotLook(f"Kafka did not tell {what}: {words}", step="answer", hint=hint) from None


_GRANT = "grant it Describe on topics and groups"


def _may_not(what: str) -> CannotLook:
    return CannotLook(f"the user may not describe {what}", step="permission", hint=_GRANT)


@contextmanager
def look(link: Link) -> Iterator[Cluster]:
    """The cluster behind a connection until the end of the block, or :class:`CannotLook` with the step that failed and
    why."""
    with ExitStack() as stack:
        try:
            client = stack.enter_context(kafka.reached(link))
        except kafka.KafkaAway as e:
            raise CannotLook(e.message, step=e.step, hint=e.hint or "") from None
        except OSError as e:  # a certificate or key of the link
            step, message, hint = ladder.told(e, "tls")
            raise CannotLook(message or str(e), step=step, hint=hint) from None
        yield Cluster(client, link.timeout)


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
