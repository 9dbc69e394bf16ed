"""The process that runs one workload, or one rank of it: `python -P -m oildrop.harness.worker RUN_DIR CHANNEL ...`.

It reads `spec.json`, drives the task through its phases and tells the supervisor over the channel. The
supervisor alone writes the event log; of the bundle rank 0 writes only `samples/`, the others nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oildrop.harness.devices.opening import device_uuids, is_out_of_memory, open_device, require_dtype, runtime_of
from oildrop.harness.loop import Kept, Position, TrainEnd, TrainPlan, train
from oildrop.harness.messages import Emitter, Heartbeat, open_channel
from oildrop.harness.ranks import checkpoints
from oildrop.harness.ranks.lineage import die_with_parent
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

OWN_WORDS = frozenset(
    (
        keys.HEARTBEAT,
        keys.PROCESS,
        keys.BENCHMARK_SHA256,
        keys.GATE,
        keys.WEIGHTS_SHA256,
        keys.BATCH_SHA256,
        keys.OUTCOME,
    )
)
"""What ranks beside the first say: their own state. Marks of time are rank 0's."""


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The worker's command line.

    Attributes:
        channel: Where the supervisor listens: an inherited descriptor's number, or a socket's path.
        rank: This process's among those that train together.
        checkpoints: Folder of checkpoints; None takes none.
        resume: Whether the run's clock is running already: go on from the newest checkpoint, or from the first step.
    """

    run_dir: Path
    channel: str
    rank: int
    checkpoints: Path | None
    resume: bool


class GateFailed(OildropError):
    """The implementation does not compute what the reference computes."""


def main() -> None:
    """Run the job named on the command line and hand the outcome to the supervisor."""
    die_with_parent()
    orders = _orders()
    emitter = Emitter(open_channel(orders.channel, orders.rank), only=OWN_WORDS if orders.rank else None)
    heartbeat = Heartbeat(emitter)
    heartbeat.start()
    spec = RunSpec.model_validate_json((orders.run_dir / "spec.json").read_bytes())
    claim, reason = _attempt(spec, orders, emitter, heartbeat)
    emitter.emit(keys.OUTCOME, claim, {"reason": reason})
    heartbeat.stop()
    emitter.flush()
    sys.stdout.flush()
    # Frameworks' own threads and exit handlers may hang or crash after all is said.
    os._exit(0)


def _orders() -> Orders:
    parser = argparse.ArgumentParser(prog="oildrop.harness.worker", description="Run one rank of one run.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("channel")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--resume", action="store_true")
    return Orders(**vars(parser.parse_args()))


def _attempt(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> tuple[str, str | None]:
    """Outcome to claim, and its reason in one line; the traceback goes to output.log."""
    try:
        end = run_training(spec, orders, emitter, heartbeat)
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


def run_training(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> TrainEnd:
    """All phases of one training run, up to the closed chunk of its kept evaluations."""
    benchmark = _benchmark_of(spec, emitter)
    device = open_device(spec.backend)
    require_dtype(device, str(spec.settings["execution.dtype"]))
    emitter.emit(
        keys.PROCESS, f"worker-{orders.rank}", {"pid": os.getpid(), "device_uuids": list(device_uuids(device))}
    )
    emitter.flush()
    gates = gate_settings(benchmark.gates, benchmark.tiers[spec.tier])
    task = make_train_task(benchmark.task, {**spec.settings, **gates}, device)
    _build(task, device, emitter)
    plan = _plan(spec, benchmark, task)
    resume = None
    if orders.resume:
        resume = _take_up(task, spec, orders, emitter)
    else:
        _prove_and_start(task, spec, device, emitter)
        emitter.emit(keys.GLOBAL_BATCH_SIZE, task.samples_per_step())
        emitter.emit(keys.TRAIN_SAMPLES, plan.cap_samples)
        emitter.emit(keys.INIT_STOP)
        emitter.flush()
    keeper = None
    if orders.checkpoints is not None:
        keeper = checkpoints.Checkpoints(orders.checkpoints, writes=orders.rank == 0)
    end = train(task, device, plan, emitter, heartbeat, resume=resume, keeper=keeper)
    with _phase(emitter, "teardown"):
        if orders.rank == 0:
            _keep_evaluations(end.kept, orders.run_dir, emitter)
        emitter.emit(
            keys.MEMORY, device.memory_peak_bytes(), {"scope": "process" if "cpu" in spec.backend else "device"}
        )
    return end


def _build(task: TrainTask, device: Device, emitter: Emitter) -> None:
    """Data and graphs."""
    with _phase(emitter, "data"):
        task.load_data()
    with _phase(emitter, "compile"):
        task.build()
        device.synchronize()
    emitter.emit(keys.RUNTIME, device.backend, runtime_of(device))


def _prove_and_start(task: TrainTask, spec: RunSpec, device: Device, emitter: Emitter) -> None:
    """What else comes before the clock: gates, weights, warm-up."""
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


def _take_up(task: TrainTask, spec: RunSpec, orders: Orders, emitter: Emitter) -> Position:
    """State of the newest checkpoint, else of the run's first step; the gates were passed before the crash."""
    found = checkpoints.newest(orders.checkpoints) if orders.checkpoints is not None else None
    position = Position()
    with _phase(emitter, "init"):
        if found is None:
            task.initialise(spec.seed)
        else:
            state, position = checkpoints.read(found)
            task.restore(spec.seed, state)
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": f"restart after {position.samples}"})
    return position


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
    return TrainPlan(schedule=tier.evaluations, cap_samples=cap, target=tier.target)


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


def _benchmark_of(spec: RunSpec, emitter: Emitter) -> Benchmark:
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


@contextmanager
def _phase(emitter: Emitter, name: str) -> Iterator[None]:
    """Say that a phase begins; it lasts until the next one does."""
    emitter.emit(keys.PHASE, name)
    yield
    emitter.flush()


def _one_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else ''}"[:500]


if __name__ == "__main__":
    main()
