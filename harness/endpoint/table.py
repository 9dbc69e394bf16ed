"""The record of every request that was issued, and the table that is kept of it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.answer import Answer
from oildrop.harness.endpoint.outcomes import Outcome
from oildrop.harness.endpoint.prompts import CountTokens, Prompt
from oildrop.results.bundle.requests import write_requests
from oildrop.rules.evidence import RequestTable

CountedBy = Literal["usage", "tokenizer", "chunks"]
"""Who counted an answer's tokens: the server, a tokenizer here, or nobody: each piece of text counts as one.

They are trusted in this order: a tokenizer counts text again, and where an answer was cut the text's tokens need not be
those that were made.
"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One request as it ended. Times are nanoseconds of the monotonic clock."""

    index: int
    scheduled_ns: int
    prompt: Prompt
    answer: Answer


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Tokens of one answer: of its prompt, of its text, and who counted."""

    input_tokens: int
    output_tokens: int
    by: CountedBy


@dataclass(kw_only=True)
class Ledger:
    """Rows in the order in which they ended; `count` is how tokens are to be counted where that is possible.

    Attributes:
        open: Requests that have not ended, by number. Another thread may read them and `rows` at any time.
    """

    count: CountedBy
    count_tokens: CountTokens | None = None
    rows: list[Row] = field(default_factory=list)
    open: dict[int, Row] = field(default_factory=dict)
    _counted: dict[int, int] = field(default_factory=dict)

    def begin(self, index: int, scheduled_ns: int, prompt: Prompt, answer: Answer) -> None:
        """The request is about to be handed over; of the prompt its text is dropped, as a run may have many."""
        self.open[index] = Row(index=index, scheduled_ns=scheduled_ns, prompt=replace(prompt, text=""), answer=answer)

    def end(self, index: int) -> None:
        """The request has ended; what no table needs is dropped."""
        row = self.open[index]
        row.answer.close()
        self.rows.append(row)
        del self.open[index]

    @property
    def errors(self) -> Counter[str]:
        """How many requests ended in which error, tokens counted."""
        found = Counter(str(self._outcome(row, self.counts(row))) for row in self.rows)
        del found[outcomes.OK]
        return found

    @property
    def counted_by(self) -> Counter[str]:
        """How many answers' tokens were counted by whom."""
        return Counter(self.counts(row).by for row in self.rows if row.answer.stamps_ns)

    @property
    def ended_by_model(self) -> int:
        """Answers that the model ended before they were as long as was asked."""
        return sum(self._ended_by_model(row, self.counts(row)) for row in self.rows)

    @property
    def counted_twice(self) -> dict[str, int]:
        """Of answers whose tokens both the server and the tokenizer counted: how many, how many differ, and most by."""
        pairs = [
            (row.answer.usage.completion_tokens, self._by_tokenizer(row))
            for row in self.rows
            if row.answer.outcome is outcomes.OK and row.answer.usage is not None
        ]
        apart = [abs(told - here) for told, here in pairs if told is not None and here is not None]
        return {"answers": len(apart), "differ": sum(by > 0 for by in apart), "most": max(apart, default=0)}

    def counts(self, row: Row) -> Counts:
        """Tokens of one request: by the server where it says, else by the tokenizer, else by pieces."""
        answer, usage, asked = row.answer, row.answer.usage, row.prompt.input_tokens
        if self.count == "usage" and usage is not None and usage.completion_tokens is not None:
            told = asked if usage.prompt_tokens is None else usage.prompt_tokens
            return Counts(input_tokens=told, output_tokens=usage.completion_tokens, by="usage")
        here = None if self.count == "chunks" else self._by_tokenizer(row)
        if here is not None:
            return Counts(input_tokens=asked, output_tokens=here, by="tokenizer")
        return Counts(input_tokens=asked, output_tokens=len(answer.stamps_ns), by="chunks")

    def _by_tokenizer(self, row: Row) -> int | None:
        """Tokens of the answer's text; None without a tokenizer, and of an answer that is still being given."""
        if self.count_tokens is None or row.answer.outcome is None:
            return None
        if row.index not in self._counted:
            self._counted[row.index] = self.count_tokens("".join(row.answer.texts)) if row.answer.texts else 0
        return self._counted[row.index]

    def table(self, start_ns: int, of: Sequence[Row] | None = None) -> RequestTable:
        """All requests, or those of `of`, in order of issue, times since `start_ns`."""
        rows = sorted(self.rows if of is None else of, key=lambda row: (row.answer.issued_ns, row.index))
        counts = [self.counts(row) for row in rows]
        ends = [self._outcome(row, of) for row, of in zip(rows, counts, strict=True)]
        stamps = [[stamp - start_ns for stamp in row.answer.stamps_ns] for row in rows]
        return RequestTable(
            index=tuple(row.index for row in rows),
            query=tuple(row.index for row in rows),
            scheduled_ns=tuple(row.scheduled_ns - start_ns for row in rows),
            issued_ns=tuple(row.answer.issued_ns - start_ns for row in rows),
            first_ns=tuple(of[0] if of else None for of in stamps),
            last_ns=tuple(_last(of, count.output_tokens) for of, count in zip(stamps, counts, strict=True)),
            input_tokens=tuple(of.input_tokens for of in counts),
            output_tokens=tuple(of.output_tokens for of in counts),
            expected_tokens=tuple(self._expected(row, of) for row, of in zip(rows, counts, strict=True)),
            outcome=tuple(ends),
            gaps_ns=tuple(gaps_ns(of, count.output_tokens) for of, count in zip(stamps, counts, strict=True)),
            tokens=tuple(() for _ in rows),
        )

    def _outcome(self, row: Row, counts: Counts) -> Outcome:
        """How it ended, once its tokens are known. By pieces alone nobody can tell that an answer is too short."""
        outcome = row.answer.outcome or outcomes.UNFINISHED
        if outcome is not outcomes.OK or counts.by == "chunks":
            return outcome
        if counts.output_tokens > row.prompt.output_tokens:
            return outcomes.TOO_LONG
        if counts.output_tokens < row.prompt.output_tokens and not row.answer.ended_by_model:
            return outcomes.TRUNCATED
        return outcome

    def _ended_by_model(self, row: Row, counts: Counts) -> bool:
        return row.answer.ended_by_model and 0 < counts.output_tokens < row.prompt.output_tokens

    def _expected(self, row: Row, counts: Counts) -> int:
        """Tokens that were asked for; those that came where the model ended by itself or nobody counted."""
        whole = self._outcome(row, counts) is outcomes.OK and counts.output_tokens < row.prompt.output_tokens
        return counts.output_tokens if whole else row.prompt.output_tokens


@dataclass(kw_only=True)
class Changes:
    """What is new in a ledger since it was last asked; while others write in it, too."""

    ledger: Ledger
    start_ns: int
    _ended: int = 0
    _told: dict[int, int] = field(default_factory=dict)

    def write(self, path: Path) -> bool:
        """Write requests that were issued, got text or ended since the last call; False where there are none."""
        rows = self._rows()
        if rows:
            write_requests(path, self.ledger.table(self.start_ns, rows))
        return bool(rows)

    def _rows(self) -> list[Row]:
        """The open ones are looked at first: one that ends meanwhile is then among those that ended."""
        going = [_as_it_stands(row) for row in list(self.ledger.open.values())]
        ended = self.ledger.rows[self._ended :]
        self._ended += len(ended)
        known = {row.index for row in ended}
        changed = [
            row
            for row in going
            if row.answer.issued_ns
            and row.index not in known
            and self._told.get(row.index) != len(row.answer.stamps_ns)
        ]
        for row in ended:
            self._told.pop(row.index, None)
        self._told |= {row.index: len(row.answer.stamps_ns) for row in changed}
        return [*ended, *changed]


def _as_it_stands(row: Row) -> Row:
    """A request that is still being answered, with what it has got; its tokens are counted by pieces."""
    answer = copy.copy(row.answer)
    answer.stamps_ns, answer.texts, answer.usage, answer.outcome = list(answer.stamps_ns), [], None, None
    return replace(row, answer=answer)


def _last(stamps_ns: Sequence[int], tokens: int) -> int | None:
    """When the last token came; the first one is also the last where there is but one, in however many pieces."""
    if not stamps_ns:
        return None
    return stamps_ns[-1] if tokens > 1 else stamps_ns[0]


def gaps_ns(stamps_ns: Sequence[int], tokens: int) -> tuple[int, ...]:
    """Time from each of `tokens` tokens to the one before, where `stamps_ns` are those of the pieces that held them.

    A server may put several tokens into a piece, or hold one back for the next. Tokens are spread evenly over the
    pieces, the first in the first and the last in the last; those of one piece share its stamp.
    """
    pieces = len(stamps_ns)
    if tokens < 2 or pieces == 0:
        return ()
    spread = [(2 * token * (pieces - 1) + tokens - 1) // (2 * (tokens - 1)) for token in range(tokens)]
    return tuple(stamps_ns[after] - stamps_ns[before] for before, after in pairwise(spread))
