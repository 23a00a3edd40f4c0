"""Run as a process of its own by test_incidents_killed, to be killed: decides until it is stopped."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import settings as settings_module
from graph.driver import connect
from store.record import Record
from workers import alerting

database_url, url, user, password, database = sys.argv[1:]
record, graph = Record(database_url, max_size=3), connect(url, user, password, database)
given = settings_module.load({"DLV_DEMO": "0"})
alerting.BATCH = 40
print("running", flush=True)
while True:
    if not alerting.decide(record, graph, given):
        time.sleep(0.01)
