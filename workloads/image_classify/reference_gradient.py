"""The gradient of the float64 NumPy network, written out by hand: one backward function for each forward one.

A backward function takes `d_y`, the gradient of the mean loss with respect to what its forward function gave, and
what that function was given; it returns the gradients with respect to the latter. Between them only each layer's
input is kept: what happens inside a layer is worked out again from it.

Shape suffixes: B images, C channels, H rows, W columns, O channels out, R and S rows and columns of a kernel,
G groups, X what a group holds, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.image_classify.reference import (
    KERNEL,
    STRIDES,
    Array,
    HostWeights,
    ModelConfig,
    classify,
    convolved_and_normed,
    grouped,
    in_float64,
    layer_inputs,
    layer_of,
    log_softmax,
    normalised,
    sigmoid,
    windows,
)


def mean_loss_gradient(
    config: ModelConfig, weights: HostWeights, images_BHW: NDArray[Any], labels_B: NDArray[Any]
) -> tuple[float, dict[str, Array]]:
    """Mean loss in nats an image, and its gradient by canonical name; all in float64.

    `images_BHW` as `augment.as_input` gives them.
    """
    w = in_float64(weights)
    inputs = layer_inputs(w, images_BHW, config)
    loss, d_logits_BK = mean_cross_entropy(classify(inputs[-1], w), labels_B)
    d_x_BCHW, found = classify_backward(d_logits_BK, inputs[-1], w)
    for index in reversed(range(len(STRIDES))):
        d_x_BCHW, of_layer = layer_backward(d_x_BCHW, inputs[index], layer_of(w, index), STRIDES[index], config)
        found |= {f"layers.{index}.{name}": gradient for name, gradient in of_layer.items()}
    return loss, {name: found[name] for name in config.tensor_shapes()}


def mean_cross_entropy(logits_BK: Array, labels_B: NDArray[Any]) -> tuple[float, Array]:
    """Mean of -ln q of the labels in nats, and its gradient with respect to the logits: (q - 1[label]) / B."""
    images_B = np.arange(len(labels_B))
    log_q_BK = log_softmax(logits_BK)
    d_BK = np.exp(log_q_BK)
    d_BK[images_B, labels_B] -= 1.0
    return -float(log_q_BK[images_B, labels_B].mean()), d_BK / len(labels_B)


def classify_backward(d_y_BK: Array, x_BCHW: Array, w: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Of `reference.classify`: gradients of its input, of which every pixel has the same share, and of the head."""
    B, C, H, W = x_BCHW.shape
    d_pooled_BC = d_y_BK @ w["head.weight"]
    d_x_BCHW = np.broadcast_to(d_pooled_BC[:, :, None, None] / (H * W), (B, C, H, W))
    return d_x_BCHW, {"head.weight": d_y_BK.T @ x_BCHW.mean(axis=(2, 3)), "head.bias": d_y_BK.sum(axis=0)}


def layer_backward(
    d_y_BOHW: Array, x_BCHW: Array, layer: Mapping[str, Array], stride: int, config: ModelConfig
) -> tuple[Array, dict[str, Array]]:
    """Of one layer: gradients of its input and of its three tensors."""
    convolved_BOHW, normed_BOHW = convolved_and_normed(x_BCHW, layer, stride, config)
    d_normed_BOHW = silu_backward(d_y_BOHW, normed_BOHW)
    d_convolved_BOHW, of_norm = group_norm_backward(d_normed_BOHW, convolved_BOHW, layer["norm.weight"], config)
    d_x_BCHW, d_kernel_OCRS = convolve_backward(d_convolved_BOHW, x_BCHW, layer["conv.weight"], stride)
    return d_x_BCHW, {"conv.weight": d_kernel_OCRS} | of_norm


def silu_backward(d_y: Array, x: Array) -> Array:
    """Of x s with s = sigmoid(x), whose derivative is s (1 + x (1 - s))."""
    s = sigmoid(x)
    return d_y * s * (1.0 + x * (1.0 - s))


def group_norm_backward(
    d_y_BCHW: Array, x_BCHW: Array, gain_C: Array, config: ModelConfig
) -> tuple[Array, dict[str, Array]]:
    """Of group normalisation: gradients of its input, gain and bias.

    With n = (x - mean) r and r = 1 / sqrt(variance + epsilon): d_x = r (d_n - mean(d_n) - n mean(n d_n)).
    """
    n_BCHW, r_BG1 = normalised(x_BCHW, config)
    n_BGX, d_n_BGX = grouped(n_BCHW, config), grouped(d_y_BCHW * gain_C[:, None, None], config)
    centred_BGX = d_n_BGX - d_n_BGX.mean(axis=2, keepdims=True)
    d_x_BGX = r_BG1 * (centred_BGX - n_BGX * (n_BGX * d_n_BGX).mean(axis=2, keepdims=True))
    return d_x_BGX.reshape(x_BCHW.shape), {
        "norm.weight": (d_y_BCHW * n_BCHW).sum(axis=(0, 2, 3)),
        "norm.bias": d_y_BCHW.sum(axis=(0, 2, 3)),
    }


def convolve_backward(d_y_BOHW: Array, x_BCHW: Array, kernel_OCRS: Array, stride: int) -> tuple[Array, Array]:
    """Of the convolution: gradients of its input and of its kernel."""
    d_kernel_OCRS = np.einsum("bohw,bhwcrs->ocrs", d_y_BOHW, windows(x_BCHW, stride), optimize=True)
    d_windows_RSBCHW = np.einsum("bohw,ocrs->rsbchw", d_y_BOHW, kernel_OCRS, optimize=True)
    return windows_backward(d_windows_RSBCHW, x_BCHW.shape, stride), d_kernel_OCRS


def windows_backward(d_y_RSBCHW: Array, shape_BCHW: tuple[int, ...], stride: int) -> Array:
    """Of `reference.windows`: each pixel takes the sum over all places of the kernel that it lay under."""
    B, C, H, W = shape_BCHW
    rows, columns = d_y_RSBCHW.shape[-2:]
    d_padded = np.zeros((B, C, H + 2, W + 2))
    for r in range(KERNEL):
        for s in range(KERNEL):
            d_padded[:, :, r : r + stride * rows : stride, s : s + stride * columns : stride] += d_y_RSBCHW[r, s]
    return d_padded[:, :, 1:-1, 1:-1]
