from __future__ import annotations

import pytest

from oildrop.rules.formulas.flops_conv import conv_train_flops_per_image


def test_the_nano_model_by_hand() -> None:
    # Output pixels x kernel pixels x channels in x channels out, layer by layer, then the head.
    multiply_adds = 64 * 9 * 1 * 24 + 16 * 9 * 24 * 48 + 16 * 9 * 48 * 48 + 4 * 9 * 48 * 96 + 96 * 10
    assert multiply_adds == 13_824 + 165_888 + 331_776 + 165_888 + 960
    found = conv_train_flops_per_image(
        side_px=8, channels=(1, 24, 48, 48, 96), strides=(1, 2, 1, 2), kernel_px=3, class_count=10
    )
    assert found == 6 * multiply_adds == 4_070_016


def test_an_odd_side_rounds_up_at_a_stride() -> None:
    found = conv_train_flops_per_image(side_px=5, channels=(1, 1), strides=(2,), kernel_px=3, class_count=1)
    assert found == 6 * (9 * 9 + 1)


def test_a_stride_without_its_channels_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        conv_train_flops_per_image(side_px=8, channels=(1, 2), strides=(1, 1), kernel_px=3, class_count=1)
