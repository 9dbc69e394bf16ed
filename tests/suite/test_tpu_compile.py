"""Real compilations for TPU slices by libtpu, without a TPU; skipped where libtpu is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from oildrop.harness.compile_child import NO_CHIP_NEEDED
from oildrop.rules.errors import Unsupported
from oildrop.rules.loading import load_rulebook
from oildrop.rules.settings import resolve
from oildrop.suite.plan_compile import compile_plan, require_compiler, wanted
from oildrop.suite.plan_sizes import job_of
from oildrop.suite.plan_targets import GENERATIONS, targets

LIMIT_S = 110.0
NANO = ("tpu:v4-8", "tpu:v5e-4", "tpu:v5p-8", "tpu:v6e-4")
NANO_PARAMETERS = 857_216


def why_no_compiler() -> str:
    try:
        require_compiler()
    except Unsupported as error:
        return str(error)
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(bool(why_no_compiler()), reason=why_no_compiler() or "there is a compiler"),
]


def plan(tier: str, target: str, mesh: str | None = None, benchmark: str = "lm-pretrain", **changes: str) -> Any:
    rulebook = load_rulebook()
    found = rulebook.benchmarks[benchmark]
    named = {key.replace("__", "."): value for key, value in changes.items()}
    job = job_of(found, found.tiers[tier], resolve(found, tier, "open", named).settings)
    return compile_plan(wanted(rulebook, job, target, mesh), limit_s=LIMIT_S)


@pytest.fixture(scope="module")
def nano() -> dict[str, Any]:
    """Tier nano on four chips of each generation, and that of images on one's; two compilers at a time."""
    with ThreadPoolExecutor(2) as pool:
        images = pool.submit(plan, "nano", "tpu:v5e-4", benchmark="image-classify")
        found = dict(zip(NANO, pool.map(lambda target: plan("nano", target), NANO), strict=True))
        return {**found, "images": images.result()}


@pytest.mark.parametrize("target", NANO)
def test_nano_fits_with_its_whole_state_on_every_chip(nano: dict[str, Any], target: str) -> None:
    """State by hand: weight, average and two moments, 16 bytes a parameter; donated, so it lies there once."""
    found = nano[target]
    assert found["fits"] is True and found["chips"] == 4
    part = load_rulebook().peaks_of(found["device_kind"])
    assert part is not None and part.name == found["device"]
    memory, state = found["memory"], 16 * NANO_PARAMETERS
    assert state < memory["arguments"] < 1.01 * state
    assert state <= memory["aliased"] < 1.01 * state
    assert memory["total"] < 0.01 * found["memory_bytes"]


@pytest.mark.parametrize("target", NANO)
def test_chips_exchange_gradients_alone_and_in_one_sum(nano: dict[str, Any], target: str) -> None:
    exchanges = nano[target]["collectives"]
    assert exchanges.pop("all-reduce") >= 1
    assert set(exchanges.values()) == {0}


@pytest.mark.parametrize("target", NANO)
def test_xla_counts_as_many_flops_as_the_formula_within_a_fifth(nano: dict[str, Any], target: str) -> None:
    """It counts all pairs of positions where the formula counts causal ones, and the arithmetic beside products."""
    assert 1.0 < nano[target]["xla_flop_per_step"] / nano[target]["flop_per_step"] < 1.2


def test_small_shares_its_batch_among_four_chips() -> None:
    """123.5 M parameters at 16 bytes, whole on every chip; each has a quarter of the batch's activations."""
    found = plan("small", "tpu:v5e-4")
    state = 16 * 123_489_024
    assert found["fits"] is True and found["chips"] == 4
    assert state < found["memory"]["arguments"] < 1.01 * state
    assert 0.4 < found["memory"]["total"] / found["formula_bytes"] < 1.0
    assert 1.0 < found["xla_flop_per_step"] / found["flop_per_step"] < 1.1


def test_sharded_state_is_gathered_once_a_matrix() -> None:
    """By hand: two layers of four matrices, embedding and head make ten gathers; a chip has a quarter of each.

    Five norms, 640 of the 461,440 parameters, are whole.
    """
    found = plan("smoke", "tpu:v5e-4", "data=4", execution__sharding="sharded")
    assert found["collectives"]["all-gather"] == 10
    state = 16 * ((461_440 - 640) / 4 + 640)
    assert state < found["memory"]["arguments"] < 1.03 * state


def test_images_are_shared_along_their_samples(nano: dict[str, Any]) -> None:
    found = nano["images"]
    assert found["fits"] is True and found["formula_bytes"] is None
    assert found["collectives"]["all-reduce"] >= 1


def test_a_program_that_is_too_large_is_refused_with_the_compilers_words() -> None:
    """1.6 G parameters in fp32 with their moments take 24 GiB; a v5e chip has 16."""
    large = {"model__layers": "1", "model__width": "4096", "model__hidden": "131072"}
    found = plan("smoke", "tpu:v5e-1", **large)
    assert found["fits"] is False and found["memory"] is None
    assert "RESOURCE_EXHAUSTED" in found["refused"] and "15.75G" in found["refused"]
    assert any("--compile tpu:v5e-4" in change for change in found["advice"])


def test_every_named_slice_has_its_chips_and_takes_every_even_mesh() -> None:
    """libtpu is asked for each; a child does it, as JAX shares a process with no other framework."""
    named = [target for generation in GENERATIONS.values() for target in targets(generation)]
    asked = [(target.topology, target.generation.chip_config) for target in named]
    code = (
        "from oildrop.workloads.partition import Mesh\n"
        "from oildrop.workloads.topology_jax import Slice, chips_of, mesh_of\n"
        f"for name, config in {asked!r}:\n"
        "    chips = chips_of(Slice(topology=name, chip_config=config))\n"
        "    models = [model for model in (1, 2, 4, 8) if len(chips) % model == 0]\n"
        "    meshes = [mesh_of(chips, Mesh(data=len(chips) // model, model=model)) for model in models]\n"
        "    print(*({len(set(mesh.devices.flat)) for mesh in meshes}))\n"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], env={**os.environ, **NO_CHIP_NEEDED}, capture_output=True, text=True,
        check=False, timeout=LIMIT_S,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split() == [str(target.chips) for target in named]
