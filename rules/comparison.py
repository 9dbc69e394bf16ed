"""Two configurations against each other: which method applies, what it finds, and the verdict.

Ratios are turned so that above 1 means that side A does better. The method depends on seeds, sessions
and outcomes alone, never on the values and never on anybody else's runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.comparison_sentences import Comparison, Tested, Unit, say
from oildrop.rules.errors import UsageError
from oildrop.rules.expected_energy import ExpectedEnergy, expected_energy
from oildrop.rules.headline import headline_of
from oildrop.rules.records import Kind
from oildrop.rules.set_runs import is_counted
from oildrop.rules.statistics import geometric_mean
from oildrop.rules.statistics_two_sets import holm, paired_ratio, rank_sum_test, shows_no_scatter, welch_ratio
from oildrop.rules.view_metrics import MEANINGS


@dataclass(frozen=True, kw_only=True)
class SideRun:
    """What a comparison needs of one run.

    Attributes:
        values: Headline metrics by name, each in its own unit; None, or no entry, where not measured.
        scopes: What each of those covers, by name (`device`, `node`, …); no entry: as on every other run.
    """

    seed: int
    session_id: str
    system_id: str
    outcome: str
    seeds_chosen: bool
    values: Mapping[str, float | None]
    scopes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One configuration: its name in the sentence, what its runs aimed at, and all of them.

    Attributes:
        target: Quality to reach, or to keep while serving, in the benchmark's unit; None for fixed work.
        scenario: How requests arrived; None for a training.
    """

    label: str
    benchmark: str
    benchmark_sha256: str
    tier: str
    kind: Kind
    target: float | None
    runs: tuple[SideRun, ...]
    scenario: str | None = None

    def counted(self) -> tuple[SideRun, ...]:
        """The runs that count, as in a summary. Raises UsageError when there is none."""
        counted = tuple(run for run in self.runs if is_counted(run.outcome, run.seeds_chosen))
        if not counted:
            raise UsageError(
                f"{self.label}: 0 of its {len(self.runs)} runs count (chosen seeds, unsupported, withdrawn and "
                "unfinished runs do not), and a comparison needs 1 on each side; run it again without --seeds"
            )
        return counted

    def energy_to_success(self) -> ExpectedEnergy:
        """What one success of its counted runs costs in energy, failed ones included."""
        counted = self.counted()
        name = "energy_attempt_j"
        spent = [(run.values.get(name), run.scopes.get(name)) for run in counted]
        return expected_energy(spent, _succeeded(counted))

    def goal(self) -> str:
        """What its runs aimed at, in words."""
        aim = "to fixed work" if self.target is None else f"to target {self.target:g}"
        if self.scenario is not None:
            aim = f"in scenario {self.scenario}"
        return f"{self.label} runs {self.benchmark} {self.tier} ({self.benchmark_sha256[:12]}) {aim}"


def compare(a: Side, b: Side, metric: str | None = None) -> Comparison:
    """Compare two configurations by `metric`, else by the headline metric of their kind.

    Runs of the same seed are paired (t on log ratios) when at least two seeds, and half of the smaller
    side's, are common; else Welch's t on logarithms. Across systems with two sessions or more on each side
    the session is the unit. Any failure calls for the rank test, and so do values without scatter.

    Raises:
        UsageError: Unlike workloads, a side without a counted run, or a metric without a better direction.
    """
    return say(_test(a, b, metric))


def compare_metrics(a: Side, b: Side, metrics: Sequence[str]) -> tuple[Comparison, ...]:
    """Compare by several metrics in one go, in the order given; p-values are adjusted by Holm's method.

    Raises:
        UsageError: As `compare`.
    """
    tested = [_test(a, b, metric) for metric in metrics]
    with_p = [index for index, one in enumerate(tested) if one.p_value is not None]
    adjusted = holm([p for one in tested if (p := one.p_value) is not None])
    for index, p_holm in zip(with_p, adjusted, strict=True):
        tested[index] = replace(tested[index], p_holm=p_holm)
    return tuple(say(one) for one in tested)


def _test(a: Side, b: Side, metric: str | None) -> Tested:
    """Check that the sides can be compared, choose the method and apply it."""
    _refuse_unlike(a, b)
    name = _metric(a.kind, a.scenario, metric)
    runs = (a.counted(), b.counted())
    across = {run.system_id for run in runs[0]} != {run.system_id for run in runs[1]}
    sessions = min(len({run.session_id for run in side}) for side in runs)
    base = Tested(
        metric=name,
        labels=(a.label, b.label),
        runs=(len(runs[0]), len(runs[1])),
        ok=(_succeeded(runs[0]), _succeeded(runs[1])),
        in_these_sessions=across and sessions < 2,
    )
    whose = tuple(side.label for side in (a, b) if any(run.outcome == "invalid" for run in side.runs))
    if whose:
        return replace(base, obstacle="invalid", obstacle_text=" and ".join(whose))
    lacking = [sum(run.outcome == "ok" and not (run.values.get(name) or 0) > 0 for run in side) for side in runs]
    if any(lacking):
        counts = zip(lacking, base.ok, (a, b), strict=True)
        said = [f"{count} of {ok} successful runs of {_letter(side)}" for count, ok, side in counts if count]
        return replace(base, obstacle="missing", obstacle_text=" and ".join(said))
    scopes = [sorted({run.scopes.get(name, "run") for run in side if run.outcome == "ok"}) for side in runs]
    if len({scope for side in scopes for scope in side}) > 1:
        said = [f"{each.label} covers {' and '.join(side)}" for each, side in zip((a, b), scopes, strict=True) if side]
        return replace(base, obstacle="scopes", obstacle_text=", ".join(said))
    if base.ok != base.runs:
        return _rank(replace(base, in_these_sessions=across), runs, name)
    if across and sessions >= 2:
        return _independent(base, [_by_session(side, name) for side in runs], "session")
    common = _common_seeds(runs)
    if common:
        return _paired(base, runs, common, name)
    return _independent(base, [[_value(run, name) for run in side] for side in runs], "run")


def _letter(side: Side) -> str:
    """Its label without what tells it from the other, which the sentence has said already."""
    return side.label.partition(" (")[0]


def _refuse_unlike(a: Side, b: Side) -> None:
    same = [(s.benchmark, s.benchmark_sha256, s.tier, s.kind, s.target, s.scenario) for s in (a, b)]
    if same[0] != same[1]:
        raise UsageError(
            f"unlike workloads: {a.goal()}, {b.goal()}; compare runs of one benchmark file, tier, target and scenario"
        )


def _metric(kind: Kind, scenario: str | None, asked: str | None) -> str:
    name = asked or headline_of(kind, scenario)
    if name is None:
        raise UsageError(f"runs of kind {kind} have no headline metric; name one of those they list")
    meaning = MEANINGS.get(name)
    if meaning is None or meaning.better is None:
        comparable = ", ".join(key for key, entry in CATALOGUE.items() if entry.better and kind in entry.kinds)
        raise UsageError(f"metric {name!r} has no better direction to compare by; use one of {comparable}")
    return name


def _succeeded(side: Sequence[SideRun]) -> int:
    return sum(run.outcome == "ok" for run in side)


def _value(run: SideRun, metric: str) -> float:
    """The run's value turned so that larger is better (rates as they are, times and costs inverted)."""
    value = run.values[metric]
    if value is None:
        raise ValueError(f"{metric} is missing from a run that passed as measured")
    return value if MEANINGS[metric].better == "higher" else 1 / value


def _by_session(side: Sequence[SideRun], metric: str) -> list[float]:
    sessions: dict[str, list[float]] = {}
    for run in side:
        sessions.setdefault(run.session_id, []).append(_value(run, metric))
    return [geometric_mean(values) for values in sessions.values()]


def _common_seeds(runs: Sequence[Sequence[SideRun]]) -> list[int]:
    """Seeds to pair by: two at least, and half of the smaller side's; else none."""
    seeds = [{run.seed for run in side} for side in runs]
    common = seeds[0] & seeds[1]
    return sorted(common) if len(common) >= 2 and 2 * len(common) >= min(map(len, seeds)) else []


def _paired(base: Tested, runs: Sequence[Sequence[SideRun]], seeds: Sequence[int], metric: str) -> Tested:
    """Pairs by seed; where a side ran a seed more than once, its geometric mean stands for it."""
    sides = [
        [geometric_mean([_value(run, metric) for run in side if run.seed == seed]) for seed in seeds] for side in runs
    ]
    counts = (len(seeds), len(seeds))
    if shows_no_scatter(*sides, paired=True):
        return _without_scatter(replace(base, unit="pair", counts=counts), sides)
    ratio = paired_ratio(sides[0], sides[1])
    return replace(base, method="paired t on logs", unit="pair", counts=counts, ratio=ratio, p_value=ratio.p_value)


def _independent(base: Tested, sides: Sequence[Sequence[float]], unit: Unit) -> Tested:
    counts = (len(sides[0]), len(sides[1]))
    if min(counts) < 2:
        point = geometric_mean(sides[0]) / geometric_mean(sides[1])
        return replace(base, unit=unit, counts=counts, point=point)
    if shows_no_scatter(*sides, paired=False):
        return _without_scatter(replace(base, unit=unit, counts=counts), sides)
    ratio = welch_ratio(sides[0], sides[1])
    return replace(base, method="Welch t on logs", unit=unit, counts=counts, ratio=ratio, p_value=ratio.p_value)


def _without_scatter(base: Tested, sides: Sequence[Sequence[float]]) -> Tested:
    """Rank test on values that leave no interval: scatter finer than their resolution cannot be seen in them."""
    point = geometric_mean(sides[0]) / geometric_mean(sides[1])
    return replace(_by_rank(base, sides), point=point)


def _rank(base: Tested, runs: Sequence[Sequence[SideRun]], metric: str) -> Tested:
    """Rank test on values where larger is better; a failure is worse than any value."""
    if not any(base.ok):
        return replace(base, obstacle="both_fail")
    goodness = [[_value(run, metric) if run.outcome == "ok" else 0.0 for run in side] for side in runs]
    return _by_rank(replace(base, counts=base.runs), goodness)


def _by_rank(base: Tested, sides: Sequence[Sequence[float]]) -> Tested:
    test = rank_sum_test(*sides)
    return replace(base, method="exact rank-sum", p_value=test.p_value, a_better=1 - test.smaller_first)
