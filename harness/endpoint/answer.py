"""One streamed answer as it comes in: stamps, tokens, and how it ended. No clock and no socket in here."""

from __future__ import annotations

from dataclasses import dataclass, field

from oildrop.harness.endpoint import outcomes
from oildrop.harness.endpoint.openai import DONE, MalformedEvent, Piece, Usage, error_text, read_piece
from oildrop.harness.endpoint.outcomes import Outcome
from oildrop.harness.endpoint.sse import EventStream, MalformedStream

MAX_BODY_BYTES = 1 << 25
"""More than any answer of this benchmark needs by far; a server that sends for ever is cut off here at the latest."""

SPARE_PIECES = 16
"""Pieces of text past the tokens asked for after which a server is held to have missed its end."""

GIVEN_UP = ("abort", "error", "content_filter")
"""Reasons to finish that say that the server gave an answer up: vLLM's and SGLang's `abort`, others' `error`."""


CLOSED = EventStream()
"""Stands for the stream of every answer that has ended."""


@dataclass(kw_only=True)
class Answer:
    """What one request got. Stamps are nanoseconds of the host's monotonic clock.

    Attributes:
        asked_tokens: Tokens that were asked for.
        issued_ns: When the request was handed to the socket.
        stamps_ns: When each piece of text came, those that came in one read with one stamp.
        texts: The pieces, kept where a tokenizer is to count them.
        outcome: None while the answer is open.
        words: What the server said of an error.
    """

    asked_tokens: int
    keep_texts: bool = False
    issued_ns: int = 0
    stamps_ns: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    usage: Usage | None = None
    finish_reason: str | None = None
    outcome: Outcome | None = None
    words: str | None = None
    _status: int | None = None
    _done: bool = False
    _body_bytes: int = 0
    _refused: bytes = b""
    _events: EventStream = field(default_factory=EventStream)

    def head(self, status: int, content_type: str) -> None:
        """Status and media type have come."""
        self._status = status
        if status == 200 and "text/event-stream" not in content_type.lower():
            self._end(outcomes.MALFORMED, f"content-type is {content_type or 'missing'}, not text/event-stream")

    def received(self, body: bytes, now_ns: int) -> None:
        """A part of the body has come at `now_ns`."""
        self._body_bytes += len(body)
        if self._status != 200:
            self._refused = (self._refused + body)[:4096]
            return
        if self._body_bytes > MAX_BODY_BYTES:
            self._end(outcomes.TOO_LONG, f"more than {MAX_BODY_BYTES} bytes")
            return
        try:
            for data in self._events.feed(body):
                if data == DONE:
                    self._done = True
                else:
                    self._take(read_piece(data), now_ns)
                if self.outcome is not None:
                    break
        except (MalformedStream, MalformedEvent) as error:
            self._end(outcomes.MALFORMED, str(error))

    def completed(self) -> None:
        """The HTTP answer is whole."""
        if self._status != 200:
            self._end(outcomes.of_status(self._status or 0), error_text(self._refused))
        elif self.stamps_ns and self.finish_reason in GIVEN_UP:
            self._end(outcomes.SERVER_ERROR, f"the server ended it with {self.finish_reason}")
        elif self.stamps_ns:
            self._end(self._judged(), None)
        elif self._done or self.finish_reason is not None:
            self._end(outcomes.EMPTY, None)
        else:
            self._end(outcomes.MALFORMED, "the stream ended without an event")

    def failed(self, outcome: Outcome, words: str | None = None) -> None:
        """It will not be completed; a stream that had said its last word is complete all the same."""
        if self._done and outcome in (outcomes.CUT, outcomes.TIMEOUT):
            self.completed()
        else:
            self._end(outcome, words)

    def close(self) -> None:
        """Nothing more will come: forget what only an open answer needs."""
        self._events, self._refused = CLOSED, b""

    @property
    def ended_by_model(self) -> bool:
        """Whether the model ended the answer itself, at whatever length."""
        return self.finish_reason == "stop"

    def _take(self, piece: Piece, now_ns: int) -> None:
        if piece.error is not None:
            self._end(outcomes.SERVER_ERROR, piece.error)
            return
        if piece.text:
            self.stamps_ns.append(now_ns)
            if self.keep_texts:
                self.texts.append(piece.text)
            if len(self.stamps_ns) > self.asked_tokens + SPARE_PIECES:
                self._end(outcomes.TOO_LONG, f"more than {len(self.stamps_ns) - 1} pieces of text")
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.usage = piece.usage or self.usage

    def _judged(self) -> Outcome:
        """A whole answer with text: complete by its own word, else by its end mark, else it was cut."""
        if self.finish_reason is not None or self._done:
            return outcomes.OK
        return outcomes.CUT

    def _end(self, outcome: Outcome, words: str | None) -> None:
        """The first end stands."""
        if self.outcome is None:
            self.outcome, self.words = outcome, words
