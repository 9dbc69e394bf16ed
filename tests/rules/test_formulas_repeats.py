"""The sign test on pairs: exact by counting, and quiet on a busy machine whatever its noise."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.rules.formulas.repeats import CHANCE, LEAST_PAIRS, MARGIN, least_over, speedup

PAIRS = 24
PROBES = 20_000


@pytest.mark.parametrize("pairs", [10, 11, 16, 24, 40])
def test_as_many_must_be_over_as_coins_would_be_heads_once_in_a_thousand(pairs: int) -> None:
    def heads(least: int) -> float:
        return sum(comb(pairs, k) for k in range(least, pairs + 1)) / 2**pairs

    assert heads(least_over(pairs)) <= CHANCE < heads(least_over(pairs) - 1)


def test_ten_pairs_are_the_fewest_that_can_tell() -> None:
    assert 2.0**-LEAST_PAIRS <= CHANCE < 2.0 ** -(LEAST_PAIRS - 1)
    assert speedup([2] * 9, [1] * 9) is None
    found = speedup([2] * 10, [1] * 10)
    assert found is not None and found.is_from_a_cache
    some = speedup([2] * 9 + [1], [1] * 10)
    assert some is not None and (some.value, some.low, some.is_from_a_cache) == (2.0, 1.0, False)


def test_times_of_nothing_and_of_unlike_number_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0 ns"):
        speedup([1] * 10, [0] * 10)
    with pytest.raises(ValueError, match="shorter"):
        speedup([1] * 10, [1] * 9)


def alarms(ratios: NDArray[np.float64]) -> int:
    """Probes [N, pairs] in which enough ratios new / repeated lie over the margin."""
    return int(((ratios > MARGIN).sum(axis=1) >= least_over(PAIRS)).sum())


def noise(name: str, generator: np.random.Generator) -> NDArray[np.float64]:
    """Times [N, pairs, 2] of two requests alike, one right after the other."""
    shape = (PROBES, PAIRS, 2)
    if name == "lognormal":
        return np.asarray(generator.lognormal(0, 0.5, shape))
    if name == "heavy":
        return 1 + generator.pareto(1.1, shape)
    if name == "bursts":  # half of the time another process has the core, for a few requests on end
        busy = generator.random((PROBES, PAIRS * 2 // 6)) < 0.5
        return (1 + 2.0 * np.repeat(busy, 6, axis=1).reshape(shape)) * generator.lognormal(0, 0.1, shape)
    drift = np.linspace(3.0, 1.0, PAIRS * 2).reshape(1, PAIRS, 2)  # it gets faster all the while
    return drift * generator.lognormal(0, 0.05, shape)


@pytest.mark.parametrize("name", ["lognormal", "heavy", "bursts", "drift"])
def test_a_machine_without_a_cache_raises_an_alarm_in_less_than_1_of_1000_probes(name: str) -> None:
    generator = np.random.default_rng(5)
    times = noise(name, generator)
    new_first = generator.random((PROBES, PAIRS)) < 0.5
    new = np.where(new_first, times[..., 0], times[..., 1])
    repeated = np.where(new_first, times[..., 1], times[..., 0])
    assert alarms(new / repeated) <= PROBES * CHANCE / 4


def test_at_the_margin_itself_the_chance_is_the_binomials() -> None:
    ratios = MARGIN * np.random.default_rng(6).lognormal(0, 0.3, (PROBES * 5, PAIRS))
    expected = sum(comb(PAIRS, k) for k in range(20, 25)) / 2**PAIRS
    assert alarms(ratios) / (PROBES * 5) == pytest.approx(expected, rel=0.35)
    assert expected <= CHANCE


def test_a_cache_that_saves_a_third_is_nearly_always_found() -> None:
    ratios = 1.5 * np.random.default_rng(7).lognormal(0, 0.3, (PROBES, PAIRS))
    assert alarms(ratios) > 0.7 * PROBES
