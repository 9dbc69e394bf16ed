"""What is to be made: series of runs, each at one batch size on one backend in one dtype, as points ask for them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import Field, ValidationError

from oildrop.rules.errors import UsageError
from oildrop.rules.identity import workload_id
from oildrop.rules.records import Record
from oildrop.rules.reference import MINIMUM_RUNS, batch_in, batch_key
from oildrop.rules.rulebook import Benchmark, Tier
from oildrop.rules.settings import resolve

FORM = "batch:backend:dtype:runs or batch:backend:dtype:runs:first_seed"
DTYPE = "execution.dtype"


class Series(Record):
    """Runs that differ in nothing but the seed.

    Attributes:
        batch: Samples a step.
        runs: How many, with the rulebook's seeds `first_seed` to `first_seed + runs - 1`.
    """

    batch: int = Field(gt=0)
    backend: str = Field(min_length=1)
    dtype: str = Field(min_length=1)
    runs: int = Field(gt=0)
    first_seed: int = Field(default=0, ge=0)

    @property
    def seeds(self) -> range:
        """Seed numbers of the rulebook's sequence."""
        return range(self.first_seed, self.first_seed + self.runs)

    @property
    def name(self) -> str:
        """For people: `batch 8, torch-cpu, fp32`."""
        return f"batch {self.batch}, {self.backend}, {self.dtype}"


class Command(Record):
    """How a series is asked of the executable, and how its runs are known again in a store."""

    division: str
    settings: dict[str, str]
    workload_id: str


def parse_series(word: str) -> Series:
    """`8:torch-cpu:fp32:20` as a series. Raises UsageError for another form."""
    parts = word.split(":")
    if len(parts) not in (4, 5):
        raise UsageError(f"--points {word!r} has {len(parts)} parts; use {FORM}")
    values = dict(zip(("batch", "backend", "dtype", "runs", "first_seed"), parts, strict=False))
    return _series(values, f"--points {word!r}", FORM)


def read_plan(path: Path) -> list[Series]:
    """The series of a TOML file: `[[series]]` with batch, backend, dtype, runs and, if wanted, first_seed.

    Raises:
        UsageError: The file cannot be read, or a series is not of that form.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--plan {path}: {error}; name a TOML file of [[series]]") from error
    found = table.get("series", [])
    if not found:
        raise UsageError(f"--plan {path} has no [[series]]; add one with batch, backend, dtype and runs")
    return [
        _series(values, f"--plan {path}, series {n}", "batch, backend, dtype, runs") for n, values in enumerate(found)
    ]


def _series(values: object, where: str, form: str) -> Series:
    try:
        return Series.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {field} is {first['input']!r}: {first['msg']}; use {form}") from error


def check_plan(plan: Sequence[Series], benchmark: Benchmark, tier_name: str) -> None:
    """Refuse a plan that cannot become points, before hours are spent on it.

    Raises:
        UsageError: A batch with under twenty runs or a series twice, an unknown setting or value, or a batch size on
            whose steps the tier's evaluations do not fall.
    """
    seen: set[tuple[int, str, str]] = set()
    for series in plan:
        command_of(series, benchmark, tier_name)
        key = (series.batch, series.backend, series.dtype)
        if key in seen:
            raise UsageError(f"{series.name} is planned twice; plan it once with all its runs")
        seen.add(key)
    for batch in batches_of(plan):
        _check_steps(batch, benchmark.tiers[tier_name])
        total = sum(series.runs for series in plan if series.batch == batch)
        if total < MINIMUM_RUNS:
            raise UsageError(f"batch {batch}: {total} runs are under {MINIMUM_RUNS}, the least for a point; plan more")


def _check_steps(batch: int, tier: Tier) -> None:
    counts = {**tier.evaluations.model_dump(), "cap_samples": tier.cap_samples or 0}
    for name, samples in counts.items():
        if samples % batch:
            raise UsageError(f"batch {batch} does not divide {name} = {samples}; choose a batch size that does")


def batches_of(plan: Iterable[Series]) -> list[int]:
    """Every batch size of `plan`, ascending."""
    return sorted({series.batch for series in plan})


def command_of(series: Series, benchmark: Benchmark, tier_name: str) -> Command:
    """Division and settings of `series`: closed at the tier's own batch size, open at any other.

    Raises:
        UsageError: The tier has no target or no batch size, or does not allow the series' settings.
    """
    if tier_name not in benchmark.tiers:
        raise UsageError(f"{benchmark.name} has no tier {tier_name!r}; choose {', '.join(benchmark.tiers)}")
    tier = benchmark.tiers[tier_name]
    key = batch_key(tier.settings)
    if tier.target is None or key is None:
        raise UsageError(f"tier {tier_name} of {benchmark.name} has no target or no batch size; choose another tier")
    own = batch_in(tier.settings) == series.batch
    settings = {DTYPE: series.dtype} | ({} if own else {key: str(series.batch)})
    division = "closed" if own else "open"
    resolved = resolve(benchmark, tier_name, division, settings)
    return Command(
        division=division,
        settings=settings,
        workload_id=workload_id(benchmark.sha256, tier_name, division, resolved.settings),
    )
