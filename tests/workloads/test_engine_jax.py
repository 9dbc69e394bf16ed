"""The JAX engine on a linear model whose losses, gradients and steps are worked out by hand in NumPy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine import adamw_of
from oildrop.workloads.engine_jax import JaxEngine, State, state_shapes, train_step
from oildrop.workloads.products_jax import linear

# Other platforms' parts may be installed; asking for them takes time and prints.
jax.config.update("jax_platforms", "cpu")

CHILD = Path(__file__).parent / "fakes" / "jax_on_two_devices.py"
RATES = (0.05, 0.02, 0.1)
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
}


class Linear:
    """Half the squared distance of x w^T + b from y; an answer within a distance of 2 is right."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return {"weight_OI": (3, 4), "bias_O": (3,)}

    def losses(self, weights: Any, x_BI: Any, y_BO: Any, *, dtype: str) -> jax.Array:
        off_BO = linear(x_BI, weights["weight_OI"], dtype).astype(jnp.float32) + weights["bias_O"] - y_BO
        return 0.5 * jnp.square(off_BO).sum(axis=-1)

    def score(self, weights: Any, *inputs: Any, dtype: str) -> tuple[jax.Array, jax.Array]:
        losses_B = self.losses(weights, *inputs, dtype=dtype)
        return losses_B, losses_B < 2


def offsets(w: Any, inputs: Any) -> NDArray[np.float64]:
    x_BI, y_BO = (array.astype(np.float64) for array in inputs)
    return x_BI @ w["weight_OI"].astype(np.float64).T + w["bias_O"] - y_BO


def losses_by_hand(w: Any, inputs: Any) -> NDArray[np.float64]:
    return 0.5 * (offsets(w, inputs) ** 2).sum(axis=1)


def gradient_by_hand(w: Any, inputs: Any) -> dict[str, NDArray[np.float64]]:
    off_BO = offsets(w, inputs)
    return {"weight_OI": off_BO.T @ inputs[0] / len(off_BO), "bias_O": off_BO.mean(axis=0)}


@pytest.fixture(scope="module")
def start() -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(5)
    return {"weight_OI": draw.normal(size=(3, 4)).astype(np.float32), "bias_O": np.ones(3, dtype=np.float32)}


@pytest.fixture(scope="module")
def inputs() -> tuple[NDArray[np.float32], ...]:
    draw = np.random.default_rng(6)
    return draw.normal(size=(8, 4)).astype(np.float32), draw.normal(size=(8, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def built() -> JaxEngine:
    return engine_with()


@pytest.fixture
def engine(built: JaxEngine, start: Any) -> JaxEngine:
    built.set_weights(start)
    return built


def engine_with(**changed: Any) -> JaxEngine:
    settings = SETTINGS | {key.replace("__", "."): value for key, value in changed.items()}
    device: Any = SimpleNamespace(backend="jax-cpu", handle=jax.devices("cpu")[0])
    made = JaxEngine(Linear(), settings, device)
    made.build()
    return made


def stepped(engine: JaxEngine, inputs: Any) -> list[float]:
    on_device = engine.put(inputs)
    handles = [engine.step(on_device, rate, "fp32") for rate in RATES]
    return [engine.value(handle) for handle in handles]


def test_three_steps_are_adamw_and_average_as_written_by_hand(engine: JaxEngine, start: Any, inputs: Any) -> None:
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


def test_setting_weights_starts_over_to_the_last_bit(engine: JaxEngine, start: Any, inputs: Any) -> None:
    losses = stepped(engine, inputs)
    first = engine.weights(), engine.average()
    engine.set_weights(start)
    for found in (engine.weights(), engine.average()):
        assert all(np.array_equal(found[name], start[name]) for name in start)
    assert stepped(engine, inputs) == losses
    for found, expected in zip((engine.weights(), engine.average()), first, strict=True):
        assert all(np.array_equal(found[name], expected[name]) for name in start)


def test_tensors_come_in_canonical_order_as_copies(engine: JaxEngine, inputs: Any) -> None:
    before = engine.weights(), engine.average(), engine.gradients(engine.put(inputs), "fp32")
    kept = [{name: value.copy() for name, value in tensors.items()} for tensors in before]
    stepped(engine, inputs)
    for tensors, copies in zip(before, kept, strict=True):
        assert [(name, value.shape, value.dtype.name) for name, value in tensors.items()] == [
            ("weight_OI", (3, 4), "float32"),
            ("bias_O", (3,), "float32"),
        ]
        assert all(np.array_equal(tensors[name], copies[name]) for name in tensors)
    assert not np.array_equal(engine.weights()["bias_O"], before[0]["bias_O"])


def test_who_gave_weights_may_change_them_afterwards(engine: JaxEngine) -> None:
    # Aligned to 64 bytes is what JAX would share with the caller on a CPU.
    raw = np.ones(12 + 16, dtype=np.float32)
    first = -raw.ctypes.data // 4 % 16
    given = {"weight_OI": raw[first : first + 12].reshape(3, 4), "bias_O": np.ones(3, dtype=np.float32)}
    engine.set_weights(given)
    given["weight_OI"] += 1
    assert (engine.weights()["weight_OI"] == 1).all() and (engine.average()["weight_OI"] == 1).all()


def test_a_step_takes_over_the_buffers_of_the_state_before(engine: JaxEngine, inputs: Any) -> None:
    on_device = engine.put(inputs)
    engine.step(on_device, 0.1, "fp32")
    before = engine._state
    taken = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((before.weights, before.average))}
    engine.step(on_device, 0.1, "fp32")
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
    after = jax.tree.leaves(engine._state)
    assert taken <= {leaf.unsafe_buffer_pointer() for leaf in after}
    assert not any(leaf.is_deleted() for leaf in (*after, *on_device))


def test_one_graph_serves_all_rates_and_weights(inputs: Any, start: Any) -> None:
    engine = engine_with()
    for _ in range(2):
        engine.set_weights(start)
        stepped(engine, inputs)
        engine.gradients(engine.put(inputs), "fp32")
        engine.losses(engine.put(inputs), "fp32")
        engine.score(engine.put(inputs), "fp32")
    graphs = (engine._steps, engine._gradients, engine._score)
    assert [graph["fp32"]._cache_size() for graph in graphs] == [1, 1, 1]  # type: ignore[attr-defined]


def test_a_loss_stays_on_the_device_until_its_value_is_asked_for(engine: JaxEngine, inputs: Any) -> None:
    loss = engine.step(engine.put(inputs), 0.1, "fp32")
    assert isinstance(loss, jax.Array) and loss.shape == () and loss.dtype == jnp.float32
    assert isinstance(engine.value(loss), float)


def test_losses_are_of_the_newest_weights_and_scores_of_the_average(engine: JaxEngine, inputs: Any) -> None:
    stepped(engine, inputs)
    on_device = engine.put(inputs)
    assert engine.losses(on_device, "fp32") == pytest.approx(losses_by_hand(engine.weights(), inputs), rel=1e-5)
    expected = losses_by_hand(engine.average(), inputs)
    losses, right = engine.score(on_device, "fp32")
    assert losses == pytest.approx(expected, rel=1e-5)
    assert losses.dtype == np.float32 and right.dtype == np.bool_
    assert np.array_equal(right, expected < 2) and 0 < right.sum() < 8


def test_gradients_are_of_the_mean_loss_and_change_nothing(engine: JaxEngine, start: Any, inputs: Any) -> None:
    found = engine.gradients(engine.put(inputs), "fp32")
    expected = gradient_by_hand(start, inputs)
    assert all(found[name] == pytest.approx(expected[name], rel=1e-5, abs=1e-6) for name in expected)
    assert all(np.array_equal(engine.weights()[name], start[name]) for name in start)


def test_bf16_shortens_what_goes_into_products_and_nothing_else(engine: JaxEngine) -> None:
    # 1 + 2^-9 is 1 in bfloat16, which keeps seven bits after the point; the bias keeps it in fp32.
    nearly = np.float32(1 + 2**-9)
    engine.set_weights({"weight_OI": np.full((3, 4), nearly), "bias_O": np.full(3, nearly)})
    on_device = engine.put((np.full((1, 4), nearly), np.zeros((1, 3), dtype=np.float32)))
    assert engine.losses(on_device, "bf16") == pytest.approx([1.5 * (4 + float(nearly)) ** 2], rel=1e-6)
    assert engine.losses(on_device, "fp32") == pytest.approx(
        [1.5 * (4 * float(nearly) ** 2 + float(nearly)) ** 2], rel=1e-6
    )
    assert engine.gradients(on_device, "bf16")["weight_OI"].dtype == np.float32


def test_the_loss_falls(engine: JaxEngine, inputs: Any) -> None:
    on_device = engine.put(inputs)
    losses = [engine.value(engine.step(on_device, 0.05, "bf16")) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_step_compiles_from_shapes_alone_and_is_the_step(engine: JaxEngine, inputs: Any) -> None:
    shapes = state_shapes(Linear())
    described = tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in inputs)
    step = jax.jit(train_step(Linear(), adamw_of(SETTINGS), "fp32"))
    compiled = step.lower(shapes, described, jax.ShapeDtypeStruct((), jnp.float32)).compile()
    on_device = engine.put(inputs)
    state, loss = compiled(engine._state, tuple(on_device), np.float32(0.1))
    assert isinstance(state, State)
    assert float(loss) == engine.value(engine.step(on_device, 0.1, "fp32"))
    assert np.array_equal(state.weights["weight_OI"], engine.weights()["weight_OI"])


@pytest.mark.slow
def test_two_devices_share_a_batch_and_step_as_one() -> None:
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(CHILD)], capture_output=True, text=True, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("key", "value", "fix"),
    [
        ("execution__compile", "inductor", r"execution.compile is inductor: .*use execution.compile=eager"),
        ("execution__threads", 4096, r"execution.threads is 4096: .*use execution.threads=0"),
    ],
)
def test_what_jax_cannot_do_is_unsupported_with_the_fix(key: str, value: Any, fix: str) -> None:
    with pytest.raises(Unsupported, match=fix):
        engine_with(**{key: value})


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell which processors are ours")
def test_as_many_threads_as_processors_are_what_xla_has() -> None:
    engine_with(execution__threads=len(os.sched_getaffinity(0)))
