"""What the harness asks of a served workload, free of any framework: requests in, tokens out, counts of its engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult

if TYPE_CHECKING:
    from oildrop.workloads.link import Link


@dataclass(frozen=True, kw_only=True)
class RequestSize:
    """What one request asks for: tokens of its prompt (an image: one) and of its answer (class, embedding: one)."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True)
class Emission:
    """What one step of a served model brought for one request.

    Attributes:
        index: The request's number in the seed's stream.
        tokens: Ids of the new tokens, in order; a task without tokens gives its answer as one id.
        done: Whether the answer is complete.
    """

    index: int
    tokens: tuple[int, ...]
    done: bool


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Quality of answers that were given while the clock ran; the columns of `rules.evidence.AnswerTable`.

    Attributes:
        index: int64 [N], requests.
        loss_nats, source_nats: float64 [N].
        token_count, agreed_count, compared_count: int64 [N].
        correct_count, reference_correct_count: int64 [N]; None where no answer is right or wrong.
    """

    index: NDArray[np.int64]
    loss_nats: NDArray[np.float64]
    source_nats: NDArray[np.float64]
    token_count: NDArray[np.int64]
    agreed_count: NDArray[np.int64]
    compared_count: NDArray[np.int64]
    correct_count: NDArray[np.int64] | None = None
    reference_correct_count: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """Caches that were sent from where prompts are read to where tokens are decoded: how many, their ns and bytes."""

    count: int = 0
    ns: int = 0
    bytes: int = 0

    def and_one(self, ns: int, bytes: int) -> Transfers:
        """With one more that took `ns` and held `bytes`."""
        return Transfers(count=self.count + 1, ns=self.ns + ns, bytes=self.bytes + bytes)

    def since(self, earlier: Transfers) -> Transfers:
        """Those that were not in `earlier`."""
        return Transfers(count=self.count - earlier.count, ns=self.ns - earlier.ns, bytes=self.bytes - earlier.bytes)


@dataclass(frozen=True, kw_only=True)
class Drafts:
    """What became of a draft's proposals while tokens were decoded.

    Attributes:
        verified: How often the served model looked at one request: each brought what stood and one token more.
        proposed: Tokens that the draft proposed.
        accepted: Those of them that stood and were said.
    """

    verified: int = 0
    proposed: int = 0
    accepted: int = 0

    def since(self, earlier: Drafts) -> Drafts:
        """What was not in `earlier`."""
        return Drafts(
            verified=self.verified - earlier.verified,
            proposed=self.proposed - earlier.proposed,
            accepted=self.accepted - earlier.accepted,
        )


@runtime_checkable
class Drafting(Protocol):
    """A served model to which a smaller one may propose tokens."""

    def drafts(self) -> Drafts | None:
        """What has been proposed so far; None where no draft is declared."""


@runtime_checkable
class Disaggregating(Protocol):
    """A served model whose prompts may be read in a process of their own."""

    def prefill_through(self, link: Link) -> None:
        """Have prompts read at the other end of `link`; asked before `build`."""

    def transfers(self) -> Transfers:
        """What has been sent so far."""


@dataclass(frozen=True, kw_only=True)
class PromptTokens:
    """Tokens of prompts that requests brought, and those of them that were read before and found in a cache."""

    asked: int = 0
    cached: int = 0

    def and_more(self, asked: int, cached: int) -> PromptTokens:
        """With those of further prompts."""
        return PromptTokens(asked=self.asked + asked, cached=self.cached + cached)

    def since(self, earlier: PromptTokens) -> PromptTokens:
        """Those that were not in `earlier`."""
        return PromptTokens(asked=self.asked - earlier.asked, cached=self.cached - earlier.cached)


@runtime_checkable
class PrefixCaching(Protocol):
    """A served model that may keep what it has read of prompts."""

    def prompt_tokens(self) -> PromptTokens | None:
        """What has been asked so far; None where no prefix cache is declared."""


@dataclass(frozen=True, kw_only=True)
class EngineTime:
    """What an engine did with its time: in steps that read prompts and in steps that decode.

    Attributes:
        prefill_ns, decode_ns: Nanoseconds in such steps; in none of them it was idle, or the harness worked.
        prefill_steps, decode_steps: How many there were.
        prefill_tokens: Of prompts that were read.
        decode_tokens: That were said in steps that decode; the first of an answer comes from the reading of its prompt.
    """

    prefill_ns: int = 0
    prefill_steps: int = 0
    prefill_tokens: int = 0
    decode_ns: int = 0
    decode_steps: int = 0
    decode_tokens: int = 0

    def since(self, earlier: EngineTime) -> EngineTime:
        """What was not in `earlier`."""
        return EngineTime(**{name: value - getattr(earlier, name) for name, value in vars(self).items()})


@runtime_checkable
class Timed(Protocol):
    """A served model that knows when it reads prompts and when it decodes."""

    def engine_time(self) -> EngineTime:
        """Totals so far."""


class ServeTask(Protocol):
    """A served model in one framework: requests go in, tokens come out.

    The constructor is `Task(settings: Settings, device: Device)`: it stores both and nothing else. The harness decides
    when a request arrives, the task how those that wait are put together; one thread calls it.
    """

    def load_data(self) -> None:
        """Read or derive what does not depend on the run's seed."""

    def build(self) -> None:
        """Make the model and its graphs, and run each of them once."""

    def run_gates(self) -> list[GateResult]:
        """Compare the graphs that will be timed with the float64 reference, on the fixed gate seed."""

    def initialise(self, seed: int) -> None:
        """Set the weights, and the stream of requests of `seed`; nothing waits, nothing is cached.

        Raises:
            OildropError: The checkpoint is missing or damaged.
        """

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Each tensor as host fp32, under its canonical name, in canonical order, as it was before any quantisation."""

    def warm_up(self) -> None:
        """Answer synthetic requests of every shape, then forget them."""

    def size(self, index: int) -> RequestSize:
        """What request `index` of the stream asks for."""

    def admit(self, indices: list[int]) -> None:
        """These requests have arrived; they wait until a step takes them."""

    def step(self) -> list[Emission]:
        """One unit of work for requests that wait or are being answered; returns after the device has ended it.

        Empty where nothing waits.
        """

    def bytes_per_step(self, input_tokens: int) -> tuple[int, int]:
        """Bytes of weights and of cache that one decode step of one request after `input_tokens` tokens reads."""

    def assess(self, answers: dict[int, tuple[int, ...]]) -> Assessment:
        """Quality of a sampled share of `answers` (tokens by request), worked out after the clock has stopped."""
