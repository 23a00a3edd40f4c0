"""What DLV itself missed: times in which one of its parts did not work, or the clock was moved. Uptime leaves them out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from checks import schedule
from store import beats, results
from store.record import LOCK_GAPS, Conn

#: seconds that the newest sign of life may lie ahead before the clock is taken to have gone back
BACK_SECONDS = 10
#: parts without which nothing is known of targets: their gaps are left out of uptime
LOOKING = ("scheduler", "check")


def note(conn: Conn, part: str, began: datetime, ended: datetime | None, reason: str) -> None:
    """Write a gap; ``ended`` None: it lasts."""
    conn.execute(
        "insert into own_gap (part, began_at, ended_at, reason) values (%s, %s, %s, %s)",
        (part, began, ended, reason),
    )


def between(
    conn: Conn, since: datetime, until: datetime, parts: tuple[str, ...] = LOOKING
) -> list[tuple[datetime, datetime]]:
    """The times of these parts' gaps between two moments, merged, oldest first."""
    rows = conn.execute(
        """select unnest(range_agg(tstzrange(greatest(began_at, %(since)s), least(coalesce(ended_at, dlv_now()), %(until)s)))) as r
             from own_gap where part = any(%(parts)s) and began_at < %(until)s and coalesce(ended_at, dlv_now()) > %(since)s
              and coalesce(ended_at, dlv_now()) >= began_at""",
        {"since": since, "until": until, "parts": list(parts)},
    ).fetchall()
    return [(r["r"].lower, r["r"].upper) for r in rows if r["r"].lower is not None]


def scheduler_beat(conn: Conn, instance: str, detail: dict[str, Any], alive_for: float | None) -> list[str]:
    """A scheduler's sign of life, and what it finds: a time without any scheduler, a clock that was moved, parts that
    went away or came back. Returns what it noted, in words.

    ``alive_for``: seconds that passed for this process since its own last sign of life, by a clock that nobody sets;
    None where it is its first.
    """
    conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_GAPS,))
    row = conn.execute(
        """select dlv_now() as now, max(at) as last, extract(epoch from dlv_now() - max(at))::float8 as ago
             from part_beat where part = 'scheduler'"""
    ).fetchone()
    assert row is not None
    said = []
    if row["last"] is not None and row["ago"] < -BACK_SECONDS:
        said.append(f"the clock went back by {_span(-row['ago'])}")
        note(conn, "scheduler", row["now"], row["last"], said[-1])
        mend_clock(conn, row["now"])
    elif row["last"] is not None and row["ago"] > beats.AWAY_SECONDS:
        if alive_for is None:
            said.append("DLV did not run")
        elif row["ago"] - alive_for > beats.AWAY_SECONDS / 2:
            said.append(f"the clock went forward by {_span(row['ago'] - alive_for)}")
        else:
            said.append("the scheduler could not reach the record")
        note(conn, "scheduler", row["last"], row["now"], said[-1])
    beats.note(conn, "scheduler", instance, detail)
    return said + watch(conn)


def watch(conn: Conn) -> list[str]:
    """Open a gap for each other part that gives no sign of life, and end those of parts that are back."""
    said = []
    open_ = {r["part"]: r["id"] for r in conn.execute("select id, part from own_gap where ended_at is null")}
    for b in beats.newest(conn):
        part = b["part"]
        if part == "scheduler":
            continue
        if b["ago"] > beats.AWAY_SECONDS and part not in open_:
            said.append(
                "no web gives a sign of life" if part == "web" else f"no {part} worker gives a sign of life"
            )
            note(conn, part, b["at"], None, said[-1])
        elif b["ago"] <= beats.AWAY_SECONDS and part in open_:
            said.append(f"{part} is back")
            conn.execute("update own_gap set ended_at = dlv_now() where id = %s", (open_[part],))
    return said


def mend_clock(conn: Conn, now: datetime) -> None:
    """After the clock went back: nothing waits for a time that lies hours ahead now.

    What was looked at stays as it ended; what was only written down as not looked at, for slots that are still to
    come now, is taken back, and so those slots are made when they are due.
    """
    rows = conn.execute(
        """select id, every_seconds, offset_seconds, next_slot_at from health_check
            where next_slot_at > %s order by id for update""",
        (now,),
    ).fetchall()
    for r in rows:
        rhythm = r["every_seconds"], r["offset_seconds"]
        if r["next_slot_at"] > schedule.slot_after(now, *rhythm):
            conn.execute(
                # the newest too: it may have come after the clock was set and before this was noticed
                "update health_check set next_slot_at = %s where id = %s",
                (schedule.slot_before(now, *rhythm), r["id"]),
            )
    # a slot of this very moment is no more to come: it stays (what ``until`` names is the first that is not missed)
    upto = now + timedelta(microseconds=1)
    conn.execute("update check_missed set until = %(u)s where until > %(u)s", {"u": upto})
    conn.execute("delete from check_missed where since >= until")
    conn.execute("delete from check_slot where slot_at > %s and attempts = 0", (now,))
    conn.execute(
        """update check_slot set made_at = least(made_at, %(now)s), due_again = least(due_again, %(now)s),
                  deadline_at = least(deadline_at, %(now)s + interval '60 seconds')
            where made_at > %(now)s or deadline_at > %(now)s + interval '60 seconds'""",
        {"now": now},
    )
    taken: list[UUID] = [
        r["check_id"]
        for r in conn.execute(
            """with gone as (delete from check_result where slot_at > %s and attempts = 0 and status = 'not_checked'
                             returning check_id) select distinct check_id from gone""",
            (now,),
        )
    ]
    results.recompute(conn, taken, now)
    conn.execute("update check_state set slot_at = %s where slot_at > %s", (now, now))
    conn.execute("update part_beat set at = %s where at > %s", (now, now))
    conn.execute("update own_gap set ended_at = %s where ended_at is null and began_at > %s", (now, now))


def _span(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
