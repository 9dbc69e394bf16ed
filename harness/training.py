"""One training run in a worker: every phase up to the closed chunk of its kept evaluations."""

from __future__ import annotations

from pathlib import Path

from oildrop.harness.devices.opening import runtime_of
from oildrop.harness.loop import Kept, Position, TrainPlan, train
from oildrop.harness.messages import Emitter, Heartbeat
from oildrop.harness.orders import Orders
from oildrop.harness.phases import End, benchmark_of, log_memory, meet_beside, open_for, pass_gates, phase
from oildrop.harness.ranks import checkpoints
from oildrop.results.bundle.samples import write_evaluations
from oildrop.rules import keys
from oildrop.rules.evidence import EvaluationTable
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import Benchmark, gate_settings
from oildrop.workloads.kept_weights import write_weights
from oildrop.workloads.protocols import Device, TrainTask
from oildrop.workloads.registry import make_train_task
from oildrop.workloads.weights_hash import weights_sha256


def run_training(spec: RunSpec, orders: Orders, emitter: Emitter, heartbeat: Heartbeat) -> End:
    """All phases of one training run, up to the closed chunk of its kept evaluations."""
    benchmark = benchmark_of(spec, emitter)
    device = open_for(spec, orders, emitter)
    gates = gate_settings(benchmark.gates, benchmark.tiers[spec.tier])
    task = make_train_task(benchmark.task, {**spec.settings, **gates}, device)
    _build(task, device, emitter)
    plan = plan_of(spec, benchmark, task)
    resume = None
    if orders.resume:
        resume = _take_up(task, spec, orders, emitter)
    else:
        _prove_and_start(task, spec, device, emitter)
        emitter.emit(keys.GLOBAL_BATCH_SIZE, task.samples_per_step())
        emitter.emit(keys.TRAIN_SAMPLES, plan.cap_samples)
        meet_beside(spec, orders, emitter)
        emitter.emit(keys.INIT_STOP)
        emitter.flush()
    keeper = None
    if orders.checkpoints is not None:
        keeper = checkpoints.Checkpoints(orders.checkpoints, writes=orders.rank == 0)
    end = train(task, device, plan, emitter, heartbeat, resume=resume, keeper=keeper)
    with phase(emitter, "teardown"):
        if orders.rank == 0:
            _keep_evaluations(end.kept, orders.run_dir, emitter)
        _keep_weights(task, orders, emitter)
        log_memory(device, spec, emitter)
    return End(claim=end.claim, reason=end.reason)


def _build(task: TrainTask, device: Device, emitter: Emitter) -> None:
    """Data and graphs."""
    with phase(emitter, "data"):
        task.load_data()
    with phase(emitter, "compile"):
        task.build()
        device.synchronize()
    emitter.emit(keys.RUNTIME, device.backend, runtime_of(device))


def _prove_and_start(task: TrainTask, spec: RunSpec, device: Device, emitter: Emitter) -> None:
    """What else comes before the clock: gates, weights, warm-up."""
    with phase(emitter, "gates"):
        pass_gates(task.run_gates(), emitter)
    with phase(emitter, "init"):
        task.initialise(spec.seed)
        emitter.emit(keys.SEED, spec.seed, {"index": spec.seed_index})
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": "init"})
    with phase(emitter, "warmup"):
        task.warm_up()
        device.synchronize()
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": "warmup"})


def _take_up(task: TrainTask, spec: RunSpec, orders: Orders, emitter: Emitter) -> Position:
    """State of the newest checkpoint, else of the run's first step; the gates were passed before the crash."""
    found = checkpoints.newest(orders.checkpoints) if orders.checkpoints is not None else None
    position = Position()
    with phase(emitter, "init"):
        if found is None:
            task.initialise(spec.seed)
        else:
            state, position = checkpoints.read(found)
            task.restore(spec.seed, state)
        emitter.emit(keys.WEIGHTS_SHA256, weights_sha256(task.weights()), {"when": f"restart after {position.samples}"})
    return position


def plan_of(spec: RunSpec, benchmark: Benchmark, task: TrainTask) -> TrainPlan:
    """When the run evaluates and ends; beside another its blocks are short."""
    tier = benchmark.tiers[spec.tier]
    steps = spec.settings.get("limit.steps")
    cap = int(steps) * task.samples_per_step() if steps is not None else int(spec.settings["limit.cap_samples"])
    schedule = tier.evaluations
    block_samples = None if spec.beside_run_id is None else schedule.every  # else a block may outlast the other run
    return TrainPlan(schedule=schedule, cap_samples=cap, target=tier.target, block_samples=block_samples)


def _keep_weights(task: TrainTask, orders: Orders, emitter: Emitter) -> None:
    """Write the weights that the last evaluation scored, where that was ordered; every rank brings its part."""
    if orders.keep_weights is None:
        return
    averaged = task.averaged_weights()
    if orders.rank == 0:
        emitter.emit(keys.WEIGHTS_SHA256, write_weights(orders.keep_weights, averaged), {"when": "kept"})


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
