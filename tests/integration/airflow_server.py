"""A real Airflow 3 in an environment of its own: API server, scheduler and DAG processor on a SQLite of their own.

``airflow`` is a fixture of the session; tests that share it are of one xdist_group, "airflow". Its DAGs are in
tests/data/airflow/dags.
"""

from __future__ import annotations

import contextlib
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
from pathlib import Path
from typing import Any

import pytest
import requests
from serving import clean_environment, environment, run

from embedded import child

DATA = Path(__file__).parents[1] / "data" / "airflow"
MARKS = [pytest.mark.slow, pytest.mark.xdist_group("airflow")]
PARTS = ("api-server", "scheduler", "dag-processor")
PASSWORDS = {"admin": "admin-of-the-tests", "viewer": "viewer-of-the-tests"}


@dataclass
class Airflow:
    """``url`` leads to its API; ``namespace`` is what its OpenLineage provider sends its jobs under."""

    venv: Path
    home: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-airflow-")))
    port: int = field(default_factory=child.free_port)
    namespace: str = "airflow-test"
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
            "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
            "LOGGING__LOGGING_LEVEL": "WARNING",
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
        for part in PARTS:
            self.processes[part] = child.start(
                [self.venv / "bin/airflow", part], log=self.log(part), note=self.home / f"{part}.pid", env=env,
                cwd=self.home,
            )  # fmt: skip
        child.wait_ready(
            self.processes["api-server"], self._ready, name="Airflow", log=self.log("api-server"), timeout=180
        )

    def log(self, part: str) -> Path:
        return self.home / f"{part}.log"

    def _ready(self) -> str | None:
        try:
            health = requests.get(f"{self.url}/api/v2/monitor/health", timeout=3).json()
        except (requests.RequestException, ValueError) as e:
            return str(e)
        waits = [p for p in ("scheduler", "dag_processor") if health.get(p, {}).get("status") != "healthy"]
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

    def ended(self, dag: str) -> dict[str, Any] | None:
        """The newest run of a DAG, where it has ended."""
        runs = self.call("GET", f"/dags/{dag}/dagRuns", order_by="-run_after", limit=1)["dag_runs"]
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


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    server = Airflow(environment("airflow", DATA / "requirements.txt"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
