"""Lists and history of checks over many results, asked over REST, and how long dropping a day takes.

    python -m bench.history --results 10000000

Starts a Postgres of its own in a folder under /tmp, fills it with results of 1,000 checks over 90 days (one in 200 is not
ok), their counts by hour and day, starts `dlv web`, asks each list some times over one kept connection, and prints the
milliseconds at the median, the 95th percentile and the worst, and the CPU time that one question costs web and Postgres,
which says more on a machine that does other work.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import requests

import settings as settings_module
from bench.impact import served, spent
from embedded.postgres import Postgres
from embedded.stack import make_home
from embedded.valkey import Valkey
from store import partitions
from store.record import Record, migrate

CHECKS, DAYS = 1000, 90

NODES = """
with made as (
    insert into alias (id, node_id, type, environment, namespace, name, kind, system, first_seen, last_seen)
    select md5('node ' || n)::uuid, md5('node ' || n)::uuid, 'dataset', 'default', 'postgres://shop:5432',
           'shop.public.t' || n, 'table', 'postgres', now(), now() from generate_series(1, 200) n
    returning *)
insert into node (id, type, kind, system, environment, namespace, name, first_seen, last_seen)
select id, type, kind, system, environment, namespace, name, first_seen, last_seen from made"""
MAKE = """
insert into health_check (id, name, kind, node_id, every_seconds)
select md5('check ' || n)::uuid, 'check ' || n, 'sql', md5('node ' || (1 + n %% 200))::uuid, 600
  from generate_series(1, %s) n"""
FILL = """
insert into check_result (check_id, slot_at, status, attempts, started_at, ended_at, value, reason)
select md5('check ' || c)::uuid, at, case when abs(hashint8(c * 1000003 + k)) %% 200 > 0 then 'ok'
         else (array['fail', 'warn', 'error', 'not_checked'])[1 + abs(hashint8(c + k)) %% 4] end,
       1, at + interval '0.4 s', at + interval '0.5 s', k, '200 in 12 ms'
  from generate_series(1, %(checks)s) c, generate_series(0, %(each)s - 1) k,
       lateral (select %(day)s + (86400.0 / %(each)s * k + c %% 60) * interval '1 second' as at) x
 where at < now()"""
COUNT = """
insert into check_rollup (grain, at, check_id, ok, warn, fail, error, not_checked, value_min, value_max, value_sum, value_n)
select g, date_trunc(g, slot_at, 'UTC'), check_id, count(*) filter (where status = 'ok'), count(*) filter (where status = 'warn'),
       count(*) filter (where status = 'fail'), count(*) filter (where status = 'error'),
       count(*) filter (where status = 'not_checked'), min(value), max(value), sum(value), count(value)
  from check_result, unnest(array['hour', 'day']) g where slot_at >= %(day)s and slot_at < %(day)s + interval '1 day' group by 1, 2, 3"""


def fill(url: str, results: int) -> None:
    record = Record(url)
    each = max(1, results // CHECKS // DAYS)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with record.tx() as conn:
        conn.execute(NODES)
        conn.execute(MAKE, (CHECKS,))
        conn.execute(
            "insert into check_state (check_id, status, health) select id, 'ok', 'ok' from health_check"
        )
        conn.execute(
            """insert into transition (node_id, at, was, now, reason)
               select n.id, now() - d * interval '1 day', 'ok', (array['ok', 'failed'])[1 + d % 2], '' from node n,
                      generate_series(1, 90) d order by 2"""
        )
    for n in range(DAYS, -1, -1):
        day = today - timedelta(days=n)
        with record.tx() as conn:
            partitions.ensure(conn, day.date())
            conn.execute(FILL, {"checks": CHECKS, "each": each, "day": day})
            conn.execute(COUNT, {"day": day})
    record.close()
    with psycopg.connect(url, autocommit=True) as plain:
        plain.execute("vacuum analyze")


def measure(base: str, headers: dict[str, str], times: int, pids: list[int]) -> None:
    session = requests.Session()
    session.headers.update(headers)
    check, node = _one(session, base, "/api/v1/checks?limit=1"), _one(session, base, "/api/v1/nodes?limit=1")
    month = (datetime.now(UTC) - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {
        "all, newest 100": "/api/v1/results?limit=100",
        "all that failed": "/api/v1/results?limit=100&status=fail",
        "all that is no ok": "/api/v1/results?limit=100&status=fail&status=warn&status=error&status=not_checked",
        "before a month ago": f"/api/v1/results?limit=100&until={month}",
        "one check": f"/api/v1/checks/{check}/results?limit=100",
        "one check, failed": f"/api/v1/checks/{check}/results?limit=100&status=fail",
        "one check, muted (none)": f"/api/v1/checks/{check}/results?limit=100&status=muted",
        "one node": f"/api/v1/results?limit=100&node={node}",
        "checks": "/api/v1/checks?limit=100",
        "history of a check, 30 d": f"/api/v1/checks/{check}/history?days=30",
        "history of a node, 30 d": f"/api/v1/nodes/{node}/history?days=30",
    }
    for name, path in asked.items():
        took = []
        used = spent(pids)
        for n in range(times + 3):
            began = time.perf_counter()
            answer = session.get(base + path, timeout=60)
            answer.raise_for_status()
            if n >= 3:
                took.append((time.perf_counter() - began) * 1000)
        took.sort()
        used = (spent(pids) - used) / (times + 3)
        items = answer.json().get("items")
        print(
            f"{name:26} p50 {statistics.median(took):6.1f}  p95 {took[int(len(took) * 0.95)]:6.1f}  worst {took[-1]:6.1f} ms  CPU {used:5.1f} ms"
            + (f"  ({len(items)} items)" if items is not None else ""),
            flush=True,
        )
    cursor, took = "", []
    for _ in range(times):
        began = time.perf_counter()
        answer = session.get(
            f"{base}/api/v1/results", params={"limit": 100, "cursor": cursor} if cursor else {}, timeout=60
        )
        took.append((time.perf_counter() - began) * 1000)
        cursor = answer.json()["next"]
    took.sort()
    print(f"{'page after page':26} p50 {statistics.median(took):6.1f}  p95 {took[int(len(took) * 0.95)]:6.1f}  worst {took[-1]:6.1f} ms", flush=True)  # fmt: skip


def _one(session: requests.Session, base: str, path: str) -> str:
    answer: Any = session.get(base + path, timeout=60).json()
    return str(answer["items"][0]["id"])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--results", type=int, default=10_000_000)
    p.add_argument("--times", type=int, default=60)
    said = p.parse_args()
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-"))
    make_home(home)
    home.chmod(0o711)
    postgres, valkey = Postgres(home, options={"fsync": "off", "max_wal_size": "4GB"}), Valkey(home)
    try:
        postgres.start()
        valkey.start()
        migrate(postgres.url)
        began = time.monotonic()
        fill(postgres.url, said.results)
        record = Record(postgres.url)
        row = record.one("select count(*) as n, pg_size_pretty(sum(pg_total_relation_size(i.inhrelid))) as size from pg_inherits i, lateral (select 1) x where inhparent = 'check_result'::regclass")  # fmt: skip
        rows = record.one("select count(*) as n from check_result")
        assert row and rows
        print(f"{rows['n']:,} results in {row['n']} days, {row['size']}, filled in {time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
        given = settings_module.load({"DLV_HOME": str(home), "DLV_DEMO": "0"}).with_(
            database_url=postgres.url, redis_url=valkey.url, graph_url="bolt://127.0.0.1:1"
        )
        with served(given, home) as (base, headers, web):
            assert postgres.process is not None
            measure(base, headers, said.times, [web, postgres.process.pid])
        began = time.perf_counter()
        dropped = partitions.expire(record, 4000, 4000, DAYS - 1)
        print(f"dropping {len(dropped)} day(s): {(time.perf_counter() - began) * 1000:.0f} ms", flush=True)
        record.close()
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
