"""Random numbers as integers alone: the same bits on every machine and framework.

Everything random in a workload (weights, data, order) comes from NumPy's Philox counter
generator read as raw 64-bit words, so that no framework's generator and no libm rounding
enters. A stream is addressed by (seed, name).

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x64-10).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.formulas.words import WORDS_PER_BLOCK as WORDS_PER_BLOCK
from oildrop.rules.formulas.words import raw_words as raw_words

LANE_BITS = 21


def bell_weights(seed: int, name: str, shape: tuple[int, ...], std: float) -> NDArray[np.float32]:
    """fp32 weights of mean 0 and standard deviation `std`, close to normal (bounded at 3 std).

    Three 21-bit lanes of one word are summed. Twice the sum less its mean is an odd integer below 2^23
    in magnitude, exact in fp32, with standard deviation 2^21 (1 - 2^-42)^0.5; one correctly rounded fp32
    multiplication by std/2^21 follows. A shard of the tensor starts at any multiple of four elements.
    """
    count = int(np.prod(shape, dtype=np.int64))
    words = raw_words(seed, "weights/" + name, first_block=0, count=count)
    mask = np.uint64(2**LANE_BITS - 1)
    lanes = sum(((words >> np.uint64(LANE_BITS * k)) & mask).astype(np.int64) for k in range(3))
    centred = 2 * lanes - 3 * (2**LANE_BITS - 1)
    scale = np.float32(std / 2**LANE_BITS)
    return (centred.astype(np.float32) * scale).reshape(shape)


def permutation(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """A uniform order of `count` items for one epoch: raw words sorted, ties by index."""
    words = raw_words(seed, f"order/{epoch}", first_block=0, count=count)
    return np.argsort(words, kind="stable").astype(np.int64)
