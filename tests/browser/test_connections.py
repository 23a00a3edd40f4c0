"""The page of connections as an admin uses it: a form that follows the kind, a ladder that says how far one came, and
secrets that never come back to the browser.
"""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest
from test_admin import act, choose, field, row, save, shut, signed_in, toast, wide_enough

from connections import opening, secrets
from store.audit import SYSTEM

SECRET = "s3cret-of-the-form"


@pytest.fixture
def admin(site: Any, chromium: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    object.__setattr__(site.web.settings, "secrets_keys", secrets.new_key())
    page = signed_in(site, chromium, "admin")
    yield page
    page.context.close()
    assert not page.said, "\n".join(page.said)


def shot(page: Any, name: str) -> None:
    """A picture, where somebody wants to look (DLV_TEST_SHOTS names a folder)."""
    if folder := os.environ.get("DLV_TEST_SHOTS"):
        for scheme in ("light", "dark"):
            for width in (1440, 1024):
                page.set_viewport_size({"width": width, "height": 900})
                page.evaluate(
                    "s => document.documentElement.setAttribute('data-mantine-color-scheme', s)", scheme
                )
                page.wait_for_timeout(500)
                page.screenshot(path=f"{folder}/{name}-{scheme}-{width}.png")
        page.evaluate("document.documentElement.setAttribute('data-mantine-color-scheme', 'light')")
        page.set_viewport_size({"width": 1440, "height": 900})


def shown(page: Any, name: str) -> bool:
    return bool(field(page, name).count())


def ladder(page: Any) -> list[str]:
    """Each rung's state, once the answer is there."""
    rungs = page.locator(".dialog .rung").locator("visible=true")
    rungs.first.wait_for()
    return [" ".join(t.split()) for t in rungs.all_inner_texts()]


def test_a_connection_is_made_tried_changed_and_retired(site: Any, admin: Any) -> None:
    admin.goto(f"{site.url}/admin/connections")
    admin.get_by_text("No connection yet").wait_for()
    shot(admin, "empty")
    admin.get_by_role("button", name="New connection").first.click()
    field(admin, "host").wait_for()

    # fields follow the kind, and those of TLS the choice of it
    field(admin, "password").wait_for()
    admin.get_by_text("Certificates").wait_for()
    choose(admin, "tls", "Off")
    admin.get_by_text("Certificates").wait_for(state="hidden")
    shot(admin, "new")
    choose(admin, "kind", "Kafka")
    field(admin, "bootstrap").wait_for()
    assert not shown(admin, "host") and not shown(admin, "password")
    choose(admin, "sasl", "PLAIN")
    field(admin, "password").wait_for()
    shot(admin, "kafka")
    choose(admin, "kind", "Postgres")
    field(admin, "host").wait_for()

    save(admin)
    admin.get_by_text("Host is missing.").wait_for()
    field(admin, "name").fill("The warehouse")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        field(admin, "host").fill("localhost")
        field(admin, "port").fill(str(port))
        field(admin, "database").fill("shop")
        field(admin, "username").fill("reader")
        field(admin, "password").fill(SECRET)
        choose(admin, "tls", "Off")
        admin.get_by_role("button", name="Test connection").click()
        assert ladder(admin) == [
            "Name ok", "Route failed", "TLS not reached", "Sign-in not reached", "Permission not reached"
        ]  # fmt: skip
        admin.get_by_text("nothing listens on").wait_for()
        shot(admin, "tried")
        save(admin)
        toast(admin, "The warehouse is saved")
        row(admin, "The warehouse").wait_for()
        shut(admin)

        act(admin, "The warehouse", "test")
        assert ladder(admin)[1] == "Route failed"
        admin.get_by_role("button", name="Close").locator("visible=true").last.click()
        shut(admin)
        admin.locator(".ag-row", has_text="Route failed").first.wait_for()

    # what was stored is not told to the browser, and moving it elsewhere wants it anew
    said: list[str] = []
    admin.on("response", lambda r: said.append(r.text()) if "_dash-update" in r.url else None)
    act(admin, "The warehouse", "edit")
    field(admin, "host").wait_for()
    kept = admin.get_by_placeholder("Set; write to replace it").locator("visible=true")
    assert kept.count() == 1 and kept.input_value() == ""
    shot(admin, "edit")
    field(admin, "host").fill("elsewhere.example")
    save(admin)
    admin.get_by_text("Host changed: write Password again").wait_for()
    field(admin, "host").fill("localhost")
    field(admin, "database").fill("shop2")
    save(admin)
    toast(admin, "The warehouse is saved")
    shut(admin)
    assert SECRET not in "".join(said) and SECRET not in admin.content()
    stored = site.web.record.one("select fields, secrets, version from connection")
    assert stored["fields"]["database"] == "shop2" and stored["version"] == 2
    assert SECRET not in str(stored)

    act(admin, "The warehouse", "retire")
    admin.get_by_text("No check uses it.").wait_for()
    save(admin)
    toast(admin, "is retired")
    shut(admin)
    act(admin, "The warehouse", "unretire")
    save(admin)
    toast(admin, "is back")
    shut(admin)
    admin.set_viewport_size({"width": 1024, "height": 800})
    assert wide_enough(admin)


def test_a_lost_secret_is_said_where_it_is_needed(site: Any, admin: Any) -> None:
    with site.web.record.tx() as conn:
        fields = {"host": "db.example.com", "database": "shop", "username": "reader"}
        for name, kind, more in (
            ("Warehouse", "postgres", fields),
            ("Shop", "mysql", fields | {"port": 3307}),
            (
                "Events",
                "kafka",
                {"bootstrap": "kafka-1.example.com:9092,kafka-2.example.com:9092", "tls": "off"},
            ),
            ("Airflow, production", "airflow", {"url": "https://airflow.example.com", "username": "viewer"}),
            ("Spark", "spark", {"history_url": "http://spark-history.example.com:18080"}),
        ):
            given = {"password": SECRET} if kind in ("postgres", "airflow") else {}
            opening.create(conn, SYSTEM, site.web.settings, name, kind, more, given)
    object.__setattr__(site.web.settings, "secrets_keys", secrets.new_key())
    admin.goto(f"{site.url}/admin/connections")
    admin.locator(".ag-row", has_text="Secret lost").first.wait_for()
    shot(admin, "list")
    act(admin, "Warehouse", "edit")
    admin.get_by_text("the key it was sealed with is missing").wait_for()
    shot(admin, "lost")
    act_test = admin.get_by_role("button", name="Test connection")
    act_test.click()
    admin.get_by_text("was sealed with the key").wait_for()
    field(admin, "password").fill("another")
    save(admin)
    toast(admin, "Warehouse is saved")
    shut(admin)
