"""Editing all nodes that a list's filters leave, not only those that are ticked or drawn."""

from __future__ import annotations

import pytest

from errors import Invalid
from store import node_edits
from store.audit import SYSTEM
from tests.web import Web


def test_all_that_match_are_found_with_their_versions(web: Web) -> None:
    from pages import _grid

    with web.record.tx() as conn:
        for n in range(7):
            said = {
                "type": "dataset", "namespace": "postgres://h:5432", "name": f"d.s.t{n}", "kind": "table",
                "system": "postgres", "environment": "default",
            }  # fmt: skip
            id_ = node_edits.create(conn, SYSTEM, said, (said["namespace"], said["name"]))
            if n < 5:
                node_edits.edit(conn, SYSTEM, id_, {"tags": ["gold"]}, None)
    with web.server.app_context():
        found = _grid.matching_nodes({"tag": ["gold"], "q": "", "owner": []}, 1000)
        assert len(found) == 5 and set(found.values()) == {2}
        assert len(_grid.matching_nodes({}, 7)) == 7
        assert _grid.matching_nodes({"q": "nothing like it"}, 7) == {}
        with pytest.raises(Invalid, match="7 nodes match, and at most 6"):
            _grid.matching_nodes({}, 6)


def test_the_form_opens_for_all_that_match(web: Web) -> None:
    from pages import admin_nodes

    with web.record.tx() as conn:
        for name in ("d.s.a", "d.s.b", "d.s.c"):
            said = {
                "type": "dataset", "namespace": "postgres://h:5432", "name": name, "kind": "table",
                "system": "postgres", "environment": "default",
            }  # fmt: skip
            node_edits.create(conn, SYSTEM, said, (said["namespace"], said["name"]))
    with web.server.app_context():
        opened = admin_nodes.DIALOG._open({"mode": "matching"}, [], [], {"q": "d.s"})
        assert opened[0] is True and opened[1] == "Edit all that match: 3 nodes"
        assert sorted(opened[3]["ids"].values()) == [1, 1, 1]
        with pytest.raises(Invalid, match="no node is chosen"):
            admin_nodes.DIALOG._open({"mode": "bulk"}, [], [], {"q": "d.s"})
