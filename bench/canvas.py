"""Click to picture: how long until 500 and 5,000 elements are drawn, in headless Chromium, on the embedded servers.

``python -m bench.canvas [500 5000]`` starts servers of its own in a temporary folder, folds a tree of jobs into the
record, serves the whole web process and drives the browser. An element is a node or an edge. The clock starts when the
link is followed inside the app and stops after the frame in which everything is on the canvas; it includes the
server's answer. Targets: 500 in 1,000 ms, 5,000 in 3,000 ms.
"""

from __future__ import annotations

import json
import logging
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ROUNDS = 5
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]  # fmt: skip

_CLICK = """async ([href, n]) => {
  const t0 = performance.now();
  dlv.go(href);
  for (;;) {
    await new Promise(r => requestAnimationFrame(r));
    const c = dlv.canvases.get('lineage');
    if (c && !c.cy.destroyed() && location.search === href.slice(href.indexOf('?')) && c.cy.elements().length >= n) break;
    if (performance.now() - t0 > 60000) return null;
  }
  await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
  return performance.now() - t0;
}"""


def tree(elements: int, mark: str) -> list[dict[str, Any]]:
    """Events of jobs that each read one table and write one, ten jobs to a table: about this many nodes and edges."""
    out, tables = [], [f"db.{mark}.t0"]
    for i in range(elements // 4):
        source = tables[i // 10]
        tables.append(f"db.{mark}.t{i + 1}")
        ends = [{"namespace": "postgres://bench:5432", "name": n} for n in (source, tables[-1])]
        out.append(
            {
                "eventType": "COMPLETE",
                "eventTime": "2026-11-23T06:00:00Z",
                "run": {"runId": f"00000000-0000-4000-8000-{i:012}"},
                "job": {"namespace": mark, "name": f"job_{i}"},
                "inputs": ends[:1],
                "outputs": ends[1:],
                "producer": "https://example.com/bench",
                "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
            }
        )
    return out


def main(sizes: list[int]) -> None:
    sys.path[:0] = [str(ROOT / "tests" / "browser")]
    import estate
    from playwright.sync_api import sync_playwright
    from werkzeug.serving import make_server

    import settings as settings_module
    from embedded.stack import Stack
    from store.partitions import ensure_ahead
    from store.record import Record, migrate
    from tests.web import PASSWORD, Web
    from workers.projector import project_once

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    home = tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-")
    servers = Stack(settings_module.load({"DLV_HOME": home, "DLV_DEMO": "0"}))
    given = servers.start().with_(secret_key="b" * 48)
    try:
        migrate(given.database_url)
        record = Record(given.database_url)
        ensure_ahead(record)
        for n in sizes:
            estate.seed(record, tree(n, f"m{n}"), "bench")
        web = Web(given)
        while project_once(record, web.dlv.graph):
            pass
        site = make_server("127.0.0.1", 0, web.server, threaded=True)
        threading.Thread(target=site.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{site.server_port}"
        web.user("viewer")
        with sync_playwright() as p:
            browser = p.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"{url}/sign-in")
            page.fill("#username", "the-viewer")
            page.fill("#password", PASSWORD)
            page.click("button[type=submit]")
            for n in sizes:
                row = record.one("select id from node where name = %s", (f"db.m{n}.t0",))
                leaf = record.one("select id from node where name = %s", (f"db.m{n}.t{n // 4}",))
                assert row and leaf
                times = []
                for _ in range(ROUNDS):
                    page.goto(f"{url}/lineage?node={leaf['id']}&up=1&down=0")
                    page.wait_for_selector("#lineage-head h1")
                    page.wait_for_timeout(1500)
                    times.append(
                        page.evaluate(
                            _CLICK, [f"/lineage?node={row['id']}&up=0&down=20&all=1", int(n * 0.98)]
                        )
                    )
                print(
                    json.dumps(
                        {
                            "elements": n,
                            "median_ms": round(statistics.median(times)),
                            "worst_ms": round(max(times)),
                            "rounds": ROUNDS,
                        }
                    )
                )
            browser.close()
        site.shutdown()
    finally:
        servers.stop()


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [500, 5000])
