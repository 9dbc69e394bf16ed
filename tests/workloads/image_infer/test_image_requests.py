"""The stream of images that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from oildrop.workloads.image_classify import data
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_infer import requests as image_requests
from oildrop.workloads.image_infer.requests import Requests
from oildrop.workloads.integers import permutation

UNCHANGED = {"data.shift_px": 0, "data.noise": 0, "data.erase_px": 0}


@pytest.fixture(scope="module")
def held_out(infer_settings: dict[str, Any]) -> Digits:
    return data.load(infer_settings)[1]


def test_no_image_of_the_stream_comes_twice(infer_settings: dict[str, Any], held_out: Digits) -> None:
    images = Requests(infer_settings, held_out, 3).images(range(4000))
    assert len(np.unique(images.reshape(4000, 64), axis=0)) == 4000


def test_without_changes_they_are_the_held_out_images_each_round_in_another_order(
    infer_settings: dict[str, Any], held_out: Digits
) -> None:
    requests = Requests(infer_settings | UNCHANGED, held_out, 3)
    for epoch in (0, 1):
        order = permutation(3, epoch, 360)
        indices = range(epoch * 360, (epoch + 1) * 360)
        assert np.array_equal(requests.images(indices), (held_out.images[order] - 8) / 8)
        assert np.array_equal(requests.labels(indices), held_out.labels[order])


def test_an_image_is_the_same_whatever_was_asked_before(infer_settings: dict[str, Any], held_out: Digits) -> None:
    first, late = Requests(infer_settings, held_out, 3), Requests(infer_settings, held_out, 3)
    late.prepare(1500)
    assert np.array_equal(first.images([1000, 7, 1000]), late.images([1000, 7, 1000]))
    assert first.labels([1000, 7]).tolist() == late.labels([1000, 7]).tolist()


def test_images_shown_are_never_of_the_training_part(infer_settings: dict[str, Any], held_out: Digits) -> None:
    train, _ = data.load(infer_settings)
    shown = Requests(infer_settings | UNCHANGED, held_out, 3).images(range(360)).reshape(360, 64) * 8 + 8
    trained = {image.tobytes() for image in train.images}
    assert not [image for image in shown.astype(np.int32) if image.tobytes() in trained]


def test_a_repeated_image_is_the_first_one(infer_settings: dict[str, Any], held_out: Digits) -> None:
    unique = Requests(infer_settings, held_out, 3)
    repeated = Requests(infer_settings | {"requests.prompts": "repeated"}, held_out, 3)
    assert np.array_equal(repeated.images([0, 5, 900]), unique.images([0, 0, 0]))
    assert repeated.labels([900]).tolist() == unique.labels([0]).tolist()


def test_images_that_come_again_differ_in_one_pixel_of_their_own(
    infer_settings: dict[str, Any], held_out: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool of 720 digits: turn 1 moves pixel 0 by one level, turn 64 pixel 63, turn 65 pixel 0 by two."""
    monkeypatch.setattr(image_requests, "POOL_PIXELS", 64 * 1000)
    requests = Requests(infer_settings, held_out, 3)
    assert requests.pool == 720
    first = requests.images(range(720)).reshape(720, 64) * 8 + 8
    for turn, pixel, levels in ((1, 0, 1), (64, 63, 1), (65, 0, 2)):
        indices = range(turn * 720, (turn + 1) * 720)
        found = requests.images(indices).reshape(720, 64) * 8 + 8
        expected = first.copy()
        expected[:, pixel] = (expected[:, pixel] + levels) % 17
        assert np.array_equal(found, expected)
        assert np.array_equal(requests.labels(indices), requests.labels(range(720)))


def test_a_batch_may_span_turns(
    infer_settings: dict[str, Any], held_out: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_requests, "POOL_PIXELS", 64 * 360)
    requests = Requests(infer_settings, held_out, 3)
    batch = requests.images([359, 360, 361])
    assert np.array_equal(batch, np.concatenate([requests.images([index]) for index in (359, 360, 361)]))
    assert not np.array_equal(batch[1], requests.images([0])[0])
