"""Where a run goes on after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oildrop.harness.loop import Kept, Position, TrainPlan, train
from oildrop.harness.null_task import NullDevice, NullTask
from oildrop.harness.ranks.checkpoints import Checkpoints, newest, read
from oildrop.rules import keys
from oildrop.rules.rulebook_parts import Schedule
from oildrop.workloads.protocols import Evaluation


class Counting(NullTask):
    """A task of one sample a step whose state is its count of steps, and whose quality is 1 / steps."""

    def __init__(self) -> None:
        super().__init__(self._step)
        self.count = 0
        self.asked: list[bool] = []

    def _step(self) -> None:
        self.count += 1

    def snapshot(self) -> Mapping[str, NDArray[Any]]:
        return {"step": np.array(self.count)}

    def agreed(self, flag: bool) -> bool:
        self.asked.append(flag)
        return flag

    def evaluate(self) -> Evaluation:
        one = np.ones(1, dtype=np.int64)
        return Evaluation(
            loss_nats=np.array([1 / self.count]), source_nats=np.zeros(1), token_count=one, correct_count=one
        )


class Log:
    """A sink that keeps keys and samples."""

    progress = 0

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def emit(
        self, key: str, value: Any = None, meta: dict[str, Any] | None = None, *, at_ns: int | None = None
    ) -> None:
        self.events.append((key, meta or {}))

    def flush(self) -> None:
        """Nothing to hand over."""

    def samples(self, key: str) -> list[int]:
        return [meta["samples"] for name, meta in self.events if name == key]


def position(samples: int) -> Position:
    evaluation = Evaluation(
        loss_nats=np.array([0.1, 1 / 3]),
        source_nats=np.array([0.0, 0.5]),
        token_count=np.array([7, 8]),
        correct_count=np.array([1, 2]),
    )
    return Position(
        samples=samples,
        steps=samples // 2,
        kept=(Kept(samples=samples - 2, evaluation=evaluation), Kept(samples=samples, evaluation=evaluation)),
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    Checkpoints(tmp_path, writes=True).evaluated(Counting(), position(10))
    found = newest(tmp_path)
    assert found is not None
    assert (found.samples, found.steps) == (10, 5)
    state, where = read(found)
    assert list(state) == ["step"]
    assert [kept.samples for kept in where.kept] == [8, 10]
    assert where.kept[1].evaluation.loss_nats.tolist() == [0.1, 1 / 3]
    assert where.kept[0].evaluation.token_count.tolist() == [7, 8]


def test_the_newest_is_the_furthest_and_the_only_one_left(tmp_path: Path) -> None:
    now = [0.0]
    keeper = Checkpoints(tmp_path, writes=True, clock=lambda: now[0])
    for samples in (98, 100):  # as text, 98 would come last
        keeper.evaluated(Counting(), position(samples))
        now[0] += 31.0
    found = newest(tmp_path)
    assert found is not None
    assert found.samples == 100
    assert [path.name for path in tmp_path.iterdir()] == ["100-50.npz"]


def test_at_most_one_in_thirty_seconds(tmp_path: Path) -> None:
    now = [0.0]
    keeper = Checkpoints(tmp_path, writes=True, clock=lambda: now[0])
    task, taken = Counting(), []
    for samples in range(2, 16, 2):
        keeper.evaluated(task, position(samples))
        found = newest(tmp_path)
        taken.append(None if found is None else found.samples)
        now[0] += 10.0
    assert taken == [2, 2, 2, 8, 8, 8, 14]
    assert task.asked == [True, False, False, True, False, False, True]


def test_ranks_beside_the_first_write_nothing(tmp_path: Path) -> None:
    Checkpoints(tmp_path, writes=False).evaluated(Counting(), position(10))
    assert newest(tmp_path) is None


def test_half_a_checkpoint_is_none(tmp_path: Path) -> None:
    (tmp_path / "12-6.part").write_bytes(b"half")
    assert newest(tmp_path) is None


def test_a_resumed_loop_goes_on_where_it_stood_without_a_second_start(tmp_path: Path) -> None:
    plan = TrainPlan(schedule=Schedule(first=4, every=2), cap_samples=10, target=None)
    keeper, whole = Checkpoints(tmp_path, writes=True), Log()
    train(Counting(), NullDevice(), plan, whole, whole, keeper=keeper)
    found = newest(tmp_path)
    assert found is not None
    state, where = read(found)
    task, rest = Counting(), Log()
    task.count = int(state["step"])
    end = train(task, NullDevice(), plan, rest, rest, resume=where)
    assert found.samples == 4
    assert rest.samples(keys.BLOCK_START) == [4, 6, 8] == whole.samples(keys.BLOCK_START)[-3:]
    assert [key for key, _ in rest.events if key in (keys.RUN_START, keys.FIRST_LOSS_FP32)] == []
    assert [kept.samples for kept in end.kept] == [8, 10]
    assert end.steps == 10


def test_without_a_checkpoint_the_clock_still_starts_once() -> None:
    plan, log = TrainPlan(schedule=Schedule(first=4, every=2), cap_samples=6, target=None), Log()
    train(Counting(), NullDevice(), plan, log, log, resume=Position())
    assert log.samples(keys.BLOCK_START) == [0, 4]
    assert keys.RUN_START not in [key for key, _ in log.events]


def test_the_log_knows_an_evaluation_before_its_checkpoint_exists(tmp_path: Path) -> None:
    seen: list[int] = []

    class Flushing(Log):
        def flush(self) -> None:
            seen.append(len(list(tmp_path.glob("*.npz"))))

    plan, log = TrainPlan(schedule=Schedule(first=2, every=2), cap_samples=4, target=None), Flushing()
    train(Counting(), NullDevice(), plan, log, log, keeper=Checkpoints(tmp_path, writes=True))
    assert seen[0] == 0
    assert keys.EVAL_ACCURACY in [key for key, _ in log.events]
