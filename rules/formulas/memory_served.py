"""Memory of a network that answers in one pass, by formula: framework-free and counted by hand in the tests.

Activations are those of the fullest moment of a batch, all in fp32; what a compiler fuses need not be kept, and what
kernels keep for themselves is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

FP32 = 4


def encoder_activation_bytes(*, width: int, heads: int, hidden: int, sentences: int, tokens: int) -> int:
    """Of a transformer encoder (`encoder_serve_memory/1`), bytes.

    Beside the residual stream (W a token) either the feed-forward network's inner numbers before and after their
    activation (2 F), or queries, keys and values (3 W) with scores and their softmax (2 H T), as attention that is not
    fused keeps them.

    Args:
        sentences: Of a batch.
        tokens: T, up to which each is filled.
    """
    return FP32 * sentences * tokens * (width + max(2 * hidden, 3 * width + 2 * heads * tokens))


def conv_activation_bytes(*, side_px: int, channels: Sequence[int], strides: Sequence[int], images: int) -> int:
    """Of a plain convolutional classifier (`conv_serve_memory/1`), bytes: at the layer that holds most.

    A layer's input, what it convolves to, that normalised, and that through the activation function.

    Args:
        side_px, channels, strides: As in `flops_conv.py`.
        images: Of a batch.
    """
    most = 0
    for c_in, c_out, stride in zip(channels[:-1], channels[1:], strides, strict=True):
        taken = side_px**2 * c_in
        side_px = -(-side_px // stride)
        most = max(most, taken + 3 * side_px**2 * c_out)
    return FP32 * images * most
