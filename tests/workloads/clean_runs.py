"""How far right implementations are from the reference: `pytest -s tests/workloads/clean_runs.py [-k "jax and lm"]`.

Not collected with the tests; takes minutes a framework. The limits of the gates come from it (docs/decisions/013).
`CLEAN_RUNS` is the number of gate seeds, 40 unless set.
"""

from __future__ import annotations

import os
from collections import defaultdict
from statistics import median
from typing import Any

import pytest

from oildrop.harness.devices.opening import open_device
from oildrop.workloads.gates import measure
from oildrop.workloads.registry import make_train_task

SEEDS = range(1000, 1000 + int(os.environ.get("CLEAN_RUNS", "40")))
SHAPES = {
    "lm-tiny": ("lm_pretrain", "tiny_settings"),
    "lm-nano": ("lm_pretrain", "nano_settings"),
    "image-small": ("image_classify", "small_settings"),
    "image-nano": ("image_classify", "full_settings"),
}


@pytest.mark.timeout(0)
@pytest.mark.parametrize("framework", ["torch", "jax", "mlx"])
@pytest.mark.parametrize("shape", SHAPES)
def test_print(shape: str, framework: str, request: Any) -> None:
    task_name, fixture = SHAPES[shape]
    threads = {} if framework == "torch" else {"execution.threads": 0}
    settings = request.getfixturevalue(fixture) | {"execution.dtype": "bf16"} | threads
    device = open_device(f"{framework}-cpu")
    task: Any = make_train_task(task_name, settings, device)
    task.load_data()
    task._engine.build()
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for seed in SEEDS:
        lesson = type(task._lesson)(settings | {"gates.seed": seed})
        lesson.load()
        case = lesson.gate_case()
        for dtype in ("fp32", "bf16"):
            for name, value in measure(task._engine, case, settings, dtype):
                found[dtype, name].append(value)
    for (dtype, name), values in found.items():
        limit = settings[f"gates.limits.{dtype}.{name}"]
        spread = f"{min(values):.1e} / {median(values):.1e} / {max(values):.1e}"
        print(f"| {shape} | {framework} | {dtype} | {name} | {spread} | {limit} |", flush=True)
