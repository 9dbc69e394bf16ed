"""What a framework must do for a network that answers in one pass: a batch goes in, one row an item comes out.

Which requests make a batch is decided free of any framework (`one_pass.py`); gates ask the same method, so that what is
checked is what is timed.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Inputs, Weights

ITEM_BYTES = {"fp32": 4, "bf16": 2}


class Forward(Protocol):
    """A network on one device. `make_forward(settings, device)` stores both and nothing else.

    `execution.dtype` is `fp32` (strict: no shortened products, whatever the framework's default) or `bf16` (matrix
    products in bfloat16, all else in fp32, as in training). Graphs of one shape are asked for batches of `batch_sizes`
    alone: engines fill up what is between.
    """

    def build(self) -> None:
        """Make the graphs; each exists once `run` was asked for its shape.

        Raises:
            Unsupported: `execution.compile` or `execution.threads` cannot be had here; says what to take instead.
        """

    def set_weights(self, weights: Weights) -> None:
        """Give the network these weights, fp32 by canonical name; matrices of products are cast once."""

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """The network's outputs, float32 [B, …] on the host, of a batch of any size from 1 to `execution.slots`."""


def batch_sizes(slots: int) -> tuple[int, ...]:
    """1, 2, 4, … and `slots`: a batch is at most filled up to twice its size."""
    return (*(2**power for power in range(math.ceil(math.log2(slots)))), slots)


def filled(inputs: Inputs, sizes: tuple[int, ...]) -> Inputs:
    """`inputs` with their first item again behind them, up to the next of `sizes`."""
    count = len(inputs[0])
    size = next(size for size in sizes if size >= count)
    if size == count:
        return inputs
    return tuple(np.concatenate((array, np.repeat(array[:1], size - count, axis=0))) for array in inputs)


def weight_bytes(shapes: Mapping[str, tuple[int, ...]], products: Container[str], dtype: str) -> int:
    """Bytes that a pass reads of tensors of these `shapes`; those in `products` are kept in `dtype`, others in fp32."""
    return sum(math.prod(shape) * ITEM_BYTES[dtype if name in products else "fp32"] for name, shape in shapes.items())


def pieces(count: int, slots: int) -> list[range]:
    """`count` items in batches for a gate: a full one, one item, and one that must be filled up, again and again.

    Where there are fewer than two full ones, the first takes half of them.
    """
    most = min(slots, max(count // 2, 1))
    sizes = (most, 1, most // 2 + 1)
    found: list[range] = []
    start = 0
    while start < count:
        stop = min(start + sizes[len(found) % len(sizes)], count)
        found.append(range(start, stop))
        start = stop
    return found
