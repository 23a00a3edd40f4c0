"""A thousand checks a minute on one scheduler and one check worker: how late they are, and what memory that takes.

    python -m bench.checks --checks 1000 --minutes 10

Starts Postgres, Valkey, a listener that answers HTTP, a SQLite file, and DLV's scheduler and check worker; two thirds of
the checks ask the listener, the rest count rows of the file, through connections that three share. Prints how long after its time each
slot was begun and ended once all had started (median, 95th and 99th percentile, worst) and the memory (PSS) of each process once a minute,
and the machine's load, which says how alone the bench was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

import settings as settings_module
from checks import edits
from connections import opening
from embedded.postgres import Postgres
from embedded.stack import make_home
from embedded.valkey import Valkey
from settings import Settings
from store import node_edits, partitions
from store.audit import SYSTEM
from store.record import Record, migrate
from workers.supervise import child_environment

ROOT = Path(__file__).resolve().parents[1]
LISTENER = """
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
s.handle_error = lambda *a: None
print(s.server_address[1], flush=True)
s.serve_forever()
"""


def prepare(record: Record, settings: Settings, n: int, address: str, file: Path) -> None:
    """``n`` checks, a node for each ten, a connection for each three."""
    with record.tx() as conn:
        node = link = None
        for k in range(n):
            if k % 10 == 0:
                node = node_edits.create(
                    conn, SYSTEM,
                    {"type": "dataset", "environment": "default", "namespace": "postgres://shop:5432", "name": f"shop.public.t{k}",
                     "kind": "table", "system": "postgres"},
                    ("postgres://shop:5432", f"shop.public.t{k}"),
                )  # fmt: skip
            http = k // 3 % 3 < 2
            if k % 3 == 0:
                kind, fields = ("http", {"url": address}) if http else ("sqlite", {"path": str(file)})
                link = opening.create(conn, SYSTEM, settings, f"link {k}", kind, fields, {})["id"]
            what = (
                {"kind": "http"}
                if http
                else {"kind": "sql", "config": {"query": "select count(*) from orders", "error": 1000}}
            )
            edits.create(
                conn, SYSTEM,
                what | {"name": f"check {k}", "node_id": node, "connection_id": link, "every_seconds": 60},
            )  # fmt: skip


def memory(named: dict[str, int]) -> dict[str, float]:
    """MB (PSS) of each process and all below it."""
    out = {}
    for name, pid in named.items():
        total = 0
        try:
            top = psutil.Process(pid)
            for p in [top, *top.children(recursive=True)]:
                total += p.memory_full_info().pss
        except psutil.Error:
            continue
        out[name] = round(total / 1e6, 1)
    return out


LAG = """
select count(*) as n, percentile_cont(array[0.5, 0.95, 0.99, 1.0]) within group (order by extract(epoch from started_at - slot_at)) as begun,
       percentile_cont(array[0.5, 0.95, 0.99, 1.0]) within group (order by extract(epoch from ended_at - slot_at)) as ended
  from check_result where started_at is not null and slot_at > (select min(ended_at) from check_result)"""


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checks", type=int, default=1000)
    p.add_argument("--minutes", type=float, default=10)
    said = p.parse_args()
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-"))
    make_home(home)
    home.chmod(0o711)
    outside = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-target-"))
    with sqlite3.connect(outside / "shop.db") as db:
        db.execute("create table orders (id integer)")
        db.executemany("insert into orders values (?)", [(n,) for n in range(500)])
    postgres, valkey = Postgres(home), Valkey(home)
    started: list[subprocess.Popen[Any]] = []
    try:
        postgres.start()
        valkey.start()
        migrate(postgres.url)
        settings = settings_module.load({"DLV_HOME": str(home), "DLV_DEMO": "0"}).with_(
            database_url=postgres.url,
            redis_url=valkey.url,
            graph_url="bolt://127.0.0.1:1",
            secret_key="x" * 48,
        )
        record = Record(postgres.url)
        partitions.ensure_ahead(record)
        listener = subprocess.Popen([sys.executable, "-c", LISTENER], stdout=subprocess.PIPE, text=True)
        started.append(listener)
        assert listener.stdout is not None
        prepare(
            record,
            settings,
            said.checks,
            f"http://127.0.0.1:{int(listener.stdout.readline())}/",
            outside / "shop.db",
        )
        for command in (["scheduler"], ["worker", "check"]):
            started.append(
                subprocess.Popen(
                    [sys.executable, "cli.py", *command], env=child_environment(settings), cwd=ROOT
                )
            )
        assert postgres.process is not None and valkey.process is not None
        named = {"postgres": postgres.process.pid, "valkey": valkey.process.pid,
                 "scheduler": started[1].pid, "check worker": started[2].pid}  # fmt: skip
        end = time.monotonic() + said.minutes * 60
        while time.monotonic() < end:
            time.sleep(min(60.0, max(0.0, end - time.monotonic())))
            row = record.one("select count(*) as n from check_result")
            load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
            print(f"{row and row['n']:6} results; PSS in MB {memory(named)}; load {load}", flush=True)
        cpu = {n: sum(psutil.Process(pid).cpu_times()[:4]) for n, pid in named.items()}
        row = record.one(LAG)
        assert row is not None
        print(f"{row['n']} slots of {said.checks} checks in {said.minutes:g} minutes")
        for what in ("begun", "ended"):
            p50, p95, p99, worst = row[what]
            print(
                f"{what:6} after its time: p50 {p50:.2f}  p95 {p95:.2f}  p99 {p99:.2f}  worst {worst:.2f} s"
            )
        for r in record.all("select status, count(*) as n from check_result group by 1 order by 2 desc"):
            print(f"{r['status']:12} {r['n']}")
        print("CPU seconds, with ended children: " + ", ".join(f"{n} {s:.0f}" for n, s in cpu.items()))
        record.close()
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
        valkey.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(outside, ignore_errors=True)


if __name__ == "__main__":
    main()
