"""A real Kafka broker (KRaft, one node) and a real Kafka Connect, from the jars that deploy/test-tools.sh leaves in .cache.

The broker listens thrice: in plain, with TLS and SASL, and with TLS and a client's certificate. Whoever comes in plain may
do anything; everybody else what :meth:`Kafka.allow` says and no more.

``kafka`` and ``connect`` are fixtures of the session (conftest.py takes them, so that there is one of each): tests that share them are of one xdist_group, "kafka".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from certificates import Authority
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from serving import CACHE

from embedded import child

VERSION = "4.3.1"
JARS = CACHE / f"kafka-{VERSION}"
MISSING = [
    what
    for what, found in {
        "Java (java on the path)": shutil.which("java"),
        f"Kafka {VERSION} in .cache": list(JARS.glob("kafka_2.13-*.jar")),
        f"Kafka Connect {VERSION} in .cache": list(JARS.glob("connect-file-*.jar")),
    }.items()
    if not found
]
#: marks of every test that uses these servers
MARKS = [
    pytest.mark.slow,
    pytest.mark.xdist_group("kafka"),
    pytest.mark.skipif(
        bool(MISSING), reason=f"no {', no '.join(MISSING)}: deploy/test-tools.sh java fetches it"
    ),
]
JAVA = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto", "-Djava.awt.headless=true",
)  # fmt: skip


class Java:
    """A server of Java classes from :data:`JARS`, in a folder of its own."""

    def __init__(self, name: str, heap: str = "256m") -> None:
        self.name = name
        self.heap = heap
        self.home = Path(tempfile.mkdtemp(dir="/tmp", prefix=f"dlv-{name}-"))
        self.log = self.home / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str | Path, log_levels: dict[str, str] | None = None) -> list[str | Path]:
        levels = [f"-Dorg.slf4j.simpleLogger.log.{k}={v}" for k, v in (log_levels or {}).items()]
        return [
            "java", "-Xms64m", f"-Xmx{self.heap}", *JAVA, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *levels,
            "-cp", f"{JARS}/*", *arguments,
        ]  # fmt: skip

    def begin(self, command: list[str | Path]) -> None:
        self.process = child.start(command, log=self.log, note=self.home / "pid")

    def stop(self) -> None:
        """At once, with everything it started: nothing in its folder is wanted any more."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


BROKER = """process.roles={roles}
node.id={node}
controller.quorum.voters=1@127.0.0.1:{controller}
listeners={listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,MUTUAL:SSL
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={home}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
default.replication.factor=1
min.insync.replicas=1
group.initial.rebalance.delay.ms=0
# a client that names a topic which does not exist makes it: as in many a real cluster
auto.create.topics.enable=true
broker.session.timeout.ms=6000
num.network.threads=1
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=4194304
controlled.shutdown.enable=false
"""

SECURED = """ssl.keystore.type=PEM
ssl.keystore.location={home}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={home}/authority.pem
listener.name.mutual.ssl.client.auth=required
listener.name.sasl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {plain};
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
#: who signs in by PLAIN or SCRAM-SHA-512, and with what
USERS = {name: f"s3cret+of/the={name}" for name in ("reader", "clerk", "stranger")}


@dataclass
class Kafka:
    """A broker: ``bootstrap`` leads to it. Node 1 is the cluster's controller, too; another one joins it by its port.

    Node 1 also listens at ``secured`` (SASL over TLS, for :data:`USERS`) and at ``mutual`` (TLS with a certificate of
    ``authority``), by the name localhost.
    """

    server: Java = field(default_factory=lambda: Java("kafka"))
    port: int = field(default_factory=child.free_port)
    controller: int = field(default_factory=child.free_port)
    node: int = 1
    authority: Authority = field(default_factory=Authority)
    sasl_port: int = field(default_factory=child.free_port)
    mutual_port: int = field(default_factory=child.free_port)

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def secured(self) -> str:
        return f"localhost:{self.sasl_port}"

    @property
    def mutual(self) -> str:
        return f"localhost:{self.mutual_port}"

    def start(self) -> None:
        home = self.server.home
        conf = home / "server.properties"
        here, control = f"PLAINTEXT://127.0.0.1:{self.port}", f"CONTROLLER://127.0.0.1:{self.controller}"
        said = {"node": self.node, "controller": self.controller, "home": home}
        formatting = self.server.command(
            "kafka.tools.StorageTool", "format", "--config", conf, "--cluster-id", "dGVzdC1jbHVzdGVyLTAwMQ"
        )
        if self.node == 1:
            more = f"SASL://{self.secured},MUTUAL://{self.mutual}"
            said |= {
                "roles": "broker,controller", "advertised": f"{here},{more}",
                "listeners": f"{here},{control},{more.replace('localhost', '127.0.0.1')}",
            }  # fmt: skip
            conf.write_text(BROKER.format(**said) + self._secured())
            for user, password in USERS.items():
                formatting += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        else:
            conf.write_text(BROKER.format(**said, roles="broker", listeners=here, advertised=here))
        done = subprocess.run([str(c) for c in formatting], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        levels = {"kafka.server.KafkaRaftServer": "info"}
        self.server.begin(self.server.command("kafka.Kafka", conf, log_levels=levels))
        assert self.server.process is not None
        child.wait_ready(self.server.process, self._ready, name="Kafka", log=self.server.log, timeout=120)
        if self.node == 1:
            self._first_group()

    def _secured(self) -> str:
        home, pair = self.server.home, self.authority.sign("localhost")
        (home / "authority.pem").write_text(self.authority.pem)
        (home / "broker.pem").write_text(pair.key + pair.certificate)
        plain = " ".join(f'user_{user}="{password}"' for user, password in USERS.items())
        return SECURED.format(home=home, plain=plain)

    def _ready(self) -> str | None:
        return (
            None
            if "Kafka Server started" in self.server.log.read_text()
            else "it has not said that it started"
        )

    def _first_group(self) -> None:
        """The topic of offsets is made now: the first consumer would wait three seconds for it."""
        admin = self.admin()
        end = time.monotonic() + 30
        while True:
            try:
                admin.describe_consumer_groups(["warm-up"], request_timeout=5)["warm-up"].result(6)
                return
            except KafkaException:
                assert time.monotonic() < end, "the coordinator never came"
                time.sleep(0.1)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, signum: int) -> None:
        assert self.server.process is not None
        os.kill(self.server.process.pid, signum)

    # ---- what tests do with it, by its own client

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def make(self, topic: str, partitions: int = 1, on: list[list[int]] | None = None) -> None:
        """A topic; ``on``: the nodes that keep each of its partitions."""
        new = NewTopic(topic, len(on), replica_assignment=on) if on else NewTopic(topic, partitions, 1)
        self._done(lambda admin: admin.create_topics([new], request_timeout=10))

    def remove(self, topic: str) -> None:
        self._done(lambda admin: admin.delete_topics([topic], request_timeout=10))

    def allow(self, user: str, topic: str = "*", group: str = "*") -> None:
        """Let a user describe this topic and this group, or all of them."""
        rules = [
            AclBinding(
                what, name, ResourcePatternType.LITERAL, f"User:{user}", "*", AclOperation.DESCRIBE, AclPermissionType.ALLOW
            )
            for what, name in ((ResourceType.TOPIC, topic), (ResourceType.GROUP, group))
        ]  # fmt: skip
        self._done(lambda admin: admin.create_acls(rules, request_timeout=10))

    def _done(self, ask: Callable[[AdminClient], dict[Any, Future[Any]]]) -> None:
        """Ask until it is done: a broker that was paused, or whose neighbour went, may need longer than a request lasts."""
        end = time.monotonic() + 90
        again = False
        while True:
            admin = self.admin()  # an answer to a client that is gone never comes
            try:
                for answer in ask(admin).values():
                    answer.result(15)
                return
            except (KafkaException, TimeoutError) as e:
                code = e.args[0].code() if isinstance(e, KafkaException) else None
                if again and code in (KafkaError.TOPIC_ALREADY_EXISTS, KafkaError.UNKNOWN_TOPIC_OR_PART):
                    return  # an earlier try did it and its answer was lost
                timed_out = code is None or e.args[0].retriable() or code == KafkaError._TIMED_OUT
                assert timed_out and time.monotonic() < end, f"Kafka never did it: {e!r}"
                again = True
                time.sleep(0.2)

    def topics(self) -> set[str]:
        return set(self.admin().list_topics(timeout=10).topics)

    def produce(self, topic: str, n: int, partition: int | None = None) -> None:
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        for i in range(n):
            where = {} if partition is None else {"partition": partition}
            producer.produce(topic, key=str(i), value=b"{}", **where)
        assert producer.flush(20) == 0

    def consumer(self, group: str, **more: Any) -> Consumer:
        return Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": group, "auto.offset.reset": "earliest",
             "enable.auto.commit": False, "log_level": 0} | more
        )  # fmt: skip

    def consume(self, topic: str, group: str, n: int, **more: Any) -> Consumer:
        """Read ``n`` records, commit them, and hand the consumer over, which is still a member."""
        consumer = self.consumer(group, **more)
        consumer.subscribe([topic])
        got, end = 0, time.monotonic() + 30
        while got < n:
            assert time.monotonic() < end, f"only {got} of {n} came"
            for message in consumer.consume(n - got, timeout=0.5):
                assert message.error() is None, message.error()
                got += 1
        consumer.commit(asynchronous=False)
        return consumer


CONNECT = """bootstrap.servers={bootstrap}
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
plugin.discovery=service_load
offset.flush.interval.ms=1000
topic.creation.enable=true
group.id=connect-test
config.storage.topic=connect-configs
config.storage.replication.factor=1
offset.storage.topic=connect-offsets
offset.storage.replication.factor=1
offset.storage.partitions=1
status.storage.topic=connect-status
status.storage.replication.factor=1
status.storage.partitions=1
scheduled.rebalance.max.delay.ms=0
"""


@dataclass
class Connect:
    """A distributed worker: ``url`` is its REST interface."""

    kafka: Kafka
    server: Java = field(default_factory=lambda: Java("connect"))
    port: int = field(default_factory=child.free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        conf = self.server.home / "connect.properties"
        conf.write_text(CONNECT.format(bootstrap=self.kafka.bootstrap, port=self.port))
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        self.server.begin(self.server.command(main, conf))
        assert self.server.process is not None
        child.wait_ready(
            self.server.process, self._ready, name="Kafka Connect", log=self.server.log, timeout=120
        )

    def _ready(self) -> str | None:
        try:
            answer = requests.get(f"{self.url}/health", timeout=2)
            return None if answer.ok else f"/health answers {answer.status_code}"
        except requests.RequestException as e:
            return str(e)

    def call(self, method: str, path: str, body: Any = None) -> requests.Response:
        """409 while its workers rebalance: asked again."""
        for _ in range(100):
            answer = requests.request(method, self.url + path, json=body, timeout=10)
            if answer.status_code != 409:
                return answer
            time.sleep(0.1)
        return answer

    def put(self, name: str, **config: str) -> None:
        """Make a connector, and wait until it has a task that is no longer being started."""
        answer = self.call("PUT", f"/connectors/{name}/config", {"tasks.max": "1", **config})
        assert answer.ok, answer.text
        self.until(name, lambda s: bool(s["tasks"]) and all(t["state"] != "UNASSIGNED" for t in s["tasks"]))

    def until(self, name: str, good: Any) -> dict[str, Any]:
        end, status = time.monotonic() + 30, None
        while time.monotonic() < end:
            answer = self.call("GET", f"/connectors/{name}/status")
            if answer.ok:
                status = answer.json()
                if good(status):
                    return dict(status)
            time.sleep(0.05)
        raise AssertionError(f"{name} never came there: {status}\n{self.server.log.read_text()[-2000:]}")


@pytest.fixture(scope="session", name="kafka")
def kafka_running() -> Iterator[Kafka]:
    broker = Kafka()
    try:
        broker.start()
        yield broker
    finally:
        broker.server.stop()


@pytest.fixture(scope="session", name="connect")
def connect_running(kafka: Kafka) -> Iterator[Connect]:
    worker = Connect(kafka)
    try:
        worker.start()
        yield worker
    finally:
        worker.server.stop()
