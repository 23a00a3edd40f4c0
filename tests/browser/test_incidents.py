"""Incidents in a real browser: the list, the page of one on a phone, and what responders do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import estate
import pytest
from browsing import Site
from test_admin import signed_in
from test_lineage import until

from store import incidents as store
from store import producers
from tests.conftest import eventually
from workers import alerting

pytestmark = pytest.mark.browser


@pytest.fixture
def incident(site: Site) -> str:
    """The id of the one incident that the estate's failure is."""
    alerting.decide(site.web.record, site.web.dlv.graph, site.web.settings)
    row = site.web.record.one("select id from incident where status = 'open'")
    assert row
    return str(row["id"])


def entry(site: Site, kind: str) -> Any:
    return site.web.record.one(
        "select text, actor from incident_entry where kind = %s order by id desc limit 1", (kind,)
    )


def test_the_list_leads_from_the_wall_to_the_incident(site: Site, page: Any, incident: str) -> None:
    page.goto(site.url + "/")
    page.locator(".broken .sev").wait_for()
    page.locator(".broken a", has_text="INC-").click()
    page.locator(".incident-head h1", has_text="payments_daily.load_payments").wait_for()
    assert page.url.endswith(f"/incidents/{incident}")
    page.goto(site.url + "/incidents")
    page.locator(".incident-link").wait_for()
    said = page.locator(".incident-link").inner_text()
    assert estate.ERROR in said and "13 nodes downstream" in said and "Nobody is on it" in said
    page.get_by_role("link", name="Resolved").click()
    page.get_by_text("No incident matches").wait_for()
    assert "status=resolved" in page.url
    page.get_by_role("link", name="All", exact=True).click()
    page.locator(".incident-link").click()
    page.locator(".incident-head h1").wait_for()
    page.goto(site.url + "/incidents?environment=nowhere")
    page.get_by_role("heading", name="No incident is open in nowhere").wait_for()
    page.get_by_text("1 incident is open in other environments").wait_for()


def test_on_a_phone_all_is_there_and_acknowledge_is_one_big_button(
    site: Site, page: Any, incident: str
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{site.url}/incidents/{incident}")
    ack = page.get_by_role("button", name="Acknowledge")
    ack.wait_for()
    box = ack.bounding_box()
    assert box["width"] > 330 and box["height"] >= 48 and box["y"] + box["height"] < 844, (
        "seen without scrolling"
    )
    wide = page.evaluate(
        "[document.querySelector('.main').scrollWidth, document.querySelector('.main').clientWidth, document.documentElement.scrollWidth]"
    )
    assert wide[0] <= wide[1] and wide[2] <= 390
    said = page.locator(".incident-body").inner_text()
    order = [
        "payments_daily.load_payments failed",
        "Acknowledge",
        "Root cause",
        estate.ERROR,
        "In this incident",
        "Timeline",
        "Severity",
        "nodes downstream",
        "Who to call",
    ]
    places = [said.index(s) for s in order]
    assert places == sorted(places)
    assert page.get_by_role("link", name="Open the log").get_attribute("href") == estate.LOG
    ack.click()
    page.get_by_text("Acknowledged by the-responder").first.wait_for()
    assert entry(site, "acknowledged") == {"text": "Acknowledged by the-responder", "actor": "the-responder"}
    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("button", name="Acknowledge", exact=True).wait_for()


def test_a_responder_assigns_comments_silences_and_resolves(site: Site, page: Any, incident: str) -> None:
    page.goto(f"{site.url}/incidents/{incident}")

    def act(button: str, field: str, text: str, save: str) -> None:
        page.get_by_role("button", name=button, exact=True).click()
        box = page.locator(f'.form [id*=\'"field":"{field}"\']').locator("visible=true").first
        box.fill(text)
        page.locator(".form-save:not(.gone)", has_text=save).locator("visible=true").click()

    act("Assign", "assignee", "ada", "Assign")
    page.locator(".incident-head", has_text="Taken by ada").wait_for()
    act("Write into the timeline", "text", "More heap, second try", "Write")
    page.locator(".timeline .note", has_text="More heap, second try").wait_for()
    act("Silence", "reason", "known", "Silence")
    page.locator(".timeline", has_text="Silenced by the-responder").wait_for()
    assert site.web.record.one("select reason from silence") == {"reason": "known"}
    with page.expect_download() as got:
        page.get_by_role("link", name="Postmortem").click()
    text = got.value.path().read_text()
    assert (
        got.value.suggested_filename == "INC-1.md"
        and estate.ERROR in text
        and "More heap, second try" in text
    )
    act("Resolve", "reason", "restarted", "Resolve")
    page.locator(".incident-head", has_text="Resolved").wait_for()
    assert page.get_by_role("button", name="Acknowledge").count() == 0
    eventually(lambda: entry(site, "resolved"))


def test_a_quiet_producer_is_silenced_from_its_incident(site: Site, page: Any) -> None:
    with site.web.record.tx() as conn:
        shop = producers.for_key(conn, "shop", None)
        quiet = store.open_producer(conn, shop, "no event for 2 h, expected every 30 min", datetime.now(UTC))
    page.goto(f"{site.url}/incidents/{quiet}")
    page.get_by_role("button", name="Silence", exact=True).click()
    page.get_by_text("Nobody is told about shop until then").wait_for()
    page.locator('.form [id*=\'"field":"reason"\']').locator("visible=true").first.fill("their cluster moves")
    page.locator(".form-save:not(.gone)", has_text="Silence").locator("visible=true").click()
    page.locator(".timeline", has_text="Silenced by the-responder").wait_for()
    page.goto(f"{site.url}/silences")
    row = page.locator(".ag-row", has_text="their cluster moves").first
    row.wait_for()
    assert "producer shop" in row.inner_text()
    page.locator('[data-mode="edit"]').first.click()
    page.locator(".form .mantine-Pill-root", has_text="shop").wait_for()
    page.locator('.form [id*=\'"field":"reason"\']').locator("visible=true").first.fill("it moved")
    page.locator(".form-save:not(.gone)").locator("visible=true").click()
    page.locator(".ag-row", has_text="it moved").first.wait_for()
    assert site.web.record.one("select producers, nodes, reason from silence") == {
        "producers": [shop], "nodes": [], "reason": "it moved",
    }  # fmt: skip


def test_a_viewer_reads_and_is_offered_nothing_to_change(site: Site, chromium: Any, incident: str) -> None:
    page = signed_in(site, chromium, "viewer")
    page.goto(f"{site.url}/incidents/{incident}")
    page.get_by_role("link", name="Postmortem").wait_for()
    assert page.locator(".incident-acts button").count() == 0 and page.locator(".note-open").count() == 0
    page.context.close()
    assert not page.said


def test_what_does_not_exist_says_so_and_members_open_the_drawer(
    site: Site, page: Any, incident: str
) -> None:
    page.goto(f"{site.url}/incidents/nonsense")
    page.get_by_text("No such incident").wait_for()
    page.goto(f"{site.url}/incidents/INC-1")
    page.locator(".card .row", has_text="shop.raw.payments").first.click()
    until(page, "document.querySelector('#drawer.open .why-incident') !== null")
