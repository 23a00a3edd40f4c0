"""The lineage pages with the graph away: they say so and since when, show what the record knows, and follow by themselves."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from browsing import Site
from test_lineage import drawn, go, until

from answers import status
from graph.driver import Graph, connect
from tests.conftest import eventually

pytestmark = pytest.mark.browser

SINCE = re.compile(r"The graph is away since \d\d? \w+ \d{4}, \d\d:\d\d UTC")


@pytest.fixture
def away(site: Site) -> Any:
    """The site with its graph's address taken for one where nobody listens; call it to give the graph back."""
    real = site.web.dlv.graph
    dead = connect("bolt://127.0.0.1:1", "somebody", "a password")

    def point(graph: Graph) -> None:
        object.__setattr__(site.web.dlv, "graph", graph)
        status.forget(site.web.record)

    point(dead)
    yield lambda: point(real)
    point(real)
    dead.close()


def test_the_map_is_drawn_from_the_record_and_says_since_when_the_graph_is_away(
    site: Site, page: Any, away: Any
) -> None:
    began = datetime.now(UTC)
    seen = go(page, site, f"/lineage?node={site.id('shop.analytics.fct_payments')}&up=3")
    assert {"shop.raw.payments", "payments_daily.load_payments", "Finance close"} <= set(seen["nodes"])
    assert seen["nodes"]["payments_daily.load_payments"][2] == "failed"
    page.locator("#away", has_text=SINCE).wait_for()
    told = status.graph_away(site.web.dlv)
    assert told is not None and began <= datetime.fromisoformat(told["since"]) <= datetime.now(UTC)
    page.locator(".count.c-root b", has_text="?").wait_for()
    # what people do on the map is the record's: the drawer opens, and a note is kept
    page.locator("[data-open]").first.click()
    drawer = page.locator("#drawer.open")
    drawer.locator("textarea").first.fill("written while the graph was away")
    drawer.get_by_role("button", name="Add note").click()
    eventually(
        lambda: site.web.record.all(
            "select 1 from annotation where text = 'written while the graph was away'"
        )
    )


def test_the_blast_radius_shows_its_picture_and_its_list_comes_back_with_the_graph(
    site: Site, page: Any, away: Any
) -> None:
    me = site.id("shop.raw.payments")
    seen = go(page, site, f"/impact?node={me}", "impact")
    assert "Finance close" in seen["nodes"], "the picture is drawn from the record"
    page.locator("#away", has_text=SINCE).wait_for()
    page.locator("#impact-list-note", has_text="The graph is away").wait_for()
    assert page.locator(".impact-table").count() == 0
    away()
    page.locator(".impact-table").wait_for()
    client, _ = site.web.page("viewer")
    total = client.get(f"/api/v1/nodes/{me}/impact").json["total"]
    assert page.locator(".impact-table [data-row]").count() == total
    eventually(lambda: page.locator("#impact-list-note").inner_text() == "")
    until(page, "document.getElementById('away').textContent === ''")
    drawn(page, "impact")


def test_paths_come_back_with_the_graph(site: Site, page: Any, away: Any) -> None:
    page.goto(f"{site.url}/paths?from={site.id('shop.raw.payments')}&to={site.id('Finance close')}")
    page.locator("#paths-note", has_text="The graph is away").wait_for()
    away()
    until(page, "document.querySelectorAll('.path-one').length === 2")
    drawn(page, "paths")
