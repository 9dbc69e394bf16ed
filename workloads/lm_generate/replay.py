"""Which tokens of a drawn answer the reference would have drawn too: the draws are made again at its shares.

Where a draft proposed, its proposals are made again as well, by the draft that was served: any draft is as good, what
is checked is what the served model let stand. A token that is not the proposal took the place of one that fell, as a
proposal that falls is never drawn again: the model has less than the draft there.

Shape suffixes: T positions, V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.generator import Tokens
from oildrop.workloads.lm_generate.acceptance import ACCEPT, Shares, proposed, residual
from oildrop.workloads.lm_generate.draft import Draft
from oildrop.workloads.lm_generate.sampling import draw, shares

TIE_SHARE = 1e-4
"""How far a draw may lie outside a token's part of the distribution function: fp32 may have another bound there."""


class Replay:
    """The draws of a run of `seed`.

    Args:
        temperature: By which logits are divided.
        draft: What proposed; None where nothing did.
    """

    def __init__(self, seed: int, temperature: float, draft: Draft | None) -> None:
        self._seed, self._temperature, self._draft = seed, temperature, draft

    def agreed(self, index: int, prompt: Tokens, answer: tuple[int, ...], logits_TV: NDArray[np.floating]) -> int:
        """How many tokens of request `index`'s answer the reference would have drawn too.

        Args:
            logits_TV: The reference's, after each token of prompt and answer but the last.
        """
        p_TV = shares(logits_TV[len(prompt) - 1 :], self._temperature)
        if self._draft is None:
            return sum(self._is_drawn(index, place, p_V, answer[place]) for place, p_V in enumerate(p_TV))
        context = np.array([*prompt, *answer[:-1]], dtype=np.int32)
        logits_1TV = self._draft.generator.prompt_logits(context[None])
        q_TV = shares(logits_1TV[0, len(prompt) - 1 :], self._temperature)
        return self._agreed_after_proposals(index, answer, p_TV, q_TV, self._draft.tokens)

    def _agreed_after_proposals(
        self, index: int, answer: tuple[int, ...], p_TV: Shares, q_TV: Shares, at_once: int
    ) -> int:
        agreed, left = 0, 0
        for place, token in enumerate(answer):
            if left == 0:  # The first token, and what follows proposals that all stood.
                agreed += self._is_drawn(index, place, p_TV[place], token)
                left = min(at_once, len(answer) - place - 2)
                continue
            proposal = proposed(self._seed, index, place, q_TV[place])
            agreed += self._is_decided(index, place, p_TV[place], q_TV[place], proposal, token)
            left = left - 1 if token == proposal else min(at_once, len(answer) - place - 2)
        return agreed

    def _is_decided(self, index: int, place: int, p_V: Shares, q_V: Shares, proposal: int, token: int) -> bool:
        """Whether the reference lets the proposal stand, or has `token` in its place, as was done."""
        height = draw(self._seed, index, place, ACCEPT) * q_V[proposal]
        if token == proposal:
            return bool(height <= p_V[proposal] + TIE_SHARE)
        return bool(height >= p_V[proposal] - TIE_SHARE) and self._is_drawn(index, place, residual(p_V, q_V), token)

    def _is_drawn(self, index: int, place: int, shares_V: Shares, token: int) -> bool:
        upper_V = shares_V.cumsum()
        lower = upper_V[token] - shares_V[token]
        u = draw(self._seed, index, place) * upper_V[-1]
        return bool(lower - TIE_SHARE <= u <= upper_V[token] + TIE_SHARE)
