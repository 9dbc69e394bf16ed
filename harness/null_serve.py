"""A served model that does nothing, to measure what the harness costs around it and to try the harness out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.workloads.served_protocols import Assessment, Emission, RequestSize


class NullServe:
    """A `ServeTask` that answers each request with its own number, once a token.

    Args:
        work: What one step does, given the requests that it serves; nothing by default.
        output_tokens: Tokens of an answer, one a step; 1 for a task without tokens.
        slots: Requests that one step serves at most; None serves all that wait.
    """

    def __init__(
        self, work: Callable[[int], None] | None = None, *, output_tokens: int = 1, slots: int | None = None
    ) -> None:
        self._work = work
        self._output_tokens = output_tokens
        self._size = RequestSize(input_tokens=1, output_tokens=output_tokens)
        self._slots = slots
        self._waiting: deque[int] = deque()
        self._left: dict[int, int] = {}

    def load_data(self) -> None:
        """No data."""

    def build(self) -> None:
        """No model."""

    def run_gates(self) -> list[GateResult]:
        """Nothing to compare."""
        return []

    def initialise(self, seed: int) -> None:
        """No weights; nothing waits."""
        self._waiting.clear()
        self._left.clear()

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """No weights."""
        return iter(())

    def warm_up(self) -> None:
        """Nothing to warm."""

    def size(self, index: int) -> RequestSize:
        """One token in."""
        return self._size

    def admit(self, indices: list[int]) -> None:
        """They wait."""
        self._waiting.extend(indices)

    def step(self) -> list[Emission]:
        """One token for each request that is served; those whose answers are complete make room for the next."""
        waiting, left = self._waiting, self._left
        if self._output_tokens == 1:
            served = self._slots or len(waiting)
            answered = [waiting.popleft() for _ in range(min(served, len(waiting)))]
            if self._work is not None and answered:
                self._work(len(answered))
            return [Emission(index=index, tokens=(index,), done=True) for index in answered]
        while waiting and (self._slots is None or len(left) < self._slots):
            left[waiting.popleft()] = self._output_tokens
        if self._work is not None and left:
            self._work(len(left))
        emissions = []
        for index in list(left):
            left[index] -= 1
            done = left[index] == 0
            if done:
                del left[index]
            emissions.append(Emission(index=index, tokens=(index,), done=done))
        return emissions

    def bytes_per_step(self, input_tokens: int) -> tuple[int, int]:
        """Nothing is read."""
        return 0, 0

    def assess(self, answers: dict[int, tuple[int, ...]]) -> Assessment:
        """Every answer at 0 nats; it agrees where each of its tokens is the request's own number."""
        index = np.array(sorted(answers), dtype=np.int64)
        compared = np.array([len(answers[request]) for request in index.tolist()], dtype=np.int64)
        agreed = np.array([answers[request].count(request) for request in index.tolist()], dtype=np.int64)
        one = np.ones(len(index), dtype=np.int64)
        nothing = np.zeros(len(index))
        return Assessment(
            index=index,
            loss_nats=nothing,
            source_nats=nothing,
            token_count=one,
            agreed_count=agreed,
            compared_count=compared,
        )
