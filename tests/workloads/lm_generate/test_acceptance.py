"""What is said with a draft's help follows the served model alone: exactly, by counting, and by many integer draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from oildrop.workloads.lm_generate import acceptance
from oildrop.workloads.lm_generate.acceptance import GreedyAcceptance, Proposals, SeededAcceptance, acceptance_of
from oildrop.workloads.lm_generate.batcher import Waiting
from oildrop.workloads.lm_generate.draft import Draft
from oildrop.workloads.lm_generate.sampling import Seeded
from oildrop.workloads.lm_generate.speculative import SpeculativeBatcher


class Given:
    """Logits that are there already."""

    def logits(self, handle: Any) -> Any:
        return handle

    def greedy(self, handle: Any) -> Any:
        return handle.argmax(axis=-1).astype(np.int32)


GIVEN: Any = Given()


class Markov:
    """A model whose next token depends on the newest alone: `shares_VV[newest]`; its cache is its rows."""

    def __init__(self, shares_VV: Any) -> None:
        self.logits_VV = np.log(np.array(shares_VV, dtype=np.float64)) - 2.5
        self.rows: dict[int, list[int]] = {}

    def prefill(self, slots_B: Any, prompts: Any) -> Any:
        for slot, prompt in zip(slots_B.tolist(), prompts, strict=True):
            self.rows[slot] = prompt.tolist()
        return self.logits_VV[[prompt[-1] for prompt in prompts]]

    def decode(self, slots_B: Any, tokens_B: Any, positions_B: Any) -> Any:
        return self.extend(slots_B, [[token] for token in tokens_B.tolist()], positions_B)

    def extend(self, slots_B: Any, tokens: Any, positions_B: Any) -> Any:
        for slot, text, position in zip(slots_B.tolist(), tokens, positions_B.tolist(), strict=True):
            assert position <= len(self.rows[slot])
            self.rows[slot][position:] = list(text)
        return self.logits_VV[[token for text in tokens for token in text]]

    logits, greedy = Given.logits, Given.greedy


def numbers_from(monkeypatch: pytest.MonkeyPatch, by_stream: dict[str, float]) -> None:
    monkeypatch.setattr(acceptance, "draw", lambda seed, index, place, stream="sampling": by_stream[stream])


P, Q = (3, 4, 5), (6, 3, 3)
"""Twelfths that the model and the draft give to three tokens."""


def test_the_law_of_one_place_by_counting_all_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    # The draft draws quarters, a proposal of token 0 stands in one half, and (p - q)+ is 0, 1, 2 of 3: in each of
    # 4 x 2 x 3 cells of equal size nothing changes, so their middles say all there is.
    served, draft = (np.log(np.array([shares, [1, 1, 1]]) / 12) for shares in (P, Q))
    rule = SeededAcceptance(0, 1.0)
    found: Counter[int] = Counter()
    for proposing, deciding, drawing in product(range(4), range(2), range(3)):
        numbers = {"sampling/propose": (2 * proposing + 1) / 8, "sampling/accept": (2 * deciding + 1) / 4}
        numbers_from(monkeypatch, numbers | {"sampling": (2 * drawing + 1) / 6})
        row = Proposals(index=0, place=0)
        rule.propose(GIVEN, draft, [0], [row])
        [said] = rule.accept(GIVEN, served, [row])
        found[said[0]] += 1
        assert len(said) == (2 if said[0] == row.tokens[0] else 1)
    assert {token: Fraction(count, 24) for token, count in found.items()} == {
        token: Fraction(twelfths, 12) for token, twelfths in enumerate(P)
    }


@pytest.mark.parametrize(
    ("p", "q"), [((1, 1), (1, 0)), ((1, 2), (2, 1)), ((0, 3), (3, 0)), ((2, 2, 8), (8, 2, 2)), ((5, 1, 6), (4, 4, 4))]
)
def test_the_parts_of_the_law_sum_to_the_models(p: tuple[int, ...], q: tuple[int, ...]) -> None:
    """P(x) = q min(1, p / q) + P(falls) (p - q)+ / sum (p - q)+, with the code's own residual."""
    whole_p, whole_q = (Fraction(1, sum(shares)) for shares in (p, q))
    exact_p, exact_q = [n * whole_p for n in p], [n * whole_q for n in q]
    stands = [min(a, b) for a, b in zip(exact_p, exact_q, strict=True)]
    rest_V = acceptance.residual(*(np.array([float(x) for x in shares]) for shares in (exact_p, exact_q)))
    law = np.array([float(x) for x in stands]) + float(1 - sum(stands)) * rest_V / rest_V.sum()
    assert law == pytest.approx([float(x) for x in exact_p], abs=1e-15)


def test_a_model_that_is_its_own_draft_lets_everything_stand() -> None:
    logits = np.log(np.tile([0.2, 0.5, 0.3], (6, 1)))
    rule = SeededAcceptance(4, 1.0)
    row = Proposals(index=3, place=2)
    for _ in range(5):
        rule.propose(GIVEN, logits[:1], [0], [row])
    [said] = rule.accept(GIVEN, logits, [row])
    assert said[:5] == tuple(row.tokens) and len(said) == 6


def test_greedy_takes_the_longest_beginning_that_agrees() -> None:
    likeliest = np.eye(5)[[1, 2, 3, 0, 4, 4, 2]]
    rows = [
        Proposals(index=0, place=1, tokens=[1, 2, 4]),  # two stand, then 3 in place of 4
        Proposals(index=1, place=5, tokens=[3]),  # falls
        Proposals(index=2, place=2, tokens=[]),
    ]
    assert GreedyAcceptance().accept(GIVEN, likeliest, rows) == [(1, 2, 3), (4,), (2,)]
    GreedyAcceptance().propose(GIVEN, likeliest, [4, 6], rows[1:])
    assert [row.tokens for row in rows[1:]] == [[3, 4], [2]]
    assert isinstance(acceptance_of({"sampling.method": "greedy"}, 1), GreedyAcceptance)


SERVED = [[0.4, 0.25, 0.35], [0.25, 0.45, 0.3], [0.3, 0.25, 0.45]]
DRAFT = [[0.2, 0.7, 0.1], [0.6, 0.1, 0.3], [0.7, 0.1, 0.2]]
ANSWERS, LENGTH = 1500, 4


def answers(draft_tokens: int, seed: int = 5) -> Iterator[tuple[int, ...]]:
    """Answers of four tokens after token 0, three requests at once, with the same draws on any machine."""
    draft: Any = Draft(generator=Markov(DRAFT), tokens=draft_tokens)  # type: ignore[arg-type]
    served: Any = Markov(SERVED)
    batcher = SpeculativeBatcher(served, draft, Seeded(seed, 1.0), SeededAcceptance(seed, 1.0), 3, 2)
    prompt = np.zeros(2, dtype=np.int32)
    batcher.admit([Waiting(index=i, prompt=prompt, output_tokens=LENGTH) for i in range(ANSWERS)])
    given: dict[int, tuple[int, ...]] = {}
    while emissions := batcher.step():
        for emission in emissions:
            given[emission.index] = given.get(emission.index, ()) + emission.tokens
            assert emission.done == (len(given[emission.index]) == LENGTH)
    assert sorted(given) == list(range(ANSWERS))
    yield from given.values()


def chance(draft_tokens: int) -> float:
    """Of so unlike a count of whole answers, where they follow the served model: its law is multiplied out by hand."""
    counted = Counter(answers(draft_tokens))
    expected = {
        (a, b, c, d): SERVED[0][a] * SERVED[a][b] * SERVED[b][c] * SERVED[c][d] * ANSWERS
        for a, b, c, d in product(range(3), repeat=LENGTH)
    }
    assert min(expected.values()) > 5  # as chi-square needs
    assert set(counted) <= set(expected)
    return float(chisquare([counted[answer] for answer in expected], list(expected.values())).pvalue)


@pytest.mark.parametrize("draft_tokens", [1, 3])
def test_whole_answers_follow_the_served_model(draft_tokens: int) -> None:
    assert chance(draft_tokens) > 1e-3


def always(*args: Any) -> bool:
    return True


def by_the_ratio_turned_over(seed: int, index: int, place: int, p_V: Any, q_V: Any, token: int) -> bool:
    return bool(acceptance.draw(seed, index, place, acceptance.ACCEPT) * p_V[token] < q_V[token])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("stands", always),
        ("stands", by_the_ratio_turned_over),
        ("residual", lambda p_V, q_V: p_V),
        ("residual", lambda p_V, q_V: q_V),
        ("ACCEPT", "sampling/propose"),  # one number for both decisions
    ],
)
def test_a_wrong_acceptance_is_found_by_the_same_count(monkeypatch: pytest.MonkeyPatch, name: str, wrong: Any) -> None:
    monkeypatch.setattr(acceptance, name, wrong)
    assert chance(3) < 1e-9
