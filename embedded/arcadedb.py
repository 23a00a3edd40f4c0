"""ArcadeDB from the `arcadedb-embedded` wheel, on the Java inside that wheel, as a child of ours: Bolt on loopback."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import neo4j
from neo4j.exceptions import DriverError, Neo4jError

from embedded import child

NAME = "ArcadeDB"
USER = "root"
DATABASE = "dlv"
#: parts we do not use are left off the class path, so that nothing of them can listen or be called
LEFT_OUT = ("console", "graphql", "integration", "mcp", "postgresw", "python-bridge", "redisw")


class ArcadeDB:
    """Starts on :meth:`start`; :attr:`url`, :attr:`password` and ``databases`` are then what a Bolt driver needs."""

    def __init__(self, home: Path, *, databases: tuple[str, ...] = (DATABASE,), heap_mb: int = 384) -> None:
        self.home = home / "arcadedb"
        self.log = home / "log" / "arcadedb.log"
        self.note = home / "run" / "arcadedb.pid"
        self.databases = databases
        self.heap_mb = heap_mb
        self.user = USER
        self.password = ""
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None
        self._secrets = home / "secrets"

    def start(self) -> None:
        self.launch()
        try:
            self.wait(60)
        except child.StartFailed:
            self.stop()
            raise

    def launch(self) -> None:
        """Start without waiting; Java takes seconds, in which the others can start."""
        child.clear_left(self.note)
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        port = self.locate()
        http = child.kept_port(self._secrets / "arcadedb_http_port")
        arguments = self.home / "java.args"
        child.write_private(arguments, "\n".join(_quoted(a) for a in self._arguments(port, http)) + "\n")
        java = child.package_folder("arcadedb_embedded") / "jre" / "bin" / "java"
        self.process = child.start(
            [java, f"@{arguments}"],
            log=self.log,
            note=self.note,
            cwd=self.home,
            env={"LANG": "C.UTF-8", "TZ": "UTC"},
        )

    def locate(self, *, running: bool = False) -> int:
        """Set :attr:`url` and :attr:`password` without starting anything; returns the port."""
        self.password = child.secret_file(self._secrets / "arcadedb_password")
        port = child.kept_port(self._secrets / "arcadedb_port", running=running)
        self.url = f"bolt://127.0.0.1:{port}"
        return port

    def wait(self, timeout: float) -> None:
        """Until every database answers: the port opens up to a second before the databases exist."""
        assert self.process is not None
        driver = neo4j.GraphDatabase.driver(
            self.url, auth=(self.user, self.password), connection_timeout=5, max_transaction_retry_time=0
        )
        with driver:

            def ready() -> str | None:
                try:
                    for name in self.databases:
                        with driver.session(database=name) as session:
                            session.run("RETURN 1").consume()
                except (DriverError, Neo4jError) as e:
                    return str(e)
                return None

            child.wait_ready(self.process, ready, name=NAME, log=self.log, timeout=timeout)

    def stop(self) -> None:
        if self.process is not None:
            child.stop(self.process, signal.SIGTERM, 20)

    def _arguments(self, port: int, http: int) -> list[str]:
        jars = sorted(
            j
            for j in (child.package_folder("arcadedb_embedded") / "jars").glob("*.jar")
            if not any(j.name.startswith(f"arcadedb-{part}") for part in LEFT_OUT)
        )
        settings = {
            "arcadedb.server.rootPath": self.home,
            "arcadedb.server.databaseDirectory": self.home / "databases",
            "arcadedb.server.logsDirectory": self.home / "log",
            "arcadedb.server.rootPassword": self.password,
            "arcadedb.server.defaultDatabases": ";".join(f"{d}[]" for d in self.databases),
            "arcadedb.server.mode": "production",
            "arcadedb.server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "arcadedb.server.httpIncomingHost": "127.0.0.1",
            "arcadedb.server.httpIncomingPort": http,
            "arcadedb.bolt.host": "127.0.0.1",
            "arcadedb.bolt.port": port,
            "arcadedb.bolt.defaultDatabase": self.databases[0],
            # a graph of 200,000 nodes as a whole: with less every walk over a hub reads its pages anew
            "arcadedb.maxPageRAM": self.heap_mb * 2 // 5,
            "arcadedb.command.timeout": 30_000,
            "arcadedb.serverMetrics": "false",
            "java.util.logging.config.file": _logging(self.home),
        }
        return [
            f"-Xmx{self.heap_mb}m",
            "-XX:+UseSerialGC",
            # the second compiler halves what a walk over a hub costs; Java still starts as fast
            "-XX:ReservedCodeCacheSize=96m",
            "-XX:+ExitOnOutOfMemoryError",
            "-Djava.awt.headless=true",
            "--add-exports=java.management/sun.management=ALL-UNNAMED",
            "--add-opens=java.base/java.nio=ALL-UNNAMED",
            "--add-opens=java.base/java.nio.channels.spi=ALL-UNNAMED",
            "--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED",
            "--enable-native-access=ALL-UNNAMED",
            *(f"-D{k}={v}" for k, v in settings.items()),
            "-cp",
            ":".join(str(j) for j in jars),
            "com.arcadedb.server.ArcadeDBServer",
        ]


def _logging(home: Path) -> Path:
    """Warnings and worse to standard output, which is the log file we roll; no log file of its own."""
    path = home / "logging.properties"
    path.write_text(
        "handlers = java.util.logging.ConsoleHandler\n.level = WARNING\n"
        "java.util.logging.ConsoleHandler.level = WARNING\n"
        "java.util.logging.ConsoleHandler.formatter = java.util.logging.SimpleFormatter\n"
        "java.util.logging.SimpleFormatter.format = %1$tFT%1$tT %4$s %3$s %5$s%6$s%n\n"
    )
    return path


def _quoted(argument: str) -> str:
    """As java's @argfile wants it."""
    return '"' + argument.replace("\\", "\\\\").replace('"', '\\"') + '"'
