"""The decoder-only transformer in JAX: RMSNorm, rotary positions, SwiGLU, no biases.

Shape suffixes: B documents, T positions, S = T + 1 tokens of a document with its start token, V vocabulary,
W model width, F feed-forward width, H query heads, K key-value heads, D head width (W = H * D).
A weight `_OI` maps I inputs to O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from oildrop.workloads.lm_pretrain.reference import ModelShape, rotary_angles, shape_of
from oildrop.workloads.products_jax import linear, product
from oildrop.workloads.protocols import Settings

Tensors = Mapping[str, Array]


def make_model(settings: Settings) -> Decoder:
    """The decoder that `settings` describe."""
    return Decoder(shape=shape_of(settings))


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Weights and tokens in, the loss of predicting each next token out; `dtype` is that of the products."""

    shape: ModelShape

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        return self.shape.tensors()

    def logits(self, weights: Tensors, tokens_BT: Array, *, dtype: str) -> Array:
        """Scores of the next token after each, [B, T, V], of tokens [B, T]."""
        epsilon = self.shape.norm_epsilon
        x_BTW = weights["embedding_VW"][tokens_BT]
        for i in range(self.shape.layers):
            layer = {name: weights[f"layers.{i}.{name}"] for name in LAYER}
            x_BTW = x_BTW + attention(rms_norm(x_BTW, layer["attention_norm_W"], epsilon), layer, self.shape, dtype)
            x_BTW = x_BTW + feed_forward(rms_norm(x_BTW, layer["feed_norm_W"], epsilon), layer, dtype)
        return linear(rms_norm(x_BTW, weights["norm_W"], epsilon), weights["head_VW"], dtype)

    def losses(self, weights: Tensors, tokens_BS: Array, *, dtype: str) -> Array:
        """-ln q of each next token in nats, fp32 [B, T], of whole documents int32 [B, S]; S = T + 1."""
        return token_losses(self.logits(weights, tokens_BS[:, :-1], dtype=dtype), tokens_BS[:, 1:])

    def score(self, weights: Tensors, tokens_BS: Array, *, dtype: str) -> tuple[Array, Array]:
        """The losses, and whether the most probable token was the right one, bool [B, T]."""
        logits_BTV, target_BT = self.logits(weights, tokens_BS[:, :-1], dtype=dtype), tokens_BS[:, 1:]
        return token_losses(logits_BTV, target_BT), logits_BTV.argmax(axis=-1) == target_BT


LAYER = ("attention_norm_W", "query_key_value_OI", "attention_out_OI", "feed_norm_W", "gate_up_OI", "down_OI")


def attention(x_BTW: Array, layer: Tensors, shape: ModelShape, dtype: str) -> Array:
    """Causal attention over all heads, [B, T, W] to [B, T, W]; G query heads share a key-value head."""
    B, T, W = x_BTW.shape
    H, K, D = shape.heads, shape.key_value_heads, shape.head_width
    qkv = linear(x_BTW, layer["query_key_value_OI"], dtype).reshape(B, T, H + 2 * K, D)
    qk, v_BTKD = jnp.split(qkv, (H + K,), axis=2)
    q_BTHD, k_BTKD = jnp.split(rotate(qk, shape), (H,), axis=2)
    q_BTKGD = q_BTHD.reshape(B, T, K, H // K, D)
    scores = product("btkgd,bskd->bkgts", q_BTKGD, k_BTKD, dtype).astype(jnp.float32) / np.sqrt(D)
    share = jax.nn.softmax(jnp.where(np.tril(np.ones((T, T), dtype=bool)), scores, -jnp.inf), axis=-1)
    mixed_BTKGD = product("bkgts,bskd->btkgd", share, v_BTKD, dtype)
    return linear(mixed_BTKGD.reshape(B, T, W), layer["attention_out_OI"], dtype)


def feed_forward(x_BTW: Array, layer: Tensors, dtype: str) -> Array:
    """SwiGLU: down(silu(gate) * up)."""
    gate_BTF, up_BTF = jnp.split(linear(x_BTW, layer["gate_up_OI"], dtype), 2, axis=-1)
    return linear(jax.nn.silu(gate_BTF) * up_BTF, layer["down_OI"], dtype)


def token_losses(logits_BTV: Array, target_BT: Array) -> Array:
    """Cross-entropy of each position in nats, [B, T], in fp32: a sum of exponentials needs the digits."""
    log_q_BTV = jax.nn.log_softmax(logits_BTV.astype(jnp.float32), axis=-1)
    return -jnp.take_along_axis(log_q_BTV, target_BT[..., None], axis=-1)[..., 0]


def rms_norm(x: Array, scale_W: Array, epsilon: float) -> Array:
    """x over its root mean square, times `scale_W`."""
    return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + epsilon) * scale_W


def rotate(x_BTHD: Array, shape: ModelShape) -> Array:
    """Turn the pair (i, i + D/2) of each head by the position's angle i."""
    angle_T1D = rotary_angles(shape)[: x_BTHD.shape[1], None]
    cos, sin = np.cos(angle_T1D).astype(np.float32), np.sin(angle_T1D).astype(np.float32)
    left, right = jnp.split(x_BTHD, 2, axis=-1)
    return jnp.concatenate((left * cos - right * sin, left * sin + right * cos), axis=-1).astype(x_BTHD.dtype)
