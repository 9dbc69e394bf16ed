"""`lm-pretrain` in one framework as the harness runs it, for the benchmarks that need it in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from oildrop.harness.devices.opening import open_device
from oildrop.harness.loop import Progress, Sink, TrainPlan, train
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import gate_settings, settings_of
from oildrop.rules.rulebook_parts import Schedule
from oildrop.workloads.protocols import Device
from oildrop.workloads.registry import make_train_task


@dataclass(kw_only=True)
class Blocks:
    """Keeps the edges of timed blocks and hands every event on."""

    sink: Sink | None = None
    progress: int = 0
    marks_ns: list[int] = field(default_factory=list)

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        """Keep the stamps of block edges."""
        if key in ("block_start", "block_stop") and at_ns is not None:
            self.marks_ns.append(at_ns)
        if self.sink is not None:
            self.sink.emit(key, value, meta, at_ns=at_ns)

    def flush(self) -> None:
        """Hand over what was handed on."""
        if self.sink is not None:
            self.sink.flush()


@dataclass(frozen=True, kw_only=True)
class OurLoop:
    """A task that is ready to train, and its device."""

    settings: dict[str, Any]
    device: Device
    task: Any

    def block_s(self, steps: int, sink: Sink | None = None, progress: Progress | None = None) -> float:
        """Seconds of one timed block of `steps` steps, the evaluation behind it left out."""
        blocks, samples = Blocks(sink=sink), steps * self.task.samples_per_step()
        plan = TrainPlan(schedule=Schedule(first=samples, every=samples), cap_samples=samples, target=None)
        train(self.task, self.device, plan, blocks, progress or blocks)
        start_ns, stop_ns = blocks.marks_ns
        return (stop_ns - start_ns) / 1e9

    def steps_per_s(self, steps: int) -> float:
        """Rate over one timed block of `steps` steps."""
        return steps / self.block_s(steps)


def our_loop(framework: str, **changed: Any) -> OurLoop:
    """Tier nano of `framework` on the processor, `changed` settings apart (`execution__dtype` for the dots)."""
    benchmark = load_rulebook().benchmarks["lm-pretrain"]
    tier = benchmark.tiers["nano"]
    given = {key.replace("__", "."): value for key, value in changed.items()}
    settings = {**settings_of(tier), **gate_settings(benchmark.gates, tier), **given}
    device = open_device(f"{framework}-cpu")
    task = make_train_task(benchmark.task, settings, device)
    task.load_data()
    task.build()
    task.initialise(1)
    return OurLoop(settings=settings, device=device, task=task)
