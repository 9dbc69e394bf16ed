"""What the harness adds to a step of 1 ms: the timed loop with heartbeat and pipe against a bare loop."""

from __future__ import annotations

import os
import subprocess
import time

from pairs import difference_row, interleaved
from table import Row

from oildrop.harness.loop import TrainPlan, train
from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.harness.null_task import NullDevice, NullTask
from oildrop.rules.rulebook_parts import Schedule

STEPS = 500
PAIRS = 20
STEP_S = 1e-3


def busy_step() -> None:
    """Work for 1 ms by the clock."""
    until = time.perf_counter() + STEP_S
    while time.perf_counter() < until:
        pass


def main() -> list[Row]:
    """Microseconds a step that the harness adds, over interleaved pairs."""
    task, device = NullTask(busy_step), NullDevice()
    plan = TrainPlan(schedule=Schedule(first=STEPS, every=STEPS), cap_samples=STEPS, target=None)
    reading, writing = os.pipe()
    reader = subprocess.Popen(["cat"], stdin=reading, stdout=subprocess.DEVNULL)
    os.close(reading)
    emitter = Emitter(writing)
    heartbeat = Heartbeat(emitter)
    heartbeat.start()

    def harness() -> float:
        start = time.perf_counter()
        train(task, device, plan, emitter, heartbeat)
        return (time.perf_counter() - start) / STEPS

    def bare() -> float:
        start = time.perf_counter()
        for _ in range(STEPS):
            busy_step()
        return (time.perf_counter() - start) / STEPS

    with_harness, without = interleaved(harness, bare, pairs=PAIRS)
    heartbeat.stop()
    os.close(writing)
    reader.wait()
    costs_us = [(a - b) * 1e6 for a, b in zip(with_harness, without, strict=True)]
    return [difference_row("harness cost a step of 1 ms", costs_us, "us", at_most=20.0)]
