"""The task: one seed is one run, warm-up leaves no trace, and evidence is what it says."""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.engine import adamw_of
from oildrop.workloads.lm_pretrain import data
from oildrop.workloads.lm_pretrain.reference import shape_of, token_losses
from oildrop.workloads.registry import make_train_task
from oildrop.workloads.training import Training
from oildrop.workloads.weights_hash import weights_sha256


@dataclass
class Cpu:
    """A device as the worker injects it."""

    backend: str = "torch-cpu"
    handle: Any = field(default_factory=lambda: torch.device("cpu"))

    def synchronize(self) -> None:
        """Nothing is pending on a CPU."""

    def memory_peak_bytes(self) -> int | None:
        """Not known here."""
        return None


def made(settings: dict[str, Any], device: Any = None) -> Any:
    return make_train_task("lm_pretrain", settings, device or Cpu())


def ready(settings: dict[str, Any], device: Any = None) -> Any:
    task = made(settings, device)
    task.load_data()
    task.build()
    return task


@pytest.fixture(scope="module")
def task(tiny_settings: dict[str, Any]) -> Any:
    return ready(tiny_settings)


def trace(task: Any, seed: int, *, warm_up: bool, steps: int = 5) -> list[Any]:
    """All that is to be equal between two runs of one seed, to the last bit."""
    task.initialise(seed)
    start = weights_sha256(task.weights())
    if warm_up:
        task.warm_up()
    assert weights_sha256(task.weights()) == start
    for _ in range(steps):
        task.train_step()
    losses = (task.first_loss().hex(), task.last_loss().hex())
    return [start, weights_sha256(task.weights()), losses, task.batch_digest(), task.evaluate().loss_nats.tolist()]


def test_the_same_seed_twice_is_the_same_run_to_the_last_bit(task: Any, tiny_settings: Any) -> None:
    again = ready(tiny_settings)
    first = trace(task, 5, warm_up=True)
    assert trace(again, 5, warm_up=True) == first
    assert trace(task, 5, warm_up=False) == first
    other = trace(task, 6, warm_up=True)
    assert all(mine != theirs for mine, theirs in zip(first, other, strict=True))


def test_batches_are_consecutive_documents_and_the_digest_rolls_over_them(
    task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "BLOCK_DOCUMENTS", 10)  # blocks of three batches: the ninth begins the third
    task.initialise(8)
    for _ in range(8):
        task.train_step()
    tokens, _ = task._lesson._source.documents(8, 0, 32)
    digest = bytes(32)
    for batch in tokens.astype("<i4").reshape(8, 4, -1):
        digest = hashlib.sha256(digest + batch.tobytes()).digest()
    assert task.batch_digest() == (digest.hex(), 8)


def test_the_first_loss_is_the_references_on_the_first_batch(task: Any, tiny_settings: Any) -> None:
    task.initialise(9)
    weights, (tokens, _) = dict(task.weights()), task._lesson._source.documents(9, 0, 4)
    with pytest.raises(OildropError, match="0 training steps"):
        task.first_loss()
    task.train_step()
    assert task.first_loss() == task.last_loss()
    assert task.first_loss() == pytest.approx(token_losses(weights, tokens, shape_of(tiny_settings)).mean(), rel=1e-6)
    assert task.first_loss() == pytest.approx(math.log(256), abs=0.2)


def test_an_evaluation_is_the_references_losses_of_the_average_and_the_sources_information(
    task: Any, tiny_settings: Any
) -> None:
    task.initialise(10)
    average = {name: weight.astype(np.float64) for name, weight in task.weights()}
    for _ in range(3):
        task.train_step()
        for name, weight in task.weights():
            average[name] += (1 - tiny_settings["optimizer.average_decay"]) * (weight - average[name])
    found = task.evaluate()
    tokens, information = task._lesson._source.documents(tiny_settings["evaluation.seed"], 0, 6, part="held-out")
    losses = token_losses(average, tokens, shape_of(tiny_settings))
    np.testing.assert_allclose(found.loss_nats, losses.sum(axis=1), rtol=1e-6)
    assert found.source_nats.tolist() == information.tolist()
    assert found.token_count.tolist() == [64] * 6
    assert found.loss_nats.dtype == found.source_nats.dtype == np.float64
    assert (found.correct_count <= found.token_count).all()


def test_right_predictions_are_counted(task: Any) -> None:
    """With nothing but the scale of one head row left, every prediction is that token."""
    task.initialise(11)
    weights = {name: np.zeros_like(value) for name, value in task.weights()}
    weights |= {"embedding_VW": np.ones_like(weights["embedding_VW"]), "norm_W": np.ones_like(weights["norm_W"])}
    favourite = task._lesson._source.grammar.word
    weights["head_VW"][favourite] = 1
    task._engine.set_weights(weights)
    expected = (task._held_out.batch[0][:, 1:] == favourite).sum(axis=1)
    assert task.evaluate().correct_count.tolist() == expected.tolist()


def test_held_out_documents_are_no_training_documents(task: Any, tiny_settings: Any) -> None:
    """Not even for a run whose seed is the held-out documents' own."""
    seen = task._lesson._source.documents(tiny_settings["evaluation.seed"], 0, 500)[0]
    held_out = {document.tobytes() for document in task._held_out.batch[0]}
    assert not held_out & {document.tobytes() for document in seen}


def test_the_first_step_moves_each_weight_by_the_learning_rate(task: Any, tiny_settings: Any) -> None:
    """Adam's first step is the rate times the gradient's sign, where the gradient is not tiny."""
    task.initialise(12)
    before = dict(task.weights())
    task.train_step()
    rate = tiny_settings["optimizer.learning_rate"] / tiny_settings["optimizer.warmup_steps"]
    for name, after in task.weights():
        moved = np.abs(after - before[name])
        assert moved.max() == pytest.approx(rate, rel=1e-2), name


def test_the_learning_rate_rises_and_stays(tiny_settings: Any) -> None:
    peak, rising = tiny_settings["optimizer.learning_rate"], tiny_settings["optimizer.warmup_steps"]
    rate = adamw_of(tiny_settings).rate
    assert rate(0) == pytest.approx(peak / rising)
    assert rate(rising // 2 - 1) == pytest.approx(peak / 2)
    assert rate(rising) == rate(10 * rising) == peak


def test_training_learns(task: Any) -> None:
    task.initialise(13)
    start = task.evaluate()
    for _ in range(100):
        task.train_step()
    gain = (start.loss_nats - task.evaluate().loss_nats).sum() / start.token_count.sum()
    assert gain > 1.0


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_gates_pass_in_both_types_and_weights_are_set_anew_after(tiny_settings: Any, dtype: str) -> None:
    task = ready(tiny_settings | {"execution.dtype": dtype})
    results = task.run_gates()
    assert [result.dtype for result in results] == ["fp32"] * 7 + (["bf16"] * 7 if dtype == "bf16" else [])
    assert [result.name for result in results if not result.passed] == []
    if dtype == "bf16":
        assert float(results[7].value) > 1e-5  # autocast was on
    task.initialise(5)
    assert weights_sha256(task.weights()) == trace(task, 5, warm_up=False, steps=1)[0]


def test_compiling_without_a_compiler_is_unsupported_and_says_what_to_do(
    tiny_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    task = made(tiny_settings | {"execution.compile": "inductor"})
    task.load_data()
    with pytest.raises(Unsupported, match=r"execution\.compile=eager"):
        task.build()


def test_constructing_touches_nothing(tiny_settings: Any) -> None:
    class Untouchable:
        backend = "torch-cuda"
        handle = torch.device("cuda", 0)

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"{name} was touched")

    assert isinstance(made(tiny_settings, Untouchable()), Training)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gates_and_steps_on_cuda(tiny_settings: Any) -> None:
    task = ready(tiny_settings, Cpu(backend="torch-cuda", handle=torch.device("cuda", 0)))
    assert all(result.passed for result in task.run_gates())
    trace(task, 5, warm_up=True)
