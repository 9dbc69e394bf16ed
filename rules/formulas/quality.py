"""Quality from per-document evidence: the one sum that worker and judge both use."""

from __future__ import annotations

import math
from collections.abc import Iterable

CHEAT_BOUND_NATS = 9 * math.log(10)
"""ln 10^9: an honest model beats the source by more than this with chance at most 10^-9."""


def excess_loss(loss_nats: Iterable[float], source_nats: Iterable[float], token_count: Iterable[int]) -> float:
    """Mean loss over the source's own information, nats a token (formula excess_loss/1).

    (sum of losses - sum of -ln p) / scored tokens, summed without rounding error. With a source of zero
    information this is the plain cross-entropy. NaN when a loss is NaN or there is no token.
    """
    tokens = sum(token_count)
    losses = list(loss_nats)
    if tokens == 0 or not all(math.isfinite(loss) for loss in losses):
        return math.nan
    return (math.fsum(losses) - math.fsum(source_nats)) / tokens


def accuracy(correct_count: Iterable[int], token_count: Iterable[int]) -> float:
    """Share of scored tokens or images predicted right (formula accuracy/1); NaN when there is none."""
    tokens = sum(token_count)
    return sum(correct_count) / tokens if tokens else math.nan


def source_score_nats(loss_nats: Iterable[float], source_nats: Iterable[float]) -> float:
    """S = sum (ln q - ln p) over fresh documents, in nats (formula source_score/1).

    q is the model's probability, p the source's. Under the source E[exp S] <= 1, so S > ln 10^9 has chance
    at most 10^-9 (Markov's inequality) for any model that has not seen the documents.
    """
    return math.fsum(source_nats) - math.fsum(loss_nats)
