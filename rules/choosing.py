"""Which configuration to choose: constraints, the frontier, the winner, and how surely it is the one.

The winner is the best estimate among those that hold every constraint. Whether it differs from another is told by
the very test of `comparison.compare`, which looks at the two alone; Holm's method is applied to what one choice asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oildrop.rules.choice import Certainty, Choice, Entry, Held, LeftOut, Rival, Sense, Why
from oildrop.rules.comparison import Side, compare
from oildrop.rules.comparison_sentences import Comparison
from oildrop.rules.costing import Value
from oildrop.rules.errors import UsageError
from oildrop.rules.statistics import LEVEL
from oildrop.rules.statistics_two_sets import holm
from oildrop.rules.view_metrics import MEANINGS


@dataclass(frozen=True, kw_only=True)
class Constraint:
    """A bound on a metric: `max` is the most that it may be, `min` the least."""

    metric: str
    sense: Sense
    limit: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One configuration that may be chosen.

    Attributes:
        key: What it is known by in the answer.
        side: All of its runs, with the objective among their values.
        values: Every metric that is asked about, by name.
    """

    key: str
    label: str
    side: Side
    values: Mapping[str, Value]


def check_objective(metric: str, sense: Sense) -> None:
    """Refuse an objective against the metric's better direction, or one that has none or no value a run.

    Raises:
        UsageError: With the option that would do.
    """
    better = MEANINGS[metric].better
    if better is None:
        raise UsageError(f"{metric} has no better direction; it can bound a choice (--max, --min) and not decide it")
    if metric == "success_rate":
        raise UsageError("success_rate bounds a choice (--min success_rate=0.9) and decides none; cost counts failures")
    if (better == "lower") != (sense == "min"):
        right = "--minimize" if better == "lower" else "--maximize"
        raise UsageError(f"{metric} is better the {better} it is; use {right} {metric}")


def choose(candidates: Sequence[Candidate], objective: str, constraints: Sequence[Constraint]) -> Choice:
    """The best configuration by `objective` of those that hold all `constraints`, with all others accounted for.

    Args:
        candidates: Of one benchmark version, tier, kind, target and scenario, each with every metric asked about.
    """
    left_out: list[LeftOut] = []
    holding: list[tuple[Candidate, tuple[Held, ...]]] = []
    asked = list(dict.fromkeys([objective, *(constraint.metric for constraint in constraints)]))
    scopes = {name: _usual_scope(name, candidates) for name in asked}
    for candidate in candidates:
        verdicts = _why_left_out(candidate, scopes, constraints)
        if isinstance(verdicts, LeftOut):
            left_out.append(verdicts)
        else:
            holding.append((candidate, verdicts))
    holding.sort(key=lambda each: (_goodness(each[0], objective), each[0].key))
    frontier = pareto([_point(candidate, objective, constraints) for candidate, _ in holding])
    entries = tuple(
        Entry(
            key=candidate.key,
            label=candidate.label,
            values=dict(candidate.values),
            constraints=verdicts,
            certainty=_certainty(verdicts),
            on_frontier=on_frontier,
        )
        for (candidate, verdicts), on_frontier in zip(holding, frontier, strict=True)
    )
    rivals = _rivals([candidate for candidate, _ in holding], objective)
    left_out.sort(key=lambda each: (each.worst_miss is None, each.worst_miss or 0.0, each.key))
    return Choice(
        objective=objective,
        entries=entries,
        left_out=tuple(left_out),
        winner=entries[0].key if entries else None,
        rivals=rivals,
        sentence=_sentence(entries, rivals, left_out, objective),
    )


def pareto(points: Sequence[Sequence[float]]) -> list[bool]:
    """Which points no other dominates: at least as low in every coordinate, and lower in one."""
    return [not any(_dominates(other, point) for other in points) for point in points]


def held_by(value: Value, constraint: Constraint) -> Held:
    """How a constraint stands for a value that is known."""
    assert value.value is not None
    sign = 1 if constraint.sense == "max" else -1
    over = sign * (value.value - constraint.limit)
    low, high = (value.low, value.high) if sign > 0 else (value.high, value.low)
    held = over <= 0
    worst_over = None if high is None else sign * (high - constraint.limit)
    best_over = None if low is None else sign * (low - constraint.limit)
    sure = worst_over is not None and worst_over <= 0
    return Held(
        metric=constraint.metric,
        sense=constraint.sense,
        limit=constraint.limit,
        value=value.value,
        held=held,
        certainty=("sure" if sure else "likely") if held else None,
        miss=None if held else over / (abs(constraint.limit) or 1.0),
        surely_missed=None if held or best_over is None else best_over > 0,
    )


def _usual_scope(name: str, candidates: Sequence[Candidate]) -> str | None:
    """What most candidates' `name` covers: scopes are never ranked together."""
    scopes = [candidate.values[name].scope for candidate in candidates if candidate.values[name].value is not None]
    return max(sorted(set(scopes)), key=scopes.count, default=None)


def _why_left_out(
    candidate: Candidate, scopes: Mapping[str, str | None], constraints: Sequence[Constraint]
) -> LeftOut | tuple[Held, ...]:
    def left(why: Why, reason: str) -> LeftOut:
        return LeftOut(key=candidate.key, label=candidate.label, why=why, reason=reason)

    if any(run.outcome == "invalid" for run in candidate.side.runs):
        return left("invalid", "an invalid run unranks its set")
    values = {name: candidate.values[name] for name in scopes}
    missing = [f"{name}: {value.reason}" for name, value in values.items() if value.value is None]
    if missing:
        return left("missing", "; ".join(missing))
    for name, value in values.items():
        if value.scope != scopes[name]:
            reason = f"{name} covers {value.scope} and not {scopes[name]}: scopes are never ranked together"
            return left("scope", reason)
    verdicts = tuple(held_by(candidate.values[constraint.metric], constraint) for constraint in constraints)
    missed = [verdict for verdict in verdicts if not verdict.held]
    if not missed:
        return verdicts
    return LeftOut(
        key=candidate.key,
        label=candidate.label,
        why="constraint",
        reason="; ".join(_miss_text(verdict, candidate.values[verdict.metric].unit) for verdict in missed),
        constraints=verdicts,
        worst_miss=max(verdict.miss or 0.0 for verdict in missed),
    )


def _miss_text(verdict: Held, unit: str) -> str:
    side = "over" if verdict.sense == "max" else "under"
    miss = verdict.miss or 0.0
    amount = "" if not verdict.limit else f"{100 * miss:.3g} % " if miss < 10 else f"{miss:.3g} times "
    doubt = "" if verdict.surely_missed else ", in the estimate alone"
    return f"{verdict.metric} {verdict.value:.4g} {unit} is {amount}{side} {verdict.limit:g}{doubt}"


def _certainty(verdicts: Sequence[Held]) -> Certainty | None:
    if not verdicts:
        return None
    return "sure" if all(verdict.certainty == "sure" for verdict in verdicts) else "likely"


def _goodness(candidate: Candidate, metric: str) -> float:
    """The estimate, turned so that lower is better."""
    value = candidate.values[metric].value
    assert value is not None
    return -value if MEANINGS[metric].better == "higher" else value


def _point(candidate: Candidate, objective: str, constraints: Sequence[Constraint]) -> list[float]:
    """What the frontier is drawn over: the objective and each constrained metric, lower is better."""
    coordinates = {objective: _goodness(candidate, objective)}
    for constraint in constraints:
        value = candidate.values[constraint.metric].value
        assert value is not None
        coordinates.setdefault(constraint.metric, value if constraint.sense == "max" else -value)
    return list(coordinates.values())


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _rivals(holding: Sequence[Candidate], objective: str) -> tuple[Rival, ...]:
    """The winner, which comes first, against each other; p-values adjusted together."""
    if not holding:
        return ()
    winner, *others = holding
    found = [compare(winner.side, other.side, objective) for other in others]
    tested = [index for index, one in enumerate(found) if one.p_value is not None]
    adjusted = dict(zip(tested, holm([p for one in found if (p := one.p_value) is not None]), strict=True))
    return tuple(
        Rival(
            key=other.key,
            label=other.label,
            comparison=comparison,
            p_holm=adjusted.get(index),
            told=comparison.verdict == "a_better" and adjusted.get(index, 1.0) < 1 - LEVEL,
            probability=_probability(comparison),
        )
        for index, (other, comparison) in enumerate(zip(others, found, strict=True))
    )


def _probability(comparison: Comparison) -> float | None:
    if comparison.p_value is None or comparison.ratio is None or comparison.method == "exact rank-sum":
        return None
    half = comparison.p_value / 2
    return 1 - half if comparison.ratio > 1 else half


def _sentence(entries: Sequence[Entry], rivals: Sequence[Rival], left_out: Sequence[LeftOut], objective: str) -> str:
    if not entries:
        near = [each for each in left_out if each.why == "constraint"]
        nearest = f"; the nearest miss is {near[0].label}: {near[0].reason}" if near else ""
        return f"No configuration satisfies this{nearest}"
    winner = entries[0]
    doubt = {"sure": ", surely within the bounds", "likely": ", within the bounds in the estimate alone", None: ""}
    text = f"{winner.label} has the best {objective}{doubt[winner.certainty]}"
    untold = [rival.label for rival in rivals if not rival.told]
    if not rivals:
        return f"{text}; no other satisfies this"
    if not untold:
        text += f"; it is told from {'the other' if len(rivals) == 1 else f'all {len(rivals)} others'}"
    else:
        more = f" and {len(untold) - 3} more" if len(untold) > 3 else ""
        text += f"; it cannot be told from {', '.join(untold[:3])}{more}"
    return text + (" (in these sessions)" if any(each.comparison.in_these_sessions for each in rivals) else "")
