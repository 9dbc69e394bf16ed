"""Equal parts of a batch: nothing lost, and every mean what it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.workloads.shares import items_of, placed, repeated, share


def test_parts_that_divide_are_the_batch_in_order() -> None:
    tokens, labels = np.arange(24).reshape(8, 3), np.arange(8)
    parts = [share((tokens, labels), rank, 4) for rank in range(4)]
    assert [part[0].tolist() for part in parts[:1]] == [[[0, 1, 2], [3, 4, 5]]]
    assert np.array_equal(np.concatenate([part[0] for part in parts]), tokens)
    assert [part[1].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_batch_that_divides_is_not_copied() -> None:
    whole = (np.arange(8),)
    assert repeated(whole, 4) is whole


@pytest.mark.parametrize(("items", "ranks", "each"), [(1, 8, 1), (4, 8, 1), (4, 6, 2), (6, 4, 3)])
def test_what_does_not_divide_is_repeated_whole(items: int, ranks: int, each: int) -> None:
    parts = [share((np.arange(items),), rank, ranks)[0] for rank in range(ranks)]
    assert [len(part) for part in parts] == [each] * ranks


@given(items=st.integers(1, 40), ranks=st.integers(1, 16))
def test_the_mean_of_the_parts_means_is_the_batchs_mean(items: int, ranks: int) -> None:
    values = np.random.default_rng(items).integers(-1000, 1000, items).astype(np.float64)
    means = [share((values,), rank, ranks)[0].mean() for rank in range(ranks)]
    assert np.mean(means) == pytest.approx(values.mean(), abs=1e-9)
    gathered = np.concatenate([share((values,), rank, ranks)[0] for rank in range(ranks)])
    assert np.array_equal(gathered[:items], values)


def test_what_is_placed_knows_the_batch_it_is_part_of() -> None:
    inputs = placed((1, 2), items_of((np.zeros((5, 2)),)))
    assert (tuple(inputs), inputs.items) == ((1, 2), 5)
