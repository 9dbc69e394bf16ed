"""An independent reader of documents: recovers every choice from the tokens alone, and what it cost.

Written from the grammar's text, one token at a time, with Python integers; it shares the grammar's counts with the
generator and nothing else. A document that the grammar cannot produce is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from oildrop.rules.errors import OildropError
from oildrop.workloads.lm_pretrain.grammar import (
    DIGITS,
    GET,
    KIND_TOTAL,
    LET,
    OPEN,
    PICK_TOTAL,
    START,
    WORD_TOTAL,
    Grammar,
    pick_counts,
)


class NotInLanguage(OildropError):
    """The grammar cannot produce this document: position, token and what was possible."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One choice that the source made: it had probability `count` / `total`."""

    position: int
    what: str
    count: int
    total: int

    @property
    def nats(self) -> float:
        """-ln p of the choice."""
        return -math.log(self.count / self.total)


@dataclass(kw_only=True)
class _Reader:
    """A cursor over the document and all that its past implies."""

    grammar: Grammar
    tokens: Sequence[int]
    position: int = 1
    last_word: int | None = None
    open_brackets: list[int] = field(default_factory=list)
    values: dict[int, int] = field(default_factory=dict)

    def ended(self) -> bool:
        return self.position >= len(self.tokens)

    def take(self, first: int, count: int, expected: str) -> int:
        """The next token's index among the `count` tokens from `first` on. Raises NotInLanguage."""
        index = self.tokens[self.position] - first
        if not 0 <= index < count:
            raise self.refusal(expected)
        self.position += 1
        return index

    def refusal(self, expected: str) -> NotInLanguage:
        return NotInLanguage(
            f"position {self.position}: token {self.tokens[self.position]} where {expected} must stand"
        )

    def choice(self, what: str, count: int, total: int) -> Choice:
        """The choice that the token just taken shows. Raises NotInLanguage where it had no chance."""
        if count <= 0:
            raise NotInLanguage(f"position {self.position - 1}: {what} has no chance here")
        return Choice(position=self.position - 1, what=what, count=count, total=total)


def choices_of(grammar: Grammar, document: Sequence[int]) -> list[Choice]:
    """Every choice behind `document` (start token first), in order.

    Raises:
        NotInLanguage: the source cannot have produced it.
    """
    if len(document) != grammar.document_tokens + 1 or document[0] != START:
        raise NotInLanguage(
            f"{len(document)} tokens from {list(document[:1])}: {grammar.document_tokens + 1} from {START} expected"
        )
    reader = _Reader(grammar=grammar, tokens=[int(token) for token in document])
    choices: list[Choice] = []
    while not reader.ended():
        choices.extend(_text(reader))
    return choices


def information_nats(grammar: Grammar, document: Sequence[int]) -> float:
    """-ln p of the whole document, in nats."""
    return math.fsum(choice.nats for choice in choices_of(grammar, document))


def _text(reader: _Reader) -> Iterator[Choice]:
    """One thing that text consists of, with all that it forces."""
    grammar, token = reader.grammar, reader.tokens[reader.position]
    word, let, get, opening, closing = grammar.kind_counts(
        any_bound=bool(reader.values), depth=len(reader.open_brackets)
    )
    if token == LET:
        yield from _let(reader, let)
    elif token == GET:
        yield from _get(reader, get)
    elif token < grammar.close:
        yield from _open(reader, opening)
    elif token < grammar.digit:
        yield from _close(reader, closing)
    else:
        yield from _word(reader, word)


def _word(reader: _Reader, count: int) -> Iterator[Choice]:
    grammar = reader.grammar
    word = reader.take(grammar.word, grammar.words, "a word, let, get or a bracket")
    row = grammar.words if reader.last_word is None else reader.last_word
    yield reader.choice("kind word", count, KIND_TOTAL)
    yield reader.choice("which word", int(grammar.word_counts[row, word]), WORD_TOTAL)
    reader.last_word = word


def _let(reader: _Reader, count: int) -> Iterator[Choice]:
    grammar = reader.grammar
    reader.take(LET, 1, "let")
    yield reader.choice("kind let", count, KIND_TOTAL)
    if reader.ended():
        return
    name = reader.take(grammar.name, grammar.names, "a name")
    yield reader.choice("name to bind", pick_counts(grammar.names)[name], PICK_TOTAL)
    total = 0
    for what in ("first digit", "second digit"):
        if reader.ended():
            return
        digit = reader.take(grammar.digit, DIGITS, "a digit")
        yield reader.choice(what, pick_counts(DIGITS)[digit], PICK_TOTAL)
        total += digit
    if not reader.ended():
        reader.take(grammar.digit + total % DIGITS, 1, f"the sum {total % DIGITS}")
        reader.values[name] = total % DIGITS


def _get(reader: _Reader, count: int) -> Iterator[Choice]:
    grammar = reader.grammar
    reader.take(GET, 1, "get")
    yield reader.choice("kind get", count, KIND_TOTAL)
    if reader.ended():
        return
    name = reader.take(grammar.name, grammar.names, "a bound name")
    bound = sorted(reader.values)
    if name not in bound:
        raise NotInLanguage(f"position {reader.position - 1}: name {name} is not bound")
    yield reader.choice("bound name", pick_counts(len(bound))[bound.index(name)], PICK_TOTAL)
    if not reader.ended():
        value = reader.values[name]
        reader.take(grammar.digit + value, 1, f"the value {value}")


def _open(reader: _Reader, count: int) -> Iterator[Choice]:
    grammar = reader.grammar
    bracket = reader.take(OPEN, grammar.brackets, "an opening bracket")
    yield reader.choice("kind open", count, KIND_TOTAL)
    yield reader.choice("type of bracket", pick_counts(grammar.brackets)[bracket], PICK_TOTAL)
    reader.open_brackets.append(bracket)


def _close(reader: _Reader, count: int) -> Iterator[Choice]:
    if not reader.open_brackets:
        raise reader.refusal("no closing bracket")
    bracket = reader.open_brackets[-1]
    reader.take(reader.grammar.close + bracket, 1, f"the closing bracket of type {bracket}")
    yield reader.choice("kind close", count, KIND_TOTAL)
    reader.open_brackets.pop()
