from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oildrop.rules.errors import OildropError, Unsupported
from oildrop.workloads.image_classify import reference
from oildrop.workloads.image_classify.augment import as_input

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

MakeTask = Callable[..., Any]


def bits(task: Any) -> list[tuple[str, bytes]]:
    return [(name, value.tobytes()) for name, value in task.weights()]


def train(task: Any, seed: int, steps: int) -> Any:
    task.initialise(seed)
    for _ in range(steps):
        task.train_step()
    return task


def test_the_same_seed_twice_is_the_same_to_the_last_bit(make_task: MakeTask) -> None:
    one, two = (train(make_task(), 17, 5) for _ in range(2))
    assert bits(one) == bits(two)
    assert one.batch_digest() == two.batch_digest()
    assert one.first_loss().hex() == two.first_loss().hex()
    assert one.last_loss().hex() == two.last_loss().hex()
    assert np.array_equal(one.evaluate().loss_nats, two.evaluate().loss_nats)


def test_one_task_initialised_again_starts_over(make_task: MakeTask) -> None:
    task = train(make_task(), 17, 5)
    first, digest = bits(task), task.batch_digest()
    other = train(task, 18, 5)
    assert bits(other) != first and other.batch_digest() != digest
    again = train(task, 17, 5)
    assert bits(again) == first and again.batch_digest() == digest


def test_weights_start_as_the_integers_say(make_task: MakeTask) -> None:
    task = make_task()
    task.initialise(17)
    expected = reference.initial_weights(task._lesson._config, 17)
    assert [name for name, _ in task.weights()] == list(task._lesson._config.tensor_shapes())
    assert all(value.dtype == np.float32 and np.array_equal(value, expected[name]) for name, value in task.weights())


def test_warm_up_leaves_no_trace(make_task: MakeTask) -> None:
    plain, warmed = train(make_task(), 5, 0), train(make_task(), 5, 0)
    before = warmed._engine.weights()
    warmed.warm_up()
    after = warmed._engine.weights(), warmed._engine.average()
    assert all(np.array_equal(before[name], found[name]) for found in after for name in before)
    for _ in range(3):
        plain.train_step()
        warmed.train_step()
    assert bits(plain) == bits(warmed)
    assert plain.batch_digest() == warmed.batch_digest()
    assert plain.first_loss() == warmed.first_loss()
    assert np.array_equal(plain.evaluate().loss_nats, warmed.evaluate().loss_nats)


def test_warm_up_really_trains_in_between(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(execution__warmup_steps=4)
    task.initialise(5)
    before = bits(task)
    monkeypatch.setattr(task._engine, "set_weights", lambda weights: None)
    task.warm_up()
    assert bits(task) != before
    assert {float(state["step"]) for state in task._engine._optimizer.state.values()} == {4.0}


def test_first_loss_is_that_of_the_reference_and_the_first_batch(make_task: MakeTask) -> None:
    task = train(make_task(), 23, 1)
    batch = task._lesson._stream(23).samples(0, 32)
    weights = reference.initial_weights(task._lesson._config, 23)
    expected = reference.image_losses(task._lesson._config, weights, as_input(batch.images, 16), batch.labels).mean()
    assert task.first_loss() == pytest.approx(expected, rel=1e-6)
    task.train_step()
    assert task.first_loss() == pytest.approx(expected, rel=1e-6)
    assert task.last_loss() != task.first_loss()


def test_first_step_is_one_warmed_up_learning_rate_long(make_task: MakeTask) -> None:
    # With fresh moments AdamW moves each weight by the rate times the sign of its gradient.
    rate = 1e-2
    changed = {"optimizer__warmup_steps": 4, "optimizer__epsilon": 1e-30, "optimizer__weight_decay": 0.0}
    task = make_task(optimizer__learning_rate=rate, **changed)
    task.initialise(3)
    start = task._engine.weights()
    task.train_step()
    moved = np.concatenate([np.abs(value - start[name]).ravel() for name, value in task.weights()])
    assert moved[moved > 0] == pytest.approx(np.full((moved > 0).sum(), rate / 4), rel=1e-3)
    assert (moved > 0).mean() > 0.9


def test_the_average_is_what_its_decay_says(make_task: MakeTask) -> None:
    task = make_task(optimizer__average_decay=0.75)
    task.initialise(3)
    history = [task._engine.weights()]
    for _ in range(3):
        task.train_step()
        history.append(task._engine.weights())
    for name, average in task._engine.average().items():
        w0, w1, w2, w3 = (weights[name].astype(np.float64) for weights in history)
        expected = 0.75**3 * w0 + 0.25 * (0.75**2 * w1 + 0.75 * w2 + w3)
        assert average == pytest.approx(expected, rel=1e-5, abs=1e-7)


def test_weight_decay_pulls_matrices_alone(make_task: MakeTask) -> None:
    plain = dict(train(make_task(optimizer__weight_decay=0.0), 3, 1).weights())
    pulled_task = make_task(optimizer__weight_decay=0.5)
    rate = pulled_task._settings["optimizer.learning_rate"] / pulled_task._settings["optimizer.warmup_steps"]
    start = reference.initial_weights(pulled_task._lesson._config, 3)
    for name, value in train(pulled_task, 3, 1).weights():
        expected = -0.5 * rate * start[name] if value.ndim > 1 else 0.0 * start[name]
        assert value - plain[name] == pytest.approx(expected, abs=1e-7)


def test_evaluation_scores_the_held_out_images_with_the_average(make_task: MakeTask) -> None:
    task = train(make_task(), 3, 6)
    found = task.evaluate()
    images, labels = as_input(task._held_out.batch[0], 16), task._held_out.batch[1]
    average = task._engine.average()
    expected = reference.image_losses(task._lesson._config, average, images, labels)
    assert found.loss_nats.dtype == np.float64 and found.loss_nats.shape == (360,)
    assert found.loss_nats == pytest.approx(expected, rel=2e-5)
    right = reference.logits(task._lesson._config, average, images).argmax(axis=1) == labels
    assert np.array_equal(found.correct_count, right.astype(np.int64))
    assert found.source_nats.tolist() == [0.0] * 360
    assert found.token_count.tolist() == [1] * 360


def test_the_digest_is_a_chain_over_integer_batches(make_task: MakeTask) -> None:
    task = make_task()
    task.initialise(29)
    assert task.batch_digest() == ("00" * 32, 0)
    stream, digest = task._lesson._stream(29), bytes(32)
    for k in range(3):
        task.train_step()
        batch = stream.samples(32 * k, 32)
        numbers = [*batch.images.ravel().tolist(), *batch.labels.tolist()]
        digest = hashlib.sha256(digest + b"".join(n.to_bytes(4, "little") for n in numbers)).digest()
        assert task.batch_digest() == (digest.hex(), k + 1)


def test_training_learns(make_task: MakeTask) -> None:
    task = make_task(model__width=16, optimizer__learning_rate=5e-3, optimizer__average_decay=0.9)
    task.initialise(1)
    before = task.evaluate()
    for _ in range(80):
        task.train_step()
    after = task.evaluate()
    assert before.loss_nats.mean() > 2.0 and after.loss_nats.mean() < 1.0
    assert after.correct_count.mean() > 0.8


def test_a_step_reads_nothing_back_from_the_device(make_task: MakeTask) -> None:
    class Calls(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: set[str] = set()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.add(str(func))
            return func(*args, **(kwargs or {}))

    task = train(make_task(), 1, 1)
    with Calls() as calls:
        task.train_step()
    assert any("convolution" in name for name in calls.names)
    assert not [name for name in calls.names if "_local_scalar_dense" in name or "equal" in name]
    with calls:
        task.last_loss()
    assert any("_local_scalar_dense" in name for name in calls.names)


def test_the_frameworks_generator_is_never_touched(make_task: MakeTask) -> None:
    before = torch.get_rng_state()
    train(make_task(), 1, 2).evaluate()
    assert torch.equal(before, torch.get_rng_state())


def test_a_loss_before_the_first_step_is_an_error_with_the_fix(make_task: MakeTask) -> None:
    task = make_task()
    with pytest.raises(OildropError, match="call train_step first"):
        task.last_loss()
    with pytest.raises(OildropError, match="call train_step first"):
        task.first_loss()


def test_inductor_without_a_compiler_is_unsupported(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Unsupported, match=r"apt install g\+\+.*execution\.compile=eager"):
        make_task(execution__compile="inductor")


def test_bf16_trains_near_fp32(make_task: MakeTask) -> None:
    full, half = (train(make_task(execution__dtype=dtype), 3, 10) for dtype in ("fp32", "bf16"))
    assert full.batch_digest() == half.batch_digest()
    assert full.last_loss() != half.last_loss()
    assert half.last_loss() == pytest.approx(full.last_loss(), rel=0.02)
