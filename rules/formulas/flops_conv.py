"""FLOPs of training a plain convolutional classifier, by formula: framework-free and counted by hand in the tests."""

from __future__ import annotations

from collections.abc import Sequence


def conv_train_flops_per_image(
    *, side_px: int, channels: Sequence[int], strides: Sequence[int], kernel_px: int, class_count: int
) -> int:
    """Model FLOPs of one training step an image (`conv_train/1`), a count.

    Forward: 2 x multiply-adds of each convolution (every output pixel, padding counted as if it were image) and of
    the linear head. Training is three forwards: one for the loss, two for the gradients of inputs and weights.
    Normalisation, activations, pooling, optimizer and evaluations are left out.

    Args:
        side_px: Height and width of the square input, pixels; odd sizes round up at a stride.
        channels: Channels of the input, then of each convolution's output; one longer than `strides`.
        kernel_px: Height and width of every kernel.

    Source: Kaplan et al., arXiv 2001.08361, section 2.1 (backward is twice the forward), applied to convolutions.
    """
    multiply_adds = 0
    for c_in, c_out, stride in zip(channels[:-1], channels[1:], strides, strict=True):
        side_px = -(-side_px // stride)
        multiply_adds += side_px**2 * kernel_px**2 * c_in * c_out
    multiply_adds += channels[-1] * class_count
    return 3 * 2 * multiply_adds
