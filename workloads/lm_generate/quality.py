"""What the timed answers are worth: loss over their prompts, and agreement with a reference token by token.

Shape suffixes: B answers at once, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.generator import Generator, Tokens
from oildrop.workloads.lm_generate.draft import Draft
from oildrop.workloads.lm_generate.replay import Replay
from oildrop.workloads.lm_generate.requests import Requests
from oildrop.workloads.lm_pretrain.reference import log_softmax
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import Assessment

Logits = NDArray[np.floating]

Reference = Callable[[Tokens], Logits]
"""Logits [B, T, V] after each token of int32 [B, T], as exact as can be had."""

Agrees = Callable[[int, Tokens, tuple[int, ...], Logits], int]
"""Of a request, its prompt, its answer and the reference's logits [T, V] after both: how many tokens agree."""

TIE_NATS = 1e-4
"""Tokens whose logits are this near the largest count as the likeliest too: fp32 may order them otherwise."""


def agreement_of(settings: Settings, seed: int, draft: Draft | None = None) -> Agrees:
    """What counts as agreement under the sampling method of `settings`.

    Args:
        draft: Proposed while the clock ran; None where nothing did. Greedy answers do not depend on it.
    """
    if settings["sampling.method"] == "greedy":
        return _likeliest
    return Replay(seed, float(settings["sampling.temperature"]), draft).agreed


def _likeliest(index: int, prompt: Tokens, answer: tuple[int, ...], logits_TV: Logits) -> int:
    own_TV = logits_TV[len(prompt) - 1 :]
    return int(np.sum(own_TV[np.arange(len(answer)), list(answer)] >= own_TV.max(axis=-1) - TIE_NATS))


def assess(
    answers: Mapping[int, tuple[int, ...]],
    requests: Requests,
    served: Generator,
    reference: Reference,
    agrees: Agrees,
    at_once: int,
) -> Assessment:
    """Quality of all `answers`, tokens by request.

    Args:
        served: The generator that gave them: its losses over the prompts are scored.
        at_once: Prompts that go through either model at once.
    """
    indices = sorted(answers)
    prompts = [requests.prompt(index) for index in indices]
    losses = _prompt_losses(prompts, served, at_once, requests.own_from)
    contexts = [np.array([*p, *answers[i][:-1]], dtype=np.int32) for i, p in zip(indices, prompts, strict=True)]
    agreed = []
    for index, prompt, logits_TV in zip(indices, prompts, _logits(contexts, reference, at_once), strict=True):
        agreed.append(agrees(index, prompt, answers[index], logits_TV))
    return Assessment(
        index=np.array(indices, dtype=np.int64),
        loss_nats=np.array(losses, dtype=np.float64),
        source_nats=np.array([requests.source_nats(index) for index in indices], dtype=np.float64),
        token_count=np.array([len(prompt) - requests.own_from for prompt in prompts], dtype=np.int64),
        agreed_count=np.array(agreed, dtype=np.int64),
        compared_count=np.array([len(answers[index]) for index in indices], dtype=np.int64),
    )


def _prompt_losses(prompts: Sequence[Tokens], served: Generator, at_once: int, own_from: int) -> list[float]:
    """-ln q of each prompt's tokens from place `own_from` on, summed, in nats."""
    losses = []
    for prompt, logits_TV in zip(prompts, _logits(prompts, served.prompt_logits, at_once), strict=True):
        shares_TV = log_softmax(logits_TV[own_from - 1 : -1].astype(np.float64))
        losses.append(-float(np.take_along_axis(shares_TV, prompt[own_from:, None].astype(np.int64), axis=-1).sum()))
    return losses


def _logits(contexts: Sequence[Tokens], model: Reference, at_once: int) -> Iterator[Logits]:
    """Logits [T, V] of each context; what fills up a short one stands behind it, where no token sees it."""
    for start in range(0, len(contexts), at_once):
        part = contexts[start : start + at_once]
        tokens_BT = np.zeros((len(part), max(map(len, part))), dtype=np.int32)
        for row_T, context in zip(tokens_BT, part, strict=True):
            row_T[: len(context)] = context
        for logits_TV, context in zip(model(tokens_BT), part, strict=True):
            yield logits_TV[: len(context)]
