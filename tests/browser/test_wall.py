"""The wall in a real browser: what broke and why at one glance, polls that change nothing, old data that looks old."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import estate
import pytest
from alarms import a_team, an_incident
from browsing import Site
from test_lineage import until

from answers import status, wall

pytestmark = pytest.mark.browser


def go(page: Any, site: Site, path: str = "/") -> None:
    page.goto(site.url + path)
    until(page, "document.getElementById('wall')?.dataset.drawn")


def tile(page: Any, name: str) -> Any:
    return page.locator(".tile", has=page.locator("b", has_text=name))


def test_what_broke_stands_on_top_and_tells_root_symptom_and_risk_apart(site: Site, page: Any) -> None:
    go(page, site)
    [card] = page.locator(".broken").all()
    said = card.inner_text()
    assert "payments_daily.load_payments" in said and estate.ERROR in said and "13 nodes" in said
    classes = {
        n: tile(page, n).first.get_attribute("class") for n in ("load_payments", "stg_payments", "fct_orders")
    }
    assert "t-root" in classes["load_payments"]
    assert "t-symptom" in classes["stg_payments"] and "t-at_risk" in classes["fct_orders"]
    styles = [
        tile(page, n).first.evaluate("e => getComputedStyle(e).borderStyle")
        for n in ("stg_payments", "fct_orders")
    ]
    assert styles == ["solid", "dashed"], "told apart by shape, not by colour alone"
    names = page.locator(".wall-group").first.locator(".tile b").all_inner_texts()
    assert names[0] == "load_payments", "worst first"
    counts = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#counts .count')].map(c => [c.className.match(/c-(\\w+)/)[1], +c.querySelector('b').textContent]))"
    )
    assert (
        page.locator("#wall-title").inner_text()
        == f"{counts['root']} root cause and {counts['failed'] - counts['root']} symptoms, {counts['at_risk']} nodes at risk"
    )


def test_cards_of_incidents_stand_by_severity_with_owner_and_age(site: Site, page: Any) -> None:
    told = [
        (3, 50, "shop.raw.payments"),
        (1, 10, "shop.analytics.fct_orders"),
        (2, 125, "bi_refresh.product_funnel"),
    ]
    with site.web.record.tx() as conn:
        for severity, minutes, name in told:
            team = a_team(conn, f"Team {severity}")
            at = datetime.now(UTC) - timedelta(minutes=minutes)
            root = site.web.record.one("select id from node where name = %s", (name,))
            assert root, name
            an_incident(conn, root["id"], title=name, severity=severity, opened_at=at, owner_id=team)
    wall.forget(site.web.record)
    go(page, site)
    cards = page.locator(".broken[class*=sev-]").all()
    assert [c.get_attribute("class").split("sev-")[1][0] for c in cards] == ["1", "2", "3"]
    assert [c.locator(".age").inner_text() for c in cards] == ["10 min", "2 h", "50 min"]
    assert [c.locator(".fact").first.inner_text() for c in cards] == ["Team 1", "Team 2", "Team 3"]


def test_a_red_tile_says_its_root_cause_first_without_another_page(site: Site, page: Any) -> None:
    go(page, site)
    page.locator(".wall-group", has_text="Postgres").locator(".tile", has_text="stg_payments").click()
    drawer = page.locator("#drawer.open")
    drawer.locator(".why-cause").wait_for()
    assert page.url.rstrip("/") == site.url
    said = drawer.inner_text()
    assert (
        said.index("payments_daily.load_payments")
        < said.index(estate.ERROR)
        < said.index("Blast radius · 13 nodes")
    )
    assert said.index("Who to call") < said.index("This node: failed")
    steps = drawer.locator(".why-path .step").all_inner_texts()
    assert [s.split("\n")[0].split("task")[0].split("model")[0] for s in steps] == [
        "load_payments",
        "payments",
        "stg_payments",
        "stg_payments",
    ]
    drawer.locator(".why-path .step").first.click()
    drawer.locator("h2", has_text="payments_daily.load_payments").first.wait_for()


def test_an_unchanged_poll_is_empty_and_touches_nothing(site: Site, page: Any) -> None:
    go(page, site)
    page.evaluate(
        "window.touched = 0; new MutationObserver(l => { window.touched += l.length; }).observe(document.getElementById('wall-tiles'), {subtree: true, childList: true, attributes: true, characterData: true})"
    )
    answers: list[tuple[int, int]] = []
    page.on(
        "response",
        lambda r: (
            answers.append((r.status, len(r.body()) if r.status == 200 else 0))
            if "/api/v1/wall" in r.url
            else None
        ),
    )
    wall.forget(site.web.record)
    page.evaluate("dlv.wall.poll()")
    until(page, "dlv.wall.state().asOf > Date.now() - 2000")
    assert answers and {a[0] for a in answers} == {304}
    assert page.evaluate("window.touched") == 0


def test_news_change_the_tiles_that_changed_and_keep_the_focus(site: Site, page: Any) -> None:
    go(page, site)
    kept = tile(page, "product_funnel").first
    kept.focus()
    page.evaluate("window.kept = document.activeElement")
    assert "t-root" in tile(page, "load_payments").first.get_attribute("class")
    estate.seed(site.web.record, estate.recover(estate.utcnow()))
    site.project()
    wall.forget(site.web.record)
    page.evaluate("dlv.wall.poll()")
    until(page, "!document.querySelector('.tile.t-root')")
    assert page.evaluate("document.activeElement === window.kept && window.kept.isConnected")
    page.locator(".count.c-failed b", has_text="0").wait_for()


def test_filters_and_groups_stand_in_the_url(site: Site, page: Any) -> None:
    go(page, site)
    before = page.locator(".tile").count()
    page.get_by_role("button", name="Not healthy").click()
    until(page, "n => document.querySelectorAll('.tile').length < n", arg=before)
    assert page.locator(".tile.t-ok").count() == 0 and "shown=bad" in page.url
    page.get_by_role("button", name="Pipeline").click()
    until(
        page,
        "[...document.querySelectorAll('.wall-group h2')].some(h => h.textContent.includes('payments_daily'))",
    )
    first = page.locator(".wall-group").first
    assert "payments_daily" in first.locator("h2").inner_text()
    assert {"load_payments", "payments"} <= set(first.locator(".tile b").all_inner_texts()), (
        "with what its jobs write"
    )
    page.locator("#wall-q").fill("stg_")
    until(page, "[...document.querySelectorAll('.tile b')].every(b => b.textContent.includes('stg'))")
    page.reload()
    until(page, "document.getElementById('wall')?.dataset.drawn")
    assert set(page.locator(".tile b").all_inner_texts()) == {"stg_payments"}
    assert page.locator("#wall-q").input_value() == "stg_"
    page.get_by_role("button", name="Team").click()
    until(
        page,
        "[...document.querySelectorAll('.wall-group h2')].some(h => h.textContent.includes('Analytics engineering'))",
    )


def test_tiles_are_walked_with_keys(site: Site, page: Any) -> None:
    go(page, site)
    assert page.locator(".tile[tabindex='0']").count() == 1, "one stop of the Tab key"
    page.locator(".tile[tabindex='0']").focus()
    first = page.evaluate("document.activeElement.querySelector('b').textContent")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.querySelector('b').textContent")
    assert first == "load_payments" and second != first
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.querySelector('b').textContent") == second
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.locator("#drawer.open h2", has_text="load_payments").first.wait_for()


def test_where_dlv_does_not_answer_the_wall_is_old_and_says_since_when(site: Site, page: Any) -> None:
    go(page, site)
    assert page.locator("#wall.stale").count() == 0
    page.route("**/api/v1/wall*", lambda route: route.abort())
    page.evaluate("dlv.wall.poll()")
    page.locator("#wall.stale").wait_for()
    said = page.locator("#wall-down").inner_text()
    assert "DLV does not answer since" in said and "nothing on it is news" in said
    assert "As of" in page.locator("#wall-age").inner_text()
    assert (
        page.locator(".tile").first.evaluate("e => getComputedStyle(e.closest('.wall-tiles')).filter")
        != "none"
    )
    page.unroute("**/api/v1/wall*")
    page.evaluate("dlv.wall.poll()")
    page.locator("#wall:not(.stale)").wait_for()
    assert page.locator("#wall-down").inner_text() == ""
    page.route(
        "**/api/v1/wall*",
        lambda route: route.fulfill(status=401, body='{"error": {"message": "the session has ended"}}'),
    )
    page.evaluate("dlv.wall.poll()")
    page.get_by_role("link", name="Sign in again").wait_for()
    page.said[:] = [s for s in page.said if "Failed to load resource" not in s and "failed:" not in s]


def test_where_dlv_does_not_look_nothing_stays_green(site: Site, page: Any) -> None:
    from store import beats

    def said(sql: str) -> None:
        with site.web.record.tx() as conn:
            conn.execute(sql)
        status.forget(site.web.record)
        wall.forget(site.web.record)
        page.evaluate("dlv.wall.poll()")

    go(page, site)
    title = page.locator("#wall-title")
    with site.web.record.tx() as conn:
        for part in ("scheduler", "check", "fold", "project", "alert"):
            beats.note(conn, part, "here", {})
    said("update node set health = 'ok' where health <> 'unknown'")
    until(page, "document.getElementById('wall-title').textContent === 'Nothing is failed or late'")
    assert page.locator("#wall.stale").count() == 0
    for part, name in (
        ("scheduler", "The scheduler"),
        ("check", "The check worker"),
        ("fold", "Reading of events"),
    ):
        said(f"update part_beat set at = dlv_now() - interval '40 seconds' where part = '{part}'")
        page.locator("#wall.stale").wait_for()
        page.locator("#wall-down", has_text=f"{name} is down since").wait_for()
        assert title.inner_text() == "What is failed or late now is not known"
        grey = page.locator("#wall-tiles").evaluate("e => getComputedStyle(e).filter")
        assert "grayscale" in grey
        said("update part_beat set at = dlv_now()")
        page.locator("#wall:not(.stale)").wait_for()
    said("update part_beat set at = dlv_now() - interval '40 seconds' where part = 'alert'")
    page.locator("#wall-down", has_text="The alerter is down since").wait_for()
    assert page.locator("#wall.stale").count() == 0, "tiles are looked at still; nobody is told"


def graph_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from errors import GraphAway
    from graph import reach

    def away(*_: Any, **__: Any) -> Any:
        raise GraphAway("the graph does not answer")

    for name in ("below", "impact", "ancestors_among", "shortest"):
        monkeypatch.setattr(reach, name, away)


def test_with_the_graph_away_the_wall_says_so_and_all_that_is_bad_still_shows(
    site: Site, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph_away(monkeypatch)
    status.forget(site.web.record)
    wall.forget(site.web.record)
    go(page, site)
    page.locator("#wall-down", has_text="The graph is down since").wait_for()
    assert "root causes are not known" in page.locator("#wall-title").inner_text()
    assert page.locator(".broken").count() == 4 and page.locator(".tile.t-failed").count() == 4
    page.locator(".tile.t-failed").first.click()
    page.locator("#drawer.open .why-cause").wait_for()
    page.goto(f"{site.url}/lineage?node={site.id('shop.analytics.fct_payments')}")
    until(page, "window.dlv?.canvases?.get('lineage')?.rows.size > 1"), "the map is drawn from the record"
    page.locator("#away", has_text="The graph is away since").wait_for()
    page.goto(f"{site.url}/impact?node={site.id('shop.raw.payments')}")
    page.get_by_text("graph", exact=False).first.wait_for()


def test_a_screen_that_nobody_touches_is_dark_without_menus_and_turns_its_pages(
    site: Site, page: Any
) -> None:
    page.set_viewport_size({"width": 1280, "height": 620})
    go(page, site, "/wall?kiosk=1")
    assert not page.locator(".top").is_visible() and not page.locator(".side").is_visible()
    assert page.evaluate("document.documentElement.getAttribute('data-mantine-color-scheme')") == "dark"
    assert page.locator(".tile.t-root").is_visible()
    pages = page.evaluate("dlv.wall.state().pages.length")
    if pages > 1:
        assert page.locator("#wall-page").inner_text() == f"1 of {pages}"
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    page.keyboard.press("Escape")
    page.locator(".side").wait_for()


def many(site: Site, n: int) -> None:
    """More tiles, one in fifty of them failed."""
    with site.web.record.tx() as conn:
        conn.execute(
            """insert into node (id, type, kind, system, environment, namespace, name, health, health_since, health_reason,
                                 first_seen, last_seen)
               select gen_random_uuid(), 'job', 'task', (array['airflow', 'spark', 'kafka', 'snowflake'])[1 + i %% 4], 'prod',
                      'prod-' || i %% 7, 'dag_' || i / 9 || '.task_' || i, case when i %% 50 = 0 then 'failed' else 'ok' end,
                      now() - interval '3 hours', case when i %% 50 = 0 then 'exit code 137' else '' end, now() - interval '9 days', now()
                 from generate_series(1, %s) i""",
            (n,),
        )
    status.forget(site.web.record)
    wall.forget(site.web.record)


def test_five_thousand_nodes_are_usable(site: Site, page: Any) -> None:
    many(site, 5000)
    go(page, site)
    assert page.evaluate("dlv.wall.state().rows") > 5000
    assert page.locator(".tile").count() < 1000, "what is healthy is folded"
    assert page.locator(".tile.t-root, .tile.t-failed").count() >= 100, "nothing that is bad is"
    fold = page.locator("[data-wall-fold]", has_text="healthy").first
    before = page.locator(".tile").count()
    fold.click()
    until(page, "n => document.querySelectorAll('.tile').length > n", arg=before)
    assert page.locator("[data-wall-more]").count() >= 1, "a window of them at a time"
    took = page.evaluate("dlv.wall.draw(), dlv.wallTook")
    page.locator("#wall-q").fill("task_4999")
    until(page, "document.querySelectorAll('.tile').length === 1")
    print("drawing 5,000 again took", round(took), "ms")


def test_an_empty_estate_says_how_the_first_event_gets_here(site: Site, page: Any) -> None:
    with site.web.record.tx() as conn:
        conn.execute("update node set retired_at = now()")
    status.forget(site.web.record)
    wall.forget(site.web.record)
    go(page, site)
    page.get_by_text("Nothing has arrived yet").wait_for()
    assert not page.locator("#wall-tools").is_visible()


def test_the_same_words_and_colours_everywhere(site: Site, page: Any) -> None:
    go(page, site)
    colour = "e => getComputedStyle(e).color"
    root = page.locator(".count.c-root .glyph").evaluate(colour)
    assert tile(page, "load_payments").first.locator(".glyph").evaluate(colour) == root
    said = json.loads(page.evaluate("JSON.stringify(dlv.WORD)"))
    from pages import _words

    assert said == _words.HEALTH
    page.goto(f"{site.url}/catalog?q=load_payments")
    page.locator(".ag-row .tag.solid", has_text="Root cause").wait_for()
    page.locator(".ag-row [data-open]").first.click()
    page.locator("#drawer.open .tag.solid.c-root", has_text="Root cause").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colour_of_each_health_is_one_on_wall_canvas_catalog_and_drawer(
    site: Site, page: Any, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Own health shows as such where no role stands before it: while the graph is away."""
    graph_away(monkeypatch)
    shown = {
        "failed": "bi_refresh.revenue_daily", "late": "bi_refresh.finance_close", "warn": "fraud_features",
        "ok": "dim_customer", "unknown": "sessionize",
    }  # fmt: skip
    with site.web.record.tx() as conn:
        conn.execute("update node set health = 'ok'")
        for state, name in shown.items():
            conn.execute("update node set health = %s, health_since = now() where name = %s", (state, name))
    status.forget(site.web.record)
    wall.forget(site.web.record)
    page.add_init_script(f"localStorage.setItem('mantine-color-scheme-value', '{scheme}')")
    go(page, site)
    assert page.evaluate("document.documentElement.getAttribute('data-mantine-color-scheme')") == scheme
    # what the canvas paints the word of each health with, as the browser says a colour; and the token itself
    painted = page.evaluate(
        """() => Object.fromEntries(Object.entries(dlv.WORD).map(([health, word]) => {
          const used = [];
          const pen = { box() {}, shape() {}, text(said, x, y, size, weight, colour) { if (said === word) used.push(colour); } };
          dlv.card(pen, { type: 'job', kind: 'task', system: 'dbt', mark: 'kind-task', name: 'a', namespace: 'b', health }, 0, 0, { zoom: 1 });
          const probe = document.body.appendChild(document.createElement('i'));
          const rgb = (colour) => { probe.style.color = colour; return getComputedStyle(probe).color; };
          const said = [used.map(rgb), rgb(`var(--${health})`), rgb(dlv.tokens().get[health])];
          probe.remove();
          return [health, said];
        }))"""
    )
    assert set(painted) == set(shown)
    for health, (words, css, token) in painted.items():
        assert words and set(words) == {css} == {token}, health
    assert len({css for _, css, _ in painted.values()}) == 5
    colour = "e => getComputedStyle(e).color"
    for health, name in shown.items():
        want = painted[health][1]
        go(page, site, f"/?q={name}&unknown=1")
        if page.locator("[data-wall-fold][aria-expanded=false]").count():
            page.locator("[data-wall-fold][aria-expanded=false]").first.click()
        assert tile(page, name.split(".")[-1]).first.locator(".glyph").first.evaluate(colour) == want, health
        page.goto(f"{site.url}/catalog?q={name}")
        row = page.locator(".ag-row", has_text=name.split(".")[-1]).first
        state = row.locator(f".c-{health}").first
        state.wait_for()
        assert state.locator(".glyph").first.evaluate(colour) == want, health
        row.locator("[data-open]").first.click()
        tag = page.locator(f"#drawer.open .tag.c-{health}").first
        tag.wait_for()
        assert tag.evaluate(colour) == want, health


def test_one_environment_is_kept_over_all_pages(site: Site, page: Any) -> None:
    with site.web.record.tx() as conn:
        conn.execute("update node set environment = 'staging' where namespace = 'spark-prod'")
    wall.forget(site.web.record)
    go(page, site)
    everything = page.evaluate("dlv.wall.state().rows")
    page.locator("#env").click()
    page.get_by_role("option", name="staging").click()
    until(page, "n => (dlv.wall.state().rows || n) < n", arg=everything)
    assert page.url.endswith("/?environment=staging")
    page.locator(".count.c-failed.zero").wait_for()
    page.get_by_role("link", name="Catalog").click()
    until(page, "document.getElementById('catalog-total')?.textContent.includes('nodes')")
    said = site.web.client().get("/api/v1/status?environment=staging", headers=site.web.bearer("viewer")).json
    until(
        page,
        "n => document.getElementById('catalog-total').textContent.startsWith(n + ' ')",
        arg=str(said["total"]),
    )
    assert page.url.endswith("/catalog?environment=staging")
    page.reload()
    until(page, "document.getElementById('env')?.value === 'staging'")
    page.locator("#env").click()
    page.get_by_role("option", name="All environments").click()
    until(page, "location.search === ''")
    page.goto(f"{site.url}/lineage?environment=nowhere")
    page.get_by_text("No node is in nowhere.").wait_for()
    for path in ("/lineage", "/impact"):
        page.goto(f"{site.url}{path}?environment=staging")
        page.locator(".start h1").wait_for()
        assert page.get_by_role("heading", name="Broken now").count() == 0, "nothing of staging is broken"
        assert page.locator(".start .way").count() > 0, "its jobs are offered, though it has no dataset"
        page.locator("#env").click()
        page.get_by_role("option", name="All environments").click()
        page.get_by_role("heading", name="Broken now").wait_for()
        assert page.url == site.url + path


def test_back_keeps_the_canvas_and_edges_of_a_path_open_their_drawer(site: Site, page: Any) -> None:
    page.goto(f"{site.url}/lineage?node={site.id('shop.analytics.stg_payments')}")
    until(page, "window.dlv?.canvases?.get('lineage')?.rows.size > 1")
    # void: what an evaluation gives is sent here whole, and a canvas is gigabytes
    page.evaluate(
        "void (window.before = [dlv.canvases.get('lineage').cy, dlv.canvases.get('lineage').rows.size])"
    )
    page.get_by_label("Downstream: more hops").click()
    until(page, "dlv.canvases.get('lineage').rows.size > window.before[1]")
    page.go_back()
    until(page, "dlv.canvases.get('lineage').rows.size === window.before[1]")
    assert page.evaluate("dlv.canvases.get('lineage').cy === window.before[0]"), (
        "the canvas was not made anew"
    )
    page.goto(f"{site.url}/paths?from={site.id('shop.raw.payments')}&to={site.id('Finance close')}")
    page.locator(".path-one").first.wait_for()
    until(page, "window.dlv?.canvases?.get('paths')?.cy.edges().length > 2")
    page.evaluate("void dlv.canvases.get('paths').cy.edges()[0].emit('tap')")
    page.locator("#drawer.open h2", has_text="Edge").first.wait_for()
