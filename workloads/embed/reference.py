"""The encoder in float64 NumPy: what every framework's version is compared with.

BERT's encoder: word, position and type embeddings summed and normalised; layers of self-attention and feed-forward,
each added to its input and normalised after; the mean over a sentence's tokens, brought to length 1. Tensors bear the
names of the published file.

Shape suffixes: B sentences, T tokens, W width, H heads, D width of a head, F hidden width, V vocabulary.
Source: Devlin et al., "BERT", NAACL 2019; Reimers and Gurevych, "Sentence-BERT", EMNLP 2019, section 3 (mean pooling).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights
from oildrop.workloads.integers import bell_weights
from oildrop.workloads.protocols import Settings

Array = NDArray[np.float64]

TYPES = 2
"""Rows of the table that tells a first sentence from a second; here all are first."""

INITIAL_STD = 0.02
"""Of random weights. Source: Devlin et al.'s released configuration, initializer_range."""


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """What the settings under `model.` say. `width` must be a multiple of `heads`."""

    layers: int
    width: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int
    norm_epsilon: float

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""
        W, F = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.word_embeddings.weight": (self.vocabulary, W),
            "embeddings.position_embeddings.weight": (self.positions, W),
            "embeddings.token_type_embeddings.weight": (TYPES, W),
            **_norm("embeddings.LayerNorm", W),
        }
        for index in range(self.layers):
            layer = f"encoder.layer.{index}"
            for name in ("query", "key", "value"):
                shapes |= _dense(f"{layer}.attention.self.{name}", W, W)
            shapes |= _dense(f"{layer}.attention.output.dense", W, W)
            shapes |= _norm(f"{layer}.attention.output.LayerNorm", W)
            shapes |= _dense(f"{layer}.intermediate.dense", F, W)
            shapes |= _dense(f"{layer}.output.dense", W, F)
            shapes |= _norm(f"{layer}.output.LayerNorm", W)
        return shapes

    def products(self) -> frozenset[str]:
        """Names of the matrices of products; tables are looked up."""
        return frozenset(name for name, shape in self.tensors().items() if len(shape) > 1 and "embeddings" not in name)


def shape_of(settings: Settings) -> EncoderShape:
    """The sizes that the `model.*` settings describe."""
    sizes = ("layers", "width", "heads", "hidden", "vocabulary", "positions")
    number = {key: int(settings[f"model.{key}"]) for key in sizes}
    return EncoderShape(**number, norm_epsilon=float(settings["model.norm_epsilon"]))


def initial_weights(shape: EncoderShape, seed: int) -> dict[str, NDArray[np.float32]]:
    """Weights of no training: matrices and tables of standard deviation `INITIAL_STD`, gains 1, biases 0."""
    weights = {}
    for name, size in shape.tensors().items():
        if len(size) > 1:
            weights[name] = bell_weights(seed, name, size, INITIAL_STD)
        else:
            weights[name] = np.full(size, _centre(name), dtype=np.float32)
    return weights


def gate_weights(shape: EncoderShape, seed: int, std: float) -> dict[str, NDArray[np.float32]]:
    """Weights in which every tensor matters: all of standard deviation `std`, norm gains around one."""
    return {
        name: np.float32(_centre(name)) + bell_weights(seed, name, size, std) for name, size in shape.tensors().items()
    }


def embeddings(
    shape: EncoderShape, weights: Weights, tokens_BT: NDArray[np.int32], length_B: NDArray[np.int32]
) -> Array:
    """float64 [B, W] of length 1: the sentences' embeddings.

    Args:
        tokens_BT: int32; what stands behind a sentence's own length is not looked at.
        length_B: int32, tokens of each sentence.
    """
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    seen_BT = np.arange(tokens_BT.shape[1]) < length_B[:, None]
    x_BTW = _embedded(w, tokens_BT, shape)
    for index in range(shape.layers):
        x_BTW = _layer(x_BTW, w, f"encoder.layer.{index}", seen_BT, shape)
    mean_BW = (x_BTW * seen_BT[..., None]).sum(axis=1) / length_B[:, None]
    return mean_BW / np.linalg.norm(mean_BW, axis=1, keepdims=True)


def _embedded(w: Mapping[str, Array], tokens_BT: NDArray[np.int32], shape: EncoderShape) -> Array:
    words_BTW = w["embeddings.word_embeddings.weight"][tokens_BT]
    places_TW = w["embeddings.position_embeddings.weight"][: tokens_BT.shape[1]]
    first_W = w["embeddings.token_type_embeddings.weight"][0]
    return _layer_norm(words_BTW + places_TW + first_W, w, "embeddings.LayerNorm", shape)


def _layer(x_BTW: Array, w: Mapping[str, Array], layer: str, seen_BT: NDArray[np.bool_], shape: EncoderShape) -> Array:
    attended_BTW = _linear(_attention(x_BTW, w, layer, seen_BT, shape), w, f"{layer}.attention.output.dense")
    x_BTW = _layer_norm(x_BTW + attended_BTW, w, f"{layer}.attention.output.LayerNorm", shape)
    inner_BTF = _gelu(_linear(x_BTW, w, f"{layer}.intermediate.dense"))
    return _layer_norm(x_BTW + _linear(inner_BTF, w, f"{layer}.output.dense"), w, f"{layer}.output.LayerNorm", shape)


def _attention(
    x_BTW: Array, w: Mapping[str, Array], layer: str, seen_BT: NDArray[np.bool_], shape: EncoderShape
) -> Array:
    """Softmax of scaled scores over the sentence's own tokens, times the values; heads side by side."""
    B, T, _ = x_BTW.shape
    q, k, v = (
        _linear(x_BTW, w, f"{layer}.attention.self.{name}").reshape(B, T, shape.heads, -1).transpose(0, 2, 1, 3)
        for name in ("query", "key", "value")
    )
    scores_BHTT = q @ k.transpose(0, 1, 3, 2) / math.sqrt(shape.width // shape.heads)
    scores_BHTT = np.where(seen_BT[:, None, None, :], scores_BHTT, -np.inf)
    shares_BHTT = np.exp(scores_BHTT - scores_BHTT.max(axis=-1, keepdims=True))
    shares_BHTT /= shares_BHTT.sum(axis=-1, keepdims=True)
    result: Array = (shares_BHTT @ v).transpose(0, 2, 1, 3).reshape(B, T, -1)
    return result


def _linear(x: Array, w: Mapping[str, Array], name: str) -> Array:
    result: Array = x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    return result


def _layer_norm(x: Array, w: Mapping[str, Array], name: str, shape: EncoderShape) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    factor = 1.0 / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + shape.norm_epsilon)
    return centred * factor * w[f"{name}.weight"] + w[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    """x times the normal distribution function of x.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", arXiv 1606.08415, equation 1; not its approximation.
    """
    from scipy.special import ndtr

    result: Array = x * ndtr(x)
    return result


def _centre(name: str) -> float:
    return 1.0 if name.endswith("LayerNorm.weight") else 0.0


def _dense(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
