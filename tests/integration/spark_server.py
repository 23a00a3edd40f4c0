"""A real Spark standalone master with one worker, and a history server, from pip's pyspark.

``spark`` is a fixture of the session (conftest.py takes it); tests that share it are of one xdist_group, "spark-servers".
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from serving import clean_environment, environment, run

from embedded import child

DATA = Path(__file__).parents[1] / "data" / "spark"
MARKS = [
    pytest.mark.slow,
    pytest.mark.xdist_group("spark-servers"),
    pytest.mark.skipif(
        not shutil.which("java"), reason="no Java on the path: deploy/test-tools.sh java fetches it"
    ),
]
#: of the master, the worker and the history server: as little memory as they take, and a start that does not compile
OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Xshare:auto"


@dataclass
class Spark:
    """``master`` and ``history`` lead to their web pages, ``cluster`` is the address for applications."""

    venv: Path
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-spark-")))
    ports: dict[str, int] = field(
        default_factory=lambda: {p: child.free_port() for p in ("cluster", "master", "worker", "history")}
    )
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def master(self) -> str:
        return f"http://127.0.0.1:{self.ports['master']}"

    @property
    def history(self) -> str:
        return f"http://127.0.0.1:{self.ports['history']}"

    @property
    def cluster(self) -> str:
        return f"spark://127.0.0.1:{self.ports['cluster']}"

    @property
    def events(self) -> Path:
        return self.home / "events"

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(
            PATH=f"{self.venv}/bin:{os.environ['PATH']}",
            PYSPARK_PYTHON=str(self.venv / "bin/python"),
            SPARK_LOCAL_IP="127.0.0.1",
            SPARK_DAEMON_MEMORY="256m",
            SPARK_DAEMON_JAVA_OPTS=OPTIONS,
            SPARK_WORKER_DIR=str(self.home / "work"),
            SPARK_HISTORY_OPTS=(
                f"-Dspark.history.fs.logDirectory=file://{self.events} -Dspark.history.ui.port={self.ports['history']}"
                " -Dspark.history.fs.update.interval=1s"
            ),
        )

    def start(self) -> None:
        self.events.mkdir()
        deploy = "org.apache.spark.deploy"
        self._begin(
            "master", f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(self.ports["cluster"]),
            "--webui-port", str(self.ports["master"]),
        )  # fmt: skip
        self._begin("history", f"{deploy}.history.HistoryServer")
        self._wait("master", lambda: bool(self.says(f"{self.master}/json/")))
        self.start_worker()
        self._wait("history", lambda: self.says(f"{self.history}/api/v1/applications") is not None)

    def start_worker(self) -> None:
        self._begin(
            "worker", "org.apache.spark.deploy.worker.Worker", "--host", "127.0.0.1", "--cores", "1",
            "--memory", "600m", "--webui-port", str(self.ports["worker"]), self.cluster,
        )  # fmt: skip
        self._wait("worker", lambda: self.says(f"{self.master}/json/")["aliveworkers"] == 1)

    def _begin(self, part: str, *command: str) -> None:
        self.processes[part] = child.start(
            [self.venv / "bin/spark-class", *command], log=self.home / f"{part}.log", note=self.home / f"{part}.pid",
            env=self.environment,
        )  # fmt: skip

    def _wait(self, part: str, good: Callable[[], bool]) -> None:
        def ready() -> str | None:
            try:
                return None if good() else "not yet"
            except (requests.RequestException, ValueError) as e:
                return str(e)

        child.wait_ready(
            self.processes[part], ready, name=f"Spark's {part}", log=self.home / f"{part}.log", timeout=120
        )

    def says(self, url: str) -> Any:
        answer = requests.get(url, timeout=5)
        return answer.json() if answer.ok else None

    def kill(self, part: str) -> None:
        process = self.processes[part]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def signal(self, part: str, signum: int) -> None:
        os.killpg(self.processes[part].pid, signum)

    def stop(self) -> None:
        for part in self.processes:
            self.kill(part)
        shutil.rmtree(self.home, ignore_errors=True)

    def run_applications(self) -> str:
        """Those of tests/data/spark/applications.py, until the history server knows all of them."""
        command = [
            self.venv / "bin/spark-submit", "--properties-file", DATA / "applications.conf",
            DATA / "applications.py", self.events, self.cluster,
        ]  # fmt: skip
        said = run(command, env=self.environment, cwd=self.home)
        end = time.monotonic() + 60
        while True:
            known = self.says(f"{self.history}/api/v1/applications?status=completed") or []
            if {"dlv_bad", "dlv_good", "dlv_empty"} <= {a["name"] for a in known}:
                return said
            assert time.monotonic() < end, f"the history server knows only {known}\n{said}"
            time.sleep(0.2)


@pytest.fixture(scope="session", name="spark")
def spark_running() -> Iterator[Spark]:
    server = Spark(environment("spark", DATA / "requirements.txt"))
    try:
        server.start()
        server.run_applications()
        yield server
    finally:
        server.stop()
