"""Start a worker with its guard, watch its memory, end it with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

END_WAIT_S = 5.0
PYTHON = (sys.executable, "-P", "-m")


class WorkerProcess:
    """One worker, or the launcher of several, in a process group of its own.

    Its standard output and error go to `log`. A guard process kills the group when this process dies.

    Args:
        inherited: Descriptors that it gets under the same numbers.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str], *, inherited: Sequence[int] = ()
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                # A launcher that hands its input on would read the end of /dev/null over and over; a pipe is silent.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=inherited,
                env=dict(environment),
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._guard = subprocess.Popen(
            [*PYTHON, "oildrop.harness.guard", str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def exit_status(self) -> int | None:
        """As subprocess gives it; None while it runs."""
        return self._process.poll()

    def wait(self, seconds: float) -> int | None:
        """The exit status once it ends, or None after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def resident_bytes(self) -> int | None:
        """Resident memory of the worker and its children; None when it has ended."""
        try:
            worker = psutil.Process(self.pid)
            return sum(_resident(process) for process in [worker, *worker.children(recursive=True)])
        except psutil.NoSuchProcess:
            return None

    def end(self) -> int | None:
        """Kill what is left of the group and its descendants, let the guard go; returns the exit status."""
        descendants = _descendants(self.pid)
        if self._process.poll() is None or descendants:
            _kill_group(self.pid)
        for process in descendants:
            _kill(process)
        status = self.wait(END_WAIT_S)
        if self._guard.stdin is not None and not self._guard.stdin.closed:
            _tell_guard(self._guard)
        if self._process.stdin is not None:
            self._process.stdin.close()
        return status


def _tell_guard(guard: subprocess.Popen[bytes]) -> None:
    assert guard.stdin is not None
    try:
        guard.stdin.write(b".")
        guard.stdin.close()
    except BrokenPipeError:
        pass  # The guard was killed from outside; nothing is left to guard.
    guard.wait(END_WAIT_S)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
