"""How DLV itself is: the process, each part and since when, and figures for Prometheus."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psutil
from flask import Flask, Response
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from answers.context import Dlv
from api.resource import to_json
from auth.roles import READER, check, principal
from errors import DlvError
from store import events, notifications, wall
from store import parts as own_parts

#: readyz looks at most this often (seconds), however often it is asked
_FRESH = 1.0
#: seconds the oldest pending event may wait before the fold is called behind
BEHIND = 60.0


class Parts:
    """Each part's state as this process last saw it, and since when it is so."""

    def __init__(self, dlv: Dlv) -> None:
        self._looks: dict[str, Callable[[], str | None]] = {
            "record": lambda: self._record(dlv),
            "graph": lambda: self._graph(dlv),
            "queue": lambda: dlv.queue.look()["reason"],
            "fold": lambda: self._fold(dlv) or self._own(dlv, "fold"),
            "projector": lambda: self._projector(dlv) or self._own(dlv, "project"),
            "scheduler": lambda: self._own(dlv, "scheduler"),
            "check": lambda: self._own(dlv, "check"),
            "alert": lambda: self._own(dlv, "alert"),
        }
        self._said: dict[str, dict[str, Any]] = {}
        self._at = -1e9
        self._lock = threading.Lock()

    def look(self) -> dict[str, dict[str, Any]]:
        """{part: {ok, since, reason?}}; ``since`` is when this process first saw it so."""
        with self._lock:
            if time.monotonic() - self._at > _FRESH:
                for name, ask in self._looks.items():
                    self._note(name, _reason(ask))
                self._at = time.monotonic()
            return dict(self._said)

    def _note(self, name: str, reason: str | None) -> None:
        was = self._said.get(name)
        ok = reason is None
        since = was["since"] if was and was["ok"] == ok else datetime.now(UTC)
        self._said[name] = {"ok": ok, "since": since} | ({"reason": reason} if reason else {})

    @staticmethod
    def _record(dlv: Dlv) -> str | None:
        dlv.record.one("select 1 as one")
        return None

    @staticmethod
    def _graph(dlv: Dlv) -> str | None:
        return "the graph does not answer" if dlv.graph is None or dlv.graph.check() else None

    @staticmethod
    def _fold(dlv: Dlv) -> str | None:
        waits = events.backlog(dlv.record)
        if waits["pending"] > dlv.settings.max_pending_events:
            return f"{waits['pending']} events wait to be folded: no more are accepted"
        if waits["oldest_at"] and (datetime.now(UTC) - waits["oldest_at"]).total_seconds() > BEHIND:
            return f"{waits['pending']} events wait to be folded, the oldest since {waits['oldest_at']:%H:%M:%S} UTC"
        return None

    @staticmethod
    def _own(dlv: Dlv, part: str) -> str | None:
        with dlv.record.tx() as conn:
            reason: str | None = own_parts.look(conn)[part]["reason"]
        return reason

    @staticmethod
    def _projector(dlv: Dlv) -> str | None:
        row = dlv.record.one(
            """select (select away_since from graph_state) as away_since,
                      (select min(marked_at) from graph_dirty) as oldest"""
        )
        if row and row["away_since"]:
            return f"the projector cannot reach the graph since {row['away_since']:%H:%M:%S} UTC"
        if row and row["oldest"] and (datetime.now(UTC) - row["oldest"]).total_seconds() > BEHIND:
            return f"changes wait to be projected since {row['oldest']:%H:%M:%S} UTC"
        return None


def _reason(ask: Callable[[], str | None]) -> str | None:
    try:
        return ask()
    except DlvError as e:
        return e.message
    except Exception as e:  # a part that fails in a way nobody thought of is away, too
        return f"cannot be looked at ({type(e).__name__})"


def install(server: Flask, dlv: Dlv) -> None:
    """``/healthz`` and ``/readyz`` are open and say nothing of addresses or contents; ``/metrics`` needs a signed-in
    person or an API key with the scope ``read``, from loopback too: behind a proxy everybody comes from loopback.
    """
    parts = Parts(dlv)
    started_at = datetime.now(UTC)

    def healthz() -> Response:
        return _json({"ok": True, "process": os.getpid(), "since": started_at})

    def readyz() -> Response:
        said = parts.look()
        # without the record nothing works; without the rest something does, so traffic may come
        ready = said["record"]["ok"]
        body = {"ok": all(p["ok"] for p in said.values()), "ready": ready, "parts": said}
        return _json(body, 200 if ready else 503)

    def metrics() -> Response:
        check(READER, principal())
        return Response(figures(dlv, parts), content_type=CONTENT_TYPE_LATEST)

    for rule, view in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        server.add_url_rule(rule, rule[1:], view, methods=["GET"], provide_automatic_options=False)


def figures(dlv: Dlv, parts: Parts) -> bytes:
    """What Prometheus scrapes: taken from the record at that moment, so that any web process says the same."""
    registry = CollectorRegistry()
    up = Gauge("dlv_part_up", "1: the part works", ["part"], registry=registry)
    for name, part in parts.look().items():
        up.labels(name).set(part["ok"])
    beat_age = Gauge(
        "dlv_part_beat_age_seconds",
        "Seconds since the newest sign of life of a part; absent where it never gave one",
        ["part"],
        registry=registry,
    )
    with dlv.record.tx() as conn:
        for name, said in own_parts.look(conn).items():
            if said["ago"] is not None:
                beat_age.labels(name).set(said["ago"])
    _channels(dlv, registry)
    waits = events.backlog(dlv.record)
    Gauge("dlv_events_pending", "Events accepted and not folded yet", registry=registry).set(waits["pending"])
    Gauge("dlv_events_set_aside", "Events that could not be folded", registry=registry).set(
        waits["set_aside"]
    )
    oldest = waits["oldest_at"]
    age = (datetime.now(UTC) - oldest).total_seconds() if oldest else 0
    Gauge("dlv_events_oldest_pending_seconds", "Age of the oldest pending event", registry=registry).set(age)
    row = dlv.record.one(
        """select (select count(*) from graph_dirty) as dirty,
                  (select coalesce(sum(greatest(reltuples, 0)), 0) from pg_class c join pg_inherits i on i.inhrelid = c.oid
                   where i.inhparent = 'event'::regclass) as kept"""
    )
    assert row is not None
    Gauge("dlv_graph_dirty", "Changes not projected yet", registry=registry).set(row["dirty"])
    Gauge("dlv_events_kept", "Events kept, as the planner estimates", registry=registry).set(row["kept"])
    nodes = Gauge(
        "dlv_nodes", "Nodes on the map by type and own health", ["type", "health"], registry=registry
    )
    for r in dlv.record.all(
        """select type, health, count(*) as n from node where retired_at is null and dropped_at is null
           group by 1, 2"""
    ):
        nodes.labels(r["type"], r["health"]).set(r["n"])
    last = Gauge(
        "dlv_producer_last_event_timestamp_seconds",
        "Newest event by producer",
        ["producer"],
        registry=registry,
    )
    for r in dlv.record.all(
        "select name, last_event_at from producer where last_event_at is not null limit 1000"
    ):
        last.labels(r["name"]).set(r["last_event_at"].timestamp())
    _health(dlv, registry)
    memory = psutil.Process().memory_info().rss
    Gauge("dlv_web_resident_memory_bytes", "Memory of this web process", registry=registry).set(memory)
    return generate_latest(registry)


def _channels(dlv: Dlv, registry: CollectorRegistry) -> None:
    """Whether people can be told: channels by name, and how many rules there are."""
    with dlv.record.tx() as conn:
        said = notifications.figures(conn)
    Gauge(
        "dlv_alert_rules", "Alert rules that are on and name a channel; 0: nobody is told", registry=registry
    ).set(said["rules"])
    up = Gauge(
        "dlv_channel_up",
        "0: the newest messages to this channel all failed",
        ["channel", "kind"],
        registry=registry,
    )
    for c in said["channels"]:
        up.labels(c["name"], c["kind"]).set(c["failing"] is None)


#: figures of one number each: name, what it says, and the key of `store.wall.figures`
_SINGLE = (
    ("dlv_slots_pending", "Slots that are due or being looked at", "slots_pending"),
    ("dlv_slots_lag_seconds", "Age of the oldest slot that has not ended", "slots_lag"),
    ("dlv_schedule_lag_seconds", "How long the oldest due check has not been given its slot", "schedule_lag"),
    ("dlv_transitions_undecided_seconds", "Age of the oldest change nobody has decided about", "undecided"),
    ("dlv_notifications_pending", "Messages that wait to be delivered", "told_pending"),
    ("dlv_notifications_failed", "Messages given up within a day", "told_failed"),
    ("dlv_events_age_seconds", "Time since the newest event; absent where none is kept", "event_age"),
    (
        "dlv_results_age_seconds",
        "Time since the newest check result of an hour; absent where none is",
        "result_age",
    ),
)


def _health(dlv: Dlv, registry: CollectorRegistry) -> None:
    """Incidents, checks, and what waits between them and the people who must know. No label names a node."""
    with dlv.record.tx() as conn:
        said = wall.figures(conn)
    incidents = Gauge("dlv_incidents_open", "Open incidents by severity", ["severity"], registry=registry)
    for severity in ("1", "2", "3", "4"):
        incidents.labels(severity).set(said["incidents"].get(severity, 0))
    checks = Gauge(
        "dlv_checks", "Checks that are not paused, by the newest status", ["status"], registry=registry
    )
    for status in ("ok", "warn", "fail", "error", "not_checked", "muted"):
        checks.labels(status).set(said["checks"].get(status, 0))
    for name, what, key in _SINGLE:
        if said[key] is not None:
            Gauge(name, what, registry=registry).set(said[key])


def _json(body: Any, status: int = 200) -> Response:
    return Response(
        to_json(body), status, content_type="application/json", headers={"Cache-Control": "no-store"}
    )
