"""What a node in the graph is made of does not outgrow the place it was made in."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from graph import project, reach
from graph.driver import Graph
from graph.model import Filters, GraphNode, brief, from_brief, line_code
from graph.reach import FACETS, _passes, _said, _told

TEAM = str(UUID(int=2**127 + 5))
NODE = GraphNode(UUID(int=7), "dataset", "table", "postgres", "prod", "", (), 0)


def test_a_node_that_gets_an_owner_is_as_long_as_before() -> None:
    nobodys, owned = project.properties(NODE), project.properties(replace(NODE, owner=TEAM))
    assert nobodys != owned
    assert [len(str(v)) for v in nobodys.values()] == [len(str(v)) for v in owned.values()]


@pytest.mark.parametrize("owner", ["", TEAM])
def test_the_room_for_an_owner_is_no_owner(owner: str) -> None:
    text = project.facets(replace(NODE, owner=owner))
    assert dict(zip(FACETS, _said(text), strict=True)) == {
        "type": "dataset", "kind": "table", "system": "postgres", "environment": "prod", "owner": owner,
    }  # fmt: skip
    tags = frozenset(("pii", "gold"))
    assert _passes(text, tags, Filters(owner=(TEAM,))) == bool(owner)
    assert _passes(text, tags, Filters(kind=("table",), tag=("pii", "raw")))
    assert not _passes(text, tags, Filters(kind=("table",), tag=("raw",)))


def test_a_stand_in_is_counted_by_nothing() -> None:
    assert project.facets(replace(NODE, standin=True)) == ""


def test_what_is_remembered_is_told_also_when_there_is_too_much_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = {code: (f"facets {code}", frozenset[str]()) for code in ("one", "two")}
    new = ("facets new", frozenset({"pii"}))
    code = line_code(new[0], sorted(new[1]))
    memory = old.copy()
    monkeypatch.setattr(reach, "_codes", memory)
    monkeypatch.setattr(reach, "_MOST_CODES", 1)
    monkeypatch.setattr(
        Graph, "read", lambda *_, ids, **__: [{"said": [[i, new[0], sorted(new[1])] for i in ids]}]
    )
    told = _told(Graph("bolt://127.0.0.1:1"), 1, {"one", "two", code}, {1: [f"d{brief(NODE.id)}{code}"]})
    assert told == old | {code: new}
    assert memory == {code: new}


@pytest.mark.parametrize("number", [0, 1, 2**64, 2**128 - 1])
def test_a_brief_id_is_an_id_and_sorts_as_one(number: int) -> None:
    id_ = UUID(int=number)
    assert from_brief(brief(id_)) == id_
    assert (brief(id_) < brief(NODE.id)) == (str(id_) < str(NODE.id))
