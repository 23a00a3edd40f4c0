"""Which names are one node: whatever order the evidence came in, and a split wins over all."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from store.evidence import join

A, B, C, D = (UUID(int=i) for i in range(1, 5))


def test_joins_are_transitive_and_the_smallest_alias_names_the_node() -> None:
    assert join([A, B, C, D], [(B, C, "symlink"), (A, C, "naming")], []) == {A: A, B: A, C: A, D: D}


def test_a_split_pair_is_never_together_even_by_a_third() -> None:
    parts = join([A, B, C], [(A, C, "symlink"), (B, C, "symlink")], [(A, B)])
    assert parts[A] != parts[B]
    assert parts[C] in (parts[A], parts[B])


def test_what_people_merged_is_joined_before_what_tools_said() -> None:
    parts = join([A, B, C], [(A, C, "symlink"), (B, C, "merge")], [(A, B)])
    assert parts[B] == parts[C] != parts[A]


ids = st.integers(1, 6).map(lambda i: UUID(int=i))
pairs = st.tuples(ids, ids).filter(lambda p: p[0] < p[1])
joins = st.tuples(pairs, st.sampled_from(["merge", "naming", "symlink"])).map(lambda x: (*x[0], x[1]))


@given(st.lists(joins, unique=True), st.lists(pairs, unique=True), st.randoms())
def test_the_order_of_evidence_does_not_matter(
    said: list[tuple[UUID, UUID, str]], splits: list[tuple[UUID, UUID]], random: object
) -> None:
    everyone = [UUID(int=i) for i in range(1, 7)]
    first = join(everyone, said, splits)
    again = list(said)
    random.shuffle(again)  # type: ignore[attr-defined]
    assert join(reversed(everyone), again, splits) == first
    assert all(first[a] != first[b] for a, b in splits)
    assert all(root == min(a for a in everyone if first[a] == root) for root in first.values())
