"""The source's entropy, worked out rather than sampled: dynamic programming over what the next token depends on.

What the entropy of the next choice depends on is finite: the stage (text, or a place inside `let` or `get`), the last
word, the depth of nesting, and how many names are bound. Which types are open, which names are bound and to what decide
only forced tokens, so they need not be known. The distribution over these states is carried from position to position.

Shape suffixes: C last word (one more than words: none yet), D depth, N names bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oildrop.workloads.lm_pretrain.grammar import DIGITS, KIND_TOTAL, WORD_TOTAL, Grammar, pick_counts

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Stages:
    """Probability of each stage and state, each float64 [C, D, N]; together they sum to 1."""

    text: Array
    bind: Array  # after `let`
    first: Array  # after the name
    second: Array  # after a
    total: Array  # after b
    use: Array  # after `get`
    value: Array  # after the bound name


def entropy_nats(grammar: Grammar) -> Array:
    """Entropy in nats of the token at each position given all before it, float64 [T]; their sum is a document's."""
    states = _start(grammar)
    entropies = np.zeros(grammar.document_tokens)
    for position in range(grammar.document_tokens):
        entropies[position] = _entropy(grammar, states)
        states = _advance(grammar, states)
    return entropies


def _start(grammar: Grammar) -> _Stages:
    shape = (grammar.words + 1, grammar.depth + 1, grammar.names + 1)
    text = np.zeros(shape)
    text[grammar.words, 0, 0] = 1
    nothing = np.zeros(shape)
    return _Stages(text=text, bind=nothing, first=nothing, second=nothing, total=nothing, use=nothing, value=nothing)


def _kinds(grammar: Grammar) -> Array:
    """Probability of (word, let, get, open, close) in text, [5, 1, D, N]."""
    counts = [
        [grammar.kind_counts(any_bound=bound > 0, depth=depth) for bound in range(grammar.names + 1)]
        for depth in range(grammar.depth + 1)
    ]
    return np.moveaxis(np.array(counts, dtype=np.float64) / KIND_TOTAL, -1, 0)[:, None]


def _entropy(grammar: Grammar, now: _Stages) -> float:
    """Expected -ln p of the next token."""
    kinds = _kinds(grammar)
    word_C = entropy_of(grammar.word_counts / WORD_TOTAL)
    text = entropy_of(np.moveaxis(kinds, 0, -1)) + kinds[0] * word_C[:, None, None] + kinds[3] * _pick(grammar.brackets)
    used_N = np.array([0.0] + [_pick(bound) for bound in range(1, grammar.names + 1)])
    digits = (now.first.sum() + now.second.sum()) * _pick(DIGITS)
    return float((now.text * text).sum() + now.bind.sum() * _pick(grammar.names) + digits + (now.use * used_N).sum())


def _advance(grammar: Grammar, now: _Stages) -> _Stages:
    """The states one token later."""
    word, let, get, opening, closing = _kinds(grammar)
    text = np.einsum("cdn,cw->wdn", now.text * word, grammar.word_counts / WORD_TOTAL)
    text = np.concatenate([text, np.zeros_like(text[:1])])  # the row for "no word yet" is never entered again
    text[:, 1:] += (now.text * opening)[:, :-1]
    text[:, :-1] += (now.text * closing)[:, 1:]
    return _Stages(
        text=text + now.total + now.value,
        bind=now.text * let,
        first=_bound(grammar, now.bind),
        second=now.first,
        total=now.second,
        use=now.text * get,
        value=now.use,
    )


def _bound(grammar: Grammar, bind: Array) -> Array:
    """After a name was bound: a new one with chance (names - n) / names, else one of the n again."""
    again_N = np.arange(grammar.names + 1) / grammar.names
    after = bind * again_N
    after[..., 1:] += (bind * (1 - again_N))[..., :-1]
    return after


def _pick(choices: int) -> float:
    """Entropy of one of `choices` near-equals, nats."""
    return float(entropy_of(np.array(pick_counts(choices)) / sum(pick_counts(choices))))


def entropy_of(probabilities: Array) -> Array:
    """-sum p ln p over the last axis, nats; 0 ln 0 is 0."""
    safe = np.where(probabilities > 0, probabilities, 1.0)
    return -(probabilities * np.log(safe)).sum(axis=-1)
