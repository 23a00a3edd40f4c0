"""An estate whose nodes are good, and how to break them: transitions as store.health writes them, without any event."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from answers.context import Dlv
from graph.driver import Graph
from graph.model import GraphNode
from settings import Settings
from store import health
from store.record import Record
from tests.integration import by_hand
from tests.integration.estates import Estate, put, uid
from workers import alerting, delivery

GROUP = timedelta(seconds=60)


def layered(total: int = 5_000, radius: int = 200, width: int = 10) -> Estate:
    """A root job 0 with ``radius`` nodes below it (jobs and datasets in turn, in rows of ``width``), and others apart.

    Numbers: the root is 0, what lies below it 1 to ``radius``, the rest above that.
    """
    estate = Estate()
    jobs = {0}
    pairs: list[tuple[int, int]] = []
    for n in range(1, radius + 1):
        row, column = divmod(n - 1, width)
        if row % 2:
            jobs.add(n)
        if row == 0:
            pairs.append((0, n))
        else:
            above = 1 + (row - 1) * width
            pairs.append((above + column, n))
            if row % 2:  # a job reads its neighbour's data, too
                pairs.append((above + (column + 1) % width, n))
    for n in range(radius + 1, total, 2):
        jobs.add(n)
        pairs.append((n, n + 1))
        if n % 10 > 1:
            pairs.append((n - 1, n))
    for n in range(total):
        type_ = "job" if n in jobs else "dataset"
        estate.add(
            GraphNode(uid(n), type_, "task" if n in jobs else "table", "postgres", "prod", "", (), 0, False)
        )
    estate.edges = {(uid(a), uid(b)) for a, b in pairs if a < total and b < total}
    return estate


class Breaking:
    """Breaks and mends nodes of an estate; the clock is handed in."""

    def __init__(
        self, record: Record, graph: Graph, settings: Settings, estate: Estate, good: datetime
    ) -> None:
        self.record, self.graph, self.settings = (
            record,
            graph,
            settings.with_(group_seconds=60, reopen_minutes=30),
        )
        self.estate = estate
        self.told: list[tuple[datetime, UUID, str, int]] = []
        self._seen: set[UUID] = set()
        with record.tx() as conn:
            put(conn, estate)
            conn.execute("update node set health = 'ok', made_at = %s, health_since = %s", (good, good))
        by_hand.project(record, graph)
        with record.tx() as conn:
            conn.execute("delete from graph_dirty")
            conn.execute(
                "insert into channel (id, name, kind) values (%s, 'on call', 'email')", (uid(70_001),)
            )
            conn.execute(
                "insert into alert_rule (id, name, position, channels) values (%s, 'all', 1, %s)",
                (uid(70_002), [uid(70_001)]),
            )

    @property
    def dlv(self) -> Dlv:
        return Dlv(self.settings, self.record, self.graph)

    def turn(
        self, node: UUID, health_now: str, at: datetime, *, noted: datetime | None = None, **more: Any
    ) -> None:
        """A node's health changes at ``at``; DLV notices at ``noted``."""
        self.turn_all([(node, health_now, at)], noted=noted, **more)

    def turn_all(
        self, said: Iterable[tuple[UUID, str, datetime]], *, noted: datetime | None = None, **more: Any
    ) -> None:
        with self.record.tx() as conn:
            for node, now, at in said:
                row = conn.execute("select * from node where id = %s for update", (node,)).fetchone()
                assert row
                made = at if now == "ok" else row["made_at"]
                reason = more.get("reason", "run failed" if now == "failed" else now)
                change = {
                    "id": node, "health": now, "health_reason": reason, "sla_at": row["sla_at"], "judge_at": row["judge_at"], "health_since": at, "health_run": None,
                    "made_at": made, "running": False,
                    "recovered_at": at if now == "ok" else row["recovered_at"],
                }  # fmt: skip
                moved = {
                    "node_id": node, "at": at, "was": row["health"], "now": now, "reason": reason,
                    "run_key": more.get("run"), "check_id": more.get("check"), "made_at": made,
                }  # fmt: skip
                health._write(conn, [change], [moved])
            when = noted or datetime.now(UTC)
            conn.execute(
                """with p as (update transition_pending set marked_at = %(at)s where marked_at = now() returning transition_id)
                   update transition set noted_at = %(at)s where id in (select transition_id from p)""",
                {"at": when},
            )

    def decide(self, now: datetime) -> None:
        while alerting.decide(self.record, self.graph, self.settings, now=now):
            pass

    def tell(self, now: datetime) -> None:
        """Decide, and put what is due into the outbox of a channel that hears what people are to notice: what it is told
        stands in ``told`` as (when, incident, event, severity)."""
        self.decide(now)
        while delivery.tell(self.record, self.settings, now):
            pass
        for r in self.record.all(
            "select id, incident_id, event, content from notification order by created_at, id"
        ):
            if r["id"] not in self._seen:
                self._seen.add(r["id"])
                self.told.append((now, r["incident_id"], r["event"], r["content"]["severity"]))

    def open(self) -> list[dict[str, Any]]:
        return self.record.all(
            """select i.*, (select array_agg(m.node_id) from incident_member m where m.incident_id = i.id) as members
                 from incident i where i.status = 'open' order by number"""
        )

    def partition(self) -> dict[UUID, set[UUID]]:
        return {i["root_node"]: set(i["members"]) for i in self.open()}


__all__ = ["GROUP", "Breaking", "layered", "uid"]
