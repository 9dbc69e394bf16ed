"""What becomes of a draft's proposals: how they are chosen, and how many of them the served model lets stand.

Whatever the draft proposes, answers follow the served model alone. Greedy: a proposal stands where it is the token that
the model would have said. Seeded: a proposal x, drawn from the draft's distribution q, stands with probability
min(1, p(x) / q(x)), p being the model's; the token that takes the place of one that fell is drawn from
max(p - q, 0), scaled to sum to 1. Where nothing was proposed it is drawn from p.

Each place of an answer has three numbers of its own: one draws the proposal, one decides whether it stands, one draws
what takes its place. A proposal that was thrown away with an earlier one is made again with the same number: it had
no part in what was said before.

Source: Leviathan, Kalman, Matias, Fast Inference from Transformers via Speculative Decoding (2023), algorithm 1, with
the proof that the output follows p in its appendix A.1.

Shape suffixes: B rows, N tokens of all rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.generator import Generator
from oildrop.workloads.lm_generate.sampling import draw, drawn, shares
from oildrop.workloads.protocols import Settings

PROPOSE = "sampling/propose"
ACCEPT = "sampling/accept"
"""Streams of the numbers that draw proposals and decide about them."""

Shares = NDArray[np.float64]
"""A distribution over the vocabulary, [V]."""


@dataclass(kw_only=True)
class Proposals:
    """What is proposed for one request.

    Attributes:
        place: Of the first proposal in the answer: how many tokens went before.
        tokens: The proposals, in order.
        shares: The distribution that each was drawn from; empty where they were not drawn.
    """

    index: int
    place: int
    tokens: list[int] = field(default_factory=list)
    shares: list[Shares] = field(default_factory=list)


class Acceptance(Protocol):
    """Proposes with a draft, and decides with the served model."""

    def propose(self, draft: Generator, handle: Any, ends_B: Sequence[int], rows: Sequence[Proposals]) -> None:
        """Give each row one proposal more.

        Args:
            ends_B: Which of the logits behind the draft's `handle` are each row's.
        """

    def accept(self, served: Generator, handle: Any, rows: Sequence[Proposals]) -> list[tuple[int, ...]]:
        """What is said in each row: proposals that stand, and one token more.

        Args:
            handle: Logits of the served model, for each row after its last token and after each proposal.
        """


class GreedyAcceptance:
    """A proposal stands where it is the likeliest token."""

    def propose(self, draft: Generator, handle: Any, ends_B: Sequence[int], rows: Sequence[Proposals]) -> None:
        """The draft's likeliest."""
        for row, token in zip(rows, draft.greedy(handle)[list(ends_B)].tolist(), strict=True):
            row.tokens.append(token)

    def accept(self, served: Generator, handle: Any, rows: Sequence[Proposals]) -> list[tuple[int, ...]]:
        """The model's likeliest tokens, up to the first that was not proposed."""
        likeliest_N = served.greedy(handle).tolist()
        said, start = [], 0
        for row in rows:
            own = likeliest_N[start : start + len(row.tokens) + 1]
            said.append(tuple(own[: 1 + in_common(row.tokens, own)]))
            start += len(own)
        return said


class SeededAcceptance:
    """A proposal stands by the rulebook's integers."""

    def __init__(self, seed: int, temperature: float) -> None:
        self._seed, self._temperature = seed, temperature

    def propose(self, draft: Generator, handle: Any, ends_B: Sequence[int], rows: Sequence[Proposals]) -> None:
        """Drawn from the draft's distribution, on the host in float64."""
        for row, q_V in zip(rows, shares(draft.logits(handle)[list(ends_B)], self._temperature), strict=True):
            row.tokens.append(proposed(self._seed, row.index, row.place + len(row.tokens), q_V))
            row.shares.append(q_V)

    def accept(self, served: Generator, handle: Any, rows: Sequence[Proposals]) -> list[tuple[int, ...]]:
        """Likewise."""
        shares_NV = shares(served.logits(handle), self._temperature)
        said, start = [], 0
        for row in rows:
            end = start + len(row.tokens) + 1
            said.append(self._said(shares_NV[start:end], row))
            start = end
        return said

    def _said(self, shares_NV: Shares, row: Proposals) -> tuple[int, ...]:
        for number, (token, q_V, p_V) in enumerate(zip(row.tokens, row.shares, shares_NV, strict=False)):
            place = row.place + number
            if not stands(self._seed, row.index, place, p_V, q_V, token):
                instead = drawn(residual(p_V, q_V), draw(self._seed, row.index, place))
                return (*row.tokens[:number], instead)
        return (*row.tokens, drawn(shares_NV[-1], draw(self._seed, row.index, row.place + len(row.tokens))))


def acceptance_of(settings: Settings, seed: int) -> Acceptance:
    """What `sampling.method` names, for a run of `seed`."""
    if settings["sampling.method"] == "greedy":
        return GreedyAcceptance()
    return SeededAcceptance(seed, float(settings["sampling.temperature"]))


def proposed(seed: int, index: int, place: int, q_V: Shares) -> int:
    """The token that a draft of distribution `q_V` proposes for token `place` of request `index`'s answer."""
    return drawn(q_V, draw(seed, index, place, PROPOSE))


def stands(seed: int, index: int, place: int, p_V: Shares, q_V: Shares, token: int) -> bool:
    """Whether proposal `token` stands: with probability min(1, p / q)."""
    return draw(seed, index, place, ACCEPT) * float(q_V[token]) < float(p_V[token])


def residual(p_V: Shares, q_V: Shares) -> Shares:
    """max(p - q, 0), not scaled: what the model has over the draft; p itself where rounding leaves nothing."""
    over_V = np.maximum(p_V - q_V, 0.0)
    return over_V if over_V.any() else p_V


def in_common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))
