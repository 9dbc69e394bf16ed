"""Shares of measured ceilings: whose they are, which calibration counts, and what is never said."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules.ceilings import key_of, newest_ceilings, shares_of
from oildrop.rules.loading import load_rulebook
from oildrop.rules.measures.making import present
from oildrop.rules.records import Judgement, Metric, RunSpec

RULEBOOK = load_rulebook()


def spec(**changes: Any) -> RunSpec:
    fields = {
        "run_id": "a", "created_utc": "2026-11-28T00:00:00.000Z", "benchmark": "calibrate", "tier": "nano",
        "backend": "torch-cpu", "kind": "calibrate", "settings": {"execution.threads": 0, "execution.dtype": "fp32"},
        "system_id": "system", "software_id": "software",
    }  # fmt: skip
    return RunSpec.model_construct(**{**fields, **changes})


def calibrated(flop_per_s: float, *, outcome: str = "ok", **changes: Any) -> tuple[RunSpec, Judgement]:
    made = [
        present("matmul_flop_per_s", flop_per_s, formula="f/1", scope="device", dims={"dtype": "fp32"}),
        present("matmul_flop_per_s", 4 * flop_per_s, formula="f/1", scope="device", dims={"dtype": "bf16"}),
        present("read_bandwidth_bytes_per_s", 8e9, formula="f/1", scope="device"),
    ]
    return spec(**changes), Judgement.model_construct(outcome=outcome, metrics=tuple(made))


def headlines(**values: float) -> dict[str, Metric]:
    return {name: present(name, value, formula="f/1", scope="run") for name, value in values.items()}


def test_a_run_is_held_against_the_ceiling_of_its_own_number_format() -> None:
    found = newest_ceilings([calibrated(100e9)], RULEBOOK)
    trained = spec(run_id="b", kind="to_target", benchmark="lm-pretrain")
    (share,) = shares_of(trained, headlines(model_flop_per_s=25e9), found[key_of(trained)])
    assert (share.name, share.value, share.status) == ("ceiling_flop_fraction", 0.25, "derived")
    assert share.dims == {"calibration": "a"}
    half = spec(kind="to_target", settings={"execution.dtype": "bf16"})
    (share,) = shares_of(half, headlines(model_flop_per_s=100e9), found[key_of(half)])
    assert share.value == 0.25


def test_decoding_is_held_against_the_read_bandwidth() -> None:
    found = newest_ceilings([calibrated(100e9)], RULEBOOK)
    served = spec(kind="serve", benchmark="lm-generate")
    shares = shares_of(served, headlines(decode_read_bytes_per_s=2e9, model_flop_per_s=10e9), found[key_of(served)])
    assert {share.name: share.value for share in shares} == {
        "ceiling_flop_fraction": 0.1,
        "ceiling_read_fraction": 0.25,
    }


def test_accelerators_that_share_their_work_are_held_against_one_ceiling_each() -> None:
    found = newest_ceilings([calibrated(100e9, backend="torch-cuda")], RULEBOOK)
    two = spec(kind="to_target", backend="torch-cuda", settings={"execution.dtype": "fp32", "execution.devices": 2})
    (share,) = shares_of(two, headlines(model_flop_per_s=100e9), found[key_of(two)])
    assert share.value == 0.5


def test_the_newest_good_calibration_counts() -> None:
    late, early = "2026-11-29T00:00:00.000Z", "2026-11-27T00:00:00.000Z"
    runs = [
        calibrated(1e9),
        calibrated(2e9, run_id="b", created_utc=late),
        calibrated(3e9, created_utc=early),
        calibrated(4e9, created_utc=late + "Z", outcome="invalid"),
        calibrated(5e9, created_utc=late + "Z", tier="smoke"),
        calibrated(6e9, created_utc=late + "Z", tier="unknown"),
    ]
    (found,) = newest_ceilings(runs, RULEBOOK).values()
    assert (found.run_id, found.flop_per_s["fp32"]) == ("b", 2e9)


@pytest.mark.parametrize(
    "other",
    [
        {"system_id": "another"}, {"software_id": "another"}, {"backend": "jax-cpu"},
        {"settings": {"execution.threads": 1, "execution.dtype": "fp32"}},
    ],
)  # fmt: skip
def test_another_machine_software_backend_or_number_of_threads_is_not_held_against_it(other: dict[str, Any]) -> None:
    found = newest_ceilings([calibrated(1e9)], RULEBOOK)
    assert key_of(spec(kind="to_target", **other)) not in found


def test_nothing_is_said_where_a_part_is_missing() -> None:
    (found,) = newest_ceilings([calibrated(1e9)], RULEBOOK).values()
    assert shares_of(spec(kind="to_target"), {}, found) == ()
    assert shares_of(spec(kind="to_target"), headlines(model_flop_per_s=1e9), None) == ()
    assert shares_of(spec(), headlines(model_flop_per_s=1e9), found) == ()
    narrow = spec(kind="to_target", settings={"execution.dtype": "fp8"})
    assert shares_of(narrow, headlines(model_flop_per_s=1e9), found) == ()
