"""The nano decoder's tiny sister on one host device and on two: the same losses and weights, each half of the batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import settings_of
from oildrop.workloads.engine_jax import JaxEngine, data_parallel
from oildrop.workloads.lm_pretrain.model_jax import make_model
from oildrop.workloads.lm_pretrain.reference import gate_weights

SMALL = {"model.layers": 1, "model.width": 16, "model.heads": 2, "model.key_value_heads": 1, "model.hidden": 24}
SETTINGS = settings_of(load_rulebook().benchmarks["lm-pretrain"].tiers["nano"]) | SMALL
TOKENS = np.random.default_rng(1).integers(0, 256, (4, 65)).astype(np.int32)
DEVICE: Any = SimpleNamespace(backend="jax-cpu", handle=jax.devices()[0])


def trained(layout: Any) -> tuple[JaxEngine, list[float]]:
    model = make_model(SETTINGS)
    engine = JaxEngine(model, SETTINGS, DEVICE, layout)
    engine.build()
    engine.set_weights(gate_weights(model.shape, 3, 0.06))
    losses = [engine.value(engine.step(engine.put((TOKENS,)), 1e-3, "fp32")) for _ in range(3)]
    return engine, losses


def main() -> None:
    one, losses_of_one = trained(None)
    two, losses_of_two = trained(data_parallel(jax.devices()))
    np.testing.assert_allclose(losses_of_two, losses_of_one, rtol=1e-6)
    for found, expected in zip(two.average().values(), one.average().values(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    (tokens,) = two.put((TOKENS,))
    assert [shard.data.shape for shard in tokens.addressable_shards] == [(2, 65), (2, 65)]
    assert all(len(leaf.addressable_shards) == 2 for leaf in jax.tree.leaves(two._state))
    assert two._steps["fp32"]._cache_size() == 1  # type: ignore[attr-defined]


main()
