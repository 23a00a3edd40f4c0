"""The pages of alerts as people use them: a channel made and tried, a rule, its place, who would be told; a silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_admin import choose, field, row, save, shut, signed_in, toast

from settings import Settings
from store import alert_rules
from tests.integration import alarms as t
from tests.integration.receivers import Receiver, listening
from workers import delivery


@pytest.fixture
def settled(settled: Settings) -> Settings:
    return settled.with_(secrets_keys="main:" + "k" * 40, private_webhooks=True)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as found:
        yield found


@pytest.fixture
def admin(site: Any, chromium: Any) -> Iterator[Any]:
    page = signed_in(site, chromium, "admin")
    yield page
    page.context.close()
    assert not page.said, "\n".join(page.said)


def go(page: Any, site: Any, path: str) -> None:
    page.goto(site.url + path)
    page.wait_for_load_state("networkidle")


def write(page: Any, name: str, text: str) -> None:
    field(page, name).fill(text)


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_a_channel_a_rule_and_a_message(site: Any, admin: Any, receiver: Receiver) -> None:
    """From nothing to a message that arrives, without leaving the page of alerts."""
    record = site.web.record
    go(admin, site, "/admin/alerts")
    admin.get_by_role("heading", name="Nobody is told").wait_for()
    admin.get_by_role("link", name="Channels", exact=True).first.click()
    admin.get_by_role("heading", name="No channel yet").wait_for()
    admin.get_by_role("button", name="New channel").first.click()
    admin.get_by_text("DLV_PUBLIC_URL is not set").wait_for()
    field(admin, "bot_token").wait_for()
    choose(admin, "kind", "Webhook")
    write(admin, "name", "data-oncall")
    write(admin, "url", receiver.url)
    write(admin, "signing_key", "short")
    save(admin)
    admin.get_by_text("A signing key has 16 characters or more.").wait_for()
    write(admin, "signing_key", "a signing key of many letters")
    save(admin)
    toast(admin, "data-oncall is saved")
    shut(admin)
    row(admin, "data-oncall").wait_for()
    receiver.answers = [(200, {}, "hello there")]
    admin.locator('[data-mode="test"]').click()
    admin.get_by_text("The receiver took it").wait_for()
    admin.get_by_text("200 hello there").wait_for()
    assert receiver.bodies()[0]["event"] == "test"

    go(admin, site, "/admin/alerts")
    admin.get_by_role("button", name="New rule").first.click()
    write(admin, "name", "First")
    choose(admin, "channels", "data-oncall")
    admin.keyboard.press("Escape")
    save(admin)
    toast(admin, "First is saved")
    shut(admin)
    channel = record.one("select id from channel")
    t.a_rule(record, channel["id"], name="Second", min_severity=2)
    go(admin, site, "/admin/alerts")
    admin.locator(".rule-card").nth(1).wait_for()
    cards = admin.locator(".rule-card")
    assert [c.locator(".rule-name").inner_text() for c in cards.all()] == ["First", "Second"]
    assert "Severity 1 and 2" in cards.nth(1).inner_text()
    admin.get_by_role("button", name="Move Second up").click()
    admin.wait_for_function("() => document.querySelector('.rule-card .rule-name').innerText === 'Second'")
    with record.tx() as conn:
        assert [r["name"] for r in alert_rules.every(conn)] == ["Second", "First"]

    node = record.one(
        "select id, name from node where type = 'dataset' and not standin order by name limit 1"
    )
    admin.locator(".try input").first.fill(node["name"])
    admin.get_by_role("option", name=node["name"]).first.click()
    admin.get_by_text("by the rule Second").wait_for()

    with record.tx() as conn:
        t.an_incident(conn, node["id"], title=f"{node['name']} failed")
    while delivery.deliver(record, site.web.settings):
        pass
    go(admin, site, "/admin/alerts?tab=log")
    row(admin, f"{node['name']} failed").wait_for()
    assert "Delivered" in row(admin, f"{node['name']} failed").inner_text()
    assert [b["event"] for b in receiver.bodies()] == ["test", "trigger"]


@pytest.mark.slow
@pytest.mark.xdist_group("browser")
def test_a_responder_silences_a_node(site: Any, page: Any) -> None:
    node = site.web.record.one("select id, name from node where type = 'dataset' order by name limit 1")
    go(page, site, f"/silences?node={node['id']}")
    field(page, "reason").wait_for()
    save(page)
    page.get_by_text("Say why, for who comes later").or_(page.get_by_text("A reason has 1 to 500")).wait_for()
    write(page, "reason", "Migration")
    save(page)
    toast(page, "Quiet until")
    shut(page)
    row(page, "Migration").wait_for()
    assert "Holds now" in row(page, "Migration").inner_text()
    found = site.web.record.one("select nodes, ends_at - starts_at as length, created_by from silence")
    assert found["nodes"] == [node["id"]]
    assert found["length"].total_seconds() == pytest.approx(3600, abs=2)
    page.goto(site.url)
    tile = page.locator(f'.tile[data-open="{node["id"]}"][aria-label*="; Silenced until "]')
    tile.wait_for()
    assert tile.locator('.marks [title^="Silenced until "][title$=": Migration"]').is_visible()
    tile.click()
    page.locator("#drawer .silence-line", has_text="Migration").wait_for()
    go(page, site, "/silences")
    page.locator('[data-mode="end"]').click()
    page.get_by_text("People are told at once").wait_for()
    save(page)
    toast(page, "It is over")
    page.get_by_role("heading", name="Nothing is silenced").wait_for()
