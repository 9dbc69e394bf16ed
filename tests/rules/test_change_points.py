"""Change points: no more false alarms than promised, and changes found where they were made."""

import itertools
import math

import numpy as np
import pytest

from oildrop.rules.change_points import change_points


@pytest.mark.parametrize("shape", ["normal", "heavy", "rounded"])
def test_a_history_without_a_change_seldom_shows_one(shape):
    dice, histories = np.random.default_rng(1979), 300
    draw = {
        "normal": lambda: 0.03 * dice.standard_normal(12),
        "heavy": lambda: 0.03 * dice.standard_t(2, 12),
        "rounded": lambda: 0.02 * np.round(0.7 * dice.standard_normal(12)),
    }[shape]
    alarms = sum(bool(change_points(list(20 * np.exp(draw())))) for _ in range(histories))
    assert alarms / histories <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / histories)


def test_changes_are_found_where_they_were_made():
    dice = np.random.default_rng(3)
    levels = np.repeat([20.0, 25.0, 18.0], 8)
    first, second = change_points(list(levels * np.exp(0.02 * dice.standard_normal(24))))
    assert (first.index, second.index) == (8, 16)
    assert first.ratio == pytest.approx(25 / 20, rel=0.03)
    assert second.ratio == pytest.approx(18 / 25, rel=0.03)


def test_the_chance_equals_that_of_all_orders():
    values = np.array([10.0, 10.4, 9.9, 10.2, 12.0, 12.5, 11.9, 12.2])
    orders = np.log(np.array(list(itertools.permutations(values))))
    steps = [
        np.abs(orders[:, :k].mean(axis=1) - orders[:, k:].mean(axis=1)) / math.sqrt(1 / k + 1 / (8 - k))
        for k in range(1, 8)
    ]
    greatest = np.max(steps, axis=0)
    share = float((greatest >= greatest[0] * (1 - 1e-9)).mean())  # the first order is the one given
    (found,) = change_points(list(values))
    assert found.index == 4
    assert found.p_value == pytest.approx(share, abs=3 * math.sqrt(share / 2000) + 1 / 2000)


@pytest.mark.parametrize("values", [[], [10.0], [10.0, 20.0, 30.0], [10.0] * 12])
def test_too_few_or_equal_values_show_no_change(values):
    assert change_points(values) == ()


def test_the_same_history_is_always_read_alike():
    values = list(np.exp(0.1 * np.random.default_rng(8).standard_normal(20)))
    assert change_points(values) == change_points(values)
    scaled = change_points([1000 * value for value in values])
    assert [each.index for each in scaled] == [each.index for each in change_points(values)]
