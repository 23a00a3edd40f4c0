"""Connectors of Kafka Connect and their tasks: a task fails while its connector goes on to say RUNNING, so both count."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from checks.kind import Field, Kind
from checks.rest import Rest, unclear
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link
from ingest.messages import error_line

#: seconds until what is not clear for a moment is asked again: 404 just after a create, 409 while workers rebalance
AGAIN = 1.5
HALTED = ("PAUSED", "STOPPED")


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    name = str(spec.config.get("connector") or "")
    with Rest(link) as rest:
        states = _settled(rest, name)
    return Observation(now, {"named": name, "connectors": states})


def _settled(rest: Rest, name: str) -> dict[str, Any]:
    """{connector: its state and tasks, None where Connect has none for it}, asked a second time where it is not clear."""
    states = _ask(rest, name)
    if states is None or None in states.values():
        time.sleep(AGAIN)
        states = _ask(rest, name)
    if states is None:
        raise CannotLook(
            "Kafka Connect is rebalancing (409)", step="answer", hint="it ends by itself; the next look tells"
        )
    return states


def _ask(rest: Rest, name: str) -> dict[str, Any] | None:
    if not name:
        answer = rest.get("/connectors", expand="status")
        if answer.status == 409:
            return None
        body = answer.object("Kafka Connect", "/connectors")
        return {str(k): _state(v.get("status") if isinstance(v, Mapping) else None) for k, v in body.items()}
    answer = rest.get(f"/connectors/{quote(name, safe='')}/status")
    if answer.status == 409:
        return None
    if answer.status != 404:
        return {name: _state(answer.object("Kafka Connect", "its status"))}
    there = rest.get("/connectors")
    if there.status == 409:
        return None
    names = there.list("Kafka Connect", "/connectors")
    return {name: None} if name in names else {}


def _state(status: Any) -> dict[str, Any] | None:
    if not isinstance(status, Mapping) or not isinstance(status.get("connector"), Mapping):
        return None
    tasks = [t for t in status.get("tasks") or () if isinstance(t, Mapping)]
    return {
        "state": str(status["connector"].get("state")),
        "error": error_line(str(status["connector"].get("trace") or "")),
        "tasks": [(t.get("id"), str(t.get("state")), error_line(str(t.get("trace") or ""))) for t in tasks],
    }


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    named, connectors = seen.seen["named"], seen.seen["connectors"]
    if named and named not in connectors:
        return Verdict("fail", f"Kafka Connect has no connector {named}")
    if not connectors:
        return Verdict("ok", "Kafka Connect has no connectors", 0)
    found = [f for name, state in sorted(connectors.items()) if state for f in _findings(spec, name, state)]
    failed = [words for status, words in found if status == "fail"]
    warned = [words for status, words in found if status == "warn"]
    silent = sorted(name for name, state in connectors.items() if state is None)
    tasks = sum(len(state["tasks"]) for state in connectors.values() if state)
    detail = {"connectors": len(connectors), "tasks": tasks, "failed": failed[:50], "warned": warned[:50]}
    if failed:
        return Verdict("fail", some(failed + warned), len(failed), detail=detail)
    if silent:
        raise unclear(f"Kafka Connect does not say how {some(silent)} does (404)")
    if warned:
        return Verdict("warn", some(warned), 0, detail=detail)
    return Verdict(
        "ok", f"{count(len(connectors), 'connector')} and {count(tasks, 'task')} run", 0, detail=detail
    )


def _findings(spec: Spec, name: str, state: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    own = state["state"]
    if own == "FAILED":
        yield "fail", _said(f"connector {name} failed", state["error"])
    elif own in HALTED:
        yield spec.config.get("halted", "warn"), f"connector {name} is {own.lower()}"
        return
    elif own == "UNASSIGNED":
        yield "warn", f"connector {name} is not assigned to a worker"
    for number, task, error in state["tasks"]:
        if task == "FAILED":
            yield "fail", _said(f"task {number} of {name} failed", error)
        elif task == "UNASSIGNED":
            yield "warn", f"task {number} of {name} is not assigned to a worker"
    if own == "RUNNING" and not state["tasks"]:
        yield "warn", f"connector {name} runs without a task"


def _said(what: str, error: str) -> str:
    return f"{what}: {error}" if error else what


KIND = Kind(
    name="connect",
    label="Kafka Connect connectors",
    says="A connector or one of its tasks has failed or is not running.",
    fields=(
        Field("connector", "Connector", help="Empty: all connectors."),
        Field(
            "halted",
            "A paused or stopped connector",
            "choice",
            default="warn",
            choices=(("fail", "fails"), ("warn", "warns"), ("ok", "is fine")),
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("kafka_connect",),
    systems=("kafka_connect", "kafka"),
    every_seconds=60,
)
