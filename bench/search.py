"""Search as one types, and a page of the node list, over a large record.

    python -m bench.search --nodes 100000

Starts embedded servers of its own in a folder under /tmp, fills Postgres with nodes of plausible names (three quarters dotted
tables, the rest tasks, topics and dashboards), types words into `answers.nodes.search` letter by letter, and prints
one JSON object: milliseconds at the median, the 95th percentile and the worst, hydration included, by what was typed.
The graph, which is empty, is asked only whether it is there: no node is failed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from answers import nodes
from answers.context import Dlv
from embedded.stack import Stack
from graph.driver import connect
from settings import load as load_settings
from store.record import Record, migrate

FILL = """
insert into node (id, type, kind, system, environment, namespace, name, owner_name, tags, criticality, first_seen, last_seen)
select gen_random_uuid(),
       case when n %% 4 = 3 then 'job' else 'dataset' end,
       (array['table', 'table', 'view', 'task', 'table', 'topic', 'table', 'query'])[1 + n %% 8],
       (array['postgres', 'postgres', 'snowflake', 'airflow', 'postgres', 'kafka', 's3', 'spark'])[1 + n %% 8],
       'default',
       (array['postgres://shop.example:5432', 'snowflake://acme-eu', 'airflow', 'kafka://broker:9092'])[1 + n %% 4],
       (array['shop', 'crm', 'erp', 'web', 'ads'])[1 + n %% 5] || '.' || (array['raw', 'staging', 'mart'])[1 + n %% 3] || '.'
         || (array['orders', 'customers', 'payments', 'sessions', 'invoices', 'clicks', 'inventory', 'ledger', 'prices',
                   'returns', 'shipments'])[1 + n %% 11]
         || '_' || (array['daily', 'hourly', 'enriched', 'clean', 'history', 'snapshot', 'by_region'])[1 + (n / 11) %% 7]
         || '_' || n,
       (array['', 'Finance', 'Logistics', 'Marketing', 'Platform'])[1 + n %% 5],
       case when n %% 50 = 0 then array['pii'] else '{}' end,
       case when n %% 10 = 0 then 1 + (n / 10) %% 4 end,
       now() - n * interval '1 second', now() - n * interval '1 second'
  from generate_series(1, %s) n"""

TYPED = (
    "orders", "shop.mart.orders", "customers_daily", "payments_enriched_7", "finance", "pii", "ledger_history",
    "shop ledger", "web.raw", "zzz nothing", "postgres://shop", "invoices_clean_99994",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    said = parser.parse_args()
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-"))
    home.chmod(0o711)
    stack = Stack(load_settings({"DLV_HOME": str(home), "DLV_DEMO": "0"}))
    try:
        given = stack.start()
        migrate(given.database_url)
        record = Record(given.database_url)
        graph = connect(given.graph_url, given.graph_user, given.graph_password, given.graph_database)
        fill(record, said.nodes)
        print(json.dumps({"nodes": said.nodes, **measure(Dlv(given, record, graph), said.rounds)}, indent=1))
        graph.close()
        record.close()
    finally:
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def fill(record: Record, count: int) -> None:
    with record.tx() as conn:
        conn.execute(FILL, (count,))
        conn.execute(
            """insert into alias (id, environment, namespace, name, type, kind, system, node_id, first_seen, last_seen)
               select id, environment, namespace, name, type, kind, system, id, first_seen, last_seen from node"""
        )
    import psycopg

    with psycopg.connect(record.url, autocommit=True) as conn:
        conn.execute("vacuum analyze")


def measure(dlv: Dlv, rounds: int) -> dict[str, Any]:
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for word in TYPED:
            for length in range(1, len(word) + 1):
                start = time.perf_counter()
                nodes.search(dlv, word[:length])
                took[f"{min(length, 4)} letters" if length < 4 else "4 letters or more"].append(_ms(start))
                took["search"].append(_ms(start))
        for sort in ("name", "health", "last_seen", "criticality"):
            start = time.perf_counter()
            nodes.page(dlv, {}, 100, sort=sort, total=True)
            took["page of 100 with total"].append(_ms(start))
            start = time.perf_counter()
            nodes.page(dlv, {"q": "orders", "kind": ["table"]}, 100, sort=sort, total=True)
            took["filtered page of 100 with total"].append(_ms(start))
    return {name: _figures(times) for name, times in took.items()}


def _ms(start: float) -> float:
    return (time.perf_counter() - start) * 1000


def _figures(times: list[float]) -> dict[str, float]:
    times = sorted(times)
    return {
        "median": round(statistics.median(times), 1),
        "p95": round(times[int(len(times) * 0.95)], 1),
        "worst": round(times[-1], 1),
    }


if __name__ == "__main__":
    main()
