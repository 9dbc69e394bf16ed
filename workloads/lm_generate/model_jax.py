"""The generator in JAX: which rows of the cache a call uses, and how it is padded to a shape that was compiled.

Shape suffixes: B prompts or tokens of one call, R rows of the cache in use, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from oildrop.workloads.compiler_jax import require_supported
from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import CacheRow, Tokens
from oildrop.workloads.lm_generate.decoder_jax import NOWHERE, Decoder, row_of, served, with_row
from oildrop.workloads.lm_generate.shapes import bucket_of, model_shape, prompt_buckets, side_by_side
from oildrop.workloads.protocols import Device, Settings


def make_generator(settings: Settings, device: Device) -> JaxGenerator:
    """The generator that `settings` describe, its weights unset."""
    return JaxGenerator(settings, device)


class Answers(NamedTuple):
    """Logits [R, V] and the likeliest tokens [R] on the device, and which rows of them were asked for, [B]."""

    logits: Array
    likeliest: Array
    rows_B: NDArray[np.int64]


class JaxGenerator:
    """The `Generator` of JAX on a CPU, CUDA, ROCm or TPU device.

    XLA compiles each shape by itself, so prompts fill a bucket of lengths, one of them or as many as are read at once;
    a step goes over a power of two of rows that follow each other, or over all.
    """

    def __init__(self, settings: Settings, device: Device) -> None:
        self._settings = settings
        self._handle: jax.Device = device.handle

    def build(self) -> None:
        """Make cache and graphs."""
        require_supported(self._settings)
        self._shape = shape = model_shape(self._settings)
        self._slots = int(self._settings["execution.slots"])
        self._at_once = min(int(self._settings["execution.prefill_requests"]), self._slots)
        self._starts = (0, 1) if self._settings["requests.depth_tokens"] else (0,)
        self._lengths, self._spans = prompt_buckets(shape.positions), _spans(self._slots)
        self._drafted = min(int(self._settings["execution.draft_tokens"]) + 1, shape.positions)
        self._widths = tuple(sorted({1, self._drafted, *self._lengths}))
        decoder = Decoder(shape=shape, dtype=str(self._settings["execution.dtype"]))
        self._read = jax.jit(decoder.read, donate_argnums=1)
        self._say = jax.jit(decoder.say, donate_argnums=1)
        self._row, self._put_row = jax.jit(row_of), jax.jit(with_row, donate_argnums=0)
        self._extend = jax.jit(decoder.extend, donate_argnums=1)
        self._last, self._all = jax.jit(decoder.last), jax.jit(decoder.score)
        self._cache = jax.device_put(decoder.empty_cache(self._slots), self._handle)
        self.set_weights({name: np.zeros(size, dtype=np.float32) for name, size in shape.tensors().items()})
        self._run_every_graph()

    def set_weights(self, weights: Weights) -> None:
        """Cast and quantise once."""
        scheme, dtype = (str(self._settings[f"execution.{key}"]) for key in ("weights", "dtype"))
        self._weights = served(weights, scheme, dtype, self._handle)

    def prefill(self, slots_B: Tokens, prompts: Sequence[Tokens], start: int = 0) -> Answers:
        """Prompts side by side, short ones filled up behind."""
        count = len(prompts)
        x_BTW = self._stream(prompts, slots_B, 1 if count == 1 else self._at_once, start)
        last_B = np.zeros(len(x_BTW), dtype=np.int32)
        last_B[:count] = [len(prompt) - 1 for prompt in prompts]
        logits_BV, likeliest_B = self._last(self._weights, x_BTW, last_B)
        return Answers(logits_BV, likeliest_B, np.arange(count))

    def decode(self, slots_B: Tokens, tokens_B: Tokens, positions_B: Tokens) -> Answers:
        """All rows from the first to the last of `slots_B`, and as many more as fill a span."""
        span = bucket_of(int(slots_B[-1] - slots_B[0]) + 1, self._spans)
        first = min(int(slots_B[0]), self._slots - span)
        rows_B = slots_B.astype(np.int64) - first
        tokens_R, positions_R = np.zeros(span, dtype=np.int32), np.full(span, NOWHERE, dtype=np.int32)
        tokens_R[rows_B], positions_R[rows_B] = tokens_B, positions_B
        self._cache, logits_RV, likeliest_R = self._say(
            self._weights, self._cache, tokens_R, positions_R, np.int32(first)
        )
        return Answers(logits_RV, likeliest_R, rows_B)

    def extend(self, slots_B: Tokens, tokens: Sequence[Tokens], positions_B: Tokens) -> Answers:
        """Rows side by side, filled up to a span of rows and a width of tokens."""
        width = bucket_of(max(map(len, tokens)), self._widths)
        tokens_BT, positions_BT, own_BT = side_by_side(tokens, positions_B, width)
        count = bucket_of(len(tokens), self._spans)
        filler = ((0, count - len(tokens)), (0, 0))
        rows_B = np.pad(slots_B, filler[0], constant_values=NOWHERE)
        self._cache, logits_NV, likeliest_N = self._extend(
            self._weights,
            self._cache,
            np.pad(tokens_BT, filler).astype(np.int32),
            np.pad(positions_BT, filler).astype(np.int32),
            rows_B,
        )
        return Answers(logits_NV, likeliest_N, own_BT.ravel().nonzero()[0])

    def greedy(self, handle: Answers) -> Tokens:
        """Worked out on the device."""
        return np.asarray(handle.likeliest)[handle.rows_B].astype(np.int32)

    def logits(self, handle: Answers) -> NDArray[np.float32]:
        """As the device has them, in fp32."""
        return np.asarray(handle.logits)[handle.rows_B].astype(np.float32)

    def prompt_logits(self, tokens_BT: Tokens) -> NDArray[np.float32]:
        """Over the first rows of the cache, as many prompts at once as a prefill takes."""
        length, parts = tokens_BT.shape[1], []
        for start in range(0, len(tokens_BT), self._at_once):
            part_BT = tokens_BT[start : start + self._at_once]
            x_BTW = self._stream(list(part_BT), np.arange(len(part_BT), dtype=np.int32), self._at_once)
            logits_BTV = np.asarray(self._all(self._weights, x_BTW))
            parts.append(logits_BTV[: len(part_BT), :length].astype(np.float32))
        return np.concatenate(parts)

    def cache_of(self, slot: int, length: int) -> CacheRow:
        """The whole row, so that there is one graph, cut on the host."""
        cache_L2KTD = np.asarray(self._row(self._cache, np.int32(slot)))[..., :length, :]
        return cache_L2KTD.view(np.uint16) if cache_L2KTD.dtype == jnp.bfloat16 else cache_L2KTD

    def put_cache(self, slot: int, cache: CacheRow) -> None:
        """Filled up to a whole row, so that there is one graph."""
        *sizes, length, width = cache.shape
        row_L2KTD = np.zeros((*sizes, self._shape.positions, width), dtype=self._cache[0][0].dtype)
        row_L2KTD[..., :length, :] = cache.view(row_L2KTD.dtype)
        self._cache = jax.block_until_ready(self._put_row(self._cache, np.int32(slot), row_L2KTD))

    def keep(self, slot: int, length: int) -> Array:
        """The whole row, [L, 2, K, positions, D], so that there is one graph."""
        return self._row(self._cache, np.int32(slot))

    def give(self, slot: int, kept: Array, length: int) -> None:
        """Likewise: what lies behind `length` never shows."""
        self._cache = self._put_row(self._cache, np.int32(slot), kept)

    def _stream(self, prompts: Sequence[Tokens], slots_B: Tokens, count: int, start: int = 0) -> Array:
        """The residual stream of `prompts`, filled up to `count` of them, which go into `slots_B`."""
        tokens_BT = np.zeros((count, bucket_of(max(map(len, prompts)), self._lengths)), dtype=np.int32)
        for row_T, prompt in zip(tokens_BT, prompts, strict=False):
            row_T[: len(prompt)] = prompt
        rows_B = np.full(count, NOWHERE, dtype=np.int32)
        rows_B[: len(slots_B)] = slots_B
        place = (np.int32(start),) if start else ()  # Without it the graph looks at the prompt alone.
        self._cache, x_BTW = self._read(self._weights, self._cache, tokens_BT, rows_B, *place)
        return x_BTW

    def _run_every_graph(self) -> None:
        """Prompts of every bucket, their last and all their logits, a row out and in, and steps of every span."""
        for length in self._lengths:
            prompt = np.zeros(length, dtype=np.int32)
            for count in {1, self._at_once}:
                for start in self._starts:
                    self.prefill(np.arange(count, dtype=np.int32), [prompt] * count, start)
            self.prompt_logits(prompt[None])
        self.put_cache(0, self.cache_of(0, 1))
        for span in self._spans:
            ends = np.unique(np.array([0, span - 1], dtype=np.int32))
            self.greedy(self.decode(ends, np.zeros_like(ends), np.zeros_like(ends)))
        if self._settings["execution.draft"]:
            self._run_extensions()

    def _run_extensions(self) -> None:
        """Of the one width that drafts have: the newest token and all that may be proposed behind it."""
        tokens = np.zeros(self._drafted, dtype=np.int32)
        for span in self._spans:
            rows_B = np.arange(span, dtype=np.int32)
            self.greedy(self.extend(rows_B, [tokens] * span, np.zeros_like(rows_B)))


def _spans(slots: int) -> tuple[int, ...]:
    """Numbers of rows that a step may go over: powers of two, and all of them."""
    return (*(2**i for i in range((slots - 1).bit_length())), slots)
