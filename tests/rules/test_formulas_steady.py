"""The test for a change of rate: its variance by the whole covariance matrix, its false alarms by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from oildrop.rules.formulas.steady import CHANCE, CORRELATION, _noise_variance, _variance_factor, trend

RUNS = 400


def correlated(rng: np.random.Generator, count: int, correlation: float, spread: float) -> np.ndarray:
    """RUNS series of normal noise in which each value keeps `correlation` of the one before it."""
    fresh = rng.standard_normal((RUNS, count + 50)) * math.sqrt(1 - correlation**2)
    for k in range(1, count + 50):
        fresh[:, k] += correlation * fresh[:, k - 1]
    return spread * fresh[:, 50:]


def found_among(logs: np.ndarray) -> list[float]:
    """Ratios of the changes that are found."""
    found = [trend(rates) for rates in np.exp(logs).tolist()]
    return [each.ratio for each in found if each is not None]


@pytest.mark.parametrize("count", [12, 21, 60])
@pytest.mark.parametrize("correlation", [0.0, 0.4, 0.8])
def test_at_most_one_steady_run_in_a_hundred_is_flagged(count: int, correlation: float) -> None:
    """Of 400 runs at most 10: were 1 % the truth, more would come in under 1 case of 300 (binomial)."""
    assert stats.binom.sf(10, RUNS, 0.01) < 1 / 300
    assert len(found_among(correlated(np.random.default_rng(11), count, correlation, 0.1))) <= 10


SHAPES = {
    "line": lambda x: -0.15 * x,
    "warm-up": lambda x: np.log(1 - 0.3 * np.exp(-5 * x)),
    "step": lambda x: np.where(x < 0.4, 0.0, -0.15),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_changes_is_seen_whatever_its_shape(shape: str) -> None:
    noise = correlated(np.random.default_rng(12), 24, 0.0, 0.01)
    assert len(found_among(noise + SHAPES[shape](np.linspace(0, 1, 24)))) > 0.9 * RUNS


@pytest.mark.parametrize("count", [12, 25, 61])
def test_the_variance_is_that_of_the_covariance_matrix(count: int) -> None:
    k = count // 3
    weights = np.r_[-np.ones(k), np.zeros(count - 2 * k), np.ones(k)] / k
    covariance = CORRELATION ** np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    assert _variance_factor(count) == pytest.approx(weights @ covariance @ weights)


def test_noise_is_taken_from_neighbours() -> None:
    """Differences 1, 1, 3 and 1: without the largest their mean square is 1, over 2 (1 - 0.8)."""
    assert _noise_variance([0.0, 1.0, 2.0, 5.0, 4.0]) == pytest.approx(2.5)


def test_a_straight_line_is_a_change_and_a_level_one_is_not() -> None:
    found = trend([1.01**k for k in range(15)])
    assert found is not None and found.ratio == pytest.approx(1.01**10) and found.p < CHANCE
    assert trend([7.0] * 15) is None
    assert trend([1.01**k for k in range(11)]) is None


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_rate_makes_no_change(value: float) -> None:
    assert trend([1.01**k for k in range(20)] + [value]) is None


def test_one_very_slow_block_is_no_change() -> None:
    assert trend([0.2] + [1.0, 1.02] * 15) is None
