"""A Spark master's and a history server's REST API, as far as checks and the confirmation of applications ask them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

from checks.rest import Rest, unclear
from checks.result import CannotLook
from connections.link import Link
from ingest.messages import error_line

#: the newest applications that are looked at, of one name or of all
MOST_APPLICATIONS = 50
#: applications that a history server is asked to list
LISTED = 2000


@dataclass(frozen=True)
class Application:
    """The newest attempt of an application. ``attempt`` is empty where it has one attempt only, as on a standalone
    cluster; ``ended_at`` is None while it runs."""

    id: str
    name: str
    attempt: str
    completed: bool
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Confirmed:
    """What the history server knows of an application. ``completed``: it itself says that it ended; ``jobs``: how many
    it ran; ``failed_jobs`` and ``failed_stages``: their names; ``reason``: the line that says what went wrong."""

    application_id: str
    name: str
    completed: bool
    jobs: int
    failed_jobs: tuple[str, ...] = ()
    failed_stages: tuple[str, ...] = ()
    reason: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def failed(self) -> bool:
        return bool(self.failed_jobs or self.failed_stages)


class History:
    """A history server through one connection. Use it as a context."""

    def __init__(self, link: Link) -> None:
        base = str(link.fields.get("history_url") or "")
        if not base:
            raise CannotLook(
                "the connection names no history server", step="name", hint="enter its URL in the connection"
            )
        self.rest = Rest(link, base)

    def __enter__(self) -> History:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.rest.session.close()

    def applications(self, name: str | None = None, since: datetime | None = None) -> list[Application]:
        """Newest first; those whose id or name this is, where it is given."""
        day = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fGMT")[:-6] + "GMT" if since else None
        path = "/api/v1/applications"
        said = self.rest.get(path, limit=LISTED, minDate=day).list("the history server", path)
        found = [_application(x) for x in said if isinstance(x, dict) and x.get("attempts")]
        wanted = [a for a in found if name is None or name in (a.id, a.name)]
        if since is not None:
            wanted = [a for a in wanted if a.started_at is None or a.started_at >= since]
        return sorted(wanted, key=lambda a: (a.started_at or _LONG_AGO, a.id), reverse=True)

    def look(self, application: Application) -> Confirmed:
        """Its jobs, and the stages that failed."""
        path = f"/api/v1/applications/{quote(application.id, safe='')}"
        if application.attempt:
            path += f"/{quote(application.attempt, safe='')}"
        jobs = self.rest.get(f"{path}/jobs").list("the history server", "the jobs of an application")
        failed = [j for j in jobs if isinstance(j, Mapping) and j.get("status") == "FAILED"]
        stages: list[Any] = []
        if failed:
            stages = self.rest.get(f"{path}/stages", status="failed").list("the history server", "its stages")
            stages = [s for s in stages if isinstance(s, Mapping) and s.get("status") == "FAILED"]
        reasons = (error_line(str(s.get("failureReason") or "")) for s in stages)
        return Confirmed(
            application.id,
            application.name,
            application.completed,
            len(jobs),
            tuple(f"{j.get('jobId')}: {j.get('name')}"[:200] for j in failed),
            tuple(f"{s.get('stageId')}: {s.get('name')}"[:200] for s in stages),
            next((r for r in reasons if r), ""),
            application.started_at,
            application.ended_at,
        )


def confirm(link: Link, name: str, since: datetime | None = None) -> Confirmed | None:
    """What the history server knows of an application by its id or name: the newest of that name that started at or
    after ``since``. None where it does not know it, or not yet. Raises :class:`CannotLook`."""
    with History(link) as history:
        found = history.applications(name, since)
        return history.look(found[0]) if found else None


def master(link: Link) -> dict[str, Any]:
    """What a standalone master says of itself: its status, and its workers by state."""
    base = str(link.fields.get("master_url") or "")
    if not base:
        raise CannotLook(
            "the connection names no master", step="name", hint="enter its URL in the connection"
        )
    rest = Rest(link, base)
    try:
        said = rest.get("/json/").object("a Spark master", "/json/")
    finally:
        rest.session.close()
    workers = said.get("workers")
    if not isinstance(workers, list) or "status" not in said:
        raise unclear(
            "what answers is no Spark master: /json/ names no workers", "look at the URL, often port 8080"
        )
    states: dict[str, int] = {}
    for worker in workers:
        state = str(worker.get("state")) if isinstance(worker, Mapping) else "?"
        states[state] = states.get(state, 0) + 1
    alive = said.get("aliveworkers")
    return {
        "status": str(said["status"]),
        "alive": alive if isinstance(alive, int) else states.get("ALIVE", 0),
        "workers": states,
        "waiting": sum(
            1 for a in said.get("activeapps") or () if isinstance(a, Mapping) and a.get("state") == "WAITING"
        ),
    }


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def _application(said: Mapping[str, Any]) -> Application:
    attempts = [a for a in said["attempts"] if isinstance(a, Mapping)]
    newest = max(attempts, key=lambda a: a.get("startTimeEpoch") or 0)
    completed = bool(newest.get("completed"))
    return Application(
        str(said.get("id")),
        str(said.get("name")),
        str(newest.get("attemptId") or ""),
        completed,
        _epoch(newest.get("startTimeEpoch")),
        _epoch(newest.get("endTimeEpoch")) if completed else None,
    )


def _epoch(ms: Any) -> datetime | None:
    if not isinstance(ms, int) or ms <= 0:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC)
