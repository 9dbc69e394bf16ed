"""The encoder in JAX.

Shape suffixes: B sentences, T and S tokens, W width, H heads, D width of a head, F hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from oildrop.workloads.embed.reference import EncoderShape, shape_of
from oildrop.workloads.forward_jax import JaxForward
from oildrop.workloads.products_jax import linear, product
from oildrop.workloads.protocols import Device, Settings

Weights = Mapping[str, Array]


def make_forward(settings: Settings, device: Device) -> JaxForward:
    """Tokens [B, T] and lengths [B] in, embeddings [B, W] out."""
    shape = shape_of(settings)
    return JaxForward(partial(encode, shape), shape.products(), settings, device)


def encode(shape: EncoderShape, weights: Weights, tokens_BT: Array, length_B: Array, *, dtype: str) -> Array:
    """fp32 [B, W] of length 1: the mean over each sentence's own tokens."""
    seen_BT = jnp.arange(tokens_BT.shape[1]) < length_B[:, None]
    x_BTW = embedded(shape, weights, tokens_BT)
    for index in range(shape.layers):
        x_BTW = layer(shape, weights, f"encoder.layer.{index}", x_BTW, seen_BT, dtype)
    mean_BW = mean_over(x_BTW, seen_BT)
    return mean_BW / jnp.linalg.norm(mean_BW, axis=1, keepdims=True)


def embedded(shape: EncoderShape, weights: Weights, tokens_BT: Array) -> Array:
    """Words, places and the type of a first sentence, normalised."""
    words_BTW = weights["embeddings.word_embeddings.weight"][tokens_BT]
    places_TW = weights["embeddings.position_embeddings.weight"][: tokens_BT.shape[1]]
    first_W = weights["embeddings.token_type_embeddings.weight"][0]
    return layer_norm(shape, weights, "embeddings.LayerNorm", words_BTW + places_TW + first_W)


def layer(shape: EncoderShape, weights: Weights, name: str, x_BTW: Array, seen_BT: Array, dtype: str) -> Array:
    """Self-attention and feed-forward, each added to its input and normalised after."""
    mixed_BTW = attend(shape, weights, name, x_BTW, seen_BT, dtype)
    x_BTW = x_BTW + dense(weights, f"{name}.attention.output.dense", mixed_BTW, dtype)
    x_BTW = layer_norm(shape, weights, f"{name}.attention.output.LayerNorm", x_BTW)
    inner_BTF = jax.nn.gelu(dense(weights, f"{name}.intermediate.dense", x_BTW, dtype), approximate=False)
    x_BTW = x_BTW + dense(weights, f"{name}.output.dense", inner_BTF, dtype)
    return layer_norm(shape, weights, f"{name}.output.LayerNorm", x_BTW)


def attend(shape: EncoderShape, weights: Weights, name: str, x_BTW: Array, seen_BT: Array, dtype: str) -> Array:
    """Every token's mix of the values of its sentence."""
    q, k, v = (
        dense(weights, f"{name}.attention.self.{part}", x_BTW, dtype).reshape(*x_BTW.shape[:2], shape.heads, -1)
        for part in ("query", "key", "value")
    )
    scores_BHTS = product("bthd,bshd->bhts", q, k, dtype).astype(jnp.float32) / math.sqrt(q.shape[-1])
    shares_BHTS = jax.nn.softmax(jnp.where(seen_BT[:, None, None, :], scores_BHTS, -jnp.inf), axis=-1)
    return product("bhts,bshd->bthd", shares_BHTS, v, dtype).reshape(x_BTW.shape)


def dense(weights: Weights, name: str, x: Array, dtype: str) -> Array:
    """A product with a matrix, and its bias; fp32."""
    return linear(x, weights[f"{name}.weight"], dtype).astype(jnp.float32) + weights[f"{name}.bias"]


def layer_norm(shape: EncoderShape, weights: Weights, name: str, x: Array) -> Array:
    """Mean 0 and variance 1 a token, then gain and bias."""
    centred = x - x.mean(axis=-1, keepdims=True)
    factor = jax.lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + shape.norm_epsilon)
    return centred * factor * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def mean_over(x_BTW: Array, seen_BT: Array) -> Array:
    """The mean [B, W] over the tokens that are seen."""
    return jnp.where(seen_BT[..., None], x_BTW, 0.0).sum(axis=1) / seen_BT.sum(axis=1, keepdims=True)
