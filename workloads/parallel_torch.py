"""Several PyTorch processes that train one model, each on one device and on its share of every batch.

`replicated`: weights whole on every device, gradients averaged while the backward pass still runs
(DistributedDataParallel). `sharded`: weights, optimizer state and average cut along their first axis, gathered a layer
at a time when they are needed (FSDP2). Both give the optimizer the gradient of the whole batch's mean loss.

Source: Li et al., "PyTorch Distributed", VLDB 2020; Rajbhandari et al., "ZeRO", SC 2020 (stage 3);
https://docs.pytorch.org/docs/stable/distributed.fsdp.fully_shard.html, read 2026-11-24.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine import Inputs
from oildrop.workloads.protocols import Settings
from oildrop.workloads.shares import share

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""What carries messages between devices of a kind; ROCm's are called cuda and nccl too."""

METHODS = ("losses", "score")
"""What a model is asked for: under FSDP2 the calls that gather its weights."""


class Alone:
    """One process: nothing is shared."""

    count = 1

    def share(self, inputs: Inputs) -> Inputs:
        """All of it."""
        return inputs

    def spread(self, model: Any) -> None:
        """It stays where it is."""

    def averaging(self, losses: Callable[..., Tensor], model: Any) -> Callable[..., Tensor]:
        """As they are."""
        return losses

    def gather(self, part: Tensor) -> Tensor:
        """The part is the whole."""
        return part

    def mean(self, loss: Tensor) -> Tensor:
        """Of one."""
        return loss

    def agreed(self, flag: bool) -> bool:
        """Nobody else has a say."""
        return flag


class Ranks:
    """The process group of this run, this process's rank in it, and how the model is laid out among them.

    Args:
        device: This process's device; on CUDA and ROCm it sees no other.
    """

    def __init__(self, device: torch.device, *, sharded: bool) -> None:
        if not dist.is_initialized():
            dist.init_process_group(BACKENDS[device.type])
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._device = device
        self._sharded = sharded

    def share(self, inputs: Inputs) -> Inputs:
        """This rank's part."""
        return share(inputs, self.rank, self.count)

    def spread(self, model: Any) -> None:
        """Cut the parameters where that is asked for, those of each layer in one piece."""
        if not self._sharded:
            return
        mesh = init_device_mesh(self._device.type, (self.count,))
        for layers in model.children():
            for layer in layers if isinstance(layers, nn.ModuleList) else ():
                fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        for method in METHODS:
            register_fsdp_forward_method(model, method)

    def averaging(self, losses: Callable[..., Tensor], model: Any) -> Callable[..., Tensor]:
        """`losses` whose backward pass leaves every rank the mean of all ranks' gradients."""
        if self._sharded:
            return losses  # FSDP2's hooks are on the model already.
        ids = [self._device] if self._device.type == "cuda" else None
        # Buffers are constants here; copying them at every step would only cost time.
        return DistributedDataParallel(_Losses(losses, model), device_ids=ids, broadcast_buffers=False)

    def gather(self, part: Tensor) -> Tensor:
        """Every rank's part, in order of the ranks, on each of them."""
        # NCCL and gloo know no booleans.
        sent = part.to(torch.uint8) if part.dtype == torch.bool else part
        parts = [torch.empty_like(sent) for _ in range(self.count)]
        dist.all_gather(parts, sent.contiguous())
        return torch.cat(parts).to(part.dtype)

    def mean(self, loss: Tensor) -> Tensor:
        """Of all ranks' values, the same bits on each."""
        total = loss.detach().clone()
        dist.all_reduce(total)
        return total / self.count

    def agreed(self, flag: bool) -> bool:
        """What rank 0 says."""
        said = torch.tensor([int(flag)], device=self._device)
        dist.broadcast(said, src=0)
        return bool(said.item())


class _Losses(nn.Module):
    """A model's losses as the forward pass that DistributedDataParallel wants."""

    def __init__(self, losses: Callable[..., Tensor], model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._losses = losses

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._losses(*inputs)


def ranks_of(settings: Settings, device: torch.device) -> Alone | Ranks:
    """This process among those that the launcher started.

    Raises:
        Unsupported: The launcher started another number of processes than devices are asked for, weights are to be
            cut on a single device, or devices of this kind cannot be joined.
    """
    count, sharding = int(settings.get("execution.devices", 1)), str(settings.get("execution.sharding", "replicated"))
    if count > 1 and device.type not in BACKENDS:
        raise Unsupported(f"execution.devices is {count}: PyTorch joins no {device.type} devices; use 1")
    if count == 1:
        if sharding == "sharded":
            raise Unsupported(
                "execution.sharding is sharded with execution.devices 1: there is nobody to share with; "
                "use execution.sharding=replicated, or more devices"
            )
        return Alone()
    started = int(os.environ.get("WORLD_SIZE", "1"))
    if started != count:
        raise Unsupported(f"execution.devices is {count}, the launcher started {started} processes; use `oildrop run`")
    return Ranks(device, sharded=sharding == "sharded")


def local(tensor: Tensor) -> Tensor:
    """The part of a tensor that lies on this device; the tensor itself where it is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def fill(tensor: Tensor, values: NDArray[np.float32]) -> None:
    """Give a tensor, or the part of it that lies here, its share of `values`."""
    source = torch.from_numpy(values)
    if isinstance(tensor, DTensor):
        source = distribute_tensor(
            source.to(tensor.device), tensor.device_mesh, tensor.placements, src_data_rank=None
        ).to_local()
    local(tensor).copy_(source)


def on_host(tensor: Tensor) -> NDArray[np.float32]:
    """The whole tensor in memory of its own, fp32; where it is cut all ranks must ask at once."""
    whole = tensor.detach()
    if isinstance(whole, DTensor):
        whole = whole.full_tensor()
    return whole.float().cpu().numpy().copy()
