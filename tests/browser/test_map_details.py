"""What the map says beside health: how old an edge is, which tasks are of one DAG, where events break the specification."""

from __future__ import annotations

import uuid
from typing import Any

import estate
import pytest
from browsing import Site
from test_lineage import drawn, go, until

pytestmark = pytest.mark.browser

#: edges of the canvas as it draws them: {"from > to": [age, label, line style]}
_EDGES = """() => {
  const c = dlv.canvases.get('lineage'), name = (id) => c.rows.get(id).name;
  return Object.fromEntries(c.cy.edges().map(e => [`${name(e.data('source'))} > ${name(e.data('target'))}`,
    [e.data('age'), e.data('seen'), e.style('line-style')]]));
}"""
#: the boxes around tasks of one parent, with the names of the cards that lie inside each
_BOXES = """() => {
  const c = dlv.canvases.get('lineage'), boxes = [];
  if (!c.grouped) return boxes;
  for (const g of c.members()) {
    const inside = [...c.rows.values()].filter(d => {
      const p = c.cy.getElementById(d.id).position();
      return Math.round(p.x) === Math.round(g.x) && p.y >= g.y0 && p.y <= g.y1;
    });
    boxes.push([g.name, inside.map(d => d.name).sort()]);
  }
  return boxes;
}"""


def test_an_old_edge_looks_old_says_when_it_was_last_seen_and_is_not_dropped(site: Site, page: Any) -> None:
    go(page, site, f"/lineage?node={site.id('shop.analytics.fct_payments')}&up=1&down=0")
    seen = page.evaluate(_EDGES)
    old = seen["legacy.copy_refunds > shop.analytics.fct_payments"]
    assert old[0] == "stale" and old[2] != "solid"
    assert "40 d" in old[1]
    assert seen["fct_payments > shop.analytics.fct_payments"] == ["fresh", "", "solid"]
    edge = page.evaluate(
        """() => { const c = dlv.canvases.get('lineage');
        return c.cy.edges().filter(e => e.data('age') === 'stale')[0].data('ref'); }"""
    )
    client, _ = site.web.page("viewer")
    told = client.get(f"/api/v1/edges/{edge}").json
    assert told["intervals"][0]["valid_to"] is None, "it still holds, however old"
    go(page, site, f"/lineage?node={site.id('legacy.copy_refunds')}")
    page.get_by_role("button", name="Details").click()
    drawer = page.locator("#drawer.open")
    drawer.locator("[data-kind=edge]").first.click()
    drawer.get_by_text("Last seen").wait_for()
    proof = drawer.locator("section, details, div", has_text="Runs that prove it").last
    proof.get_by_text(str(uuid.uuid5(uuid.NAMESPACE_URL, "refunds"))).wait_for()
    until(page, "document.querySelector('#drawer.open').innerText.includes('40 d')")


def test_tasks_are_boxed_by_their_dag_and_the_url_holds_it(site: Site, page: Any) -> None:
    go(page, site, f"/lineage?node={site.id('shop.analytics.fct_payments')}&up=3&down=0")
    assert page.evaluate(_BOXES) == []
    page.get_by_role("button", name="Group").click()
    until(page, "dlv.canvases.get('lineage').grouped")
    assert "group=1" in page.url
    page.reload()
    drawn(page)
    boxes = page.evaluate(_BOXES)
    assert ["payments_daily", ["payments_daily.load_payments"]] in boxes
    of_dbt = [names for name, names in boxes if name == "shop_dbt"]
    assert sorted(n for names in of_dbt for n in names) == ["fct_payments", "stg_orders", "stg_payments"]
    assert ["stg_orders", "stg_payments"] in of_dbt, "tasks of one layer share a box"
    page.get_by_role("button", name="Group").click()
    until(page, "!dlv.canvases.get('lineage').grouped")
    assert "group=1" not in page.url


def test_the_drawer_tells_where_events_break_the_specification(site: Site, page: Any) -> None:
    (said, *_) = (e for e in estate.all_events(estate.utcnow()) if e["job"]["name"] == "stg_orders")
    said["inputs"][0]["facets"] = {"schema": 5}
    said["eventType"] = "DONE"
    estate.seed(site.web.record, [said], producer="a sloppy one")

    def told(name: str) -> str:
        go(page, site, f"/lineage?node={site.id(name)}")
        page.get_by_role("button", name="Details").click()
        section = page.locator("#drawer.open details", has_text="Events break the specification")
        section.locator("summary").click()
        section.locator("li", has_text="a sloppy one").first.wait_for()
        return str(section.inner_text())

    assert "inputs[0].facets.schema" in told("shop.raw.orders")
    of_job = told("stg_orders")
    assert "eventType" in of_job and "inputs[0].facets.schema" not in of_job
