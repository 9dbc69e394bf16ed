"""What a configuration costs and emits, from its attempts and a price an hour; null with a reason where unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from oildrop.rules.formulas.cost import (
    MILLION,
    carbon_g,
    cost_of_time,
    cost_per_million,
    electricity_cost,
    share_of_failures,
)
from oildrop.rules.headline import headline_of
from oildrop.rules.records import Kind, Record
from oildrop.rules.statistics import expected_time_to_success_s, log_t_interval, wilson_interval
from oildrop.rules.view_metrics import FORMULAS, MEANINGS, VIEW_METRICS, unit_of

TRAINED_TOKENS, SERVED_TOKENS, REQUESTS = "train_tokens_per_s", "output_tokens_per_s", "requests_per_s"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt that counts.

    Attributes:
        elapsed_s: From its start to its end, set-up included; None where unknown.
        values: Headline metrics by name; None, or no entry, where not measured.
        scopes: What each of those covers, by name (`device`, `node`, …).
        reasons: Why those are missing that are, by name.
    """

    ok: bool
    elapsed_s: float | None
    values: Mapping[str, float | None]
    scopes: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, name: str) -> str:
        """That it has no `name`, and why, where that is known."""
        why = self.reasons.get(name)
        return f"no {name}" + (f" ({why})" if why else "")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What an hour, a kilowatt-hour and its gases are worth for one configuration.

    Attributes:
        per_hour: None without a price; `why` says why.
        electricity_per_kwh: None where nobody named it, or the price holds it already.
        carbon_g_per_kwh: None where nobody named a grid.
        source: Of the price, in words.
    """

    currency: str
    per_hour: float | None
    why: str | None = None
    electricity_per_kwh: float | None = None
    carbon_g_per_kwh: float | None = None
    source: str | None = None


class Value(Record):
    """One metric of a configuration over its runs.

    Attributes:
        value: Geometric mean over the runs that ended ok, or as its meaning says; None with a reason.
        low: 95 % interval with `high`; None where none is claimed.
        scope: What it covers; of money and carbon that of the energy in it, where there is some.
        count: Runs behind it.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str
    formula: str | None = None
    scope: str = "configuration"
    count: int = 0
    reason: str | None = None


Figure = float | str
"""A number, or why there is none."""


def attempt_figures(kind: Kind, attempt: Attempt, rates: Rates) -> dict[str, Figure]:
    """Each view metric of one attempt that has one by itself (`success_rate` has not)."""
    makers: dict[str, Callable[[], Figure]] = {
        "cost_run": lambda: _cost_of_attempt(attempt, rates),
        "cost_to_target": lambda: _cost_of_attempt(attempt, rates),
        "cost_per_million_tokens": lambda: _cost_of_tokens(kind, attempt, rates),
        "cost_per_million_requests": lambda: _cost_of_requests(attempt, rates),
        "carbon_run_g": lambda: _carbon(attempt, rates, "energy_j", 1.0),
        "carbon_per_million_tokens_g": lambda: _carbon(attempt, rates, "energy_per_token_j", MILLION),
        "expected_time_to_success_s": lambda: _elapsed(attempt),
    }
    return {name: make() for name, make in makers.items() if kind in VIEW_METRICS[name].kinds}


def value_of(name: str, kind: Kind, attempts: Sequence[Attempt], rates: Rates) -> Value:
    """Metric `name` of a configuration, from the catalogue or a view's, over attempts that all count."""
    base = Value(name=name, value=None, unit=unit_of(name, rates.currency), formula=FORMULAS.get(name))
    ok = [attempt for attempt in attempts if attempt.ok]
    if kind not in MEANINGS[name].kinds:
        return base.model_copy(update={"reason": f"runs of kind {kind} have no {name}"})
    if name == "success_rate":
        return _success_rate(base, len(ok), len(attempts))
    if not ok:
        return base.model_copy(update={"reason": f"none of {len(attempts)} runs succeeded"})
    scopes = sorted({attempt.scopes[of] for attempt in ok if (of := _scoped_by(name, rates)) in attempt.scopes})
    if len(scopes) > 1:
        reason = f"its runs cover {' and '.join(scopes)}, and scopes are never taken together"
        return base.model_copy(update={"reason": reason})
    base = base.model_copy(update={"scope": scopes[0] if scopes else base.scope})
    if name not in VIEW_METRICS:
        return _over_runs(base, [_measured(attempt, name) for attempt in ok])
    figures = [attempt_figures(kind, attempt, rates)[name] for attempt in ok]
    found = _over_runs(base, figures)
    if found.value is None or len(ok) == len(attempts) or not _bears_failures(name):
        return found
    return _with_failures(found, name, attempts, rates)


def cost_metric(kind: Kind, scenario: str | None, attempts: Sequence[Attempt]) -> str:
    """What plain `cost` means for runs of a kind: to target, else a million tokens, else a million requests."""
    if kind == "to_target":
        return "cost_to_target"
    has_tokens = any(attempt.values.get(SERVED_TOKENS) for attempt in attempts)
    if kind == "serve" and not has_tokens and headline_of(kind, scenario) is not None:
        return "cost_per_million_requests"
    return "cost_per_million_tokens"


def _scoped_by(name: str, rates: Rates) -> str:
    """The judged metric whose scope is also that of `name`."""
    if name.startswith("carbon") or (name.startswith("cost") and rates.electricity_per_kwh is not None):
        if name.endswith(("tokens", "tokens_g")):
            return "energy_per_token_j"
        return "energy_attempt_j" if name in ("cost_run", "cost_to_target") else "energy_j"
    return name


def _bears_failures(name: str) -> bool:
    return name in ("expected_time_to_success_s", "cost_to_target") or name.startswith("cost_per_million")


def _with_failures(found: Value, name: str, attempts: Sequence[Attempt], rates: Rates) -> Value:
    """The expectation where some attempts failed: what they took is borne by those that did not; no interval."""
    elapsed = [attempt.elapsed_s for attempt in attempts]
    known = [time_s for time_s in elapsed if time_s is not None]
    plain = found.model_copy(update={"low": None, "high": None, "count": len(attempts)})
    if len(known) < len(elapsed):
        reason = f"{len(elapsed) - len(known)} of {len(elapsed)} attempts have no known duration"
        return plain.model_copy(update={"value": None, "reason": reason})
    ok_s = [float(attempt.elapsed_s or 0.0) for attempt in attempts if attempt.ok]
    time_s = expected_time_to_success_s(known, len(ok_s))
    assert time_s is not None and found.value is not None
    if name == "expected_time_to_success_s":
        value = time_s
    elif name == "cost_to_target":
        costs = [_cost_of_attempt(attempt, rates) for attempt in attempts]
        unknown = [figure for figure in costs if isinstance(figure, str)]
        if unknown:
            return plain.model_copy(update={"value": None, "reason": f"of a failed attempt: {unknown[0]}"})
        value = sum(figure for figure in costs if isinstance(figure, float)) / len(ok_s)
    else:
        value = found.value * share_of_failures(ok_s, known)
    return plain.model_copy(update={"value": value, "reason": "attempts failed, so no interval is claimed"})


def _over_runs(base: Value, figures: Sequence[Figure]) -> Value:
    """Geometric mean with its log-t interval; the plain mean, and no interval, where a value is 0 or less."""
    missing = [figure for figure in figures if isinstance(figure, str)]
    if missing:
        reason = f"{len(missing)} of {len(figures)} runs: {missing[0]}"
        return base.model_copy(update={"count": len(figures), "reason": reason})
    values = [figure for figure in figures if not isinstance(figure, str)]
    if min(values) <= 0:
        mean = sum(values) / len(values)
        return base.model_copy(
            update={"value": mean, "count": len(values), "reason": "0 has no logarithm: plain mean, no interval"}
        )
    found = log_t_interval(values)
    why = None if found.low is not None else "1 run, or equal values: no interval"
    return base.model_copy(
        update={"value": found.value, "low": found.low, "high": found.high, "count": found.count, "reason": why}
    )


def _success_rate(base: Value, ok: int, count: int) -> Value:
    if not count:
        return base.model_copy(update={"reason": "no run counts"})
    found = wilson_interval(ok, count)
    return base.model_copy(update={"value": found.value, "low": found.low, "high": found.high, "count": count})


def _measured(attempt: Attempt, name: str) -> Figure:
    value = attempt.values.get(name)
    return attempt.lacks(name) if value is None else float(value)


def _elapsed(attempt: Attempt) -> Figure:
    return "no known duration" if attempt.elapsed_s is None else attempt.elapsed_s


def _cost_of_attempt(attempt: Attempt, rates: Rates) -> Figure:
    if rates.per_hour is None or attempt.elapsed_s is None:
        return str(rates.why) if rates.per_hour is None else "no known duration"
    return _plus_electricity(cost_of_time(rates.per_hour, attempt.elapsed_s), attempt, rates, "energy_attempt_j", 1.0)


def _cost_of_tokens(kind: Kind, attempt: Attempt, rates: Rates) -> Figure:
    rate = SERVED_TOKENS if kind == "serve" else TRAINED_TOKENS
    cost = _cost_at_rate(attempt, rates, rate)
    return cost if isinstance(cost, str) else _plus_electricity(cost, attempt, rates, "energy_per_token_j", MILLION)


def _cost_of_requests(attempt: Attempt, rates: Rates) -> Figure:
    cost = _cost_at_rate(attempt, rates, REQUESTS)
    if isinstance(cost, str) or rates.electricity_per_kwh is None:
        return cost
    power, rate = attempt.values.get("power_w"), attempt.values.get(REQUESTS)
    if power is None or not rate:
        return f"{attempt.lacks('power_w')}, so electricity is unknown"
    return cost + electricity_cost(power / rate * MILLION, rates.electricity_per_kwh)


def _cost_at_rate(attempt: Attempt, rates: Rates, rate_name: str) -> Figure:
    rate = attempt.values.get(rate_name)
    if rates.per_hour is None:
        return str(rates.why)
    if rate is None:
        return attempt.lacks(rate_name)
    return cost_per_million(rates.per_hour, rate) if rate > 0 else f"no {rate_name} above 0"


def _plus_electricity(cost: float, attempt: Attempt, rates: Rates, energy_name: str, times: float) -> Figure:
    if rates.electricity_per_kwh is None:
        return cost
    energy = attempt.values.get(energy_name)
    if energy is None:
        return f"{attempt.lacks(energy_name)}, so electricity is unknown"
    return cost + electricity_cost(energy * times, rates.electricity_per_kwh)


def _carbon(attempt: Attempt, rates: Rates, energy_name: str, times: float) -> Figure:
    energy = attempt.values.get(energy_name)
    if rates.carbon_g_per_kwh is None:
        return "no grid: name one with --grid"
    return attempt.lacks(energy_name) if energy is None else carbon_g(energy * times, rates.carbon_g_per_kwh)
