"""Continuous batching with a draft: a small model proposes tokens one by one, the served one looks at all at once.

A step of decoding asks the draft for a few tokens of each request, then the served model for the logits after every
one of them, in one pass through the cache; what stands is said, with one token more. Rows go on by unlike numbers of
tokens. What a cache holds of proposals that fell lies after the row's end: it is written over before it is seen.

Where all proposals stood, the draft has not read the last of them: it reads it in its next step, with the newest token.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.lm_generate.acceptance import Acceptance, Proposals
from oildrop.workloads.lm_generate.ahead import AheadBatcher
from oildrop.workloads.lm_generate.batcher import Batcher, Row
from oildrop.workloads.lm_generate.disaggregated import Disaggregated
from oildrop.workloads.lm_generate.draft import Draft
from oildrop.workloads.lm_generate.sampling import Sampler
from oildrop.workloads.served_protocols import Drafts, Emission


class SpeculativeBatcher(Batcher):
    """A `Batcher` whose decode steps bring one token or more a request.

    Args:
        draft: Has rows as many as `generator`; a request has the same row in both.
        sampler: Chooses the first token of an answer, which comes from its prefill.
        acceptance: Proposes all others and decides about them.

    Attributes:
        drafts: What became of the proposals so far.
    """

    def __init__(
        self,
        generator: Generator,
        draft: Draft,
        sampler: Sampler,
        acceptance: Acceptance,
        slots: int,
        prefill_requests: int,
    ) -> None:
        super().__init__(generator, sampler, slots, prefill_requests)
        self._draft, self._acceptance = draft, acceptance
        self._missed: dict[int, int] = {}  # by slot: the token before the newest, where the draft has not read it
        self.drafts = Drafts()

    def _read(self, slots_B: Tokens, prompts: list[Tokens]) -> Any:
        """By both models; what the draft would say next is not asked."""
        self._draft.generator.prefill(slots_B, prompts)
        for slot in slots_B.tolist():
            self._missed.pop(slot, None)
        return super()._read(slots_B, prompts)

    def _decode(self) -> list[Emission]:
        rows = list(self._rows)
        proposals = self._propose(rows)
        texts = [[row.last, *proposed.tokens] for row, proposed in zip(rows, proposals, strict=True)]
        handle = _extended(self._generator, rows, texts, [row.position for row in rows])
        said = self._acceptance.accept(self._generator, handle, proposals)
        self._count(rows, proposals, said)
        return self._said(said, rows)

    def _propose(self, rows: list[Row]) -> list[Proposals]:
        """As many tokens a row as the draft may propose; one fewer than the request still wants, at most."""
        proposals = [Proposals(index=row.index, place=row.given) for row in rows]
        pairs = list(zip(rows, proposals, strict=True))
        for number in range(self._draft.tokens):
            asked = [(row, made) for row, made in pairs if row.given + number + 1 < row.output_tokens]
            if not asked:
                break
            texts, positions = [], []
            for row, made in asked:
                text = [*self._unread(row)] if number == 0 else [made.tokens[-1]]
                texts.append(text)
                positions.append(row.position + number + 1 - len(text))
            handle = _extended(self._draft.generator, [row for row, _ in asked], texts, positions)
            ends = np.cumsum([len(text) for text in texts]) - 1
            self._acceptance.propose(self._draft.generator, handle, ends.tolist(), [made for _, made in asked])
        return proposals

    def _unread(self, row: Row) -> tuple[int, ...]:
        """What the draft has yet to read in `row`: the newest token, and the one before it if that was missed."""
        return (self._missed.pop(row.slot), row.last) if row.slot in self._missed else (row.last,)

    def _count(self, rows: list[Row], proposals: list[Proposals], said: list[tuple[int, ...]]) -> None:
        """Keep count of what stood, and of rows in which the draft's last proposal did."""
        for row, made, tokens in zip(rows, proposals, said, strict=True):
            if made.tokens and len(tokens) > len(made.tokens):
                self._missed[row.slot] = made.tokens[-1]
        self.drafts = Drafts(
            verified=self.drafts.verified + len(rows),
            proposed=self.drafts.proposed + sum(len(made.tokens) for made in proposals),
            accepted=self.drafts.accepted + sum(len(tokens) - 1 for tokens in said),
        )


def batcher_of(
    generator: Generator,
    draft: Draft | None,
    sampler: Sampler,
    acceptance: Acceptance,
    slots: int,
    prefill_requests: int,
) -> Batcher:
    """One that lets `draft` propose, one that sends prompts ahead where a pair answers, or a plain one."""
    if draft is None and isinstance(generator, Disaggregated):
        return AheadBatcher(generator, sampler, slots, prefill_requests)
    if draft is None:
        return Batcher(generator, sampler, slots, prefill_requests)
    return SpeculativeBatcher(generator, draft, sampler, acceptance, slots, prefill_requests)


def _extended(generator: Generator, rows: list[Row], texts: list[list[int]], positions: list[int]) -> Any:
    """Handle of the logits after each token of `texts`, which begin at `positions` of the rows."""
    slots_B = np.array([row.slot for row in rows], dtype=np.int32)
    positions_B = np.array(positions, dtype=np.int32)
    if all(len(text) == 1 for text in texts):
        return generator.decode(slots_B, np.array([text[0] for text in texts], dtype=np.int32), positions_B)
    return generator.extend(slots_B, [np.array(text, dtype=np.int32) for text in texts], positions_B)
