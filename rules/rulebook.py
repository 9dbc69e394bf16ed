"""The rulebook as typed records: benchmarks, divisions, rules and tables of one version."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, get_args

from pydantic import Field, model_validator

from oildrop.rules.errors import UsageError
from oildrop.rules.records import Kind, Record, Scalar, Severity
from oildrop.rules.reference import Reference as Reference
from oildrop.rules.rulebook_parts import Calibration, Checkpoint, Draft, Gates, Quality, Range, Schedule, Source, Terms

SHARED_FILES = ("rules.toml", "divisions.toml", "devices.toml", "scenarios.toml")
"""Files that every rulebook has, beside one a benchmark."""


class Tier(Record):
    """One size of a benchmark. Times in seconds, amounts in samples.

    Attributes:
        steps: Fixed work: optimizer steps to do; None for a tier with a target.
        target: Quality to reach; None for fixed work. Of a served model: the quality that it must keep.
        schedule: When a training is evaluated; None where nothing is trained.
        scenarios: Of a served model: each scenario's terms.
        calibration: Where neither is done and the machine's ceilings are measured: how.
        checkpoint: Trained weights that are served; None where there are none and they are random.
        draft: What may propose tokens to the checkpoint; None where there is nothing.
        cap_samples: Samples after which the target is missed.
        init_limit_s: Cap of everything before `run_start`.
        settings: All settings of this tier by dotted key, shared ones included.
        provisional: Why its numbers may still change; such a tier runs and is never ranked. None: they stand.
        gates: Settings that the gates change so that the reference keeps up; none: the whole model is asked.
    """

    minimum_runs: int = Field(ge=1)
    steps: int | None = Field(default=None, gt=0)
    target: float | None = None
    cap_samples: int | None = Field(default=None, gt=0)
    reference_time_s: float | None = Field(default=None, gt=0)
    deadline_s: float = Field(gt=0)
    heartbeat_s: float = Field(gt=0)
    stall_s: float = Field(gt=0)
    init_limit_s: float = Field(gt=0)
    schedule: Schedule | None = None
    scenarios: dict[str, Terms] = {}
    calibration: Calibration | None = None
    checkpoint: Checkpoint | None = None
    draft: Draft | None = None
    settings: dict[str, Scalar] = {}
    provisional: str | None = Field(default=None, min_length=1)
    gates: dict[str, Scalar] = {}

    @model_validator(mode="after")
    def _target_or_steps(self) -> Self:
        if self.scenarios or self.calibration is not None:
            if self.steps is not None or self.schedule is not None or self.cap_samples is not None:
                raise ValueError("a tier with scenarios or calibration trains nothing: no steps, schedule, cap_samples")
            if self.scenarios and self.calibration is not None:
                raise ValueError("a tier has scenarios or calibration, not both")
            return self
        if self.schedule is None:
            raise ValueError("a tier that trains needs a schedule of evaluations, one that serves needs scenarios")
        if (self.target is None) == (self.steps is None):
            raise ValueError("a tier has either steps (fixed work) or a target")
        if self.target is not None and (self.cap_samples is None or self.reference_time_s is None):
            raise ValueError("a tier with a target needs cap_samples and reference_time_s")
        if self.reference_time_s is not None and self.deadline_s < 10 * self.reference_time_s:
            raise ValueError(f"deadline_s {self.deadline_s:g} is under 10 x reference_time_s {self.reference_time_s:g}")
        return self

    @property
    def evaluations(self) -> Schedule:
        """When a training is evaluated. Raises UsageError for a tier that trains nothing."""
        if self.schedule is None:
            raise UsageError("this benchmark trains nothing: it has no schedule of evaluations")
        return self.schedule

    @property
    def kind(self) -> Kind:
        """`serve` with scenarios, `calibrate` with calibration; `to_target` with a target, else `fixed_work`."""
        if self.scenarios:
            return "serve"
        if self.calibration is not None:
            return "calibrate"
        return "fixed_work" if self.target is None else "to_target"


class Benchmark(Record):
    """One benchmark file, resolved.

    Attributes:
        flops_formula: None, as `gates` is, where the model is not the rulebook's but that of somebody else's server.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")
    title: str
    summary: str
    task: str
    kind: Kind
    files: tuple[str, ...] = ()
    quality: Quality
    closed_free: tuple[str, ...]
    allowed: dict[str, tuple[Scalar, ...] | Range]
    flops_formula: str | None = None
    gates: Gates | None = None
    tiers: dict[str, Tier]
    sources: tuple[Source, ...]
    sha256: str

    def is_free_in_closed(self, key: str) -> bool:
        """Whether division closed lets `key` be changed."""
        return key in self.closed_free


class Rule(Record):
    """One numbered rule: what it asks, why, what breaking it means, and of which kinds of run it is asked."""

    id: str = Field(pattern=r"^R[0-9]{3}$")
    title: str
    text: str
    why: str
    severity: Severity
    kinds: tuple[Kind, ...] = get_args(Kind)


class Division(Record):
    """What may be changed, in words."""

    name: str
    title: str
    text: str


class Scenario(Record):
    """How the clock meets the task, in words, and the metric that speaks for it."""

    name: str
    title: str
    kind: Kind
    metric: str
    ranked: bool
    text: str


class DevicePeaks(Record):
    """Dense peaks of one part: FLOP/s by dtype, bytes/s, watts, bytes; from `source` of `date`; None: not stated.

    Attributes:
        cores: Of a processor: those that its peaks are of, all of one socket; None of an accelerator.
    """

    name: str
    match: tuple[str, ...]
    peak_flop_per_s: dict[str, float]
    cores: int | None = Field(default=None, gt=0)
    bandwidth_bytes_per_s: float | None = None
    tdp_w: float | None = None
    memory_bytes: int | None = None
    source: str
    date: str


@dataclass(frozen=True, kw_only=True)
class Rulebook:
    """One version of the rulebook.

    Attributes:
        files: The raw bytes of each file by its relative name; what a bundle carries.
        tables_sha256: Hash over the reference tables a judgement uses beside the benchmark.
    """

    version: str
    benchmarks: dict[str, Benchmark]
    divisions: dict[str, Division]
    rules: dict[str, Rule]
    scenarios: dict[str, Scenario]
    devices: tuple[DevicePeaks, ...]
    references: tuple[Reference, ...]
    tables_sha256: str
    files: dict[str, bytes] = field(repr=False)

    def files_of(self, benchmark: Benchmark) -> dict[str, bytes]:
        """The files a run of `benchmark` ran under, as its bundle keeps them."""
        own = (f"{benchmark.name}.toml", f"reference/{benchmark.name}.toml", *benchmark.files)
        return {name: self.files[name] for name in sorted({*own, *SHARED_FILES}) if name in self.files}

    def reference_of(self, benchmark: str, tier: str) -> Reference | None:
        """Reference runs of a tier, or None where none were made."""
        for reference in self.references:
            if (reference.benchmark, reference.tier) == (benchmark, tier):
                return reference
        return None

    def peaks_of(self, model: str) -> DevicePeaks | None:
        """The table's part that lists `model` by its whole name; None when unlisted."""
        wanted = model.casefold()
        for part in self.devices:
            if any(wanted == name.casefold() for name in part.match):
                return part
        return None


def settings_of(tier: Tier) -> dict[str, Any]:
    """All settings of a tier: its own, the limits that division open may change, its checkpoint and its draft."""
    limits = {"limit.steps": tier.steps, "limit.cap_samples": tier.cap_samples}
    served = {} if tier.checkpoint is None else tier.checkpoint.model_dump(include={"name", "weights_sha256"})
    return {
        **tier.settings,
        **{key: value for key, value in limits.items() if value is not None},
        **{f"checkpoint.{key}": value for key, value in served.items()},
        **_draft_settings(tier.draft),
    }


def _draft_settings(draft: Draft | None) -> dict[str, Scalar]:
    if draft is None:
        return {}
    sizes = {f"draft.model.{key}": size for key, size in draft.model.model_dump().items()}
    return {"draft.name": draft.name, "draft.weights_sha256": draft.weights_sha256, **sizes}


GATE_SETTINGS = "gates.settings."
"""Before a setting's key: its value in the reduced model that the gates of a large tier ask."""


def gate_settings(gates: Gates | None, tier: Tier) -> dict[str, Scalar]:
    """The gates as a task of `tier` reads them: `gates.seed`, `gates.steps`, …, `gates.limits.<dtype>.<gate>`."""
    if gates is None:
        return {}
    limits = {f"gates.limits.{dtype}.{gate}": limit for dtype, of in gates.limits.items() for gate, limit in of.items()}
    return {
        "gates.seed": gates.seed,
        "gates.documents": gates.documents,
        "gates.steps": gates.steps,
        "gates.weights_std": gates.weights_std,
        **limits,
        **{GATE_SETTINGS + key: value for key, value in tier.gates.items()},
    }
