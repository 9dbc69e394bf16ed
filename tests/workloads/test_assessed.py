"""Which answers are assessed, and that exactly their outputs are still there when a run ends."""

from __future__ import annotations

import numpy as np
import pytest

from oildrop.workloads.assessed import Kept, assessed
from oildrop.workloads.integers import raw_words

SHARES = {"assess.share": 4, "assess.least": 3, "assess.most": 10}


def words(seed: int, count: int) -> list[int]:
    """The first word of every block of four, drawn one after the other."""
    return raw_words(seed, "assess", first_block=0, count=4 * count)[::4].tolist()


@pytest.mark.parametrize(("answered", "expected"), [(0, 0), (2, 2), (8, 3), (20, 5), (40, 10), (400, 10)])
def test_one_in_share_within_least_and_most(answered: int, expected: int) -> None:
    assert len(assessed(5, range(answered), SHARES)) == expected


def test_the_smallest_words_are_chosen_in_order_of_their_requests() -> None:
    of = words(9, 100)
    smallest = sorted(range(100), key=of.__getitem__)[:10]
    assert assessed(9, range(100), SHARES) == sorted(smallest)


def test_another_seed_chooses_others() -> None:
    assert assessed(1, range(100), SHARES) != assessed(2, range(100), SHARES)


@pytest.mark.parametrize("ended", [1, 5, 9, 10, 11, 63, 200])
def test_whenever_a_run_ends_the_chosen_outputs_were_kept(ended: int) -> None:
    order = np.random.default_rng(3).permutation(ended)
    kept = Kept(7, most=10)
    for piece in np.array_split(order, 4):
        kept.keep(piece.tolist(), np.stack([piece, piece**2], axis=1) if len(piece) else np.empty((0, 2)))
    chosen = assessed(7, range(ended), SHARES)
    assert kept.outputs(chosen).tolist() == [[index, index**2] for index in chosen]


def test_no_more_is_kept_than_may_be_assessed() -> None:
    kept = Kept(7, most=10)
    kept.keep(range(5000), np.arange(5000.0)[:, None])
    assert len(kept._outputs) == 10


def test_what_is_kept_does_not_change_with_the_batch_it_came_in() -> None:
    batch = np.ones((1, 2))
    kept = Kept(7, most=10)
    kept.keep([0], batch)
    batch[:] = 0.0
    assert kept.outputs([0]).tolist() == [[1.0, 1.0]]


def test_the_first_output_of_a_request_that_is_asked_again_stays() -> None:
    kept = Kept(7, most=10)
    for time in range(3):
        kept.keep(range(40), np.full((40, 1), float(time)))
    assert kept.outputs(assessed(7, range(40), SHARES)).tolist() == [[0.0]] * 10
