"""The network of image_classify in MLX, forward alone."""

from __future__ import annotations

from oildrop.workloads.forward_mlx import MlxForward
from oildrop.workloads.image_classify.model_mlx import make_model
from oildrop.workloads.image_infer.subject import products
from oildrop.workloads.protocols import Device, Settings


def make_forward(settings: Settings, device: Device) -> MlxForward:
    """Images [B, H, W] in, logits [B, K] out."""
    network = make_model(settings)
    return MlxForward(network.logits, products(network.config), settings, device)
