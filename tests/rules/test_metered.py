"""What a run says of its energy when its meter is at fault: a finding, and nothing where a number would mislead."""

from __future__ import annotations

from typing import Any

import meter_breakers as broken
import pytest

from oildrop.rules.judge import judge

RUN_S = 4.3
TRUE_J = broken.POWER_W * RUN_S


def judged(run: Any) -> tuple[Any, set[str]]:
    judgement = judge(run.evidence(), run.rulebook)
    return judgement.headline("energy_j"), {finding.rule for finding in judgement.findings}


def test_a_sound_meter_gives_the_energy(toy_run: Any) -> None:
    broken.sound_meter(toy_run)
    energy, rules = judged(toy_run)
    assert energy.value == pytest.approx(TRUE_J, rel=1e-6) and energy.status == "measured" and rules == set()


@pytest.mark.parametrize(
    ("fault", "rule", "reason"),
    [
        (broken.permission_lost, "R060", "stopped answering: no permission"),
        (broken.gap_in_power, "R060", "a gap of"),
        (broken.frozen, "R061", "stood at 7 J"),
        (broken.backward, "R061", "went backward"),
        (broken.second_die_at_zero, "R062", "one of them has the wrong unit"),
        (broken.milliwatts, "R063", "a mean power of 5e+04 W is not possible"),
    ],
)
def test_a_fault_leaves_a_finding_and_no_number(toy_run: Any, fault: Any, rule: str, reason: str) -> None:
    fault(toy_run)
    energy, rules = judged(toy_run)
    assert energy.value is None and energy.status == "not_measured"
    assert rule in rules and reason in energy.reason


def test_a_frozen_counter_beside_sound_power_leaves_the_power(toy_run: Any) -> None:
    broken.frozen(toy_run)
    broken.series(toy_run, "power_w", [broken.POWER_W] * len(broken.times_s(toy_run)))
    energy, rules = judged(toy_run)
    assert energy.value == pytest.approx(TRUE_J) and rules == {"R061"}


def test_sources_a_tenth_apart_widen_the_uncertainty_over_both(toy_run: Any) -> None:
    broken.apart_by_a_tenth(toy_run)
    energy, rules = judged(toy_run)
    assert rules == {"R062"} and energy.value == pytest.approx(1.1 * TRUE_J)
    assert energy.value - energy.uncertainty <= TRUE_J + 1e-6


def test_a_sensor_in_step_may_have_missed_three_quarters(toy_run: Any) -> None:
    broken.in_step(toy_run)
    energy, rules = judged(toy_run)
    # Unseen were 75 %; they drew between 0 and the limit of 100 W, twice what was seen.
    assert "R064" in rules and energy.uncertainty == pytest.approx(0.75 * TRUE_J)


def test_without_a_limit_the_uncertainty_of_a_sensor_in_step_is_unknown(toy_run: Any) -> None:
    broken.meter(toy_run, update_period_s=0.5, seen_fraction=0.25)
    broken.series(toy_run, "power_w", [broken.POWER_W] * len(broken.times_s(toy_run)))
    energy, rules = judged(toy_run)
    assert "R064" in rules and energy.value == pytest.approx(TRUE_J) and energy.uncertainty is None


def test_a_short_window_keeps_its_number(toy_run: Any) -> None:
    broken.slow(toy_run)
    energy, rules = judged(toy_run)
    assert rules == {"R065"} and energy.value == pytest.approx(TRUE_J)


def test_a_modelled_meter_says_so_in_every_metric(toy_run: Any) -> None:
    broken.meter(toy_run, status="modelled", least_window_s=60.0)
    broken.series(toy_run, "power_w", [broken.POWER_W] * len(broken.times_s(toy_run)))
    judgement = judge(toy_run.evidence(), toy_run.rulebook)
    names = ("energy_j", "power_w", "energy_per_token_j", "energy_to_target_j")
    assert {judgement.headline(name).status for name in names} == {"modelled"}
    (short,) = judgement.findings
    assert short.rule == "R065" and "60 s are wanted" in short.message


def test_the_certificates_uncertainty_is_added(toy_run: Any) -> None:
    broken.meter(toy_run, uncertainty=0.01)
    broken.series(toy_run, "power_w", [broken.POWER_W] * len(broken.times_s(toy_run)))
    energy, _ = judged(toy_run)
    assert energy.uncertainty == pytest.approx(0.01 * TRUE_J)


def test_a_slow_meter_is_integrated_over_its_own_period(toy_run: Any) -> None:
    broken.meter(toy_run, update_period_s=2.2)
    times = broken.times_s(toy_run)
    broken.series(toy_run, "power_w", [broken.POWER_W] * 3, t_s=[times[0], times[0] + 2.3, times[-1]])
    energy, rules = judged(toy_run)
    assert energy.value == pytest.approx(TRUE_J) and rules == {"R065"}
