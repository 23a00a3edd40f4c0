"""Run as a process of its own by test_projector, to be killed: projects until there is nothing left to do for long."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from graph.driver import connect
from store.record import Record
from workers import projector

database_url, url, user, password, database = sys.argv[1:]
record, graph = Record(database_url, max_size=3), connect(url, user, password, database)
print("running", flush=True)
while True:
    if not projector.project_once(record, graph, batch=25):
        time.sleep(0.01)
