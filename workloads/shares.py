"""How several devices share a batch: equal parts in order, every mean what it was.

Every rank makes and hashes the whole batch and then takes its part, which proves that all ranks consumed the same
data. Where batches are dear to make, on thousands of devices, each rank would make its own part alone.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np

from oildrop.workloads.engine import Inputs

T = TypeVar("T")


class Placed(tuple[T, ...]):
    """What lies on one device or on all of them, of a batch of `items` items."""

    items: int


def placed(tensors: tuple[T, ...], items: int) -> Placed[T]:
    """The tensors, knowing how many items the whole batch had before it was repeated."""
    made = Placed(tensors)
    made.items = items
    return made


def items_of(inputs: Inputs) -> int:
    """Length of the first axis."""
    return len(inputs[0])


def repeated(inputs: Inputs, ranks: int) -> Inputs:
    """The batch as often in a row as makes it divide evenly among `ranks`; means over it stay what they were.

    Training batches divide as they are (`oildrop run` refuses others); evaluations and gates may not.
    """
    times = math.lcm(items_of(inputs), ranks) // items_of(inputs)
    return inputs if times == 1 else tuple(np.concatenate([array] * times) for array in inputs)


def share(inputs: Inputs, rank: int, ranks: int) -> Inputs:
    """The part of `inputs`, repeated where need be, that is rank `rank`'s among `ranks`."""
    whole = repeated(inputs, ranks)
    size = items_of(whole) // ranks
    return tuple(array[rank * size : (rank + 1) * size] for array in whole)
