"""Ends a worker's process group when its supervisor dies, however it dies.

A process of its own, in a session of its own: `python -P -m oildrop.harness.guard GROUP` reads from a
pipe whose other end the supervisor holds. A byte means that the run ended in order; the pipe's
end without one means that the supervisor is gone.
"""

from __future__ import annotations

import os
import signal
import sys


def watch(descriptor: int, group: int) -> None:
    """Wait for the supervisor's word or its death; in the latter case kill process group `group`."""
    if os.read(descriptor, 1) == b"":
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return


if __name__ == "__main__":
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watch(sys.stdin.fileno(), int(sys.argv[1]))
