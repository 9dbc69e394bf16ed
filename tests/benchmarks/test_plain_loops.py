"""The plain loops do the task's work: as many parameters as ours, AdamW, and a running average of the weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oildrop.workloads.lm_pretrain.reference import ModelShape

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SHAPE = {"width": 16, "heads": 2, "hidden": 24, "layers": 2}


def leaves(tree: Any) -> list[np.ndarray]:
    """The arrays of nested dictionaries and lists, in order of names."""
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    if isinstance(tree, (list, tuple)):
        return [leaf for branch in tree for leaf in leaves(branch)]
    # NumPy's own copy of a PyTorch tensor warns.
    return [tree.detach().numpy().copy() if hasattr(tree, "detach") else np.array(tree)]


def weights_and_average(framework: str, loop: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    if framework == "torch":
        return leaves(list(loop.model.parameters())), leaves(loop.average)
    if framework == "jax":
        return leaves(loop.parameters), leaves(loop.average)
    return leaves(loop.state[0]), leaves(loop.average["of"])


@pytest.fixture(params=["torch", "jax", "mlx"])
def framework(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    if request.param == "jax":
        import_module("jax").config.update("jax_platforms", "cpu")
    yield request.param
    sys.modules.pop(f"plain_{request.param}", None)


@pytest.mark.slow
def test_a_plain_loop_trains_as_many_parameters_and_averages_them(framework: str) -> None:
    loop = import_module(f"plain_{framework}").PlainLoop(batch=2, length=8, vocabulary=32, **SHAPE)
    shape = ModelShape(vocabulary=32, positions=8, key_value_heads=2, norm_epsilon=1e-5, rotary_base=1e4, **SHAPE)
    first, mean = weights_and_average(framework, loop)
    assert sum(array.size for array in first) == sum(prod(dims) for dims in shape.tensors().values())
    assert all(np.array_equal(a, b) for a, b in zip(first, mean, strict=True))
    for _ in range(2):
        loop.step()
        moved, average = weights_and_average(framework, loop)
        for before, after, expected in zip(mean, average, moved, strict=True):
            assert after == pytest.approx(0.95 * before + 0.05 * expected, rel=1e-5, abs=1e-7)
        mean = average
    # Two of Adam's first steps at a rate of 1e-3 move an element by some 2e-3, unless its gradient is next to nothing.
    steps = np.concatenate([np.abs(new - old).ravel() for new, old in zip(moved, first, strict=True)])
    assert 1.0e-3 < np.median(steps) < 2.1e-3
    assert loop.steps_per_s(2) > 0
