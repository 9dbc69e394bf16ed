"""The float64 NumPy model: what the losses are, and the arbiter between implementations.

Shape suffixes: B documents, T positions, S = T + 1 tokens of a document with its start token, V vocabulary,
W model width, F feed-forward width, H query heads, K key-value heads, G = H / K query heads of one of these,
D head width (W = H * D). A weight `_OI` maps I inputs to O outputs.
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

HostWeights = Mapping[str, NDArray[np.floating]]
"""Tensors by canonical name, fp32 as a run has them or float64 as the reference's own steps leave them."""


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
            raise UsageError(
                f"model.width = {self.width}: must be a multiple of 2 * model.heads = {2 * self.heads}; "
                "change one of the two"
            )
        if self.heads % self.key_value_heads:
            raise UsageError(
                f"model.heads = {self.heads}: must be a multiple of model.key_value_heads = {self.key_value_heads}; "
                "change one of the two"
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
    """The sizes that the `model.*` and `data.*` settings describe.

    Raises:
        UsageError: Fewer rows in the word tables than the language has tokens, or widths that do not divide.
    """
    grammar = grammar_of(settings)
    return ModelShape(
        vocabulary=_rows(int(settings["model.vocabulary"]), grammar.vocabulary),
        positions=grammar.document_tokens,
        layers=int(settings["model.layers"]),
        width=int(settings["model.width"]),
        heads=int(settings["model.heads"]),
        key_value_heads=int(settings["model.key_value_heads"]),
        hidden=int(settings["model.hidden"]),
        norm_epsilon=float(settings["model.norm_epsilon"]),
        rotary_base=float(settings["model.rotary_base"]),
    )


def _rows(asked: int, tokens: int) -> int:
    """Rows of the word tables: as many as asked for, or one for each of the language's `tokens`."""
    if 0 < asked < tokens:
        raise UsageError(f"model.vocabulary = {asked}: the language has {tokens} tokens; take more, or 0 for as many")
    return asked or tokens


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


def gate_weights(shape: ModelShape, seed: int, std: float) -> dict[str, NDArray[np.float32]]:
    """Weights under which every part of the model changes the losses, by canonical name; RMSNorm's scales around 1."""
    weights = {name: bell_weights(seed, f"gate/{name}", size, std) for name, size in shape.tensors().items()}
    return {name: tensor + np.float32(tensor.ndim == 1) for name, tensor in weights.items()}


def token_losses(weights: HostWeights, tokens_BS: NDArray[np.int32], shape: ModelShape) -> Array:
    """-ln q of each next token in nats, [B, T], of tokens [B, S]; all arithmetic in float64."""
    w = in_float64(weights)
    logits_BTV = logits(residual_stream(w, tokens_BS[:, :-1], shape)[-1], w, shape)
    return -np.take_along_axis(log_softmax(logits_BTV), tokens_BS[:, 1:, None].astype(np.int64), axis=-1)[..., 0]


def in_float64(weights: HostWeights) -> dict[str, Array]:
    """The same values by the same names."""
    return {name: tensor.astype(np.float64) for name, tensor in weights.items()}


def residual_stream(w: Mapping[str, Array], tokens_BT: NDArray[np.int32], shape: ModelShape) -> list[Array]:
    """[B, T, W] before and after each half of a layer: element 2 i enters layer i, element 2 i + 1 its second half."""
    stream = [w["embedding_VW"][tokens_BT]]
    for i in range(shape.layers):
        layer = layer_of(w, i)
        stream.append(stream[-1] + attention(rms_norm(stream[-1], layer["attention_norm_W"], shape), layer, shape))
        stream.append(stream[-1] + feed_forward(rms_norm(stream[-1], layer["feed_norm_W"], shape), layer))
    return stream


def layer_of(w: Mapping[str, Array], index: int) -> dict[str, Array]:
    """Layer `index`'s weights by their names within a layer."""
    prefix = f"layers.{index}."
    return {name.removeprefix(prefix): tensor for name, tensor in w.items() if name.startswith(prefix)}


def logits(x_BTW: Array, w: Mapping[str, Array], shape: ModelShape) -> Array:
    """Scores of the next token, [B, T, V], of the residual stream after the last layer."""
    return rms_norm(x_BTW, w["norm_W"], shape) @ w["head_VW"].T


def attention(x_BTW: Array, layer: Mapping[str, Array], shape: ModelShape) -> Array:
    """Causal multi-head attention with rotary positions, [B, T, W] to [B, T, W].

    Source: Vaswani et al., "Attention is all you need", 2017, equation 1.
    """
    q_BKGTD, k_BK1TD, v_BK1TD = queries_keys_values(x_BTW, layer, shape)
    return merge_heads(attention_shares(q_BKGTD, k_BK1TD) @ v_BK1TD) @ layer["attention_out_OI"].T


def queries_keys_values(x_BTW: Array, layer: Mapping[str, Array], shape: ModelShape) -> tuple[Array, Array, Array]:
    """Queries [B, K, G, T, D] and the keys and values [B, K, 1, T, D] that G of them share, positions turned in."""
    H, K = shape.heads, shape.key_value_heads
    qkv = split_heads(x_BTW @ layer["query_key_value_OI"].T, H + 2 * K)
    qk = rotate(qkv[:, : H + K], shape)
    return group_heads(qk[:, :H], K), group_heads(qk[:, H:], K), group_heads(qkv[:, H + K :], K)


def split_heads(x: Array, heads: int) -> Array:
    """[B, T, heads * D] to [B, heads, T, D]."""
    B, T, _ = x.shape
    return x.reshape(B, T, heads, -1).transpose(0, 2, 1, 3)


def group_heads(x_BHTD: Array, groups: int) -> Array:
    """[B, H, T, D] to [B, groups, H / groups, T, D]."""
    B, _, T, D = x_BHTD.shape
    return x_BHTD.reshape(B, groups, -1, T, D)


def merge_heads(x_BKGTD: Array) -> Array:
    """[B, K, G, T, D] to [B, T, K * G * D]."""
    B, _, _, T, _ = x_BKGTD.shape
    return x_BKGTD.transpose(0, 3, 1, 2, 4).reshape(B, T, -1)


def attention_shares(q_BKGTD: Array, k_BK1TD: Array) -> Array:
    """What each position takes of itself and of each before it, [B, K, G, T, T]; rows sum to 1."""
    T, D = q_BKGTD.shape[-2:]
    scores_BKGTT = q_BKGTD @ k_BK1TD.swapaxes(-1, -2) / np.sqrt(D)
    return np.exp(log_softmax(np.where(np.tril(np.ones((T, T), dtype=bool)), scores_BKGTT, -np.inf)))


def feed_forward(x_BTW: Array, layer: Mapping[str, Array]) -> Array:
    """SwiGLU: down(silu(gate) * up). Source: Shazeer, "GLU variants improve transformer", 2020, equation 6."""
    gate_BTF, up_BTF = gate_and_up(x_BTW, layer)
    return (gate_BTF * sigmoid(gate_BTF) * up_BTF) @ layer["down_OI"].T


def gate_and_up(x_BTW: Array, layer: Mapping[str, Array]) -> tuple[Array, Array]:
    """The two halves of the feed-forward network's hidden layer, each [B, T, F]."""
    gate_BTF, up_BTF = np.split(x_BTW @ layer["gate_up_OI"].T, 2, axis=-1)
    return gate_BTF, up_BTF


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-x))


def rms_norm(x: Array, scale_W: Array, shape: ModelShape) -> Array:
    """x / sqrt(mean(x^2) + epsilon) * scale.

    Source: Zhang and Sennrich, "Root mean square layer normalization", 2019, equation 4.
    """
    return x * inverse_rms(x, shape) * scale_W


def inverse_rms(x: Array, shape: ModelShape) -> Array:
    """1 / sqrt(mean(x^2) + epsilon) over the last axis, which stays with length 1."""
    return 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + shape.norm_epsilon)


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
    return turn(x_BHTD, rotary_angles(shape)[: x_BHTD.shape[2]])


def turn(x_BHTD: Array, angle_TD: Array) -> Array:
    """Turn the pair (i, i + D/2) by `angle_TD[:, i]`, radians, [T, D/2]."""
    left, right = np.split(x_BHTD, 2, axis=-1)
    cos, sin = np.cos(angle_TD), np.sin(angle_TD)
    return np.concatenate((left * cos - right * sin, left * sin + right * cos), axis=-1)


def log_softmax(x: Array) -> Array:
    """ln of the softmax over the last axis; rows may hold -inf."""
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))
