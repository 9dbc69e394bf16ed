"""Which answers are assessed, against the generator worked out by hand."""

from __future__ import annotations

import hashlib

import pytest

from oildrop.rules.formulas.assessed import SPARSE, picked, words_of

MASK = 2**64 - 1


def philox(key: tuple[int, int], counter: int) -> int:
    """First word of Philox4x64-10 as its paper has it; NumPy counts up before it draws."""
    (k0, k1), (c0, c1, c2, c3) = key, (counter + 1, 0, 0, 0)
    for _ in range(10):
        p0, p1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (p1 >> 64) ^ c1 ^ k0, p1 & MASK, (p0 >> 64) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return c0


def test_words_are_those_of_the_papers_generator() -> None:
    key = (4711, int.from_bytes(hashlib.sha256(b"assess").digest()[:8], "little"))
    assert words_of(4711, 3, 20).tolist() == [philox(key, counter) for counter in range(3, 23)]


@pytest.mark.parametrize(("count", "expected"), [(0, 0), (2, 2), (8, 3), (20, 5), (40, 10), (400, 10)])
def test_one_in_share_within_least_and_most(count: int, expected: int) -> None:
    assert len(picked(5, range(count), share=4, least=3, most=10)) == expected


def test_far_apart_numbers_are_picked_by_the_same_words() -> None:
    near = list(range(0, 700, 7))
    far = [*near, SPARSE * 200]
    assert picked(3, far, share=1, least=1, most=10) == sorted(
        sorted(far, key=lambda index: int(words_of(3, index, 1)[0]))[:10]
    )
