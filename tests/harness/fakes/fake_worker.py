"""Workers that misbehave on purpose: `python -m fake_worker RUN_DIR DESCRIPTOR`, told how by FAKE_WORKER."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def send(descriptor: int, key: str, value: object = None, **meta: object) -> None:
    """One message as the real worker sends it."""
    line = json.dumps([time.monotonic_ns(), key, value, meta]) + "\n"
    os.write(descriptor, line.encode())


def meet(words: list[str]) -> None:
    """Wait for the worker of the run beside this one, where it was told to."""
    if "--meet" in words:
        from oildrop.harness.beside import meet as wait_for_other

        wait_for_other(Path(words[words.index("--meet") + 1]), Path(words[1]).name)


def main() -> None:
    """Behave as FAKE_WORKER says."""
    descriptor, way = int(sys.argv[2]), os.environ["FAKE_WORKER"]
    send(descriptor, "process", "worker-0", device_uuids=[])
    send(descriptor, "phase", "train")
    if way == "diverged":
        send(descriptor, "outcome", "diverged", reason="training loss is nan after 8 samples")
    elif way == "exit_3":
        print("something went wrong at home")
        os._exit(3)
    elif way == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "silent":
        time.sleep(60)
    elif way == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif way == "stalled":
        while True:
            send(descriptor, "heartbeat", 1)
            time.sleep(0.05)
    elif way == "greedy":
        hoard = bytearray(os.urandom(1)) * (256 * 2**20)
        while True:
            send(descriptor, "heartbeat", len(hoard))
            time.sleep(0.05)
    elif way == "garbage":
        os.write(descriptor, b"not a message\n")
        time.sleep(60)
    elif way == "chatty":
        for step in range(20_000):
            send(descriptor, "heartbeat", step)
        send(descriptor, "outcome", "ok")
    elif way in ("timed", "timed_long"):
        meet(sys.argv)
        send(descriptor, "run_start")
        time.sleep(0.4 if way == "timed" else 1.2)
        send(descriptor, "run_stop", None, status="success")
        send(descriptor, "outcome", "ok")
    elif way == "parent":
        child = subprocess.Popen(["sleep", "600"])
        send(descriptor, "runtime", child.pid)
        while True:
            send(descriptor, "heartbeat", int(time.monotonic()))
            time.sleep(0.1)


main()
