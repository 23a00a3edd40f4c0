"""A whole `dlv up` for a bench, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

from embedded import child

ROOT = Path(__file__).parents[1]
NAMES = (
    "worker fold",
    "worker project",
    "worker check",
    "worker alert",
    "scheduler",
    "cli.py web",
    "java",
    "valkey",
)


PASSWORD = "a quiet long walk"


@dataclass(frozen=True)
class Running:
    """Where it answers, and its supervisor's process."""

    base: str
    pid: int

    def database_url(self) -> str:
        """The embedded Postgres, as its children were told."""
        for p in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.Error):
                if url := p.environ().get("DLV_DATABASE_URL"):
                    return url
        raise SystemExit("no process of dlv up knows the database")

    def _each(self) -> Iterator[tuple[str, psutil.Process]]:
        for p in psutil.Process(self.pid).children(recursive=True):
            with suppress(psutil.Error):
                said = " ".join(p.cmdline())
                yield (
                    next((n for n in NAMES if n in said), "postgres" if "postgres" in p.name() else "other"),
                    p,
                )

    def pss(self) -> Counter[str]:
        """MB of proportional memory, by process."""
        out: Counter[str] = Counter()
        for name, p in self._each():
            with suppress(psutil.Error):
                out[name] += p.memory_full_info().pss / 1e6
        return out

    def cpu(self) -> Counter[str]:
        """Seconds of CPU used so far by those that live, by process."""
        out: Counter[str] = Counter()
        for name, p in self._each():
            with suppress(psutil.Error):
                out[name] += sum(p.cpu_times()[:2])
        return out


@dataclass(frozen=True)
class Up(Running):
    """With a key that sends lineage and reads."""

    key: str


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder for a DLV, removed at the end."""
    home = Path(tempfile.mkdtemp(dir="/tmp", prefix="dlv-bench-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def started(home: Path, *, demo: bool = False) -> Iterator[Running]:
    """`dlv up` on this folder from the moment it says where it is, stopped at the end."""
    port = child.free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith("DLV_")}
    env |= {
        "DLV_HOME": str(home), "DLV_PORT": str(port), "DLV_DEMO": str(int(demo)), "DLV_ADMIN_PASSWORD": PASSWORD,
    }  # fmt: skip
    log = home / "up.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [sys.executable, "cli.py", "up"], env=env, stdout=out, stderr=out, cwd=ROOT
        )
    try:
        while "Ctrl-C stops it" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield Running(f"http://127.0.0.1:{port}", process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def up() -> Iterator[Up]:
    """Started with an empty record, stopped and removed at the end."""
    with folder() as home, started(home) as dlv:
        said = {"username": "admin", "password": PASSWORD}
        login = requests.post(f"{dlv.base}/api/v1/auth/login", json=said, timeout=60).json()
        made = requests.post(
            f"{dlv.base}/api/v1/api-keys", json={"name": "bench", "scopes": ["lineage:write", "read"]},
            headers={"Authorization": f"Bearer {login['access_token']}"}, timeout=60,
        ).json()  # fmt: skip
        yield Up(dlv.base, dlv.pid, made["key"])
