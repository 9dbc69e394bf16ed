"""What a benchmark asks of a part, before anything runs: sizes, memory, and times by the roofline. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.flops_table import EVALUATED_SAMPLES, FLOPS_PER_TOKEN, TOKENS_PER_SAMPLE, TRAINED_SIZE
from oildrop.rules.formulas.memory import DecoderSize, TrainMemory, train_memory_bytes
from oildrop.rules.formulas.memory_conv import ConvSize, conv_train_memory_bytes
from oildrop.rules.formulas.roofline import MFU_RANGE, Work, train_step_moved_bytes
from oildrop.rules.records import Scalar
from oildrop.rules.reference import batch_in, batch_key
from oildrop.rules.rulebook import Benchmark, DevicePeaks, Tier
from oildrop.rules.rulebook_parts import Schedule

USABLE_SHARE = 0.9
"""Share of a part's memory that a plan counts on; driver, libraries, workspace and fragmentation take the rest.

An assumption: no formula gives what a framework adds.
"""

FORWARD_SHARE = 1 / 3
"""FLOPs of an evaluation against training of as many tokens: the forward pass alone."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the work would be done: `count` devices, each of them `part`; None where no part was named."""

    part: DevicePeaks | None
    count: int = 1

    @property
    def usable_bytes(self) -> float | None:
        """What a device's memory leaves to training; None where its capacity is not known."""
        memory_bytes = self.part.memory_bytes if self.part else None
        return None if memory_bytes is None else USABLE_SHARE * memory_bytes


@dataclass(frozen=True, kw_only=True)
class Job:
    """A benchmark's tier with all its settings.

    Attributes:
        batch: Samples a step.
        tokens_per_sample: Scored tokens of one; an image counts as one.
        flops_per_token: Model FLOPs of training one.
        size: Sizes behind the memory; None for a model whose memory has no formula.
    """

    benchmark: Benchmark
    tier: Tier
    settings: Mapping[str, Scalar]
    batch: int
    tokens_per_sample: int
    flops_per_token: float
    evaluated_samples: int
    size: DecoderSize | ConvSize | None

    @property
    def dtype(self) -> str:
        """The declared dtype of matrix products."""
        return str(self.settings["execution.dtype"])

    @property
    def last_samples(self) -> int:
        """Samples after which a run ends at the latest."""
        if self.tier.steps is not None:
            return int(self.settings["limit.steps"]) * self.batch
        return int(self.settings["limit.cap_samples"])

    def memory(self, place: Place, *, batch: int | None = None, sharded: bool, recompute: bool = False) -> TrainMemory:
        """Memory of one device at `batch` samples a step (the job's own). Only for a job that has a `size`.

        Args:
            recompute: Keep each layer's input alone; there is no formula of that for convolutions, which keep all.
        """
        assert self.size is not None
        samples, shards = (batch or self.batch) // place.count, place.count if sharded else 1
        if isinstance(self.size, ConvSize):
            return conv_train_memory_bytes(self.size, images=samples, dtype=self.dtype, shards=shards)
        return train_memory_bytes(
            self.size,
            tokens=samples * self.tokens_per_sample,
            dtype=self.dtype,
            recompute=recompute,
            shards=shards,
        )


@dataclass(frozen=True, kw_only=True)
class Times:
    """Least times at one share of the peak, seconds; None where `Sizes.missing` says why."""

    mfu: float
    step_s: float | None
    cap_s: float | None
    target_s: float | None


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The answer.

    Attributes:
        memory: By layout: `replicated`, and on several devices `sharded`; empty where there is no formula.
        layout: The first of them that fits, else the last; None where nothing is known of the memory.
        fits: Whether that layout fits; None where memory or capacity is not known.
        moved_bytes: Least traffic of a step on one device; None where there is no formula.
        cap_evaluations: Evaluations until the run's end.
        target_samples: Median of the reference runs; None without any.
        missing: Why something above is None, by name.
    """

    flop_per_step: float
    memory: Mapping[str, TrainMemory]
    layout: str | None
    fits: bool | None
    moved_bytes: int | None
    cap_evaluations: int
    target_samples: float | None
    times: tuple[Times, ...]
    missing: Mapping[str, str] = field(default_factory=dict)


def job_of(benchmark: Benchmark, tier: Tier, settings: Mapping[str, Scalar]) -> Job:
    """The job that `settings` describe. Raises UsageError where the benchmark's work has no formula."""
    formula = benchmark.flops_formula
    batch = batch_in(settings)
    if benchmark.kind == "calibrate":
        raise UsageError(f"{benchmark.name} measures what is here, and plans are for benchmarks that train: run it")
    if benchmark.kind == "serve":
        raise UsageError(
            f"{benchmark.name} serves, and plans are for benchmarks that train; try a run: oildrop run --help"
        )
    if formula is None or formula not in FLOPS_PER_TOKEN or batch is None:
        raise UsageError(f"{benchmark.name} cannot be planned: its formula {formula!r} or its batch is not known")
    size = TRAINED_SIZE[formula](settings) if formula in TRAINED_SIZE else None
    return Job(
        benchmark=benchmark,
        tier=tier,
        settings=settings,
        batch=batch,
        tokens_per_sample=TOKENS_PER_SAMPLE[formula](settings),
        flops_per_token=FLOPS_PER_TOKEN[formula](settings),
        evaluated_samples=EVALUATED_SAMPLES[formula](settings),
        size=size,
    )


def sizes_of(job: Job, place: Place, target_samples: float | None) -> Sizes:
    """What `job` takes on `place`.

    Args:
        target_samples: Samples to target that reference runs took; None without such runs.

    Raises:
        UsageError: The samples of a step do not divide evenly among the devices.
    """
    if job.batch % place.count:
        choices = ", ".join(str(count) for count in divisors(job.batch))
        raise UsageError(
            f"--devices {place.count} does not divide {batch_key(job.settings)} = {job.batch}; use one of {choices}"
        )
    missing: dict[str, str] = {}
    memory, layout, fits = _memory(job, place, missing)
    moved_bytes = _moved_bytes(job, place, memory, layout)
    if moved_bytes is None:
        missing["moved_bytes"] = f"{job.benchmark.flops_formula} has no formula of traffic; times rest on FLOPs alone"
    if target_samples is None:
        missing["target_s"] = "no reference runs of this tier" if job.tier.target is not None else "it has no target"
    flop_per_step = job.flops_per_token * job.tokens_per_sample * job.batch
    evaluations = evaluations_until(job.tier.evaluations, job.batch, job.last_samples)
    counts = _Counts(
        flop_per_step=flop_per_step, moved_bytes=moved_bytes or 0, evaluations=evaluations, target=target_samples
    )
    return Sizes(
        flop_per_step=flop_per_step,
        memory=memory,
        layout=layout,
        fits=fits,
        moved_bytes=moved_bytes,
        cap_evaluations=evaluations,
        target_samples=target_samples,
        times=_times(job, place, counts, missing),
        missing=missing,
    )


def fits(memory: TrainMemory, place: Place) -> bool | None:
    """Whether `memory` stays within what a device leaves; None where its capacity is not known."""
    return None if place.usable_bytes is None else memory.total <= place.usable_bytes


def divisors(number: int) -> list[int]:
    """All divisors, ascending."""
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def evaluations_until(schedule: Schedule, batch: int, samples: int) -> int:
    """Evaluations due while `samples` samples are consumed `batch` at a time; counted without walking over them."""
    early = 0
    if schedule.early_every and schedule.first:
        early = min(samples, schedule.first - 1) // math.lcm(batch, schedule.early_every)
    if schedule.first % math.gcd(batch, schedule.every):
        return early
    due = schedule.first
    while due % batch or due == 0:
        due += schedule.every
    return early + max(0, (samples - due) // math.lcm(batch, schedule.every) + 1)


@dataclass(frozen=True, kw_only=True)
class _Counts:
    flop_per_step: float
    moved_bytes: float
    evaluations: int
    target: float | None


def _memory(job: Job, place: Place, missing: dict[str, str]) -> tuple[dict[str, TrainMemory], str | None, bool | None]:
    """Memory by layout, the layout to take, and whether it fits."""
    if job.size is None:
        missing["memory"] = missing["fits"] = f"{job.benchmark.flops_formula} has no formula of memory"
        return {}, None, None
    memory = {"replicated": job.memory(place, sharded=False)}
    if place.count > 1:
        memory["sharded"] = job.memory(place, sharded=True)
    if place.usable_bytes is None:
        missing["fits"] = "no part was named" if place.part is None else "the table has no memory of this part"
        return memory, next(iter(memory)), None
    fitting = [layout for layout, taken in memory.items() if fits(taken, place)]
    return memory, fitting[0] if fitting else list(memory)[-1], bool(fitting)


def _moved_bytes(job: Job, place: Place, memory: Mapping[str, TrainMemory], layout: str | None) -> int | None:
    if job.size is None or layout is None:
        return None
    shards = place.count if layout == "sharded" else 1
    return train_step_moved_bytes(job.size.parameters, memory[layout], dtype=job.dtype, shards=shards)


def _times(job: Job, place: Place, counts: _Counts, missing: dict[str, str]) -> tuple[Times, ...]:
    part = place.part
    peak = part.peak_flop_per_s.get(job.dtype) if part else None
    if part is None or peak is None:
        why = "no part was named" if part is None else f"the table has no {job.dtype} peak of {part.name}"
        missing["step_s"] = missing["cap_s"] = why
        missing.setdefault("target_s", why)
        return tuple(Times(mfu=mfu, step_s=None, cap_s=None, target_s=None) for mfu in MFU_RANGE)
    return tuple(_times_at(mfu, job, place, counts, peak, part.bandwidth_bytes_per_s) for mfu in MFU_RANGE)


def _times_at(
    mfu: float, job: Job, place: Place, counts: _Counts, peak_flop_per_s: float, bandwidth_bytes_per_s: float | None
) -> Times:
    """Steps and evaluations one after the other, each shared evenly by the devices."""

    def seconds(flop: float, moved_bytes: float) -> float:
        work = Work(flop=flop / place.count, moved_bytes=moved_bytes)
        return work.seconds(peak_flop_per_s=peak_flop_per_s, bandwidth_bytes_per_s=bandwidth_bytes_per_s, mfu=mfu)

    step_s = seconds(counts.flop_per_step, counts.moved_bytes)
    scored = job.evaluated_samples * job.tokens_per_sample
    evaluation_s = seconds(FORWARD_SHARE * job.flops_per_token * scored, 0.0)

    def run_s(samples: float, evaluations: int) -> float:
        return samples / job.batch * step_s + evaluations * evaluation_s

    target_s = None
    if counts.target is not None:
        before = evaluations_until(job.tier.evaluations, job.batch, math.ceil(counts.target))
        target_s = run_s(counts.target, before)
    return Times(mfu=mfu, step_s=step_s, cap_s=run_s(job.last_samples, counts.evaluations), target_s=target_s)
