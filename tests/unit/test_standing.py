"""Which of the failed and late nodes are roots and which are symptoms."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from answers.status import split

T0 = datetime(2026, 11, 1, tzinfo=UTC)


def uid(n: int) -> UUID:
    return UUID(int=n + 1)


def ask(
    edges: Iterable[tuple[int, int]],
    bad: list[int],
    *,
    since: dict[int, int] | None = None,
    parent: dict[int, int] | None = None,
) -> tuple[set[int], set[int]]:
    out: dict[UUID, set[UUID]] = {}
    back: dict[UUID, set[UUID]] = {}
    for a, b in edges:
        out.setdefault(uid(a), set()).add(uid(b))
        back.setdefault(uid(b), set()).add(uid(a))

    def walk(ids: Iterable[UUID], step: dict[UUID, set[UUID]]) -> set[UUID]:
        found: set[UUID] = set()
        todo = list(ids)
        while todo:
            for n in step.get(todo.pop(), ()):
                if n not in found:
                    found.add(n)
                    todo.append(n)
        return found

    since, parent = since or {}, parent or {}
    rows: list[dict[str, Any]] = [
        {
            "id": uid(n),
            "health_since": T0 + timedelta(minutes=since.get(n, n)),
            "parent_id": uid(parent[n]) if n in parent else None,
        }
        for n in bad
    ]
    rows.sort(key=lambda r: (r["health_since"], r["id"]))
    roots, symptoms = split(
        rows, lambda ids: walk(ids, out), lambda node, among: (walk([node], back) & set(among)) - {node}
    )
    return {r.int - 1 for r in roots}, {s.int - 1 for s in symptoms}


def test_the_first_of_a_chain_is_the_root_however_late_it_was_noticed() -> None:
    assert ask([(0, 1), (1, 2), (2, 3)], [0, 3], since={0: 9, 3: 1}) == ({0}, {3})


def test_a_failure_beside_is_a_root_of_its_own() -> None:
    assert ask([(0, 1), (2, 3)], [1, 3]) == ({1, 3}, set())


def test_a_job_that_updates_its_own_table_is_one_root() -> None:
    assert ask([(0, 1), (1, 0)], [0, 1], since={0: 0, 1: 0}) == ({0}, {1})


def test_a_cycle_is_one_root_its_earliest_and_what_is_below_it_is_not() -> None:
    ring = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4)]
    assert ask(ring, [0, 1, 2, 4], since={0: 5, 1: 3, 2: 4, 4: 1}) == ({1}, {0, 2, 4})


def test_two_cycles_in_a_row_have_one_root_in_the_first() -> None:
    edges = [(0, 1), (1, 0), (1, 2), (2, 3), (3, 2)]
    assert ask(edges, [0, 1, 2, 3], since={0: 9, 1: 8, 2: 1, 3: 2}) == ({1}, {0, 2, 3})


def test_a_dag_that_failed_with_its_task_is_the_tasks_symptom() -> None:
    assert ask([(0, 1)], [0, 9], parent={0: 9}) == ({0}, {9})
    assert ask([(0, 1)], [9]) == ({9}, set())


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25),
    st.sets(st.integers(0, 9)),
)
def test_every_bad_node_is_one_of_both_and_every_symptom_is_below_a_root(
    edges: list[tuple[int, int]], bad: set[int]
) -> None:
    edges = [e for e in edges if e[0] != e[1]]
    roots, symptoms = ask(edges, sorted(bad))
    assert roots | symptoms == bad and not roots & symptoms
    reach = {n: {n} for n in range(10)}
    for _ in range(10):
        for a, b in edges:
            for n in range(10):
                if a in reach[n]:
                    reach[n].add(b)
    assert all(any(s in reach[r] for r in roots) for s in symptoms)
    # a root has no bad ancestor but those it shares a cycle with, and no two roots lie in one cycle
    for r in roots:
        above = {n for n in bad if n != r and r in reach[n]}
        assert all(n in reach[r] for n in above)
        assert not above & roots
