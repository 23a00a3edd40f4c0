"""Checks as people use them: made on a node in a form that follows the kind, muted by a responder, read by a viewer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_admin import act, choose, field, row, save, shut, signed_in, toast

from checks import edits
from connections import opening
from store.audit import SYSTEM
from tests.conftest import eventually

pytestmark = pytest.mark.browser


@pytest.fixture
def admin(site: Any, chromium: Any) -> Iterator[Any]:
    page = signed_in(site, chromium, "admin")
    yield page
    page.context.close()
    assert not page.said, "\n".join(page.said)


def shown(page: Any, name: str) -> bool:
    return bool(field(page, name).count())


def looked(site: Any) -> None:
    """What is due is looked at, as a check worker does it."""
    from workers.checking import run_due

    run_due(site.web.record, site.web.settings)


def heartbeat(site: Any, name: str) -> str:
    with site.web.record.tx() as conn:
        made = edits.create(
            conn, SYSTEM, {"kind": "heartbeat", "name": name, "node_id": site.id("shop.raw.orders")}
        )
    return str(made["id"])


def test_a_check_is_made_on_a_node_edited_and_removed(site: Any, admin: Any) -> None:
    with site.web.record.tx() as conn:
        fields = {"host": "shop-db", "database": "shop", "username": "dlv"}
        opening.create(conn, SYSTEM, site.web.settings, "The shop", "postgres", fields, {})
    admin.goto(f"{site.url}/checks?new={site.id('shop.raw.orders')}")
    field(admin, "config_column").wait_for()  # freshness is the first that is made for Postgres
    assert field(admin, "connection_id").input_value() == "The shop · leads to this node's host"
    assert field(admin, "name").input_value() == "Freshness: orders"

    # fields follow what the others say
    choose(admin, "config_by", "the last good run, as events say")
    eventually(lambda: not shown(admin, "config_column") and not shown(admin, "connection_id"))
    choose(admin, "config_by", "a timestamp column")
    eventually(lambda: shown(admin, "config_column"))

    save(admin)
    admin.get_by_text("Column is needed.").wait_for()
    field(admin, "config_column").fill("placed_at")
    field(admin, "config_warn_after").fill("soon")
    save(admin)
    admin.get_by_text("Warn after is a time such as 90 s").wait_for()
    field(admin, "config_warn_after").fill("4 h")
    field(admin, "config_error_after").fill("6 h")
    field(admin, "every_seconds").fill("30 min")
    save(admin)
    toast(admin, "Freshness: orders is made and looks now")
    shut(admin)
    made = site.web.record.one(
        "select kind, config, every_seconds, connection_id is not null as via from health_check"
    )
    assert made == {
        "kind": "freshness", "every_seconds": 1800, "via": True,
        "config": {"by": "column", "column": "placed_at", "zone": "UTC", "error_after": 21600, "warn_after": 14400},
    }  # fmt: skip

    # it looked, and could not: that is said, and is neither good nor failed
    looked(site)
    admin.goto(f"{site.url}/checks")
    row(admin, "Could not look").wait_for()
    act(admin, "Freshness: orders", "edit")
    field(admin, "config_column").wait_for()
    assert field(admin, "config_error_after").input_value() == "6 h"
    field(admin, "config_warn_after").fill("")
    field(admin, "name").fill("Orders are fresh")
    save(admin)
    toast(admin, "Orders are fresh is saved")
    assert site.web.record.one("select config ? 'warn_after' as has, version from health_check") == {
        "has": False,
        "version": 2,
    }
    shut(admin)
    act(admin, "Orders are fresh", "retire")
    save(admin)
    admin.get_by_text("No check yet").wait_for()


def shares(page: Any) -> list[list[str]]:
    """What the page of a check says of uptime and SLA: a line for each length of time."""
    return [row.locator("th, td").all_inner_texts() for row in page.locator(".check-uptime tbody tr").all()]


def test_a_heartbeat_shows_its_url_once_and_its_page_follows_its_calls(site: Any, admin: Any) -> None:
    admin.goto(f"{site.url}/checks?new={site.id('shop.raw.orders')}")
    field(admin, "config_column").wait_for()
    choose(admin, "kind", "Heartbeat")
    field(admin, "config_expect").wait_for()
    save(admin)
    url = admin.locator("#shown-once").inner_text()
    assert site.web.client().get(url[url.index("/api") :]).status_code == 200
    looked(site)
    id_ = site.web.record.one("select id from health_check")["id"]
    admin.goto(f"{site.url}/checks/{id_}")
    admin.get_by_role("heading", name="Heartbeat: orders").wait_for()
    admin.locator(".check-state", has_text="Healthy").wait_for()
    eventually(lambda: admin.locator(".check-chart rect.c-ok").count() == 1)
    assert admin.locator(".calls tbody tr").count() == 1
    assert shares(admin) == [
        ["1 day", "100 %"],
        ["7 days", "100 %"],
        ["30 days", "100 %"],
        ["90 days", "100 %"],
    ]
    assert url not in admin.content()

    assert site.web.client().get(f"{url[url.index('/api') :]}/fail?note=exit+3").status_code == 200
    looked(site)
    admin.locator(".check-state", has_text="exit 3").wait_for()  # without a reload
    assert admin.locator(".check-chart rect.c-failed").count() == 1
    assert shares(admin)[0] == ["1 day", "50 %"]
    with site.web.record.tx() as conn:
        conn.execute(
            "update node set sla_kind = 'freshness', sla_minutes = 600000 where name = 'shop.raw.orders'"
        )
    admin.reload()
    admin.get_by_text("Fresh within 10000 h").wait_for()
    assert shares(admin)[0] == ["1 day", "50 %", "100 %"]
    # the node's drawer says it too
    admin.locator(".node-link").click()
    admin.locator("#drawer .drawer-checks li", has_text="Heartbeat: orders").wait_for()
    assert "Checks · 1 of 1 fail" in admin.locator("#drawer").inner_text()


def test_a_responder_mutes_and_looks_and_a_viewer_reads(site: Any, chromium: Any) -> None:
    id_ = heartbeat(site, "nightly")
    page = signed_in(site, chromium, "responder")
    page.goto(f"{site.url}/checks")
    row(page, "nightly").wait_for()
    assert page.locator('[data-mode="edit"], [data-mode="retire"], [data-mode="new"]').count() == 0
    act(page, "nightly", "mute")
    choose(page, "hours", "for a day")
    save(page)
    toast(page, "nightly is muted until")
    row(page, "Muted").wait_for()
    page.goto(f"{site.url}/checks/{id_}")
    page.get_by_role("button", name="Muted").click()
    save(page)
    toast(page, "no longer muted")
    page.get_by_role("button", name="Look now").wait_for()
    assert not page.said, "\n".join(page.said)
    # what a responder may not do the server refuses, whatever the browser shows
    page.evaluate("id => dlv.ask('one-check', {mode: 'retire', id})", id_)
    page.get_by_text("This needs admin").wait_for()
    page.context.close()

    page = signed_in(site, chromium, "viewer")
    for path in ("/checks", f"/checks/{id_}"):
        page.goto(site.url + path)
        page.get_by_text("nightly").first.wait_for()
        assert page.locator("[data-ask-dialog]").locator("visible=true").count() == 0
    page.goto(f"{site.url}/checks/00000000-0000-4000-8000-000000000001")
    page.get_by_text("no check has the id").wait_for()
    assert not page.said, "\n".join(page.said)
    page.context.close()
