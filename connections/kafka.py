"""Kafka by librdkafka. It resolves names and opens its sockets by itself, so the guard looks before it does: at the
bootstrap servers, and at every broker that the cluster names (docs/decisions/0019 says what that leaves).
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ClusterMetadata

from connections import http, tls
from connections.guard import Refused
from connections.kind import Field, Kind, pairs
from connections.ladder import Failed, Ladder, alert_words, tls_words
from connections.link import Link
from errors import DlvError

#: seconds that are waited for a better reason once every broker is known to be down
SETTLE = 0.3
#: Kafka's own topic, which every cluster has or makes by itself: who may not see even this one may see none
OFFSETS = "__consumer_offsets"

_quiet = logging.getLogger("dlv.librdkafka")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


class KafkaAway(DlvError):
    """The cluster does not answer. ``reason`` is librdkafka's name for why, such as _RESOLVE, _AUTHENTICATION, _SSL."""

    code = "kafka_away"
    status = 502

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


def config(link: Link) -> dict[str, Any]:
    """librdkafka's settings of this link, from structured fields alone. Every bootstrap server passes the guard here;
    raises :class:`connections.guard.Refused` where one is refused."""
    for host, port in pairs(link.fields["bootstrap"]):
        _looked_at(link, host, port)
    mechanism = link.get("sasl", "none")
    mode = link.get("tls", tls.VERIFIED)
    out: dict[str, Any] = {
        "bootstrap.servers": link.fields["bootstrap"],
        "client.id": "dlv",
        "security.protocol": ("sasl_" if mechanism != "none" else "")
        + ("plaintext" if mode == tls.OFF else "ssl"),
        "socket.timeout.ms": int(max(1.0, link.timeout) * 1000),
        "socket.connection.setup.timeout.ms": int(max(1.0, link.timeout) * 1000),
        "socket.keepalive.enable": True,
        "allow.auto.create.topics": False,
        "log_level": 0,
    }
    if mechanism != "none":
        out |= {
            "sasl.mechanisms": mechanism,
            "sasl.username": link.fields["username"],
            "sasl.password": link.secret.get("password", ""),
        }
    if mode != tls.OFF:
        out["enable.ssl.certificate.verification"] = mode == tls.VERIFIED
        out["ssl.endpoint.identification.algorithm"] = "https" if mode == tls.VERIFIED else "none"
        if mode == tls.VERIFIED:
            out |= (
                {"ssl.ca.pem": link.fields["ca"]}
                if link.get("ca")
                else {"ssl.ca.location": tls.authorities()}
            )
        if link.get("client_certificate") and link.secret.get("client_key"):
            out |= {
                "ssl.certificate.pem": link.fields["client_certificate"],
                "ssl.key.pem": link.secret["client_key"],
            }
    return out


def admin(link: Link) -> AdminClient:
    """A client for asking. The brokers that the cluster names have passed the guard. Raises :class:`KafkaAway`,
    :class:`connections.guard.Refused`, and :class:`ssl.SSLError` where a PEM of the link cannot be used."""
    made, _ = reached(link)
    return made


def consumer(link: Link, group: str, **more: Any) -> Consumer:
    """A consumer that commits nothing by itself. Whoever makes it closes it. Raises as :func:`admin` does."""
    reached(link)
    said = {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
    } | more
    return Consumer(config(link) | said | {"group.id": group}, logger=_quiet)


def reached(link: Link, timeout: float | None = None) -> tuple[AdminClient, ClusterMetadata]:
    """The cluster's metadata, asked for with all topics (naming one could create it), its brokers past the guard.

    librdkafka tells why it does not reach anything only to a callback, so that is listened to while waiting.
    """
    seconds = link.timeout if timeout is None else timeout
    errors: list[KafkaError] = []
    made = _client(link, errors)
    end = time.monotonic() + seconds
    down_at: float | None = None
    while True:
        made.poll(0)
        if errors and down_at is None and any(_final(e) for e in errors):
            down_at = time.monotonic()
        left = end - time.monotonic()
        if left <= 0 or (down_at is not None and time.monotonic() - down_at > SETTLE):
            raise _away(link, errors, in_time=left > 0)
        try:
            metadata = made.list_topics(timeout=min(0.25, max(0.05, left)))
            break
        except KafkaException as e:
            error = e.args[0]
            if error.code() not in (
                KafkaError._TRANSPORT,
                KafkaError._TIMED_OUT,
                KafkaError._ALL_BROKERS_DOWN,
            ):
                raise _away(link, [*errors, error]) from None
    for broker in metadata.brokers.values():
        _looked_at(link, broker.host, broker.port, "the cluster names a broker at ")
    return made, metadata


def hidden(client: AdminClient, topics: list[str], timeout: float) -> list[str]:
    """Those of these topics that the user may not know of: Kafka leaves them out of its list as if they did not exist.
    Asked by a request that makes no topic. :class:`TimeoutError` where nothing answers within ``timeout`` seconds."""
    out = []
    asked = client.describe_topics(TopicCollection(topics), request_timeout=timeout) if topics else {}
    for name, future in asked.items():
        try:
            future.result(timeout + 0.5)
        except KafkaException as e:
            if e.args[0].code() in (KafkaError._TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
                raise TimeoutError from None
            if "AUTHORIZATION" in e.args[0].name():
                out.append(name)
    return out


def _client(link: Link, errors: list[KafkaError]) -> AdminClient:
    said = config(link) | {"error_cb": errors.append}
    try:
        return AdminClient(said, logger=_quiet)
    except KafkaException as e:
        tls.context(link)  # says of a certificate or key what is wrong with it, and raises
        raise KafkaAway("_INVALID_ARG", link.hide(e.args[0].str())) from None


def _looked_at(link: Link, host: str, port: int, lead: str = "") -> None:
    """Every address of the name must be good, for librdkafka chooses among them by itself."""
    try:
        addresses = link.guard.resolve(host, port)
    except Refused as e:
        raise Refused(lead + e.message, field=e.field, hint=e.hint) from None
    except OSError:
        if lead:
            return  # unknown here: librdkafka will not reach it either
        raise
    every = {str(i[4][0]) for i in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    for bad in sorted(every - set(addresses)):
        raise Refused(f"{lead}{host} ({bad}) is refused: {link.guard.why_not(bad, port)}", field="bootstrap")


def _final(e: KafkaError) -> bool:
    return e.code() in (
        KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError._RESOLVE,
        KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError.UNSUPPORTED_SASL_MECHANISM,
    )  # fmt: skip


def _away(link: Link, errors: list[KafkaError], in_time: bool = True) -> KafkaAway:
    """The best of the reasons: the most particular, and the first of those. ``in_time``: it failed before it had to be
    given up, so that brokers which are down without a reason have closed the connection."""
    telling = [e for e in errors if e.code() != KafkaError._ALL_BROKERS_DOWN]
    ranked = sorted(telling, key=lambda e: e.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT))
    if not ranked and errors and in_time:
        return KafkaAway(
            "_ALL_BROKERS_DOWN", f"{link.fields['bootstrap']}: it closes the connection", _wants(link)
        )
    if not ranked:
        return KafkaAway(
            "_TIMED_OUT", "no broker answers", "check that the port is a Kafka listener's for clients"
        )
    first = ranked[0]
    said = link.hide(first.str() or first.name())
    closed = re.search("isconnect|roken pipe|reset by peer", said)
    return _of_tls(link, said) or KafkaAway(first.name(), said, _wants(link) if closed else "")


def _wants(link: Link) -> str:
    sign_in = "a sign-in (SASL)" if link.get("sasl", "none") == "none" else "another mechanism of SASL"
    secure = "no TLS" if link.get("tls") != tls.OFF else "TLS"
    return f"the listener may want {sign_in} or {secure}, or it may not be one for clients"


#: librdkafka's "sasl_ssl://HOST:PORT/bootstrap: WHAT"
_BROKER = re.compile(r"^\w+://(?P<host>[^/\s]+):(?P<port>\d+)/")


def _of_tls(link: Link, said: str) -> KafkaAway | None:
    """What librdkafka says of certificates, in the words of every other kind: its own name settings of its own. None
    where it speaks of something else."""
    m = _BROKER.match(said)
    if m is None or "SSL" not in said:
        return None
    words = alert_words(said)
    if "certificate verify failed" in said:
        words = _verified(link, m["host"].strip("[]"), int(m["port"]))
    return KafkaAway("_SSL", f"{m['host']}:{m['port']}: {words[0]}", words[1]) if words else None


def _verified(link: Link, host: str, port: int) -> tuple[str, str]:
    """Why a broker's certificate is not good. librdkafka says only that, so hands are shaken once more to hear it."""
    try:
        with link.guard.connect(host, port, link.timeout) as sock:
            tls.shake(link, sock, host, link.timeout)
    except ssl.SSLError as e:
        return tls_words(e)
    except OSError:
        pass
    return "the broker's certificate is not good", "check the CA certificate, and the name of the broker"


@contextmanager
def _told(ladder: Ladder, link: Link) -> Iterator[None]:
    try:
        with ladder.step("sign-in"):
            yield
    except KafkaAway as e:
        mechanism = link.get("sasl", "none")
        if "AUTHENTICATION" in e.reason or "SASL" in e.reason:
            raise Failed(
                "sign-in", f"the broker refuses the sign-in: {e.message}",
                f"check user, password and mechanism ({mechanism}); brokers offer only some mechanisms",
            ) from None  # fmt: skip
        if e.reason == "_SSL":
            raise Failed(
                "tls", e.message, e.hint or "check the CA certificate, and that the port is one for TLS"
            ) from None
        if e.reason == "_RESOLVE":
            raise Failed(
                "name",
                e.message,
                "check how the names of the brokers are spelt, and their advertised.listeners",
            ) from None
        raise Failed(
            "sign-in", f"the port is open, and no broker answers as it should: {e.message}", _wants(link)
        ) from None
    except KafkaException as e:
        raise Failed(
            "sign-in", f"{e.args[0].name()}: {e.args[0].str()}", "check the fields of TLS and sign-in"
        ) from None


def _climb(link: Link, ladder: Ladder) -> str:
    servers = pairs(link.fields["bootstrap"])
    with ladder.step("name"):
        for host, port in servers:
            ladder.to(host, port)
            link.guard.resolve(host, port)
    with ladder.step("route"):
        host, port, sock = _first_open(link, ladder, servers)
    with sock:
        if link.get("tls") == tls.OFF:
            ladder.skip("tls")
        else:
            with ladder.step("tls"):
                tls.shake(link, sock, host, ladder.left())
    with _told(ladder, link):
        client, metadata = reached(link, ladder.left())
    with ladder.step("permission"):
        groups = client.list_consumer_groups(request_timeout=ladder.left(2.0)).result()
        for e in groups.errors:
            error = e.args[0] if isinstance(e, KafkaException) else e
            if "AUTHORIZATION" in error.name():
                raise Failed(
                    "permission", "the user may not list consumer groups", "grant it Describe on the cluster and on groups"
                )  # fmt: skip
        if not metadata.topics and hidden(client, [OFFSETS], ladder.left(2.0)):
            raise Failed(
                "permission", "the user may see no topic", "grant it Describe on the topics, on groups and on the cluster"
            )  # fmt: skip
    topics = [t for t in metadata.topics if not t.startswith("__")]
    if any(t.error is not None and "AUTHORIZATION" in t.error.name() for t in metadata.topics.values()):
        raise Failed("permission", "the user may not describe topics", "grant it Describe on the topics")
    brokers, seen = len(metadata.brokers), len(topics)
    return f"{brokers} broker{'' if brokers == 1 else 's'}; {seen} topic{'' if seen == 1 else 's'} that this user sees"


def _first_open(link: Link, ladder: Ladder, servers: list[tuple[str, int]]) -> tuple[str, int, Any]:
    """The first bootstrap server that takes a socket; one is enough, as it is for Kafka's own clients."""
    failed: OSError | None = None
    for host, port in servers:
        ladder.to(host, port)
        try:
            return host, port, link.guard.connect(host, port, ladder.left(4.0 / len(servers) + 0.5))
        except OSError as e:
            failed = failed or e
    assert failed is not None
    raise failed


def _climb_connect(link: Link, ladder: Ladder) -> str:
    http.reach(link, ladder)
    with http.session(link) as s:
        s.timeout = ladder.left()
        with http.answering(ladder, "Kafka Connect"):
            said = http.get_json(s, http.url(link))
            if not isinstance(said, dict) or "kafka_cluster_id" not in said:
                raise Failed(
                    "sign-in",
                    "what answers there is no Kafka Connect",
                    "name its REST address, e.g. http://connect:8083",
                )
        with http.answering(ladder, "Kafka Connect", "permission"):
            connectors = http.get_json(s, http.url(link, "connectors"))
    return f"Kafka Connect {said.get('version', '')}; {len(connectors)} connectors"


KINDS = (
    Kind(
        "kafka", "Kafka", "Brokers of Apache Kafka, Confluent, Redpanda, MSK, Event Hubs",
        (
            Field("bootstrap", "Bootstrap servers", "hosts", required=True, binds=True, example="kafka-1.example.com:9092, kafka-2.example.com:9092",
                  help="host:port, several with commas between"),
            Field("sasl", "Sign-in (SASL)", "choice", default="none", binds=True,
                  choices=(("none", "None"), ("SCRAM-SHA-256", "SCRAM-SHA-256"), ("SCRAM-SHA-512", "SCRAM-SHA-512"), ("PLAIN", "PLAIN"))),
            Field("username", "User", required=True, when=("sasl", ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"))),
            Field("password", "Password", secret=True, required=True, when=("sasl", ("SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"))),
            *tls.fields(),
        ),
        _climb, ("kafka",),
    ),
    Kind(
        "kafka_connect", "Kafka Connect", "The REST interface of a Connect worker",
        (http.address(example="http://connect.example.com:8083"), *http.sign_in_fields(), *http.TLS), _climb_connect,
        ("kafka_connect",),
    ),
)  # fmt: skip
