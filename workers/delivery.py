"""Telling people: what is due is decided in one transaction and sent apart from it, at least once, with a log of every try.

Deciding and sending are two steps with the outbox (store/notifications.py) between them. Sending happens on threads of
this process, few for each channel, so that a receiver that does not answer holds up nobody else.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from alerts import channels, message, routing
from alerts.channels import NotSent
from alerts.message import Dataset, Message
from alerts.routing import Said
from errors import DlvError, RecordAway, Unavailable
from settings import Settings
from store import alert_rules, health, incidents, notifications, silences, teams
from store import channels as channel_store
from store.record import Conn, Record

log = logging.getLogger("dlv.delivery")

#: messages on their way at once, in all and to one channel
THREADS, EACH = 16, 2
#: nodes of an incident that rules and silences are asked about
MEMBERS = 5000
#: seconds deliver() waits for a message that is on its way, before it lets the decisions go on
PATIENCE = 0.2
#: seconds a thread goes on trying to write down what came of a message while the record is away
WRITE_DOWN = 90.0
#: after which an incident that could not be told for a fault of ours is tried again; the others do not wait for it
AGAIN = timedelta(minutes=1)


def deliver(record: Record, settings: Settings, now: datetime | None = None) -> int:
    """Decide what is due, as of ``now`` where it is given; send what waits; how much was done or is on its way."""
    return tell(record, settings, now) + remind(record) + _outbox(record, settings).send()


def settle(timeout: float = 60.0) -> None:
    """Wait for what is on its way, before the process ends: what is cut off is sent a second time."""
    for outbox in list(_outboxes.values()):
        outbox.settle(timeout)


# ---------------------------------------------------------------- deciding


def tell(record: Record, settings: Settings, now: datetime | None = None, limit: int = 20) -> int:
    """Write to the outbox what channels have still to hear of incidents that are due; how many were due."""
    at = now or datetime.now(UTC)
    with record.tx() as conn:
        due = incidents.to_tell(conn, at, limit)
        if not due:
            return 0
        rules = alert_rules.active(conn)
        quiet = silences.active(conn, at)
        for row in due:
            try:
                with conn.transaction():
                    _tell_one(conn, settings, row, rules, quiet, at)
            except Unavailable:
                raise
            except Exception:
                log.exception("INC-%s could not be told, and is tried again", row["number"])
                incidents.told(conn, row["id"], row["severity"], again_at=at + AGAIN)
    return len(due)


def _tell_one(
    conn: Conn,
    settings: Settings,
    row: Mapping[str, Any],
    rules: list[routing.Rule],
    quiet: list[routing.Silence],
    now: datetime,
) -> None:
    id_ = row["id"]
    members = incidents.members(conn, id_, MEMBERS)
    about = [m["id"] for m in members if m["recovered_at"] is None]
    if row["root_id"]:
        about.append(row["root_id"])
    if row["root_type"] == "producer":
        # it has no members: whoever owns what it tells of has to hear that nothing is known of it
        about += health.of_producer(conn, row["producer_id"], MEMBERS)
    facts = alert_rules.facts(conn, about)
    root = facts.get(row["root_id"]) if row["root_id"] else None
    nodes = list({f.id: f for f in facts.values()}.values())
    known = notifications.known(conn, id_)
    routes = {r.channel: r for r in routing.route(row["severity"], nodes, rules)}
    here = Said(
        row["status"],
        row["severity"],
        str(row["root_id"] or row["producer_id"] or ""),
        row["acknowledged_at"] is not None,
        row["failed"] + row["late"],
    )
    kinds = channel_store.told(conn, [*known, *routes])
    todo = []
    for channel in dict.fromkeys(
        [*known, *routes]
    ):  # who was told once is told the end, whatever rules say by now
        one = kinds.get(channel)
        before = _said(known.get(channel))
        telling = routing.telling(before, here)
        if one is None or telling is None:
            continue
        if not channels.KINDS[one["kind"]].hears(one["fields"], telling.event, telling.loud):
            continue
        todo.append((channel, one["name"], telling, before))
    producer = row["producer_id"] if row["root_type"] == "producer" else None
    held = routing.silenced(root, nodes, quiet, now, producer) if row["status"] == "open" else None
    if held and any(t[2].loud for t in todo):
        _keep_back(conn, row, todo, routes, *held)
        return
    sent: dict[str, list[str]] = {}
    for channel, name, telling, before in todo:
        rule = routes.get(channel)
        said = content(conn, settings, row, telling, here, before, rules, rule, now)
        notifications.put(
            conn, id_, channel, rule.rule if rule else None, telling.event, loud=telling.loud, content=said
        )
        sent.setdefault(telling.event, []).append(name)
    if not routes and not known and row["status"] == "open":
        why = "no rule matches" if rules else "there is no alert rule"
        incidents.note(
            conn, id_, "notified", f"Nobody is told: {why}", detail={"event": "trigger", "channels": []}
        )
    for event, names in sent.items():
        incidents.note(
            conn,
            id_,
            "notified",
            f"{_WORDS[event]}: {', '.join(sorted(names))}",
            detail={"event": event, "channels": sorted(names)},
        )
    incidents.told(conn, id_, row["severity"])


_WORDS = {
    "trigger": "Told",
    "update": "Told what changed",
    "acknowledge": "Told that it is acknowledged",
    "remind": "Told again, for nobody acknowledged",
    "resolve": "Told that it is over",
}


def _keep_back(
    conn: Conn,
    row: Mapping[str, Any],
    todo: list[Any],
    routes: Mapping[UUID, routing.Route],
    silence: routing.Silence,
    until: datetime,
) -> None:
    """Note once for each channel that a silence keeps this back, and decide anew when it ends."""
    noted = notifications.silenced_by(conn, row["id"])
    fresh = [t for t in todo if (t[0], silence.id) not in noted]
    for channel, _, telling, _ in fresh:
        rule = routes.get(channel)
        notifications.put(
            conn,
            row["id"],
            channel,
            rule.rule if rule else None,
            telling.event,
            loud=telling.loud,
            content={"event": telling.event, "title": row["title"]},
            silence_id=silence.id,
        )
    if fresh:
        what = "maintenance" if silence.kind == "maintenance" else "a silence"
        incidents.note(
            conn,
            row["id"],
            "silenced",
            f"Nobody is told until {message.stamp(message.iso(until))}, by {what}: {silence.reason}",
            detail={"silence": str(silence.id), "until": message.iso(until)},
        )
    incidents.told(conn, row["id"], row["severity"], again_at=until)


def _said(row: Mapping[str, Any] | None) -> Said | None:
    said = (row or {}).get("content", {}).get("said")
    return Said(**said) if said else None


def content(
    conn: Conn,
    settings: Settings,
    row: Mapping[str, Any],
    telling: routing.Telling,
    here: Said,
    before: Said | None,
    rules: list[routing.Rule],
    rule: routing.Route | None,
    now: datetime,
) -> dict[str, Any]:
    """What a message says, kept with it: everything a reader needs, nothing of a row."""
    blast = row["blast"] or {}
    note = ""
    if before and before.root != here.root and row["status"] == "open":
        note = "The root cause was found since: this was told under another name."
    return Message(
        event=telling.event,
        loud=telling.loud,
        incident=str(row["id"]),
        number=row["number"],
        key=row["key"],
        status=row["status"],
        title=row["title"],
        severity=row["severity"],
        was_severity=before.severity if before and before.severity != row["severity"] else None,
        why=tuple(str(w) for w in row["severity_why"] or ()),
        root=row["root_name"] or row["producer_name"] or "",
        root_id=str(row["root_id"] or ""),
        root_kind=row["root_kind"] or ("producer" if row["producer_id"] is not None else ""),
        root_system=row["root_system"] or "",
        environment=row["root_environment"] or "",
        error=row["error"] or "",
        log_url=row["log_url"] or "",
        owner=row["owner_name"] or "",
        people=_people(conn, row["owner_id"]),
        acknowledged_by=row["acknowledged_by"] or "",
        assignee=row["assignee"] or "",
        failed=row["failed"],
        late=row["late"],
        recovered=row["recovered"],
        at_risk=blast.get("at_risk", 0) if blast or not row["graph_away"] else None,
        datasets=tuple(_dataset(d) for d in blast.get("datasets") or ()),
        opened_at=message.iso(row["opened_at"]),
        resolved_at=message.iso(row["resolved_at"]) if row["status"] == "resolved" else "",
        decided_at=message.iso(now),
        merged_into=row["into_number"] if row["status"] == "merged" else None,
        link=f"{settings.public_url}/incidents/{row['id']}" if settings.public_url else "",
        rule=next((r.name for r in rules if rule and r.id == rule.rule), ""),
        repeat_minutes=rule.repeat_minutes if rule and row["acknowledged_at"] is None else None,
        note=note,
        said={
            "status": here.status,
            "severity": here.severity,
            "root": here.root,
            "acknowledged": here.acknowledged,
            "members": here.members,
        },
    ).content()


def _dataset(d: Mapping[str, Any]) -> Dataset:
    minutes = d.get("sla_minutes")
    sla = ""
    if minutes:
        sla = f"{'fresh' if d.get('sla_kind') == 'freshness' else 'done'} within {_minutes(int(minutes))}"
    return Dataset(
        name=str(d.get("name") or ""),
        kind=str(d.get("kind") or ""),
        system=str(d.get("system") or ""),
        team=str(d.get("team") or ""),
        sla=sla,
        breaks_at=str(d.get("breaks_at") or ""),
    )


def _minutes(n: int) -> str:
    if n % 1440 == 0:
        return f"{n // 1440} day" + ("s" if n > 1440 else "")
    return f"{n // 60} h" if n % 60 == 0 else f"{n} min"


def _people(conn: Conn, team: UUID | None) -> tuple[str, ...]:
    """Whom to call: the owning team's people and where it is reached."""
    if team is None:
        return ()
    said = teams.get(conn, team)
    people = [
        f"{p['name']} <{p['email']}>" if p["name"] and p["email"] else p["name"] or p["email"]
        for p in said["people"]
    ]
    return (*people, *(f"{c['kind']} {c['target']}" for c in said["channels"]))


def remind(record: Record) -> int:
    """Put what nobody acknowledged into the outbox again, where its rule says so; how many."""
    with record.tx() as conn:
        due = notifications.to_remind(conn)
        for row in due:
            before = message.of(row["content"])
            said = before.content() | {
                "event": "remind",
                "loud": True,
                "note": "",
                "decided_at": message.iso(datetime.now(UTC)),
            }
            kind = channels.KINDS[row["kind"]]
            if kind.hears(row["fields"], "remind", True):
                notifications.put(
                    conn,
                    row["incident_id"],
                    row["channel_id"],
                    row["rule_id"],
                    "remind",
                    loud=True,
                    content=said,
                )
                text = f"{_WORDS['remind']}: {row['channel_name']}"
                incidents.note(
                    conn,
                    row["incident_id"],
                    "notified",
                    text,
                    detail={"event": "remind", "channels": [row["channel_name"]]},
                )
    return len(due)


# ---------------------------------------------------------------- sending


class Outbox:
    """What this process is sending."""

    def __init__(self, record: Record, settings: Settings) -> None:
        self.record, self.settings = record, settings
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="send")
        self._flying: dict[Future[bool], UUID] = {}

    def send(self) -> int:
        """Take what is due and let it fly; how many ended, or are on their way."""
        ended = self._landed()
        n = Counter(self._flying.values())
        room = THREADS - len(self._flying)
        if room > 0:
            with self.record.tx() as conn:
                rows = notifications.take(conn, room, [c for c in n if n[c] >= EACH], EACH)
            for row in rows:
                self._flying[self._pool.submit(self._one, row)] = row["channel_id"]
        if not self._flying:
            return ended
        wait(self._flying, timeout=PATIENCE, return_when=FIRST_COMPLETED)
        return ended + self._landed() + len(self._flying)

    def settle(self, timeout: float) -> None:
        wait(self._flying, timeout=timeout)
        self._landed()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _landed(self) -> int:
        done = [f for f in self._flying if f.done()]
        for f in done:
            del self._flying[f]
            if (e := f.exception()) is not None:
                log.error("a message was lost sight of, and is sent again", exc_info=e)
        return len(done)

    def _one(self, row: Mapping[str, Any]) -> bool:
        """Send one message and write down what came of it."""
        try:
            sent = send(self.settings, row)
        except NotSent as e:
            again = routing.wait(row["attempts"], random.random(), e.after) if e.again else None  # noqa: S311
            error = f"{e.message}. {e.hint}" if e.hint else e.message
            return self._write(lambda conn: _failed(conn, row, error, again))
        return self._write(
            lambda conn: notifications.delivered(conn, row, sent.answer, sent.reference or row["before"])
        )

    def _write(self, how: Any) -> bool:
        """What is sent and not written down would be sent again: so while the record is away, wait for it."""
        end = time.monotonic() + WRITE_DOWN
        while True:
            try:
                with self.record.tx() as conn:
                    return bool(how(conn))
            except RecordAway:
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)


def send(settings: Settings, row: Mapping[str, Any]) -> channels.Sent:
    """Send one message of the outbox; anything that goes wrong is :class:`NotSent`."""
    kind = channels.KINDS[row["kind"]]
    try:
        link = channels.opened(settings, {**row, "id": row["channel_id"], "name": row["channel_name"]})
    except DlvError as e:  # a secret that does not open today may open once its key is back
        raise NotSent(e.message, hint=e.hint or "") from None
    try:
        return kind.send(link, message.of(row["content"]), str(row["id"]), row["before"])
    except NotSent:
        raise
    except Exception as e:
        log.exception("sending by %s failed", row["channel_name"])
        raise NotSent(f"DLV could not send it ({type(e).__name__}); its log says why") from None


def _failed(conn: Conn, row: Mapping[str, Any], error: str, again: float | None) -> bool:
    done = notifications.failed(conn, row, error, again)
    if done and again is None and row["incident_id"] is not None:
        incidents.note(
            conn,
            row["incident_id"],
            "notified",
            f"{row['channel_name']} could not be told: {error}",
            detail={"event": row["event"], "channels": [row["channel_name"]], "failed": True},
        )
    return done


_outboxes: dict[int, Outbox] = {}
_making = threading.Lock()


def _outbox(record: Record, settings: Settings) -> Outbox:
    """The outbox of this record in this process. A worker forks for each job, so it is made in the child."""
    with _making:
        found = _outboxes.get(id(record))
        if found is None or found.record is not record:
            found = _outboxes[id(record)] = Outbox(record, settings)
        return found
