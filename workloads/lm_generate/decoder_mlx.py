"""The decoder in MLX: `read` whole prompts into the cache, `say` the token after one more in some rows.

Products are in the compute dtype, the residual stream in fp32, as in training. A call's graph is put together anew each
time, of the shapes asked for. It is not compiled as a whole: `mx.compile` keeps its inputs, and a cache that is kept
is copied where it could be written in place. What stands between products is compiled, so that it is fused.

Shape suffixes: B prompts or tokens of one call, N rows of any kind, T positions, V vocabulary, W model width, H query
heads, K key-value heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Tokens
from oildrop.workloads.lm_generate.products_mlx import Product, product_of
from oildrop.workloads.lm_pretrain.reference import ModelShape, rotary_angles
from oildrop.workloads.products_mlx import PRODUCT_DTYPES, silu

Attend = Callable[[int, mx.array, mx.array, mx.array], mx.array]
"""From layer, queries, keys and values, [N, heads, D] each, to what is mixed, [N, H * D]."""


@dataclass(frozen=True, kw_only=True)
class _Layer:
    """One layer's scales and products."""

    attention_norm_W: mx.array
    query_key_value: Product
    attention_out: Product
    feed_norm_W: mx.array
    gate_up: Product
    down: Product


class Cache:
    """Keys and values of each layer, each [rows, K, positions, D]; written in place where nothing else holds them."""

    def __init__(self, shape: ModelShape, rows: int, dtype: str) -> None:
        size = (rows, shape.key_value_heads, shape.positions, shape.head_width)
        self.parts = [[mx.zeros(size, PRODUCT_DTYPES[dtype]) for _ in range(2)] for _ in range(shape.layers)]
        mx.eval(self.parts)


class Decoder:
    """Weights as they are served, and what is worked out with them on MLX's default device."""

    def __init__(self, shape: ModelShape, weights: Weights, scheme: str, dtype: str) -> None:
        self._shape = shape
        self._epsilon = shape.norm_epsilon

        def product(name: str) -> Product:
            return product_of(name, weights[name], scheme, dtype)

        self._embedding_VW, self._norm_W = mx.array(weights["embedding_VW"]), mx.array(weights["norm_W"])
        self._head = product("head_VW")
        self._layers = [
            _Layer(
                attention_norm_W=mx.array(weights[f"layers.{i}.attention_norm_W"]),
                query_key_value=product(f"layers.{i}.query_key_value_OI"),
                attention_out=product(f"layers.{i}.attention_out_OI"),
                feed_norm_W=mx.array(weights[f"layers.{i}.feed_norm_W"]),
                gate_up=product(f"layers.{i}.gate_up_OI"),
                down=product(f"layers.{i}.down_OI"),
            )
            for i in range(shape.layers)
        ]
        angle_TD = rotary_angles(shape)
        self._cos_T1D, self._sin_T1D = (mx.array(f(angle_TD).astype(np.float32))[:, None] for f in (np.cos, np.sin))

    def read(self, tokens_BT: Tokens, rows_B: Tokens, cache: Cache, start: int = 0) -> mx.array:
        """The residual stream [B, T, W] after all layers; keys and values go to rows `rows_B` of the cache.

        Args:
            start: Position of the first token; those before it are in the cache.
        """
        B, T = tokens_BT.shape
        end = start + T
        D = self._shape.head_width
        rows = mx.array(rows_B)

        def attend(layer: int, q_NHD: mx.array, k_NKD: mx.array, v_NKD: mx.array) -> mx.array:
            q_BHTD, k_BKTD, v_BKTD = (x.reshape(B, T, -1, D).transpose(0, 2, 1, 3) for x in (q_NHD, k_NKD, v_NKD))
            part = cache.parts[layer]
            part[0][rows, :, start:end] = k_BKTD
            part[1][rows, :, start:end] = v_BKTD
            if start:
                k_BKTD, v_BKTD = (whole[rows, :, :end] for whole in part)
            mixed_BHTD = mx.fast.scaled_dot_product_attention(q_BHTD, k_BKTD, v_BKTD, scale=D**-0.5, mask="causal")
            return mixed_BHTD.transpose(0, 2, 1, 3).reshape(B * T, -1)

        positions_N = mx.array(np.tile(np.arange(start, end, dtype=np.int32), B))
        return self._through(mx.array(tokens_BT.reshape(-1)), positions_N, attend).reshape(B, T, -1)

    def say(self, tokens_B: Tokens, positions_B: Tokens, rows_B: Tokens, cache: Cache) -> mx.array:
        """Logits [B, V] after one more token in each of `rows_B`."""
        D = self._shape.head_width
        rows, positions = mx.array(rows_B), mx.array(positions_B)
        length = int(positions_B.max()) + 1
        seen_B11T = (mx.arange(length) <= positions[:, None])[:, None, None]
        first, end = int(rows_B[0]), int(rows_B[-1]) + 1
        used = slice(first, end) if end - first == len(rows_B) else rows

        def attend(layer: int, q_BHD: mx.array, k_BKD: mx.array, v_BKD: mx.array) -> mx.array:
            part = cache.parts[layer]
            part[0][rows, :, positions] = k_BKD
            part[1][rows, :, positions] = v_BKD
            k_BKTD, v_BKTD = (whole[used, :, :length] for whole in part)
            mixed_BH1D = mx.fast.scaled_dot_product_attention(
                q_BHD[:, :, None], k_BKTD, v_BKTD, scale=D**-0.5, mask=seen_B11T
            )
            return mixed_BH1D.reshape(len(rows_B), -1)

        return self.score(self._through(mx.array(tokens_B), positions, attend))

    def extend(
        self, tokens_BT: NDArray[np.int64], positions_BT: NDArray[np.int64], rows_B: Tokens, cache: Cache
    ) -> mx.array:
        """The residual stream [B * T, W] after several more tokens in each of `rows_B`.

        Args:
            positions_BT: Of each token; a token may stand twice, at one position.
        """
        B, T = tokens_BT.shape
        D = self._shape.head_width
        rows, positions = mx.array(rows_B), mx.array(positions_BT)
        length = int(positions_BT.max()) + 1
        seen_B1TT = (mx.arange(length) <= positions[..., None])[:, None]

        def attend(layer: int, q_NHD: mx.array, k_NKD: mx.array, v_NKD: mx.array) -> mx.array:
            part = cache.parts[layer]
            part[0][rows[:, None], :, positions] = k_NKD.reshape(B, T, -1, D)
            part[1][rows[:, None], :, positions] = v_NKD.reshape(B, T, -1, D)
            k_BKTD, v_BKTD = (whole[rows, :, :length] for whole in part)
            q_BHTD = q_NHD.reshape(B, T, -1, D).transpose(0, 2, 1, 3)
            mixed_BHTD = mx.fast.scaled_dot_product_attention(q_BHTD, k_BKTD, v_BKTD, scale=D**-0.5, mask=seen_B1TT)
            return mixed_BHTD.transpose(0, 2, 1, 3).reshape(B * T, -1)

        return self._through(mx.array(tokens_BT.reshape(-1)), positions.reshape(-1), attend)

    def score(self, x: mx.array) -> mx.array:
        """Logits [..., V] of the residual stream after the last layer."""
        return self._head(mx.fast.rms_norm(x, self._norm_W, self._epsilon))

    def _through(self, tokens_N: mx.array, positions_N: mx.array, attend: Attend) -> mx.array:
        """The residual stream [N, W] after all layers."""
        H, K, D = self._shape.heads, self._shape.key_value_heads, self._shape.head_width
        cos_N1D, sin_N1D = self._cos_T1D[positions_N], self._sin_T1D[positions_N]
        x_NW = self._embedding_VW[tokens_N]
        for i, layer in enumerate(self._layers):
            qkv = layer.query_key_value(mx.fast.rms_norm(x_NW, layer.attention_norm_W, self._epsilon))
            qk, v_NKD = mx.split(qkv.reshape(-1, H + 2 * K, D), [H + K], axis=1)
            q_NHD, k_NKD = mx.split(_rotate(qk, cos_N1D, sin_N1D), [H], axis=1)
            x_NW = x_NW + layer.attention_out(attend(i, q_NHD, k_NKD, v_NKD))
            gate_up = layer.gate_up(mx.fast.rms_norm(x_NW, layer.feed_norm_W, self._epsilon))
            x_NW = x_NW + layer.down(_gated(*mx.split(gate_up, 2, axis=-1)))
        return x_NW


@mx.compile
def _rotate(x_NHD: mx.array, cos_N1D: mx.array, sin_N1D: mx.array) -> mx.array:
    """Turn the pair (i, i + D/2) of each head by the angle i of its position."""
    left, right = mx.split(x_NHD, 2, axis=-1)
    turned = mx.concatenate([left * cos_N1D - right * sin_N1D, left * sin_N1D + right * cos_N1D], axis=-1)
    return turned.astype(x_NHD.dtype)


@mx.compile
def _gated(gate_NF: mx.array, up_NF: mx.array) -> mx.array:
    """SwiGLU between its products."""
    return silu(gate_NF) * up_NF
