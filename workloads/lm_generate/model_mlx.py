"""The generator in MLX: prompts filled up to the longest, steps over the rows asked for.

Shape suffixes: B prompts or tokens of one call, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.compiler_mlx import require_supported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import CacheRow, Tokens
from oildrop.workloads.lm_generate.decoder_mlx import Cache, Decoder
from oildrop.workloads.lm_generate.shapes import model_shape, prompt_buckets, side_by_side
from oildrop.workloads.products_mlx import PRODUCT_DTYPES
from oildrop.workloads.protocols import Device, Settings


def make_generator(settings: Settings, device: Device) -> MlxGenerator:
    """The generator that `settings` describe, its weights unset."""
    return MlxGenerator(settings, device)


class Answers(NamedTuple):
    """Logits [B, V] and the likeliest tokens [B] on the device."""

    logits: mx.array
    likeliest: mx.array


class MlxGenerator:
    """The `Generator` of MLX on a CPU, Metal or CUDA device.

    Nothing is padded but short prompts beside long ones: MLX's kernels take any shape.
    """

    def __init__(self, settings: Settings, device: Device) -> None:
        self._settings = settings
        self._device = device

    def build(self) -> None:
        """Make the cache, and run prompts and steps of every kind."""
        require_supported(self._settings)
        mx.set_default_device(self._device.handle)
        self._shape = shape = model_shape(self._settings)
        self._slots = int(self._settings["execution.slots"])
        self._at_once = min(int(self._settings["execution.prefill_requests"]), self._slots)
        self._dtype = str(self._settings["execution.dtype"])
        self._cache = Cache(shape, self._slots, self._dtype)
        self.set_weights({name: np.zeros(size, dtype=np.float32) for name, size in shape.tensors().items()})
        self._run_every_graph()

    def set_weights(self, weights: Weights) -> None:
        """Cast and quantise once."""
        self._decoder = Decoder(self._shape, weights, str(self._settings["execution.weights"]), self._dtype)

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Answers:
        """Prompts side by side, short ones filled up behind."""
        tokens_BT = np.zeros((len(prompts), max(map(len, prompts))), dtype=np.int32)
        for row_T, prompt in zip(tokens_BT, prompts, strict=True):
            row_T[: len(prompt)] = prompt
        x_BTW = self._decoder.read(tokens_BT, slots_B, self._cache, start)
        last_B = mx.array([len(prompt) - 1 for prompt in prompts])
        return self._started(self._decoder.score(x_BTW[mx.arange(len(prompts)), last_B]))

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Answers:
        """The rows asked for, up to the furthest of their positions."""
        return self._started(self._decoder.say(tokens_B, positions_B, slots_B, self._cache))

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Answers:
        """Rows side by side; a short one's last token stands again where it is too short."""
        tokens_BT, positions_BT, own_BT = side_by_side(tokens, positions_B)
        x_NW = self._decoder.extend(tokens_BT, positions_BT, slots_B, self._cache)
        return self._started(self._decoder.score(x_NW[mx.array(own_BT.ravel().nonzero()[0])]))

    def greedy(self, handle: Answers) -> Tokens:
        """Worked out on the device."""
        return np.array(handle.likeliest, dtype=np.int32)

    def logits(self, handle: Answers) -> NDArray[np.float32]:
        """As the device has them, in fp32."""
        return np.array(handle.logits.astype(mx.float32))

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """Over the first rows of the cache, as many prompts at once as a prefill takes."""
        parts = []
        for start in range(0, len(tokens_BT), self._at_once):
            part_BT = tokens_BT[start : start + self._at_once]
            x_BTW = self._decoder.read(part_BT, np.arange(len(part_BT), dtype=np.int32), self._cache)
            parts.append(self.logits(self._started(self._decoder.score(x_BTW))))
        return np.concatenate(parts)

    def cache_of(self, slot: int, length: int) -> CacheRow:
        """As the cache has it."""
        cache_L2KTD = mx.stack([mx.stack([x[slot, :, :length] for x in part]) for part in self._cache.parts])
        return np.array(cache_L2KTD.view(mx.uint16) if self._dtype == "bf16" else cache_L2KTD)

    def put_cache(self, slot: int, cache: CacheRow) -> None:
        """Into every layer's arrays."""
        length = cache.shape[3]
        for part, new_2KTD in zip(self._cache.parts, mx.array(cache).view(PRODUCT_DTYPES[self._dtype]), strict=True):
            part[0][slot, :, :length] = new_2KTD[0]
            part[1][slot, :, :length] = new_2KTD[1]
        mx.eval(self._cache.parts)

    def keep(self, slot: int, length: int) -> list[list[mx.array]]:
        """Keys and values of each layer, [K, T, D]."""
        kept = [[mx.contiguous(whole[slot, :, :length]) for whole in part] for part in self._cache.parts]
        mx.eval(kept)
        return kept

    def give(self, slot: int, kept: list[list[mx.array]], length: int) -> None:
        """Into every layer's arrays."""
        for part, row in zip(self._cache.parts, kept, strict=True):
            for whole, own_KTD in zip(part, row, strict=True):
                whole[slot, :, :length] = own_KTD[:, :length]

    def _started(self, logits: mx.array) -> Answers:
        """What was asked for and the cache behind it, given to the device at once; MLX would wait until it is read."""
        answers = Answers(logits, mx.argmax(logits, axis=-1))
        mx.async_eval(answers, self._cache.parts)  # type: ignore[no-untyped-call]
        return answers

    def _run_every_graph(self) -> None:
        """Prompts of every length that others pad to, and steps of one row, of some and of all."""
        for count in {1, self._at_once}:
            rows_B = np.arange(count, dtype=np.int32)
            for length in prompt_buckets(self._shape.positions):
                self.greedy(self.prefill(rows_B, [np.zeros(length, dtype=np.int32)] * count))
        for count in {1, min(2, self._slots), self._slots}:
            zeros_B = np.zeros(count, dtype=np.int32)
            self.greedy(self.decode(np.arange(count, dtype=np.int32), zeros_B, zeros_B))
