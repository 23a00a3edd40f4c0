"""What a process asks of the graph before anybody does: a server on Java compiles while it is asked, so that its first
answers take several times as long, and who asks first after a restart may have an incident on their hands.
"""

from __future__ import annotations

import time
from itertools import cycle, islice
from typing import TYPE_CHECKING

from graph import reach
from store import dirty
from store import nodes as node_store

if TYPE_CHECKING:
    from answers.context import Dlv

#: seconds that it may last, walks it may ask for (Java has compiled what a walk needs after some hundred), and nodes
#: they begin at
SECONDS, WALKS, NODES = 10.0, 200, 40


def warm(dlv: Dlv) -> int:
    """Ask each question once about nobody, then what lies below and above real nodes, those first that people will ask
    about; returns how many walks there were. It rests as long as it asks, for others are served meanwhile.
    """
    generation = dirty.generation(dlv.record)
    reach.warm(dlv.graph, generation)
    with dlv.record.read() as conn:
        nodes = node_store.likely(conn, NODES)
    until = time.monotonic() + SECONDS
    walks = 0
    for node, from_dataset in islice(cycle(nodes), WALKS // 2):
        for direction in ("downstream", "upstream"):
            began = time.monotonic()
            if began > until:
                return walks
            reach.impact(dlv.graph, generation, node, from_dataset, direction)
            walks += 1
            time.sleep(time.monotonic() - began)
    return walks
