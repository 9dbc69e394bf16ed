"""What the gates of served decoders read on clean runs, as a table: `pytest -s …/lm_generate/clean_gates.py`.

Not collected with the tests. The table is kept in docs/decisions/016.
"""

from __future__ import annotations

from statistics import median
from typing import Any

import pytest

from oildrop.harness.devices.opening import open_device
from oildrop.workloads.lm_generate.gate_case import serve_case
from oildrop.workloads.lm_generate.gates import measure
from oildrop.workloads.lm_generate.serving import unbuilt_generator

FORMS = (("fp32", "as-trained"), ("bf16", "as-trained"), ("bf16", "int8"), ("bf16", "int4"))
TINY_SEEDS, NANO_SEEDS = range(1000, 1040), range(5000, 5004)


def values(backend: str, settings: dict[str, Any], seeds: range) -> dict[str, list[float]]:
    """Each gate's values over the gate seeds, on one engine."""
    device: Any = open_device(backend)
    generator = unbuilt_generator(settings, device)
    generator.build()
    found: dict[str, list[float]] = {}
    slots, at_once = int(settings["execution.slots"]), int(settings["execution.prefill_requests"])
    for seed in seeds:
        for name, value in measure(generator, serve_case({**settings, "gates.seed": seed}), slots, at_once):
            found.setdefault(name, []).append(value)
    return found


@pytest.mark.timeout(0)
@pytest.mark.parametrize("backend", ["torch-cpu", "jax-cpu", "mlx-cpu"])
def test_print(backend: str, tiny_settings: dict[str, Any], served_nano: dict[str, Any]) -> None:
    for dtype, scheme in FORMS:
        form = {"execution.dtype": dtype, "execution.weights": scheme}
        small = values(backend, tiny_settings | form, TINY_SEEDS)
        nano = values(backend, served_nano | form, NANO_SEEDS)
        for gate in small:
            every = small[gate] + nano[gate]
            cells = (min(every), median(every), max(every), max(nano[gate]))
            print(
                f"| {backend} | {dtype} {scheme} | {gate} | " + ", ".join(f"{cell:.1e}" for cell in cells) + " |",
                flush=True,
            )
