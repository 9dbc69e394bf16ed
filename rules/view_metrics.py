"""Metrics that views work out of judged ones: what configurations cost and emit, and how often they succeed.

They need a price or a grid of a day, so no judgement holds them and no bundle carries them.
"""

from __future__ import annotations

from oildrop.rules.catalogue import CATALOGUE
from oildrop.rules.metric_meaning import EVERY, SERVE, TRAIN, MetricMeaning

CURRENCY = "¤"
"""Stands in a unit for the currency of the price."""

_M = MetricMeaning

VIEW_METRICS: dict[str, MetricMeaning] = {
    "cost_run": _M(
        label="Cost a run", unit="¤", better="lower", kinds=EVERY,
        text="Price of the hardware over the whole attempt, set-up included; of runs that ended ok.",
    ),
    "cost_to_target": _M(
        label="Cost to target", unit="¤", better="lower", kinds=TRAIN,
        text="Price over the expected time to a success: all time of all attempts over the successes. Where all "
        "succeeded, the geometric mean of what they took.",
    ),
    "cost_per_million_tokens": _M(
        label="Cost a million tokens", unit="¤/Mtoken", better="lower", kinds=EVERY,
        text="Price over the steady rate of training tokens, of a served run of output tokens; times all time over "
        "the time of successes where attempts failed.",
    ),
    "cost_per_million_requests": _M(
        label="Cost a million requests", unit="¤/Mrequest", better="lower", kinds=SERVE,
        text="As a million tokens, of requests answered in full.",
    ),
    "carbon_run_g": _M(
        label="Carbon a run", unit="gCO2e", better="lower", kinds=EVERY,
        text="Measured energy from run_start to run_stop, at its meter's scope, times what the grid emits.",
    ),
    "carbon_per_million_tokens_g": _M(
        label="Carbon a million tokens", unit="gCO2e/Mtoken", better="lower", kinds=EVERY,
        text="Energy a token times what the grid emits.",
    ),
    "expected_time_to_success_s": _M(
        label="Expected time to a success", unit="s", better="lower", kinds=EVERY,
        text="All time of all attempts over the successes, set-up included.",
    ),
    "success_rate": _M(
        label="Success rate", unit="1", better="higher", kinds=EVERY,
        text="Attempts that ended ok over all that count, with Wilson's interval.",
    ),
}  # fmt: skip

MEANINGS: dict[str, MetricMeaning] = {**CATALOGUE, **VIEW_METRICS}
"""Every metric that a comparison may be made by."""

FORMULAS = {
    "cost_run": "cost_run/1",
    "cost_to_target": "cost_to_target/1",
    "cost_per_million_tokens": "cost_per_million/1",
    "cost_per_million_requests": "cost_per_million/1",
    "carbon_run_g": "carbon/1",
    "carbon_per_million_tokens_g": "carbon/1",
    "expected_time_to_success_s": "expected_time/1",
    "success_rate": "wilson/1",
}


def unit_of(name: str, currency: str) -> str:
    """The metric's unit, with `currency` where it is money."""
    return MEANINGS[name].unit.replace(CURRENCY, currency)
