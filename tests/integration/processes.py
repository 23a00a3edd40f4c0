"""Running `dlv` as a real process, as ourselves or as an ordinary user."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import settings as settings_module
from embedded import child
from embedded.stack import Stack
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Who:
    """Somebody who can run DLV: the command, the environment, and the user it becomes."""

    name: str
    python: str
    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    account: child.Account | None = None


def ourselves() -> Who:
    return Who("root" if os.geteuid() == 0 else "user", sys.executable, ROOT)


def ordinary_user(into: Path) -> Who:
    """nobody, where we are root; else ourselves. ``into`` takes copies of what nobody could not read."""
    if os.geteuid() != 0:
        return ourselves()
    nobody = pwd.getpwnam("nobody")
    root = ROOT
    packages = Path(sysconfig.get_paths()["purelib"])
    if not child.others_may(ROOT / "cli.py", 4):
        root = into / "dlv"
        skip = shutil.ignore_patterns(".venv", ".git", ".dlv", ".*_cache")
        shutil.copytree(ROOT, root, ignore=skip)
    if not child.others_may(packages / "click" / "__init__.py", 4):
        shutil.copytree(packages, into / "packages")
        packages = into / "packages"
    environment = {
        "PYTHONPATH": str(packages),
        "HOME": str(into),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LD_LIBRARY_PATH": str(into / "python" / "lib"),  # where the copied Python has a shared library
    }
    return Who(
        "user", _python_for_others(into), root, environment, child.Account(nobody.pw_uid, nobody.pw_gid)
    )


def _python_for_others(into: Path) -> str:
    """Our Python where others may start it; where it lies below a closed folder, a copy of it.

    Not another Python of the machine: a package may want other things of another patch release.
    """
    own = Path(os.path.realpath(sys.executable))
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    if child.others_may(own, 5) and child.others_may(stdlib / "os.py", 4):
        return str(own)
    copy = into / "python"
    (copy / "bin").mkdir(parents=True)
    shutil.copy2(own, copy / "bin" / own.name)
    skip = shutil.ignore_patterns("test", "site-packages", "__pycache__", "config-*", "idlelib", "tkinter")
    shutil.copytree(stdlib, copy / "lib" / stdlib.name, ignore=skip)
    for library in own.parent.parent.glob("lib/libpython*.so*"):
        shutil.copy2(library, copy / "lib" / library.name)
    return str(copy / "bin" / own.name)


@contextmanager
def place(prefix: str = "dlv-test-home-") -> Iterator[Path]:
    """A folder any user may pass and write, short enough for unix sockets."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix=prefix))
    folder.chmod(0o777)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Dlv:
    """`dlv COMMAND` as a process; what it says is in :meth:`said`."""

    def __init__(self, who: Who, home: Path, *command: str, **settings: str) -> None:
        self.home = home
        self.port = child.free_port()
        self.out = home.parent / f"said-{self.port}"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("DLV_", "PYTEST_"))}
        env |= who.environment
        env |= {"DLV_HOME": str(home), "DLV_PORT": str(self.port), "DLV_DEMO": "0", "PYTHONUNBUFFERED": "1"}
        env |= settings
        self.environment = env
        extra: dict[str, object] = {}
        if who.account is not None:
            extra = {"user": who.account.uid, "group": who.account.gid, "extra_groups": []}
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(  # type: ignore[call-overload]
                [who.python, who.root / "cli.py", *command],
                cwd=home.parent,
                env=env,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **extra,
            )

    def said(self) -> str:
        return self.out.read_text(errors="replace")

    def wait_for(self, words: str, *, timeout: float = 90) -> str:
        end = time.monotonic() + timeout
        while words not in self.said():
            code = self.process.poll()
            assert code is None, f"ended with {code}:\n{self.said()}"
            assert time.monotonic() < end, f"never said {words!r}:\n{self.said()}{self._logs()}"
            time.sleep(0.05)
        return self.said()

    def _logs(self) -> str:
        return "".join(
            f"\n== {p.name}\n{child.tail(p, 15)}" for p in sorted((self.home / "log").glob("*.log"))
        )

    def ended(self, timeout: float = 60) -> int:
        return self.process.wait(timeout)

    def pid(self, name: str) -> int:
        """Of a child, as its note says."""
        return int((self.home / "run" / f"{name}.pid").read_text().split()[0])

    def family(self) -> list[psutil.Process]:
        """Everything that descends from the process, itself included."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def known(self) -> Settings:
        return Stack(settings_module.load({"DLV_HOME": str(self.home)})).known()

    def stop(self) -> None:
        """For the end of a test, whatever its state."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def gone(processes: list[psutil.Process], timeout: float = 30) -> list[psutil.Process]:
    """Those of ``processes`` that still run after ``timeout`` seconds."""
    return psutil.wait_procs(processes, timeout=timeout)[1]
