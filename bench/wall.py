"""How long a poll of the wall takes while a hundred browsers poll it, and how large it is.

    python -m bench.wall [--tiles 500] [--browsers 100] [--seconds 60] [--change 10]

Starts embedded servers of its own in a folder under /tmp, fills the record with tiles whose every hour differs, starts
`dlv web`, and lets each browser ask GET /api/v1/wall every 5 seconds over a connection of its own, with the ETag of its
last answer. Every ``--change`` seconds the health of a tenth of the tiles changes, so that everybody is sent a new
wall. Prints p50, p95 and p99 in milliseconds, how many answers were empty, and bytes. Goals: p95 <= 100 ms, 500 tiles
<= 60 kB.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import requests

from bench.impact import served
from embedded.stack import Stack
from settings import load as load_settings
from store.partitions import ensure_ahead
from store.record import Record, migrate

EVERY = 5.0
STATES = ("ok", "warn", "late", "failed")


def fill(record: Record, tiles: int) -> None:
    """Tiles of five systems, each with a transition an hour."""
    with record.tx() as conn:
        conn.execute(
            """insert into node (id, type, kind, system, environment, namespace, name, health, health_since, health_reason,
                                 first_seen, last_seen, owner_name, criticality)
               select gen_random_uuid(), 'job', 'task', s, 'prod', s || '-prod-' || i %% 4,
                      'shop_finance.pipeline_' || i || '.load_step', case when i %% 20 = 0 then 'failed' else 'ok' end, now(),
                      'The last run failed: exit code 137', now() - interval '9 days', now(), 'Team ' || i %% 20, 1 + i %% 4
                 from generate_series(1, %s) i, lateral (select (array['airflow', 'spark', 'dbt', 'postgres', 'kafka'])[1 + i %% 5] as s) s""",
            (tiles,),
        )
        conn.execute(
            """insert into transition (node_id, at, was, now, reason)
               select n.id, now() - h * interval '1 hour', (%(s)s::text[])[1 + (random() * 3)::int],
                      (%(s)s::text[])[1 + (random() * 3)::int], '' from node n, generate_series(1, 23) h""",
            {"s": list(STATES)},
        )


def browse(base: str, headers: dict[str, str], end: float, out: list[tuple[float, int, int]]) -> None:
    """One browser: (milliseconds, status, bytes on the wire) of each poll."""
    session = requests.Session()
    session.headers.update(headers | {"Accept-Encoding": "gzip, br"})
    etag = ""
    due = time.monotonic() + random.random() * EVERY
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        began = time.perf_counter()
        answer = session.get(
            f"{base}/api/v1/wall", headers={"If-None-Match": etag} if etag else {}, timeout=30, stream=True
        )
        size = len(answer.raw.read())
        out.append(((time.perf_counter() - began) * 1000, answer.status_code, size))
        etag = answer.headers.get("ETag", etag)
        due += EVERY


def change(record: Record, end: float, every: float) -> None:
    """The health of a tenth of the tiles, from time to time."""
    while every and time.monotonic() + every < end:
        time.sleep(every)
        with record.tx() as conn:
            conn.execute(
                """update node set health = (array['ok', 'failed', 'late'])[1 + (random() * 2)::int], health_since = now()
                    where random() < 0.1"""
            )


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tiles", type=int, default=500)
    p.add_argument("--browsers", type=int, default=100)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--change", type=float, default=10)
    a = p.parse_args()
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-"))
    home.chmod(0o711)
    stack = Stack(load_settings({"DLV_HOME": str(home), "DLV_DEMO": "0"}))
    try:
        given = stack.start()
        migrate(given.database_url)
        record = Record(given.database_url)
        ensure_ahead(record)
        fill(record, a.tiles)
        with served(given, home) as (base, headers, web):
            whole = requests.get(
                f"{base}/api/v1/wall", headers=headers | {"Accept-Encoding": "identity"}, timeout=30
            )
            print(
                f"{a.tiles} tiles: {len(whole.content):,} bytes, load {psutil.getloadavg()[0]:.1f}",
                flush=True,
            )
            report(base, headers, web, record, a)
        record.close()
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def report(base: str, headers: dict[str, str], web: int, record: Record, a: Any) -> None:
    process = psutil.Process(web)
    before = _cpu(process)
    out: list[tuple[float, int, int]] = []
    end = time.monotonic() + a.seconds
    threads = [threading.Thread(target=browse, args=(base, headers, end, out)) for _ in range(a.browsers)]
    threads.append(threading.Thread(target=change, args=(record, end, a.change)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = sorted(ms for ms, _, _ in out)
    new = [size for _, status, size in out if status == 200]
    at = lambda q: took[min(len(took) - 1, int(len(took) * q))]  # noqa: E731
    print(
        f"{a.browsers} browsers, {len(out)} polls: p50 {at(0.5):.0f}, p95 {at(0.95):.0f}, p99 {at(0.99):.0f} ms; "
        f"{sum(s == 304 for _, s, _ in out)} empty, {len(new)} new of {sum(new) // max(1, len(new)):,} bytes; "
        f"{sum(s not in (200, 304) for _, s, _ in out)} failed; web {100 * (_cpu(process) - before) / a.seconds:.0f} % of a core, "
        f"load {psutil.getloadavg()[0]:.1f}"
    )


def _cpu(process: psutil.Process) -> float:
    """CPU seconds of a process and its children."""
    return sum(sum(p.cpu_times()[:2]) for p in [process, *process.children(recursive=True)])


if __name__ == "__main__":
    main()
