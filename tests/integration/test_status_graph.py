"""That the graph is away is said although nothing has changed and nothing is broken: nobody else would ask it then."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from answers import status
from graph.driver import connect
from tests.web import Web


@pytest.mark.parametrize("known", [False, True], ids=["at first", "after it answered"])
def test_a_graph_that_goes_away_is_told_while_all_is_well(web: Web, known: bool) -> None:
    if known:
        assert status.counts(web.dlv)["parts"]["graph"]["ok"] is True
    real, dead = web.dlv.graph, connect("bolt://127.0.0.1:1", "somebody", "a password")
    began = datetime.now(UTC)
    object.__setattr__(web.dlv, "graph", dead)
    time.sleep(status._FRESH)
    said = status.counts(web.dlv)
    assert (said["parts"]["graph"]["ok"], said["roots"]) == (False, None)
    assert began <= datetime.fromisoformat(said["parts"]["graph"]["since"]) <= datetime.now(UTC)
    object.__setattr__(web.dlv, "graph", real)
    time.sleep(status._FRESH)
    assert status.counts(web.dlv)["parts"]["graph"]["ok"] is True
    dead.close()
