"""The network in MLX: convolution, group normalisation and SiLU, four times; mean over pixels; a linear head.

Shape suffixes: B images, C channels, H rows, W columns, O channels out, R and S rows and columns of a kernel,
G groups, X pixels and channels of one group, P pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx
from mlx import nn

from oildrop.workloads.image_classify.reference import STRIDES, ModelConfig, config_of
from oildrop.workloads.products_mlx import PRODUCT_DTYPES, linear, silu
from oildrop.workloads.protocols import Settings

Weights = Mapping[str, mx.array]
"""fp32 tensors by canonical name."""


def make_model(settings: Settings) -> Network:
    """The network that `settings` describe."""
    return Network(config=config_of(settings))


@dataclass(frozen=True, kw_only=True)
class Network:
    """Weights, images and their digits in, the loss of each image out."""

    config: ModelConfig

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        return self.config.tensor_shapes()

    def logits(self, weights: Weights, images_BHW: mx.array, *, dtype: str) -> mx.array:
        """Scores of the classes, [B, K] in the products' type, of fp32 images as `augment.as_input` gives them."""
        x_BHWC = images_BHW[..., None]
        for i, stride in enumerate(STRIDES):
            x_BHWC = convolve(x_BHWC, weights[f"layers.{i}.conv.weight"], stride, dtype)
            gain_C, bias_C = weights[f"layers.{i}.norm.weight"], weights[f"layers.{i}.norm.bias"]
            x_BHWC = silu(group_norm(x_BHWC, gain_C, bias_C, self.config))
        logits_BK = linear(x_BHWC.mean(axis=(1, 2)), weights["head.weight"], dtype)
        return logits_BK + weights["head.bias"].astype(logits_BK.dtype)

    def losses(self, weights: Weights, images_BHW: mx.array, labels_B: mx.array, *, dtype: str) -> mx.array:
        """Cross-entropy of each image in nats, fp32 [B]; labels int32 [B]."""
        return image_losses(self.logits(weights, images_BHW, dtype=dtype), labels_B)

    def score(
        self, weights: Weights, images_BHW: mx.array, labels_B: mx.array, *, dtype: str
    ) -> tuple[mx.array, mx.array]:
        """The losses, and whether the likeliest digit is right, bool [B]."""
        logits_BK = self.logits(weights, images_BHW, dtype=dtype)
        return image_losses(logits_BK, labels_B), mx.argmax(logits_BK, axis=-1) == labels_B


def convolve(x_BHWC: mx.array, kernel_OCRS: mx.array, stride: int, dtype: str) -> mx.array:
    """3x3 cross-correlation with one pixel of zeros around, channels last, in the products' type."""
    product = PRODUCT_DTYPES[dtype]
    kernel_ORSC = kernel_OCRS.astype(product).transpose(0, 2, 3, 1)
    return mx.conv2d(x_BHWC.astype(product), kernel_ORSC, stride=stride, padding=1)


def group_norm(x_BHWC: mx.array, gain_C: mx.array, bias_C: mx.array, config: ModelConfig) -> mx.array:
    """Each image's groups of neighbouring channels with mean 0 and variance 1, then gain and bias; fp32."""
    B, H, W, C = x_BHWC.shape
    G = config.norm_groups
    grouped_BGX = x_BHWC.astype(mx.float32).reshape(B, H * W, G, C // G).transpose(0, 2, 1, 3).reshape(B, G, -1)
    normal_BGX = mx.fast.layer_norm(grouped_BGX, None, None, config.norm_epsilon)
    normal_BPGC = normal_BGX.reshape(B, G, H * W, C // G).transpose(0, 2, 1, 3)
    return normal_BPGC.reshape(B, H, W, C) * gain_C + bias_C


def image_losses(logits_BK: mx.array, labels_B: mx.array) -> mx.array:
    """Cross-entropy in nats, fp32 [B]: a sum of exponentials needs the digits."""
    return nn.losses.cross_entropy(logits_BK.astype(mx.float32), labels_B, reduction="none")
