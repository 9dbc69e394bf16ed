"""The gate of a run at depth: prompts read on and decoded behind tokens that every row holds, against the reference.

Shape suffixes: B rows of one call, S = T + 1 tokens of a document with its start token, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.gates import relative_rms
from oildrop.workloads.generator import Tokens
from oildrop.workloads.lm_generate.at_depth import NOTHING, AtDepth
from oildrop.workloads.lm_generate.gate_case import ServeCase
from oildrop.workloads.lm_pretrain.reference import log_softmax


def depth_difference(generator: AtDepth, case: ServeCase, slots: int, at_once: int) -> float:
    """How far losses at depth are from the reference's of whole documents; weights are those of `case`.

    Of each document the first third is held; rows from the first to the last read on from it, each to another length.
    """
    rows_B = np.unique(np.linspace(0, slots - 1, min(slots, at_once)).astype(np.int32))
    found, expected = [], []
    for tokens_S, losses_T in zip(case.tokens_NS, case.losses_NT, strict=True):
        depth = max(len(losses_T) // 3, 1)
        generator.begin_at(tokens_S[:depth])
        for places_B, losses_B in _losses(generator, tokens_S, depth, rows_B, case.steps):
            found.append(losses_B)
            expected.append(losses_T[places_B])
    generator.begin_at(NOTHING)
    return relative_rms(np.array(found), np.array(expected))


def _losses(
    generator: AtDepth, tokens_S: Tokens, depth: int, rows_B: Tokens, steps: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Places in the document and losses there, [B] each: after the prompts, then of the document's own next tokens."""
    left = len(tokens_S) - 1 - depth
    steps = min(steps, left - 1)
    lengths_B = np.linspace(1, left - steps, len(rows_B)).astype(np.int64)
    prompts = [tokens_S[depth : depth + length] for length in lengths_B]
    handle = generator.prefill(rows_B, prompts)
    for step in range(steps + 1):
        places_B = depth - 1 + lengths_B + step
        if step:
            handle = generator.decode(rows_B, tokens_S[places_B], (places_B - depth).astype(np.int32))
        shares_BV = log_softmax(generator.logits(handle).astype(np.float64))
        yield places_B, -shares_BV[np.arange(len(rows_B)), tokens_S[places_B + 1]]
