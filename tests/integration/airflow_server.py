"""A real Airflow 3 in an environment of its own: API server, scheduler and DAG processor on a SQLite of their own.

``airflow`` is a fixture of the session (conftest.py takes it, so that there is one); tests that share it are of one xdist_group, "airflow". Its DAGs are in
tests/data/airflow/dags. Its OpenLineage provider sends to a :class:`Receiver`, which keeps what comes and may pass it on.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from serving import clean_environment, environment, run

from embedded import child

DATA = Path(__file__).parents[1] / "data" / "airflow"
MARKS = [pytest.mark.slow, pytest.mark.xdist_group("airflow")]
PASSWORDS = {"admin": "admin-of-the-tests", "viewer": "viewer-of-the-tests"}


class Receiver:
    """Takes OpenLineage events and keeps them. ``on``: (URL, API key) of a DLV that they are passed on to, whose answer
    is then the answer."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.on: tuple[str, str] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                status = outer.took(body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def took(self, body: bytes) -> int:
        self.events.append(json.loads(body))
        status = 201
        if self.on is not None:
            url, key = self.on
            said = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            status = requests.post(f"{url}/api/v1/lineage", data=body, headers=said, timeout=30).status_code
        self.answers.append(status)
        return status

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Airflow:
    """``url`` leads to its API; ``namespace`` is what its OpenLineage provider sends its jobs under."""

    venv: Path
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-airflow-")))
    port: int = field(default_factory=child.free_port)
    namespace: str = "airflow-test"
    receiver: Receiver = field(default_factory=Receiver)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _token: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        secret = secrets.token_hex(24)
        said = {
            "AIRFLOW_HOME": self.home,
            "CORE__DAGS_FOLDER": self.home / "dags",
            "CORE__LOAD_EXAMPLES": False,
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": 2,
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{u}" for u in PASSWORDS),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.home / "passwords.json",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "API__HOST": "127.0.0.1",
            "API__PORT": self.port,
            "API__BASE_URL": self.url,
            "API__WORKERS": 1,
            "API__SECRET_KEY": secret,
            "API_AUTH__JWT_SECRET": secret * 2,
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 6,
            "DAG_PROCESSOR__REFRESH_INTERVAL": 3,
            "DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": 1,
            "LOGGING__LOGGING_LEVEL": "WARNING",
            "OPENLINEAGE__NAMESPACE": self.namespace,
            "OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "http", "url": self.receiver.url, "endpoint": "api/v1/lineage"}
            ),
        }
        return clean_environment(
            **{k if k == "AIRFLOW_HOME" else f"AIRFLOW__{k}": str(v) for k, v in said.items()},
            PATH=f"{self.venv}/bin:{os.environ['PATH']}",
            PYTHONWARNINGS="ignore",
        )

    def start(self) -> None:
        shutil.copytree(DATA / "dags", self.home / "dags")
        (self.home / "passwords.json").write_text(json.dumps(PASSWORDS))
        env = self.environment
        ready = self.venv / "migrated.db"  # making an empty one takes as long as all the rest
        if not ready.exists():
            run([self.venv / "bin/airflow", "db", "migrate"], env=env)
            shutil.copy(self.home / "airflow.db", ready)
        shutil.copy(ready, self.home / "airflow.db")
        for part in ("api-server", "dag-processor"):
            self._begin(part, env)
        # a task that the scheduler starts while the API is not there yet fails for good
        self._wait("metadatabase")
        self._begin("scheduler", env)
        self._wait("scheduler", "dag_processor")

    def _begin(self, part: str, env: dict[str, str]) -> None:
        self.processes[part] = child.start(
            [self.venv / "bin/airflow", part], log=self.log(part), note=self.home / f"{part}.pid", env=env,
            cwd=self.home,
        )  # fmt: skip

    def _wait(self, *parts: str) -> None:
        child.wait_ready(
            self.processes["api-server"], lambda: self._ready(parts), name="Airflow", log=self.log("api-server"),
            timeout=180,
        )  # fmt: skip

    def log(self, part: str) -> Path:
        return self.home / f"{part}.log"

    def _ready(self, parts: tuple[str, ...]) -> str | None:
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=3).json()
        except (requests.RequestException, ValueError) as e:
            return str(e)
        waits = [p for p in parts if health.get(p, {}).get("status") != "healthy"]
        return f"{', '.join(waits)} not healthy yet" if waits else None

    def signal(self, part: str, signum: int) -> None:
        """To the whole process group of a part: its workers, too."""
        os.killpg(self.processes[part].pid, signum)

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        # what LocalExecutor started leads groups of its own and ends with its parent, or is ended here
        for left in _left(self.home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        self.receiver.close()
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- what tests ask it, by themselves

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        if not self._token:
            answer = requests.post(
                f"{self.url}/auth/token",
                json={"username": "admin", "password": PASSWORDS["admin"]},
                timeout=30,
            )
            answer.raise_for_status()
            self._token = answer.json()["access_token"]
        answer = requests.request(
            method, f"{self.url}/api/v2{path}", json=body, params=params, timeout=30,
            headers={"Authorization": f"Bearer {self._token}"},
        )  # fmt: skip
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def until(self, what: str, good: Callable[[], Any], seconds: float = 120) -> Any:
        """Until ``good`` gives something."""
        end = time.monotonic() + seconds
        while not (found := good()):
            assert time.monotonic() < end, (
                f"{what} never came; the scheduler said:\n{self._tail('scheduler')}"
            )
            time.sleep(0.3)
        return found

    def _tail(self, part: str) -> str:
        return self.log(part).read_text(errors="replace")[-3000:]

    def add(self, name: str, text: str) -> None:
        """Another DAG file, which is found within some seconds."""
        (self.home / "dags" / f"{name}.py").write_text(text)

    def ended(self, dag: str) -> dict[str, Any] | None:
        """The newest run of a DAG, where it has ended."""
        found = self.call("GET", "/dags/~/dagRuns", order_by="-run_after", limit=100)["dag_runs"]
        runs = [r for r in found if r["dag_id"] == dag]  # a DAG that is not known yet has none
        return runs[0] if runs and runs[0]["state"] in ("success", "failed") else None


def _left(home: Path) -> list[int]:
    """Processes that still work in this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"AIRFLOW_HOME={home}\0" in (entry / "environ").read_text(errors="replace"):
                    found.append(int(entry.name))
    return found


@pytest.fixture(scope="session", name="airflow")
def airflow_running() -> Iterator[Airflow]:
    server = Airflow(environment("airflow", DATA / "requirements.txt"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
