"""The schedule's rows: slots are made when they are due, taken by one worker at a time, and end exactly once.

A slot that is due stands in ``check_slot``; the transaction that takes it from there puts what it ended as into
``check_result``. Any number of schedulers and workers may do all of this at once. Time is Postgres's (``dlv_now()``).
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from checks import schedule
from checks.result import Verdict, node_health
from errors import RecordAway
from store import health, partitions, silences
from store.record import LOCK_TAKE, Conn, Record

log = logging.getLogger("dlv.slots")

#: looks at once through one connection, of all workers together
AT_ONCE = 2
#: seconds a look lasts at most
LOOK_SECONDS = 30
#: seconds a slot waits for a worker, or for its connection, before it ends as not_checked
WAIT_SECONDS = 60
#: seconds an attempt is waited for: the look, and time to write what it saw
ATTEMPT_SECONDS = LOOK_SECONDS + 12
#: seconds a slot waits for its second attempt
AGAIN_SECONDS = 10
ATTEMPTS = 2

DIED = Verdict("error", "the worker that looked at it died")
HUNG = Verdict("error", "the worker that looked at it did not come back in time")
NOBODY = Verdict("not_checked", f"no check worker took it within {WAIT_SECONDS} s")
BUSY = Verdict(
    "not_checked",
    f"waited {WAIT_SECONDS} s for its connection: other checks look through it, {AT_ONCE} at once at most",
)


# ---------------------------------------------------------------- making slots


def due(conn: Conn, limit: int = 500, checks: Iterable[UUID] | None = None) -> int:
    """Make the slots of checks whose time has come, of at most ``limit`` checks; returns how many checks those were.

    The newest slot of each is made, to be looked at; those that passed before it are noted in one row and written as
    not_checked by :func:`fill`. Whoever changes a check's interval, or pauses or removes it, calls this with its id
    first, in the same transaction, with the check's row locked (what others have locked is left to them): what was due
    until then is then made by the old interval. ``checks``: only these.
    """
    rows = conn.execute(
        """select c.id, c.node_id, c.every_seconds, c.offset_seconds, c.next_slot_at, c.muted_until,
                  dlv_now() as now
             from health_check c
            where c.next_slot_at <= dlv_now() and (%(only)s::uuid[] is null or c.id = any(%(only)s))
            order by c.next_slot_at limit %(limit)s for update of c skip locked""",
        {"limit": limit, "only": None if checks is None else list(checks)},
    ).fetchall()
    if not rows:
        return 0
    wanted = []
    for r in rows:
        what = schedule.due(r["next_slot_at"], r["every_seconds"], r["offset_seconds"], r["now"])
        if what is None:  # between two slots of an interval that was changed: the next one is set right below
            after = schedule.slot_after(r["now"], r["every_seconds"], r["offset_seconds"])
            what = schedule.Due(after, after, 0, after)
        wanted.append((r, what))
    _advance(conn, {r["id"]: d.after for r, d in wanted})
    wanted = [(r, d) for r, d in wanted if d.newest < d.after]
    partitions.ensure_days(conn, "check_result", {d.newest for _, d in wanted})
    _note_missed(conn, [(r, d) for r, d in wanted if d.missed])
    muted = _muted(conn, [r for r, _ in wanted])
    _make(conn, [(r, d.newest) for r, d in wanted if r["id"] not in muted])
    nodes: set[UUID] = set()
    for r, d in wanted:
        if r["id"] in muted:
            nodes |= _end(conn, r["id"], d.newest, Verdict("muted", muted[r["id"]]))
    _judge(conn, nodes)
    return len(rows)


def now(conn: Conn, check_id: UUID) -> datetime | None:
    """A slot at once, beside the rhythm; returns its time. One that waits for a worker already is as good. None where
    the check is paused, muted, under maintenance, or removed: it does not look now."""
    row = conn.execute(
        """select c.id, a.node_id, c.muted_until, dlv_now() as now from health_check c join alias a on a.id = c.node_id
            where c.id = %s and c.paused_at is null and c.retired_at is null for update of c""",
        (check_id,),
    ).fetchone()
    if row is None or _muted(conn, [row]):
        return None
    waits = conn.execute(
        "select slot_at from check_slot where check_id = %s and token is null order by slot_at desc limit 1",
        (check_id,),
    ).fetchone()
    if waits:
        at: datetime = waits["slot_at"]
        return at
    at = row["now"]  # to the microsecond, so that it is none of the rhythm's
    partitions.ensure_days(conn, "check_result", {at})
    _make(conn, [(row, at)])
    return at


def _muted(conn: Conn, checks: list[dict[str, Any]]) -> dict[UUID, str]:
    """Those of these checks whose slots end as muted now, and why: by hand, or under planned maintenance."""
    if not checks:
        return {}
    planned = silences.covering(conn, {r["node_id"] for r in checks}, checks[0]["now"])
    out = {}
    for r in checks:
        window = planned.get(r["node_id"])
        if r["muted_until"] and r["muted_until"] > r["now"]:
            out[r["id"]] = f"muted until {r['muted_until']:%Y-%m-%d %H:%M} UTC"
        elif window and window.kind == "maintenance":
            out[r["id"]] = f"planned maintenance: {window.reason}"
    return out


def _advance(conn: Conn, after: dict[UUID, datetime]) -> None:
    conn.execute(
        """update health_check c set next_slot_at = x.at
             from unnest(%s::uuid[], %s::timestamptz[]) as x(id, at) where c.id = x.id""",
        (list(after), list(after.values())),
    )


def _make(conn: Conn, wanted: list[tuple[dict[str, Any], datetime]]) -> None:
    # after the clock went back a slot may have ended already: it stays as it ended
    conn.execute(
        """insert into check_slot (check_id, slot_at, deadline_at)
           select x.id, x.at, dlv_now() + %s * interval '1 second' from unnest(%s::uuid[], %s::timestamptz[]) as x(id, at)
            where not exists (select 1 from check_result r where r.check_id = x.id and r.slot_at = x.at)
           on conflict do nothing""",
        (WAIT_SECONDS, [r["id"] for r, _ in wanted], [at for _, at in wanted]),
    )


def _note_missed(conn: Conn, wanted: list[tuple[dict[str, Any], schedule.Due]]) -> None:
    if not wanted:
        return
    gap = conn.execute(
        """select reason from own_gap where part = 'scheduler' and ended_at > dlv_now() - interval '2 minutes'
            order by id desc limit 1"""
    ).fetchone()
    conn.execute(
        """insert into check_missed (check_id, since, until, every_seconds, reason)
           select x.*, %s from unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[], %s::int[]) x""",
        (
            f"not looked at: {gap['reason'] if gap else 'the scheduler came too late'}",
            [r["id"] for r, _ in wanted],
            [d.first for _, d in wanted],
            [d.newest for _, d in wanted],
            [r["every_seconds"] for r, _ in wanted],
        ),
    )


def fill(conn: Conn, keep_days: int, limit: int = 10_000) -> int:
    """Write some of the slots that passed while DLV did not run, as not_checked; returns how many rows of work were
    looked at (0: nothing is left). What is older than ``keep_days`` would be dropped at once and is left out."""
    debts = conn.execute(
        """select id, check_id, greatest(since, since + ceil(greatest(0, extract(epoch from
                    dlv_now() - %s * interval '1 day' - since)) / every_seconds) * every_seconds * interval '1 second') as since,
                  until, every_seconds, reason
             from check_missed order by id limit 200 for update skip locked""",
        (keep_days,),
    ).fetchall()
    if not debts:
        return 0
    each = max(1, limit // len(debts))
    upto = [min(d["until"], d["since"] + timedelta(seconds=each * d["every_seconds"])) for d in debts]
    days = {
        d["since"] + timedelta(days=n)
        for d, end in zip(debts, upto, strict=True)
        for n in range((end - d["since"]).days + 2)
    }
    partitions.ensure_days(conn, "check_result", days)
    conn.execute(
        """
        with slot as (
            select d.check_id, s as slot_at, d.reason
              from unnest(%(check)s::uuid[], %(since)s::timestamptz[], %(upto)s::timestamptz[], %(every)s::int[], %(reason)s::text[])
                   as d(check_id, since, upto, every, reason),
                   generate_series(d.since, d.upto - interval '1 microsecond', d.every * interval '1 second') s),
        ended as (
            insert into check_result (check_id, slot_at, status, reason)
            select check_id, slot_at, 'not_checked', reason from slot
             where not exists (select 1 from check_slot o where (o.check_id, o.slot_at) = (slot.check_id, slot.slot_at))
            on conflict do nothing returning check_id, slot_at)
        insert into check_rollup (grain, at, check_id, not_checked)
        select g, date_trunc(g, slot_at, 'UTC'), check_id, count(*)
          from ended, unnest(array['minute', 'hour', 'day']) g group by 1, 2, 3
        on conflict (check_id, grain, at) do update set not_checked = check_rollup.not_checked + excluded.not_checked
        """,
        {
            "check": [d["check_id"] for d in debts],
            "since": [d["since"] for d in debts],
            "upto": upto,
            "every": [d["every_seconds"] for d in debts],
            "reason": [d["reason"] for d in debts],
        },
    )
    conn.execute(
        """update check_missed m set since = x.upto
             from unnest(%s::bigint[], %s::timestamptz[]) as x(id, upto) where m.id = x.id""",
        ([d["id"] for d in debts], upto),
    )
    conn.execute(
        "delete from check_missed where since >= until and id = any(%s)", ([d["id"] for d in debts],)
    )
    return len(debts)


# ---------------------------------------------------------------- taking them


class HolderLost(Exception):
    """The lock that shows others that we live is gone: what we held is given to others, and we need a new one."""


@dataclass(frozen=True)
class Holder:
    """A process that looks. Its advisory lock is held by a connection of its own, so it is free once the process is
    dead, however it died."""

    key: int
    _conn: psycopg.Connection[dict[str, Any]]

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._conn.close()


def holder(record: Record) -> Holder:
    """Take a lock that nobody else has. Raises :class:`errors.RecordAway`."""
    key = secrets.randbelow(2**61) + 2**32
    try:
        conn: Conn = psycopg.connect(
            record.url,
            autocommit=True,
            connect_timeout=5,
            application_name="dlv holder",
            row_factory=dict_row,  # type: ignore[arg-type]
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        conn.execute("select pg_advisory_lock(%s)", (key,))
    except psycopg.OperationalError as e:
        raise RecordAway("the record (Postgres) does not answer", hint="see /readyz") from e
    return Holder(key, conn)


#: the advisory locks that are held in this database, as their keys
_HELD = """select (classid::bigint << 32) | objid::bigint from pg_locks
    where locktype = 'advisory' and objsubid = 1 and granted
      and database = (select oid from pg_database where datname = current_database())"""


def take(conn: Conn, limit: int, held: int) -> list[dict[str, Any]]:
    """Take up to ``limit`` slots, oldest first, for the process that holds the lock ``held``; at most :data:`AT_ONCE`
    looks through one connection. Each row names the check, its kind and connection, and the ``token`` of the attempt.

    Raises :class:`HolderLost` where nobody holds that lock.
    """
    if limit < 1:
        return []
    # one at a time, so that two workers never count the same free place
    conn.execute("select pg_advisory_xact_lock(%s)", (LOCK_TAKE,))
    row = conn.execute(f"select %(key)s in ({_HELD}) as held", {"key": held}).fetchone()
    if not row or not row["held"]:
        raise HolderLost
    return conn.execute(
        """
        with ready as (
            select s.check_id, s.slot_at, c.connection_id,
                   row_number() over (partition by c.connection_id order by s.slot_at, s.check_id) as nth
              from check_slot s join health_check c on c.id = s.check_id
             where s.due_again <= dlv_now()),
        busy as (select connection_id, count(*) as n from check_look group by 1),
        pick as (
            select r.check_id, r.slot_at from ready r left join busy b on b.connection_id = r.connection_id
             where r.connection_id is null or r.nth + coalesce(b.n, 0) <= %(at_once)s
             order by r.slot_at, r.check_id limit %(limit)s),
        taken as (
            update check_slot s
               set token = gen_random_uuid(), holder = %(held)s, attempts = s.attempts + 1, due_again = null,
                   started_at = dlv_now(), deadline_at = dlv_now() + %(attempt)s * interval '1 second'
              from pick p where s.check_id = p.check_id and s.slot_at = p.slot_at and s.due_again is not null
            returning s.*),
        looks as (
            insert into check_look (id, connection_id, holder)
            select t.token, c.connection_id, t.holder from taken t join health_check c on c.id = t.check_id
             where c.connection_id is not null)
        select t.check_id, t.slot_at, t.token, t.attempts, t.started_at, c.name, c.kind, c.connection_id, c.paused_at
          from taken t join health_check c on c.id = t.check_id
         order by t.slot_at, t.check_id
        """,
        {"limit": limit, "held": held, "at_once": AT_ONCE, "attempt": ATTEMPT_SECONDS},
    ).fetchall()


def give_back(conn: Conn, tokens: Iterable[UUID]) -> int:
    """Slots whose look was broken off because the worker stops: as if they had not been taken; returns how many."""
    found = conn.execute(
        """update check_slot set token = null, holder = null, attempts = attempts - 1, due_again = dlv_now(),
                  started_at = null, deadline_at = dlv_now() + %s * interval '1 second'
            where token = any(%s)""",
        (WAIT_SECONDS / 2, list(tokens)),
    )
    return found.rowcount


def look_ended(conn: Conn, token: UUID) -> None:
    """The thread of this attempt no longer looks: its place at the connection is free."""
    conn.execute("delete from check_look where id = %s", (token,))


def waiting(conn: Conn) -> bool:
    """Whether a slot may be taken now."""
    return (
        conn.execute("select 1 from check_slot where due_again <= dlv_now() limit 1").fetchone() is not None
    )


# ---------------------------------------------------------------- ending them


def finish(conn: Conn, check_id: UUID, slot_at: datetime, token: UUID, verdict: Verdict) -> bool:
    """End a slot: result, rollups, the check's state and its node's health, in this transaction.

    False, and nothing is written, where ``token`` no longer holds the slot: it was given to another attempt, or has
    ended.
    """
    row = conn.execute(
        """delete from check_slot where check_id = %s and slot_at = %s and token = %s
           returning attempts, started_at""",
        (check_id, slot_at, token),
    ).fetchone()
    if row is None:
        return False
    _judge(conn, _end(conn, check_id, slot_at, verdict, row["attempts"], row["started_at"]))
    return True


def _end(
    conn: Conn,
    check_id: UUID,
    slot_at: datetime,
    verdict: Verdict,
    attempts: int = 0,
    started_at: datetime | None = None,
) -> set[UUID]:
    """Write what a slot ended as; returns the node whose health it may have changed."""
    was = conn.execute(
        """select a.node_id, c.severity, s.health, s.reason, s.slot_at
             from health_check c join alias a on a.id = c.node_id left join check_state s on s.check_id = c.id
            where c.id = %s for no key update of c""",
        (check_id,),
    ).fetchone()
    said = node_health(verdict, was["severity"] if was else "error")
    done = conn.execute(
        """
        with ended as (
            insert into check_result (check_id, slot_at, status, attempts, started_at, value, reason, detail)
            values (%(check)s, %(slot)s, %(status)s, %(attempts)s, %(started)s, %(value)s, %(reason)s, %(detail)s)
            on conflict do nothing returning check_id, slot_at, status, value)
        insert into check_rollup (grain, at, check_id, ok, warn, fail, error, not_checked, muted,
                                  value_min, value_max, value_sum, value_n)
        select g, date_trunc(g, slot_at, 'UTC'), check_id, (status = 'ok')::int, (status = 'warn')::int,
               (status = 'fail')::int, (status = 'error')::int, (status = 'not_checked')::int,
               (status = 'muted')::int, value, value, value, (value is not null)::int
          from ended, unnest(array['minute', 'hour', 'day']) g
        on conflict (check_id, grain, at) do update set
            ok = check_rollup.ok + excluded.ok, warn = check_rollup.warn + excluded.warn,
            fail = check_rollup.fail + excluded.fail, error = check_rollup.error + excluded.error,
            not_checked = check_rollup.not_checked + excluded.not_checked,
            muted = check_rollup.muted + excluded.muted,
            value_min = least(check_rollup.value_min, excluded.value_min),
            value_max = greatest(check_rollup.value_max, excluded.value_max),
            value_sum = coalesce(check_rollup.value_sum + excluded.value_sum, check_rollup.value_sum, excluded.value_sum),
            value_n = check_rollup.value_n + excluded.value_n
        """,
        {
            "check": check_id,
            "slot": slot_at,
            "status": verdict.status,
            "attempts": attempts,
            "started": started_at,
            "value": verdict.value,
            "reason": verdict.reason[:1000],
            "detail": None if verdict.detail is None else Jsonb(dict(verdict.detail)),
        },
    ).rowcount
    if not done or was is None or (was["slot_at"] is not None and was["slot_at"] > slot_at):
        return set()
    conn.execute(
        """insert into check_state as s (check_id, status, health, reason, since, slot_at, value, memory)
           values (%(check)s, %(status)s, %(health)s, %(reason)s, %(slot)s, least(%(slot)s, dlv_now()), %(value)s, coalesce(%(memory)s::jsonb, '{}'))
           on conflict (check_id) do update set
             status = excluded.status, health = excluded.health, reason = excluded.reason,
             since = case when s.health = excluded.health and s.since is not null then s.since else excluded.since end,
             slot_at = excluded.slot_at, value = excluded.value, memory = coalesce(%(memory)s::jsonb, s.memory)""",
        {
            "check": check_id,
            "status": verdict.status,
            "health": said,
            "reason": verdict.reason[:500],
            "slot": slot_at,
            "value": verdict.value,
            "memory": None if verdict.memory is None else Jsonb(dict(verdict.memory)),
        },
    )
    changed = (was["health"], was["reason"]) != (said, verdict.reason[:500])
    return {was["node_id"]} if changed else set()


def _judge(conn: Conn, nodes: set[UUID]) -> None:
    if nodes:
        row = conn.execute("select dlv_now() as now").fetchone()
        assert row is not None
        health.judge(conn, nodes, row["now"])


# ---------------------------------------------------------------- what nobody holds


def sweep(conn: Conn, limit: int = 200) -> int:
    """Slots whose worker died or did not come back get another attempt, then end as error; those that nobody took
    in time end as not_checked. Returns how many were touched."""
    rows = conn.execute(
        f"""with alive as materialized ({_HELD})
            select s.check_id, s.slot_at, s.attempts, s.started_at, s.holder is not null as held,
                   s.made_at > dlv_now() - {WAIT_SECONDS} * interval '1 second' as young,
                   s.holder is not null and s.holder not in (table alive) as dead,
                   (select count(*) from check_look l where l.connection_id = c.connection_id) as looks
              from check_slot s join health_check c on c.id = s.check_id
             where s.deadline_at <= dlv_now() or (s.holder is not null and s.holder not in (table alive))
             order by s.deadline_at limit %s for update of s skip locked""",
        (limit,),
    ).fetchall()
    nodes: set[UUID] = set()
    for r in sorted(rows, key=lambda r: r["check_id"]):  # whoever locks several checks does it in this order
        if r["held"] and r["attempts"] < ATTEMPTS and r["young"]:
            conn.execute(
                """update check_slot set token = null, holder = null, due_again = dlv_now(),
                          deadline_at = dlv_now() + %s * interval '1 second'
                    where check_id = %s and slot_at = %s""",
                (AGAIN_SECONDS, r["check_id"], r["slot_at"]),
            )
            continue
        if r["held"] or r["attempts"]:
            verdict = DIED if r["dead"] or not r["held"] else HUNG
        else:
            verdict = BUSY if r["looks"] >= AT_ONCE else NOBODY
        try:
            with conn.transaction():  # one that cannot be ended holds up no other
                conn.execute(
                    "delete from check_slot where check_id = %s and slot_at = %s",
                    (r["check_id"], r["slot_at"]),
                )
                nodes |= _end(conn, r["check_id"], r["slot_at"], verdict, r["attempts"], r["started_at"])
        except Exception:
            log.exception("the slot %s of check %s could not be ended", r["slot_at"], r["check_id"])
    try:
        with conn.transaction():  # after all checks are locked: the order in which who ends a slot locks them
            _judge(conn, nodes)
    except Exception:
        log.exception("nodes whose checks were given up could not be judged; they are again by and by")
    conn.execute(f"delete from check_look where holder not in ({_HELD})")
    return len(rows)
