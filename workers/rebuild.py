"""The graph anew from the record, while the product runs.

The next generation is filled from one snapshot of the record. Meanwhile the projector goes on with the one readers
use and notes what it brought over; that is brought into the next one too before readers are moved to it, all at
once. The old one goes a little later, when nobody can still be reading it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from errors import Conflict
from graph import project, schema
from graph.driver import Graph
from store import dirty, projection
from store.record import Record
from workers import projector

#: nodes, and edges, that one transaction puts
FILL = 5000
#: seconds that a reader may go on with the old generation: it knows it for one, and then finishes its question
READERS_SECONDS = 5.0

Progress = Callable[[int, int], None]


def rebuild(record: Record, graph: Graph, progress: Progress | None = None) -> None:
    """Fill the next generation, move readers to it, drop the old one. ``progress`` hears (done, total).

    :class:`errors.Conflict` where another rebuild runs. Where it fails or is killed, readers keep what they had.
    """
    with record.tx() as only:
        if not _alone(only):
            raise Conflict("a rebuild of the graph is already running", hint="wait until it is done")
        old, new, epoch = _start(record)
        try:
            _fill(record, graph, old, new, epoch, _Said(record, new, progress))
            _finish(record, graph, new)
        except BaseException:
            with record.tx() as conn:
                dirty.rebuilding(conn, None)
            raise
    time.sleep(READERS_SECONDS)
    _sweep(graph, new)


def _alone(only: Any) -> bool:
    """The projector holds the lock for a moment when it looks whether a rebuild died; that is waited for."""
    for _ in range(20):
        if dirty.hold_rebuild(only):
            return True
        time.sleep(0.1)
    return False


def _start(record: Record) -> tuple[int, int, int]:
    """From here on the projector notes what it brings over."""
    with record.tx() as conn:
        dirty.hold_projector(conn, wait=True)
        state = dirty.state(conn)
        dirty.rebuilding(conn, None)
        new = int(state["generation"]) + 1
        dirty.rebuilding(conn, _told(new, 0, 0, datetime.now(UTC)))
        return int(state["generation"]), new, dirty.epoch(conn)


def _fill(record: Record, graph: Graph, old: int, new: int, epoch: int, said: _Said) -> None:
    # what an earlier, killed rebuild left; its fence first, so that nothing of it arrives later
    project.raise_fence(graph, "rebuild", epoch)
    schema.drop(graph, new)
    schema.prepare(graph, new)
    with record.tx() as conn:
        conn.execute("set transaction isolation level repeatable read, read only")
        nodes, edges = projection.size(conn)
        said.total = nodes + edges
        for some in projection.all_nodes(conn, FILL):
            project.fill(graph, new, nodes=some, epoch=epoch)
            said.add(len(some))
        for few in projection.all_edges(conn, FILL):
            project.fill(graph, new, edges=few, epoch=epoch)
            said.add(len(few))


def _finish(record: Record, graph: Graph, new: int) -> None:
    """Bring over what changed meanwhile and move the readers, with no projector in between."""
    with record.tx() as held:
        dirty.hold_projector(held, wait=True)
        state = dirty.state(held)
        highest = project.fence(graph)
        if highest is None or highest > state["last"]:
            project.reset_fence(graph)
        epoch = dirty.epoch(held)
        while said := dirty.redo(held, projector.BATCH):
            with record.tx() as conn:
                conn.execute("set transaction isolation level repeatable read, read only")
                change = projector.change(conn, said)
            change.write(graph, new, epoch)
            dirty.redone(held, said)
        project.raise_fence(graph, project.PROJECTOR, epoch)
        dirty.switch(held, new)


def _sweep(graph: Graph, current: int) -> None:
    """Drop every generation before the one in use: the last one, and what killed rebuilds left."""
    for generation in range(max(1, current - 5), current):
        schema.drop(graph, generation)
        schema.forget(graph, generation)


class _Said:
    """Tells how far it is: the caller at every step, everybody else about twice a second."""

    def __init__(self, record: Record, generation: int, progress: Progress | None) -> None:
        self.record, self.generation, self.progress = record, generation, progress
        self.done = self.total = 0
        self.began = datetime.now(UTC)
        self._told_at = 0.0

    def add(self, n: int) -> None:
        self.done += n
        self.total = max(self.total, self.done)
        if self.progress:
            self.progress(self.done, self.total)
        if time.monotonic() - self._told_at > 0.5:
            self._told_at = time.monotonic()
            with self.record.tx() as conn:
                dirty.rebuilding(conn, _told(self.generation, self.done, self.total, self.began))


def _told(generation: int, done: int, total: int, began: datetime) -> dict[str, Any]:
    return {
        "generation": generation,
        "done": done,
        "total": total,
        "started_at": began.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
