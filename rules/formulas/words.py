"""Random 64-bit words as integers: the same on every machine and framework, and for every judge.

They are those of NumPy's Philox counter generator read raw. A stream is addressed by (seed, name).

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x64-10).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS_PER_BLOCK = 4


_IDLE: list[np.random.Philox] = []
"""Generators that nobody draws from: to make one takes four times as long as to set one."""


def raw_words(seed: int, name: str, *, first_block: int, count: int) -> NDArray[np.uint64]:
    """`count` 64-bit words of the stream (seed, name), from block `first_block` on (four words a block).

    The key is (seed, first 64 bits of SHA-256(name)); the counter starts at zero.
    """
    tag = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    limbs = tuple(first_block >> (64 * place) & (2**64 - 1) for place in range(4))
    try:
        generator = _IDLE.pop()
    except IndexError:
        generator = _new_generator()
    generator.state = {
        "bit_generator": "Philox",
        "state": {"counter": limbs, "key": (seed, tag)},  # type: ignore[typeddict-item]  # any sequence does
        "buffer": (0, 0, 0, 0),  # type: ignore[typeddict-item]
        "buffer_pos": WORDS_PER_BLOCK,  # none left
        "has_uint32": 0,
        "uinteger": 0,
    }
    words = generator.random_raw(count)
    _IDLE.append(generator)
    return words


def _new_generator() -> np.random.Philox:
    import numpy as np

    return np.random.Philox(0)
