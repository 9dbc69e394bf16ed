"""The generator in PyTorch: which rows of the cache a call uses, and how it is padded.

Shape suffixes: B prompts or tokens of one call, R rows of the cache in use, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oildrop.workloads.compiler_torch import in_own_graphs, require_compiler
from oildrop.workloads.cores import physical_cores
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import CacheRow, Tokens
from oildrop.workloads.lm_generate.decoder_torch import Decoder
from oildrop.workloads.lm_generate.one_row_torch import SPARE_POSITIONS, OneRow
from oildrop.workloads.lm_generate.shapes import model_shape, side_by_side
from oildrop.workloads.protocols import Device, Settings

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def make_generator(settings: Settings, device: Device) -> TorchGenerator:
    """The generator that `settings` describe, its weights unset."""
    return TorchGenerator(settings, device)


class TorchGenerator:
    """The `Generator` of PyTorch on a CPU, CUDA, ROCm or Metal device.

    Prompts are read uncompiled: their time goes into large products, and each length would be a graph. A step is
    compiled where that is declared, in two shapes: for one row, on a processor a graph of its own (`one_row_torch.py`),
    and for all of them whichever are in use.
    """

    def __init__(self, settings: Settings, device: Device) -> None:
        self._settings = settings
        self._handle: torch.device = device.handle

    def build(self) -> None:
        """Make cache and graphs."""
        torch.set_num_threads(int(self._settings["execution.threads"]) or physical_cores())
        self._shape = shape = model_shape(self._settings)
        self._slots = int(self._settings["execution.slots"])
        self._at_once = min(int(self._settings["execution.prefill_requests"]), self._slots)
        self._dtype = DTYPES[str(self._settings["execution.dtype"])]
        self._compiled = self._settings["execution.compile"] == "inductor"
        room = shape.positions + SPARE_POSITIONS
        sizes = (shape.layers, 2, self._slots, shape.key_value_heads, room, shape.head_width)
        cache = torch.zeros(sizes, dtype=self._dtype, device=self._handle)
        self._cache_L2RKTD = cache[..., : shape.positions, :]
        alone = self._compiled and self._handle.type == "cpu"
        scheme = str(self._settings["execution.weights"])
        self._decoder = Decoder(shape, scheme, self._dtype, self._handle, blocks=alone)
        self._say = self._decoder.say
        self._one_row = None
        if self._compiled:
            require_compiler()
            self._say = in_own_graphs(self._say, dynamic=False)
            if alone:
                self._one_row = OneRow(self._decoder, self._cache_L2RKTD)
        self._run_every_graph()

    def set_weights(self, weights: Weights) -> None:
        """Into the tensors that the graphs read."""
        self._decoder.load(weights)

    @torch.inference_mode()
    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Tensor:
        """Prompts side by side, short ones filled up behind."""
        tokens_BT = np.zeros((len(prompts), max(map(len, prompts))), dtype=np.int64)
        for row_T, prompt in zip(tokens_BT, prompts, strict=True):
            row_T[: len(prompt)] = prompt
        x_BTW = self._decoder.read(self._put(tokens_BT), self._put(slots_B), self._cache_L2RKTD, start)
        last_B = torch.tensor([len(prompt) - 1 for prompt in prompts], device=self._handle)
        return self._decoder.score(x_BTW[torch.arange(len(prompts), device=self._handle), last_B])

    @torch.inference_mode()
    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Tensor:
        """All rows from the first to the last of `slots_B`; those between that were not asked for stay as they are."""
        if self._one_row is not None and len(slots_B) == 1:
            return self._one_row(int(slots_B[0]), int(tokens_B[0]), int(positions_B[0]))
        first, end = int(slots_B[0]), int(slots_B[-1]) + 1
        length = int(positions_B.max()) + 1
        if self._compiled:
            length = self._shape.positions
            if len(slots_B) > 1:
                first, end = 0, self._slots
        rows_B = slots_B - first
        tokens_R, positions_R = np.zeros((2, end - first), dtype=np.int64)
        tokens_R[rows_B], positions_R[rows_B] = tokens_B, positions_B
        asked_R = None
        if self._compiled or len(slots_B) < end - first:  # One graph, whether all are asked or some.
            asked_R = np.zeros(end - first, dtype=np.bool_)
            asked_R[rows_B] = True
        logits_RV = self._say(
            self._put(tokens_R),
            self._put(positions_R),
            None if asked_R is None else self._put(asked_R),
            self._cache_L2RKTD[:, :, first:end],
            length,
        )
        return logits_RV if len(slots_B) == end - first else logits_RV[self._put(rows_B)]

    @torch.inference_mode()
    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Tensor:
        """Uncompiled, as prompts are read; a short row's last token stands again where it is too short."""
        tokens_BT, positions_BT, own_BT = side_by_side(tokens, positions_B)
        x_NW = self._decoder.extend(
            self._put(tokens_BT),
            self._put(positions_BT),
            self._put(slots_B),
            self._cache_L2RKTD,
            int(positions_BT.max()) + 1,
        )
        return self._decoder.score(x_NW if own_BT.all() else x_NW[self._put(own_BT.ravel())])

    def greedy(self, handle: Tensor) -> Tokens:
        """Worked out on the device."""
        return handle.argmax(dim=-1).int().cpu().numpy()

    def logits(self, handle: Tensor) -> NDArray[np.float32]:
        """As the device has them, in fp32."""
        return handle.float().cpu().numpy()

    @torch.inference_mode()
    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """Over the first rows of the cache, as many prompts at once as a prefill takes."""
        parts = []
        for start in range(0, len(tokens_BT), self._at_once):
            part_BT = tokens_BT[start : start + self._at_once].astype(np.int64)
            rows_B = np.arange(len(part_BT), dtype=np.int32)
            x_BTW = self._decoder.read(self._put(part_BT), self._put(rows_B), self._cache_L2RKTD)
            logits = self._decoder.score(x_BTW.reshape(-1, self._shape.width))
            parts.append(self.logits(logits).reshape(*part_BT.shape, -1))
        return np.concatenate(parts)

    def cache_of(self, slot: int, length: int) -> CacheRow:
        """Pairs that stand side by side here are taken apart."""
        cache_L2KTD = self._cache_L2RKTD[:, :, slot, :, :length].clone()
        cache_L2KTD[:, 0] = cache_L2KTD[:, 0].unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)
        return _bits(cache_L2KTD.cpu())

    def put_cache(self, slot: int, cache: CacheRow) -> None:
        """Pairs are put side by side, as the query's are."""
        cache_L2KTD = torch.from_numpy(cache.copy()).view(self._dtype).to(self._handle)
        cache_L2KTD[:, 0] = cache_L2KTD[:, 0].unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
        self._cache_L2RKTD[:, :, slot, :, : cache_L2KTD.shape[3]] = cache_L2KTD
        self._cache_L2RKTD[0, 0, slot, 0, 0, 0].item()  # To read one number is to wait for what was asked before.

    def keep(self, slot: int, length: int) -> Tensor:
        """[L, 2, K, T, D] as the cache has it."""
        return self._cache_L2RKTD[:, :, slot, :, :length].clone()

    def give(self, slot: int, kept: Tensor, length: int) -> None:
        """Likewise."""
        self._cache_L2RKTD[:, :, slot, :, :length] = kept[..., :length, :]

    def _put(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._handle)

    def _run_every_graph(self) -> None:
        """Prompts of the greatest length, and steps of one row, of some and of all."""
        longest = np.zeros(self._shape.positions, dtype=np.int32)
        for count in {1, self._at_once}:
            self.prefill(np.arange(count, dtype=np.int32), [longest] * count)
        for count in {1, min(2, self._slots), self._slots}:
            tokens_B = np.zeros(count, dtype=np.int32)
            self.decode(np.arange(count, dtype=np.int32), tokens_B, tokens_B)
        if self._one_row is not None:
            self._one_row.run_every_length()


def _bits(tensor: Tensor) -> CacheRow:
    """On the host as NumPy has them: it knows no bfloat16."""
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
