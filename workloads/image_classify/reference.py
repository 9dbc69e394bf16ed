"""The network in float64 NumPy: what every framework's version is compared with.

Four times: 3x3 convolution without bias, group normalisation, SiLU. Widths are (1, 2, 2, 4) x `width`, strides
(1, 2, 1, 2), so that 8x8 pixels become 2x2; their mean goes through one linear layer to ten logits.

Shape suffixes: B images, C channels, H rows, W columns, O channels out, R and S rows and columns of a kernel,
G groups, X what a group holds, K classes.
Source: Wu and He, "Group Normalization", ECCV 2018, equations 1 to 7; SiLU: Hendrycks and Gimpel, arXiv 1606.08415.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.image_classify.data import CLASS_COUNT
from oildrop.workloads.integers import bell_weights

STRIDES = (1, 2, 1, 2)
WIDTH_FACTORS = (1, 2, 2, 4)
KERNEL = 3

HostWeights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the settings under `model.` say. `width` must be a multiple of `norm_groups`."""

    width: int
    norm_groups: int
    norm_epsilon: float

    def channels(self) -> list[tuple[int, int]]:
        """(in, out) of each convolution."""
        out = [self.width * factor for factor in WIDTH_FACTORS]
        return list(zip([1, *out], out, strict=False))

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (c_in, c_out) in enumerate(self.channels()):
            shapes[f"layers.{layer}.conv.weight"] = (c_out, c_in, KERNEL, KERNEL)
            shapes[f"layers.{layer}.norm.weight"] = (c_out,)
            shapes[f"layers.{layer}.norm.bias"] = (c_out,)
        shapes["head.weight"] = (CLASS_COUNT, self.channels()[-1][1])
        shapes["head.bias"] = (CLASS_COUNT,)
        return shapes


def initial_weights(config: ModelConfig, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights at the start of a run: variance 2 / fan-in in convolutions, 1 / fan-in in the head; gains 1, biases 0.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015, equation 10.
    """
    weights = {}
    for name, shape in config.tensor_shapes().items():
        if len(shape) == 1:
            weights[name] = np.full(shape, 1.0 if name.endswith("norm.weight") else 0.0, dtype=np.float32)
        else:
            gain = 2.0 if len(shape) == 4 else 1.0
            weights[name] = bell_weights(seed, name, shape, math.sqrt(gain / math.prod(shape[1:])))
    return weights


def gate_weights(config: ModelConfig, seed: int, std: float) -> dict[str, NDArray[np.float32]]:
    """Weights in which every tensor matters: all of standard deviation `std`, norm gains around one."""
    weights = {}
    for name, shape in config.tensor_shapes().items():
        centre = np.float32(1.0 if name.endswith("norm.weight") else 0.0)
        weights[name] = centre + bell_weights(seed, name, shape, std)
    return weights


def image_losses(
    config: ModelConfig, weights: HostWeights, images_BHW: NDArray[Any], labels_B: NDArray[Any]
) -> NDArray[np.float64]:
    """float64 [B], nats: cross-entropy of each image; `images_BHW` as `augment.as_input` gives them."""
    logits_BK = logits(config, weights, images_BHW)
    top_B1 = logits_BK.max(axis=1, keepdims=True)
    log_sum_B = np.log(np.exp(logits_BK - top_B1).sum(axis=1)) + top_B1[:, 0]
    losses: NDArray[np.float64] = log_sum_B - logits_BK[np.arange(len(labels_B)), labels_B]
    return losses


def logits(config: ModelConfig, weights: HostWeights, images_BHW: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [B, K]: the forward pass, all in float64."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    x_BCHW = images_BHW.astype(np.float64)[:, None]
    for layer, stride in enumerate(STRIDES):
        name = f"layers.{layer}"
        x_BCHW = _convolve(x_BCHW, w[f"{name}.conv.weight"], stride)
        x_BCHW = _group_norm(x_BCHW, w[f"{name}.norm.weight"], w[f"{name}.norm.bias"], config)
        x_BCHW = x_BCHW / (1.0 + np.exp(-x_BCHW))
    pooled_BC = x_BCHW.mean(axis=(2, 3))
    result: NDArray[np.float64] = pooled_BC @ w["head.weight"].T + w["head.bias"]
    return result


def _convolve(x_BCHW: NDArray[np.float64], kernel_OCRS: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """Cross-correlation with one pixel of zeros around, every `stride`-th position."""
    padded = np.pad(x_BCHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows_BCHWRS = np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), axis=(2, 3))
    strided = windows_BCHWRS[:, :, ::stride, ::stride]
    result: NDArray[np.float64] = np.einsum("bchwrs,ocrs->bohw", strided, kernel_OCRS, optimize=True)
    return result


def _group_norm(
    x_BCHW: NDArray[np.float64], gain_C: NDArray[np.float64], bias_C: NDArray[np.float64], config: ModelConfig
) -> NDArray[np.float64]:
    grouped_BGX = x_BCHW.reshape(len(x_BCHW), config.norm_groups, -1)
    mean = grouped_BGX.mean(axis=2, keepdims=True)
    variance = grouped_BGX.var(axis=2, keepdims=True)
    normal = ((grouped_BGX - mean) / np.sqrt(variance + config.norm_epsilon)).reshape(x_BCHW.shape)
    scaled: NDArray[np.float64] = normal * gain_C[:, None, None] + bias_C[:, None, None]
    return scaled
