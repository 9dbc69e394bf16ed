"""Quality of answers, by hand: a model of four tokens whose logits are written down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.lm_generate import quality
from oildrop.workloads.lm_generate.sampling import draw

PROMPTS = {3: [0, 2, 1], 5: [0, 1]}


class Asked:
    """Two requests."""

    def __init__(self, own_from: int = 1) -> None:
        self.own_from = own_from

    def prompt(self, index: int) -> Any:
        return np.array(PROMPTS[index], dtype=np.int32)

    def source_nats(self, index: int) -> float:
        return {3: 1.5, 5: 0.25}[index]


def bigram(tokens_BT: Any) -> Any:
    """After token t the probabilities are 1/2 for t + 1, 1/4 for t + 2, 1/8 for each other, modulo 4."""
    shares_44 = np.array([np.roll([1 / 8, 1 / 2, 1 / 4, 1 / 8], t) for t in range(4)])
    return np.log(shares_44)[tokens_BT] + 3.0


class Served:
    prompt_logits = staticmethod(lambda tokens_BT: bigram(tokens_BT).astype(np.float32))


def assess(
    answers: dict[int, tuple[int, ...]], settings: dict[str, Any], reference: Any = bigram, own_from: int = 1
) -> Any:
    asked: Any = Asked(own_from)
    served: Any = Served()
    return quality.assess(answers, asked, served, reference, quality.agreement_of(settings, 9), at_once=1)


def test_losses_are_those_of_the_prompts_tokens_after_the_first() -> None:
    found = assess({3: (2, 3), 5: (2,)}, {"sampling.method": "greedy"})
    assert found.index.tolist() == [3, 5]
    # 0 to 2: a quarter; 2 to 1: an eighth. 0 to 1: a half.
    assert found.loss_nats == pytest.approx([math.log(4) + math.log(8), math.log(2)], rel=1e-6)
    assert found.source_nats.tolist() == [1.5, 0.25]
    assert found.token_count.tolist() == [2, 1]


def test_what_prompts_share_is_not_scored() -> None:
    found = assess({3: (2, 3)}, {"sampling.method": "greedy"}, own_from=2)
    assert found.loss_nats == pytest.approx([math.log(8)], rel=1e-6)  # 2 to 1
    assert (found.token_count.tolist(), found.agreed_count.tolist()) == ([1], [2])


def test_a_token_agrees_that_is_the_likeliest_after_all_before_it() -> None:
    # After prompt 3 (.. 1): 2 is likeliest, then 3; 1 is not likeliest after 3, but 2 is after 1.
    found = assess({3: (2, 3, 1, 2), 5: (3, 0)}, {"sampling.method": "greedy"})
    assert found.compared_count.tolist() == [4, 2]
    assert found.agreed_count.tolist() == [3, 1]


@pytest.mark.parametrize(("lead", "agrees"), [(5e-5, 1), (2e-4, 0)])
def test_a_tie_counts_as_agreement_within_its_tolerance(lead: float, agrees: int) -> None:
    def tied(tokens_BT: Any) -> Any:
        return np.broadcast_to([0.0, lead, 0.0, -1.0], (*tokens_BT.shape, 4))

    assert assess({5: (2,)}, {"sampling.method": "greedy"}, tied).agreed_count.tolist() == [agrees]


def test_a_drawn_token_agrees_where_the_draw_falls_into_its_part() -> None:
    settings = {"sampling.method": "seeded", "sampling.temperature": 1.0}
    u = draw(9, 5, 0)
    # After token 1 the shares are 1/8, 1/8, 1/2, 1/4.
    right = int(np.searchsorted([1 / 8, 1 / 4, 3 / 4, 1], u, side="right"))
    for token in range(4):
        assert assess({5: (token,)}, settings).agreed_count.tolist() == [int(token == right)]
