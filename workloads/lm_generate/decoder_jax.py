"""The decoder's graphs in JAX: `read` whole prompts into the cache, `say` the token after one more a row.

Products are in the compute dtype, the residual stream in fp32, as in training. Each layer's keys and values are arrays
of their own, so that a graph to which the cache is given away writes into it in place.

Shape suffixes: B prompts, R rows of the cache in use, N rows of any kind, T positions, V vocabulary, W model width,
H query heads, K key-value heads, G = H / K query heads of one of these, D head width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights
from oildrop.workloads.lm_generate.products_jax import Stored, stored, times
from oildrop.workloads.lm_pretrain.model_jax import rms_norm
from oildrop.workloads.lm_pretrain.reference import ModelShape, rotary_angles
from oildrop.workloads.products_jax import PRODUCT_DTYPES, product

Cache = tuple[tuple[Array, Array], ...]
"""Keys and values of each layer, each [rows, K, positions, D] in the compute dtype."""

Mask = Array | NDArray[np.bool_]

Attend = Callable[[int, Array, Array, Array], Array]
"""From layer, queries, keys and values, [N, heads, D] each, to what is mixed, [N, H * D]."""

Places = Array | NDArray[np.signedinteger[Any]]

NOWHERE = np.iinfo(np.int32).max
"""A row or position of no cache: what is written there is dropped."""


class Served(NamedTuple):
    """Every tensor by canonical name: embedding and norms plain in fp32, the other matrices as they are stored."""

    plain: Mapping[str, Array]
    matrices: Mapping[str, Stored]


def served(weights: Weights, scheme: str, dtype: str, device: jax.Device) -> Served:
    """`weights` as they are served, on `device`, which keeps nothing of the caller's memory."""
    plain = {name: tensor for name, tensor in weights.items() if tensor.ndim == 1 or name == "embedding_VW"}
    return Served(
        plain={name: jax.device_put(np.array(tensor), device, may_alias=False) for name, tensor in plain.items()},
        matrices={
            name: stored(name, tensor, scheme, dtype, device) for name, tensor in weights.items() if name not in plain
        },
    )


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Pure functions of weights, cache and tokens; `dtype` is that of the products."""

    shape: ModelShape
    dtype: str

    def empty_cache(self, rows: int) -> Cache:
        """Zeros for `rows` rows."""
        size = (rows, self.shape.key_value_heads, self.shape.positions, self.shape.head_width)
        element = PRODUCT_DTYPES[self.dtype]
        return tuple((jnp.zeros(size, element), jnp.zeros(size, element)) for _ in range(self.shape.layers))

    def read(
        self, weights: Served, cache: Cache, tokens_BT: Array, rows_B: Array, start: Array | None = None
    ) -> tuple[Cache, Array]:
        """The cache with prompts in `rows_B`, and the residual stream [B, T, W] after all layers.

        Args:
            rows_B: int32; NOWHERE for prompts that only fill the batch.
            start: Position of the first token, int32; those before it are in the cache. None: 0, and nothing is.
        """
        B, T = tokens_BT.shape
        K, D = self.shape.key_value_heads, self.shape.head_width
        places_T = np.arange(T, dtype=np.int32) + (0 if start is None else start)
        seen = np.arange(T if start is None else self.shape.positions) <= places_T[:, None]
        filled = list(cache)

        def attend(layer: int, q_NHD: Array, k_NKD: Array, v_NKD: Array) -> Array:
            k_BKTD, v_BKTD = (x.reshape(B, T, K, D).swapaxes(1, 2) for x in (k_NKD, v_NKD))
            keys, values = filled[layer]
            filled[layer] = (
                _with_prompts(keys, k_BKTD, rows_B, None if start is None else places_T),
                _with_prompts(values, v_BKTD, rows_B, None if start is None else places_T),
            )
            if start is not None:
                k_BKTD, v_BKTD = (whole.at[rows_B].get(mode="clip") for whole in filled[layer])
            q_BTKGD = q_NHD.reshape(B, T, K, -1, D)
            scores = product("btkgd,bksd->bkgts", q_BTKGD, k_BKTD, self.dtype)
            mixed = product("bkgts,bksd->btkgd", self._shares(scores, seen), v_BKTD, self.dtype)
            return mixed.reshape(B * T, -1)

        positions_N = jnp.tile(places_T, B)
        x_NW = self._through(weights, tokens_BT.reshape(-1), positions_N, attend)
        return tuple(filled), x_NW.reshape(B, T, -1)

    def say(
        self, weights: Served, cache: Cache, tokens_R: Array, positions_R: Array, first: Array
    ) -> tuple[Cache, Array, Array]:
        """One more token in each row of R that follow each other, the logits [R, V] after it and their likeliest [R].

        Args:
            positions_R: int32; NOWHERE for rows that were not asked for and stay as they are.
            first: Row of the cache that `tokens_R[0]` belongs to, int32.
        """
        R, K, D = len(tokens_R), self.shape.key_value_heads, self.shape.head_width
        rows_R = first + jnp.arange(R)
        seen_R11T = (np.arange(self.shape.positions) <= positions_R[:, None])[:, None, None]
        filled = list(cache)

        def attend(layer: int, q_RHD: Array, k_RKD: Array, v_RKD: Array) -> Array:
            keys, values = (
                whole.at[rows_R, :, positions_R].set(new, mode="drop")
                for whole, new in zip(filled[layer], (k_RKD, v_RKD), strict=True)
            )
            filled[layer] = keys, values
            k_RKTD, v_RKTD = (_rows(whole, first, R) for whole in (keys, values))
            scores = product("rkgd,rktd->rkgt", q_RHD.reshape(R, K, -1, D), k_RKTD, self.dtype)
            return product("rkgt,rktd->rkgd", self._shares(scores, seen_R11T), v_RKTD, self.dtype).reshape(R, -1)

        x_RW = self._through(weights, tokens_R, positions_R, attend)
        logits_RV = self.score(weights, x_RW)
        return tuple(filled), logits_RV, logits_RV.argmax(axis=-1)

    def extend(
        self, weights: Served, cache: Cache, tokens_BT: Array, positions_BT: Array, rows_B: Array
    ) -> tuple[Cache, Array, Array]:
        """Several more tokens in each of `rows_B`, the logits [B * T, V] after each and their likeliest [B * T].

        Args:
            positions_BT: int32; a token may stand twice, at one position.
            rows_B: int32; NOWHERE for rows that only fill the batch.
        """
        B, T = tokens_BT.shape
        K, D = self.shape.key_value_heads, self.shape.head_width
        seen_B11TT = (np.arange(self.shape.positions) <= positions_BT[..., None])[:, None, None]
        filled = list(cache)

        def attend(layer: int, q_NHD: Array, k_NKD: Array, v_NKD: Array) -> Array:
            keys, values = (
                whole.at[rows_B[:, None], :, positions_BT].set(new.reshape(B, T, K, D), mode="drop")
                for whole, new in zip(filled[layer], (k_NKD, v_NKD), strict=True)
            )
            filled[layer] = keys, values
            k_BKTD, v_BKTD = (whole.at[rows_B].get(mode="clip") for whole in (keys, values))
            scores = product("btkgd,bksd->bkgts", q_NHD.reshape(B, T, K, -1, D), k_BKTD, self.dtype)
            mixed = product("bkgts,bksd->btkgd", self._shares(scores, seen_B11TT), v_BKTD, self.dtype)
            return mixed.reshape(B * T, -1)

        x_NW = self._through(weights, tokens_BT.reshape(-1), positions_BT.reshape(-1), attend)
        logits_NV = self.score(weights, x_NW)
        return tuple(filled), logits_NV, logits_NV.argmax(axis=-1)

    def last(self, weights: Served, x_BTW: Array, last_B: Array) -> tuple[Array, Array]:
        """The logits [B, V] at one place of each prompt's residual stream, and the likeliest tokens [B]."""
        logits_BV = self.score(weights, x_BTW[jnp.arange(len(last_B)), last_B])
        return logits_BV, logits_BV.argmax(axis=-1)

    def score(self, weights: Served, x: Array) -> Array:
        """Logits [..., V] of the residual stream after the last layer."""
        normal = rms_norm(x, weights.plain["norm_W"], self.shape.norm_epsilon)
        return times(weights.matrices["head_VW"], normal, self.dtype)

    def _through(self, weights: Served, tokens_N: Array, positions_N: Array, attend: Attend) -> Array:
        """The residual stream [N, W] after all layers."""
        H, K, D = self.shape.heads, self.shape.key_value_heads, self.shape.head_width

        def normed(x_NW: Array, name: str) -> Array:
            return rms_norm(x_NW, weights.plain[name], self.shape.norm_epsilon)

        def linear(x_NI: Array, name: str) -> Array:
            return times(weights.matrices[name], x_NI, self.dtype)

        x_NW = weights.plain["embedding_VW"][tokens_N]
        for i in range(self.shape.layers):
            layer = f"layers.{i}."
            qkv = linear(normed(x_NW, layer + "attention_norm_W"), layer + "query_key_value_OI")
            qk, v_NKD = jnp.split(qkv.reshape(-1, H + 2 * K, D), (H + K,), axis=1)
            q_NHD, k_NKD = jnp.split(self._rotate(qk, positions_N), (H,), axis=1)
            x_NW = x_NW + linear(attend(i, q_NHD, k_NKD, v_NKD), layer + "attention_out_OI")
            gate_up = linear(normed(x_NW, layer + "feed_norm_W"), layer + "gate_up_OI")
            gate_NF, up_NF = jnp.split(gate_up, 2, axis=-1)
            x_NW = x_NW + linear(jax.nn.silu(gate_NF) * up_NF, layer + "down_OI")
        return x_NW

    def _rotate(self, x_NHD: Array, positions_N: Array) -> Array:
        """Turn the pair (i, i + D/2) of each head by the position's angle i."""
        angle_TD = rotary_angles(self.shape)
        cos, sin = (jnp.asarray(turn(angle_TD), jnp.float32)[positions_N][:, None] for turn in (np.cos, np.sin))
        left, right = jnp.split(x_NHD, 2, axis=-1)
        return jnp.concatenate((left * cos - right * sin, left * sin + right * cos), axis=-1).astype(x_NHD.dtype)

    def _shares(self, scores: Array, seen: Mask) -> Array:
        """What is taken of each position, rows sum to 1, fp32."""
        scaled = scores.astype(jnp.float32) / np.sqrt(self.shape.head_width)
        return jax.nn.softmax(jnp.where(seen, scaled, -jnp.inf), axis=-1)


def _with_prompts(whole: Array, new_BKTD: Array, rows_B: Array, places_T: Places | None) -> Array:
    """Keys or values of the cache with those of prompts, at `places_T`, or from the first place on."""
    if places_T is None:
        return whole.at[rows_B, :, : new_BKTD.shape[2]].set(new_BKTD, mode="drop")
    return whole.at[rows_B[:, None], :, places_T].set(new_BKTD.swapaxes(1, 2), mode="drop")


def row_of(cache: Cache, slot: Array) -> Array:
    """Keys and values of one row, [L, 2, K, positions, D]."""
    return jnp.stack([jnp.stack([keys[slot], values[slot]]) for keys, values in cache])


def with_row(cache: Cache, slot: Array, row_L2KTD: Array) -> Cache:
    """The cache with `row_L2KTD` for one of its rows."""
    return tuple(
        (keys.at[slot].set(row[0]), values.at[slot].set(row[1]))
        for (keys, values), row in zip(cache, row_L2KTD, strict=True)
    )


def _rows(whole: Array, first: Array, count: int) -> Array:
    """`count` rows from `first` on; all of them as they are."""
    return whole if count == len(whole) else jax.lax.dynamic_slice_in_dim(whole, first, count)
