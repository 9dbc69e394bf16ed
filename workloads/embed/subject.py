"""`embed` free of any framework: sentences, weights, gates, and what the answers are worth.

An embedding is a row of numbers and an answer of the harness an integer, so what is sent back is the embedding's code:
a bit for the sign of each of its first 64 numbers. The embeddings of those requests that are assessed are kept whole.

Shape suffixes: B sentences of a batch, N assessed sentences, T tokens, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.embed import reference
from oildrop.workloads.embed.packaged import packaged_file, read_packaged
from oildrop.workloads.embed.requests import Requests, padded
from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import Forward, pieces, weight_bytes
from oildrop.workloads.gates import relative_rms
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import Assessment, RequestSize

READY_REQUESTS = 2**14
"""Sentences that are made before the clock."""

CODE_BITS = 64

LEAST_COSINE = 0.999
"""From here on two embeddings agree."""

TIE_COSINE = 5e-3
"""Sentences this much farther than the nearest count as the nearest too: bf16 may order them otherwise."""

SCALE = 20.0
"""Of cosines under the softmax that asks which sentence an embedding belongs to.

Source: Reimers and Gurevych's library sentence-transformers, MultipleNegativesRankingLoss, default scale.
"""

REFERENCE_SENTENCES = 16
"""That go through the float64 encoder at once."""


class Embed:
    """The `Subject` of `embed`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shape = reference.shape_of(settings)
        self._trained = settings["weights.source"] == "checkpoint"

    def load(self) -> None:
        """Find the weights. Raises Unsupported where their package is not installed."""
        if self._trained:
            self._file = packaged_file()

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """The encoder's."""
        return self._shape.tensors()

    def weight_bytes(self) -> int:
        """Of all tensors but the tables, of which a pass reads a few rows."""
        read = {name: shape for name, shape in self.tensors().items() if "_embeddings" not in name}
        return weight_bytes(read, self._shape.products(), str(self._settings["execution.dtype"]))

    def weights(self, seed: int) -> Weights:
        """The package's, or random ones of this seed."""
        if not self._trained:
            return reference.initial_weights(self._shape, seed)
        return read_packaged(self._file, str(self._settings["checkpoint.weights_sha256"]), self.tensors())

    def start(self, seed: int) -> None:
        """The first sentences are made now."""
        self._requests = Requests(self._settings, seed)
        self._requests.prepare(READY_REQUESTS)

    def size(self, index: int) -> RequestSize:
        """A sentence in, an embedding out."""
        return RequestSize(input_tokens=self._requests.length(index), output_tokens=1)

    def shape(self, index: int) -> int:
        """The length up to which the sentence is filled."""
        return padded(self._requests.length(index), self._longest)

    def inputs(self, indices: Sequence[int]) -> Inputs:
        """Tokens int32 [B, T], lengths int32 [B]."""
        return self._requests.batch(indices)

    def examples(self) -> list[Inputs]:
        """A sentence of nothing of each length."""
        least = int(self._settings["requests.tokens_min"])
        lengths = sorted({padded(length, self._longest) for length in range(least, self._longest + 1)})
        return [(np.zeros((1, size), dtype=np.int32), np.array([size], dtype=np.int32)) for size in lengths]

    def answers(self, outputs_BW: NDArray[np.float32]) -> list[int]:
        """Codes of the embeddings."""
        return codes(outputs_BW)

    def gate(self, engine: Forward) -> Iterator[tuple[str, float]]:
        """`embedding` of sentences of the gate seed, those of a shape in batches of several sizes."""
        seed, count = int(self._settings["gates.seed"]), int(self._settings["gates.documents"])
        weights = reference.gate_weights(self._shape, seed, float(self._settings["gates.weights_std"]))
        requests = Requests(self._settings, seed)
        engine.set_weights(weights)
        found, expected = [], []
        for indices in _by_shape(requests, count, self._longest):
            for batch in pieces(len(indices), int(self._settings["execution.slots"])):
                inputs = requests.batch(indices[batch.start : batch.stop])
                found.append(engine.run(inputs))
                expected.append(reference.embeddings(self._shape, weights, *inputs))
        yield "embedding", relative_rms(np.concatenate(found), np.concatenate(expected))

    def assess(
        self, indices: Sequence[int], outputs_NW: NDArray[np.float32], answers: Sequence[int], weights: Weights
    ) -> Assessment:
        """How well each embedding tells its sentence from the others assessed, and whether it is the reference's.

        The loss is -ln of the softmax, over the reference embeddings of all assessed sentences, of the scaled cosine
        with the sentence's own; the source's is that of the reference embedding itself. An embedding is right where the
        nearest of the others is the nearest by the reference too, as a search would ask.
        """
        found_NW, expected_NW = outputs_NW.astype(np.float64), self._expected(indices, weights)
        length_N1 = np.linalg.norm(found_NW, axis=1, keepdims=True)
        cosine_N = (found_NW * expected_NW).sum(axis=1) / length_N1[:, 0]
        sent_N = np.array(codes(outputs_NW)) == np.array(answers)
        one = np.ones(len(indices), dtype=np.int64)
        return Assessment(
            index=np.array(indices, dtype=np.int64),
            loss_nats=contrastive_loss(found_NW, expected_NW),
            source_nats=contrastive_loss(expected_NW, expected_NW),
            token_count=one,
            agreed_count=((cosine_N >= LEAST_COSINE) & sent_N).astype(np.int64),
            compared_count=one,
            correct_count=neighbours_kept(found_NW / length_N1, expected_NW).astype(np.int64),
            reference_correct_count=one,
        )

    def _expected(self, indices: Sequence[int], weights: Weights) -> NDArray[np.float64]:
        """float64 [N, W] of length 1; sentences of like length go together."""
        order = sorted(range(len(indices)), key=lambda row: self._requests.length(indices[row]))
        expected_NW = np.empty((len(indices), self._shape.width))
        for start in range(0, len(order), REFERENCE_SENTENCES):
            rows = order[start : start + REFERENCE_SENTENCES]
            inputs = self._requests.batch([indices[row] for row in rows])
            expected_NW[rows] = reference.embeddings(self._shape, weights, *inputs)
        return expected_NW

    @property
    def _longest(self) -> int:
        return int(self._settings["requests.tokens_max"])


def codes(embeddings_BW: NDArray[np.float32]) -> list[int]:
    """A signed 64-bit integer each: bit k says whether number k is above 0."""
    bits = np.zeros((len(embeddings_BW), CODE_BITS), dtype=np.uint8)
    width = min(CODE_BITS, embeddings_BW.shape[1])
    bits[:, :width] = embeddings_BW[:, :width] > 0
    packed: list[int] = np.packbits(bits, axis=1, bitorder="little").view("<i8")[:, 0].tolist()
    return packed


def contrastive_loss(found_NW: NDArray[np.float64], expected_NW: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N], nats: -ln of the share of each one's own among all expected.

    Source: Henderson et al., "Efficient Natural Language Response Suggestion for Smart Reply", arXiv 1705.00652, 4.4.
    """
    logits_NN = SCALE * found_NW @ expected_NW.T
    logits_NN = logits_NN - logits_NN.max(axis=1, keepdims=True)
    loss_N: NDArray[np.float64] = np.log(np.exp(logits_NN).sum(axis=1)) - np.diagonal(logits_NN)
    return loss_N


def neighbours_kept(found_NW: NDArray[np.float64], expected_NW: NDArray[np.float64]) -> NDArray[np.bool_]:
    """bool [N]: whether the nearest other one by `found_NW` is, but for `TIE_COSINE`, the nearest by `expected_NW`.

    Both are of length 1. One alone has no other, and keeps it.
    """
    if len(found_NW) < 2:
        return np.ones(len(found_NW), dtype=np.bool_)
    itself_NN = np.where(np.eye(len(found_NW), dtype=np.bool_), -np.inf, 0.0)
    nearest_N = (found_NW @ found_NW.T + itself_NN).argmax(axis=1)
    cosine_NN = expected_NW @ expected_NW.T + itself_NN
    kept_N: NDArray[np.bool_] = cosine_NN[np.arange(len(found_NW)), nearest_N] >= cosine_NN.max(axis=1) - TIE_COSINE
    return kept_N


def _by_shape(requests: Requests, count: int, longest: int) -> list[list[int]]:
    """The first `count` requests, those of a shape together."""
    groups: dict[int, list[int]] = {}
    for index in range(count):
        groups.setdefault(padded(requests.length(index), longest), []).append(index)
    return list(groups.values())
