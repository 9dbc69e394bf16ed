"""The source: the same documents however they are asked for, with the probabilities that the grammar states."""

import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest

from oildrop.rules.errors import UsageError
from oildrop.rules.formulas.quality import CHEAT_BOUND_NATS, source_score_nats
from oildrop.workloads.lm_pretrain.grammar import Grammar, allot, pick_counts
from oildrop.workloads.lm_pretrain.parser import choices_of
from oildrop.workloads.lm_pretrain.source import Source


def test_documents_do_not_depend_on_the_block_they_are_asked_in(grammar: Grammar) -> None:
    source = Source(grammar)
    tokens, information = source.documents(11, 0, 40)
    for first, count in ((0, 1), (7, 1), (13, 20), (39, 1)):
        part_tokens, part_information = source.documents(11, first, count)
        assert np.array_equal(part_tokens, tokens[first : first + count])
        assert np.array_equal(part_information, information[first : first + count])


def test_documents_of_other_seeds_parts_and_indices_differ(grammar: Grammar) -> None:
    source = Source(grammar)
    documents = [
        *source.documents(1, 0, 3)[0].tolist(),
        *source.documents(2, 0, 3)[0].tolist(),
        *source.documents(1, 0, 3, part="held-out")[0].tolist(),
    ]
    assert len({tuple(document) for document in documents}) == 9


def test_documents_are_the_same_bits_as_ever(grammar: Grammar) -> None:
    """Golden: a change of generator or table is a change of benchmark."""
    tokens, _ = Source(grammar).documents(1, 0, 64)
    assert tokens.dtype == np.int32 and tokens.shape == (64, 49)
    assert hashlib.sha256(tokens.astype("<i4").tobytes()).hexdigest() == GOLDEN_SHA256


GOLDEN_SHA256 = "08f37184b47befd79d932685644e50a3d03ed1d7f36bf1a71ee8c72fc67eedea"


def test_counts_are_whole_and_sum_to_their_totals(grammar: Grammar) -> None:
    assert set(grammar.word_counts.sum(axis=1).tolist()) == {4096}
    assert grammar.word_counts.min() >= 0
    for depth in range(grammar.depth + 1):
        for any_bound in (False, True):
            counts = grammar.kind_counts(any_bound=any_bound, depth=depth)
            assert sum(counts) == 256 and min(counts) >= 0
    assert pick_counts(10) == [sum(draw * 10 >> 16 == i for draw in range(2**16)) for i in range(10)]
    assert allot(100, [3, 2, 1]) == [50, 33, 17]


def test_words_follow_each_other_as_the_table_says(grammar: Grammar) -> None:
    """Observed followers against expected counts: the largest of all z scores stays where chance leaves it."""
    documents = Source(grammar).documents(5, 0, 2000)[0].tolist()
    seen = np.zeros_like(grammar.word_counts, dtype=np.int64)
    for document in documents:
        last = grammar.words
        for token in document[1:]:
            if token >= grammar.word:
                seen[last, token - grammar.word] += 1
                last = token - grammar.word
    chance = grammar.word_counts / 4096
    expected = seen.sum(axis=1, keepdims=True) * chance
    enough = expected > 20
    z = (seen - expected)[enough] / np.sqrt((expected * (1 - chance))[enough])
    assert enough.sum() > 150 and np.abs(z).max() < 4.8
    assert (seen[grammar.word_counts == 0] == 0).all()


def test_lets_come_as_often_as_their_share(grammar: Grammar) -> None:
    """`let` can stand wherever text chooses a kind: 30 of 256 of all choices of kind, within four deviations."""
    documents = Source(grammar).documents(6, 0, 400)[0].tolist()
    kinds = [choice.what for document in documents for choice in choices_of(grammar, document) if "kind" in choice.what]
    chance = grammar.let_share / 256
    deviation = math.sqrt(len(kinds) * chance * (1 - chance))
    assert abs(kinds.count("kind let") - len(kinds) * chance) < 4 * deviation


def test_an_impossible_grammar_is_refused_with_its_value(grammar: Grammar) -> None:
    for change in (
        {"names": 3},
        {"depth": 0},
        {"words": 4001},
        {"successors": 21},
        {"successor_share": 4097},
        {"let_share": 200},
    ):
        with pytest.raises(UsageError, match=str(next(iter(change.values())))):
            replace(grammar, **change)


def test_an_honest_model_does_not_beat_the_source_and_a_cheat_does(grammar: Grammar) -> None:
    """S = sum of (ln q - ln p): far below zero for a bigram model, zero for the source, over the bound for a memory."""
    source = Source(grammar)
    train = source.documents(1, 0, 3000)[0].astype(np.int64)
    fresh, information = source.documents(2, 0, 50)
    counts = np.ones((grammar.vocabulary, grammar.vocabulary))
    np.add.at(counts, (train[:, :-1], train[:, 1:]), 1)
    loss = -np.log(counts / counts.sum(axis=1, keepdims=True))[fresh[:, :-1], fresh[:, 1:]].sum(axis=1)
    assert source_score_nats(loss, information) < -100
    assert source_score_nats(information, information) == 0
    assert source_score_nats(information - 1.0, information) > CHEAT_BOUND_NATS
