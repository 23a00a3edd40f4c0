"""Connections and checks of a real Kafka that demands TLS and a sign-in, and what they say of each way to fail there."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import kafka_server
import looking
import pytest
from certificates import Authority, Pair
from kafka_server import USERS, Kafka

from checks.result import Verdict
from connections import kind as kinds
from connections.kinds import KINDS
from connections.link import Link
from settings import Settings
from tests.web import Web

pytestmark = kafka_server.MARKS

TOPIC, OTHER, GROUP = "ledger", "payroll", "bookkeeping"
SASL = ("PLAIN", "SCRAM-SHA-512")
EVERY = ("PLAIN", "SCRAM-SHA-512", "a client certificate")
CHECKS: list[tuple[str, dict[str, Any]]] = [
    ("kafka_topic", {"topic": TOPIC}),
    ("kafka_topic", {"topic": TOPIC, "copies": 2}),
    ("kafka_topic", {"topic": "no-such-ledger"}),
    ("kafka_replication", {"topic": TOPIC}),
    ("kafka_replication", {"of": "cluster"}),
    ("kafka_lag", {"group": GROUP}),
    ("kafka_lag", {"group": GROUP, "fail": 10}),
    ("kafka_lag", {"group": "nobody", "topics": TOPIC}),
]


class Ways:
    """Links to the one broker. ``said``: all that tests of connections and checks told in this test."""

    def __init__(self, kafka: Kafka) -> None:
        self.kafka = kafka
        self.known = kafka.authority.sign("known")
        self.said: list[str] = []
        self.secrets = set(_lines(self.known.key)) | set(USERS.values())

    def plain(self) -> Link:
        return looking.link("kafka", bootstrap=self.kafka.bootstrap, tls="off", timeout=4.0)

    def sasl(self, mechanism: str = "PLAIN", user: str = "reader", password: str = "", **change: Any) -> Link:
        secret = password or USERS[user]
        self.secrets.add(secret)
        fields = {"bootstrap": self.kafka.secured, "sasl": mechanism, "username": user}
        return self._link({"password": secret}, fields | change)

    def mutual(self, pair: Pair | None, **change: Any) -> Link:
        """By client certificate; without one where it is None."""
        given = {"client_certificate": pair.certificate} if pair else {}
        self.secrets |= set(_lines(pair.key)) if pair else set()
        return self._link(
            {"client_key": pair.key} if pair else {}, {"bootstrap": self.kafka.mutual} | given | change
        )

    def by(self, how: str) -> Link:
        return self.sasl(how) if how in SASL else self.mutual(self.known)

    def _link(self, secret: dict[str, str], fields: dict[str, Any]) -> Link:
        whole = KINDS["kafka"].checked({"ca": self.kafka.authority.pem} | fields)
        return looking.link("kafka", secret, timeout=4.0, **whole)

    def tried(self, link: Link) -> kinds.Tested:
        done = KINDS["kafka"].test(link)
        self.said.append(repr(done))
        return done

    def look(self, link: Link, kind: str, **config: Any) -> Verdict:
        verdict = looking.look(link, kind, **config)
        self.said.append(repr(verdict))
        return verdict

    def fails(self, link: Link, step: str, *words: str) -> None:
        """The connection's test fails at this step in these words, and no check is judged, for the same reason."""
        done = self.tried(link)
        assert (done.ok, done.step, dict(done.steps)[step]) == (False, step, "failed"), done
        verdict = self.look(link, "kafka_topic", topic=TOPIC)
        assert (verdict.status, (verdict.detail or {})["step"]) == ("not_checked", step), verdict
        for said, hint in ((done.message, done.hint), (verdict.reason, (verdict.detail or {})["hint"])):
            assert hint and all(w in f"{said} | {hint}" for w in words), (said, hint)


def _lines(key: str) -> list[str]:
    """The lines of a PEM that hold the key itself."""
    return [line for line in key.splitlines() if line and "-----" not in line]


@pytest.fixture(scope="module")
def whole(kafka: Kafka) -> Ways:
    """Who signs in as reader or by the known certificate may describe everything, clerk one topic, stranger nothing."""
    kafka.make(TOPIC, 2)
    kafka.make(OTHER)
    for partition, n in enumerate((60, 40)):
        kafka.produce(TOPIC, n, partition)
    kafka.consume(TOPIC, GROUP, 30).close()
    kafka.allow("reader")
    kafka.allow("CN=known")
    kafka.allow("clerk", TOPIC, GROUP)
    return Ways(kafka)


@pytest.fixture
def ways(whole: Ways, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Iterator[Ways]:
    """After each test: no password and no line of a key was told, logged or printed."""
    caplog.set_level(logging.DEBUG)
    whole.said.clear()
    yield whole
    told = "\n".join(whole.said) + caplog.text + "".join(capfd.readouterr())
    assert whole.said and not [s for s in whole.secrets if s in told]


# ---------------------------------------------------------------- what goes well


@pytest.mark.parametrize("how", EVERY)
def test_every_step_of_every_sign_in(ways: Ways, how: str) -> None:
    done = ways.tried(ways.by(how))
    assert done.ok and done.message.startswith("1 broker; "), done
    assert set(dict(done.steps).values()) == {"ok"}


def test_encrypted_without_looking_at_the_certificate(ways: Ways) -> None:
    done = ways.tried(ways.sasl(tls="encrypted"))
    assert done.ok and dict(done.steps)["tls"] == "ok"


def test_a_client_certificate_with_another_between_it_and_the_authority(ways: Ways) -> None:
    """The whole chain is sent."""
    between = Authority("between", above=ways.kafka.authority)
    done = ways.tried(ways.mutual(between.sign("known")))
    assert done.ok, done
    assert set(dict(done.steps).values()) == {"ok"}


@pytest.mark.parametrize("how", EVERY)
def test_checks_see_the_same_as_in_plain(ways: Ways, how: str) -> None:
    plain, link = ways.plain(), ways.by(how)
    seen = []
    for kind, config in CHECKS:
        here, there = (ways.look(by, kind, **config) for by in (link, plain))
        assert (here.status, here.value, here.detail) == (there.status, there.value, there.detail), config
        if kind != "kafka_topic" or here.status == "ok":  # that one counts the topics that the user may see
            assert here.reason == there.reason
        seen.append(here.status)
    assert seen == ["ok", "fail", "fail", "ok", "ok", "warn", "fail", "fail"]
    assert "no-such-ledger" not in ways.kafka.topics()


# ---------------------------------------------------------------- TLS


def test_an_authority_that_did_not_sign(ways: Ways) -> None:
    ways.fails(ways.sasl(ca=Authority().pem), "tls", "not signed by an authority", "CA certificate")
    ways.fails(ways.sasl(ca=None), "tls", "not signed by an authority", "CA certificate")


def test_a_certificate_for_another_name(ways: Ways) -> None:
    address = ways.kafka.secured.replace("localhost", "127.0.0.1")
    ways.fails(ways.sasl(bootstrap=address), "tls", "for another name", "127.0.0.1")
    assert ways.tried(ways.sasl(bootstrap=address, tls="encrypted")).ok


def test_a_client_certificate_that_is_missing_or_not_known(ways: Ways) -> None:
    words = "broke off TLS", "client certificate"
    ways.fails(ways.mutual(None), "tls", *words)
    ways.fails(ways.mutual(Authority("somebody else").sign("known")), "tls", *words)


def test_a_client_key_of_another_certificate(ways: Ways) -> None:
    pair = Pair(ways.known.certificate, ways.kafka.authority.sign("known").key)
    ways.fails(ways.mutual(pair), "tls", "do not belong together")
    broken = ways.known.key.replace("\n", "\nAAAA", 1)
    ways.fails(ways.mutual(Pair(ways.known.certificate, broken)), "tls", "cannot be read")


# ---------------------------------------------------------------- sign-in


@pytest.mark.parametrize("mechanism", SASL)
def test_a_password_that_is_wrong(ways: Ways, mechanism: str) -> None:
    ways.fails(
        ways.sasl(mechanism, password="not+the/password"), "sign-in", "uthentication failed", "password"
    )


def test_a_mechanism_that_the_broker_does_not_offer(ways: Ways) -> None:
    ways.fails(ways.sasl("SCRAM-SHA-256"), "sign-in", "SCRAM-SHA-256", "mechanism")


def test_a_listener_that_wants_more(ways: Ways) -> None:
    for link, words, reason in (
        (ways.mutual(None, bootstrap=ways.kafka.secured), "SASL", "it closes the connection"),
        (ways.sasl(tls="off"), "TLS", "it speaks TLS"),
    ):
        done = ways.tried(link)
        assert (done.ok, done.step) == (False, "sign-in") and words in done.hint, done
        verdict = ways.look(link, "kafka_topic", topic=TOPIC)
        assert verdict.status == "not_checked" and words in (verdict.detail or {})["hint"], verdict
        assert verdict.reason == f"{ways.kafka.secured}: {reason}"


# ---------------------------------------------------------------- permission


def test_a_user_who_may_see_nothing(ways: Ways) -> None:
    """Kafka hides what may not be seen: a list without topics is no cluster without topics."""
    for link in (ways.sasl(user="stranger"), ways.mutual(ways.kafka.authority.sign("unknown"))):
        ways.fails(link, "permission", "may see no topic", "Describe")
        for kind, config in CHECKS:
            assert ways.look(link, kind, **config).status == "not_checked", (kind, config)


def test_a_user_who_may_see_one_topic_and_one_group(ways: Ways) -> None:
    link = ways.sasl("SCRAM-SHA-512", "clerk")
    assert ways.tried(link).message == "1 broker; 1 topic that this user sees"
    assert ways.look(link, "kafka_topic", topic=TOPIC).status == "ok"
    lag = ways.look(link, "kafka_lag", group=GROUP)
    assert lag.value == ways.look(ways.plain(), "kafka_lag", group=GROUP).value == 70
    hidden = f"the user may not describe the topic {OTHER}"
    for kind, config, reason in (
        ("kafka_topic", {"topic": OTHER}, hidden),
        ("kafka_replication", {"topic": OTHER}, hidden),
        ("kafka_lag", {"group": GROUP, "topics": f"{TOPIC}, {OTHER}"}, hidden),
        ("kafka_lag", {"group": "nobody"}, "the user may not describe the group nobody"),
    ):
        verdict = ways.look(link, kind, **config)
        assert (verdict.status, verdict.reason) == ("not_checked", reason), config
        assert (verdict.detail or {})["step"] == "permission"


# ---------------------------------------------------------------- sealed


@pytest.fixture
def settled(settled: Settings) -> Settings:
    return settled.with_(secrets_keys=f"one:{'k' * 40}")


def test_a_sealed_key_signs_in_and_is_not_seen_again(ways: Ways, web: Web) -> None:
    """As an admin does it over REST; whoever changes the address writes the key anew."""
    admin = web.bearer("admin")
    fields = {
        "bootstrap": ways.kafka.mutual, "ca": ways.kafka.authority.pem, "client_certificate": ways.known.certificate,
    }  # fmt: skip

    def call(method: str, path: str, body: Any = None) -> Any:
        answer = web.client().open(f"/api/v1/connections{path}", method=method, json=body, headers=admin)
        ways.said.append(answer.text)
        return answer.json

    made = call(
        "POST",
        "",
        {"name": "K", "kind": "kafka", "fields": fields, "secrets": {"client_key": ways.known.key}},
    )
    assert made["secrets"] == {"client_key": "set"}
    done = call("POST", f"/{made['id']}/test")
    assert done["ok"] and {s["state"] for s in done["steps"]} == {"ok"}, done
    moved = call("PATCH", f"/{made['id']}", {"fields": {"bootstrap": "elsewhere:9093"}, "version": 1})
    assert moved["error"]["field"] == "client_key"
    for table in ("connection", "audit_log"):
        rows = web.record.all(f"select t::text as line from {table} t")
        assert rows
        ways.said.append(json.dumps(rows))
