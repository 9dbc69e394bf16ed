"""The parser: agrees with the generator on every document, and refuses what the grammar cannot say."""

import math
from dataclasses import replace

import numpy as np
import pytest

from oildrop.workloads.lm_pretrain.grammar import GET, LET, OPEN, START, Grammar
from oildrop.workloads.lm_pretrain.parser import NotInLanguage, choices_of, information_nats
from oildrop.workloads.lm_pretrain.source import Source


def test_generator_and_parser_agree_on_every_documents_information(grammar: Grammar) -> None:
    tokens, information = Source(grammar).documents(21, 0, 300)
    parsed = [information_nats(grammar, document) for document in tokens.tolist()]
    np.testing.assert_allclose(parsed, information, rtol=1e-12, atol=0)


def document_of(grammar: Grammar, *tokens: int) -> list[int]:
    """`tokens` after the start, filled up with the most frequent word."""
    return [START, *tokens] + [grammar.word] * (grammar.document_tokens - len(tokens))


def draws_giving(index: int, choices: int) -> int:
    """How many of all draws of 16 bits pick `index`, counted one by one."""
    return sum(draw * choices // 65536 == index for draw in range(65536))


def test_a_document_written_by_hand_costs_what_paper_says(grammar: Grammar) -> None:
    """let N1 7 5 2 get N1 2 [ ]: the choices and their chances counted from the grammar's text."""
    name, digit = grammar.name + 1, grammar.digit
    let, get = (LET, name, digit + 7, digit + 5, digit + 2), (GET, name, digit + 2)
    document = document_of(grammar, *let, *get, OPEN + 1, grammar.close + 1)
    choices = [(choice.what, choice.count, choice.total) for choice in choices_of(grammar, document)]
    assert choices[:9] == [
        ("kind let", 30, 256),
        ("name to bind", 16384, 65536),
        ("first digit", draws_giving(7, 10), 65536),
        ("second digit", draws_giving(5, 10), 65536),
        ("kind get", 40, 256),
        ("bound name", 65536, 65536),
        ("kind open", 30, 256),
        ("type of bracket", draws_giving(1, 3), 65536),
        ("kind close", 30, 256),
    ]
    by_hand = math.log(256 / 30) * 3 + math.log(4) + 2 * math.log(10) + math.log(256 / 40) + math.log(3)
    assert sum(choice.nats for choice in choices_of(grammar, document)[:9]) == pytest.approx(by_hand, abs=1e-3)


BREAKS = ["sum", "value", "unbound", "bracket", "closed", "deep", "start", "stray", "length", "kind"]


@pytest.mark.parametrize("kind", BREAKS)
def test_a_document_that_breaks_a_rule_is_refused(grammar: Grammar, kind: str) -> None:
    name, digit, close = grammar.name, grammar.digit, grammar.close
    let = (LET, name, digit + 9, digit + 8, digit + 7)
    broken = {
        "sum": document_of(grammar, LET, name, digit + 9, digit + 8, digit + 6),
        "value": document_of(grammar, *let, GET, name, digit + 6),
        "unbound": document_of(grammar, *let, GET, name + 1, digit + 7),
        "bracket": document_of(grammar, OPEN, OPEN + 1, close),
        "closed": document_of(grammar, OPEN, close, close),
        "deep": document_of(grammar, OPEN, OPEN, OPEN),
        "start": [grammar.word, *document_of(grammar)[1:]],
        "stray": document_of(grammar, START),
        "length": document_of(grammar)[:-1],
        "kind": document_of(grammar, GET, name, digit),
    }
    with pytest.raises(NotInLanguage):
        choices_of(grammar, broken[kind])
    assert choices_of(grammar, document_of(grammar, *let, GET, name, digit + 7, OPEN + 2, close + 2))


def test_most_single_tokens_cannot_be_exchanged_unnoticed(grammar: Grammar) -> None:
    """Any token replaced by one of another class breaks the document, or changes what it costs."""
    tokens, information = Source(grammar).documents(23, 0, 40)
    rng = np.random.default_rng(0)
    noticed = 0
    for document, nats in zip(tokens.tolist(), information, strict=True):
        position = int(rng.integers(1, len(document)))
        document[position] = (document[position] + int(rng.integers(1, grammar.vocabulary))) % grammar.vocabulary
        try:
            noticed += information_nats(grammar, document) != nats
        except NotInLanguage:
            noticed += 1
    assert noticed >= 38


def test_a_word_without_any_chance_is_refused(grammar: Grammar) -> None:
    strict = replace(grammar, successor_share=4096)
    word, never = next((w, n) for w in range(20) for n in range(20) if strict.word_counts[w, n] == 0)
    with pytest.raises(NotInLanguage, match="no chance"):
        choices_of(strict, document_of(strict, strict.word + word, strict.word + never))
