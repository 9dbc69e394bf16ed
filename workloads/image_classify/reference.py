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
from oildrop.workloads.protocols import Settings

STRIDES = (1, 2, 1, 2)
WIDTH_FACTORS = (1, 2, 2, 4)
KERNEL = 3

Array = NDArray[np.float64]

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


def config_of(settings: Settings) -> ModelConfig:
    """The sizes that the `model.*` settings describe."""
    return ModelConfig(
        width=int(settings["model.width"]),
        norm_groups=int(settings["model.norm_groups"]),
        norm_epsilon=float(settings["model.norm_epsilon"]),
    )


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


def image_losses(config: ModelConfig, weights: HostWeights, images_BHW: NDArray[Any], labels_B: NDArray[Any]) -> Array:
    """float64 [B], nats: cross-entropy of each image; `images_BHW` as `augment.as_input` gives them."""
    log_q_BK = log_softmax(logits(config, weights, images_BHW))
    return -log_q_BK[np.arange(len(labels_B)), labels_B]


def logits(config: ModelConfig, weights: HostWeights, images_BHW: NDArray[Any]) -> Array:
    """float64 [B, K]: the forward pass, all in float64."""
    w = in_float64(weights)
    return classify(layer_inputs(w, images_BHW, config)[-1], w)


def in_float64(weights: HostWeights) -> dict[str, Array]:
    """The same values by the same names."""
    return {name: value.astype(np.float64) for name, value in weights.items()}


def layer_inputs(w: Mapping[str, Array], images_BHW: NDArray[Any], config: ModelConfig) -> list[Array]:
    """[B, C, H, W] before each layer, and after the last."""
    inputs = [images_BHW.astype(np.float64)[:, None]]
    for index, stride in enumerate(STRIDES):
        _, normed_BCHW = convolved_and_normed(inputs[-1], layer_of(w, index), stride, config)
        inputs.append(normed_BCHW * sigmoid(normed_BCHW))
    return inputs


def layer_of(w: Mapping[str, Array], index: int) -> dict[str, Array]:
    """Layer `index`'s weights by their names within a layer."""
    return {name: w[f"layers.{index}.{name}"] for name in ("conv.weight", "norm.weight", "norm.bias")}


def convolved_and_normed(
    x_BCHW: Array, layer: Mapping[str, Array], stride: int, config: ModelConfig
) -> tuple[Array, Array]:
    """What a layer's convolution and then its group normalisation give, each [B, O, H, W]."""
    convolved_BOHW = _convolve(x_BCHW, layer["conv.weight"], stride)
    return convolved_BOHW, _group_norm(convolved_BOHW, layer, config)


def classify(x_BCHW: Array, w: Mapping[str, Array]) -> Array:
    """Mean over pixels and linear layer: scores of the classes, [B, K]."""
    result: Array = x_BCHW.mean(axis=(2, 3)) @ w["head.weight"].T + w["head.bias"]
    return result


def log_softmax(x_BK: Array) -> Array:
    """ln of the softmax over the classes."""
    x_BK = x_BK - x_BK.max(axis=1, keepdims=True)
    return x_BK - np.log(np.exp(x_BK).sum(axis=1, keepdims=True))


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def _convolve(x_BCHW: Array, kernel_OCRS: Array, stride: int) -> Array:
    """Cross-correlation with one pixel of zeros around, every `stride`-th position."""
    result: Array = np.einsum("bhwcrs,ocrs->bohw", windows(x_BCHW, stride), kernel_OCRS, optimize=True)
    return result


def windows(x_BCHW: Array, stride: int) -> Array:
    """[B, H, W, C, R, S]: the pixels under the kernel at every `stride`-th position, zeros outside the image."""
    padded = np.pad(x_BCHW, ((0, 0), (0, 0), (1, 1), (1, 1)))
    under_BCHWRS = np.lib.stride_tricks.sliding_window_view(padded, (KERNEL, KERNEL), axis=(2, 3))
    return under_BCHWRS[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)


def _group_norm(x_BCHW: Array, layer: Mapping[str, Array], config: ModelConfig) -> Array:
    """Each channel's gain and bias on the normalised groups."""
    gain_C11, bias_C11 = (layer[name][:, None, None] for name in ("norm.weight", "norm.bias"))
    return normalised(x_BCHW, config)[0] * gain_C11 + bias_C11


def normalised(x_BCHW: Array, config: ModelConfig) -> tuple[Array, Array]:
    """Every group less its mean, times the factor 1 / sqrt(variance + epsilon); and that factor, [B, G, 1]."""
    x_BGX = grouped(x_BCHW, config)
    factor_BG1 = 1.0 / np.sqrt(x_BGX.var(axis=2, keepdims=True) + config.norm_epsilon)
    return ((x_BGX - x_BGX.mean(axis=2, keepdims=True)) * factor_BG1).reshape(x_BCHW.shape), factor_BG1


def grouped(x_BCHW: Array, config: ModelConfig) -> Array:
    """[B, G, X]: all pixels of all channels of a group in one row."""
    return x_BCHW.reshape(len(x_BCHW), config.norm_groups, -1)
