"""Carry out a plan: register each run, supervise it, put it into the index. A failed run is a result."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from oildrop.harness.calibration import StepCosts, step_costs
from oildrop.harness.ending import Ending
from oildrop.harness.job import Job
from oildrop.harness.reserve import is_disk_full, keep_reserve
from oildrop.harness.supervisor import supervise
from oildrop.results.bundle.write import BundleWriter
from oildrop.results.identity import store_identity
from oildrop.results.ingest import ingest_runs
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import RunLock
from oildrop.results.rows import RunRow
from oildrop.rules.errors import StoreError
from oildrop.rules.identity import rulebook_seed
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import RunSpec
from oildrop.rules.rulebook import Tier
from oildrop.suite.course import next_run
from oildrop.suite.naming import utc_now
from oildrop.suite.planning import PlannedSet
from oildrop.suite.private import host_redactor
from oildrop.suite.seeds import used_seed_indices

REGISTER_LOCK = "register.lock"


class Progress(Protocol):
    """Who is told how a plan gets on."""

    def set_started(self, planned: PlannedSet) -> None:
        """The runs of one configuration begin."""

    def run_started(self, spec: RunSpec, number: int, total: int) -> None:
        """Run `number` of `total` of the set begins."""

    def phase(self, name: str) -> None:
        """The run enters phase `name`."""

    def trained(
        self,
        samples: int,
        cap_samples: int | None,
        quality: float | None,
        target: float | None,
        elapsed_s: float,
        expected_s: float | None,
    ) -> None:
        """An evaluation after `samples` samples; times in seconds since the run began."""

    def served(self, answered: int, elapsed_s: float) -> None:
        """So many requests have been answered, `elapsed_s` seconds after the warm-up."""

    def run_ended(self, row: RunRow) -> None:
        """The run has ended and was judged."""

    def message(self, text: str) -> None:
        """Something worth saying."""


@dataclass(frozen=True, kw_only=True)
class ExecutionReport:
    """What became of a plan: one row a run that was started, and whether somebody stopped it."""

    rows: list[RunRow]
    cancelled: bool


def execute(plan: list[PlannedSet], layout: StoreLayout, progress: Progress) -> ExecutionReport:
    """Run every set of the plan in turn; ends early when somebody asks for it.

    Raises:
        StoreError: The store cannot be made or a run cannot be registered.
    """
    layout.ensure()
    costs = step_costs(layout.calibration)
    rows: list[RunRow] = []
    for planned in plan:
        progress.set_started(planned)
        ran: list[RunRow] = []
        while (run := next_run(planned, ran)) is not None:
            progress.run_started(run.spec, run.number, run.total)
            row, ending = run_one(planned, run.spec, layout, progress, costs)
            ran.append(row)
            progress.run_ended(row)
            if ending.outcome == "cancelled":
                return ExecutionReport(rows=rows + ran, cancelled=True)
        rows += ran
        _say_what_was_left_out(planned, ran, progress)
    return ExecutionReport(rows=rows, cancelled=False)


def _say_what_was_left_out(planned: PlannedSet, ran: list[RunRow], progress: Progress) -> None:
    if ran and ran[-1].outcome == "unsupported" and len(ran) < len(planned.specs):
        progress.message(f"{planned.benchmark}: not tried again, every run would end the same way")


def run_one(
    planned: PlannedSet, spec: RunSpec, layout: StoreLayout, progress: Progress, costs: StepCosts | None
) -> tuple[RunRow, Ending]:
    """One run from its registration to its row in the index.

    Raises:
        StoreError: The disk is too full to register a run, or the index cannot be written; then the bundle stands.
    """
    if not keep_reserve(layout.reserve):
        raise StoreError(f"the disk of {layout.root} is full; free at least 64 MiB and start again")
    lock = RunLock(layout.lock_file(spec.run_id))
    with lock:
        job = registered(planned, spec, layout, costs)
        tier = load_rulebook().benchmarks[spec.benchmark].tiers[spec.tier]
        ending = supervise(job, _Telling(progress, job.spec, tier))
        lock.remove()
    (row,) = ingest_runs(layout, [job.writer.path])
    return row, ending


def registered(planned: PlannedSet, spec: RunSpec, layout: StoreLayout, costs: StepCosts | None) -> Job:
    """Register a run, whose lock the caller holds, and hand over what its supervisor needs. Raises StoreError."""
    salt = store_identity(layout).salt
    spec, writer = _register(planned, spec, layout)
    return Job(
        spec=spec,
        writer=writer,
        store_root=layout.root,
        reserve=layout.reserve,
        salt=salt,
        redact=host_redactor(salt),
        step_cost_s=None if costs is None else costs.of(spec),
        keep_weights=planned.keep_weights,
        unsupported_reason=planned.unsupported_reason,
        environment=planned.environment,
    )


def _register(planned: PlannedSet, spec: RunSpec, layout: StoreLayout) -> tuple[RunSpec, BundleWriter]:
    """Write the run's spec with the lowest seed that is unused now: another process may have used the planned one."""
    rulebook = load_rulebook()
    spec = spec.model_copy(update={"created_utc": utc_now()})  # the plan may be many minutes old
    with RunLock(layout.locks / REGISTER_LOCK):
        if spec.seed_index is not None and not spec.seeds_chosen:
            spec = with_next_seed(spec, used_seed_indices(layout, spec.set_id, spec.kind))
        files = rulebook.files_of(rulebook.benchmarks[spec.benchmark])
        try:
            return spec, BundleWriter.create(layout.run_dir(spec.run_id), spec, planned.system, files)
        except OSError as error:
            if not is_disk_full(error):
                raise StoreError(f"{error.filename}: {error.strerror}; the run was not started") from error
            raise StoreError(f"the disk of {layout.root} is full; free at least 64 MiB and start again") from error


def with_next_seed(spec: RunSpec, used: set[int]) -> RunSpec:
    """The spec with the lowest seed number that is not in `used`, and the command that repeats it."""
    index = next(number for number in range(len(used) + 1) if number not in used)
    if index == spec.seed_index:
        return spec
    command = (*spec.command[:-1], str(index)) if "--seeds" in spec.command else spec.command
    return spec.model_copy(
        update={"seed_index": index, "seed": rulebook_seed(spec.benchmark_sha256, index), "command": command}
    )


class _Telling:
    """Turns what a supervisor observes into progress of a plan."""

    def __init__(self, progress: Progress, spec: RunSpec, tier: Tier) -> None:
        self._progress = progress
        self._tier = tier
        cap = spec.settings.get("limit.cap_samples")
        self._cap_samples = cap if isinstance(cap, int) else None
        self._start_s = time.monotonic()

    def phase(self, name: str) -> None:
        """Passed on; training's own time begins with its first block."""
        if name == "warmup":
            self._start_s = time.monotonic()
        self._progress.phase(name)

    def evaluated(self, samples: int, quality: float | None) -> None:
        """Passed on with what is expected."""
        elapsed_s = time.monotonic() - self._start_s
        tier = self._tier
        self._progress.trained(samples, self._cap_samples, quality, tier.target, elapsed_s, tier.reference_time_s)

    def served(self, answered: int) -> None:
        """Passed on with the time since the warm-up."""
        self._progress.served(answered, time.monotonic() - self._start_s)
