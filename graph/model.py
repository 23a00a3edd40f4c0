"""Nouns of the graph. Standard library only."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal
from uuid import UUID

Direction = Literal["downstream", "upstream"]

#: between the tags of a node where they stand in one text
TAG_MARK = "\x1f"


@dataclass(frozen=True)
class GraphNode:
    """What the graph knows of a node: identity and what results are filtered and counted by; never health."""

    id: UUID
    type: str
    kind: str
    system: str
    environment: str
    owner: str  # team id as text, '' where nobody owns it
    tags: tuple[str, ...]
    criticality: int  # 0 where nobody said
    standin: bool = False


@dataclass(frozen=True)
class GraphEdge:
    """dataset → job or job → dataset, between nodes. Several alias edges may lie under one."""

    source: UUID
    target: UUID


@dataclass(frozen=True)
class Filters:
    """Which results are listed and counted. Filters never prune paths. Empty: no filter; several values: any of them."""

    type: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()  # team ids
    tag: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reach:
    """Everything downstream or upstream of a node. The node is never in its own; stand-in jobs are not counted.

    ``items`` are (node id, hop), nearest first, ties by id, at most the limit asked for. ``total`` and the counts
    are exact even where the list is cut.
    """

    total: int
    items: list[tuple[UUID, int]]
    by_hop: dict[int, int]
    by_kind: dict[str, int]
    by_system: dict[str, int]
    by_owner: dict[str, int]
    cut: bool


@dataclass(frozen=True)
class Paths:
    paths: list[list[UUID]]
    cut: bool


def hop_of(edges: int, from_dataset: bool) -> int:
    """Hops count datasets: ceil(L/2) from a dataset, floor(L/2)+1 from a job, in both directions."""
    return (edges + 1) // 2 if from_dataset else edges // 2 + 1


def edges_of(depth: int, from_dataset: bool) -> int:
    """The largest number of edges that is still within ``depth`` hops."""
    return 2 * depth if from_dataset else 2 * depth - 1


#: base64 with its characters in the order of ASCII: texts sort as the bytes they stand for
_ORDERED = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
_USUAL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_ORDERED = bytes.maketrans(_USUAL.encode(), _ORDERED.encode())
_TO_USUAL = bytes.maketrans(_ORDERED.encode(), _USUAL.encode())
#: characters of a node's id in its line
BRIEF = 22
#: and in the code behind it
CODE = 11


def brief(id_: UUID) -> str:
    """A UUID in :data:`BRIEF` characters that sort as its own text does."""
    return b64encode(id_.bytes)[:BRIEF].translate(_TO_ORDERED).decode()


def from_brief(text: str) -> UUID:
    return UUID(bytes=b64decode(text.encode().translate(_TO_USUAL) + b"=="))


def line_code(facets: str, tags: Sequence[str]) -> str:
    """Eleven characters that stand for all by which a node is counted and filtered."""
    told = f"{facets}\n{TAG_MARK.join(tags)}"
    return b64encode(blake2b(told.encode(), digest_size=8).digest())[:CODE].decode()


@dataclass(frozen=True)
class Subgraph:
    nodes: set[UUID] = field(default_factory=set)
    edges: set[tuple[UUID, UUID]] = field(default_factory=set)
