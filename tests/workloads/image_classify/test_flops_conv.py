from __future__ import annotations

import pytest

from oildrop.rules.formulas.flops_conv import conv_train_flops_per_image


def test_the_nano_model_by_hand() -> None:
    # Output pixels x kernel pixels x channels in x channels out, layer by layer, then the head.
    multiply_adds = 64 * 9 * 1 * 32 + 16 * 9 * 32 * 64 + 16 * 9 * 64 * 64 + 4 * 9 * 64 * 128 + 128 * 10
    assert multiply_adds == 18_432 + 294_912 + 589_824 + 294_912 + 1_280
    found = conv_train_flops_per_image(
        side_px=8, channels=(1, 32, 64, 64, 128), strides=(1, 2, 1, 2), kernel_px=3, class_count=10
    )
    assert found == 6 * multiply_adds == 7_196_160


def test_an_odd_side_rounds_up_at_a_stride() -> None:
    found = conv_train_flops_per_image(side_px=5, channels=(1, 1), strides=(2,), kernel_px=3, class_count=1)
    assert found == 6 * (9 * 9 + 1)


def test_a_stride_without_its_channels_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        conv_train_flops_per_image(side_px=8, channels=(1, 2), strides=(1, 1), kernel_px=3, class_count=1)
