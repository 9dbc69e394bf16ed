"""Memory and traffic of training a plain convolutional classifier: framework-free, counted by hand in tests.

Symbols: N parameters, n images a step on a device, G groups of a norm, K classes, k pixels along a kernel's side,
a bytes of one number in matrix products (4 in fp32, 2 in bf16); of a layer C channels in, O out, P and Q pixels out
and in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from oildrop.rules.formulas.memory import FP32, PRODUCT_BYTES, TrainMemory
from oildrop.rules.formulas.roofline import train_step_moved_bytes


@dataclass(frozen=True, kw_only=True)
class ConvLayer:
    """Pixels and channels before and after one convolution."""

    pixels_in: int
    channels_in: int
    pixels_out: int
    channels_out: int


@dataclass(frozen=True, kw_only=True)
class ConvSize:
    """Sizes of the network: convolutions, each with a group norm and SiLU, a mean over pixels, and a linear head.

    Attributes:
        side_px, channels, strides, kernel_px, class_count: As in `flops_conv.py`.
        groups: Of each norm.
    """

    side_px: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    kernel_px: int
    class_count: int
    groups: int

    def layers(self) -> Iterator[ConvLayer]:
        """Each convolution; an odd side rounds up at a stride."""
        side_px = self.side_px
        for c_in, c_out, stride in zip(self.channels[:-1], self.channels[1:], self.strides, strict=True):
            before, side_px = side_px, -(-side_px // stride)
            yield ConvLayer(pixels_in=before**2, channels_in=c_in, pixels_out=side_px**2, channels_out=c_out)

    @property
    def layer_matrices(self) -> tuple[int, ...]:
        """Parameters of each layer's kernels, k^2 C O."""
        return tuple(self.kernel_px**2 * layer.channels_in * layer.channels_out for layer in self.layers())

    @property
    def head(self) -> int:
        """Parameters of the head's matrix, K times the last layer's channels."""
        return self.class_count * self.channels[-1]

    @property
    def parameters(self) -> int:
        """N: kernels, a gain and a bias for each channel out, the head's matrix and its K biases."""
        return sum(self.layer_matrices) + 2 * sum(self.channels[1:]) + self.head + self.class_count


def conv_train_memory_bytes(size: ConvSize, *, images: int, dtype: str, shards: int = 1) -> TrainMemory:
    """Memory of AdamW training on one of `shards` devices (`conv_memory/1`), bytes.

    State, a parameter: 4 weight + 4 gradient + 8 two moments + 4 running average, divided among `shards` devices.
    Where products are not in fp32, autocast keeps a copy of kernels and head in their dtype until the backward pass,
    a bytes each; sharded, a device holds that copy (of fp32 weights too, as these are gathered) of two neighbouring
    layers, those that have most together, and of the head.

    Activations, an image and layer: the convolution keeps its input, a C Q; the norm its input, 4 O P, with a mean and
    a factor of each group, 8 G; SiLU its input, 4 O P. What SiLU gives is the next convolution's input.

    Logits, an image: the head's input, a O of the last layer, then K scores four times at most: in a bytes (where that
    is not fp32), in fp32, their log-softmax, and its gradient.

    Left out, as it depends on the software: temporaries, kernels' workspace, allocator and driver. PyTorch's autocast
    on a CPU leaves norm and SiLU in bf16 and keeps 4 O P less an image and layer.

    Args:
        images: n, those that one device takes a step.
        shards: Devices among which weights, gradients and optimizer state are divided (fully sharded data parallel).

    Source: Rajbhandari et al., arXiv 1910.02054, section 3 (state); activations are the inputs that the derivatives of
    convolution, group norm (Wu and He, ECCV 2018, equation 7) and SiLU ask for.
    """
    a = PRODUCT_BYTES[dtype]
    narrow_scores = a if a < FP32 else 0
    return TrainMemory.with_adamw(
        size.parameters,
        shards,
        product_copies=_product_copies(size, a, shards),
        activations=images * sum(_kept_bytes(layer, a, size.groups) for layer in size.layers()),
        logits=images * (a * size.channels[-1] + (narrow_scores + 3 * FP32) * size.class_count),
    )


def conv_step_moved_bytes(size: ConvSize, memory: TrainMemory, *, dtype: str, shards: int = 1) -> int:
    """Least traffic of one training step on one device (`conv_traffic/1`), bytes; as `train_step_moved_bytes` says."""
    return train_step_moved_bytes(size.parameters, memory, dtype=dtype, shards=shards)


def _kept_bytes(layer: ConvLayer, a: int, groups: int) -> int:
    """Of one image, by one layer."""
    convolution = a * layer.channels_in * layer.pixels_in
    norm = FP32 * (layer.channels_out * layer.pixels_out + 2 * groups)
    silu = FP32 * layer.channels_out * layer.pixels_out
    return convolution + norm + silu


def _product_copies(size: ConvSize, a: int, shards: int) -> int:
    matrices = size.layer_matrices
    if shards > 1:
        neighbours = [sum(matrices[start : start + 2]) for start in range(max(1, len(matrices) - 1))]
        return a * (max(neighbours) + size.head)
    return 0 if a == FP32 else a * (sum(matrices) + size.head)
