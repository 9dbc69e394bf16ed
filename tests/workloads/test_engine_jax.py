"""The JAX engine: the contract of every engine, and what it alone promises."""

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
from engine_contract import SETTINGS, SHAPES, EngineContract, inputs, settings_with, start, stepped

from oildrop.rules.errors import Unsupported
from oildrop.workloads.engine import adamw_of
from oildrop.workloads.engine_jax import JaxEngine, State, state_shapes, train_step
from oildrop.workloads.products_jax import linear

# Other platforms' parts may be installed; asking for them takes time and prints.
jax.config.update("jax_platforms", "cpu")

CHILD = Path(__file__).parent / "fakes" / "jax_on_two_devices.py"
__all__ = ["inputs", "start"]  # fixtures


class Linear:
    """The contract's model."""

    def tensors(self) -> dict[str, tuple[int, ...]]:
        return SHAPES

    def losses(self, weights: Any, x_BI: Any, y_BO: Any, *, dtype: str) -> jax.Array:
        off_BO = linear(x_BI, weights["weight_OI"], dtype).astype(jnp.float32) + weights["bias_O"] - y_BO
        return 0.5 * jnp.square(off_BO).sum(axis=-1)

    def score(self, weights: Any, *inputs: Any, dtype: str) -> tuple[jax.Array, jax.Array]:
        losses_B = self.losses(weights, *inputs, dtype=dtype)
        return losses_B, losses_B < 2


@pytest.fixture(scope="module")
def built() -> JaxEngine:
    return engine_with()


@pytest.fixture
def engine(built: JaxEngine, start: Any) -> JaxEngine:
    built.set_weights(start)
    return built


def engine_with(**changed: Any) -> JaxEngine:
    device: Any = SimpleNamespace(backend="jax-cpu", handle=jax.devices("cpu")[0])
    made = JaxEngine(Linear(), settings_with(**changed), device)
    made.build()
    return made


class TestJaxEngine(EngineContract):
    """The contract."""


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
def test_as_many_threads_as_processors_are_what_xla_has(start: Any, inputs: Any) -> None:
    engine = engine_with(execution__threads=len(os.sched_getaffinity(0)))
    engine.set_weights(start)
    x_BI, y_BO = (array.astype(np.float64) for array in inputs)
    off_BO = x_BI @ start["weight_OI"].astype(np.float64).T + start["bias_O"] - y_BO
    assert engine.losses(engine.put(inputs), "fp32") == pytest.approx(0.5 * (off_BO**2).sum(1), rel=1e-6)
