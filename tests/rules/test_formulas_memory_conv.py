"""Memory and traffic of training a convolutional network: one of two layers is counted on paper."""

import dataclasses

import pytest

from oildrop.rules.formulas.memory_conv import ConvSize, conv_step_moved_bytes, conv_train_memory_bytes

TWO = ConvSize(side_px=5, channels=(1, 2, 4), strides=(1, 2), kernel_px=3, class_count=10, groups=2)
"""Two images go through it: 5x5 pixels stay 5x5 with 2 channels, then become 3x3 with 4."""

NANO = ConvSize(side_px=8, channels=(1, 24, 48, 48, 96), strides=(1, 2, 1, 2), kernel_px=3, class_count=10, groups=8)

KERNELS = 9 * 1 * 2 + 9 * 2 * 4
HEAD = 10 * 4
PARAMETERS = KERNELS + 2 * 2 + 2 * 4 + HEAD + 10


def test_parameters_by_hand():
    assert TWO.parameters == PARAMETERS == 152
    assert NANO.parameters == 9 * (24 + 24 * 48 + 48 * 48 + 48 * 96) + 2 * (24 + 48 + 48 + 96) + 970 == 74_194


def test_fp32_training_of_two_layers_by_hand():
    image = sum(
        [
            4 * 25,  # the image, input of the first convolution
            4 * 25 * 2 + 2 * 2 * 4,  # input of the first norm; mean and factor of two groups
            4 * 25 * 2,  # input of the first SiLU
            4 * 25 * 2,  # input of the second convolution, at the size before its stride
            4 * 9 * 4 + 2 * 2 * 4,  # the second norm
            4 * 9 * 4,  # the second SiLU
        ]
    )
    logits_image = 4 * 4 + 3 * 4 * 10
    found = conv_train_memory_bytes(TWO, images=2, dtype="fp32")
    assert (found.weights, found.gradients, found.moments, found.average) == (608, 608, 1216, 608)
    assert (found.product_copies, found.activations, found.logits) == (0, 2 * image, 2 * logits_image)
    assert found.total == 20 * 152 + 2 * 1020 + 2 * 136


def test_bf16_keeps_a_copy_of_each_matrix_and_halves_what_convolutions_and_head_keep():
    found = conv_train_memory_bytes(TWO, images=2, dtype="bf16")
    assert found.product_copies == 2 * (KERNELS + HEAD)
    assert found.activations == 2 * (1020 - 2 * 25 - 2 * 25 * 2)
    assert found.logits == 2 * (2 * 4 + (2 + 12) * 10)


def test_sharding_divides_the_state_and_gathers_the_two_neighbours_that_have_most():
    whole, shared = (conv_train_memory_bytes(NANO, images=4, dtype="fp32", shards=shards) for shards in (1, 4))
    assert shared.weights == 4 * 18_549  # 74194 / 4, rounded up
    assert shared.moments == 2 * shared.weights
    assert shared.product_copies == 4 * (9 * 48 * 48 + 9 * 48 * 96 + 960)
    assert (shared.activations, shared.logits) == (whole.activations, whole.logits)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_total_is_the_sum_of_all_kinds_and_linear_in_images(dtype):
    none, one, ten = (conv_train_memory_bytes(TWO, images=images, dtype=dtype) for images in (0, 1, 10))
    assert ten.total == sum(dataclasses.asdict(ten).values())
    assert ten.total - none.total == 10 * (one.total - none.total) > 0


@pytest.mark.parametrize(("dtype", "a_parameter"), [("fp32", 40 + 4 + 4 + 4), ("bf16", 40 + 2 + 2 + 4 + 4 + 2)])
def test_a_step_moves_the_state_and_twice_what_it_keeps(dtype, a_parameter):
    memory = conv_train_memory_bytes(TWO, images=2, dtype=dtype)
    kept = memory.activations + memory.logits
    assert conv_step_moved_bytes(TWO, memory, dtype=dtype) == 152 * a_parameter + 2 * kept
    shared = conv_step_moved_bytes(TWO, memory, dtype=dtype, shards=4)
    assert conv_step_moved_bytes(TWO, memory, dtype=dtype) - shared == 40 * (152 - 38)
