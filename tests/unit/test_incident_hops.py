"""How far a member lies below its root: in hops, along its causes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from answers.incidents import hops


def member(n: int, cause: int | None, edges: int | None, type_: str = "job") -> dict[str, Any]:
    return {
        "id": UUID(int=n), "role": "root" if n == 0 else "symptom", "type": type_, "hop": edges,
        "cause": None if cause is None else UUID(int=cause),
    }  # fmt: skip


def test_edges_along_the_causes_add_up_to_hops_from_a_job() -> None:
    # load (0) → table (1) → next job (2) → its table (3), and a dashboard that follows from that, five edges on
    found = [
        member(0, None, None),
        member(1, 0, 1, "dataset"),
        member(2, 1, 1),
        member(3, 2, 1, "dataset"),
        member(4, 3, 5),
    ]
    assert hops(found) == [0, 1, 2, 2, 5]


def test_from_a_dataset_the_job_and_what_it_writes_are_one_hop() -> None:
    assert hops([member(0, None, None, "dataset"), member(1, 0, 1), member(2, 1, 1, "dataset")]) == [0, 1, 1]


def test_what_follows_from_nobody_known_has_no_hop() -> None:
    ring = [member(1, 2, 1), member(2, 1, 1)]
    assert hops([member(0, None, None), member(3, 9, 1), member(4, 0, None), *ring]) == [
        0,
        None,
        None,
        None,
        None,
    ]
