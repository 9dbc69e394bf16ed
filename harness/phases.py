"""What a worker does the same whatever it runs: phases, the rulebook's benchmark, the device, the gates."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from oildrop.harness.beside import meet
from oildrop.harness.canary import read_device
from oildrop.harness.devices.opening import canary_of, device_uuids, open_device, require_dtype
from oildrop.harness.messages import Emitter
from oildrop.harness.orders import Orders
from oildrop.rules import keys
from oildrop.rules.errors import OildropError
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import GateResult, RunSpec
from oildrop.rules.rulebook import Benchmark
from oildrop.workloads.protocols import Device


@dataclass(frozen=True, kw_only=True)
class End:
    """How a run ended by itself: the outcome to claim, and why in one sentence; None where the outcome says it all."""

    claim: str
    reason: str | None = None


class GateFailed(OildropError):
    """The implementation does not compute what the reference computes."""


@contextmanager
def phase(emitter: Emitter, name: str) -> Iterator[None]:
    """Say that a phase begins; it lasts until the next one does."""
    emitter.emit(keys.PHASE, name)
    yield
    emitter.flush()


def benchmark_of(spec: RunSpec, emitter: Emitter) -> Benchmark:
    """The installed benchmark, announced before it is compared: the log shows which rank had another."""
    benchmark = load_rulebook().benchmarks[spec.benchmark]
    emitter.emit(keys.BENCHMARK_SHA256, benchmark.sha256)
    emitter.flush()
    if benchmark.sha256 != spec.benchmark_sha256:
        raise OildropError(
            f"the rulebook's {spec.benchmark} changed after this run was planned: "
            f"{spec.benchmark_sha256[:12]} was planned, {benchmark.sha256[:12]} is installed; start the run again"
        )
    return benchmark


def open_for(spec: RunSpec, orders: Orders, emitter: Emitter) -> Device:
    """The run's device, and this process told to the supervisor. Raises Unsupported."""
    device = open_device(spec.backend)
    require_dtype(device, str(spec.settings["execution.dtype"]))
    emitter.emit(
        keys.PROCESS, f"worker-{orders.rank}", {"pid": os.getpid(), "device_uuids": list(device_uuids(device))}
    )
    emitter.flush()
    _log_canary(device, spec, emitter, "before")
    return device


def meet_beside(spec: RunSpec, orders: Orders, emitter: Emitter) -> None:
    """Wait, still in warm-up, until the run beside this one is ready to start its clock too; most runs have none."""
    if orders.meet is None or orders.rank != 0:
        return
    emitter.flush()
    emitter.emit(keys.BESIDE, "met", {"waited_s": meet(orders.meet, spec.run_id)})


def pass_gates(results: Iterable[GateResult], emitter: Emitter) -> None:
    """Log every comparison with the reference. Raises GateFailed with those that failed."""
    found = list(results)
    for result in found:
        emitter.emit(keys.GATE, result.name, result.model_dump(mode="json"))
    failed = [f"{r.name} ({r.dtype}): {r.value} over {r.limit:g}" for r in found if not r.passed]
    if failed:
        raise GateFailed("gate failed: " + "; ".join(failed))


def log_memory(device: Device, spec: RunSpec, emitter: Emitter) -> None:
    """The high-water mark of the device's memory, or of this process where the device is the processor.

    After it an accelerator's canary is timed once more: what this needs of memory is none of the run's.
    """
    emitter.emit(keys.MEMORY, device.memory_peak_bytes(), {"scope": "process" if "cpu" in spec.backend else "device"})
    _log_canary(device, spec, emitter, "after")


def _log_canary(device: Device, spec: RunSpec, emitter: Emitter, when: str) -> None:
    """Of an accelerator; the processor's is the supervisor's, which no framework's threads disturb.

    A run beside another has none: it would be timed while the other's clock runs.
    """
    timed = not spec.backend.endswith("-cpu") and spec.beside_run_id is None
    canary = canary_of(device) if timed else None
    if canary is not None:
        read_device(canary.run, device.synchronize, canary.work).log(emitter.emit, when)
