"""The network in PyTorch, as one function of its weights.

Weights come in as an argument, so that the timed step, the averaged weights of an evaluation and the
gate's weights all go through one and the same graph, compiled or not.

Shape suffixes: B images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from oildrop.workloads.image_classify.reference import STRIDES, ModelConfig


def image_losses(
    config: ModelConfig, weights: dict[str, Tensor], images_BHW: Tensor, labels_B: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image in nats, and whether its likeliest digit is right.

    Args:
        images_BHW: fp32, as `augment.as_input` gives them.
        labels_B: int64 digits.
        dtype: float32 and float64 run in the dtype of weights and images; bfloat16 by autocast.

    Returns:
        losses fp32 [B] and right bool [B].
    """
    with torch.autocast(images_BHW.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits_BK = logits(config, weights, images_BHW)
    if dtype == torch.bfloat16:
        logits_BK = logits_BK.float()
    return F.cross_entropy(logits_BK, labels_B, reduction="none"), logits_BK.argmax(dim=1) == labels_B


def logits(config: ModelConfig, weights: dict[str, Tensor], images_BHW: Tensor) -> Tensor:
    """[B, K]: four times convolution, group normalisation and SiLU; then mean over pixels and a linear layer."""
    x_BCHW = images_BHW[:, None]
    for layer, stride in enumerate(STRIDES):
        name = f"layers.{layer}"
        x_BCHW = F.conv2d(x_BCHW, weights[f"{name}.conv.weight"], stride=stride, padding=1)
        gain_C, bias_C = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        x_BCHW = F.silu(F.group_norm(x_BCHW, config.norm_groups, gain_C, bias_C, config.norm_epsilon))
    return F.linear(x_BCHW.mean(dim=(2, 3)), weights["head.weight"], weights["head.bias"])
