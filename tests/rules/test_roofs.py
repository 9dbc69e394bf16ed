"""Rooflines: what an arithmetic intensity allows, and whose ceilings stand above a run."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.ceilings import Ceilings
from oildrop.rules.loading import load_rulebook
from oildrop.rules.measures.making import present
from oildrop.rules.peaks import stated_bytes_per_s, stated_flop_per_s
from oildrop.rules.records import Metric, RunSpec
from oildrop.rules.roofs import Roof, Roofline, roofline_of
from oildrop.rules.system import Accelerator, System

RULEBOOK = load_rulebook()


def headlines(**values: float) -> dict[str, Metric]:
    return {name: present(name, value, formula="f/1", scope="run") for name, value in values.items()}


KNOWN = headlines(arithmetic_intensity_flop_per_byte=100.0, model_flop_per_s=200e12)


def spec(backend: str = "torch-cuda", **settings: Any) -> RunSpec:
    return RunSpec.model_construct(backend=backend, settings={"execution.dtype": "bf16", **settings})


def h100() -> System:
    return System.model_construct(accelerators=(Accelerator.model_construct(model="NVIDIA H100 80GB HBM3"),))


@pytest.mark.parametrize(("intensity", "attainable"), [(1.0, 10.0), (9.9, 99.0), (10.0, 100.0), (1e6, 100.0)])
def test_the_lower_of_both_ceilings_counts(intensity: float, attainable: float) -> None:
    roof = Roof(source="stated", flop_per_s=100.0, bytes_per_s=10.0)
    assert roof.attainable_flop_per_s(intensity) == pytest.approx(attainable)


def test_one_ceiling_alone_allows_nothing_certain() -> None:
    assert Roof(source="stated", flop_per_s=100.0, bytes_per_s=None).attainable_flop_per_s(1.0) is None
    assert Roof(source="stated", flop_per_s=None, bytes_per_s=10.0).attainable_flop_per_s(1.0) is None


def test_stated_and_measured_ceilings_stand_above_one_device() -> None:
    measured = Ceilings(run_id="c", flop_per_s={"fp32": 50e12, "bf16": 700e12}, read_bytes_per_s=3e12)
    found = roofline_of(spec(**{"execution.devices": 2}), h100(), KNOWN, RULEBOOK, measured)
    assert found == Roofline(
        intensity=100.0,
        flop_per_s=100e12,
        roofs=(
            Roof(source="stated", flop_per_s=989.4e12, bytes_per_s=3350e9),
            Roof(source="measured", flop_per_s=700e12, bytes_per_s=3e12),
        ),
    )


def test_without_a_point_or_a_ceiling_there_is_nothing_to_draw() -> None:
    assert roofline_of(spec(), h100(), headlines(model_flop_per_s=1e12), RULEBOOK, None) is None
    assert roofline_of(spec(), System.model_construct(accelerators=()), KNOWN, RULEBOOK, None) is None
    assert roofline_of(spec("torch-cpu"), None, KNOWN, RULEBOOK, None) is None


@pytest.mark.parametrize(("cores", "share"), [(48, 0.5), (96, 1.0), (192, 2.0), (None, None)])
def test_part_of_a_processor_has_its_cores_share_of_the_peak_and_no_known_bandwidth(
    cores: int | None, share: float | None, toy_run: Any
) -> None:
    part = RULEBOOK.peaks_of("AMD EPYC 9654 96-Core Processor")
    assert part is not None
    cpu = toy_run.system.cpu.model_copy(update={"physical_cores": cores})
    system = toy_run.system.model_copy(update={"cpu": cpu})
    peak = None if share is None else pytest.approx(part.peak_flop_per_s["fp32"] * share)
    assert stated_flop_per_s(part, system, "fp32") == peak
    assert stated_bytes_per_s(part, system) == (None if share is None or share < 1 else 460.8e9 * share)
