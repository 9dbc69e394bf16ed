"""A run that measures the machine's ceilings: products in each number format, reads and copies of memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from oildrop.harness.bandwidth import CACHE_FACTOR, SUMS, ask_times_s
from oildrop.harness.devices.opening import is_out_of_memory, runtime_of
from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.harness.orders import Orders
from oildrop.harness.phases import End, benchmark_of, log_memory, open_for, pass_gates, phase
from oildrop.harness.system.cpu import l3_bytes
from oildrop.harness.system.source import this_host
from oildrop.rules import keys
from oildrop.rules.errors import UsageError
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook_parts import Calibration
from oildrop.workloads.calibrate.kernels import DTYPES, Kernels, Work, prove
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.protocols import Device
from oildrop.workloads.registry import make_kernels

QUICK = 3
"""Products of one width that are timed together to see how fast it is."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured with."""

    kernels: Kernels
    device: Device
    terms: Calibration

    def seconds(self, work: Work, count: int) -> float:
        """Time of `count` pieces of work; nothing else is on the device at either edge."""
        self.device.synchronize()
        start_ns = time.monotonic_ns()
        work(count)
        self.device.synchronize()
        return (time.monotonic_ns() - start_ns) / 1e9

    def repeats(self, work: Work) -> tuple[int, list[float]]:
        """How many pieces make one repeat, and the seconds of each repeat, after one that is not counted."""
        self.seconds(work, 1)
        once_s = self.seconds(work, 1)
        count = max(1, math.ceil(self.terms.repeat_s / max(once_s, 1e-9)))
        return count, [self.seconds(work, count) for _ in range(self.terms.repeats)]


def run_calibration(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> End:
    """All phases of a calibration: products are proved exact before the clock, then everything is timed."""
    benchmark = benchmark_of(spec, emitter)
    terms = benchmark.tiers[spec.tier].calibration
    if terms is None:
        raise UsageError(f"{spec.benchmark} {spec.tier} has no calibration; take another tier")
    device = open_for(spec, orders, emitter)
    with phase(emitter, "compile"):
        kernels = make_kernels(spec.settings, device)
        device.synchronize()
    emitter.emit(keys.RUNTIME, device.backend, runtime_of(device))
    missing = kernels.missing()
    with phase(emitter, "gates"):
        pass_gates([prove(kernels, dtype) for dtype in DTYPES if dtype not in missing], emitter)
    emitter.emit(keys.SEED, spec.seed, {"index": spec.seed_index})
    emitter.emit(keys.INIT_STOP)
    emitter.emit(keys.RUN_START)
    with phase(emitter, "calibrate"):
        for what, meta in _ceilings(Bench(kernels=kernels, device=device, terms=terms), spec):
            emitter.emit(keys.CEILING, what, meta)
            emitter.flush()
            heartbeat.progress += 1
    emitter.emit(keys.RUN_STOP, None, {"status": "success"})
    with phase(emitter, "teardown"):
        log_memory(device, spec, emitter)
    return End(claim="ok")


def _ceilings(bench: Bench, spec: RunSpec) -> Iterator[tuple[str, dict[str, Any]]]:
    """What was done and how long it took; else `reason`, and `applicable` false where the machine has no such thing."""
    missing = bench.kernels.missing()
    for dtype in DTYPES:
        if dtype in missing:
            yield "matmul", {"dtype": dtype, "reason": missing[dtype], "applicable": False}
        else:
            yield "matmul", {"dtype": dtype, **_fastest_product(bench, dtype)}
    on_processor = spec.backend.endswith("-cpu")
    threads = int(spec.settings.get("execution.threads", 0)) or physical_cores()
    yield from _processor_memory(bench.terms, threads) if on_processor else _device_memory(bench)
    if on_processor:
        reason = "the device is the processor: nothing is copied to it"
        yield "host_to_device", {"reason": reason, "applicable": False}
    else:
        yield "host_to_device", _moved(bench, bench.kernels.copies_from_host)


def _fastest_product(bench: Bench, dtype: str) -> dict[str, Any]:
    """Of the widths that the tier names the one with the highest rate, repeated.

    The search goes up until a product takes too long, or three matrices no longer fit.
    """
    found: dict[int, float] = {}
    for width in bench.terms.widths:
        try:
            work = bench.kernels.products(dtype, width)
            bench.seconds(work, 1)  # compiles
            once_s = bench.seconds(work, QUICK) / QUICK
        except Exception as error:
            if found and is_out_of_memory(error, bench.device.backend):
                break
            raise
        found[width] = width**3 / once_s
        if once_s > bench.terms.longest_product_s:
            break
    width = max(found, key=lambda each: found[each])
    count, repeats_s = bench.repeats(bench.kernels.products(dtype, width))
    return {"width": width, "count": count, "repeats_s": repeats_s, "method": f"widths tried: {sorted(found)}"}


def _device_memory(bench: Bench) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "read", _moved(bench, bench.kernels.reads)
    yield "copy", _moved(bench, bench.kernels.copies)


def _moved(bench: Bench, make: Callable[[int], Work]) -> dict[str, Any]:
    size_bytes = bench.terms.buffer_bytes // 4 * 4
    count, repeats_s = bench.repeats(make(size_bytes))
    return {"bytes": size_bytes, "count": count, "repeats_s": repeats_s, "method": make.__name__}


def _processor_memory(terms: Calibration, threads: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Reads and copies by NumPy in a child: a processor's memory is the same whatever framework drives it."""
    cache_bytes = l3_bytes(this_host())
    reason = None if cache_bytes else "the system does not tell the size of the last-level cache"
    # A guest system may be told of less cache than its host has.
    size_bytes = max(CACHE_FACTOR * (cache_bytes or 0), terms.buffer_bytes // 4)
    answer = None if reason else ask_times_s(size_bytes, threads, terms.repeats)
    for what in ("read", "copy"):
        if answer is None or answer.value is None:
            yield what, {"reason": reason or (answer.reason if answer else None)}
            continue
        method = f"{SUMS if what == 'read' else 'NumPy copies, one block a thread'}; {threads} threads"
        meta = {"bytes": size_bytes, "count": 1, "repeats_s": answer.value[what], "method": method}
        yield what, {**meta, "last_level_cache_bytes": cache_bytes}
