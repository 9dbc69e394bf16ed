from __future__ import annotations

import numpy as np
import pytest

from oildrop.workloads.image_classify import data
from oildrop.workloads.image_classify.augment import Augmentation, TrainingStream, as_input
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.integers import permutation, raw_words

AUGMENTATION = Augmentation(shift_px=1, noise=1, erase_px=2, levels=16)


@pytest.fixture(scope="module")
def train(digits: Digits) -> Digits:
    return data.split(digits, seed=1, held_out_per_class=36)[0]


def slow_augment(image: list[list[int]], words: list[int], rule: Augmentation) -> list[list[int]]:
    """The rule once more, a pixel at a time in Python integers."""
    lanes = [(words[0] >> (16 * k)) % 65536 for k in range(4)]
    down, right = (lanes[k] * (2 * rule.shift_px + 1) // 65536 - rule.shift_px for k in (0, 1))
    top, left = (lanes[k] * (9 - rule.erase_px) // 65536 for k in (2, 3))
    result = []
    for r in range(8):
        row = []
        for c in range(8):
            inside = 0 <= r - down < 8 and 0 <= c - right < 8
            ink = image[r - down][c - right] if inside else 0
            if rule.noise:
                pixel = 8 * r + c
                ink += (words[1] >> pixel) % 2 - (words[2] >> pixel) % 2
                ink = min(16, max(0, ink))
            if top <= r < top + rule.erase_px and left <= c < left + rule.erase_px:
                ink = 0
            row.append(ink)
        result.append(row)
    return result


@pytest.mark.parametrize("rule", [AUGMENTATION, Augmentation(shift_px=2, noise=0, erase_px=3, levels=16)])
def test_augmentation_equals_a_scalar_version_bit_for_bit(train: Digits, rule: Augmentation) -> None:
    found = TrainingStream(train, rule, 5).samples(1437 + 40, 64).images
    for k in range(64):
        image = train.images[permutation(5, 1, 1437)[40 + k]].tolist()
        words = [int(word) for word in raw_words(5, "augment/1", first_block=40 + k, count=4)]
        assert found[k].tolist() == slow_augment(image, words, rule)


def test_no_augmentation_leaves_the_images_alone(train: Digits) -> None:
    plain = TrainingStream(train, Augmentation(shift_px=0, noise=0, erase_px=0, levels=16), 3).samples(0, 100)
    assert np.array_equal(plain.images, train.images[permutation(3, 0, 1437)[:100]])


def test_any_sample_can_be_made_without_those_before_it(train: Digits) -> None:
    whole = TrainingStream(train, AUGMENTATION, 11).samples(0, 3000)
    for first, count in [(0, 1), (1, 7), (1430, 20), (1436, 1), (1437, 5), (2870, 128)]:
        part = TrainingStream(train, AUGMENTATION, 11).samples(first, count)
        assert np.array_equal(part.images, whole.images[first : first + count])
        assert np.array_equal(part.labels, whole.labels[first : first + count])


def test_an_epoch_holds_every_image_once_and_epochs_and_seeds_differ(train: Digits) -> None:
    plain = Augmentation(shift_px=0, noise=0, erase_px=0, levels=16)
    epochs = [TrainingStream(train, plain, seed).samples(first, 1437) for seed, first in [(1, 0), (1, 1437), (2, 0)]]
    contents = [sorted(image.tobytes() for image in epoch.images) for epoch in epochs]
    assert contents[0] == contents[1] == contents[2] == sorted(image.tobytes() for image in train.images)
    assert len({epoch.images.tobytes() for epoch in epochs}) == 3


def test_shifts_noise_and_erasure_come_as_often_as_they_should() -> None:
    count = 40_000
    words = raw_words(9, "test", first_block=0, count=4 * count).reshape(count, 4)
    grey = np.full((count, 8, 8), 8, dtype=np.int32)
    noise = Augmentation(shift_px=0, noise=1, erase_px=0, levels=16).apply(grey, words) - 8
    shares = [(noise == level).mean() for level in (-1, 0, 1)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.002)
    shifted = Augmentation(shift_px=1, noise=0, erase_px=0, levels=16).apply(grey, words)
    # Paper in the whole top row means one pixel down: one image in three.
    assert (shifted[:, 0] == 0).all(axis=1).mean() == pytest.approx(1 / 3, abs=0.01)
    erased = Augmentation(shift_px=0, noise=0, erase_px=2, levels=16).apply(grey, words)
    assert ((erased == 0).sum(axis=(1, 2)) == 4).all()
    # A corner is erased by one of 7 x 7 places, an inner pixel by four.
    assert (erased[:, 0, 0] == 0).mean() == pytest.approx(1 / 49, abs=0.003)
    assert (erased[:, 3, 4] == 0).mean() == pytest.approx(4 / 49, abs=0.006)


def test_inputs_are_exact_eighths_between_minus_one_and_one() -> None:
    ink = np.arange(17, dtype=np.int32).reshape(1, 1, 17)
    values = as_input(ink, 16)
    assert values.dtype == np.float32
    assert values.ravel().tolist() == [(k - 8) / 8 for k in range(17)]
