"""Drawn tokens follow the model's distribution, and the same seed draws the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from oildrop.workloads.integers import raw_words
from oildrop.workloads.lm_generate.sampling import Greedy, Seeded, cumulative, draw, sampler_of


class Fixed:
    """Logits that are there already."""

    def logits(self, handle: Any) -> Any:
        return handle

    def greedy(self, handle: Any) -> Any:
        return handle.argmax(axis=-1).astype(np.int32)


@pytest.mark.parametrize("place", [0, 3, 4, 9])
def test_a_draw_is_its_words_upper_53_bits(place: int) -> None:
    word = int(raw_words(4, "sampling/17", first_block=0, count=12)[place])
    assert draw(4, 17, place) == (word >> 11) / 2**53


def test_the_distribution_function_by_hand() -> None:
    logits = np.log(np.array([[1.0, 4.0, 9.0, 2.0]], dtype=np.float64))
    assert cumulative(logits, 1.0) == pytest.approx(np.array([[1, 5, 14, 16]]) / 16)
    # Temperature 2 takes roots: 1, 2, 3, sqrt 2.
    assert cumulative(logits, 2.0) == pytest.approx(np.cumsum([[1, 2, 3, 2**0.5]])[None] / (6 + 2**0.5))


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_drawn_tokens_follow_the_model(temperature: float) -> None:
    logits_V = np.array([0.3, -1.0, 1.2, 0.0, -0.4], dtype=np.float32)
    engine: Any = Fixed()
    places = [(index, place) for index in range(500) for place in range(8)]
    found = Seeded(21, temperature).choose(engine, np.tile(logits_V, (len(places), 1)), places)
    shares = np.exp(logits_V.astype(np.float64) / temperature)
    expected = shares / shares.sum() * len(places)
    assert chisquare(np.bincount(found, minlength=5), expected).pvalue > 1e-3
    assert np.array_equal(found, Seeded(21, temperature).choose(engine, np.tile(logits_V, (len(places), 1)), places))
    assert not np.array_equal(
        found, Seeded(22, temperature).choose(engine, np.tile(logits_V, (len(places), 1)), places)
    )


def test_a_cold_model_says_its_likeliest_token() -> None:
    logits = np.array([[0.0, 3.0, 1.0]], dtype=np.float32)
    engine: Any = Fixed()
    assert Seeded(1, 0.01).choose(engine, logits, [(0, 0)]).tolist() == [1]
    assert isinstance(sampler_of({"sampling.method": "greedy"}, 1), Greedy)
    assert Greedy().choose(engine, logits, [(0, 0)]).tolist() == [1]
