"""A real Neo4j Community server for tests, from its published jars: fetched once into .cache, started, stopped."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import neo4j
from neo4j.exceptions import DriverError, Neo4jError

from embedded import child

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
PASSWORD = "a-password-for-tests"
OPEN = (
    "java.base/java.nio=ALL-UNNAMED",
    "java.base/java.io=ALL-UNNAMED",
    "java.base/sun.nio.ch=ALL-UNNAMED",
    "java.base/java.util.concurrent=ALL-UNNAMED",
)


@dataclass(frozen=True)
class Release:
    version: str
    java: int  # the oldest that runs it
    main: str


LTS = Release("5.26.28", 17, "org.neo4j.server.CommunityEntryPoint")
NEWEST = Release("2026.09.0", 21, "org.neo4j.server.Neo4jCommunity")


class Absent(Exception):
    """It cannot be run here; the message says why."""


def java_for(oldest: int) -> Path:
    """The oldest Java that is new enough."""
    places = [Path(os.environ["JAVA_HOME"]) / "bin/java"] if os.environ.get("JAVA_HOME") else []
    if on_path := shutil.which("java"):
        places.append(Path(on_path))
    places += sorted(Path("/usr/lib/jvm").glob("*/bin/java"))
    found: dict[int, Path] = {}
    for java in places:
        if not java.exists():
            continue
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        if (m := re.search(r'version "(\d+)', said)) and int(m[1]) >= oldest:
            found.setdefault(int(m[1]), java)
    if not found:
        raise Absent(f"no Java {oldest} or newer is installed")
    return found[min(found)]


def newest_left_out() -> str:
    """Why the newest line is not tried here, or nothing: of no machine is a Java asked that Debian 12 does not have."""
    try:
        java_for(NEWEST.java)
    except Absent as e:
        return f"Neo4j {NEWEST.version} is left out: {e}"
    return ""


def jars(version: str) -> Path:
    """The folder with the server's jars, fetched by Maven where it is not there yet."""
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    folder = cache / f"neo4j-{version}"
    with open(cache / f"neo4j-{version}.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "lib").is_dir():  # as deploy/test-tools.sh leaves it
            return folder / "lib"
        if not shutil.which("mvn"):
            raise Absent(f"Maven, which fetches Neo4j {version}, is not installed")
        fresh = Path(tempfile.mkdtemp(dir=cache, prefix="fetching-"))
        command = [
            "mvn",
            "-q",
            "-B",
            "-f",
            str(ROOT / "tests/data/neo4j-pom.xml"),
            f"-Dneo4j.version={version}",
            PLUGIN,
        ]
        done = subprocess.run(
            [*command, f"-DoutputDirectory={fresh / 'lib'}"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        if done.returncode:
            shutil.rmtree(fresh, ignore_errors=True)
            raise Absent(f"Neo4j {version} could not be fetched: {(done.stdout + done.stderr)[-400:]}")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return folder / "lib"


class Server:
    """Started by :meth:`start`; ``url``, ``user``, ``password`` lead to it."""

    user, password = "neo4j", PASSWORD

    def __init__(self, release: Release, memory: str = "512m", fast_start: bool = True) -> None:
        """``fast_start`` leaves Java's second compiler out: for tests, not for benches."""
        self.release = release
        self.memory, self.fast_start = memory, fast_start
        self.home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-neo4j-"))
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        java, lib = java_for(self.release.java), jars(self.release.version)
        port = child.free_port()
        self.url = f"bolt://127.0.0.1:{port}"
        conf = self.home / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "neo4j.conf").write_text(_configuration(port, self.memory))
        log = self.home / "server.log"
        command = [
            java,
            "-cp",
            f"{lib}/*",
            "-Xms256m",
            f"-Xmx{self.memory}",
            "-XX:+UseSerialGC",
            *(["-XX:TieredStopAtLevel=1"] if self.fast_start else []),
        ]
        command += [f"--add-opens={o}" for o in OPEN]
        command += [self.release.main, f"--home-dir={self.home}", f"--config-dir={conf}", "--console-mode"]
        self.process = child.start(command, log=log, note=self.home / "pid")
        child.wait_ready(self.process, self._ready, name="Neo4j", log=log, timeout=180)

    def _ready(self) -> str | None:
        """Signing in is only possible once the first password is changed."""
        try:
            with (
                neo4j.GraphDatabase.driver(self.url, auth=("neo4j", "neo4j")) as d,
                d.session(database="system") as s,
            ):
                s.run("ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $p", p=PASSWORD).consume()
            with neo4j.GraphDatabase.driver(self.url, auth=("neo4j", PASSWORD)) as d, d.session() as s:
                s.run("RETURN 1").consume()
        except (DriverError, Neo4jError) as e:
            return str(e)
        return None

    def stop(self) -> None:
        if self.process is not None:
            child.stop(self.process, 15, 20)
        shutil.rmtree(self.home, ignore_errors=True)


def _configuration(port: int, memory: str) -> str:
    return f"""server.default_listen_address=127.0.0.1
server.bolt.enabled=true
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled=true
server.memory.heap.initial_size=256m
server.memory.heap.max_size={memory}
server.memory.pagecache.size=256m
dbms.usage_report.enabled=false
"""
