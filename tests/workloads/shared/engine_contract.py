"""What every engine must do, on a linear model whose losses, gradients and steps are worked out by hand in NumPy.

A test file of one framework inherits `EngineContract`, gives it an engine of its own `Linear`, and adds what that
framework alone promises. The model: half the squared distance of x w^T + b from y; an answer within 2 is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

RATES = (0.05, 0.02, 0.1)
SHAPES = {"weight_OI": (3, 4), "bias_O": (3,)}
SETTINGS: dict[str, Any] = {
    "optimizer.learning_rate": 0.1,
    "optimizer.warmup_steps": 1,
    "optimizer.beta1": 0.9,
    "optimizer.beta2": 0.98,
    "optimizer.epsilon": 1e-3,
    "optimizer.weight_decay": 0.3,
    "optimizer.average_decay": 0.75,
    "execution.compile": "eager",
    "execution.threads": 0,
    "execution.devices": 1,
    "execution.sharding": "replicated",
}


def settings_with(**changed: Any) -> dict[str, Any]:
    """SETTINGS with `changed`, whose keys have `__` for the dot."""
    return SETTINGS | {key.replace("__", "."): value for key, value in changed.items()}


def offsets(w: Any, inputs: Any) -> NDArray[np.float64]:
    x_BI, y_BO = (array.astype(np.float64) for array in inputs)
    return x_BI @ w["weight_OI"].astype(np.float64).T + w["bias_O"] - y_BO


def losses_by_hand(w: Any, inputs: Any) -> NDArray[np.float64]:
    return 0.5 * (offsets(w, inputs) ** 2).sum(axis=1)


def gradient_by_hand(w: Any, inputs: Any) -> dict[str, NDArray[np.float64]]:
    off_BO = offsets(w, inputs)
    return {"weight_OI": off_BO.T @ inputs[0] / len(off_BO), "bias_O": off_BO.mean(axis=0)}


def stepped(engine: Any, inputs: Any) -> list[float]:
    """The loss of each of three steps on one batch."""
    on_device = engine.put(inputs)
    handles = [engine.step(on_device, rate, "fp32") for rate in RATES]
    return [engine.value(handle) for handle in handles]


@pytest.fixture(scope="module")
def start() -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(5)
    return {"weight_OI": draw.normal(size=(3, 4)).astype(np.float32), "bias_O": np.ones(3, dtype=np.float32)}


@pytest.fixture(scope="module")
def inputs() -> tuple[NDArray[np.float32], ...]:
    draw = np.random.default_rng(6)
    return draw.normal(size=(8, 4)).astype(np.float32), draw.normal(size=(8, 3)).astype(np.float32)


class EngineContract:
    """Tests of one engine; the file's fixture `engine` is built and has the weights `start`."""

    def test_three_steps_are_adamw_and_average_as_written_by_hand(self, engine: Any, start: Any, inputs: Any) -> None:
        w = {name: value.astype(np.float64) for name, value in start.items()}
        mean, m, v = dict(w), dict.fromkeys(w, 0.0), dict.fromkeys(w, 0.0)
        expected_losses = []
        for t, rate in enumerate(RATES, start=1):
            expected_losses.append(losses_by_hand(w, inputs).mean())
            for name, g in gradient_by_hand(w, inputs).items():
                m[name], v[name] = 0.9 * m[name] + 0.1 * g, 0.98 * v[name] + 0.02 * g**2
                direction = m[name] / (1 - 0.9**t) / (np.sqrt(v[name] / (1 - 0.98**t)) + 1e-3)
                w[name] = w[name] - rate * (direction + {"weight_OI": 0.3, "bias_O": 0.0}[name] * w[name])
                mean[name] = 0.75 * mean[name] + 0.25 * w[name]
        assert stepped(engine, inputs) == pytest.approx(expected_losses, rel=1e-6)
        for found, expected in ((engine.weights(), w), (engine.average(), mean)):
            for name in w:
                assert found[name] == pytest.approx(expected[name], rel=2e-6, abs=2e-6)

    def test_setting_weights_starts_over_to_the_last_bit(self, engine: Any, start: Any, inputs: Any) -> None:
        losses = stepped(engine, inputs)
        first = engine.weights(), engine.average()
        engine.set_weights(start)
        for found in (engine.weights(), engine.average()):
            assert all(np.array_equal(found[name], start[name]) for name in start)
        assert stepped(engine, inputs) == losses
        for found, expected in zip((engine.weights(), engine.average()), first, strict=True):
            assert all(np.array_equal(found[name], expected[name]) for name in start)

    def test_tensors_come_in_canonical_order_as_copies(self, engine: Any, inputs: Any) -> None:
        before = engine.weights(), engine.average(), engine.gradients(engine.put(inputs), "fp32")
        kept = [{name: value.copy() for name, value in tensors.items()} for tensors in before]
        stepped(engine, inputs)
        for tensors, copies in zip(before, kept, strict=True):
            found = [(name, value.shape, value.dtype.name) for name, value in tensors.items()]
            assert found == [(name, shape, "float32") for name, shape in SHAPES.items()]
            assert all(np.array_equal(tensors[name], copies[name]) for name in tensors)
        assert not np.array_equal(engine.weights()["bias_O"], before[0]["bias_O"])

    def test_who_gave_weights_may_change_them_afterwards(self, engine: Any) -> None:
        # Aligned to 64 bytes is what JAX would share with the caller on a CPU.
        raw = np.ones(12 + 16, dtype=np.float32)
        first = -raw.ctypes.data // 4 % 16
        given = {"weight_OI": raw[first : first + 12].reshape(3, 4), "bias_O": np.ones(3, dtype=np.float32)}
        engine.set_weights(given)
        given["weight_OI"] += 1
        assert (engine.weights()["weight_OI"] == 1).all() and (engine.average()["weight_OI"] == 1).all()

    def test_losses_are_of_the_newest_weights_and_scores_of_the_average(self, engine: Any, inputs: Any) -> None:
        stepped(engine, inputs)
        on_device = engine.put(inputs)
        assert engine.losses(on_device, "fp32") == pytest.approx(losses_by_hand(engine.weights(), inputs), rel=1e-5)
        expected = losses_by_hand(engine.average(), inputs)
        losses, right = engine.score(on_device, "fp32")
        assert losses == pytest.approx(expected, rel=1e-5)
        assert losses.dtype == np.float32 and right.dtype == np.bool_
        assert np.array_equal(right, expected < 2) and 0 < right.sum() < 8

    def test_gradients_are_of_the_mean_loss_and_change_nothing(self, engine: Any, start: Any, inputs: Any) -> None:
        found = engine.gradients(engine.put(inputs), "fp32")
        expected = gradient_by_hand(start, inputs)
        assert all(found[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6) for name in expected)
        assert all(np.array_equal(engine.weights()[name], start[name]) for name in start)
        assert stepped(engine, inputs)[0] == pytest.approx(losses_by_hand(start, inputs).mean(), rel=1e-6)

    def test_bf16_shortens_what_goes_into_products_and_nothing_else(self, engine: Any) -> None:
        # 1 + 2^-9 is 1 in bfloat16, which keeps seven bits after the point; the bias keeps it in fp32.
        nearly = np.float32(1 + 2**-9)
        engine.set_weights({"weight_OI": np.full((3, 4), nearly), "bias_O": np.full(3, nearly)})
        on_device = engine.put((np.full((1, 4), nearly), np.zeros((1, 3), dtype=np.float32)))
        short, full = 4 + float(nearly), 4 * float(nearly) ** 2 + float(nearly)
        assert engine.losses(on_device, "bf16") == pytest.approx([1.5 * short**2], rel=1e-6)
        assert engine.losses(on_device, "fp32") == pytest.approx([1.5 * full**2], rel=1e-6)
        assert engine.gradients(on_device, "bf16")["weight_OI"].dtype == np.float32

    def test_the_loss_falls(self, engine: Any, inputs: Any) -> None:
        on_device = engine.put(inputs)
        losses = [engine.value(engine.step(on_device, 0.05, "bf16")) for _ in range(60)]
        assert losses[-1] < 0.5 * losses[0]
