"""Random 64-bit words as integers: the same on every machine and framework, and for every judge.

They are those of NumPy's Philox counter generator read raw. A stream is addressed by (seed, name); `advance(n)` on it
skips n blocks of four words.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x64-10).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORDS_PER_BLOCK = 4


def stream(seed: int, name: str) -> np.random.Philox:
    """The Philox stream of (seed, name), at its first block.

    The key is (seed, first 64 bits of SHA-256(name)); the counter starts at zero.
    """
    import numpy as np

    tag = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    key = np.array([seed, tag], dtype=np.uint64)
    return np.random.Philox(key=key, counter=0)


def raw_words(seed: int, name: str, *, first_block: int, count: int) -> NDArray[np.uint64]:
    """`count` 64-bit words of the stream, from block `first_block` on (four words a block)."""
    generator = stream(seed, name)
    if first_block:
        generator.advance(first_block)
    return generator.random_raw(count)
