"""The network in JAX: convolution, group normalisation and SiLU, four times; mean over pixels; a linear head.

Shape suffixes: B images, C channels, H rows, W columns, G groups of channels, K classes; a convolution's weight has
O channels out, I channels in, and R and S rows and columns of a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from oildrop.workloads.image_classify.reference import KERNEL, STRIDES, ModelConfig, config_of
from oildrop.workloads.products_jax import convolution, linear
from oildrop.workloads.protocols import Settings

Tensors = Mapping[str, Array]


def make_model(settings: Settings) -> Network:
    """The network that `settings` describe."""
    return Network(config=config_of(settings))


@dataclass(frozen=True, kw_only=True)
class Network:
    """Weights, images and their digits in, the loss of each image out; `dtype` is that of the products."""

    config: ModelConfig

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        return self.config.tensor_shapes()

    def logits(self, weights: Tensors, images_BHW: Array, *, dtype: str) -> Array:
        """Scores of the classes, fp32 [B, K], of fp32 images as `augment.as_input` gives them."""
        x_BHWC = images_BHW[..., None]
        for i, stride in enumerate(STRIDES):
            layer = {name: weights[f"layers.{i}.{name}"] for name in LAYER}
            x_BHWC = convolution(x_BHWC, layer["conv.weight"], stride, KERNEL // 2, dtype).astype(jnp.float32)
            x_BHWC = jax.nn.silu(group_norm(x_BHWC, layer["norm.weight"], layer["norm.bias"], self.config))
        logits_BK = linear(x_BHWC.mean(axis=(1, 2)), weights["head.weight"], dtype)
        return logits_BK.astype(jnp.float32) + weights["head.bias"]

    def losses(self, weights: Tensors, images_BHW: Array, labels_B: Array, *, dtype: str) -> Array:
        """Cross-entropy of each image in nats, fp32 [B]; labels int32 [B]."""
        return image_losses(self.logits(weights, images_BHW, dtype=dtype), labels_B)

    def score(self, weights: Tensors, images_BHW: Array, labels_B: Array, *, dtype: str) -> tuple[Array, Array]:
        """The losses, and whether the likeliest digit is right, bool [B]."""
        logits_BK = self.logits(weights, images_BHW, dtype=dtype)
        return image_losses(logits_BK, labels_B), logits_BK.argmax(axis=1) == labels_B


LAYER = ("conv.weight", "norm.weight", "norm.bias")


def group_norm(x_BHWC: Array, gain_C: Array, bias_C: Array, config: ModelConfig) -> Array:
    """Each group of channels of an image brought to mean 0 and variance 1, then `gain_C` and `bias_C` a channel."""
    grouped = x_BHWC.reshape(*x_BHWC.shape[:3], config.norm_groups, -1)
    centred = grouped - grouped.mean(axis=(1, 2, 4), keepdims=True)
    variance = jnp.mean(centred * centred, axis=(1, 2, 4), keepdims=True)
    normal_BHWC = (centred * jax.lax.rsqrt(variance + config.norm_epsilon)).reshape(x_BHWC.shape)
    return normal_BHWC * gain_C + bias_C


def image_losses(logits_BK: Array, labels_B: Array) -> Array:
    """Cross-entropy in nats, [B]."""
    log_q_BK = jax.nn.log_softmax(logits_BK, axis=-1)
    return -jnp.take_along_axis(log_q_BK, labels_B[:, None], axis=-1)[:, 0]
