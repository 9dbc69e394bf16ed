"""Ask a vendor's library in a child process: it may hang, crash, or write where it likes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

ANSWER_LIMIT_S = 5.0
_KILL_WAIT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a child said: `value` (JSON) or the `reason` why there is none."""

    value: Any = None
    reason: str | None = None


def ask_module(module: str, *arguments: str, limit_s: float = ANSWER_LIMIT_S) -> Answer:
    """Run `python -P -m module` and read the JSON on its last line of standard output.

    The child writes to a file, not a pipe, so that a grandchild that holds it open cannot keep us waiting; one
    that does not even die of SIGKILL (stuck in a driver) is left behind.
    """
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            return Answer(reason=f"{module} gave no answer within {limit_s:g} s")
        finally:
            _end(child)
        output.seek(0)
        return _parse(output.read(), status, module)


def _parse(output: bytes, status: int, module: str) -> Answer:
    lines = output.decode(errors="replace").strip().splitlines()
    if status != 0 or not lines:
        ending = f"signal {-status}" if status < 0 else f"exit status {status}"
        return Answer(reason=f"{module} ended with {ending} and {'an' if lines else 'no'} answer")
    try:
        return Answer(value=json.loads(lines[-1]))
    except ValueError:
        return Answer(reason=f"{module} answered something that is not JSON")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    try:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait(_KILL_WAIT_S)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        return
