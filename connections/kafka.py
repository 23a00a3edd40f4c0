"""Kafka by kafka-python, whose sockets are opened by us (connections.kafka_sockets): the address that the guard let pass is
the one that is connected to, at every connect, of bootstrap servers and of every broker that the cluster names.

A client is asked by the thread that made it and runs no thread of its own, so that nothing is left of it once it is
closed, and no question lasts longer than it may. One thing is not ended in time: a name that the system's resolver is
still looking up, as for every other kind.
"""

from __future__ import annotations

import re
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment
from kafka.protocol.metadata import CoordinatorType, FindCoordinatorRequest, MetadataRequest

from connections import http, tls
from connections.kafka_messages import ConsumerGroupDescribeRequest
from connections.kafka_sockets import SCHEME, WAYS, Context, Loop, Manager, NotReached, Way
from connections.kind import Field, Kind, pairs
from connections.ladder import Failed, Ladder, chain, name_words, route_words, tls_words
from connections.link import Link
from errors import DlvError

T = TypeVar("T")

#: Kafka's own topic, which every cluster has or makes by itself: who may not see even this one may see none
OFFSETS = "__consumer_offsets"
#: seconds after which a question that Kafka could not answer yet is asked again
AGAIN = 0.1
#: bytes of an answer at most; a cluster of ten thousand topics lists them in some megabytes
MOST_BYTES = 100_000_000
#: a broker does not answer in time
_SILENT = (TimeoutError, kafka_errors.KafkaTimeoutError, kafka_errors.RequestTimedOutError)


class KafkaAway(DlvError):
    """No broker answers as it should. ``step`` is how far it came: name, route, tls, sign-in."""

    code = "kafka_away"
    status = 502

    def __init__(self, step: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step


def is_forbidden(error_code: int) -> bool:
    """Whether Kafka's code of an error says that the user may not see it."""
    return issubclass(kafka_errors.for_code(error_code), kafka_errors.AuthorizationError)


class Client:
    """A cluster that answered. ``listed`` is its metadata with all topics that the user may see, as
    :class:`kafka.protocol.metadata.MetadataResponse`."""

    def __init__(self, admin: KafkaAdminClient, manager: Manager, way: Way) -> None:
        self._admin = admin
        self._manager = manager
        self._way = way
        self.listed = manager.listed

    def ask(self, question: Callable[[KafkaAdminClient], T], seconds: float | None = None) -> T:
        """The answer to a question, which is asked again where Kafka says that it cannot answer yet, or a broker is away.

        Raises :class:`connections.guard.Refused` where a broker is, :class:`TimeoutError` where no answer comes within
        ``seconds`` (else the link's timeout), and :class:`kafka.errors.KafkaError`, the last one where the time is over.
        """
        self._way.end = time.monotonic() + (self._way.link.timeout if seconds is None else seconds)
        why: kafka_errors.KafkaError | None = None
        while True:
            try:
                return question(self._admin)
            except _SILENT:
                raise why or TimeoutError("timed out") from None
            except kafka_errors.KafkaError as e:
                if why is None or not isinstance(e, kafka_errors.NodeNotReadyError):
                    why = e  # that one says only that a broker which failed is left alone for a while
                if not e.retriable or self._way.left() <= AGAIN:
                    raise why from None
                time.sleep(AGAIN)

    def group(self, name: str) -> tuple[str, int, frozenset[str]]:
        """What its coordinator says of a consumer group, by :meth:`ask` alone: (Kafka's word for its state, how many
        members, the topics that they are assigned). :class:`kafka.errors.GroupIdNotFoundError` where it knows none.

        Asked by hand: the admin client fails on members of groups that are not of consumers, such as those of Kafka
        Connect's workers, and does not know groups of KIP-848, which to the old request do not exist.
        """

        async def described() -> tuple[str, int, frozenset[str]]:
            found = await self._manager.send(
                FindCoordinatorRequest(key=name, key_type=CoordinatorType.GROUP.value, max_version=3)
            )
            node = self._manager.cluster.add_coordinator(
                found, CoordinatorType.GROUP, name, synthesize_node_id=False
            )
            answer = await self._manager.send(DescribeGroupsRequest(groups=[name]), node_id=node)
            group = answer.groups[0]
            unknown = group.error_code == kafka_errors.GroupIdNotFoundError.errno
            if unknown or group.group_state == "Dead":
                with suppress(kafka_errors.IncompatibleBrokerVersion):
                    newer = await self._manager.send(
                        ConsumerGroupDescribeRequest(group_ids=[name]), node_id=node
                    )
                    if not newer.groups[0].error_code:
                        group = newer.groups[0]
                        reads = {t.topic_name for m in group.members for t in m.assignment.topic_partitions}
                        return group.group_state, len(group.members), frozenset(reads)
            if group.error_code:
                raise kafka_errors.for_code(group.error_code)(name)
            consumers = group.members if group.protocol_type == "consumer" else ()
            return (
                group.group_state,
                len(group.members),
                frozenset(topic for m in consumers for topic in _assigned(m)),
            )

        return self.ask(lambda _: self._manager.run(described))

    def hidden(self, topics: list[str], seconds: float | None = None) -> list[str]:
        """Those of these topics that the user may not know of: Kafka leaves them out of its list as if they did not
        exist. Asked by a request that makes no topic. Raises as :meth:`ask` does."""
        if not topics or self._manager.broker_version_data.api_version(MetadataRequest) < 4:
            return []  # before Kafka 0.11 there was no such request
        told = self.ask(lambda admin: admin.describe_topics(topics), seconds)
        return [t["name"] for t in told if is_forbidden(t["error_code"])]

    def told(self, e: BaseException) -> tuple[str, str]:
        """(words, hint) of what ended a question, without any secret."""
        words, hint = _told_of(e)
        return self._way.link.hide(words), hint


def _assigned(member: Any) -> list[str]:
    """The topics that a member of a group is assigned; none where it says so in a way that is not known here."""
    try:
        said = ConsumerProtocolAssignment.decode(member.member_assignment)
    except (ValueError, struct.error):
        return []
    return [p.topic for p in said.assigned_partitions]


@contextmanager
def reached(link: Link, seconds: float | None = None) -> Iterator[Client]:
    """The cluster behind a link, which answered within ``seconds`` (else the link's timeout); closed after the block, with
    every socket of it. Every bootstrap server and every broker that it names has passed the guard, and does so again
    where its socket opens.

    Raises :class:`KafkaAway`, :class:`connections.guard.Refused`, and :class:`ssl.SSLError` where a PEM of the link
    cannot be used.
    """
    way = Way(link, time.monotonic() + (link.timeout if seconds is None else seconds))
    token = secrets.token_hex(16)
    asked_for = config(link, f"{SCHEME}://{token}", way)
    _look_at(way, pairs(link.fields["bootstrap"]))
    with ExitStack() as stack:
        stack.callback(way.close)
        loop = Loop(way, **asked_for)
        stack.callback(loop.close)
        manager = Manager(
            loop, **asked_for, socket_connection_setup_timeout_ms=asked_for["bootstrap_timeout_ms"]
        )
        stack.callback(manager.close)
        WAYS[token] = way
        stack.callback(WAYS.pop, token)  # before the rest: what is still under way looks nothing up any more
        try:
            admin = KafkaAdminClient(
                **asked_for, kafka_client=lambda **more: KafkaNetClient(loop, manager, **more)
            )
        except (kafka_errors.KafkaError, TimeoutError):
            raise _away(link, way, manager.failed) from None
        _look_at(way, [(b.host, b.port) for b in manager.listed.brokers])
        yield Client(admin, manager, way)


def config(link: Link, proxy_url: str, way: Way) -> dict[str, Any]:
    """kafka-python's settings of this link, from structured fields alone."""
    mechanism = link.get("sasl", "none")
    secure = link.get("tls", tls.VERIFIED) != tls.OFF
    out: dict[str, Any] = {
        "bootstrap_servers": link.fields["bootstrap"].split(","),
        "client_id": "dlv",
        "proxy_url": proxy_url,
        "request_timeout_ms": int(max(0.2, link.timeout) * 1000),
        "bootstrap_timeout_ms": int(max(0.2, way.left()) * 1000),
        "reconnect_backoff_max_ms": 1000,
        "receive_message_max_bytes": MOST_BYTES,
        "security_protocol": ("SASL_" if mechanism != "none" else "") + ("SSL" if secure else "PLAINTEXT"),
    }
    if mechanism != "none":
        user = link.fields["username"]
        if mechanism != "PLAIN":  # kafka-python writes it into SCRAM's first message as it is
            user = user.replace("=", "=3D").replace(",", "=2C")
        out |= {
            "sasl_mechanism": mechanism,
            "sasl_plain_username": user,
            "sasl_plain_password": link.secret.get("password", ""),
        }
    if secure:
        out["ssl_context"] = Context(tls.context(link), way)
    return out


def _look_at(way: Way, servers: list[tuple[str, int]]) -> None:
    """Refuse before anything is asked what is going to be refused, so that it does not depend on which server is asked
    first. Names that do not resolve are left to whoever connects to them."""
    for host, port in servers:
        with suppress(OSError):
            way.addresses(host, port)


# ---------------------------------------------------------------- what is told of failures

_ADVERTISED = "check that DLV's machine reaches every broker by the name that its advertised.listeners say"


def _away(link: Link, way: Way, failed: dict[tuple[str, int], BaseException]) -> KafkaAway:
    """Why no server answered: the most particular of the reasons, and the first of those. A server that has not failed has
    not answered either."""
    servers = pairs(link.fields["bootstrap"])
    every = [_why(link, way, s, failed.get(s) or TimeoutError()) for s in servers]
    return min(every, key=lambda e: e.step == "route")


#: what a broker says to a sign-in where its listener takes none
_NO_SIGN_IN = (kafka_errors.IllegalSaslStateError, kafka_errors.IncompatibleBrokerVersion)
_SIGN_IN = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    *_NO_SIGN_IN,
)


def _why(link: Link, way: Way, at: tuple[str, int], e: BaseException) -> KafkaAway:
    """What an error on the way to a server means, in words without figures that differ from one try to the next."""
    host, port = at
    server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if broken := _first(e, ssl.SSLError) or (_is_closed(e) and _heard(link, way, at)):
        words = tls_words(broken)
        return KafkaAway("tls", link.hide(f"{server}: {words[0]}"), words[1])
    mechanism = link.get("sasl", "none")
    no = _first(e, *_SIGN_IN) or (e if isinstance(e, ValueError | KeyError) else None)
    if mechanism != "none" and no is not None:
        why = _refusal(no, mechanism)
        return KafkaAway("sign-in", link.hide(f"{server}: {why}"), _check_sign_in(mechanism))
    if unknown := _first(e, socket.gaierror):
        return KafkaAway("name", *name_words(unknown, at))
    if isinstance(e, kafka_errors.InvalidReceiveError) and _is_alert(e):
        return KafkaAway("route", f"{server}: it speaks TLS", _wants(link))
    if isinstance(e, kafka_errors.KafkaProtocolError):
        return KafkaAway(
            "route",
            f"{server}: what listens there does not speak Kafka",
            "check the port; it may be one for HTTP or TLS",
        )
    if _first(e, ConnectionRefusedError):
        return KafkaAway(
            "route",
            f"{server}: connection refused, nothing listens on this port",
            "check the port, and that the broker runs",
        )
    if _first(e, *_SILENT):
        return KafkaAway(
            "route",
            f"{server}: it does not answer",
            "it may hang, or a firewall drops what is sent there, or the port is not one for clients",
        )
    if _is_closed(e):
        return KafkaAway("route", f"{server}: it closes the connection", _wants(link))
    if other := _first(e, OSError):
        return KafkaAway("route", f"{server}: {route_words(other, 'route', at)[0]}", _wants(link))
    return KafkaAway("route", link.hide(f"{server}: {_told_of(e)[0]}"), _wants(link))


def _first(e: BaseException, *of: type[BaseException]) -> Any:
    """The first error of these kinds among an error and all it came from."""
    return next((c for c in chain(e) if isinstance(c, of)), None)


def _is_closed(e: BaseException) -> bool:
    """Whether the other side closed the connection. kafka-python has an error of its own for that, which names no other."""
    system = _first(e, OSError)
    if system is None:
        return isinstance(e, kafka_errors.KafkaConnectionError)
    return isinstance(system, ConnectionError) and not isinstance(system, ConnectionRefusedError)


def _is_alert(e: BaseException) -> bool:
    """Whether the length of an answer is the beginning of TLS's alert: kafka-python tells the number in its words."""
    length = re.search(r"\d+$", str(e))
    return length is not None and int(length[0]) >> 16 == 0x1503


def _heard(link: Link, way: Way, at: tuple[str, int]) -> ssl.SSLError | None:
    """What a server that closed the connection has against our certificate: its no can be drowned by what is sent to it
    meanwhile, so hands are shaken once more, and nothing is said."""
    if link.get("tls") == tls.OFF:
        return None
    try:
        with link.guard.connect(*at, max(0.2, way.left())) as sock:
            tls.shake(link, sock, at[0], max(0.2, way.left()))
    except ssl.SSLError as e:
        return e
    except OSError:
        pass
    return None


def _refusal(e: BaseException, mechanism: str) -> str:
    if isinstance(e, _NO_SIGN_IN):
        return "it takes no sign-in (SASL)"
    if isinstance(e, kafka_errors.UnsupportedSaslMechanismError):
        return f"it does not offer the mechanism {mechanism}"
    if isinstance(e, ValueError | KeyError):
        return f"its answer is not one of {mechanism}"
    # kafka-python's "NameOfTheError: what the broker says"
    own = str(e.args[0]).partition(": ")[2] if e.args else ""
    return own if own not in ("", "None") else f"authentication failed by {mechanism}"


def _told_of(e: BaseException) -> tuple[str, str]:
    if away := _first(e, NotReached):
        name = isinstance(away.why, socket.gaierror)
        words = name_words(away.why, away.at) if name else route_words(away.why, "route", away.at)
        return words[0], _ADVERTISED
    if broken := _first(e, ssl.SSLError):
        return tls_words(broken)
    if _is_closed(e):
        return "a broker closed the connection", ""
    if isinstance(e, kafka_errors.UnknownBrokerIdError):
        return "the cluster does not name the broker that knows", ""
    own = getattr(e, "description", None) or next((a for a in e.args if isinstance(a, str) and a), "")
    return own or type(e).__name__, ""


def _wants(link: Link) -> str:
    sign_in = "a sign-in (SASL)" if link.get("sasl", "none") == "none" else "another mechanism of SASL"
    secure = "no TLS" if link.get("tls") != tls.OFF else "TLS"
    return f"the listener may want {sign_in} or {secure}, or it may not be one for clients"


def _check_sign_in(mechanism: str) -> str:
    return f"check user, password and mechanism ({mechanism}); brokers offer only some mechanisms"


# ---------------------------------------------------------------- testing a connection


@contextmanager
def _told(link: Link) -> Iterator[None]:
    try:
        yield
    except KafkaAway as e:
        message, hint = e.message, e.hint or ""
        if e.step == "route":
            message, hint = f"the port is open, and no broker answers as it should: {message}", _wants(link)
        elif e.step == "sign-in":
            message = f"the broker refuses the sign-in: {message}"
        raise Failed("sign-in" if e.step == "route" else e.step, message, hint) from None


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
    with ExitStack() as stack:
        with ladder.step("sign-in"), _told(link):
            client = stack.enter_context(reached(link, ladder.left()))
        with ladder.step("permission"):
            _may_list(client, ladder)
        listed = client.listed
    topics = [t for t in listed.topics if not t.name.startswith("__")]
    brokers, seen = len(listed.brokers), len(topics)
    return f"{brokers} broker{'' if brokers == 1 else 's'}; {seen} topic{'' if seen == 1 else 's'} that this user sees"


def _may_list(client: Client, ladder: Ladder) -> None:
    """Raise :class:`connections.ladder.Failed` where the user may not see what checks look at. That no broker answers to a
    question about groups is not for this test to judge: it is told of a check that asks for one."""

    def groups(admin: KafkaAdminClient) -> None:
        # one that answers is enough: what a user may see is the same at all
        for broker in client.listed.brokers:
            with suppress(kafka_errors.KafkaConnectionError, kafka_errors.NodeNotReadyError):
                admin.list_groups([broker.node_id])
                return

    try:
        client.ask(groups, ladder.left(2.0))
    except kafka_errors.AuthorizationError:
        raise Failed(
            "permission", "the user may not list consumer groups", "grant it Describe on the cluster and on groups"
        ) from None  # fmt: skip
    except (kafka_errors.KafkaError, TimeoutError):
        pass
    try:
        hidden = not client.listed.topics and client.hidden([OFFSETS], ladder.left(2.0))
    except kafka_errors.KafkaError as e:
        raise Failed(
            "permission", f"no broker tells which topics there are: {client.told(e)[0]}", _ADVERTISED
        ) from None  # fmt: skip
    if hidden:
        raise Failed(
            "permission", "the user may see no topic", "grant it Describe on the topics, on groups and on the cluster"
        )  # fmt: skip
    if any(is_forbidden(t.error_code) for t in client.listed.topics):
        raise Failed("permission", "the user may not describe topics", "grant it Describe on the topics")


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
