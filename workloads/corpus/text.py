"""Real text as documents of T tokens, for `lm-pretrain`: a token is a byte, so that no tokenizer has to be had.

Document d is bytes d T to (d + 1) T - 1 of the texts end to end. It is held out when its own SHA-256 says so, so that
a text that stands there twice is never both trained on and scored. Training documents come in the order
`permutation(seed, epoch)`; integers alone, any document without those before it.

Shape suffixes: D documents of the data, N documents asked for, T scored tokens, S = T + 1.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.errors import OildropError, UsageError
from oildrop.workloads.corpus.byte_store import open_byte_store
from oildrop.workloads.corpus.cache import Cache
from oildrop.workloads.corpus.manifest import find_manifest
from oildrop.workloads.integers import permutation

START = 0
FIRST_BYTE_TOKEN = 1
BYTE_VALUES = 256
HELD_OUT_ONE_IN = 1000


@dataclass(frozen=True, kw_only=True)
class TextShape:
    """What a model must know of the documents: scored tokens of each, and how many tokens there are."""

    document_tokens: int
    vocabulary: int = BYTE_VALUES + FIRST_BYTE_TOKEN


class TextSource:
    """Documents of real text, with the methods of `lm_pretrain.source.Source`; their entropy is unknown."""

    def __init__(self, bytes_D: NDArray[np.uint8], document_tokens: int) -> None:
        """Cut `bytes_D` into documents. Raises UsageError when a part gets none."""
        count = len(bytes_D) // document_tokens
        self.grammar = TextShape(document_tokens=document_tokens)
        self._bytes_DT = bytes_D[: count * document_tokens].reshape(count, document_tokens)
        held_out = np.array([_is_held_out(document) for document in self._bytes_DT], dtype=np.bool_)
        self._held_out, self._train = np.flatnonzero(held_out), np.flatnonzero(~held_out)
        if not len(self._held_out) or not len(self._train):
            raise UsageError(
                f"{len(bytes_D):,} bytes make {count:,} documents of {document_tokens} tokens, {len(self._held_out)} "
                f"of them held out (about 1 in {HELD_OUT_ONE_IN:,}): take more text or shorter documents"
            )
        self._epoch_order: tuple[tuple[int, int], NDArray[np.int64]] = ((-1, -1), np.empty(0, dtype=np.int64))

    def document(self, seed: int, index: int, part: str = "train") -> NDArray[np.int32]:
        """Document `index` of (`seed`, `part`): tokens int32 [S]."""
        return self.documents(seed, index, 1, part)[0][0]

    def documents(
        self, seed: int, first: int, count: int, part: str = "train"
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Documents `first` to `first + count - 1` of (`seed`, `part`).

        Args:
            part: `held-out` is the held-out documents, each once; any other the training documents, without end.

        Returns:
            tokens int32 [N, S] (the start token first), and information float64 [N]: zeros, as nobody knows it.

        Raises:
            OildropError: More held-out documents are asked for than there are.
        """
        places = self._held_out_places(seed, first, count) if part == "held-out" else self._places(seed, first, count)
        tokens_NS = np.full((count, self.grammar.document_tokens + 1), START, dtype=np.int32)
        tokens_NS[:, 1:] = self._bytes_DT[places]
        tokens_NS[:, 1:] += FIRST_BYTE_TOKEN
        return tokens_NS, np.zeros(count)

    def _held_out_places(self, seed: int, first: int, count: int) -> NDArray[np.int64]:
        if first + count > len(self._held_out):
            raise OildropError(
                f"held-out documents {first} to {first + count - 1} are asked for, there are {len(self._held_out)}: "
                "score fewer (evaluation.documents) or take more text"
            )
        return self._held_out[permutation(seed, 0, len(self._held_out))[first : first + count]]

    def _places(self, seed: int, first: int, count: int) -> NDArray[np.int64]:
        places, total = [], len(self._train)
        while count > 0:
            epoch, position = divmod(first, total)
            taken = min(count, total - position)
            places.append(self._order(seed, epoch)[position : position + taken])
            first, count = first + taken, count - taken
        return self._train[np.concatenate(places)]

    def _order(self, seed: int, epoch: int) -> NDArray[np.int64]:
        if self._epoch_order[0] != (seed, epoch):
            self._epoch_order = ((seed, epoch), permutation(seed, epoch, len(self._train)))
        return self._epoch_order[1]


def open_text(name: str, document_tokens: int, *, vocabulary: int, cache: Cache | None = None) -> TextSource:
    """The texts of manifest `name` in documents of `document_tokens` tokens, for a model of `vocabulary` tokens.

    Raises:
        UsageError: The vocabulary is too small for bytes and a start token, or there is too little text.
    """
    needed = TextShape(document_tokens=document_tokens).vocabulary
    if vocabulary < needed:
        fix = f"set model.vocabulary to {needed} or more"
        raise UsageError(f"the model has {vocabulary} tokens, text in bytes needs {needed}: {fix}")
    return TextSource(open_byte_store(find_manifest(name), cache), document_tokens)


def _is_held_out(document_T: NDArray[np.uint8]) -> bool:
    return int.from_bytes(hashlib.sha256(document_T.tobytes()).digest()[:8], "little") % HELD_OUT_ONE_IN == 0
