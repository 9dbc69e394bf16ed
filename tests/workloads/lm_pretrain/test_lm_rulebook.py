"""The benchmark file and its reference runs agree with each other and with what is asked of them."""

import math
import statistics
import tomllib
from importlib import resources
from typing import Any

import pytest

from oildrop.rules.loading import load_rulebook
from oildrop.workloads.lm_pretrain.reference import shape_of


def read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("oildrop.rules.v1").joinpath(name).read_text())


@pytest.fixture(scope="module")
def nano() -> dict[str, Any]:
    tier: dict[str, Any] = read("lm-pretrain.toml")["tiers"]["nano"]
    return tier


@pytest.fixture(scope="module")
def samples_to_target() -> list[float]:
    reference = load_rulebook().reference_of("lm-pretrain", "nano")
    assert reference is not None
    return list(reference.samples_to_target)


def test_twenty_seeds_reach_the_target_alike(samples_to_target: list[float]) -> None:
    variation = statistics.stdev(samples_to_target) / statistics.mean(samples_to_target)
    assert len(samples_to_target) >= 20
    assert variation <= 0.05


def test_it_takes_two_hundred_steps(samples_to_target: list[float], nano_settings: dict[str, Any]) -> None:
    assert min(samples_to_target) / nano_settings["data.documents_per_batch"] >= 200


def test_evaluations_are_close_enough_and_start_early_enough(
    samples_to_target: list[float], nano: dict[str, Any], nano_settings: dict[str, Any]
) -> None:
    schedule, median = nano["schedule"], statistics.median(samples_to_target)
    assert schedule["every"] <= 0.02 * median
    assert schedule["first"] < min(samples_to_target) - 2 * schedule["every"]
    for samples in (*schedule.values(), nano["cap_samples"]):
        assert samples % nano_settings["data.documents_per_batch"] == 0
    assert 3.5 * median < nano["cap_samples"] < 4.5 * median


def test_the_model_has_the_stated_number_of_parameters(nano_settings: dict[str, Any]) -> None:
    layer = 4 * 128 * 128 + 3 * 128 * 344 + 2 * 128
    by_hand = 4 * layer + 2 * 256 * 128 + 128
    assert by_hand == 857_216
    assert sum(math.prod(size) for size in shape_of(nano_settings).tensors().values()) == by_hand


def test_every_number_that_could_be_changed_has_bounds(nano_settings: dict[str, Any]) -> None:
    allowed = read("lm-pretrain.toml")["allowed"]
    unbounded = {"data.manifest"}  # any name: whether there is such a manifest is known where the run is
    own = {key for key in nano_settings if not key.startswith(("gates.", "limit."))}
    assert own - unbounded == set(allowed)
