"""Against which peak a run is held: that of all its devices, or of the cores that the machine has."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.case import Case
from oildrop.rules.measures.work import peak_of
from oildrop.rules.system import Accelerator

EPYC = "AMD EPYC 9654 96-Core Processor"


def peak(run: Any) -> float | str:
    return peak_of(Case(run.evidence(), run.rulebook))


def with_processor(run: Any, cores: int | None, model: str = EPYC) -> Any:
    cpu = run.system.cpu.model_copy(update={"model": model, "physical_cores": cores})
    run.system = run.system.model_copy(update={"cpu": cpu})
    return run


@pytest.mark.parametrize(("cores", "sockets"), [(96, 1), (192, 2), (2, 2 / 96)])
def test_a_processor_is_held_against_the_cores_that_are_there(toy_run: Any, cores: int, sockets: float) -> None:
    assert peak(with_processor(toy_run, cores)) == pytest.approx(96 * 3.7e9 * 32 * sockets, rel=1e-4)


def test_what_is_not_known_of_a_processor_is_a_reason(toy_run: Any) -> None:
    assert "how many cores" in str(peak(with_processor(toy_run, None)))
    assert "lists no dense peak for AMD EPYC" in str(peak(with_processor(toy_run, 4, "AMD EPYC")))


@pytest.mark.parametrize("devices", [1, 8])
def test_several_accelerators_are_held_against_the_peaks_of_all(toy_run: Any, devices: int) -> None:
    one = Accelerator.model_construct(model="NVIDIA H200")
    toy_run.system = toy_run.system.model_copy(update={"accelerators": (one,) * devices})
    settings = {**toy_run.spec.settings, "execution.devices": devices, "execution.dtype": "bf16"}
    toy_run.spec = toy_run.spec.model_copy(update={"backend": "torch-cuda", "settings": settings})
    assert peak(toy_run) == devices * 989.5e12
