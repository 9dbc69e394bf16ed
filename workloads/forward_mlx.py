"""Any network that answers in one pass, in MLX (see `forward.Forward`)."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.compiler_mlx import require_supported
from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import batch_sizes, filled
from oildrop.workloads.products_mlx import PRODUCT_DTYPES
from oildrop.workloads.protocols import Device, Settings

Network = Callable[..., mx.array]
"""`network(weights, *inputs, dtype=…)`: pure, products in `dtype`; outputs [B, …]."""


class MlxForward:
    """The `Forward` of MLX on a CPU, Metal or CUDA device: a compiled graph for each shape.

    Args:
        products: Names of the matrices of products.
    """

    def __init__(self, network: Network, products: Container[str], settings: Settings, device: Device) -> None:
        self._network = network
        self._products = products
        self._settings = settings
        self._device = device

    def build(self) -> None:
        """Each graph is made at its first call."""
        require_supported(self._settings)
        mx.set_default_device(self._device.handle)
        self._dtype = str(self._settings["execution.dtype"])
        self._sizes = batch_sizes(int(self._settings["execution.slots"]))
        self._run = mx.compile(partial(self._network, dtype=self._dtype))

    def set_weights(self, weights: Weights) -> None:
        """Into memory that the device reads."""
        product = PRODUCT_DTYPES[self._dtype]
        self._weights = {
            name: mx.array(array).astype(product if name in self._products else mx.float32)
            for name, array in weights.items()
        }
        mx.eval(self._weights)

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Waits for the device."""
        placed = [mx.array(array) for array in filled(inputs, self._sizes)]
        outputs = self._run(self._weights, *placed)[: len(inputs[0])]
        return np.array(outputs.astype(mx.float32))
