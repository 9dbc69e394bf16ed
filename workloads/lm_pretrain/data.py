"""Where documents come from, and training batches in order; framework-free.

Shape suffixes: B documents of a batch, N documents of a block, S = T + 1 tokens of a document with its start token.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.corpus.text import open_text
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.source import Source
from oildrop.workloads.protocols import Settings

BLOCK_DOCUMENTS = 2048
"""Documents generated at once: enough that the generator's cost a call is spread thin."""


class DocumentSource(Protocol):
    """Where documents come from: the generated language (`source.Source`) or real text (`corpus.text.TextSource`)."""

    @property
    def grammar(self) -> DocumentShape:
        """Sizes of a document."""

    def documents(
        self, seed: int, first: int, count: int, part: str = "train"
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Tokens int32 [N, S] of documents `first` on, and their information in nats, float64 [N]."""


class DocumentShape(Protocol):
    """Sizes of a document."""

    @property
    def document_tokens(self) -> int:
        """T, scored tokens."""

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""


def source_of(settings: Settings) -> DocumentSource:
    """The generated language, or the texts of the manifest that `data.manifest` names.

    Raises:
        UsageError: No such manifest, or text that the model's vocabulary cannot hold.
        Unsupported: The texts cannot be had on this machine.
    """
    grammar, manifest = grammar_of(settings), str(settings["data.manifest"])
    if not manifest:
        return Source(grammar)
    return open_text(manifest, grammar.document_tokens, vocabulary=grammar.vocabulary)


class TrainingData:
    """The documents of one seed in blocks of whole batches: batch k holds documents k B to (k + 1) B - 1."""

    def __init__(self, source: DocumentSource, seed: int, documents_per_batch: int) -> None:
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


def synthetic_batch(source: DocumentSource, documents_per_batch: int) -> NDArray[np.int32]:
    """Tokens [B, S] of a fixed pattern that is no training data: for warm-up and compilation."""
    grammar = source.grammar
    pattern = np.arange(documents_per_batch * (grammar.document_tokens + 1), dtype=np.int32) % grammar.vocabulary
    return pattern.reshape(documents_per_batch, -1)
