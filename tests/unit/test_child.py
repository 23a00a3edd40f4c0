"""Notes, logs and ports of child processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from embedded import child

STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def _started(tmp_path: Path, code: str) -> subprocess.Popen[bytes]:
    return child.start([sys.executable, "-c", code], log=tmp_path / "a.log", note=tmp_path / "a.pid")


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path: Path) -> None:
    process = _started(tmp_path, "import time; time.sleep(600)")
    try:
        (tmp_path / "a.pid").write_text(f"{process.pid} 12345.00\n")
        assert child.clear_left(tmp_path / "a.pid", patience=0.1) is False
        assert process.poll() is None
    finally:
        child.stop(process, signal.SIGKILL, 5)


def test_what_was_left_and_does_not_end_is_killed(tmp_path: Path) -> None:
    process = _started(tmp_path, STUBBORN)
    assert child.clear_left(tmp_path / "a.pid", patience=0.1) is True
    assert not psutil.pid_exists(process.pid) or psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    process.wait(5)


@pytest.mark.parametrize("note", ["", "not a number", "999999999 1.0"])
def test_a_note_that_says_nothing_is_no_process(tmp_path: Path, note: str) -> None:
    (tmp_path / "a.pid").write_text(note)
    assert child.clear_left(tmp_path / "a.pid") is False


def test_a_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(child.__file__).parents[1])!r})\n"
        "from pathlib import Path; from embedded import child; import os, signal\n"
        f"here = Path({str(tmp_path)!r})\n"
        "child.start([sys.executable, '-c', 'import time; time.sleep(600)'], log=here / 'b.log', note=here / 'b.pid')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code])
    assert parent.returncode == -signal.SIGKILL
    pid = int((tmp_path / "b.pid").read_text().split()[0])
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(20)
    assert not psutil.pid_exists(pid)


def test_a_child_that_ignores_the_signal_is_killed_with_its_group(tmp_path: Path) -> None:
    process = _started(tmp_path, STUBBORN)
    while "up" not in child.tail(tmp_path / "a.log"):
        assert process.poll() is None
    child.stop(process, signal.SIGTERM, 0.1)
    assert process.returncode == -signal.SIGKILL


def test_a_child_that_does_not_come_up_is_reported_with_its_last_words(tmp_path: Path) -> None:
    process = _started(tmp_path, "import sys; print('no such tree'); sys.exit(3)")
    with pytest.raises(child.StartFailed) as e:
        child.wait_ready(process, lambda: "not yet", name="Oak", log=tmp_path / "a.log", timeout=30)
    assert "Oak: ended with code 3" in e.value.message and "no such tree" in e.value.message
    assert str(tmp_path / "a.log") in (e.value.hint or "")


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "password"
    first = child.secret_file(path)
    assert child.secret_file(path) == first and len(first) >= 32
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_port_is_kept_unless_somebody_took_it(tmp_path: Path) -> None:
    path = tmp_path / "port"
    port = child.kept_port(path)
    assert child.kept_port(path) == port
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        assert child.kept_port(path, running=True) == port
        assert child.kept_port(path) != port


def test_a_log_that_grew_moves_aside_and_the_oldest_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LOG_BYTES", 10)
    log = tmp_path / "x.log"
    for n in range(6):
        log.write_text(f"{n}" * 20)
        child.roll(log)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.log.1", "x.log.2", "x.log.3"]
    assert (tmp_path / "x.log.1").read_text() == "5" * 20


def test_a_log_in_use_is_emptied_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "LOG_BYTES", 10)
    log = tmp_path / "x.log"
    with open(log, "ab", buffering=0) as writer:
        writer.write(b"a" * 20)
        child.trim(log)
        writer.write(b"b")
    assert log.read_bytes() == b"b" and (tmp_path / "x.log.1").read_bytes() == b"a" * 20


def test_a_socket_path_has_room_for_107_bytes() -> None:
    assert child.fits_socket(Path("/" + "a" * 106))
    assert not child.fits_socket(Path("/" + "a" * 107))
    assert not child.fits_socket(Path("/" + "ü" * 60))


def test_a_folder_below_a_closed_one_is_out_of_reach(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "open").mkdir(parents=True)
    (closed / "open").chmod(0o755)
    closed.chmod(0o700)
    assert not child.others_may(closed / "open", 5)
    assert not child.others_may(tmp_path / "absent", 5)
    assert child.others_may(Path(os.sep), 5)
