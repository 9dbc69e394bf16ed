"""Requests of a made-up subject in batches: who waits, who goes together, and what is assessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.workloads.engine import Inputs, Weights
from oildrop.workloads.forward import Forward, batch_sizes, filled, pieces, weight_bytes
from oildrop.workloads.one_pass import OnePass
from oildrop.workloads.protocols import Settings
from oildrop.workloads.served_protocols import Assessment, RequestSize

SETTINGS: dict[str, Any] = {
    "execution.slots": 4,
    "execution.dtype": "bf16",
    "assess.share": 1,
    "assess.least": 1,
    "assess.most": 100,
    "gates.limits.fp32.doubling": 1e-6,
    "gates.limits.bf16.doubling": 1e-2,
}


class Doubling:
    """An engine that gives back its inputs times its weight; it notes each batch."""

    def __init__(self, settings: Settings) -> None:
        self.dtype = settings["execution.dtype"]
        self.batches: list[list[float]] = []

    def build(self) -> None:
        pass

    def set_weights(self, weights: Weights) -> None:
        self.factor = float(weights["factor"][0])

    def run(self, inputs: Inputs) -> NDArray[np.float32]:
        self.batches.append(inputs[0][:, 0].tolist())
        return inputs[0] * np.float32(self.factor + (1e-3 if self.dtype == "bf16" else 0.0))


class Numbers:
    """Request i asks for twice its number; every third is of a shape of its own."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        self.size_of_gate = int(settings.get("model.size", 1))
        self.loaded = False

    def load(self) -> None:
        self.loaded = True

    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        return {"factor": (1,)}

    def weight_bytes(self) -> int:
        return 4

    def weights(self, seed: int) -> Weights:
        return {"factor": np.array([2.0], dtype=np.float32)}

    def start(self, seed: int) -> None:
        pass

    def size(self, index: int) -> RequestSize:
        return RequestSize(input_tokens=1, output_tokens=1)

    def shape(self, index: int) -> int:
        return 3 if index % 3 == 0 else 1

    def inputs(self, indices: Sequence[int]) -> Inputs:
        return (np.array(indices, dtype=np.float32)[:, None],)

    def examples(self) -> list[Inputs]:
        return [(np.full((1, 1), shape, dtype=np.float32),) for shape in (1, 3)]

    def answers(self, outputs: NDArray[np.float32]) -> list[int]:
        return np.rint(outputs[:, 0]).astype(int).tolist()

    def gate(self, engine: Forward) -> Iterator[tuple[str, float]]:
        engine.set_weights({"factor": np.array([3.0], dtype=np.float32)})
        assert self.loaded
        asked = np.full((1, 1), self.size_of_gate, dtype=np.float32)
        yield "doubling", abs(float(engine.run((asked,))[0, 0]) / self.size_of_gate - 3.0) / 3.0

    def assess(
        self, indices: Sequence[int], outputs: NDArray[np.float32], answers: Sequence[int], weights: Weights
    ) -> Assessment:
        one = np.ones(len(indices), dtype=np.int64)
        return Assessment(
            index=np.array(indices),
            loss_nats=outputs[:, 0].astype(np.float64),
            source_nats=np.zeros(len(indices)),
            token_count=one,
            agreed_count=(np.array(answers) == 2 * np.array(indices)).astype(np.int64),
            compared_count=one,
        )


@pytest.fixture
def made() -> list[Doubling]:
    return []


@pytest.fixture
def task(made: list[Doubling]) -> OnePass:
    task = built(made)
    task.initialise(1)
    made[0].batches.clear()
    return task


def built(made: list[Doubling], **more: Any) -> OnePass:
    """A task whose settings are those above and `more`, and whose engines are noted."""

    def make(settings: Settings) -> Forward:
        made.append(Doubling(settings))
        return made[-1]

    task = OnePass({**SETTINGS, **more}, Numbers, make)
    task.load_data()
    task.build()
    return task


def test_nothing_waits_nothing_comes(task: OnePass, made: list[Doubling]) -> None:
    assert task.step() == []
    assert made[0].batches == []


def test_the_longest_waiting_goes_first_with_those_of_its_shape(task: OnePass, made: list[Doubling]) -> None:
    task.admit([1, 2, 3, 4])
    task.admit([5, 6, 7, 8])
    while task.step():
        pass
    # 1, 2, 4, 5 are the first four of shape 1; then 3 waits longest, then what shape 1 left.
    assert made[0].batches == [[1, 2, 4, 5], [3, 6], [7, 8]]


def test_each_request_gets_its_own_answer(task: OnePass) -> None:
    task.admit([7, 2, 5])
    assert [(each.index, each.tokens, each.done) for each in task.step()] == [
        (7, (14,), True),
        (2, (4,), True),
        (5, (10,), True),
    ]


def test_outputs_of_the_timed_run_are_assessed(task: OnePass) -> None:
    task.admit([1, 2, 3])
    sent = {each.index: each.tokens for _ in range(2) for each in task.step()}
    found = task.assess({**sent, 2: (5,)})
    assert found.index.tolist() == [1, 2, 3]
    # The engine's own outputs, a thousandth off, and not what a recomputation would give.
    assert found.loss_nats == pytest.approx([2.001, 4.002, 6.003])
    assert found.agreed_count.tolist() == [1, 0, 1]


def test_no_answers_no_assessment(task: OnePass) -> None:
    assert len(task.assess({}).index) == 0


def test_a_new_start_forgets_what_waited(task: OnePass) -> None:
    task.admit([1, 2])
    task.initialise(2)
    assert task.step() == []


def test_every_size_of_every_shape_runs_before_the_clock(task: OnePass, made: list[Doubling]) -> None:
    task.warm_up()
    assert made[0].batches == [[shape] * size for shape in (1, 3) for size in (1, 2, 4)]
    assert task.step() == []


def test_gates_ask_strict_fp32_and_then_the_declared_type(task: OnePass, made: list[Doubling]) -> None:
    strict, declared = task.run_gates()
    assert (strict.dtype, strict.passed, strict.value) == ("fp32", True, 0.0)
    assert (declared.dtype, declared.passed) == ("bf16", True)
    assert declared.value == pytest.approx(1e-3 / 3, rel=1e-3)
    assert [engine.dtype for engine in made] == ["bf16", "fp32"]


def test_gates_of_a_large_tier_ask_a_smaller_model_of_its_own(made: list[Doubling]) -> None:
    results = built(made, **{"gates.settings.model.size": 7}).run_gates()
    assert [(result.dtype, result.passed) for result in results] == [("fp32", True), ("bf16", True)]
    timed, *others = made
    assert [engine.dtype for engine in others] == ["bf16", "fp32"]
    assert [7.0] not in timed.batches and [engine.batches for engine in others] == [[[7.0]], [[7.0]]]


def test_gates_that_ask_less_of_the_same_model_ask_the_timed_engine(made: list[Doubling]) -> None:
    task = built(made, **{"gates.settings.gates.limits.bf16.doubling": 1e-5})
    strict, declared = task.run_gates()
    assert (strict.passed, declared.passed, declared.limit) == (True, False, 1e-5)
    assert [engine.dtype for engine in made] == ["bf16", "fp32"] and made[0].batches[-1] == [1.0]


def test_one_pass_reads_weights_and_no_cache(task: OnePass) -> None:
    assert task.bytes_per_step(1) == task.bytes_per_step(1000) == (4, 0)


@pytest.mark.parametrize(
    ("slots", "sizes"), [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (64, (1, 2, 4, 8, 16, 32, 64))]
)
def test_batches_have_few_sizes(slots: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(slots) == sizes


def test_a_batch_is_filled_up_with_its_first_item() -> None:
    tokens, mask = np.array([[1, 2], [3, 4], [5, 6]]), np.array([7.0, 8.0, 9.0])
    found = filled((tokens, mask), (1, 4, 8))
    assert found[0].tolist() == [[1, 2], [3, 4], [5, 6], [1, 2]]
    assert found[1].tolist() == [7.0, 8.0, 9.0, 7.0]
    assert filled((tokens[:1],), (1, 4))[0].tolist() == [[1, 2]]


@pytest.mark.parametrize(("count", "slots", "sizes"), [(20, 8, [8, 1, 5, 6]), (20, 64, [10, 1, 6, 3]), (1, 8, [1])])
def test_a_gate_asks_full_single_and_odd_batches_of_all_items(count: int, slots: int, sizes: list[int]) -> None:
    found = pieces(count, slots)
    assert [len(batch) for batch in found] == sizes
    assert [item for batch in found for item in batch] == list(range(count))


def test_weights_are_counted_in_the_types_in_which_they_are_kept() -> None:
    shapes = {"matrix": (10, 3), "bias": (10,)}
    assert weight_bytes(shapes, {"matrix"}, "bf16") == 10 * 3 * 2 + 10 * 4
    assert weight_bytes(shapes, {"matrix"}, "fp32") == 10 * 3 * 4 + 10 * 4
