"""The image benchmark's data, whichever they are: the digits bit for bit as ever, others from IDX files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import OildropError, RulebookError, Unsupported
from oildrop.rules.formulas.flops_table import FLOPS_PER_TOKEN
from oildrop.rules.loading import load_rulebook
from oildrop.workloads.corpus import manifest as manifests
from oildrop.workloads.image_classify import data
from oildrop.workloads.image_classify.augment import Augmentation, TrainingStream, as_input, words_of
from oildrop.workloads.image_classify.data import Digits
from oildrop.workloads.image_classify.lesson import ImageClassify
from oildrop.workloads.integers import permutation, raw_words

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def settings_of(tier: str) -> dict[str, Any]:
    return dict(load_rulebook().benchmarks["image-classify"].tiers[tier].settings)


def test_the_digits_make_the_same_batches_as_before_other_data_came() -> None:
    train, held_out = data.load(settings_of("nano"))
    assert (len(train), len(held_out)) == (1437, 360)
    stream = TrainingStream(train, Augmentation(shift_px=1, noise=1, erase_px=2, levels=16), 5)
    digest = hashlib.sha256()
    for step in range(24):
        batch = stream.samples(128 * step, 128)
        digest.update(as_input(batch.images, 16).astype("<f4").tobytes())
        digest.update(batch.labels.astype("<i4").tobytes())
    # Taken from the program that knew nothing but digits.
    assert digest.hexdigest() == "ad141b7fe6eadf60d337939fd7d8b12d590fb3f49976461b5aa4d84f4ee9b8d5"


def test_settings_that_do_not_fit_the_images_are_refused() -> None:
    with pytest.raises(RulebookError, match=r"data\.side_px is 9, the images have 8x8 pixels"):
        data.load(settings_of("nano") | {"data.side_px": 9})
    with pytest.raises(RulebookError, match=r"data\.levels is 15, a pixel has 16"):
        data.load(settings_of("nano") | {"data.levels": 15})


def slow_augment(image: list[list[int]], words: list[int], rule: Augmentation) -> list[list[int]]:
    """The rule once more, a pixel at a time; the masks as long integers."""
    side = len(image)
    span = (side * side + 63) // 64
    more, less = (sum(words[1 + at + k] << (64 * k) for k in range(span)) for at in (0, span))
    lanes = [(words[0] >> (16 * k)) % 65536 for k in range(4)]
    down, right = (lanes[k] * (2 * rule.shift_px + 1) // 65536 - rule.shift_px for k in (0, 1))
    top, left = (lanes[k] * (side + 1 - rule.erase_px) // 65536 for k in (2, 3))
    result = [[0] * side for _ in range(side)]
    for r in range(side):
        for c in range(side):
            if top <= r < top + rule.erase_px and left <= c < left + rule.erase_px:
                continue
            inside = 0 <= r - down < side and 0 <= c - right < side
            ink = image[r - down][c - right] if inside else 0
            bit = side * r + c
            ink += rule.noise * ((more >> bit) % 2 - (less >> bit) % 2)
            result[r][c] = min(rule.levels, max(0, ink))
    return result


@pytest.mark.parametrize(("side", "words"), [(8, 4), (11, 8), (28, 28)])
def test_augmentation_of_any_side_equals_a_scalar_version_bit_for_bit(side: int, words: int) -> None:
    rule = Augmentation(shift_px=2, noise=16, erase_px=5, levels=255)
    pixels = raw_words(1, "test", first_block=0, count=30 * side * side) % 256
    images = pixels.astype(np.int32).reshape(30, side, side)
    stream = TrainingStream(Digits(images=images, labels=np.arange(30, dtype=np.int32) % 10), rule, 5)
    found = stream.samples(30 + 7, 20).images
    assert words_of(side) == words and found.dtype == np.int32
    for k in range(20):
        own = raw_words(5, "augment/1", first_block=(7 + k) * words // 4, count=words).tolist()
        image = images[permutation(5, 1, 30)[7 + k]].tolist()
        assert found[k].tolist() == slow_augment(image, own, rule)


def test_inputs_of_a_byte_are_exact_128ths_that_eight_binary_digits_hold() -> None:
    values = as_input(np.arange(256, dtype=np.int32).reshape(1, 16, 16), 255).ravel()
    assert values.tolist() == [(k - 128) / 128 for k in range(256)]
    as_bf16 = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert np.array_equal(as_bf16, values)


@pytest.fixture
def toy(make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a manifest `toy` of made-up 5x5 images; keyword arguments change a file's bytes."""

    def write(**changed: bytes) -> tuple[dict[str, Any], Digits, Digits]:
        parts = {}
        for part, count in (("train", 60), ("test", 40)):
            pixels = raw_words(1, part, first_block=0, count=count * 25) % 256
            images, labels = pixels.astype(np.uint8), np.arange(count, dtype=np.uint8) % 10
            parts[part] = Digits(images=images.reshape(count, 5, 5).astype(np.int32), labels=labels.astype(np.int32))
            contents = {
                f"{part}-images": make.zipped(make.idx(images.tobytes(), count, 5, 5)),
                f"{part}-labels": make.idx(labels.tobytes(), count),
            }
            for name, content in (contents | {k.replace("_", "-"): v for k, v in changed.items()}).items():
                (tmp_path / name).write_bytes(content)
        files = [
            make.file((tmp_path / f"{part}-{kind}").read_bytes(), name=f"{part}-{kind}", kind=f"idx-{kind}", part=part)
            for part in ("train", "test") for kind in ("images", "labels")
        ]  # fmt: skip
        monkeypatch.setattr(data, "find_manifest", lambda name: make.manifest(*files, name=name))
        monkeypatch.setenv("OILDROP_DATA", str(tmp_path))
        expected = hashlib.sha256()
        for digits in parts.values():
            expected.update(digits.images.astype("<i4").tobytes() + digits.labels.astype("<i4").tobytes())
        settings = settings_of("nano") | {
            "data.manifest": "toy", "data.sha256": expected.hexdigest(), "data.side_px": 5, "data.levels": 255,
            "evaluation.held_out_per_class": 3,
        }  # fmt: skip
        return settings, parts["train"], parts["test"]

    return write


def test_idx_files_become_all_of_train_and_a_split_of_test(toy: Any) -> None:
    settings, all_train, all_test = toy()
    train, held_out = data.load(settings)
    assert np.array_equal(train.images, all_train.images) and np.array_equal(train.labels, all_train.labels)
    assert train.images.dtype == held_out.images.dtype == np.int32
    assert np.bincount(held_out.labels).tolist() == [3] * 10
    known = {image.tobytes() for image in all_test.images}
    assert all(image.tobytes() in known for image in held_out.images)


def test_the_lesson_trains_and_scores_at_the_datas_own_side_and_depth(toy: Any) -> None:
    """Pixel p of 0 .. 255 reaches the model as (p - 128) / 128, augmented and held out alike; noise by 16 levels."""
    settings, all_train, _ = toy()
    plain = {"data.shift_px": 0, "data.erase_px": 0, "data.noise": 0, "data.images_per_batch": 60}
    lesson = ImageClassify(settings | plain)
    lesson.load()
    images, labels = lesson.inputs(next(lesson.batches(5)))
    assert images.shape == (60, 5, 5) and images.dtype == np.float32
    seen = sorted((label, *image.ravel()) for image, label in zip(images, labels, strict=True))
    known = (all_train.images.astype(np.float64) - 128) / 128
    assert seen == sorted((label, *image.ravel()) for image, label in zip(known, all_train.labels, strict=True))
    noisy = ImageClassify(settings | plain | {"data.noise": 16})
    noisy.load()
    pixels = next(noisy.batches(5))[0]
    assert pixels.max() > 200 and set(np.unique(pixels - next(lesson.batches(5))[0])) <= set(range(-16, 17))
    assert lesson.synthetic_batch()[0].shape == (60, 5, 5) and lesson.synthetic_batch()[0].max() == 255


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"train_images": (bytes(250), 10, 5, 5)}, OildropError, "toy, train: 10 images and 60 labels"),
        ({"test_labels": (bytes([10] * 40), 40)}, OildropError, "toy, test: label 10 found, 0 to 9 expected"),
        ({"test_labels": (bytes(40), 40)}, RulebookError, "SHA-256 .*: data.sha256 and data.manifest go together"),
        ({"train_images": (bytes(60 * 36), 60, 6, 6)}, RulebookError, "SHA-256"),
    ],
)
def test_files_that_do_not_go_together_are_refused(
    make: Any, toy: Any, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    settings, *_ = toy(**{name: make.idx(*content) for name, content in changed.items()})
    with pytest.raises(error, match=message):
        data.load(settings)


def test_a_manifest_without_a_part_is_refused(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only_text = make.manifest(make.file(b"text"))
    monkeypatch.setattr(data, "find_manifest", lambda name: only_text)
    with pytest.raises(RulebookError, match="toy has 0 files of kind idx-images in part train, 1 is expected"):
        data.load(settings_of("nano") | {"data.manifest": "toy"})


def test_without_its_data_the_small_tier_is_unsupported_with_the_fix(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifests.find_manifest("fashion-mnist")
    nowhere = [make.copy(b"x").model_copy(update={"sha256": file.sha256}) for file in manifest.files]
    files = [
        file.model_copy(update={"urls": (str(tmp_path / "gone"),), "also": (copy,)})
        for file, copy in zip(manifest.files, nowhere, strict=True)
    ]
    monkeypatch.setattr(data, "find_manifest", lambda name: manifest.model_copy(update={"files": tuple(files)}))
    with pytest.raises(Unsupported, match="apt install dataset-fashion-mnist, or set OILDROP_DATA"):
        data.load(settings_of("small"))


def test_the_small_tier_names_its_manifest_among_the_benchmarks_files() -> None:
    rulebook = load_rulebook()
    benchmark = rulebook.benchmarks["image-classify"]
    small = benchmark.tiers["small"]
    assert f"data/{small.settings['data.manifest']}.toml" in rulebook.files_of(benchmark)
    assert small.provisional and small.target is not None
    assert small.schedule.first >= 200 * int(small.settings["data.images_per_batch"])


def test_flops_follow_the_side_of_the_images() -> None:
    # Output pixels x kernel pixels x channels in x channels out, layer by layer, then the head.
    multiply_adds = 784 * 9 * 64 + 196 * 9 * 64 * 128 + 196 * 9 * 128 * 128 + 49 * 9 * 128 * 256 + 256 * 10
    assert FLOPS_PER_TOKEN["conv_train/1"](settings_of("small")) == 6 * multiply_adds
    assert FLOPS_PER_TOKEN["conv_train/1"](settings_of("nano")) == 4_070_016


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_files_are_those_of_the_manifest() -> None:
    train, held_out = data.load(settings_of("small"))
    assert train.images.shape == (60_000, 28, 28) and held_out.images.shape == (2000, 28, 28)
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert np.bincount(held_out.labels).tolist() == [200] * 10
    # Mean and standard deviation of the training pixels as commonly quoted for this set: 0.2860 and 0.3530 of 255.
    assert train.images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert (train.images / np.float32(255)).std(dtype=np.float64) == pytest.approx(0.3530, abs=5e-5)
