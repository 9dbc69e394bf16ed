"""Processor time and memory of the worker and its children, and how busy the host is; by psutil."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import psutil

from oildrop.harness.meters.interface import MeterInfo, Reading

TREE_PERIOD_S = 1.0
"""How often the list of children is made anew, seconds."""


class ProcessMeter:
    """Meter of the process tree under `pid`, read from the supervisor's process.

    Quantities of device `worker`, scope `process`: `cpu_s` (user and system time of the tree, ended children
    that were waited for included, since each process's start) and `rss_bytes` (sum over the tree; pages that
    processes share count once each). Of device `cpu`, scope `node`: `busy_s` and `steal_s` over all logical
    processors since boot. A worker that has ended leaves its two quantities out.
    """

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid = pid
        self._clock = clock
        self._tree: list[psutil.Process] = []
        self._tree_expires_s = float("-inf")
        self._cpu_s = 0.0

    def info(self) -> MeterInfo:
        """It always measures."""
        return MeterInfo(
            name="process",
            status="measured",
            scope="process",
            method="psutil: times and resident set of the worker's process tree, times of the host's processors",
            device="worker",
        )

    def sample(self) -> Sequence[Reading]:
        """Read tree and host once."""
        return (*self._worker(), *host_times())

    def close(self) -> None:
        """Nothing to let go."""

    def _worker(self) -> tuple[Reading, ...]:
        times_s, resident_bytes = 0.0, 0
        alive = False
        for process in self._processes():
            reading = _times_and_memory(process)
            if reading is not None:
                alive = True
                times_s += reading[0]
                resident_bytes += reading[1]
        if not alive:
            return ()
        # A child that dies between two samples and is never waited for takes its time along.
        self._cpu_s = max(self._cpu_s, times_s)
        return (
            Reading("cpu_s", "worker", "process", self._cpu_s),
            Reading("rss_bytes", "worker", "process", float(resident_bytes)),
        )

    def _processes(self) -> list[psutil.Process]:
        now_s = self._clock()
        if now_s >= self._tree_expires_s:
            self._tree = process_tree(self._pid)
            self._tree_expires_s = now_s + TREE_PERIOD_S
        return self._tree


def process_tree(pid: int) -> list[psutil.Process]:
    """The process and all its descendants; empty when it has ended."""
    try:
        top = psutil.Process(pid)
        pids = _descendants(pid)
        if pids is None:
            return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    return [top, *(process for child in pids if (process := _process(child)) is not None)]


def _descendants(pid: int) -> list[int] | None:
    """By the kernel's own lists, which costs a look at the tree alone; None where it keeps none (not Linux).

    Source: proc(5), `/proc/pid/task/tid/children`, of kernels with CONFIG_PROC_CHILDREN.
    """
    threads = _names(f"/proc/{pid}/task")
    if threads is None:
        return None
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                children = [int(child) for child in file.read().split()]
        except OSError:
            if thread == str(pid) and os.path.exists(f"/proc/{pid}/stat"):
                return None  # It lives, and this kernel keeps no lists.
            continue  # The thread has ended.
        for child in children:
            found += [child, *(_descendants(child) or ())]
    return found


def _names(folder: str) -> list[str] | None:
    try:
        return os.listdir(folder)
    except OSError:
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def host_times() -> tuple[Reading, ...]:
    """Busy and stolen seconds since boot over all logical processors; what the system does not count is left out."""
    times = psutil.cpu_times()
    readings = [Reading("busy_s", "cpu", "node", busy_s(times))]
    if hasattr(times, "steal"):
        readings.append(Reading("steal_s", "cpu", "node", times.steal))
    return tuple(readings)


def busy_s(times: Any) -> float:
    """Seconds in which a processor worked for this host; guests are inside `user` already, stolen time is not work."""
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq")))


def _times_and_memory(process: psutil.Process) -> tuple[float, int] | None:
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            times = process.cpu_times()
            return sum(times[:4]), process.memory_info().rss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
