"""The network of image_classify in PyTorch, forward alone."""

from __future__ import annotations

from oildrop.workloads.forward_torch import TorchForward
from oildrop.workloads.image_classify.model_torch import make_model
from oildrop.workloads.image_infer.subject import products
from oildrop.workloads.protocols import Device, Settings


def make_forward(settings: Settings, device: Device) -> TorchForward:
    """Images [B, H, W] in, logits [B, K] out."""
    network = make_model(settings)
    return TorchForward(network, products(network.config), settings, device)
