"""A child process that does not outlive its parent, and the few file-system questions around it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from errors import BadSetting

#: from linux/prctl.h: the signal this process gets when the thread that started it ends
PR_SET_PDEATHSIG = 1
#: a unix socket's path may be this long in bytes, without the closing zero
MAX_SOCKET_PATH = 107
LOG_BYTES = 5 * 1024 * 1024
LOGS_KEPT = 3

if sys.platform == "linux":
    _libc: ctypes.CDLL | None = ctypes.CDLL(None, use_errno=True)
else:
    _libc = None


def die_with_parent(signum: int, parent: int) -> None:
    """Ask the kernel to send ``signum`` to this process when its parent ends. Call in the child.

    On systems without prctl nothing happens; the next start then clears what was left (see :func:`clear_left`).
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), signum)


@dataclass(frozen=True)
class Account:
    """The user and group a child runs as; ``None`` in its place means: as we are."""

    uid: int
    gid: int


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    note: Path,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    cwd: Path | None = None,
    on_parent_death: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own (so that Ctrl-C reaches only the supervisor), its output
    appended to ``log``, its identity written to ``note`` so that the next start can recognise what was left.

    Must be called from a thread that lives as long as the child should: the kernel tells the child when that
    *thread* ends.
    """
    roll(log)
    parent = os.getpid()

    def before_exec() -> None:
        die_with_parent(on_parent_death, parent)

    extra: dict[str, object] = {}
    if account is not None:
        extra = {"user": account.uid, "group": account.gid, "extra_groups": []}
    with open(log, "ab") as out:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            process_group=0,
            preexec_fn=before_exec,
            **extra,
        )
    with contextlib.suppress(psutil.NoSuchProcess):
        note.write_text(f"{process.pid} {psutil.Process(process.pid).create_time():.2f}\n")
    return process  # type: ignore[no-any-return]


def stop(process: subprocess.Popen[bytes], signum: int, timeout: float) -> None:
    """Ask with ``signum``; after ``timeout`` seconds kill the whole process group."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signum)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def clear_left(note: Path, *, patience: float = 10.0) -> bool:
    """Wait for the child an earlier, killed supervisor left, and kill it if it does not end by itself.

    Returns whether there was one. A process that merely got the same number is recognised by its start time.
    """
    try:
        pid_text, created = note.read_text().split()
        left = psutil.Process(int(pid_text))
        if abs(left.create_time() - float(created)) > 1.0:
            return False
    except (OSError, ValueError, psutil.NoSuchProcess):
        return False
    try:
        left.wait(patience)
    except psutil.TimeoutExpired:
        for p in [*left.children(recursive=True), left]:
            with contextlib.suppress(psutil.NoSuchProcess):
                p.kill()
        psutil.wait_procs([left], timeout=5)
    except psutil.NoSuchProcess:
        pass
    return True


def roll(log: Path) -> None:
    """Before a child starts: move a log that grew past :data:`LOG_BYTES` aside; the oldest goes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        if log.stat().st_size < LOG_BYTES:
            return
    except FileNotFoundError:
        return
    for n in range(LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{n}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{n + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))


def trim(log: Path) -> None:
    """While a child runs: copy a log that grew past :data:`LOG_BYTES` aside and empty it in place.

    The child has it open for appending, so it goes on at the new end.
    """
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size >= LOG_BYTES:
            for n in range(LOGS_KEPT - 1, 0, -1):
                older = log.with_name(f"{log.name}.{n}")
                if older.exists():
                    older.replace(log.with_name(f"{log.name}.{n + 1}"))
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for a message that says why a child did not start."""
    try:
        with open(log, "rb") as f:
            f.seek(max(0, f.seek(0, os.SEEK_END) - 8192))
            text = f.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])


def wait_ready(
    process: subprocess.Popen[bytes], ready: Callable[[], str | None], *, name: str, log: Path, timeout: float
) -> None:
    """Ask ``ready`` (None: ready; else what it said) until it is, the child ends, or ``timeout`` seconds pass."""
    end = time.monotonic() + timeout
    said: str | None = None
    while time.monotonic() < end:
        if process.poll() is not None:
            raise StartFailed(name, f"ended with code {process.returncode}", log)
        said = ready()
        if said is None:
            return
        time.sleep(0.05)
    raise StartFailed(name, f"not ready after {timeout:.0f} s: {said}", log)


class StartFailed(BadSetting):
    """A child did not come up; the message has the end of its log."""

    def __init__(self, name: str, why: str, log: Path) -> None:
        super().__init__(f"{name}: {why}\n{tail(log)}".rstrip(), hint=f"the whole log is {log}")


def package_folder(package: str) -> Path:
    """Where a wheel lies, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.origin:
        raise BadSetting(
            f"the package that holds the embedded server ({package}) is not installed",
            hint="pip install -r requirements.txt",
        )
    return Path(spec.origin).parent


def secret_file(path: Path, make: Callable[[], str] | None = None) -> str:
    """A value that is made once and kept in a file only its owner can read (a password, a port)."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    value = make() if make else secrets.token_urlsafe(32)
    write_private(path, value + "\n")
    return value


def write_private(path: Path, text: str, account: Account | None = None) -> None:
    """Write a file that never existed with a wider mode than 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text)
    if account is not None:
        os.chown(new, account.uid, account.gid)
    new.replace(path)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def kept_port(path: Path, *, running: bool = False) -> int:
    """A loopback port that stays the same over restarts, unless somebody else took it meanwhile.

    ``running``: our own server has it now, so it is only read.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        port = int(path.read_text())
        if running:
            return port
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    port = free_port()
    write_private(path, f"{port}\n")
    return port


def fits_socket(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


def others_may(path: Path, bit: int) -> bool:
    """Whether anybody may do ``bit`` (4 read, 1 pass) with ``path`` and pass every folder above it."""
    path = path.resolve()
    try:
        if path.stat().st_mode & bit != bit:
            return False
        return all(p.stat().st_mode & 1 for p in path.parents)
    except OSError:
        return False
