"""Incidents, rules and channels for the tests of telling people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from alerts import channels
from settings import Settings
from store import alert_rules
from store.audit import SYSTEM
from store.record import Conn, Record

KEY = "one-two-three-four-five"


def a_node(
    conn: Conn, name: str, *, team: UUID | None = None, tags: list[str] | None = None, **more: Any
) -> UUID:
    """A node with its one alias."""
    id_ = uuid4()
    said = {"type": "dataset", "kind": "table", "system": "postgres", "environment": "prod"} | more
    conn.execute(
        """insert into node (id, type, kind, system, environment, namespace, name, owner_id, tags, first_seen, last_seen)
           values (%s, %s, %s, %s, %s, 'postgres://shop', %s, %s, %s, now(), now())""",
        (id_, said["type"], said["kind"], said["system"], said["environment"], name, team, tags or []),
    )
    columns = {"id": id_, "node_id": id_, "namespace": "postgres://shop", "name": name} | {
        k: said[k] for k in ("type", "kind", "system", "environment")
    }
    have = {
        r["column_name"]
        for r in conn.execute("select column_name from information_schema.columns where table_name = 'alias'")
    }
    columns |= {k: datetime.now(UTC) for k in ("first_seen", "last_seen") if k in have}
    columns = {k: v for k, v in columns.items() if k in have}
    names = ", ".join(columns)
    marks = ", ".join(f"%({k})s" for k in columns)
    conn.execute(f"insert into alias ({names}) values ({marks})", columns)
    return id_


def a_team(conn: Conn, name: str) -> UUID:
    id_ = uuid4()
    conn.execute(
        "insert into team (id, name, people, channels) values (%s, %s, %s, %s)",
        (
            id_,
            name,
            Jsonb([{"name": "Ada Lovelace", "email": "ada@example.com"}]),
            Jsonb([{"kind": "slack", "target": "#data-oncall"}]),
        ),
    )
    return id_


def an_incident(conn: Conn, root: UUID, *others: UUID, title: str = "orders failed", **more: Any) -> UUID:
    """An open incident that is due to be told."""
    id_ = uuid4()
    said = {
        "id": id_,
        "key": f"dlv-{id_}",
        "root_node": root,
        "title": title,
        "error": 'relation "orders" does not exist',
        "log_url": "https://airflow.example.com/log?dag=a&task=b",
        "severity": 3,
        "severity_why": Jsonb(["3: 12 datasets lie below"]),
        "blast": Jsonb({}),
        "opened_at": datetime.now(UTC),
        "notify_at": datetime.now(UTC),
    } | more
    names = ", ".join(said)
    conn.execute(f"insert into incident ({names}) values ({', '.join(f'%({k})s' for k in said)})", said)
    for n, node in enumerate((root, *others)):
        conn.execute(
            """insert into incident_member (incident_id, node_id, role, health, joined_at)
               values (%s, %s, %s, 'failed', now())""",
            (id_, node, "symptom" if n else "root"),
        )
    return id_


def change(record: Record, id_: UUID, **said: Any) -> None:
    """Something of an incident changed, and people are to hear of it."""
    sets = ", ".join(f"{k} = %({k})s" for k in said) + ("," if said else "")
    with record.tx() as conn:
        conn.execute(f"update incident set {sets} notify_at = now() where id = %(id)s", said | {"id": id_})


def a_webhook(record: Record, settings: Settings, url: str, name: str = "hook", **fields: Any) -> UUID:
    with record.tx() as conn:
        row = channels.create(
            conn, settings, SYSTEM, name, "webhook", {"url": url, **fields}, {"signing_key": KEY}
        )
    return row["id"]


def a_rule(record: Record, *told: UUID, name: str = "everything", **more: Any) -> UUID:
    with record.tx() as conn:
        row = alert_rules.create(conn, SYSTEM, {"name": name, "channels": list(told), **more})
    return row["id"]


def log(record: Record) -> list[tuple[str, str]]:
    """(event, status) of the outbox in its order."""
    return [
        (r["event"], r["status"]) for r in record.all("select event, status from notification order by seq")
    ]


def due_now(record: Record) -> None:
    """As if the waits were over: of tries, and of whoever took a message and died."""
    with record.tx() as conn:
        conn.execute(
            """update notification set next_try_at = now(), held_until = case when held_until is null then null else now() end
                where status = 'pending'"""
        )
