"""Telling people, delivered to real listeners: what goes out, in which order, how often, and what becomes of it when
receivers or senders fail."""

from __future__ import annotations

import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.smtp import AuthResult
from psycopg.types.json import Jsonb

from alerts import channels
from settings import Settings, to_env
from store import alert_rules, incidents, notifications, silences
from store.audit import SYSTEM, Actor
from store.record import Record
from tests.conftest import eventually
from tests.integration import alarms as t
from tests.integration.certificates import Authority
from tests.integration.receivers import Receiver, listening, mail_server
from workers import delivery

ROOT = Path(__file__).resolve().parent.parent.parent
ANNA = Actor("user", "u1", "anna")


@pytest.fixture
def told(settled: Settings) -> Settings:
    return settled.with_(
        secrets_keys="main:" + "k" * 40, private_webhooks=True, public_url="https://dlv.example.com"
    )


@pytest.fixture
def http() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def run(record: Record, settings: Settings) -> None:
    """Deliver until nothing is due."""
    delivery.settle()
    while delivery.deliver(record, settings):
        pass


def orders_failed(record: Record) -> UUID:
    """An open incident of one node that is due to be told."""
    with record.tx() as conn:
        return t.an_incident(conn, t.a_node(conn, "orders"))


def to_its_end(record: Record, settings: Settings, id_: UUID) -> None:
    """Somebody acknowledges it and it resolves; each is told."""
    with record.tx() as conn:
        incidents.acknowledge(conn, ANNA, id_)
    run(record, settings)
    t.change(record, id_, status="resolved", resolved_at=datetime.now(UTC))
    run(record, settings)


# ---------------------------------------------------------------- what is said, from beginning to end


def test_an_incident_from_beginning_to_end(record: Record, told: Settings, http: Receiver) -> None:
    with record.tx() as conn:
        team = t.a_team(conn, "Orders")
        root, below = t.a_node(conn, "orders", team=team), t.a_node(conn, "revenue")
        id_ = t.an_incident(
            conn,
            root,
            owner_id=team,
            blast=Jsonb(
                {
                    "at_risk": 12,
                    "datasets": [
                        {
                            "name": "finance.revenue", "kind": "table", "system": "postgres", "team": "Finance",
                            "sla_kind": "freshness", "sla_minutes": 360,
                            "breaks_at": (datetime.now(UTC) + timedelta(hours=2)).isoformat(),
                        }
                    ],
                }
            ),
        )  # fmt: skip
    hook = t.a_webhook(record, told, http.url)
    t.a_rule(record, hook)
    run(record, told)
    (first,) = http.bodies()
    said = first["incident"]
    assert (first["event"], said["id"], said["status"], said["severity"]) == ("trigger", str(id_), "open", 3)
    assert said["root"] == {
        "id": str(root), "name": "orders", "kind": "table", "system": "postgres", "environment": "prod",
    }  # fmt: skip
    assert said["error"] == 'relation "orders" does not exist'
    assert said["log_url"] == "https://airflow.example.com/log?dag=a&task=b"
    assert said["owner"] == "Orders"
    assert said["people"] == ["Ada Lovelace <ada@example.com>", "slack #data-oncall"]
    assert (said["failed"], said["late"], said["at_risk"]) == (1, 0, 12)
    assert [(d["name"], d["team"], d["sla"]) for d in said["datasets"]] == [
        ("finance.revenue", "Finance", "fresh within 6 h")
    ]
    assert said["url"] == f"https://dlv.example.com/incidents/{id_}"

    run(record, told)
    assert len(http.got) == 1, "told once"

    # a join that raises the severity is heard again; one that does not is no news
    with record.tx() as conn:
        conn.execute(
            "insert into incident_member (incident_id, node_id, role, health, joined_at) values (%s, %s, 'symptom', 'late', now())",
            (id_, below),
        )
    t.change(record, id_)
    run(record, told)
    assert len(http.got) == 1
    t.change(record, id_, severity=1)
    run(record, told)
    assert [(b["event"], b["loud"], b["incident"]["severity_was"]) for b in http.bodies()[1:]] == [
        ("update", True, 3)
    ]

    to_its_end(record, told, id_)
    assert [b["event"] for b in http.bodies()] == ["trigger", "update", "acknowledge", "resolve"]
    assert {b["incident"]["key"] for b in http.bodies()} == {f"dlv-{id_}"}
    assert len({b["id"] for b in http.bodies()}) == 4
    with record.tx() as conn:
        lines = [e["text"] for e in incidents.entries(conn, id_) if e["kind"] == "notified"]
    assert lines[::-1] == [
        "Told: hook",
        "Told what changed: hook",
        "Told that it is acknowledged: hook",
        "Told that it is over: hook",
    ]


def test_with_no_rule_nobody_is_told_and_it_says_so(record: Record, told: Settings) -> None:
    id_ = orders_failed(record)
    run(record, told)
    with record.tx() as conn:
        (line,) = incidents.entries(conn, id_)
    assert line["text"] == "Nobody is told: there is no alert rule"
    assert record.one("select notify_at from incident") == {"notify_at": None}


def test_rules_by_node_tag_team_and_severity(record: Record, told: Settings, http: Receiver) -> None:
    """Each channel hears of its own incidents, and of no other."""
    with record.tx() as conn:
        finance = t.a_team(conn, "Finance")
        root = t.a_node(conn, "ledger", team=finance, tags=["gold"])
        symptom = t.a_node(conn, "dashboard", team=t.a_team(conn, "BI"))
        other = t.a_node(conn, "scratch", environment="dev")
    names = ("node", "tag", "team", "page", "dev", "all")
    hooks = {n: t.a_webhook(record, told, f"{http.url}/{n}", n) for n in names}
    t.a_rule(record, hooks["node"], name="node", nodes=[symptom])
    t.a_rule(record, hooks["tag"], name="tag", tags=["gold"])
    t.a_rule(record, hooks["team"], name="team", teams=[finance])
    t.a_rule(record, hooks["page"], name="page", min_severity=2)
    t.a_rule(record, hooks["dev"], name="dev", environments=["dev"])
    t.a_rule(record, hooks["all"], name="all")

    def heard(*nodes: UUID, **more: Any) -> set[str]:
        http.got.clear()
        with record.tx() as conn:
            t.an_incident(conn, *nodes, **more)
        run(record, told)
        return {g.path[1:] for g in http.got}

    assert heard(root, severity=3) == {"tag", "team", "all"}
    assert heard(root, symptom, severity=1) == {"node", "tag", "team", "page", "all"}
    assert heard(other, severity=4) == {"dev", "all"}


def test_reminders_until_somebody_acknowledges(record: Record, told: Settings, http: Receiver) -> None:
    id_ = orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url), repeat_minutes=60)

    def an_hour_later() -> None:
        with record.tx() as conn:
            conn.execute("update notification set remind_at = remind_at - interval '1 hour'")
        run(record, told)

    run(record, told)
    an_hour_later()
    an_hour_later()
    assert [b["event"] for b in http.bodies()] == ["trigger", "remind", "remind"]
    with record.tx() as conn:
        incidents.acknowledge(conn, ANNA, id_)
    run(record, told)
    an_hour_later()
    an_hour_later()
    assert [b["event"] for b in http.bodies()] == ["trigger", "remind", "remind", "acknowledge"]


# ---------------------------------------------------------------- silences


def test_a_silence_keeps_back_and_tells_at_its_end(record: Record, told: Settings, http: Receiver) -> None:
    with record.tx() as conn:
        node = t.a_node(conn, "orders")
        quiet = silences.create(
            conn, ANNA,
            {"reason": "migration", "nodes": [node], "ends_at": datetime.now(UTC) + timedelta(hours=2)},
        )  # fmt: skip
        id_ = t.an_incident(conn, node)
        over = t.an_incident(conn, node, title="short")
    t.a_rule(record, t.a_webhook(record, told, http.url))
    run(record, told)
    assert http.got == []
    assert t.log(record) == [("trigger", "silenced")] * 2
    row = record.one("select notify_at, told_at from incident where id = %s", (id_,))
    assert row == {"notify_at": quiet["ends_at"], "told_at": None}
    # what changes meanwhile is kept back too, and noted once
    t.change(record, id_, severity=2)
    run(record, told)
    assert t.log(record) == [("trigger", "silenced")] * 2
    t.change(record, over, status="resolved")
    run(record, told)
    with record.tx() as conn:
        assert [e["kind"] for e in incidents.entries(conn, id_)] == ["silenced"]
        silences.end(conn, ANNA, quiet["id"])
    run(record, told)
    assert [(b["event"], b["incident"]["id"]) for b in http.bodies()] == [("trigger", str(id_))]


def test_an_end_is_told_in_a_silence_to_who_heard_of_the_beginning(
    record: Record, told: Settings, http: Receiver
) -> None:
    with record.tx() as conn:
        node = t.a_node(conn, "orders")
        id_ = t.an_incident(conn, node)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    run(record, told)
    with record.tx() as conn:
        silences.create(conn, ANNA, {"reason": "r", "ends_at": datetime.now(UTC) + timedelta(hours=1)})
    t.change(record, id_, severity=1)
    run(record, told)
    t.change(record, id_, status="resolved", resolved_at=datetime.now(UTC))
    run(record, told)
    assert [b["event"] for b in http.bodies()] == ["trigger", "resolve"]


# ---------------------------------------------------------------- receivers that fail


def test_what_fails_is_tried_again_until_it_is_taken(record: Record, told: Settings, http: Receiver) -> None:
    orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    http.answers = [500, "reset", 503, (429, {"Retry-After": "900"}, "slow down")]
    errors, waits = [], []
    for _ in range(4):
        run(record, told)
        row = record.one("select error, extract(epoch from next_try_at - now()) as wait from notification")
        assert row
        errors.append(row["error"])
        waits.append(float(row["wait"]))
        t.due_now(record)
    run(record, told)
    assert t.log(record) == [("trigger", "delivered")]
    assert len(http.got) == 5
    assert len({g.headers["X-DLV-Delivery"] for g in http.got}) == 1, "a repetition is known by its id"
    assert len({g.body for g in http.got}) == 1
    assert errors[0].startswith("the receiver answered 500")
    assert "connection" in errors[1]
    assert errors[3].startswith("the receiver answered 429: slow down")
    assert waits[0] < 15 < waits[1] < 45 < waits[2]
    assert waits[3] > 800, "Retry-After is honoured"


def test_what_cannot_help_is_given_up_at_once_with_what_to_do(
    record: Record, told: Settings, http: Receiver
) -> None:
    id_ = orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    http.last = 404
    run(record, told)
    assert t.log(record) == [("trigger", "failed")]
    row = record.one("select attempts, error from notification")
    assert row == {
        "attempts": 1,
        "error": "the receiver answered 404. nothing is at this address: check the path",
    }
    with record.tx() as conn:
        texts = [e["text"] for e in incidents.entries(conn, id_)]
        assert notifications.figures(conn)["channels"][0]["failing"] is not None
    assert any(x.startswith("hook could not be told: the receiver answered 404") for x in texts)
    # a person mends the receiver and sends it again
    http.last = 204
    with record.tx() as conn:
        (row,) = notifications.page(conn)
        notifications.retry(conn, ANNA, row["id"])
    run(record, told)
    assert t.log(record) == [("trigger", "delivered")]
    with record.tx() as conn:
        assert notifications.figures(conn)["channels"][0]["failing"] is None


def test_what_is_out_of_date_is_not_sent_again(record: Record, told: Settings, http: Receiver) -> None:
    """A pager must not be opened by hand for what is over."""
    id_ = orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    http.last = 404
    run(record, told)
    t.change(record, id_, status="resolved", resolved_at=datetime.now(UTC))
    run(record, told)
    with record.tx() as conn:
        (row,) = notifications.page(conn)
        with pytest.raises(Exception, match="out of date"):
            notifications.retry(conn, ANNA, row["id"])
    assert len(http.got) == 1, "who heard of no beginning hears of no end"


def test_an_incident_that_cannot_be_told_holds_up_no_other(
    record: Record, told: Settings, http: Receiver
) -> None:
    with record.tx() as conn:
        broken = t.an_incident(conn, t.a_node(conn, "a"), blast=Jsonb({"datasets": ["not as agreed"]}))
        good = t.an_incident(conn, t.a_node(conn, "b"))
    t.a_rule(record, t.a_webhook(record, told, http.url))
    run(record, told)
    assert [b["incident"]["id"] for b in http.bodies()] == [str(good)]
    with record.tx() as conn:
        conn.execute("update incident set blast = '{}', notify_at = now() where id = %s", (broken,))
    run(record, told)
    assert [b["incident"]["id"] for b in http.bodies()] == [str(good), str(broken)]


def test_given_up_after_the_last_try(record: Record, told: Settings, http: Receiver) -> None:
    orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    http.last = 500
    for _ in range(12):
        t.due_now(record)
        run(record, told)
    assert t.log(record) == [("trigger", "failed")]
    assert len(http.got) == 8


def test_a_redirect_is_not_followed(record: Record, told: Settings, http: Receiver) -> None:
    orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    http.last = (302, {"Location": f"{http.url}/elsewhere"}, "")
    run(record, told)
    assert [g.path for g in http.got] == ["/"]
    row = record.one("select status, error from notification")
    assert row and row["status"] == "failed" and "/elsewhere" in row["error"]


def test_private_addresses_are_denied_by_default(record: Record, told: Settings, http: Receiver) -> None:
    orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    strict = told.with_(private_webhooks=False)
    run(record, strict)
    assert http.got == []
    row = record.one("select status, error from notification")
    assert row and row["status"] == "failed" and "DLV_PRIVATE_WEBHOOKS=1" in row["error"]


def test_a_dead_channel_holds_up_nobody(record: Record, told: Settings, http: Receiver) -> None:
    """Twenty incidents, to a receiver that never answers and to one that does."""
    with listening("hang") as dead:
        with record.tx() as conn:
            for n in range(20):
                t.an_incident(conn, t.a_node(conn, f"orders{n}"), title=f"orders{n} failed")
        t.a_rule(
            record, t.a_webhook(record, told, dead.url, "dead"), t.a_webhook(record, told, http.url, "alive")
        )
        began = time.monotonic()

        def all_heard() -> bool:
            delivery.deliver(record, told)
            return len(http.got) == 20

        eventually(all_heard, timeout=30)
        assert time.monotonic() - began < 8, "well before the dead one's first time limit is over"
        dead.last = 200
        dead.released.set()
        delivery.settle()


def test_an_end_never_overtakes_its_beginning(record: Record, told: Settings, http: Receiver) -> None:
    """The receiver is away from the beginning past the end: it hears of both, in order, and not of what was between."""
    id_ = orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    http.last = 503
    run(record, told)
    t.change(record, id_, severity=2)
    run(record, told)
    t.change(record, id_, severity=1)
    run(record, told)
    to_its_end(record, told, id_)
    assert {b["event"] for b in http.bodies()} == {"trigger"}
    http.got.clear()
    http.last = 200
    t.due_now(record)
    run(record, told)
    assert [b["event"] for b in http.bodies()] == ["trigger", "resolve"]
    assert Counter(s for _, s in t.log(record)) == {"delivered": 2, "superseded": 3}


def test_an_incident_that_comes_back_is_told_again(record: Record, told: Settings, http: Receiver) -> None:
    id_ = orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, http.url))
    run(record, told)
    t.change(record, id_, status="resolved", resolved_at=datetime.now(UTC))
    run(record, told)
    t.change(record, id_, status="open", resolved_at=None)
    run(record, told)
    assert [b["event"] for b in http.bodies()] == ["trigger", "resolve", "trigger"]


def test_two_senders_send_everything_once(record: Record, told: Settings, http: Receiver) -> None:
    with record.tx() as conn:
        for n in range(30):
            t.an_incident(conn, t.a_node(conn, f"orders{n}"))
    t.a_rule(record, t.a_webhook(record, told, http.url))
    second = Record(record.url)
    try:
        import threading

        sender = threading.Thread(target=run, args=(second, told))
        sender.start()
        run(record, told)
        sender.join()
        run(record, told)
    finally:
        second.close()
    assert len(http.got) == 30
    assert max(Counter(g.headers["X-DLV-Delivery"] for g in http.got).values()) == 1


# ---------------------------------------------------------------- senders that die

SENDER = """
import settings
from store.record import Record
from workers import delivery
s = settings.load()
record = Record(s.database_url)
print("sending", flush=True)
while True:
    delivery.deliver(record, s)
"""


def test_a_sender_killed_between_sending_and_writing_down(
    record: Record, told: Settings, http: Receiver
) -> None:
    """kill -9 while the receiver has the message and the sender has no answer: each kill costs at most one repetition
    of what was on its way, nothing is lost, and the order of one incident stays."""
    with record.tx() as conn:
        ids = [t.an_incident(conn, t.a_node(conn, f"orders{n}")) for n in range(6)]
    t.a_rule(record, t.a_webhook(record, told, http.url))
    env = to_env(told.with_(database_url=record.url)) | {"PATH": "/usr/bin:/bin"}
    kills = 5
    per_kill: list[int] = []
    for n in range(kills):
        http.last = "hang"
        before = len(http.got)
        sender = subprocess.Popen([sys.executable, "-c", SENDER], cwd=ROOT, env=env)
        eventually(lambda before=before: len(http.got) > before)
        sender.send_signal(signal.SIGKILL)
        sender.wait()
        per_kill.append(len(http.got) - before)
        if n == 2:
            t.change(record, ids[0], status="resolved", resolved_at=datetime.now(UTC))
        t.due_now(record)  # as if who held them were taken for dead
    http.last = 200
    run(record, told)
    assert {s for _, s in t.log(record)} == {"delivered"}
    sent = Counter(g.headers["X-DLV-Delivery"] for g in http.got)
    assert len(sent) == 7
    assert sum(sent.values()) - 7 == sum(per_kill), "only what was on its way at a kill is repeated"
    assert max(per_kill) <= delivery.EACH
    assert max(sent.values()) <= 1 + kills
    of_first = [b["event"] for b in http.bodies() if b["incident"]["id"] == str(ids[0])]
    assert of_first[-1] == "resolve" and set(of_first[:-1]) == {"trigger"}


def test_who_took_a_message_and_lived_too_long_changes_nothing(record: Record, told: Settings) -> None:
    """A sender that was taken for dead and comes back finds that another one has the message."""
    orders_failed(record)
    t.a_rule(record, t.a_webhook(record, told, "http://127.0.0.1:9"))
    delivery.tell(record, told)
    with record.tx() as conn:
        (slow,) = notifications.take(conn, 5)
    t.due_now(record)
    with record.tx() as conn:
        (quick,) = notifications.take(conn, 5)
        assert notifications.take(conn, 5) == []
        assert not notifications.failed(conn, slow, "too late", None)
        assert notifications.delivered(conn, quick, "200", None)
        assert not notifications.delivered(conn, slow, "200", None)
    assert t.log(record) == [("trigger", "delivered")]


# ---------------------------------------------------------------- mail


def a_mail_channel(record: Record, told: Settings, port: int, **more: Any) -> UUID:
    fields = {
        "to": "oncall@example.com\nboss@example.com", "from": "DLV <dlv@example.com>", "host": "127.0.0.1",
        "port": port, "security": "none",
    }  # fmt: skip
    with record.tx() as conn:
        return channels.create(conn, told, SYSTEM, "mail", "email", fields | more, {})["id"]


def test_mails_of_an_incident_are_one_thread(record: Record, told: Settings) -> None:
    with mail_server() as box:
        with record.tx() as conn:
            id_ = t.an_incident(conn, t.a_node(conn, "a<b>&c"), title="a<b>&c failed")
        t.a_rule(record, a_mail_channel(record, told, box.port))
        run(record, told)
        t.change(record, id_, severity=1)
        run(record, told)
        to_its_end(record, told, id_)
        assert [to for to, _ in box.mails] == [["oncall@example.com", "boss@example.com"]] * 3
        first, second, third = (m for _, m in box.mails)
    number = first["Subject"].split("]")[0]
    assert first["Subject"] == f"{number}] a<b>&c failed"
    assert second["Subject"] == third["Subject"] == f"Re: {first['Subject']}"
    assert second["In-Reply-To"] == first["Message-ID"]
    assert third["References"] == f"{first['Message-ID']} {second['Message-ID']}"
    plain, html = (part.get_content() for part in first.iter_parts())  # type: ignore[union-attr]
    for said in (
        'relation "orders" does not exist',
        "Log: https://airflow",
        f"https://dlv.example.com/incidents/{id_}",
    ):
        assert said in plain
    assert "a&lt;b&gt;&amp;c failed" in html and "<b>" not in html
    assert "Now severity 1 (was 3)" in second.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "Resolved: a<b>&c failed" in third.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_a_mail_server_that_refuses(record: Record, told: Settings) -> None:
    with mail_server() as box:
        orders_failed(record)
        t.a_rule(record, a_mail_channel(record, told, box.port))
        box.refuse = {"boss@example.com": "550 no such user", "oncall@example.com": "450 busy"}
        run(record, told)
        row = record.one("select status, error from notification")
        assert row and row["status"] == "pending" and "550 no such user" in row["error"]
        said = iter(["451 try later", None])
        box.before_data = lambda: next(said)
        del box.refuse["oncall@example.com"]
        t.due_now(record)
        run(record, told)
        assert box.mails == []
        t.due_now(record)
        run(record, told)
        assert [to for to, _ in box.mails] == [["oncall@example.com"]]
    row = record.one("select status, answer from notification")
    assert row == {
        "status": "delivered",
        "answer": "taken for oncall@example.com; refused: boss@example.com (550 no such user)",
    }


def test_a_password_never_goes_without_tls(record: Record, told: Settings) -> None:
    with record.tx() as conn, pytest.raises(Exception, match="without TLS"):
        channels.create(
            conn, told, SYSTEM, "mail", "email",
            {"to": "a@b.c", "from": "d@e.f", "host": "h", "security": "none", "username": "u"}, {"password": "p"},
        )  # fmt: skip


# ---------------------------------------------------------------- mail over TLS, signed in


@pytest.fixture
def tls(tmp_path: Path) -> tuple[str, ssl.SSLContext]:
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("127.0.0.1").put(tmp_path, "smtp"))
    return authority.pem, context


def signed_in_mail(record: Record, told: Settings, port: int, password: str, **more: Any) -> UUID:
    fields = {
        "to": "a@example.com", "from": "dlv@example.com", "host": "127.0.0.1", "port": port, "username": "dlv",
    }  # fmt: skip
    with record.tx() as conn:
        return channels.create(
            conn, told, SYSTEM, f"mail {uuid4()}", "email", fields | more, {"password": password}
        )["id"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_signed_in_and_verified(
    record: Record, told: Settings, tls: tuple[str, ssl.SSLContext], security: str
) -> None:
    ca, context = tls

    def knows(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = data.login == b"dlv" and data.password == b"the password"
        return AuthResult(success=good, handled=good)

    how: dict[str, Any] = {"authenticator": knows, "auth_required": True}
    how |= (
        {"tls_context": context, "require_starttls": True}
        if security == "starttls"
        else {"ssl_context": context, "auth_require_tls": False}
    )
    with mail_server(**how) as box:
        good = signed_in_mail(record, told, box.port, "the password", security=security, ca=ca)
        assert channels.test(record, told, ANNA, good)["ok"]
        assert len(box.mails) == 1
        wrong = signed_in_mail(record, told, box.port, "another", security=security, ca=ca)
        said = channels.test(record, told, ANNA, wrong)
        assert not said["ok"] and "does not know the sign-in (535" in said["message"]
        unknown = signed_in_mail(record, told, box.port, "the password", security=security)
        said = channels.test(record, told, ANNA, unknown)
        assert not said["ok"] and "certificate is not trusted" in said["message"]
        assert len(box.mails) == 1
    assert "the password" not in str(record.all("select * from notification"))


def test_a_server_without_starttls_is_told_nothing(record: Record, told: Settings) -> None:
    with mail_server() as box:
        channel = signed_in_mail(record, told, box.port, "the password", security="starttls")
        said = channels.test(record, told, ANNA, channel)
        assert not said["ok"] and "offers no STARTTLS" in said["message"]
        assert box.mails == []


# ---------------------------------------------------------------- Slack and PagerDuty


def slack_of(record: Record, told: Settings, url: str) -> UUID:
    with record.tx() as conn:
        return channels.create(
            conn, told, SYSTEM, "slack", "slack", {"way": "bot", "channel": "#oncall", "api_url": f"{url}/api"},
            {"bot_token": "xoxb-secret"},
        )["id"]  # fmt: skip


def test_slack_edits_what_it_said(record: Record, told: Settings, http: Receiver) -> None:
    """One message that follows the incident; the root that shows later edits it; what is news is said in its thread."""
    http.answers = [(200, {}, '{"ok": true, "channel": "C1", "ts": "1700.1"}')]
    http.last = (200, {}, '{"ok": true, "channel": "C1", "ts": "1700.9"}')
    with record.tx() as conn:
        node, root = t.a_node(conn, "<!channel> orders"), t.a_node(conn, "ingest")
        id_ = t.an_incident(conn, node, title="<!channel> orders failed")
    t.a_rule(record, slack_of(record, told, http.url))
    run(record, told)
    t.change(record, id_, root_node=root, title="ingest failed")
    run(record, told)
    t.change(record, id_, severity=1)
    run(record, told)
    to_its_end(record, told, id_)
    calls = [(g.path, g.json.get("ts"), g.json.get("thread_ts")) for g in http.got]
    assert calls == [
        ("/api/chat.postMessage", None, None),
        ("/api/chat.update", "1700.1", None),  # re-rooted: no sound
        ("/api/chat.update", "1700.1", None),  # severity: edited, and said
        ("/api/chat.postMessage", None, "1700.1"),
        ("/api/chat.update", "1700.1", None),  # acknowledged
        ("/api/chat.update", "1700.1", None),  # resolved
        ("/api/chat.postMessage", None, "1700.1"),
    ]
    assert {g.headers["Authorization"] for g in http.got} == {"Bearer xoxb-secret"}
    assert http.got[0].json["channel"] == "#oncall" and http.got[1].json["channel"] == "C1"
    assert b"<!channel>" not in http.got[0].body, "a name calls nobody"
    assert "ingest failed" in http.got[1].json["text"]


@pytest.mark.parametrize(
    ("says", "status", "words"),
    [
        ('{"ok": false, "error": "channel_not_found"}', "failed", "invite the bot"),
        ('{"ok": false, "error": "token_revoked"}', "failed", "write the new one"),
        ('{"ok": false, "error": "internal_error"}', "pending", "Slack says internal_error"),
        ("<html>a proxy</html>", "failed", "not Slack's API"),
    ],
)
def test_what_slack_refuses(
    record: Record, told: Settings, http: Receiver, says: str, status: str, words: str
) -> None:
    http.last = (200, {}, says)
    orders_failed(record)
    t.a_rule(record, slack_of(record, told, http.url))
    run(record, told)
    row = record.one("select status, error from notification")
    assert row and row["status"] == status and words in row["error"]


def test_an_incoming_webhook_of_slack_only_posts(record: Record, told: Settings, http: Receiver) -> None:
    http.last = (200, {}, "ok")
    with record.tx() as conn:
        node, root = t.a_node(conn, "orders"), t.a_node(conn, "ingest")
        id_ = t.an_incident(conn, node)
        hook = channels.create(
            conn,
            told,
            SYSTEM,
            "slack",
            "slack",
            {"way": "hook"},
            {"webhook_url": f"{http.url}/services/T/B/x"},
        )["id"]
    t.a_rule(record, hook)
    run(record, told)
    t.change(record, id_, root_node=root)
    run(record, told)
    t.change(record, id_, status="resolved", resolved_at=datetime.now(UTC))
    run(record, told)
    assert [g.path for g in http.got] == ["/services/T/B/x"] * 2
    assert "Resolved" in http.got[1].json["text"]


def test_one_incident_is_one_of_pagerduty(record: Record, told: Settings, http: Receiver) -> None:
    http.last = (202, {}, '{"status": "success", "dedup_key": "k"}')
    with record.tx() as conn:
        node, root = t.a_node(conn, "orders"), t.a_node(conn, "ingest")
        id_ = t.an_incident(conn, node)
        pager = channels.create(
            conn, told, SYSTEM, "pager", "pagerduty", {"url": http.url}, {"routing_key": "R" * 32}
        )["id"]
    t.a_rule(record, pager)
    run(record, told)
    t.change(record, id_, root_node=root, title="ingest failed")
    run(record, told)
    to_its_end(record, told, id_)
    bodies = http.bodies()
    assert [b["event_action"] for b in bodies] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {b["dedup_key"] for b in bodies} == {f"dlv-{id_}"}
    assert {b["routing_key"] for b in bodies} == {"R" * 32}
    assert {g.path for g in http.got} == {"/v2/enqueue"}
    assert bodies[0]["payload"]["severity"] == "warning"
    assert bodies[0]["links"][0]["href"] == f"https://dlv.example.com/incidents/{id_}"
    assert "ingest failed" in bodies[1]["payload"]["summary"]


# ---------------------------------------------------------------- secrets, tests, the whole


def test_secrets_are_sealed_and_shown_nowhere(record: Record, told: Settings, http: Receiver) -> None:
    hook = t.a_webhook(record, told, http.url)
    http.last = (500, {}, "no")
    channels.test(record, told, ANNA, hook)
    everything = str(record.all("select * from channel")) + str(record.all("select * from audit_log"))
    everything += str(record.all("select * from notification"))
    assert t.KEY not in everything


def test_a_secret_is_not_sent_to_another_place_unseen(record: Record, told: Settings, http: Receiver) -> None:
    hook = t.a_webhook(record, told, http.url)
    with record.tx() as conn, pytest.raises(Exception, match="write it again"):
        channels.edit(conn, told, ANNA, hook, fields={"url": "https://evil.example.com"}, version=None)
    with record.tx() as conn:
        channels.edit(
            conn, told, ANNA, hook,
            fields={"url": f"{http.url}/two"}, given={"signing_key": "another long signing key"}, version=None,
        )  # fmt: skip
    assert channels.test(record, told, ANNA, hook)["ok"]
    assert http.got[0].path == "/two"


def test_the_test_button_says_what_the_receiver_said(record: Record, told: Settings, http: Receiver) -> None:
    hook = t.a_webhook(record, told, http.url)
    http.answers = [(200, {}, "hello"), (403, {}, "who are you")]
    assert channels.test(record, told, ANNA, hook) == {"ok": True, "message": "200 hello", "hint": ""}
    assert http.bodies()[0]["event"] == "test"
    said = channels.test(record, told, ANNA, hook)
    assert (said["ok"], said["message"]) == (False, "the receiver answered 403: who are you")
    assert t.log(record) == [("test", "delivered"), ("test", "failed")]
    with record.tx() as conn:
        assert alert_rules.every(conn) == []
    row = record.one("select last_test from channel")
    assert row and row["last_test"]["ok"] is False


def test_a_removed_channel_is_told_nothing_more(record: Record, told: Settings, http: Receiver) -> None:
    id_ = orders_failed(record)
    hook = t.a_webhook(record, told, http.url)
    rule = t.a_rule(record, hook)
    run(record, told)
    from store import channels as store

    with record.tx() as conn, pytest.raises(Exception, match="everything"):
        store.retire(conn, ANNA, hook)
    with record.tx() as conn:
        alert_rules.remove(conn, ANNA, rule)
        store.retire(conn, ANNA, hook)
    t.change(record, id_, status="resolved")
    run(record, told)
    assert len(http.got) == 1
