"""How DLV's own parts are, from their signs of life and from what waits for them: the one answer that the banner, the
status, the metrics and the dead-man ping give."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from store import beats
from store.record import Conn

#: parts that give a sign of life, by what people call them
NAMES = {
    "scheduler": "scheduler",
    "fold": "worker that reads events",
    "project": "worker that keeps the graph",
    "check": "worker that looks at systems",
    "alert": "worker that tells people",
}
#: what people are to be told may wait this long before the alerter is called behind
BEHIND = timedelta(seconds=60)


def look(conn: Conn) -> dict[str, dict[str, Any]]:
    """{part: {ok, since, reason, ago, instances}}: ``ago`` in seconds since its newest sign of life (None: never one),
    ``since`` when it went away or fell behind.

    A part that never gave a sign is away where another one did, but for the first minutes after an installation; where
    none ever did nothing is said, for then only the web was ever started.
    """
    # the web is no part that one could be told of: where it is away nobody asks
    seen = {r["part"]: r for r in beats.newest(conn) if r["part"] in NAMES}
    waits = conn.execute(
        """select now() as now, (select min(marked_at) from transition_pending) as undecided,
                  (select min(notify_at) from incident) as untold,
                  (select min(next_try_at) from notification where status = 'pending') as unsent,
                  (select max(applied_at) from schema_migration) < now() - interval '2 minutes' as settled"""
    ).fetchone()
    assert waits
    out: dict[str, dict[str, Any]] = {}
    for part, name in NAMES.items():
        beat = seen.get(part)
        said: dict[str, Any] = {
            "ok": True,
            "since": None,
            "reason": None,
            "ago": beat["ago"] if beat else None,
            "instances": beat["instances"] if beat else 0,
        }
        if beat is None and seen and waits["settled"]:
            said |= {"ok": False, "reason": f"no {name} was ever started"}
        elif beat is not None and beat["ago"] > beats.AWAY_SECONDS:
            said |= {
                "ok": False,
                "since": beat["at"],
                "reason": f"no {name} gives a sign of life since {beat['at'].astimezone(UTC):%H:%M:%S} UTC",
            }
        out[part] = said
    if out["alert"]["ok"] and seen:
        out["alert"] |= _behind(waits)
    return out


def _behind(waits: dict[str, Any]) -> dict[str, Any]:
    words = {
        "undecided": "changes of health wait to be decided about",
        "untold": "incidents wait to be told",
        "unsent": "messages wait to be sent",
    }
    late: list[tuple[datetime, str]] = [
        (waits[key], said) for key, said in words.items() if waits[key] and waits["now"] - waits[key] > BEHIND
    ]
    if not late:
        return {}
    since, said = min(late)
    return {"ok": False, "since": since, "reason": f"{said} since {since.astimezone(UTC):%H:%M:%S} UTC"}
