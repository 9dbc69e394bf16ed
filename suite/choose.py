"""Which configuration of a store to choose: from its rows to candidates, and from words to metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from oildrop.results.costs import Economics, attempts_of, rates_of, values_of
from oildrop.results.document import set_runs
from oildrop.results.rows import RunRow
from oildrop.results.sides import side_of
from oildrop.rules.choice import Choice, LeftOut, Sense
from oildrop.rules.choosing import Candidate, Constraint, check_objective, choose
from oildrop.rules.costing import Attempt, Rates, attempt_figures, cost_metric
from oildrop.rules.errors import UsageError
from oildrop.rules.records import Kind
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.settings import nearest
from oildrop.rules.tracks import track_of
from oildrop.rules.view_metrics import MEANINGS
from oildrop.suite.cli.sides import ids_of, traits_of

COST = "cost"
"""Short for the cost metric that fits the runs."""

NOT_CHOSEN = ("probe", "calibrate")
"""Kinds that look for something and are no configuration's result."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked, in the words of the command line.

    Attributes:
        bounds: (`METRIC=V`, sense) each.
        objective: A metric, or `cost`.
    """

    benchmark: str
    tier: str | None
    scenario: str | None
    bounds: tuple[tuple[str, Sense], ...]
    objective: str
    sense: Sense


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of it.

    Attributes:
        rows: One run of each configuration, by its key.
        rates: The price of each, by its key.
    """

    tier: str
    scenario: str | None
    objective: str
    constraints: tuple[Constraint, ...]
    choice: Choice
    rows: dict[str, RunRow]
    rates: dict[str, Rates]


def answers(question: Question, rows: Sequence[RunRow], economics: Economics, rulebook: Rulebook) -> tuple[Answer, ...]:
    """The best configuration of `rows`, which come newest first: one answer a scenario that has runs.

    Raises:
        UsageError: No such runs, several tiers, an unknown metric, or an objective against its direction.
    """
    fitting = [row for row in rows if row.spec.benchmark == question.benchmark and row.spec.kind not in NOT_CHOSEN]
    tier = _only("tier", question.tier, [row.spec.tier for row in fitting], question.benchmark)
    fitting = [row for row in fitting if row.spec.tier == tier]
    known = sorted({row.spec.scenario or "" for row in fitting})
    if question.scenario is not None:
        known = [_only("scenario", question.scenario, known, f"{question.benchmark} {tier}")]
    return tuple(
        _answer(question, [row for row in fitting if (row.spec.scenario or "") == scenario], economics, rulebook)
        for scenario in known
    )


def _answer(question: Question, rows: Sequence[RunRow], economics: Economics, rulebook: Rulebook) -> Answer:
    """Choose among all configurations of one scenario that are like the newest of a run alone."""
    tier, scenario = rows[0].spec.tier, rows[0].spec.scenario
    groups = _configurations(rows)
    newest = next((group for group in groups if group[0].spec.beside_run_id is None), groups[0])
    likeness = _likeness(newest)
    alike = [group for group in groups if _likeness(group) == likeness]
    kind = newest[0].spec.kind
    attempts = [attempt for group in alike for attempt in attempts_of(group)]
    cost = cost_metric(kind, scenario, attempts)
    objective = _metric(question.objective, cost, kind)
    constraints = tuple(_constraint(text, sense, cost, kind) for text, sense in question.bounds)
    check_objective(objective, question.sense)
    names = list(dict.fromkeys([objective, *(each.metric for each in constraints), "success_rate"]))
    labels = dict(zip([group[0].run_id for group in groups], _labels([group[0] for group in groups]), strict=True))
    rates = {group[0].run_id: rates_of(group[0], economics, rulebook) for group in groups}
    candidates = [_candidate(group, labels[group[0].run_id], names, rates[group[0].run_id]) for group in alike]
    choice = choose(candidates, objective, constraints)
    unlike = [_unlike(group, labels[group[0].run_id], likeness) for group in groups if _likeness(group) != likeness]
    return Answer(
        tier=tier,
        scenario=scenario,
        objective=objective,
        constraints=constraints,
        choice=choice.model_copy(update={"left_out": (*choice.left_out, *unlike)}),
        rows={group[0].run_id: group[0] for group in groups},
        rates=rates,
    )


def _only(what: str, wanted: str | None, found: Sequence[str], where: str) -> str:
    """`wanted`, else the one that there is."""
    known = sorted(set(found))
    if wanted is None and len(known) == 1:
        return known[0]
    if not known:
        raise UsageError(f"there is no run of {where} to choose from; `oildrop run` makes one")
    if wanted in known:
        return wanted
    if known == [""]:
        raise UsageError(f"runs of {where} have no {what}; leave --{what} {wanted} out")
    if wanted is None:
        raise UsageError(f"{where} has runs of several {what}s; say which: --{what} {' or '.join(known)}")
    raise UsageError(f"{where} has no run of {what} {wanted!r}{nearest(wanted, known)}")


def _configurations(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    """The runs of each configuration, newest first, as the newest of each."""
    groups: dict[tuple[str, ...], list[RunRow]] = {}
    for row, run in zip(rows, set_runs(rows), strict=True):
        groups.setdefault(run.configuration, []).append(row)
    return list(groups.values())


def _likeness(group: Sequence[RunRow]) -> dict[str, object]:
    """What must be the same for configurations to be chosen from."""
    spec = group[0].spec
    return {
        "version of the benchmark": spec.benchmark_sha256,
        "kind": spec.kind,
        "target": side_of("", group[:1]).target,
        "track": track_of(spec),
    }


def _unlike(group: Sequence[RunRow], label: str, likeness: Mapping[str, object]) -> LeftOut:
    differing = [what for what, value in _likeness(group).items() if value != likeness[what]]
    reason = f"another {' and '.join(differing)} than that of the newest run"
    return LeftOut(key=group[0].run_id, label=label, why="unlike", reason=reason)


def _metric(name: str, cost: str, kind: Kind) -> str:
    """The metric that `name` means; an unknown one offers the nearest of those that such runs have."""
    if name == COST:
        return cost
    known = [metric for metric, meaning in MEANINGS.items() if kind in meaning.kinds]
    if name in known:
        return name
    where = f"runs of kind {kind} have no metric" if name in MEANINGS else "unknown metric"
    raise UsageError(f"{where} {name!r}{nearest(name, [COST, *known])}")


def _constraint(text: str, sense: Sense, cost: str, kind: Kind) -> Constraint:
    name, equals, limit_text = text.partition("=")
    try:
        limit = float(limit_text)
    except ValueError:
        limit = math.nan
    if not equals or not math.isfinite(limit):
        raise UsageError(f"--{sense} {text!r} is not METRIC=NUMBER; use for example --{sense} power_w=300")
    return Constraint(metric=_metric(name.strip(), cost, kind), sense=sense, limit=limit)


def _candidate(group: Sequence[RunRow], label: str, names: Sequence[str], rates: Rates) -> Candidate:
    """One configuration with its metrics, and with what each of its runs costs among the side's values."""
    side = side_of(label, group)
    kind = group[0].spec.kind
    runs = []
    for run, row in zip(side.runs, group, strict=True):
        attempt = Attempt(ok=row.outcome == "ok", elapsed_s=row.elapsed_s, values=run.values)
        figures = attempt_figures(kind, attempt, rates)
        costs = {name: None if isinstance(figure, str) else figure for name, figure in figures.items()}
        runs.append(replace(run, values={**run.values, **costs}))
    return Candidate(
        key=group[0].run_id,
        label=label,
        side=replace(side, runs=tuple(runs)),
        values=values_of(group, names, rates),
    )


def _labels(rows: Sequence[RunRow]) -> list[str]:
    """Each configuration by what tells it from the others: words where they do, else ids."""
    labels = [", ".join(words) for words in _differing([traits_of(row) for row in rows])]
    if len(set(labels)) == len(rows) and all(labels):
        return labels
    ids = [" ".join(words) for words in _differing([ids_of(row) for row in rows])]
    return [", ".join(filter(None, pair)) or rows[0].spec.backend for pair in zip(labels, ids, strict=True)]


def _differing(traits: Sequence[Mapping[str, str]]) -> list[list[str]]:
    keys = dict.fromkeys(key for each in traits for key in each)
    telling = [key for key in keys if len({each.get(key) for each in traits}) > 1]
    return [[each[key] for key in telling if key in each] for each in traits]
