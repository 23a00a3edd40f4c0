"""Every page, in both schemes, by axe: what somebody with a screen reader, a keyboard or weak sight would stumble over.

Only serious and critical findings fail; ag-grid's own markup and the box that
dash-mantine-components puts around what opens a menu are their makers' matter and are left out.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from browsing import Site

from tests.conftest import eventually
from tests.web import PASSWORD

pytestmark = pytest.mark.browser

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text()
_RUN = """async () => {
  const said = await axe.run({exclude: [['.ag-root-wrapper'], ['[id^=mantine-][id$=-target]']]}, {resultTypes: ['violations']});
  return said.violations.filter(v => ['serious', 'critical'].includes(v.impact)).map(
    v => `${v.id}: ${v.help}: ` + v.nodes.slice(0, 4).map(n => n.target.join(' ') + ' ' + (n.any[0]?.message ?? '')).join(' | '));
}"""


def paths(site: Site) -> list[str]:
    node = site.id("shop.analytics.fct_payments")
    end = site.id("Finance close")
    special = {
        "/lineage": f"/lineage?node={node}",
        "/impact": f"/impact?node={node}",
        "/paths": f"/paths?from={site.id('shop.raw.payments')}&to={end}",
    }
    import dash

    plain = [p["path"] for p in dash.page_registry.values() if not p.get("path_template")]
    return [special.get(p, p) for p in plain]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_barrier(site: Site, chromium: Any, scheme: str) -> None:
    client = site.web.client()
    client.post("/sign-in", data={"username": site.web.user("admin"), "password": PASSWORD})
    context = chromium.new_context(
        viewport={"width": 1440, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    context.add_cookies(
        [{"name": c.key, "value": c.value, "url": site.url} for c in client._cookies.values()]
    )
    page = context.new_page()
    found: list[str] = []
    wanted = paths(site)
    assert len(wanted) > 10
    for path in wanted:
        page.goto(site.url + path)
        eventually(
            lambda: page.evaluate("document.querySelector('#page')?.innerText.length > 20"), timeout=30
        )
        page.wait_for_timeout(1000)  # what fades in has its colours by then
        eventually(lambda: not page.evaluate("document.getAnimations().length"), timeout=10)
        page.evaluate(AXE)
        found += [f"{path.split('?')[0]} ({scheme}): {v}" for v in page.evaluate(_RUN)]
    context.close()
    assert not found, "\n".join(found)
