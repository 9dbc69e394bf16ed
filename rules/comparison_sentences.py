"""The verdict on a tested pair, and the one sentence that says it: every form stands in one table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from oildrop.rules.records import Record
from oildrop.rules.statistics import EQUAL, LEVEL
from oildrop.rules.statistics_two_sets import Ratio, minimum_detectable_ratio, runs_needed
from oildrop.rules.view_metrics import MEANINGS

AS_FAST_FROM = 0.98
"""Lower bound from which one side may be called as fast as the other."""

WORTH_SEEING = 1.05
"""The ratio for which a comparison says how many runs would show it."""

Method = Literal["paired t on logs", "Welch t on logs", "exact rank-sum", "none"]
Unit = Literal["pair", "run", "session"]
Verdict = Literal["a_better", "b_better", "as_fast", "unresolved", "no_claim"]
Obstacle = Literal["invalid", "missing", "both_fail", "scopes"]

FORMS: dict[str, str] = {
    "differs": "{a} is {ratio}× {word} as {b} ({interval}, {count})",
    "as_fast": "{a} is {word} as {b} ({ratio}×, {interval}, {count})",
    "unresolved": "whether {a} is {word} as {b} is unresolved ({ratio}×, {interval}, {count}): "
    "these runs can show a difference of {detectable}, and {needed} would show one of {worth}",
    "no_interval": "whether {a} is {word} as {b} is unresolved ({ratio}×, {count}): an interval needs two on each side",
    "rank_differs": "{better} does better than {worse}: {successes} succeeded "
    "(rank test with failures tied worst, p {p})",
    "rank_unresolved": "whether {a} does better than {b} is unresolved: {successes} succeeded "
    "(rank test with failures tied worst, p {p})",
    "equal": "{a} and {b} have the same {metric} in all runs ({count}): nothing finer than its resolution is claimed",
    "no_scatter_differs": "{a} is {ratio}× {word} as {b} in all runs ({count}, no scatter and so no interval; "
    "rank test, p {p})",
    "no_scatter_unresolved": "whether {a} is {word} as {b} is unresolved ({ratio}×, {count}): values without scatter "
    "leave no interval (rank test, p {p})",
    "both_fail": "nothing is claimed about {a} and {b}: {successes} succeeded",
    "invalid": "nothing is claimed about {a} and {b}: an invalid run unranks the set of {obstacle}",
    "missing": "nothing is claimed about {a} and {b}: {obstacle} carry no {metric} above 0",
    "scopes": "nothing is claimed about {a} and {b}: {metric} of different scopes cannot be compared ({obstacle})",
}
"""Every sentence that a comparison can say."""

RANKS = {
    "carried": "Two are told apart where a comparison of them resolves a difference; across systems the session is "
    "the unit, of which each has two at least.",
    "in_these_sessions": "Two are told apart where a comparison of them resolves a difference; across systems that "
    "holds in these sessions and claims nothing beyond them, for {single} of {ranked} ranked configurations ran in "
    "one session.",
    "one_system": "Two are told apart where a comparison of them resolves a difference on their system.",
}
"""Every sentence that stands beside ranks."""

SPEEDS = frozenset({"time_to_target_s", "time_to_target_raw_s", "train_tokens_per_s", "train_samples_per_s"})


@dataclass(frozen=True, kw_only=True)
class Tested:
    """What the chosen method found, before a verdict. Pairs of fields are of side A and side B.

    Attributes:
        counts: Independent values (see `unit`) behind the ratio.
        point: Ratio where too few values, or values without scatter, leave no interval.
        a_better: Chance that a run of A does better than one of B, ties counted half.
        obstacle: Why nothing can be claimed.
    """

    metric: str
    labels: tuple[str, str]
    runs: tuple[int, int]
    ok: tuple[int, int]
    in_these_sessions: bool
    method: Method = "none"
    unit: Unit = "run"
    counts: tuple[int, int] = (0, 0)
    ratio: Ratio | None = None
    point: float | None = None
    a_better: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    obstacle: Obstacle | None = None
    obstacle_text: str = ""

    @property
    def significant(self) -> bool:
        """Whether the p-value, adjusted where several metrics were tried, is below 0.05."""
        p_value = self.p_value if self.p_holm is None else self.p_holm
        return p_value is not None and p_value < 1 - LEVEL


class Comparison(Record):
    """What two configurations' runs say about one metric.

    Attributes:
        a: Label of side A; `b` of side B.
        method: The test behind `p_value`; `none` where too few runs, or something worse, leave none.
        unit: What counts as one independent value; `a_count` and `b_count` are how many there were.
        ratio: How many times better A is than B, dimensionless; None where nothing is said of it.
        ci95_low: 95 % interval of the ratio, with `ci95_high`; not widened for several metrics.
        p_value: Two-sided, of no difference.
        p_holm: `p_value` adjusted for the metrics of the same call; None when compared alone.
        as_fast: Whether `ci95_low` is at least 0.98; None without an interval.
        minimum_detectable_ratio: Smallest true ratio that runs as many and as scattered show with chance 0.8.
        runs_needed: Pairs, or runs or sessions a side (see `unit`), that show a ratio of 1.05 with that chance.
        in_these_sessions: Whether the claim crosses systems without being carried by two sessions on each.
    """

    metric: str
    a: str
    b: str
    a_runs: int
    b_runs: int
    a_ok: int
    b_ok: int
    method: Method
    unit: Unit
    a_count: int
    b_count: int
    ratio: float | None
    ci95_low: float | None
    ci95_high: float | None
    p_value: float | None
    p_holm: float | None
    verdict: Verdict
    as_fast: bool | None
    minimum_detectable_ratio: float | None
    runs_needed: int | None
    in_these_sessions: bool
    sentence: str


def say_of_ranks(ranked: Sequence[tuple[str, int]]) -> str:
    """What the ranks of configurations, given as (system, sessions) each, may be taken to say."""
    single = sum(sessions < 2 for _, sessions in ranked)
    if len({system for system, _ in ranked}) < 2:
        return RANKS["one_system"]
    return RANKS["in_these_sessions" if single else "carried"].format(single=single, ranked=len(ranked))


def say(tested: Tested) -> Comparison:
    """The verdict on `tested` with its numbers and its sentence."""
    ratio = tested.ratio
    form, verdict = _verdict(tested)
    return Comparison(
        metric=tested.metric,
        a=tested.labels[0],
        b=tested.labels[1],
        a_runs=tested.runs[0],
        b_runs=tested.runs[1],
        a_ok=tested.ok[0],
        b_ok=tested.ok[1],
        method=tested.method,
        unit=tested.unit,
        a_count=tested.counts[0],
        b_count=tested.counts[1],
        ratio=ratio.value if ratio else tested.point,
        ci95_low=ratio.low if ratio else None,
        ci95_high=ratio.high if ratio else None,
        p_value=tested.p_value,
        p_holm=tested.p_holm,
        verdict=verdict,
        as_fast=ratio.low >= AS_FAST_FROM if ratio else None,
        minimum_detectable_ratio=_detectable(ratio) if ratio else None,
        runs_needed=_needed(ratio) if ratio else None,
        in_these_sessions=tested.in_these_sessions,
        sentence=_sentence(tested, form, verdict),
    )


def _verdict(tested: Tested) -> tuple[str, Verdict]:
    """Name of the sentence form, and the verdict. A resolved difference is named before likeness is."""
    if tested.obstacle:
        return tested.obstacle, "no_claim"
    if tested.a_better is not None:
        return _rank_verdict(tested, tested.a_better)
    if tested.ratio is None:
        return "no_interval", "unresolved"
    if tested.significant:
        return "differs", "a_better" if tested.ratio.value > 1 else "b_better"
    return ("as_fast", "as_fast") if tested.ratio.low >= AS_FAST_FROM else ("unresolved", "unresolved")


def _rank_verdict(tested: Tested, a_better: float) -> tuple[str, Verdict]:
    if tested.point is not None and abs(math.log(tested.point)) <= EQUAL:
        return "equal", "unresolved"
    form = "rank" if tested.point is None else "no_scatter"
    if not tested.significant:
        return f"{form}_unresolved", "unresolved"
    return f"{form}_differs", "a_better" if a_better > 0.5 else "b_better"


def _sentence(tested: Tested, form: str, verdict: Verdict) -> str:
    a, b = tested.labels
    better, worse = (b, a) if verdict == "b_better" else (a, b)
    fields = {
        "a": a,
        "b": b,
        "better": better,
        "worse": worse,
        "metric": tested.metric,
        "word": _word(tested.metric),
        "count": _count(tested),
        "successes": f"{tested.ok[0]} of {tested.runs[0]} against {tested.ok[1]} of {tested.runs[1]}",
        "p": "" if tested.p_value is None else _chance(tested.p_value if tested.p_holm is None else tested.p_holm),
        "obstacle": tested.obstacle_text,
        **_ratio_fields(tested),
    }
    text = FORMS[form].format(**fields)
    if tested.in_these_sessions and verdict != "no_claim":
        text = f"in these sessions, {text}"
        return _capital(text)
    return text if FORMS[form].startswith("{") else _capital(text)  # a label keeps its own spelling


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _ratio_fields(tested: Tested) -> dict[str, str]:
    ratio = tested.ratio
    if ratio is None:
        return {"ratio": "" if tested.point is None else f"{tested.point:.2f}"}
    digits = _digits(ratio)
    unit = {"pair": "pairs", "run": "runs a side", "session": "sessions a side"}[tested.unit]
    return {
        "ratio": f"{ratio.value:.{digits}f}",
        "interval": f"95 % interval {ratio.low:.{digits}f} to {ratio.high:.{digits}f}",
        "detectable": _percent(_detectable(ratio)),
        "needed": f"{_needed(ratio)} {unit}",
        "worth": _percent(WORTH_SEEING),
    }


def _digits(ratio: Ratio) -> int:
    """Decimals, two at least, that keep an end of the interval from being printed as a bound that it misses."""
    for digits in (2, 3, 4):
        shown = [round(end, digits) for end in (ratio.low, ratio.high)]
        if all(
            (end < bound) == (value < bound) and (end > bound) == (value > bound)
            for end, value in zip(shown, (ratio.low, ratio.high), strict=True)
            for bound in (1, AS_FAST_FROM)
        ):
            return digits
    return 5


def _detectable(ratio: Ratio) -> float:
    return minimum_detectable_ratio(ratio.log_standard_error, ratio.degrees_of_freedom)


def _needed(ratio: Ratio) -> int:
    return runs_needed(ratio.log_sd, WORTH_SEEING, paired=ratio.paired)


def _count(tested: Tested) -> str:
    a, b = tested.counts
    return f"{a} pairs" if tested.unit == "pair" else f"{a} and {b} {tested.unit}s"


def _word(metric: str) -> str:
    if metric in SPEEDS:
        return "as fast"
    label = MEANINGS[metric].label
    return f"as good in {label if label[:2].isupper() else label[0].lower() + label[1:]}"


def _percent(ratio: float) -> str:
    """A ratio above 1 as the difference that it is: 1.05 is 5 %; from twofold on as a factor."""
    if ratio >= 2:
        return f"{ratio:.3g}×"
    return f"{100 * (ratio - 1):.2g} %"


def _chance(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"
