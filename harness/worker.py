"""The process that runs one workload: `python -P -m oildrop.harness.worker RUN_DIR DESCRIPTOR`.

It reads `spec.json`, drives the task through its phases and tells the supervisor over the pipe. The
supervisor alone writes the event log; of the bundle the worker writes only `samples/`.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oildrop.harness.devices.opening import device_uuids, is_out_of_memory, open_device, require_dtype, runtime_of
from oildrop.harness.loop import Kept, TrainEnd, TrainPlan, train
from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.results.bundle.samples import write_evaluations
from oildrop.rules import keys
from oildrop.rules.errors import OildropError, Unsupported
from oildrop.rules.evidence import EvaluationTable
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import Benchmark, gate_settings
from oildrop.workloads.protocols import Device, TrainTask
from oildrop.workloads.registry import make_train_task
from oildrop.workloads.weights_hash import weights_sha256

PR_SET_PDEATHSIG = 1


class GateFailed(OildropError):
    """The implementation does not compute what the reference computes."""


def main() -> None:
    """Run the job named on the command line and hand the outcome to the supervisor."""
    _die_with_parent()
    run_dir, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    emitter = Emitter(descriptor)
    heartbeat = Heartbeat(emitter)
    heartbeat.start()
    spec = RunSpec.model_validate_json((run_dir / "spec.json").read_bytes())
    claim, reason = _attempt(spec, run_dir, emitter, heartbeat)
    emitter.emit(keys.OUTCOME, claim, {"reason": reason})
    heartbeat.stop()
    emitter.flush()
    sys.stdout.flush()
    # Frameworks' own threads and exit handlers may hang or crash after all is said.
    os._exit(0)


def _attempt(spec: RunSpec, run_dir: Path, emitter: Emitter, heartbeat: Heartbeat) -> tuple[str, str | None]:
    """Outcome to claim, and its reason in one line; the traceback goes to output.log."""
    try:
        end = run_training(spec, run_dir, emitter, heartbeat)
    except Unsupported as error:
        return "unsupported", str(error)
    except GateFailed as error:
        return "invalid", str(error)
    except Exception as error:
        traceback.print_exc()
        if is_out_of_memory(error, spec.backend):
            return "oom", _one_line(error)
        return "crash", _one_line(error)
    return end.claim, end.reason


def run_training(spec: RunSpec, run_dir: Path, emitter: Emitter, heartbeat: Heartbeat) -> TrainEnd:
    """All phases of one training run, up to the closed chunk of its kept evaluations."""
    benchmark = _benchmark_of(spec)
    device = open_device(spec.backend)
    require_dtype(device, str(spec.settings["execution.dtype"]))
    emitter.emit(keys.PROCESS, "worker-0", {"device_uuids": list(device_uuids(device))})
    emitter.flush()
    gates = gate_settings(benchmark.gates, benchmark.tiers[spec.tier])
    task = make_train_task(benchmark.task, {**spec.settings, **gates}, device)
    _set_up(task, spec, device, emitter)
    plan = _plan(spec, benchmark, task)
    emitter.emit(keys.GLOBAL_BATCH_SIZE, task.samples_per_step())
    emitter.emit(keys.TRAIN_SAMPLES, plan.cap_samples)
    emitter.emit(keys.INIT_STOP)
    emitter.flush()
    end = train(task, device, plan, emitter, heartbeat)
    with _phase(emitter, "teardown"):
        _keep_evaluations(end.kept, run_dir, emitter)
        emitter.emit(
            keys.MEMORY, device.memory_peak_bytes(), {"scope": "process" if "cpu" in spec.backend else "device"}
        )
    return end


def _set_up(task: TrainTask, spec: RunSpec, device: Device, emitter: Emitter) -> None:
    """Everything before the clock: data, compile, gates, weights, warm-up."""
    with _phase(emitter, "data"):
        task.load_data()
    with _phase(emitter, "compile"):
        task.build()
        device.synchronize()
    emitter.emit(keys.RUNTIME, device.backend, runtime_of(device))
    with _phase(emitter, "gates"):
        _pass_gates(task, emitter)
    with _phase(emitter, "init"):
        task.initialise(spec.seed)
        emitter.emit(keys.SEED, spec.seed, {"index": spec.seed_index})
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": "init"})
    with _phase(emitter, "warmup"):
        task.warm_up()
        device.synchronize()
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": "warmup"})


def _pass_gates(task: TrainTask, emitter: Emitter) -> None:
    results = task.run_gates()
    for result in results:
        emitter.emit(keys.GATE, result.name, result.model_dump(mode="json"))
    failed = [f"{r.name} ({r.dtype}): {r.value} over {r.limit:g}" for r in results if not r.passed]
    if failed:
        raise GateFailed("gate failed: " + "; ".join(failed))


def _plan(spec: RunSpec, benchmark: Benchmark, task: TrainTask) -> TrainPlan:
    tier = benchmark.tiers[spec.tier]
    steps = spec.settings.get("limit.steps")
    cap = int(steps) * task.samples_per_step() if steps is not None else int(spec.settings["limit.cap_samples"])
    return TrainPlan(schedule=tier.schedule, cap_samples=cap, target=tier.target)


def _keep_evaluations(kept: tuple[Kept, ...], run_dir: Path, emitter: Emitter) -> None:
    """Close the chunk of per-document evidence; the supervisor hashes and logs it."""
    if not kept:
        return
    tables = [
        EvaluationTable(
            samples=each.samples,
            loss_nats=tuple(each.evaluation.loss_nats.tolist()),
            source_nats=tuple(each.evaluation.source_nats.tolist()),
            token_count=tuple(each.evaluation.token_count.tolist()),
            correct_count=tuple(each.evaluation.correct_count.tolist()),
        )
        for each in kept
    ]
    name = "0000.arrow"
    write_evaluations(run_dir / "samples" / name, tables)
    emitter.emit(keys.CHUNK, name)


def _benchmark_of(spec: RunSpec) -> Benchmark:
    benchmark = load_rulebook().benchmarks[spec.benchmark]
    if benchmark.sha256 != spec.benchmark_sha256:
        raise OildropError(
            f"the rulebook's {spec.benchmark} changed after this run was planned: "
            f"{spec.benchmark_sha256[:12]} was planned, {benchmark.sha256[:12]} is installed; start the run again"
        )
    return benchmark


@contextmanager
def _phase(emitter: Emitter, name: str) -> Iterator[None]:
    """Say that a phase begins; it lasts until the next one does."""
    emitter.emit(keys.PHASE, name)
    yield
    emitter.flush()


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:500]


def _die_with_parent() -> None:
    """Linux: have the kernel kill this process when its parent dies, even while it is stopped."""
    if sys.platform == "linux":
        libc: Any = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main()
