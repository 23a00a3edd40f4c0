"""From failures to people: one upstream failure is one message in every channel, a root that shows later edits it, and
what flaps is told twice at most. Real graph, real listeners."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts import channels
from settings import Settings
from store.audit import SYSTEM
from store.record import Record
from tests.integration import alarms as t
from tests.integration.breaking import Breaking, layered, uid
from tests.integration.receivers import Mailbox, Receiver, listening, mail_server
from workers import delivery

NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
ROOT = uid(0)

pytestmark = pytest.mark.xdist_group("incidents")


class People:
    """A webhook, a mailbox, Slack and a pager, all told of everything."""

    def __init__(self, record: Record, settings: Settings, http: Receiver, box: Mailbox) -> None:
        self.record, self.settings, self.http, self.box = record, settings, http, box
        http.last = (200, {}, '{"ok": true, "channel": "C1", "ts": "1700.1", "status": "success"}')
        mail = {
            "to": "oncall@example.com", "from": "dlv@example.com", "host": "127.0.0.1", "port": box.port, "security": "none",
        }  # fmt: skip
        with record.tx() as conn:
            made = [
                channels.create(conn, settings, SYSTEM, name, kind, fields, secrets)["id"]
                for name, kind, fields, secrets in (
                    ("mail", "email", mail, {}),
                    (
                        "slack",
                        "slack",
                        {"channel": "#x", "api_url": f"{http.url}/slack"},
                        {"bot_token": "xoxb"},
                    ),
                    ("pager", "pagerduty", {"url": f"{http.url}/pager"}, {"routing_key": "r" * 32}),
                )
            ]
        t.a_rule(record, t.a_webhook(record, settings, f"{http.url}/hook"), *made)

    def hear(self, estate: Breaking, now: datetime) -> None:
        """Decide and tell as of ``now``."""
        estate.decide(now)
        while delivery.deliver(self.record, self.settings, now):
            pass

    def heard(self) -> Counter[str]:
        """What arrived where."""
        out = Counter(
            f"{g.path} {g.json.get('event') or g.json.get('event_action') or ''}".strip()
            for g in self.http.got
        )
        out["mail"] = len(self.box.mails)
        return out


@pytest.fixture
def told(settled: Settings) -> Settings:
    return settled.with_(
        secrets_keys="main:" + "k" * 40, private_webhooks=True, public_url="https://dlv.example.com"
    )


def test_one_failure_and_200_below_it_is_one_message(record: Record, graph: Any, told: Settings) -> None:
    with listening() as http, mail_server() as box:
        estate = Breaking(record, graph, told, layered(260), NOW - timedelta(days=1))
        people = People(record, told, http, box)
        rng = random.Random(7)
        below = rng.sample(range(1, 201), 200)
        said = [
            (uid(n), "failed" if k < 50 else "late", NOW + timedelta(minutes=1 + k / 10))
            for k, n in enumerate(below)
        ]
        rng.shuffle(said)
        begin = NOW + timedelta(minutes=30)
        for k in range(4):
            at = begin + timedelta(seconds=12 * k)
            estate.turn_all(said[k * 50 : k * 50 + 50], noted=at)
            people.hear(estate, at)
        final = begin + timedelta(seconds=52)
        estate.turn(ROOT, "failed", NOW, noted=final)
        for seconds in (0, 30, 89, 120, 300):
            people.hear(estate, final + timedelta(seconds=seconds))
            if seconds == 89:
                first = people.heard()
        assert first == {
            "/hook trigger": 1,
            "/slack/chat.postMessage": 1,
            "/pager/v2/enqueue trigger": 1,
            "mail": 1,
        }
        assert people.heard() == first, "told within 90 s, and once"
        (hook,) = [g.json for g in http.got if g.path == "/hook"]
        assert (hook["incident"]["failed"], hook["incident"]["late"]) == (51, 150)
        assert hook["incident"]["root"]["id"] == str(ROOT)


def test_a_root_that_shows_later_edits_what_was_said(record: Record, graph: Any, told: Settings) -> None:
    with listening() as http, mail_server() as box:
        estate = Breaking(record, graph, told, layered(60, 15, 5), NOW - timedelta(days=1))
        people = People(record, told, http, box)
        at = NOW + timedelta(minutes=10)
        estate.turn(uid(1), "failed", NOW + timedelta(minutes=5), noted=at)
        people.hear(estate, at)
        people.hear(estate, at + timedelta(seconds=70))
        assert people.heard() == {
            "/hook trigger": 1, "/slack/chat.postMessage": 1, "/pager/v2/enqueue trigger": 1, "mail": 1,
        }  # fmt: skip
        later = at + timedelta(minutes=5)
        estate.turn(ROOT, "failed", NOW, noted=later)
        for seconds in (0, 70, 200):
            people.hear(estate, later + timedelta(seconds=seconds))
        heard = people.heard()
        assert heard["mail"] == heard["/hook trigger"] == heard["/slack/chat.postMessage"] == 1
        assert heard["/slack/chat.update"] >= 1
        pages = [g.json for g in http.got if g.path.startswith("/pager")]
        assert len({p["dedup_key"] for p in pages}) == 1, "the key under which people were told"
        assert [p["event_action"] for p in pages] == ["trigger"] * len(pages)
        root = record.one("select name from node where id = %s", (ROOT,))
        assert root and root["name"] in [g.json for g in http.got if g.path.endswith("update")][-1]["text"]


def test_what_flaps_for_an_hour_is_told_twice_at_most(record: Record, graph: Any, told: Settings) -> None:
    with listening() as http, mail_server() as box:
        estate = Breaking(record, graph, told, layered(60, 40), NOW - timedelta(days=1))
        people = People(record, told, http, box)
        for n in range(12):
            at = NOW + timedelta(minutes=5 * n)
            estate.turn(ROOT, "failed" if n % 2 == 0 else "ok", at, noted=at)
            for seconds in (1, 61, 121):
                people.hear(estate, at + timedelta(seconds=seconds))
        heard = people.heard()
        assert heard["mail"] <= 2
        assert sum(n for where, n in heard.items() if where.startswith("/hook")) <= 2


def test_a_rules_own_group_time_is_kept_from_the_failure_to_the_message(
    record: Record, graph: Any, told: Settings
) -> None:
    """People of critical nodes hear after 10 s, of the others after the usual minute; a critical node that joins an
    incident which still gathers hastens it."""
    plain, critical, follower = uid(41), uid(21), uid(1)
    with listening() as http:
        estate = Breaking(record, graph, told, layered(60, 40), NOW - timedelta(days=1))
        hooks = {n: t.a_webhook(record, told, f"{http.url}/{n}", n) for n in ("pager", "all")}
        with record.tx() as conn:
            conn.execute("delete from alert_rule")
            conn.execute("update node set tags = '{gold}' where id = any(%s)", ([critical, follower],))
        t.a_rule(record, hooks["pager"], name="critical", tags=["gold"], group_seconds=10)
        t.a_rule(record, hooks["all"])

        def heard(since: datetime, seconds: float) -> list[str]:
            """Who heard of a beginning until so long after."""
            http.got.clear()
            at = since + timedelta(seconds=seconds)
            estate.decide(at)
            while delivery.deliver(record, told, at):
                pass
            return sorted(g.path[1:] for g in http.got if g.json["event"] == "trigger")

        estate.turn(plain, "failed", NOW, noted=NOW)
        assert heard(NOW, 0) == heard(NOW, 10) == heard(NOW, 59) == []
        assert heard(NOW, 60) == ["all"]

        later = NOW + timedelta(hours=1)
        estate.turn(critical, "failed", later, noted=later)
        assert heard(later, 0) == heard(later, 9) == []
        assert heard(later, 10) == ["all", "pager"]

        last = NOW + timedelta(hours=2)
        estate.turn(critical, "ok", last, noted=last)
        heard(last, 0)
        estate.turn(ROOT, "failed", last, noted=last)
        assert heard(last, 1) == []
        joins = last + timedelta(seconds=20)
        estate.turn(follower, "failed", joins, noted=joins)
        assert heard(joins, 0) == heard(joins, 9) == []
        assert heard(joins, 10) == ["all", "pager"], "30 s before the minute of the root is over"
        assert len(estate.open()) == 2
