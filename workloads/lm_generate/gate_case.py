"""What the gates of a served decoder ask, and what the reference answers.

Shape suffixes: N documents, S = T + 1 tokens of a document with its start token.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.engine import Weights
from oildrop.workloads.generator import Tokens
from oildrop.workloads.lm_generate.quantised import as_served
from oildrop.workloads.lm_generate.shapes import model_shape
from oildrop.workloads.lm_pretrain.grammar import grammar_of
from oildrop.workloads.lm_pretrain.reference import ModelShape, gate_weights, token_losses
from oildrop.workloads.lm_pretrain.source import Source
from oildrop.workloads.protocols import Settings


@dataclass(frozen=True, kw_only=True)
class ServeCase:
    """What is asked, and the reference's answer.

    Attributes:
        weights: fp32, every tensor matters.
        tokens_NS: int32, the documents.
        losses_NT: float64, the reference's at the weights as they are served.
        seed: Draws how long prompts and answers are.
        steps: Tokens of an answer at most.
    """

    weights: Weights
    tokens_NS: Tokens
    losses_NT: NDArray[np.float64]
    seed: int
    steps: int


def serve_case(settings: Settings) -> ServeCase:
    """The case that the `gates.*` settings describe, for the `execution.weights` of `settings`."""
    shape: ModelShape = model_shape(settings)
    seed = int(settings["gates.seed"])
    tokens_NS, _ = Source(grammar_of(settings)).documents(seed, 0, int(settings["gates.documents"]), part="gate")
    weights = gate_weights(shape, seed, float(settings["gates.weights_std"]))
    return ServeCase(
        weights=weights,
        tokens_NS=tokens_NS,
        losses_NT=token_losses(as_served(weights, str(settings["execution.weights"])), tokens_NS, shape),
        seed=seed,
        steps=int(settings["gates.steps"]),
    )
