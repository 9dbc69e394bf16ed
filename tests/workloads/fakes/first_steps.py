"""The first steps of a small decoder on several devices, and again from a snapshot: `BACKEND DEVICES SHARDING FILE`.

Rank 0 writes losses, digest, quality and weights to FILE as JSON; every rank checks that a restored task goes on to
the bit.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from oildrop.harness.devices.opening import open_device
from oildrop.rules.loading import load_rulebook
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import gate_settings, settings_of
from oildrop.workloads.registry import make_train_task
from oildrop.workloads.weights_hash import weights_sha256

SEED = 5
STEPS = 20
SMALL: dict[str, Scalar] = {
    "model.layers": 2,
    "model.width": 32,
    "model.heads": 2,
    "model.key_value_heads": 1,
    "model.hidden": 48,
    "evaluation.documents": 12,
    "evaluation.documents_per_batch": 4,  # fewer than eight devices, and the last batch is filled up
}


def main() -> None:
    backend, devices, sharding, file = sys.argv[1:]
    benchmark = load_rulebook().benchmarks["lm-pretrain"]
    tier = benchmark.tiers["smoke"]
    asked = {"execution.devices": int(devices), "execution.sharding": sharding}
    settings = {**settings_of(tier), **gate_settings(benchmark.gates, tier), **SMALL, **asked}
    task = make_train_task(benchmark.task, settings, open_device(backend))
    task.load_data()
    task.build()
    task.initialise(SEED)
    losses = []
    for step in range(STEPS):
        if step == STEPS - 5:
            state = task.snapshot()
        task.train_step()
        losses.append(task.last_loss())
    weights, digest, evaluation = weights_sha256(task.weights()), task.batch_digest(), task.evaluate()
    task.initialise(SEED + 1)
    task.train_step()
    task.restore(SEED, state)
    for _ in range(5):
        task.train_step()
    assert (weights_sha256(task.weights()), task.batch_digest()) == (weights, digest)
    assert np.array_equal(task.evaluate().loss_nats, evaluation.loss_nats)
    assert task.agreed(os.environ.get("RANK", os.environ.get("MLX_RANK", "0")) == "0")
    if os.environ.get("RANK", os.environ.get("MLX_RANK", "0")) == "0":
        found = {"losses": losses, "digest": digest, "documents": evaluation.loss_nats.tolist()}
        Path(file).write_text(json.dumps(found))


main()
