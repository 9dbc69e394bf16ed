"""JAX's devices, tried on the processor in a child process (`fakes/jax_on_cpu.py`): JAX and PyTorch do not mix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHILD = Path(__file__).parents[1] / "fakes" / "jax_on_cpu.py"


@pytest.fixture(scope="module")
def found() -> Any:
    environment = {**os.environ, "JAX_PLATFORMS": "cuda"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(CHILD)], capture_output=True, text=True, env=environment, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_processor_opens_and_computes_whatever_the_environment_asked_for(found: Any) -> None:
    assert (found["platform"], found["facts"], found["computed"]) == ("cpu", ["cpu"], 27.0)


def test_products_are_strict_fp32_whatever_was_set_before_and_the_record_says_so(found: Any) -> None:
    runtime = found["runtime"]
    assert runtime["default_matmul_precision"] == "highest" and runtime["fp32_products"] == "exact"
    assert runtime["backend"] == "jax-cpu" and runtime["version"] and runtime["jaxlib"]
    assert runtime["threads"] == len(os.sched_getaffinity(0))


def test_a_product_that_rounds_its_factors_is_refused(found: Any) -> None:
    assert found["rounding"].startswith("jax-cpu: an fp32 matrix product is off by")


@pytest.mark.parametrize("result", ["kept", "dropped"])
def test_synchronize_waits_for_all_work_whether_anyone_keeps_its_result_or_not(result: str, found: Any) -> None:
    times = found[result]
    assert times["waited_s"] > 0.3 * times["work_s"]
    assert times["left_s"] < 0.1 * times["work_s"]


def test_memory_is_the_allocators_peak_or_on_the_processor_the_resident_set(found: Any) -> None:
    assert found["memory_of_gpu"] == [7, None]
    assert 30e6 < found["memory"] < 10e9


def test_only_what_xla_could_not_allocate_is_out_of_memory(found: Any) -> None:
    assert found["out_of_memory"] == [True, False]


def test_bf16_needs_compute_capability_8(found: Any) -> None:
    old, *others = found["bf16"]
    assert "7.5" in old and others == [None, None, None]


def test_a_platform_without_its_part_is_unsupported_with_what_it_needs(found: Any) -> None:
    assert found["no_plugin"].startswith("jax-rocm: JAX ")
    assert "it needs JAX's part for rocm" in found["no_plugin"]


def test_another_platform_in_the_same_process_is_refused_rather_than_run_on_the_processor(found: Any) -> None:
    assert "jax-cuda" in found["other_platform"] and "fresh" in found["other_platform"]


def test_no_uuid_comes_with_a_reason(found: Any) -> None:
    assert found["uuids"] == [] and found["runtime"]["device_uuid_reason"]
