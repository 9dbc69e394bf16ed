"""Weights and orders from integers: exact, with the stated moments, and the same from any shard."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest

from oildrop.workloads.integers import WORDS_PER_BLOCK, bell_weights, permutation, raw_words

MASK64 = 2**64 - 1


def philox_block(counter: int, key: tuple[int, int]) -> list[int]:
    """One block of Philox4x64-10 in Python integers, from the constants of Salmon et al., SC 2011."""
    x = [(counter >> 64 * i) & MASK64 for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(p1 >> 64) ^ x[1] ^ k0, p1 & MASK64, (p0 >> 64) ^ x[3] ^ k1, p0 & MASK64]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK64, (k1 + 0xBB67AE8584CAA73B) & MASK64
    return x


def expected_words(seed: int, name: str, count: int) -> list[int]:
    tag = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    blocks = -(-count // WORDS_PER_BLOCK)
    # NumPy adds one to the counter before it makes a block.
    return [word for block in range(blocks) for word in philox_block(block + 1, (seed, tag))][:count]


def rounded_to_fp32(value: Fraction) -> float:
    """The nearest fp32, ties to even, worked out without floating point (for magnitudes in the normal range)."""
    if value == 0:
        return 0.0
    exponent = math.floor(math.log2(abs(value)))
    unit = Fraction(2) ** (exponent - 23)
    return float(round(value / unit) * unit)


@pytest.mark.parametrize(("seed", "name"), [(0, "a"), (2**53 - 1, "layers.3.down_OI")])
def test_raw_words_are_philox_by_its_paper(seed: int, name: str) -> None:
    assert raw_words(seed, name, first_block=0, count=11).tolist() == expected_words(seed, name, 11)


def test_a_stream_can_be_entered_at_any_block() -> None:
    whole = raw_words(5, "x", first_block=0, count=40)
    for block in (1, 3, 9):
        assert raw_words(5, "x", first_block=block, count=4).tolist() == whole[4 * block : 4 * block + 4].tolist()


@pytest.mark.parametrize("std", [0.06, 1.0, 0.0883883476])
def test_bell_weights_are_the_correctly_rounded_product_of_an_exact_integer(std: float) -> None:
    scale = Fraction(float(np.float32(std / 2**21)))
    expected = []
    for word in expected_words(7, "weights/w", 300):
        lanes = sum(word >> 21 * lane & (2**21 - 1) for lane in range(3))
        expected.append(rounded_to_fp32((2 * lanes - 3 * (2**21 - 1)) * scale))
    found = bell_weights(7, "w", (3, 100), std)
    assert found.dtype == np.float32
    assert found.ravel().astype(np.float64).tolist() == expected


def test_bell_weights_have_the_stated_moments() -> None:
    count = 400_000
    weights = bell_weights(1, "moments", (count,), 0.5).astype(np.float64) / 0.5
    # A sum of three uniforms: variance 1, excess kurtosis -0.4, bounded at 3.
    assert abs(weights.mean()) < 4 / math.sqrt(count)
    assert abs(weights.var() - 1) < 4 * math.sqrt((2.6 - 1) / count)
    assert abs((weights**4).mean() - 2.6) < 0.03
    assert np.abs(weights).max() <= 3


def test_a_shard_of_a_tensor_is_the_tensors_own_words() -> None:
    whole = raw_words(3, "weights/t", first_block=0, count=1000)
    shard = raw_words(3, "weights/t", first_block=50, count=100)
    assert shard.tolist() == whole[200:300].tolist()
    first, second = bell_weights(3, "t", (10, 100), 0.1), bell_weights(3, "t", (1000,), 0.1)
    assert first.ravel().tolist() == second.tolist()


def test_tensors_of_other_names_and_seeds_share_nothing() -> None:
    base = bell_weights(3, "t", (1000,), 1.0).astype(np.float64)
    for other in (bell_weights(3, "u", (1000,), 1.0), bell_weights(4, "t", (1000,), 1.0)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.15


def test_a_permutation_holds_each_index_once_and_depends_on_seed_and_epoch() -> None:
    order = permutation(9, 2, 1000)
    assert sorted(order.tolist()) == list(range(1000))
    words = expected_words(9, "order/2", 1000)
    assert order.tolist() == sorted(range(1000), key=lambda index: words[index])
    assert order.tolist() != permutation(9, 3, 1000).tolist()
    assert order.tolist() != permutation(8, 2, 1000).tolist()


def test_permutations_are_uniform() -> None:
    """The item in front is each of six equally often: chi-squared with five degrees of freedom, 20.5 at p = 0.001."""
    counts = np.bincount([permutation(1, epoch, 6)[0] for epoch in range(1200)], minlength=6)
    assert ((counts - 200) ** 2 / 200).sum() < 20.5
