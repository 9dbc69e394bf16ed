"""The encoder in MLX.

Shape suffixes: B sentences, T tokens, W width, H heads, D width of a head, F hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import mlx.core as mx

from oildrop.workloads.embed.reference import EncoderShape, shape_of
from oildrop.workloads.forward_mlx import MlxForward
from oildrop.workloads.products_mlx import PRODUCT_DTYPES, linear
from oildrop.workloads.protocols import Device, Settings

Weights = Mapping[str, mx.array]


def make_forward(settings: Settings, device: Device) -> MlxForward:
    """Tokens [B, T] and lengths [B] in, embeddings [B, W] out."""
    shape = shape_of(settings)
    return MlxForward(partial(encode, shape), shape.products(), settings, device)


def encode(shape: EncoderShape, weights: Weights, tokens_BT: mx.array, length_B: mx.array, *, dtype: str) -> mx.array:
    """fp32 [B, W] of length 1: the mean over each sentence's own tokens."""
    seen_BT = mx.arange(tokens_BT.shape[1]) < length_B[:, None]
    x_BTW = embedded(shape, weights, tokens_BT)
    for index in range(shape.layers):
        x_BTW = layer(shape, weights, f"encoder.layer.{index}", x_BTW, seen_BT, dtype)
    mean_BW = mean_over(x_BTW, seen_BT)
    return mean_BW / mx.linalg.norm(mean_BW, axis=1, keepdims=True)


def embedded(shape: EncoderShape, weights: Weights, tokens_BT: mx.array) -> mx.array:
    """Words, places and the type of a first sentence, normalised."""
    words_BTW = weights["embeddings.word_embeddings.weight"][tokens_BT]
    places_TW = weights["embeddings.position_embeddings.weight"][: tokens_BT.shape[1]]
    first_W = weights["embeddings.token_type_embeddings.weight"][0]
    return layer_norm(shape, weights, "embeddings.LayerNorm", words_BTW + places_TW + first_W)


def layer(shape: EncoderShape, weights: Weights, name: str, x_BTW: mx.array, seen_BT: mx.array, dtype: str) -> mx.array:
    """Self-attention and feed-forward, each added to its input and normalised after."""
    mixed_BTW = attend(shape, weights, name, x_BTW, seen_BT, dtype)
    x_BTW = x_BTW + dense(weights, f"{name}.attention.output.dense", mixed_BTW, dtype)
    x_BTW = layer_norm(shape, weights, f"{name}.attention.output.LayerNorm", x_BTW)
    inner_BTF = gelu(dense(weights, f"{name}.intermediate.dense", x_BTW, dtype))
    x_BTW = x_BTW + dense(weights, f"{name}.output.dense", inner_BTF, dtype)
    return layer_norm(shape, weights, f"{name}.output.LayerNorm", x_BTW)


def attend(
    shape: EncoderShape, weights: Weights, name: str, x_BTW: mx.array, seen_BT: mx.array, dtype: str
) -> mx.array:
    """Every token's mix of the values of its sentence."""
    B, T, _ = x_BTW.shape
    q, k, v = (
        dense(weights, f"{name}.attention.self.{part}", x_BTW, dtype)
        .astype(PRODUCT_DTYPES[dtype])
        .reshape(B, T, shape.heads, -1)
        .transpose(0, 2, 1, 3)
        for part in ("query", "key", "value")
    )
    scale = 1.0 / math.sqrt(q.shape[-1])
    mixed_BHTD = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask=seen_BT[:, None, None, :])
    return mixed_BHTD.transpose(0, 2, 1, 3).reshape(x_BTW.shape)


def dense(weights: Weights, name: str, x: mx.array, dtype: str) -> mx.array:
    """A product with a matrix, and its bias; fp32."""
    return linear(x, weights[f"{name}.weight"], dtype).astype(mx.float32) + weights[f"{name}.bias"]


def gelu(x: mx.array) -> mx.array:
    """x times the normal distribution function of x."""
    return x * (1.0 + mx.erf(x / math.sqrt(2.0))) / 2.0


def layer_norm(shape: EncoderShape, weights: Weights, name: str, x: mx.array) -> mx.array:
    """Mean 0 and variance 1 a token, then gain and bias."""
    return mx.fast.layer_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"], shape.norm_epsilon)


def mean_over(x_BTW: mx.array, seen_BT: mx.array) -> mx.array:
    """The mean [B, W] over the tokens that are seen."""
    return mx.where(seen_BT[..., None], x_BTW, 0.0).sum(axis=1) / seen_BT.sum(axis=1, keepdims=True)
