"""The decoder-only transformer in MLX: RMSNorm, rotary positions, SwiGLU, no biases.

Shape suffixes: B documents, T positions, S = T + 1 tokens of a document with its start token, V vocabulary,
W model width, F feed-forward width, H query heads, K key-value heads, D head width (W = H * D).
A weight `_OI` maps I inputs to O outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from mlx import nn

from oildrop.workloads.lm_pretrain.reference import ModelShape, rotary_angles, shape_of
from oildrop.workloads.products_mlx import linear, silu
from oildrop.workloads.protocols import Settings

Weights = Mapping[str, mx.array]
"""fp32 tensors by canonical name."""


def make_model(settings: Settings) -> Decoder:
    """The decoder that `settings` describe."""
    return Decoder(shape=shape_of(settings))


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """Weights and tokens in, the loss of predicting each next token out."""

    shape: ModelShape

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        return self.shape.tensors()

    def logits(self, weights: Weights, tokens_BT: mx.array, *, dtype: str) -> mx.array:
        """Scores of the next token after each, [B, T, V] in the products' type, of tokens [B, T]."""
        angle_TD = rotary_angles(self.shape)[: tokens_BT.shape[1]]
        cos_TD, sin_TD = (mx.array(turn(angle_TD).astype(np.float32)) for turn in (np.cos, np.sin))
        x_BTW = weights["embedding_VW"][tokens_BT]
        for i in range(self.shape.layers):
            layer = Layer(shape=self.shape, weights=_of_layer(weights, i), dtype=dtype)
            x_BTW = layer.forward(x_BTW, cos_TD, sin_TD)
        return linear(mx.fast.rms_norm(x_BTW, weights["norm_W"], self.shape.norm_epsilon), weights["head_VW"], dtype)

    def losses(self, weights: Weights, tokens_BS: mx.array, *, dtype: str) -> mx.array:
        """-ln q of each next token in nats, fp32 [B, T], of whole documents int32 [B, S]; S = T + 1."""
        return token_losses(self.logits(weights, tokens_BS[:, :-1], dtype=dtype), tokens_BS[:, 1:])

    def score(self, weights: Weights, tokens_BS: mx.array, *, dtype: str) -> tuple[mx.array, mx.array]:
        """The losses, and whether the most probable token was the right one, bool [B, T]."""
        logits_BTV, target_BT = self.logits(weights, tokens_BS[:, :-1], dtype=dtype), tokens_BS[:, 1:]
        return token_losses(logits_BTV, target_BT), mx.argmax(logits_BTV, axis=-1) == target_BT


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Attention, then the gated feed-forward network, each on a normalised copy and added back."""

    shape: ModelShape
    weights: Weights
    dtype: str

    def forward(self, x_BTW: mx.array, cos_TD: mx.array, sin_TD: mx.array) -> mx.array:
        """One layer, fp32 [B, T, W] to fp32 [B, T, W]."""
        epsilon = self.shape.norm_epsilon
        normal_BTW = mx.fast.rms_norm(x_BTW, self.weights["attention_norm_W"], epsilon)
        x_BTW = x_BTW + self.attention(normal_BTW, cos_TD, sin_TD)
        return x_BTW + self.feed_forward(mx.fast.rms_norm(x_BTW, self.weights["feed_norm_W"], epsilon))

    def attention(self, x_BTW: mx.array, cos_TD: mx.array, sin_TD: mx.array) -> mx.array:
        """Causal attention over all heads, [B, T, W] to [B, T, W]."""
        B, T, W = x_BTW.shape
        H, K = self.shape.heads, self.shape.key_value_heads
        qkv_BTO = linear(x_BTW, self.weights["query_key_value_OI"], self.dtype)
        qkv = qkv_BTO.reshape(B, T, H + 2 * K, self.shape.head_width).transpose(0, 2, 1, 3)
        qk, v_BKTD = mx.split(qkv, [H + K], axis=1)
        q_BHTD, k_BKTD = mx.split(rotate(qk, cos_TD, sin_TD), [H], axis=1)
        mixed_BHTD = mx.fast.scaled_dot_product_attention(
            q_BHTD, k_BKTD, v_BKTD, scale=self.shape.head_width**-0.5, mask="causal"
        )
        mixed_BTW = mixed_BHTD.transpose(0, 2, 1, 3).reshape(B, T, W)
        return linear(mixed_BTW, self.weights["attention_out_OI"], self.dtype)

    def feed_forward(self, x_BTW: mx.array) -> mx.array:
        """SwiGLU: down(silu(gate) * up)."""
        gate_BTF, up_BTF = mx.split(linear(x_BTW, self.weights["gate_up_OI"], self.dtype), 2, axis=-1)
        return linear(silu(gate_BTF) * up_BTF, self.weights["down_OI"], self.dtype)


def token_losses(logits_BTV: mx.array, target_BT: mx.array) -> mx.array:
    """Cross-entropy of each position in nats, fp32 [B, T]: a sum of exponentials needs the digits."""
    return nn.losses.cross_entropy(logits_BTV.astype(mx.float32), target_BT, reduction="none")


def rotate(x_BHTD: mx.array, cos_TD: mx.array, sin_TD: mx.array) -> mx.array:
    """Turn the pair (i, i + D/2) of each head by the position's angle i."""
    left, right = mx.split(x_BHTD, 2, axis=-1)
    turned = mx.concatenate([left * cos_TD - right * sin_TD, left * sin_TD + right * cos_TD], axis=-1)
    return turned.astype(x_BHTD.dtype)


def _of_layer(weights: Weights, i: int) -> Weights:
    """The weights of layer `i` by their names within a layer."""
    prefix = f"layers.{i}."
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
