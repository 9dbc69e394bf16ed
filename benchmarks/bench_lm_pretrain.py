"""`lm-pretrain` nano through the harness's loop against a plain PyTorch loop of the same model."""

from __future__ import annotations

from pairs import interleaved, ratio_row
from plain_lm import PlainLoop
from table import Row

from oildrop.harness.devices.opening import open_device
from oildrop.harness.loop import TrainPlan, train
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import Schedule, gate_settings, settings_of
from oildrop.workloads.registry import make_train_task

STEPS = 24
PAIRS = 24


class Blocks:
    """A sink that keeps the length of timed blocks."""

    progress = 0

    def __init__(self) -> None:
        self.marks: list[int] = []

    def emit(self, key: str, value: object = None, meta: object = None, *, at_ns: int | None = None) -> None:
        """Keep the stamps of block edges."""
        if key in ("block_start", "block_stop") and at_ns is not None:
            self.marks.append(at_ns)

    def flush(self) -> None:
        """Nothing to hand over."""


def main() -> list[Row]:
    """Tokens a second of ours over the plain loop's, fp32 eager; both see the same steps and threads."""
    benchmark = load_rulebook().benchmarks["lm-pretrain"]
    settings = {**settings_of(benchmark.tiers["nano"]), **gate_settings(benchmark.gates, benchmark.tiers["nano"])}
    device = open_device("torch-cpu")
    task = make_train_task(benchmark.task, settings, device)
    task.load_data()
    task.build()
    task.initialise(1)
    batch = task.samples_per_step()
    plan = TrainPlan(
        schedule=Schedule(first=STEPS * batch, every=STEPS * batch), cap_samples=STEPS * batch, target=None
    )
    shape = {name: int(settings[f"model.{name}"]) for name in ("width", "heads", "hidden", "layers")}
    length = int(settings["data.document_tokens"])
    plain = PlainLoop(batch=batch, length=length, vocabulary=256, bf16=False, compiled=False, **shape)

    def ours() -> float:
        sink = Blocks()
        train(task, device, plan, sink, sink)
        start_ns, stop_ns = sink.marks
        return STEPS / ((stop_ns - start_ns) / 1e9)

    first, second = interleaved(ours, lambda: plain.steps_per_s(STEPS), pairs=PAIRS, warm_up=2)
    name = "lm-pretrain nano, fp32 eager: tokens/s of ours over a plain loop"
    return [ratio_row(name, first, second, at_least=0.98)]
