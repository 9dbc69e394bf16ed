"""Any network that answers in one pass, in JAX (see `forward.Forward`)."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from oildrop.workloads.compiler_jax import require_supported
from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import batch_sizes, filled
from oildrop.workloads.products_jax import PRODUCT_DTYPES
from oildrop.workloads.protocols import Device, Settings

Network = Callable[..., Array]
"""`network(weights, *inputs, dtype=…)`: pure, products in `dtype`; outputs [B, …]."""


class JaxForward:
    """The `Forward` of JAX on a CPU, CUDA, ROCm or TPU device: a compiled graph for each shape.

    Args:
        products: Names of the matrices of products.
    """

    def __init__(self, network: Network, products: Container[str], settings: Settings, device: Device) -> None:
        self._network = network
        self._products = products
        self._settings = settings
        self._device = device

    def build(self) -> None:
        """Each graph is compiled at its first call."""
        require_supported(self._settings)
        self._dtype = str(self._settings["execution.dtype"])
        self._sizes = batch_sizes(int(self._settings["execution.slots"]))
        self._run = jax.jit(partial(self._network, dtype=self._dtype))

    def set_weights(self, weights: Weights) -> None:
        """Onto the device."""
        cast: Mapping[str, Array] = {
            name: jnp.asarray(array, PRODUCT_DTYPES[self._dtype] if name in self._products else jnp.float32)
            for name, array in weights.items()
        }
        self._weights = jax.device_put(cast, self._device.handle)

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Waits for the device."""
        placed = jax.device_put(filled(inputs, self._sizes), self._device.handle)
        return np.asarray(self._run(self._weights, *placed), dtype=np.float32)[: len(inputs[0])]
