"""Training batches in order and held-out documents, framework-free.

Shape suffixes: B documents of a batch, N documents of a block, S = T + 1 tokens of a document with its start token.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.lm_pretrain.source import Source

BLOCK_DOCUMENTS = 2048
"""Documents generated at once: enough that the generator's cost a call is spread thin."""

NO_BATCH_SHA256 = bytes(32)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The rulebook's held-out documents: tokens int32 [N, S], and their exact information in nats, float64 [N]."""

    tokens_NS: NDArray[np.int32]
    information_N: NDArray[np.float64]


def held_out(source: Source, seed: int, count: int) -> HeldOut:
    """Documents of a stream of their own, which no run trains on whatever its seed."""
    tokens_NS, information_N = source.documents(seed, 0, count, part="held-out")
    return HeldOut(tokens_NS=tokens_NS, information_N=information_N)


class TrainingData:
    """The documents of one seed in blocks of whole batches: batch k holds documents k B to (k + 1) B - 1."""

    def __init__(self, source: Source, seed: int, documents_per_batch: int) -> None:
        self._source, self._seed, self.documents_per_batch = source, seed, documents_per_batch
        self._next_document = 0

    @property
    def block_documents(self) -> int:
        """Documents of a block: whole batches, and at least BLOCK_DOCUMENTS."""
        return -(-BLOCK_DOCUMENTS // self.documents_per_batch) * self.documents_per_batch

    def next_block(self) -> NDArray[np.int32]:
        """Tokens of the next block, int32 [N, S]."""
        tokens_NS, _ = self._source.documents(self._seed, self._next_document, self.block_documents)
        self._next_document += self.block_documents
        return tokens_NS


def synthetic_batch(source: Source, documents_per_batch: int) -> NDArray[np.int32]:
    """Tokens [B, S] of a fixed pattern that is no training data: for warm-up and compilation."""
    grammar = source.grammar
    pattern = np.arange(documents_per_batch * (grammar.document_tokens + 1), dtype=np.int32) % grammar.vocabulary
    return pattern.reshape(documents_per_batch, -1)


def next_digest(digest: bytes, tokens_BS: NDArray[np.int32]) -> bytes:
    """SHA-256 over `digest` and the batch's tokens as little-endian int32 in C order."""
    return hashlib.sha256(digest + tokens_BS.astype("<i4", copy=False).tobytes()).digest()
