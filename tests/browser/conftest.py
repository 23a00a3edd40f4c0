"""A real site for the browser: the whole web process on the embedded servers, seeded, with somebody signed in."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import estate
import pytest
from browsing import Site
from werkzeug.serving import make_server

from settings import Settings
from tests.web import PASSWORD, Web

CHROMIUM = os.environ.get("DLV_TEST_CHROMIUM", "/usr/bin/chromium")
ARGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
#: dash-cytoscape always sets a wheel sensitivity, and cytoscape always says so
ALLOWED = "You have set a custom wheel sensitivity"


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium, or a skip that says why; with DLV_TEST_REQUIRE=all its absence fails."""
    from playwright.sync_api import sync_playwright

    if not Path(CHROMIUM).exists():
        why = f"no Chromium at {CHROMIUM} (DLV_TEST_CHROMIUM names another)"
        if os.environ.get("DLV_TEST_REQUIRE") == "all":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def site(settled: Settings, graph: Any) -> Iterator[Site]:
    """A site of this test's own, with the estate in it and a responder signed in."""
    web = Web(settled)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line per request is no help
    server = make_server("127.0.0.1", 0, web.server, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    made = Site(url, web, [])
    estate.seed(web.record, estate.all_events(estate.utcnow()))
    made.project()
    client = web.client()
    answer = client.post("/sign-in", data={"username": web.user("responder"), "password": PASSWORD})
    assert answer.status_code == 303, answer.text
    for cookie in client._cookies.values():
        made.cookies.append(
            {"name": cookie.key, "value": cookie.value, "url": url, "httpOnly": bool(cookie.http_only)}
        )
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        web.close()


@pytest.fixture
def page(site: Site, chromium: Any) -> Iterator[Any]:
    """A page of 1440 by 900 whose console must stay empty but for the one line of dash-cytoscape."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    context.add_cookies(site.cookies)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda m: said.append(f"{m.type}: {m.text}"))
    opened.on("pageerror", lambda e: said.append(f"error: {e}"))
    opened.on(
        "requestfailed",
        lambda r: said.append(f"failed: {r.url}") if "aborted" not in (r.failure or "").lower() else None,
    )
    opened.on(
        "request",
        lambda r: (
            said.append(f"outside: {r.url}") if not r.url.startswith((site.url, "data:", "blob:")) else None
        ),
    )
    opened.said = said
    yield opened
    context.close()
    noise = [s for s in said if ALLOWED not in s]
    assert not noise, "\n".join(noise)
