"""Memory: 100,000 events must need no more of it than 10,000.

    python -m bench.memory [--events 100000]

Posts events in batches to a `dlv up` of its own, as fast as they are folded, and prints the proportional memory (PSS)
in MB by process: after the start, after a tenth of the events was folded, and after all of them, each with the most
that was seen on the way. The events are those of bench.ingest: every one a run of its own, over 2,000 jobs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter

import psycopg
import requests

from bench.ingest import event
from bench.up import up

BATCH = 250
#: events that may wait to be folded while more are sent
AHEAD = 2_000


def waiting(url: str) -> int:
    with psycopg.connect(url) as conn:
        row = conn.execute("select count(*) from event_pending where not set_aside").fetchone()
        assert row
        return int(row[0])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--events", type=int, default=100_000)
    events = p.parse_args().events
    with up() as dlv:
        url = dlv.database_url()
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {dlv.key}"
        show("start", dlv.pss())
        most: Counter[str] = Counter()
        for n in range(0, events, BATCH):
            while waiting(url) > AHEAD:
                time.sleep(0.05)
            batch = [event(i, 2000, "") for i in range(n, n + BATCH)]
            session.post(f"{dlv.base}/api/v1/lineage/batch", json=batch, timeout=60).raise_for_status()
            done = n + BATCH
            if done % 5_000 == 0:
                most |= dlv.pss()
            if done == events // 10 or done >= events:
                while waiting(url):
                    time.sleep(0.1)
                show(f"most until {done} events", most | dlv.pss())
                time.sleep(8)  # the process that folded ends, and gives back
                show(f"{done} events folded", dlv.pss())
                most = Counter()


def show(when: str, by: Counter[str]) -> None:
    all_ = round(sum(by.values()))
    print(json.dumps({"when": when, "all": all_} | {k: round(v) for k, v in sorted(by.items())}), flush=True)


if __name__ == "__main__":
    main()
