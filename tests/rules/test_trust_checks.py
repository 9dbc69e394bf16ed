"""What a machine did to a run is found beyond its limit, and not within it."""

from __future__ import annotations

from typing import Any

import pytest
import trust_breakers as machine

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.judge import judge
from oildrop.rules.records import Colocation
from oildrop.rules.steady_rates import rates_of
from oildrop.rules.system import saves_power


def findings(run: Any) -> dict[str, str]:
    return {finding.rule: finding.message for finding in judge(run.evidence(), run.rulebook).findings}


@pytest.mark.parametrize(
    ("seconds", "said"), [((0.010, 0.0111), "11% longer after"), ((0.012, 0.01), "20% longer before")]
)
def test_a_canary_that_slowed_says_when(toy_run: Any, seconds: tuple[float, float], said: str) -> None:
    machine.canaries(toy_run, *seconds)
    assert said in findings(toy_run)["R080"]


def test_a_canary_within_a_tenth_is_no_finding(toy_run: Any) -> None:
    machine.canaries(toy_run, 0.010, 0.0109, usual_s=0.00995, usual_runs=5)
    assert findings(toy_run) == {}


def test_a_canary_is_held_to_what_is_usual_on_the_machine(toy_run: Any) -> None:
    machine.canaries(toy_run, 0.015, 0.0151, usual_s=0.010, usual_runs=5)
    judged = judge(toy_run.evidence(), toy_run.rulebook)
    assert [(found.rule, found.message) for found in judged.findings] == [
        ("R080", "after the run the host's canary took 51% longer than usual here (5 earlier runs); at most 10 %")
    ]


def test_canaries_of_other_work_are_not_compared(toy_run: Any) -> None:
    machine.canaries(toy_run, 0.010, 0.050)
    toy_run.find(keys.CANARY, 1)["meta"]["work"] = "products"
    assert findings(toy_run) == {}


def test_the_share_of_others_is_what_the_run_did_not_use(toy_run: Any) -> None:
    """Both processors worked 95 % of the time, 80 % of it for the run: 15 % of it was others'."""
    machine.busy_neighbours(toy_run)
    assert findings(toy_run) == {"R081": "programs outside the run used 15% of processor time meanwhile; at most 10%"}


def test_a_busy_run_alone_is_no_finding_and_a_measured_servers_is_not_asked(toy_run: Any, make_run: Any) -> None:
    machine.worked(toy_run, 0.99, 0.90)
    assert findings(toy_run) == {}
    served = make_run()
    machine.busy_neighbours(served)
    served.spec = served.spec.model_copy(update={"backend": "endpoint"})
    assert "R081" not in findings(served)


def test_a_run_that_is_declared_to_be_beside_another_shares_the_machine(toy_run: Any) -> None:
    machine.busy_neighbours(toy_run)
    toy_run.add(keys.PROCESS, 0.0, "worker-0", proc="supervisor", device_ids=["d"])
    toy_run.rows.insert(1, toy_run.rows.pop())
    machine.sampled(toy_run, "process_count", [2] * 9)
    assert {"R081", "R082"} <= set(findings(toy_run))
    run_id = "20261122-000000-000000-bbbbbb"
    place = Colocation(experiment_id=run_id, pair=1, beside_run_id=run_id, beside_workload_id="w", beside="toy")
    toy_run.spec = toy_run.spec.model_copy(update={"colocation": place})
    assert not {"R081", "R082"} & set(findings(toy_run))
    machine.state(toy_run, "after", accelerator_processes=1)
    assert "R082" not in findings(toy_run)
    machine.state(toy_run, "after", accelerator_processes=2)
    assert "after the run 2 compute processes" in findings(toy_run)["R082"]


def test_neighbours_on_the_runs_own_device_are_told_from_its_own_processes(toy_run: Any) -> None:
    toy_run.add(keys.PROCESS, 0.0, "worker-0", proc="supervisor", device_ids=["d"])
    toy_run.rows.insert(1, toy_run.rows.pop())
    machine.sampled(toy_run, "process_count", [1] * 9)
    machine.sampled(toy_run, "process_count", [3] * 9, device="another")
    assert findings(toy_run) == {}
    machine.sampled(toy_run, "process_count", [1] * 8 + [2])
    assert "up to 2 compute processes were on a device of which the run has 1" in findings(toy_run)["R082"]


def test_one_hot_sample_in_a_hundred_is_let_pass_and_a_power_cap_is_no_heat(toy_run: Any) -> None:
    machine.sampled(toy_run, "throttle_bits", [0x4] * 99 + [0x40])
    assert findings(toy_run) == {}
    machine.sampled(toy_run, "throttle_bits", [0x4] * 98 + [0x40, 0x80])
    assert "in 2% of samples the accelerator was held back by heat (hardware), power brake" in findings(toy_run)["R083"]


def test_caps_that_nobody_knows_are_not_compared(toy_run: Any) -> None:
    machine.state(toy_run, "before", accelerator_power_limits_w=[None, 700.0], power_cap_w=None)
    machine.state(toy_run, "after", accelerator_power_limits_w=[500.0, 701.0], power_cap_w=95.0)
    assert findings(toy_run) == {}
    machine.state(toy_run, "before", power_cap_w=120.0)
    assert findings(toy_run) == {"R084": "the power cap of the processors was 120 W before the run and 95 W after it"}


def test_a_clock_may_fall_by_a_tenth(toy_run: Any) -> None:
    machine.sampled(toy_run, "gpu_clock_hz", [2.0e9] * 4 + [1.0e9] * 4 + [1.8e9] * 4)
    assert findings(toy_run) == {}


@pytest.mark.parametrize(
    ("governor", "driver", "saves"),
    [("powersave", "acpi-cpufreq", True), ("performance+powersave", None, True), ("powersave", "intel_pstate", False),
     ("schedutil", None, False), (None, None, False), ("conservative", "acpi-cpufreq", True)],
)  # fmt: skip
def test_governors_that_save_power(toy_run: Any, governor: str | None, driver: str | None, saves: bool) -> None:
    assert saves_power(governor, driver) is saves
    machine.state(toy_run, "before", governor=governor, frequency_driver=driver)
    assert ("R087" in findings(toy_run)) is saves


def test_a_trend_is_told_with_its_ratio(toy_run: Any) -> None:
    """Blocks grow from 100 to 119 ms: medians of the outer thirds are 102.5 and 116.5 ms."""
    machine.slowing_training(toy_run)
    assert "slowing down: in the last third of the run 0.88 of that in the first" in findings(toy_run)["R088"]
    machine.blocks(toy_run, [0.119 - 0.001 * k for k in range(20)])
    assert "still warming up" in findings(toy_run)["R088"]


@pytest.mark.parametrize("seconds", [[0.1 + 0.001 * k for k in range(11)], [0.1 + 0.0001 * k for k in range(20)]])
def test_few_blocks_and_small_trends_are_let_pass(toy_run: Any, seconds: list[float]) -> None:
    machine.blocks(toy_run, seconds)
    assert "R088" not in findings(toy_run)


def test_rates_of_answers_leave_out_the_first_and_the_last_of_all_streams(make_served: Any) -> None:
    run = make_served()
    ((what, rates),) = rates_of(Case(run.evidence(), run.rulebook))
    assert what == "the rate of answering" and len(rates) == 60
    first = [5 / (0.0279 + 0.001 * (k % 10)) for k in (1, 2)]  # 98 answers in 60 groups: the first holds one
    assert rates[0] == pytest.approx(first[0])
    assert rates_of_scenario(make_served("server", 20.0)) == []


def rates_of_scenario(run: Any) -> list[Any]:
    return list(rates_of(Case(run.evidence(), run.rulebook)))
