"""What a training and a served model lose beside each other: pairs of runs, ratios, intervals. Pure.

A pair is one repetition: each workload alone and both together, near each other in time. Everything is a ratio within
a pair, so that what changes between pairs falls out; the unit of every interval is the pair.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oildrop.rules.formulas.colocation import energy_ratio, loss_fraction
from oildrop.rules.measures.overlap import DIMS, P99
from oildrop.rules.records import Metric, Record
from oildrop.rules.statistics import log_t_interval

TOKENS, SAMPLES, REQUESTS = "train_tokens_per_s", "train_samples_per_s", "requests_per_s"
LOSS, LATENCY, ENERGY = "colocation_loss/1", "colocation_latency_ratio/1", "colocation_energy_ratio/1"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One run of a pair."""

    pair: int
    trains: bool
    beside: bool
    run_id: str
    outcome: str
    metrics: Sequence[Metric]


class Figure(Record):
    """One number of a measurement, over its pairs or of one of them; or the reason why there is none.

    Attributes:
        of: The metric that it compares.
        low: Lower end of the 95 % interval; None of a single pair.
        high: Upper end, likewise.
        count: Pairs behind it.
    """

    name: str
    of: str
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    count: int
    reason: str | None = None
    formula: str
    scope: str


class PairResult(Record):
    """One repetition: its runs by role, and its own figures."""

    pair: int
    runs: dict[str, str]
    outcomes: dict[str, str]
    overlap_s: float | None
    energy_j: float | None
    energy_scope: str | None
    energy_reason: str | None
    figures: tuple[Figure, ...]


class ColocationResult(Record):
    """All pairs of one measurement, and each figure over all of them."""

    pairs: tuple[PairResult, ...]
    figures: tuple[Figure, ...]


class _Missing(Exception):
    """Why a pair has no ratio."""


@dataclass(frozen=True)
class _Pair:
    """The four runs of a pair by (trains, beside); the one that was not made is missing."""

    parts: dict[tuple[bool, bool], Part]

    def metric(self, name: str, *, trains: bool, beside: bool) -> Metric:
        """With its value: beside another over the overlap, else the headline. Raises _Missing."""
        part = self.parts.get((trains, beside))
        who = f"{'training' if trains else 'serving'} {'together' if beside else 'alone'}"
        if part is None:
            raise _Missing(f"{who} was not run")
        dims = DIMS if beside else {}
        for metric in part.metrics:
            if metric.name == name and metric.dims == dims:
                if not metric.value or metric.value <= 0:
                    raise _Missing(f"{who} ({part.outcome}): {metric.reason or f'{name} is 0'}")
                return metric
        raise _Missing(f"{who} ({part.outcome}): no {name}")

    def value(self, name: str, *, trains: bool, beside: bool) -> float:
        """As `metric`, its value."""
        return float(self.metric(name, trains=trains, beside=beside).value or 0)

    def ratio(self, name: str, *, trains: bool) -> float:
        """Together over alone. Raises _Missing."""
        return self.value(name, trains=trains, beside=True) / self.value(name, trains=trains, beside=False)

    def energy_ratio(self) -> float:
        """Joint energy over that of the same work one after the other. Raises _Missing."""
        joint = self.metric("energy_j", trains=True, beside=True)
        tokens = self.metric("energy_per_token_j", trains=True, beside=True).sample_count or 0
        requests = self.metric(REQUESTS, trains=False, beside=True).sample_count or 0
        a_token = self.metric("energy_per_token_j", trains=True, beside=False)
        serving = self.metric("energy_j", trains=False, beside=False)
        answered = self.metric(REQUESTS, trains=False, beside=False).sample_count or 0
        scopes = {metric.scope for metric in (joint, a_token, serving)}
        if len(scopes) > 1:
            raise _Missing(f"energies of different scopes ({', '.join(sorted(scopes))}) are never compared")
        if not answered:
            raise _Missing("serving alone: no request was answered")
        alone = (float(a_token.value or 0) * tokens, float(serving.value or 0) / answered * requests)
        return energy_ratio(float(joint.value or 0), alone)


def colocation_of(parts: Sequence[Part]) -> ColocationResult:
    """Pairs and figures of one measurement, whose runs `parts` are."""
    pairs: dict[int, dict[tuple[bool, bool], Part]] = {}
    for part in parts:
        pairs.setdefault(part.pair, {})[part.trains, part.beside] = part
    found = {number: _Pair(by_role) for number, by_role in sorted(pairs.items())}
    work = TOKENS if any(_has(pair, TOKENS) for pair in found.values()) else SAMPLES
    return ColocationResult(
        pairs=tuple(_pair_result(number, pair, work) for number, pair in found.items()),
        figures=_figures(found, work),
    )


def _has(pair: _Pair, name: str) -> bool:
    try:
        return pair.value(name, trains=True, beside=False) > 0
    except _Missing:
        return False


def _figures(pairs: dict[int, _Pair], work: str) -> tuple[Figure, ...]:
    """The four figures over `pairs`: both losses, the latency and the energy."""
    return (
        _loss(pairs, work, trains=True),
        _loss(pairs, REQUESTS, trains=False),
        _ratio(pairs, "colocation_latency_ratio", P99, LATENCY, "run", lambda pair: pair.ratio(P99, trains=False)),
        _ratio(pairs, "colocation_energy_ratio", "energy_j", ENERGY, _scope(pairs), _Pair.energy_ratio),
    )


def _loss(pairs: dict[int, _Pair], of: str, *, trains: bool) -> Figure:
    name = "colocation_loss_fraction"
    ratio = _ratio(pairs, name, of, LOSS, "run", lambda pair: pair.ratio(of, trains=trains))
    if ratio.value is None:
        return ratio
    ends = {
        "low": None if ratio.high is None else loss_fraction(ratio.high),
        "high": None if ratio.low is None else loss_fraction(ratio.low),
    }
    return ratio.model_copy(update={"value": loss_fraction(ratio.value), **ends})


def _ratio(
    pairs: dict[int, _Pair], name: str, of: str, formula: str, scope: str, ratio: Callable[[_Pair], float]
) -> Figure:
    """Geometric mean of a ratio over all pairs with Student's t interval on logarithms; null unless every pair has it.

    To leave out pairs in which a run failed would show the lucky ones.
    """
    values: list[float] = []
    missing: dict[str, list[int]] = {}
    for number, pair in pairs.items():
        try:
            values.append(ratio(pair))
        except _Missing as error:
            missing.setdefault(str(error), []).append(number)
    none = Figure(name=name, of=of, unit="1", formula=formula, scope=scope, count=len(values), value=None)
    if missing or not values:
        return none.model_copy(update={"reason": _reasons(missing) or "no pair was made"})
    found = log_t_interval(values)
    reason = "one pair has no interval" if len(values) == 1 else None
    return none.model_copy(update={"value": found.value, "low": found.low, "high": found.high, "reason": reason})


def _reasons(missing: dict[str, list[int]]) -> str:
    """Why pairs lack a ratio, each reason once: `pairs 1, 3: serving alone was not run`."""
    return "; ".join(
        f"{'pair' if len(numbers) == 1 else 'pairs'} {', '.join(map(str, numbers))}: {why}"
        for why, numbers in missing.items()
    )


def _scope(pairs: dict[int, _Pair]) -> str:
    for pair in pairs.values():
        try:
            return pair.metric("energy_j", trains=True, beside=True).scope
        except _Missing:
            continue
    return "run"


def _pair_result(number: int, pair: _Pair, work: str) -> PairResult:
    roles = {
        f"{'train' if trains else 'serve'}_{'beside' if beside else 'alone'}": part
        for (trains, beside), part in pair.parts.items()
    }
    try:
        joint, reason = pair.metric("energy_j", trains=True, beside=True), None
    except _Missing as error:
        joint, reason = None, str(error)
    return PairResult(
        pair=number,
        runs={role: part.run_id for role, part in roles.items()},
        outcomes={role: part.outcome for role, part in roles.items()},
        overlap_s=_overlap_s(pair),
        energy_j=None if joint is None or joint.value is None else float(joint.value),
        energy_scope=None if joint is None else joint.scope,
        energy_reason=reason,
        figures=_figures({number: pair}, work),
    )


def _overlap_s(pair: _Pair) -> float | None:
    """How long both clocks ran, as the served run tells it."""
    try:
        window = pair.metric(REQUESTS, trains=False, beside=True).window_ns
    except _Missing:
        return None
    return None if window is None else (window[1] - window[0]) / 1e9
