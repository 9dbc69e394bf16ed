"""The network in PyTorch: convolution, group normalisation and SiLU, four times; mean over pixels; a linear head.

Shape suffixes: B images, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from oildrop.workloads.image_classify.data import CLASS_COUNT
from oildrop.workloads.image_classify.reference import KERNEL, STRIDES, ModelConfig, config_of
from oildrop.workloads.protocols import Settings


def make_model(settings: Settings) -> Network:
    """The network that `settings` describe, its weights unset."""
    return Network(config_of(settings))


class Network(nn.Module):
    """Images and their digits in, the loss of each image out."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            Layer(config, c_in, c_out, stride) for (c_in, c_out), stride in zip(config.channels(), STRIDES, strict=True)
        )
        self.head = skip_init(nn.Linear, config.channels()[-1][1], CLASS_COUNT)

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        return self.config.tensor_shapes()

    def forward(self, images_BHW: Tensor) -> Tensor:
        """Scores of the classes, [B, K], of fp32 images as `augment.as_input` gives them."""
        x_BCHW = images_BHW[:, None]
        for layer in self.layers:
            x_BCHW = layer(x_BCHW)
        logits_BK: Tensor = self.head(x_BCHW.mean(dim=(2, 3)))
        return logits_BK

    def losses(self, images_BHW: Tensor, labels_B: Tensor) -> Tensor:
        """Cross-entropy of each image in nats, fp32 [B]; labels int32 [B]."""
        return image_losses(self(images_BHW), labels_B)

    def score(self, images_BHW: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        """The losses, and whether the likeliest digit is right, bool [B]."""
        logits_BK = self(images_BHW)
        return image_losses(logits_BK, labels_B), logits_BK.argmax(dim=1) == labels_B


class Layer(nn.Module):
    """3x3 convolution without bias, group normalisation, SiLU."""

    def __init__(self, config: ModelConfig, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv = skip_init(nn.Conv2d, c_in, c_out, KERNEL, stride=stride, padding=1, bias=False)
        self.norm = skip_init(nn.GroupNorm, config.norm_groups, c_out, eps=config.norm_epsilon)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """One layer; a stride of 2 halves rows and columns."""
        return F.silu(self.norm(self.conv(x_BCHW)))


def image_losses(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Cross-entropy in nats, [B], in fp32 at least: a sum of exponentials needs the digits."""
    logits_BK = logits_BK.to(torch.promote_types(logits_BK.dtype, torch.float32))
    return F.cross_entropy(logits_BK, labels_B.long(), reduction="none")
