"""The records that travel between the parts: frozen, keyword-only, checked when built.

A record that exists is valid, so nobody downstream checks it again. Units are in
the field names (`_s`, `_ns`, `_bytes`, `_w`); times named `t_ns` count from the
moment the supervisor started the run.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Scalar = bool | int | float | str
Kind = Literal["to_target", "fixed_work", "serve", "calibrate", "probe"]
MetricStatus = Literal["measured", "modelled", "derived", "not_measured", "not_applicable"]
Severity = Literal["broken", "invalid", "flag", "info"]

RUN_ID_PATTERN = r"^[0-9a-z-]{1,40}$"


class Record(BaseModel):
    """Base of all records: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limits(Record):
    """What ends a run from outside.

    Attributes:
        deadline_s: Longest time from the start of the worker to its end, seconds.
        heartbeat_s: Longest silence of the worker, seconds.
        stall_s: Longest time in `train` or `eval` without one step of progress, seconds.
        memory_bytes: Largest resident memory of the worker and its children; None is no limit.
    """

    deadline_s: float = Field(gt=0)
    heartbeat_s: float = Field(gt=0)
    stall_s: float = Field(gt=0)
    memory_bytes: int | None = Field(default=None, gt=0)


class Process(Record):
    """One process of a run and the devices that it drives."""

    role: str
    node: int = 0
    rank: int = 0
    pid: int | None = None
    device_uuids: tuple[str, ...] = ()


class Colocation(Record):
    """A run's place in a measurement of two at once: a training and a served model on one device.

    Attributes:
        experiment_id: Run id of the first run of the measurement.
        pair: Which repetition this run belongs to, from 1.
        beside_run_id: The run that shares the device; None of a run that is alone, for comparison.
        beside_workload_id: What that run computes, named as if it were alone; part of this run's own `workload_id`.
        beside: Its benchmark, tier and scenario, in words.
    """

    experiment_id: str = Field(pattern=RUN_ID_PATTERN)
    pair: int = Field(ge=1)
    beside_run_id: str | None = Field(default=None, pattern=RUN_ID_PATTERN)
    beside_workload_id: str | None = None
    beside: str | None = None

    @model_validator(mode="after")
    def _beside_is_whole(self) -> Self:
        if len({each is None for each in (self.beside_run_id, self.beside_workload_id, self.beside)}) > 1:
            raise ValueError(
                "of the run beside, its id, its workload_id and its words are given together or not at all"
            )
        return self


class RunSpec(Record):
    """What is to be run, complete before the worker starts; `spec.json` of a bundle.

    Attributes:
        settings: Every resolved setting of the benchmark by dotted key.
        changed: The settings that differ from the tier's own, as (default, chosen).
        seed: The seed itself; `seed_index` is its k in the rulebook's sequence, None for a chosen seed.
        seeds_chosen: True when the seed was picked by hand (`--seeds`): such a run is never ranked.
        parent_run_id: Of a search for the highest rate: its first run; None for that one, and without a search.
        command: The command line that repeats this run.
        processes: The ranks that are to train; pids and devices are in the log's `process` events.
        max_restarts: How often the ranks may be started again after one of them has crashed.
        rate_per_s: Queries a second that are offered in a scenario with arrivals; no part of the workload's identity.
        colocation: Its place in a measurement of two at once; None of every other run.
    """

    schema_id: Literal["oildrop.spec/1"] = Field(default="oildrop.spec/1", alias="schema")
    run_id: str = Field(pattern=RUN_ID_PATTERN)
    created_utc: str
    benchmark: str
    benchmark_sha256: str
    tier: str
    division: str
    backend: str
    kind: Kind
    settings: dict[str, Scalar]
    changed: dict[str, tuple[Scalar, Scalar]] = {}
    seed: int = Field(ge=0, lt=2**53)
    seed_index: int | None = Field(default=None, ge=0, lt=2**53)
    seeds_chosen: bool = False
    limits: Limits
    workload_id: str
    system_id: str
    software_id: str
    set_id: str
    session_id: str
    boot_id: str | None = None
    parent_run_id: str | None = None
    note: str | None = None
    command: tuple[str, ...] = ()
    processes: tuple[Process, ...] = ()
    max_restarts: int = Field(default=0, ge=0)
    rate_per_s: float | None = Field(default=None, gt=0)
    colocation: Colocation | None = None
    oildrop_version: str

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @property
    def scenario(self) -> str | None:
        """How requests arrive (`scenario.name`); None for a training run."""
        name = self.settings.get("scenario.name")
        return name if isinstance(name, str) else None

    @property
    def beside_run_id(self) -> str | None:
        """The run that was meant to share the device; None of a run that was to be alone."""
        return None if self.colocation is None else self.colocation.beside_run_id


class Metric(Record):
    """One measured or derived number, or the reason why there is none.

    Attributes:
        dims: What the value is of, when it is not the headline ({} is the headline).
        formula: Name and version of how it was worked out, such as `throughput/1`.
        scope: What it covers: `run`, `process`, `device`, `package`, `soc`, `node`, `wall`.
        uncertainty: Half-width of a 95 % interval, in `unit`; None when not known.
        window_ns: First and last instant that it covers, since the run's start.
    """

    name: str
    dims: dict[str, str] = {}
    value: float | int | None
    unit: str
    status: MetricStatus
    reason: str | None = None
    formula: str
    scope: str
    uncertainty: float | None = None
    sample_count: int | None = None
    window_ns: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _value_or_reason(self) -> Self:
        absent = self.status in ("not_measured", "not_applicable")
        if absent != (self.value is None):
            raise ValueError(f"{self.name}: status {self.status} does not fit value {self.value}")
        if absent and not self.reason:
            raise ValueError(f"{self.name}: a missing value needs its reason")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.name}: {self.value} is not a finite number")
        return self


class Finding(Record):
    """What a rule had to say about a run: with its evidence and what to do about it."""

    rule: str
    severity: Severity
    message: str
    evidence: dict[str, Any] = {}
    fix: str


class GateResult(Record):
    """One comparison of an implementation with the reference before the clock starts."""

    name: str
    dtype: str
    value: float | Literal["nan", "inf"]
    limit: float
    passed: bool
    unit: str = "1"


class Judgement(Record):
    """What the judge derived from one bundle: a pure function of bundle, rulebook and tables."""

    run_id: str
    outcome: str
    reason: str | None
    metrics: tuple[Metric, ...]
    findings: tuple[Finding, ...]
    judge_version: str
    tables_sha256: str

    def headline(self, name: str) -> Metric:
        """The metric `name` with empty dims. Raises KeyError when the kind has none."""
        for metric in self.metrics:
            if metric.name == name and not metric.dims:
                return metric
        raise KeyError(name)
