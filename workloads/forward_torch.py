"""Any network that answers in one pass, in PyTorch (see `forward.Forward`)."""

from __future__ import annotations

from collections.abc import Callable, Container

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from oildrop.workloads.compiler_torch import require_compiler
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import filled
from oildrop.workloads.protocols import Device, Settings


class TorchForward:
    """The `Forward` of PyTorch on a CPU, CUDA, ROCm or Metal device.

    Uncompiled, a batch is as large as it is. Compiled, it is one item or `execution.slots`: a graph takes Inductor
    many seconds.

    Args:
        network: A module whose parameters bear the canonical names; in bf16 it is called under autocast.
        products: Names of the matrices of products.
    """

    def __init__(self, network: nn.Module, products: Container[str], settings: Settings, device: Device) -> None:
        self._network = network
        self._products = products
        self._settings = settings
        self._handle: torch.device = device.handle

    def build(self) -> None:
        """Move the network to the device, and compile it where that is declared."""
        torch.set_num_threads(int(self._settings["execution.threads"]) or physical_cores())
        self._network.to(self._handle).requires_grad_(False)
        self._bf16 = self._settings["execution.dtype"] == "bf16"
        self._run: Callable[..., Tensor] = self._network
        self._sizes: tuple[int, ...] = ()
        if self._settings["execution.compile"] == "inductor":
            require_compiler()
            self._run = torch.compile(self._network, dynamic=False)
            self._sizes = (1, int(self._settings["execution.slots"]))

    def set_weights(self, weights: Weights) -> None:
        """Cast as autocast would on each call."""
        for name, parameter in self._network.named_parameters():
            dtype = torch.bfloat16 if self._bf16 and name in self._products else torch.float32
            parameter.data = torch.from_numpy(weights[name]).to(self._handle, dtype, copy=True)

    @torch.inference_mode()
    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        """Waits for the device."""
        count = len(inputs[0])
        if self._sizes:
            inputs = filled(inputs, self._sizes)
        placed = [torch.from_numpy(array).to(self._handle) for array in inputs]
        with torch.autocast(self._handle.type, dtype=torch.bfloat16, enabled=self._bf16):
            outputs = self._run(*placed)
        return outputs[:count].float().cpu().numpy()
