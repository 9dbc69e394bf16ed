"""The network of image_classify in JAX, forward alone."""

from __future__ import annotations

from oildrop.workloads.forward_jax import JaxForward
from oildrop.workloads.image_classify.model_jax import make_model
from oildrop.workloads.image_infer.subject import products
from oildrop.workloads.protocols import Device, Settings


def make_forward(settings: Settings, device: Device) -> JaxForward:
    """Images [B, H, W] in, logits [B, K] out."""
    network = make_model(settings)
    return JaxForward(network.logits, products(network.config), settings, device)
