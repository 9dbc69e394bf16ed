from __future__ import annotations

import numpy as np
import pytest
from sklearn import datasets

from oildrop.rules.errors import RulebookError
from oildrop.workloads.image_classify import data
from oildrop.workloads.image_classify.data import Digits


def as_rows(digits: Digits) -> list[bytes]:
    return sorted(image.tobytes() + label.tobytes() for image, label in zip(digits.images, digits.labels, strict=True))


def test_the_digits_are_those_of_scikit_learn_as_integers(digits: Digits) -> None:
    flat, target = datasets.load_digits(return_X_y=True)
    assert digits.images.shape == (1797, 8, 8)
    assert np.array_equal(digits.images.reshape(1797, 64), flat)
    assert np.array_equal(digits.labels, target)
    assert (digits.images.min(), digits.images.max()) == (0, 16)


def test_other_data_are_refused_with_both_hashes_and_the_version(digits: Digits) -> None:
    import sklearn

    found = data.digits_sha256(digits)
    with pytest.raises(RulebookError, match="feed") as caught:
        data.load_digits("feed")
    assert found in str(caught.value)
    assert sklearn.__version__ in str(caught.value)


def test_one_changed_pixel_or_label_changes_the_hash(digits: Digits) -> None:
    pixel, label = digits.images.copy(), digits.labels.copy()
    pixel[1796, 7, 7] += 1
    label[0] += 1
    hashes = {data.digits_sha256(d) for d in (digits, Digits(images=pixel, labels=digits.labels))}
    hashes.add(data.digits_sha256(Digits(images=digits.images, labels=label)))
    assert len(hashes) == 3


def test_split_is_36_of_each_digit_and_all_the_rest(digits: Digits) -> None:
    train, held_out = data.split(digits, seed=1, held_out_per_class=36)
    assert (len(train), len(held_out)) == (1437, 360)
    assert np.bincount(held_out.labels).tolist() == [36] * 10
    assert np.array_equal(np.bincount(train.labels) + 36, np.bincount(digits.labels))
    assert sorted(as_rows(train) + as_rows(held_out)) == as_rows(digits)


def test_split_is_the_first_of_each_digit_in_sorted_word_order(digits: Digits) -> None:
    from oildrop.workloads.integers import raw_words

    words = raw_words(7, "order/0", first_block=0, count=1797).tolist()
    left = {digit: 2 for digit in range(10)}
    chosen = []
    for index in sorted(range(1797), key=lambda i: words[i]):
        digit = int(digits.labels[index])
        if left[digit]:
            left[digit] -= 1
            chosen.append(index)
    held_out = data.split(digits, seed=7, held_out_per_class=2)[1]
    assert np.array_equal(held_out.images, digits.images[sorted(chosen)])


@pytest.mark.parametrize("count", [0, 174, 1000])
def test_a_split_without_training_or_held_out_images_is_refused(digits: Digits, count: int) -> None:
    with pytest.raises(RulebookError, match=r"between 1 and 173"):
        data.split(digits, seed=1, held_out_per_class=count)
