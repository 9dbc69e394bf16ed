"""Before the clock: prefill, cache and batching of the engine that will be timed, against the float64 reference.

Documents of the gate seed go through the batcher as requests do, but each next token is the document's own, so that
the loss of every one is known. First as many are answered at once as there are rows; then all of them on a few rows,
so that rows are used again while others go on, next to what longer requests left there. Where a draft proposes, the
documents' tokens are proposed in its place, some of them wrong, so that rows go on by unlike numbers of tokens.

Shape suffixes: N documents, S = T + 1 tokens of a document with its start token, B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.workloads.gates import judged, relative_rms
from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.integers import raw_words
from oildrop.workloads.lm_generate.acceptance import Proposals
from oildrop.workloads.lm_generate.at_depth import AtDepth
from oildrop.workloads.lm_generate.batcher import Batcher, Waiting
from oildrop.workloads.lm_generate.draft import Draft
from oildrop.workloads.lm_generate.gate_case import ServeCase, serve_case
from oildrop.workloads.lm_generate.gates_at_depth import depth_difference
from oildrop.workloads.lm_generate.speculative import batcher_of
from oildrop.workloads.lm_pretrain.reference import log_softmax
from oildrop.workloads.protocols import Settings

FEW_ROWS = 3
"""Rows of the second round: fewer than documents, and no power of two."""


def run_gates(generator: Generator, settings: Settings, draft: Draft | None = None) -> Iterator[GateResult]:
    """Every gate of a built `generator` at its own settings. Leaves other weights and a used cache behind."""
    slots, at_once = int(settings["execution.slots"]), int(settings["execution.prefill_requests"])
    label = str(settings["execution.weights"])
    if label == "as-trained":
        label = str(settings["execution.dtype"])
    case = serve_case(settings)
    for name, value in measure(generator, case, slots, at_once, draft):
        yield judged(name, label, value, settings)
    if isinstance(generator, AtDepth):
        yield judged("loss_depth", label, depth_difference(generator, case, slots, at_once), settings)


def measure(
    generator: Generator, case: ServeCase, slots: int, at_once: int, draft: Draft | None = None
) -> Iterator[tuple[str, float]]:
    """How far the generator is from the reference, by name of the gate; 0 is exact.

    Args:
        slots, at_once: Rows of the cache, and prompts that are read in one step at most.
        draft: Proposes in the timed run; None where nothing does.
    """
    generator.set_weights(case.weights)
    yield "loss_prefill", relative_rms(_whole(generator, case, at_once), case.losses_NT)
    teacher = _Teacher(case)
    count = max(slots, len(case.tokens_NS))
    for rows, first in ((slots, 0), (min(slots, FEW_ROWS), count)):
        batcher = batcher_of(generator, draft, teacher, teacher, rows, at_once)
        _answer(batcher, case, range(first, first + count))
    found, expected = zip(*((loss, case.losses_NT[row, place]) for row, place, loss in teacher.losses), strict=True)
    yield "loss_decode", relative_rms(np.array(found), np.array(expected))
    yield "greedy", teacher.shortfall


def _whole(generator: Generator, case: ServeCase, at_once: int) -> NDArray[np.float64]:
    """Losses [N, T] of whole documents through `prompt_logits`."""
    parts = []
    for start in range(0, len(case.tokens_NS), at_once):
        tokens_BS = case.tokens_NS[start : start + at_once]
        shares_BTV = log_softmax(generator.prompt_logits(tokens_BS[:, :-1]).astype(np.float64))
        target_BT1 = tokens_BS[:, 1:, None].astype(np.int64)
        parts.append(-np.take_along_axis(shares_BTV, target_BT1, axis=-1)[..., 0])
    return np.concatenate(parts)


def _answer(batcher: Batcher, case: ServeCase, indices: range) -> None:
    """Requests `indices`, each the beginning of a document, until all are answered."""
    batcher.admit([_request(case, index) for index in indices])
    while batcher.step():
        pass


def _request(case: ServeCase, index: int) -> Waiting:
    """Request `index` asks for 1 to `steps` tokens after a beginning that leaves room for them."""
    tokens_S = case.tokens_NS[index % len(case.tokens_NS)]
    places = len(tokens_S) - 1
    output_draw, prompt_draw = raw_words(case.seed, "gate/requests", first_block=index, count=2).tolist()
    output_tokens = 1 + output_draw % min(case.steps, places)
    prompt_tokens = 1 + prompt_draw % (places + 1 - output_tokens)
    return Waiting(index=index, prompt=tokens_S[:prompt_tokens], output_tokens=output_tokens)


class _Teacher:
    """Says each document's own next token, whatever is proposed, and keeps the loss of it.

    Attributes:
        losses: (document, place, loss in nats) of every token said.
        shortfall: How far the logit of the token that `greedy` found lies under the largest, at worst.
    """

    def __init__(self, case: ServeCase) -> None:
        self._case = case
        self.losses: list[tuple[int, int, float]] = []
        self.shortfall = 0.0

    def choose(self, generator: Generator, handle: Any, places: Sequence[tuple[int, int]]) -> Tokens:
        """The documents' tokens."""
        shares_BV = self._shares(generator, handle)
        said = [self._say(index, given, share_V) for (index, given), share_V in zip(places, shares_BV, strict=True)]
        return np.array(said, dtype=np.int32)

    def propose(self, draft: Generator, handle: Any, ends_B: Sequence[int], rows: Sequence[Proposals]) -> None:
        """The documents' tokens, one of three wrong."""
        for row in rows:
            place = row.place + len(row.tokens)
            document, at = self._place(row.index, place)
            token = int(self._case.tokens_NS[document, at + 1])
            row.tokens.append(token if (row.index + place) % 3 else 0 if token else 1)

    def accept(self, served: Generator, handle: Any, rows: Sequence[Proposals]) -> list[tuple[int, ...]]:
        """The documents' tokens, up to the first that was not proposed."""
        shares_NV = iter(self._shares(served, handle))
        said = []
        for row in rows:
            own_NV = [next(shares_NV) for _ in range(len(row.tokens) + 1)]
            tokens = [self._say(row.index, row.place, own_NV[0])]
            while len(tokens) <= len(row.tokens) and row.tokens[len(tokens) - 1] == tokens[-1]:
                tokens.append(self._say(row.index, row.place + len(tokens), own_NV[len(tokens)]))
            said.append(tuple(tokens))
        return said

    def _shares(self, generator: Generator, handle: Any) -> NDArray[np.float64]:
        """Logarithms of the shares, [N, V]; keeps the shortfall."""
        greedy_N, logits_NV = generator.greedy(handle), generator.logits(handle).astype(np.float64)
        found_N = logits_NV[np.arange(len(greedy_N)), greedy_N]
        self.shortfall = max(self.shortfall, float((logits_NV.max(axis=-1) - found_N).max()))
        return log_softmax(logits_NV)

    def _say(self, index: int, given: int, share_V: NDArray[np.float64]) -> int:
        document, place = self._place(index, given)
        token = int(self._case.tokens_NS[document, place + 1])
        self.losses.append((document, place, -float(share_V[token])))
        return token

    def _place(self, index: int, given: int) -> tuple[int, int]:
        """Which document, and where in it, token `given` of an answer follows."""
        return index % len(self._case.tokens_NS), len(_request(self._case, index).prompt) - 1 + given
