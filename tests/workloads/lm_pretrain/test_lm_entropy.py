"""The entropy: the dynamic programme against hand counts, exhaustive enumeration and the parser's sums."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from oildrop.workloads.lm_pretrain.entropy import entropy_nats
from oildrop.workloads.lm_pretrain.grammar import START, Grammar, grammar_of
from oildrop.workloads.lm_pretrain.parser import NotInLanguage, information_nats
from oildrop.workloads.lm_pretrain.source import Source


def test_the_first_token_costs_what_paper_says(grammar: Grammar) -> None:
    """At the start only words, `let` and opening brackets can come."""
    chances = [(256 - 60) / 256, 30 / 256, 30 / 256]
    zipf = grammar.word_counts[-1] / 4096
    by_hand = -sum(p * math.log(p) for p in chances) - chances[0] * float((zipf * np.log(zipf)).sum())
    by_hand += chances[2] * math.log(3)
    assert entropy_nats(grammar)[0] == pytest.approx(by_hand, abs=1e-8)


@pytest.mark.parametrize(("let_share", "open_share", "tokens"), [(50, 40, 5), (90, 0, 6)])
def test_it_equals_the_sum_over_all_documents_of_a_tiny_language(let_share: int, open_share: int, tokens: int) -> None:
    """Every document there is, each with the parser's -ln p: probabilities sum to 1, entropies to the programme's."""
    tiny = Grammar(
        language_seed=1,
        document_tokens=tokens,
        words=1,
        zipf_offset=0,
        names=1,
        brackets=1,
        depth=1,
        successors=1,
        successor_share=0,
        let_share=let_share,
        get_share=80,
        open_share=open_share,
        close_share=70,
    )
    nats = np.array([information_nats(tiny, [START, *body]) for body in bodies(tiny)])
    assert math.fsum(np.exp(-nats)) == pytest.approx(1, abs=1e-12)
    assert math.fsum(np.exp(-nats) * nats) == pytest.approx(entropy_nats(tiny).sum(), abs=1e-11)


def bodies(grammar: Grammar) -> list[tuple[int, ...]]:
    """All that could be said, pruned token by token."""
    found: list[tuple[int, ...]] = [()]
    for length in range(1, grammar.document_tokens + 1):
        shorter = replace(grammar, document_tokens=length)
        longer = [(*body, token) for body, token in product(found, range(1, grammar.vocabulary))]
        found = [body for body in longer if can_be_said(shorter, body)]
    return found


def can_be_said(grammar: Grammar, body: tuple[int, ...]) -> bool:
    """Whether the parser takes the document."""
    try:
        information_nats(grammar, [START, *body])
    except NotInLanguage:
        return False
    return True


@pytest.mark.parametrize("seed", [31, 32])
def test_it_equals_the_mean_of_the_documents_information(grammar: Grammar, seed: int) -> None:
    """A z test: the mean over 20,000 documents lies within four standard errors."""
    _, information = Source(grammar).documents(seed, 0, 20_000)
    standard_error = information.std(ddof=1) / math.sqrt(len(information))
    assert abs(information.mean() - entropy_nats(grammar).sum()) < 4 * standard_error
    assert standard_error / grammar.document_tokens < 0.003


def test_the_rulebooks_entropy_is_known_to_six_digits(nano_settings: dict[str, object]) -> None:
    grammar = grammar_of(nano_settings)  # type: ignore[arg-type]
    _, information = Source(grammar).documents(33, 0, 20_000)
    standard_error = information.std(ddof=1) / math.sqrt(len(information))
    found = entropy_nats(grammar).mean()
    assert abs(information.mean() / grammar.document_tokens - found) < 4 * standard_error / grammar.document_tokens
