"""The map in a real browser: deep links, growing, health that changes without moving anything, the drawer, exports."""

from __future__ import annotations

import json
import re
from typing import Any

import estate
import pytest
from browsing import Site

from tests.conftest import eventually

pytestmark = pytest.mark.browser

#: what the live canvas holds: {id: [x, y]} by name, the number of edges, zoom and pan
_PICTURE = """prefix => {
  const c = dlv.canvases.get(prefix), nodes = {};
  c.rows.forEach((d, id) => { const p = c.cy.getElementById(id).position(); nodes[d.name] = [p.x, p.y, d.health, d.role]; });
  return {nodes, edges: c.cy.edges().length, zoom: c.cy.zoom(), pan: c.cy.pan(), url: location.search};
}"""
#: where on the page the middle of a node's card is
_AT = """([prefix, name]) => {
  const c = dlv.canvases.get(prefix), d = [...c.rows.values()].find(d => d.name === name);
  const p = c.cy.getElementById(d.id).renderedPosition(), b = c.cy.container().getBoundingClientRect();
  return {x: b.x + p.x, y: b.y + p.y, zoom: c.cy.zoom()};
}"""


def until(page: Any, what: str, arg: Any = None, timeout: int = 30000) -> Any:
    """Ask until it is true. Playwright's own way of waiting needs eval, which the page's policy forbids."""
    if not re.match(r"^\(?[\w\[\], ]*\)?\s*=>", what):
        what = f"() => ({what})"
    return eventually(lambda: page.evaluate(what, arg), timeout=timeout / 1000)


def go(page: Any, site: Site, path: str, prefix: str = "lineage") -> dict[str, Any]:
    page.goto(site.url + path)
    return drawn(page, prefix)


def drawn(page: Any, prefix: str = "lineage", more_than: int = 0) -> dict[str, Any]:
    until(
        page,
        "([p, n]) => window.dlv?.canvases?.get(p)?.rows.size > n",
        arg=[prefix, more_than],
        timeout=30000,
    )
    until(page, f"document.querySelector('#{prefix}-busy')?.className === 'busy'")
    return page.evaluate(_PICTURE, prefix)


def test_a_deep_link_draws_what_it_says(site: Site, page: Any) -> None:
    me = site.id("shop.analytics.fct_payments")
    near = go(page, site, f"/lineage?node={me}")
    assert "shop.analytics.stg_payments" in near["nodes"]
    assert "shop.raw.payments" not in near["nodes"]
    far = go(page, site, f"/lineage?node={me}&up=3&down=0")
    assert "payments_daily.load_payments" in far["nodes"]
    assert "Finance close" not in far["nodes"]
    assert far["nodes"]["payments_daily.load_payments"][2:] == ["failed", "root"]
    assert far["nodes"]["shop.analytics.fct_payments"][2:] == ["ok", "at_risk"]
    bare = go(page, site, f"/lineage?node={me}&up=2&jobs=0")
    assert not [n for n in bare["nodes"] if n in ("fct_payments", "stg_payments")], "jobs are hidden"
    assert "shop.raw.payments" in bare["nodes"]


def test_an_address_that_leads_nowhere_says_so_and_leads_on(site: Site, page: Any) -> None:
    page.goto(f"{site.url}/nodes/of/old")
    page.get_by_role("heading", name="There is no page at this address").wait_for()
    assert page.title() == "No such page · DLV"
    page.locator("#page").get_by_role("link", name="Catalog").click()
    page.wait_for_url("**/catalog")
    page.get_by_role("heading", name="Catalog").first.wait_for()


def test_root_causes_stand_above_the_map_with_their_error_and_log(site: Site, page: Any) -> None:
    go(page, site, f"/lineage?node={site.id('shop.analytics.fct_payments')}")
    first = page.locator(".causes .cause").first
    first.wait_for()
    said = first.inner_text()
    assert "Root cause" in said and "payments_daily.load_payments" in said and estate.ERROR in said
    assert first.locator("a", has_text="Log").get_attribute("href") == estate.LOG
    first.get_by_text("Show the way").click()
    until(
        page,
        "[...dlv.canvases.get('lineage').rows.values()].some(d => d.name === 'payments_daily.load_payments')",
    )
    assert "also=" in page.url


def test_depth_and_switches_are_in_the_url_and_back_undoes_them(site: Site, page: Any) -> None:
    me = site.id("shop.analytics.stg_payments")
    before = go(page, site, f"/lineage?node={me}")
    page.get_by_label("Downstream: more hops").click()
    until(page, "n => dlv.canvases.get('lineage').rows.size > n", arg=len(before["nodes"]))
    assert "down=2" in page.url
    page.get_by_role("button", name="Jobs").click()
    until(page, "![...dlv.canvases.get('lineage').rows.values()].some(d => d.type === 'job')")
    assert "jobs=0" in page.url
    page.go_back()
    until(page, "[...dlv.canvases.get('lineage').rows.values()].some(d => d.type === 'job')")
    page.go_back()
    until(page, "n => dlv.canvases.get('lineage').rows.size === n", arg=len(before["nodes"]))
    assert page.locator("output[data-value=down]").inner_text() == "1"


def test_a_card_grows_by_click_and_the_clicked_one_stays(site: Site, page: Any) -> None:
    before = go(page, site, f"/lineage?node={site.id('shop.analytics.stg_payments')}&up=0")
    page.wait_for_selector(".causes .cause")
    page.wait_for_timeout(300)
    at = page.evaluate(_AT, ["lineage", "shop.analytics.fct_payments"])
    page.mouse.click(at["x"] + 118 * at["zoom"], at["y"])
    after = drawn(page, more_than=len(before["nodes"]))
    assert "Finance close" in after["nodes"]
    name = "shop.analytics.fct_payments"
    assert after["nodes"][name][:2] == before["nodes"][name][:2]
    assert "grow=" in page.url
    page.reload()
    again = drawn(page, more_than=len(before["nodes"]))
    assert set(again["nodes"]) == set(after["nodes"]), "the link holds what was grown"


def test_a_large_fan_is_folded_and_opens_as_a_list(site: Site, page: Any) -> None:
    before = go(page, site, f"/lineage?node={site.id('shop.raw.events')}")
    jobs = [n for n in before["nodes"] if n.startswith("tenant_export_")]
    assert len(jobs) == 12
    at = page.evaluate(
        """() => { const c = dlv.canvases.get('lineage'), d = c.rows.get(c.view.node), p = c.cy.getElementById(d.id).position();
        const f = dlv.foldBox(d, p.x, p.y, 1), b = c.cy.container().getBoundingClientRect(), z = c.cy.zoom(), q = c.cy.pan();
        return {text: f.text, x: b.x + q.x + (f.x + f.w / 2) * z, y: b.y + q.y + (f.y + f.h / 2 - 2) * z}; }"""
    )
    assert "+48 more" in at["text"]
    page.mouse.click(at["x"], at["y"])
    page.get_by_text("48 more downstream").wait_for()
    assert page.locator(".fold-row").count() == 40
    page.locator(".fold-row [data-also]").first.click()
    after = drawn(page, more_than=len(before["nodes"]))
    assert len([n for n in after["nodes"] if n.startswith("tenant_export_")]) == 13


def test_news_of_health_moves_nothing(site: Site, page: Any) -> None:
    me = site.id("shop.analytics.fct_payments")
    before = go(page, site, f"/lineage?node={me}&up=3")
    page.wait_for_selector(".causes .cause")
    page.evaluate("dlv.canvases.get('lineage').whole = false")
    page.wait_for_timeout(200)
    before = page.evaluate(_PICTURE, "lineage")
    page.evaluate("void (window.cyBefore = dlv.canvases.get('lineage').cy)")
    estate.seed(site.web.record, estate.recover(estate.utcnow()))
    site.project()
    until(
        page,
        "[...dlv.canvases.get('lineage').rows.values()].find(d => d.name === 'payments_daily.load_payments').health === 'ok'",
        timeout=30000,
    )
    after = page.evaluate(_PICTURE, "lineage")
    assert {n: v[:2] for n, v in after["nodes"].items()} == {n: v[:2] for n, v in before["nodes"].items()}
    assert after["zoom"] == before["zoom"] and after["pan"] == before["pan"]
    assert page.evaluate("window.cyBefore === dlv.canvases.get('lineage').cy"), "the canvas was not made anew"
    page.locator(".count.c-root b", has_text="0").wait_for()


def test_the_drawer_tells_all_of_a_node_and_of_an_edge(site: Site, page: Any) -> None:
    go(page, site, f"/lineage?node={site.id('payments_daily.load_payments')}")
    page.get_by_role("button", name="Details").click()
    drawer = page.locator("#drawer.open")
    drawer.get_by_text("Last runs").wait_for()
    said = drawer.inner_text()
    assert "payments_daily" in said and estate.ERROR in said and "Neighbours" in said
    assert drawer.get_by_text("Open the log").get_attribute("href") == estate.LOG
    drawer.locator("textarea").first.fill("Restarted with more heap")
    drawer.get_by_role("button", name="Add note").click()
    drawer.get_by_text("Restarted with more heap").last.wait_for()
    drawer.locator("[data-kind=edge]").first.click()
    drawer.get_by_text("Provenance").wait_for()
    assert "openlineage" in drawer.inner_text() and "still holds" in drawer.inner_text()
    page.keyboard.press("Escape")
    page.wait_for_selector("#drawer:not(.open)", state="attached")


def test_viewers_see_notes_and_cannot_write_them(site: Site, page: Any) -> None:
    client, header = site.web.page("viewer")
    on = {"kind": "node", "id": site.id("shop.raw.orders")}
    answer = client.post(
        "/_dash-update-component",
        headers=header,
        json={
            "output": "..drawer-said.data...note-error.children..",
            "outputs": [
                {"id": "drawer-said", "property": "data"},
                {"id": "note-error", "property": "children"},
            ],
            "inputs": [{"id": "note-add", "property": "n_clicks", "value": 1}],
            "changedPropIds": ["note-add.n_clicks"],
            "state": [
                {"id": "note-text", "property": "value", "value": "let me in"},
                {"id": "note-on", "property": "data", "value": on},
            ],
        },
    )
    assert answer.status_code == 403
    assert not site.web.record.one("select 1 as x from annotation")


def test_the_picture_is_taken_away_as_png_and_svg(site: Site, page: Any) -> None:
    go(page, site, f"/lineage?node={site.id('shop.analytics.fct_payments')}&up=3")
    for label, kind in (("Picture (PNG)", "png"), ("Drawing (SVG)", "svg")):
        page.get_by_role("button", name="Export").click()
        with page.expect_download() as got:
            page.get_by_text(label).click()
        body = got.value.path().read_bytes()
        assert got.value.suggested_filename.endswith(kind)
        if kind == "png":
            assert body[:8] == b"\x89PNG\r\n\x1a\n" and len(body) > 20_000
        else:
            text = body.decode()
            assert "load_payments" in text and "ROOT CAUSE" in text and "<script" not in text
    said = "select actor_name, after from audit_log where action = 'canvas.export' order by seq"
    eventually(lambda: len(site.web.record.all(said)) == 2)
    written = site.web.record.all(said)
    assert [(w["after"]["format"], w["after"]["name"]) for w in written] == [
        (kind, "shop.analytics.fct_payments") for kind in ("png", "svg")
    ]
    assert all(w["actor_name"] and w["after"]["rows"] > 3 for w in written)


def test_search_by_keyboard_leads_to_the_node(site: Site, page: Any) -> None:
    page.goto(site.url + "/")
    page.locator(".tile").first.wait_for()
    page.keyboard.press("Control+k")
    until(page, "document.activeElement?.id === 'search-input'")
    page.keyboard.type("fct_pay")
    page.locator(".hit").nth(1).wait_for()
    page.keyboard.press("ArrowDown")
    wanted = page.locator(".hit[aria-selected=true]").get_attribute("data-node")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda u: f"node={wanted}" in u)
    drawn(page)
    page.keyboard.press("Control+k")
    until(page, "document.activeElement?.id === 'search-input'")
    page.keyboard.press("Control+a")
    page.keyboard.type("Finance data")
    page.locator(".hit", has_text="Finance data").first.wait_for()


def test_the_canvas_is_walked_with_keys(site: Site, page: Any) -> None:
    go(page, site, f"/lineage?node={site.id('shop.analytics.stg_payments')}")
    page.locator("#lineage-canvas").focus()
    page.keyboard.press("ArrowLeft")
    until(
        page,
        "document.getElementById('lineage-live').textContent.startsWith('stg_payments, dbt model, Failed, symptom')",
    )
    page.keyboard.press("Enter")
    page.locator("#drawer.open h2", has_text="stg_payments").first.wait_for()


def test_the_blast_radius_is_listed_by_hop_and_filtered(site: Site, page: Any) -> None:
    me = site.id("payments_daily.load_payments")
    seen = go(page, site, f"/impact?node={me}", "impact")
    page.locator(".impact-table").wait_for()
    client, _ = site.web.page("viewer")
    said = client.get(f"/api/v1/nodes/{me}/impact").json
    assert page.locator(".sum .total b").inner_text() == str(said["total"])
    assert page.locator(".impact-table [data-row]").count() == said["total"]
    heads = page.locator(".impact-table .hop").all_inner_texts()
    assert [h.split("·")[0].strip() for h in heads] == [f"Hop {h['key']}" for h in said["by_hop"]]
    assert "shop.raw.payments" in seen["nodes"]
    hop = page.evaluate(
        "Object.fromEntries([...dlv.canvases.get('impact').rows.values()].map(d => [d.name, d.hop]))"
    )
    exact = {i["name"]: i["hop"] for i in said["items"] if i["type"] == "dataset"}
    assert {n: h for n, h in hop.items() if n in exact} == exact
    page.locator("[data-sort=name]").click()
    page.locator("th[aria-sort=ascending]", has_text="Node").wait_for()
    page.locator("[data-tally='kind:dashboard']").click()
    until(page, "document.querySelectorAll('.impact-table [data-row]').length === 2")
    assert "kind=dashboard" in page.url
    with page.expect_download() as got:
        page.get_by_role("link", name="CSV").click()
    text = got.value.path().read_text()
    assert "Finance close" in text and "shop.raw.payments" not in text
    with page.expect_download() as got:
        page.get_by_role("link", name="JSON").click()
    assert {i["name"] for i in json.loads(got.value.path().read_text())["items"]} == {
        "Finance close",
        "Revenue daily",
    }


def test_ways_between_two_nodes(site: Site, page: Any) -> None:
    a, b = site.id("shop.raw.payments"), site.id("Finance close")
    seen = go(page, site, f"/paths?from={a}&to={b}", "paths")
    assert page.locator(".path-one").count() == 2, "through fct_payments and through fct_orders"
    assert {"shop.analytics.fct_payments", "shop.analytics.fct_orders"} <= set(seen["nodes"])
    page.locator(".path-one").first.click()
    until(page, "dlv.canvases.get('paths').cy.edges('.path').length > 3")
    page.get_by_label("Swap the ends").click()
    page.get_by_text("No path").wait_for()


def test_what_does_not_exist_says_so(site: Site, page: Any) -> None:
    page.goto(site.url + "/lineage?node=00000000-0000-5000-8000-000000000000")
    page.get_by_text("No such node").wait_for()
    page.goto(site.url + "/lineage?node=nonsense&up=x")
    page.get_by_text("This cannot be shown").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_at_1024_without_a_sideways_scroll(site: Site, page: Any, scheme: str) -> None:
    page.set_viewport_size({"width": 1024, "height": 768})
    page.emulate_media(color_scheme=scheme)
    me = site.id("payments_daily.load_payments")
    for path, ready in (
        ("/", ".broken"),
        (f"/lineage?node={me}&up=2&down=3", "#lineage-head h1"),
        (f"/impact?node={me}", ".impact-table"),
        (f"/paths?from={me}&to={site.id('Finance close')}", ".path-one"),
        ("/lineage", ".way"),
    ):
        page.goto(site.url + path)
        page.wait_for_selector(ready)
        wide = page.evaluate(
            "[document.documentElement.scrollWidth, innerWidth, document.querySelector('.main').scrollWidth - document.querySelector('.main').clientWidth]"
        )
        assert wide[0] <= wide[1] and wide[2] <= 0, (path, wide)
    page.goto(site.url + "/")
    page.wait_for_selector(".broken")
    was = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_label("Change between light and dark").click()
    until(page, "was => getComputedStyle(document.body).backgroundColor !== was", arg=was)
    page.reload()
    page.wait_for_selector(".broken")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != was, "the choice is kept"
