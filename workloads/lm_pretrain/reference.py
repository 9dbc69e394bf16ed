"""The float64 NumPy model: what the losses are, and the arbiter between implementations.

Shape suffixes: B documents, T positions, V vocabulary, W model width, F feed-forward width,
H query heads, K key-value heads, D head width (W = H * D). A weight `_OI` maps I inputs to O outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import UsageError
from oildrop.workloads.integers import bell_weights
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.protocols import Settings

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of the decoder; `positions` is T, `norm_epsilon` stands under RMSNorm's root.

    Each of the K key-value heads serves `heads / key_value_heads` query heads that stand next to each other
    (Ainslie et al., "GQA", 2023).
    """

    vocabulary: int
    positions: int
    layers: int
    width: int
    heads: int
    key_value_heads: int
    hidden: int
    norm_epsilon: float
    rotary_base: float

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise UsageError(f"model.width = {self.width}: must be a multiple of 2 * model.heads = {2 * self.heads}")
        if self.heads % self.key_value_heads:
            raise UsageError(
                f"model.heads = {self.heads}: must be a multiple of model.key_value_heads = {self.key_value_heads}"
            )

    @property
    def head_width(self) -> int:
        """D, the width of one head."""
        return self.width // self.heads

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Every weight's shape by canonical name, in canonical order."""
        W, F = self.width, self.hidden
        layer = {
            "attention_norm_W": (W,),
            "query_key_value_OI": ((self.heads + 2 * self.key_value_heads) * self.head_width, W),
            "attention_out_OI": (W, W),
            "feed_norm_W": (W,),
            "gate_up_OI": (2 * F, W),
            "down_OI": (W, F),
        }
        layers = {f"layers.{i}.{name}": shape for i in range(self.layers) for name, shape in layer.items()}
        return {"embedding_VW": (self.vocabulary, W), **layers, "norm_W": (W,), "head_VW": (self.vocabulary, W)}


def shape_of(settings: Settings) -> ModelShape:
    """The sizes that the `model.*` and `data.*` settings describe."""
    grammar = grammar_of(settings)
    return ModelShape(
        vocabulary=grammar.vocabulary,
        positions=grammar.document_tokens,
        layers=int(settings["model.layers"]),
        width=int(settings["model.width"]),
        heads=int(settings["model.heads"]),
        key_value_heads=int(settings["model.key_value_heads"]),
        hidden=int(settings["model.hidden"]),
        norm_epsilon=float(settings["model.norm_epsilon"]),
        rotary_base=float(settings["model.rotary_base"]),
    )


@dataclass(frozen=True, kw_only=True)
class InitialStd:
    """Standard deviations of the initial weights.

    Attributes:
        embedding, head: Of the two vocabulary matrices.
        residual_gain: What the matrices that write into the residual stream have of the others' 1/sqrt(inputs).
    """

    embedding: float
    head: float
    residual_gain: float

    def of(self, name: str, shape: tuple[int, ...]) -> float:
        """Standard deviation of the matrix `name`."""
        if name == "embedding_VW":
            return self.embedding
        if name == "head_VW":
            return self.head
        gain = self.residual_gain if name.endswith(("attention_out_OI", "down_OI")) else 1.0
        return gain / math.sqrt(shape[1])


def initial_std_of(settings: Settings) -> InitialStd:
    """The standard deviations that the `model.*` settings name."""
    return InitialStd(
        embedding=float(settings["model.embedding_std"]),
        head=float(settings["model.head_std"]),
        residual_gain=float(settings["model.residual_gain"]),
    )


def initial_weights(shape: ModelShape, seed: int, std: InitialStd) -> dict[str, NDArray[np.float32]]:
    """The weights that a run of `seed` starts from, by canonical name; RMSNorm's scales are 1."""
    return {
        name: bell_weights(seed, name, size, std.of(name, size)) if len(size) > 1 else np.ones(size, dtype=np.float32)
        for name, size in shape.tensors().items()
    }


def token_losses(weights: Mapping[str, NDArray[np.float32]], tokens_BT: NDArray[np.int32], shape: ModelShape) -> Array:
    """-ln q of each next token in nats, [B, T], of tokens [B, T + 1]; all arithmetic in float64."""
    w = {name: tensor.astype(np.float64) for name, tensor in weights.items()}
    x_BTW = w["embedding_VW"][tokens_BT[:, :-1]]
    for i in range(shape.layers):
        layer = {name: w[f"layers.{i}.{name}"] for name in _LAYER}
        x_BTW = x_BTW + attention(rms_norm(x_BTW, layer["attention_norm_W"], shape), layer, shape)
        x_BTW = x_BTW + feed_forward(rms_norm(x_BTW, layer["feed_norm_W"], shape), layer)
    logits_BTV = rms_norm(x_BTW, w["norm_W"], shape) @ w["head_VW"].T
    return -np.take_along_axis(log_softmax(logits_BTV), tokens_BT[:, 1:, None].astype(np.int64), axis=-1)[..., 0]


_LAYER = ("attention_norm_W", "query_key_value_OI", "attention_out_OI", "feed_norm_W", "gate_up_OI", "down_OI")


def attention(x_BTW: Array, layer: Mapping[str, Array], shape: ModelShape) -> Array:
    """Causal multi-head attention with rotary positions, [B, T, W] to [B, T, W].

    Source: Vaswani et al., "Attention is all you need", 2017, equation 1.
    """
    B, T, W = x_BTW.shape
    H, K = shape.heads, shape.key_value_heads
    qkv = (x_BTW @ layer["query_key_value_OI"].T).reshape(B, T, H + 2 * K, -1).transpose(0, 2, 1, 3)
    q_BHTD, k_BKTD, v_BKTD = rotate(qkv[:, :H], shape), rotate(qkv[:, H : H + K], shape), qkv[:, H + K :]
    k_BHTD, v_BHTD = (np.repeat(x_BKTD, H // K, axis=1) for x_BKTD in (k_BKTD, v_BKTD))
    scores_BHTT = q_BHTD @ k_BHTD.swapaxes(-1, -2) / np.sqrt(shape.head_width)
    scores_BHTT = np.where(np.tril(np.ones((T, T), dtype=bool)), scores_BHTT, -np.inf)
    mixed_BHTD = np.exp(log_softmax(scores_BHTT)) @ v_BHTD
    return mixed_BHTD.transpose(0, 2, 1, 3).reshape(B, T, W) @ layer["attention_out_OI"].T


def feed_forward(x_BTW: Array, layer: Mapping[str, Array]) -> Array:
    """SwiGLU: down(silu(gate) * up). Source: Shazeer, "GLU variants improve transformer", 2020, equation 6."""
    gate, up = np.split(x_BTW @ layer["gate_up_OI"].T, 2, axis=-1)
    return (gate / (1 + np.exp(-gate)) * up) @ layer["down_OI"].T


def rms_norm(x: Array, scale_W: Array, shape: ModelShape) -> Array:
    """x / sqrt(mean(x^2) + epsilon) * scale.

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019, equation 4.
    """
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + shape.norm_epsilon) * scale_W


def rotary_angles(shape: ModelShape) -> Array:
    """Angle in radians of position t and pair i, [T, D/2]: t * base^(-2 i / D).

    Source: Su et al., "RoFormer: enhanced transformer with rotary position embedding", 2021, equation 15;
    element i is paired with element i + D/2.
    """
    width = shape.width // shape.heads
    frequency = shape.rotary_base ** (-2 * np.arange(width // 2) / width)
    return np.arange(shape.positions)[:, None] * frequency


def rotate(x_BHTD: Array, shape: ModelShape) -> Array:
    """Turn the pair (i, i + D/2) of each head by the position's angle i."""
    angle_TD = rotary_angles(shape)[: x_BHTD.shape[2]]
    left, right = np.split(x_BHTD, 2, axis=-1)
    cos, sin = np.cos(angle_TD), np.sin(angle_TD)
    return np.concatenate((left * cos - right * sin, left * sin + right * cos), axis=-1)


def log_softmax(x: Array) -> Array:
    """ln of the softmax over the last axis; rows may hold -inf."""
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
