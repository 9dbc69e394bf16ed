"""The lock of a live supervisor, and what becomes of it when the process dies."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oildrop.results import liveness
from oildrop.results.liveness import RunLock, is_alive
from oildrop.rules.errors import StoreError

HOLDER = """
import sys
from pathlib import Path
from oildrop.results.liveness import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock_file(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "run.lock"


def test_nobody_holds_a_lock_that_does_not_exist(lock_file: Path) -> None:
    assert not is_alive(lock_file)


def test_a_run_lives_while_its_lock_is_held(lock_file: Path) -> None:
    with RunLock(lock_file):
        assert is_alive(lock_file)
    assert lock_file.exists() and not is_alive(lock_file)


def test_a_removed_lock_still_ends_cleanly(lock_file: Path) -> None:
    with RunLock(lock_file) as lock:
        lock.remove()
        assert not lock_file.exists()
        lock.remove()
    assert not is_alive(lock_file)


def test_asking_does_not_take_the_lock(lock_file: Path) -> None:
    with RunLock(lock_file):
        pass
    assert not is_alive(lock_file)
    with RunLock(lock_file):
        pass


def test_the_lock_of_a_killed_process_is_free(lock_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDER, str(lock_file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert is_alive(lock_file)
        monkeypatch.setattr(liveness, "PROBE_PATIENCE_S", 0.0)
        with pytest.raises(StoreError, match=f"held by process {holder.pid}"), RunLock(lock_file):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert not is_alive(lock_file)
