"""A served network that answers each request in one pass: those that wait make a batch, its outputs are the answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from oildrop.rules.records import GateResult
from oildrop.workloads.assessed import Kept, assessed
from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import Forward, batch_sizes
from oildrop.workloads.gates import changes_the_model, gate_changes, judged
from oildrop.workloads.protocols import Device, Settings
from oildrop.workloads.served_protocols import Assessment, Emission, RequestSize

STRICT = {"execution.dtype": "fp32"}
"""Settings of the engine that the strict gates ask."""


class Subject(Protocol):
    """What is asked, and what a good answer is, free of any framework. Requests bear their number in the stream."""

    def load(self) -> None:
        """Read or derive what does not depend on the run's seed. Raises Unsupported, saying what to install."""

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of each tensor by canonical name, in canonical order."""

    def weight_bytes(self) -> int:
        """Bytes of weights that one pass reads."""

    def weights(self, seed: int) -> Weights:
        """What a run of `seed` serves, in canonical order. Raises OildropError where a checkpoint is damaged."""

    def start(self, seed: int) -> None:
        """Begin the stream of requests of `seed`."""

    def size(self, index: int) -> RequestSize:
        """What a request asks for: one answer."""

    def shape(self, index: int) -> int:
        """Requests of the same shape go into a batch together."""

    def inputs(self, indices: Sequence[int]) -> Inputs:
        """A batch of requests of one shape."""

    def examples(self) -> list[Inputs]:
        """A batch of one for each shape; of no request."""

    def answers(self, outputs: NDArray[np.float32]) -> list[int]:
        """What is sent back, an integer an answer."""

    def gate(self, engine: Forward) -> Iterator[tuple[str, float]]:
        """How far a built engine is from the float64 reference, by name of the gate. Leaves other weights behind."""

    def assess(
        self, indices: Sequence[int], outputs: NDArray[np.float32], answers: Sequence[int], weights: Weights
    ) -> Assessment:
        """Quality of what was put out and sent back for requests `indices` while the clock ran."""


class OnePass:
    """The `ServeTask` of any subject in any framework.

    Args:
        make_subject: The subject that settings describe, which has loaded nothing yet.
        make_engine: The engine that settings describe, not built yet.
    """

    def __init__(
        self,
        settings: Settings,
        make_subject: Callable[[Settings], Subject],
        make_engine: Callable[[Settings], Forward],
    ) -> None:
        self._settings, self._make_subject, self._make_engine = settings, make_subject, make_engine
        self._subject = make_subject(settings)
        self._slots = int(settings["execution.slots"])

    def load_data(self) -> None:
        """The subject's."""
        self._subject.load()

    def build(self) -> None:
        """Make the engine, and run each of its graphs once."""
        self._engine = self._built(self._settings, self._subject)
        self._run_every_graph()

    def run_gates(self) -> list[GateResult]:
        """Strict fp32 first, then the engine as declared; a large model through fewer layers."""
        changes = gate_changes(self._settings)
        declared = {**self._settings, **changes}
        subject, engine = self._subject, self._engine
        if changes:
            subject = self._make_subject(declared)
            subject.load()
        if changes_the_model(changes):
            engine = self._built(declared, subject)
        results = []
        if any(declared[key] != value for key, value in STRICT.items()):
            strict = {**declared, **STRICT}
            results += _gates(self._built(strict, subject), subject, strict)
        return [*results, *_gates(engine, subject, declared)]

    def initialise(self, seed: int) -> None:
        """Weights and requests of `seed`."""
        self._seed = seed
        self._weights = self._subject.weights(seed)
        self._engine.set_weights(self._weights)
        self._subject.start(seed)
        self._waiting: dict[int, deque[int]] = {}
        self._kept = Kept(seed, int(self._settings["assess.most"]))

    def weights(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """As they were trained or drawn."""
        yield from self._weights.items()

    def warm_up(self) -> None:
        """Every graph again, with the run's weights."""
        self._run_every_graph()

    def size(self, index: int) -> RequestSize:
        """The subject's."""
        return self._subject.size(index)

    def admit(self, indices: list[int]) -> None:
        """They wait beside those of their shape."""
        for index in indices:
            self._waiting.setdefault(self._subject.shape(index), deque()).append(index)

    def step(self) -> list[Emission]:
        """Answer the request that has waited longest, and with it the next of its shape, `execution.slots` at most."""
        if not self._waiting:
            return []
        shape = min(self._waiting, key=lambda each: self._waiting[each][0])
        queue = self._waiting[shape]
        indices = [queue.popleft() for _ in range(min(self._slots, len(queue)))]
        if not queue:
            del self._waiting[shape]
        outputs = self._engine.run(self._subject.inputs(indices))
        self._kept.keep(indices, outputs)
        answers = self._subject.answers(outputs)
        return [
            Emission(index=index, tokens=(answer,), done=True) for index, answer in zip(indices, answers, strict=True)
        ]

    def bytes_per_step(self, input_tokens: int) -> tuple[int, int]:
        """All weights; there is no cache."""
        return self._subject.weight_bytes(), 0

    def assess(self, answers: dict[int, tuple[int, ...]]) -> Assessment:
        """Of the very outputs that were timed."""
        chosen = assessed(self._seed, sorted(answers), self._settings)
        if not chosen:
            return nothing_assessed()
        sent = [answers[index][0] for index in chosen]
        return self._subject.assess(chosen, self._kept.outputs(chosen), sent, self._weights)

    def _built(self, settings: Settings, subject: Subject) -> Forward:
        engine = self._make_engine(settings)
        engine.build()
        zeros = {name: np.zeros(shape, dtype=np.float32) for name, shape in subject.tensors().items()}
        engine.set_weights(zeros)
        return engine

    def _run_every_graph(self) -> None:
        for example in self._subject.examples():
            for size in batch_sizes(self._slots):
                self._engine.run(tuple(np.repeat(array, size, axis=0) for array in example))


def _gates(engine: Forward, subject: Subject, settings: Settings) -> list[GateResult]:
    dtype = str(settings["execution.dtype"])
    return [judged(name, dtype, value, settings) for name, value in subject.gate(engine)]


def one_pass(task: str, settings: Settings, device: Device, make_subject: Callable[[Settings], Subject]) -> OnePass:
    """The task of that name on `device`: its engines are `workloads.<task>.model_<framework>:make_forward`."""

    def make_engine(changed: Settings) -> Forward:
        framework = device.backend.split("-", 1)[0]
        module: Any = import_module(f"oildrop.workloads.{task}.model_{framework}")
        engine: Forward = module.make_forward(changed, device)
        return engine

    return OnePass(settings, make_subject, make_engine)


def nothing_assessed() -> Assessment:
    """Of no answers."""
    none, zero = np.empty(0, dtype=np.int64), np.empty(0)
    return Assessment(
        index=none, loss_nats=zero, source_nats=zero, token_count=none, agreed_count=none, compared_count=none
    )
