"""Whether Airflow's own parts live: its scheduler, triggerer, DAG processor and database, by their heartbeats.

Airflow answers 200 whatever it says of them, and leaves out a part that never ran.
"""

from __future__ import annotations

from datetime import datetime

from checks import airflow
from checks.kind import Field, Kind
from checks.result import CannotLook, Observation, Past, Spec, Verdict
from checks.words import count, some
from connections.link import Link

#: what Airflow is nothing without; of the others it has some or not
ALWAYS = ("metadatabase", "scheduler")
NAMES = {
    "metadatabase": "database",
    "scheduler": "scheduler",
    "triggerer": "triggerer",
    "dag_processor": "DAG processor",
}


def observe(spec: Spec, link: Link | None, now: datetime) -> Observation:
    assert link is not None
    with airflow.Client(link) as client:
        return Observation(now, {"parts": client.health()})


def judge(spec: Spec, seen: Observation, past: Past) -> Verdict:
    parts = seen.seen["parts"]
    if "scheduler" not in parts:
        raise CannotLook("Airflow's answer names no scheduler", step="answer", hint="look at the URL")
    bad: list[tuple[str, str]] = []
    for part, name in NAMES.items():
        status, beat = parts.get(part, (None, None))
        counts = "fail" if part in ALWAYS else spec.config.get(part, "fail")
        if status is None:
            # never ran: normal for a part that this Airflow does without
            if part in ALWAYS or spec.config.get(f"{part}_needed"):
                bad.append((counts, f"the {name} never ran"))
        elif status != "healthy":
            since = f", last heartbeat {beat:%Y-%m-%d %H:%M:%S} UTC" if beat else ""
            bad.append((counts, f"the {name} is {status}{since}"))
    detail = {
        part: {"status": s, "heartbeat": b.isoformat() if b else None} for part, (s, b) in parts.items()
    }
    for status in ("fail", "warn"):
        words = [w for s, w in bad if s == status]
        if words:
            return Verdict(status, some(words, 4), len(words), detail=detail)
    alive = sum(1 for status, _ in parts.values() if status == "healthy")
    return Verdict("ok", f"{count(alive, 'part')} of Airflow healthy", 0, detail=detail)


_UNHEALTHY = (("fail", "fails"), ("warn", "warns"), ("ok", "is ignored"))

KIND = Kind(
    name="airflow_health",
    label="Airflow components",
    says="A part of Airflow has stopped: its scheduler, triggerer, DAG processor or database.",
    fields=(
        Field(
            "triggerer",
            "An unhealthy triggerer",
            "choice",
            default="fail",
            choices=_UNHEALTHY,
            help="Airflow goes on to name one that was stopped for good.",
        ),
        Field("triggerer_needed", "The triggerer has to be there", "switch", default=False),
        Field("dag_processor", "An unhealthy DAG processor", "choice", default="fail", choices=_UNHEALTHY),
        Field(
            "dag_processor_needed",
            "The DAG processor has to be there",
            "switch",
            default=False,
            help="In Airflow 2 it is a part of the scheduler, unless it is run on its own.",
        ),
    ),
    observe=observe,
    judge=judge,
    connections=("airflow",),
    systems=("airflow",),
    every_seconds=60,
)
