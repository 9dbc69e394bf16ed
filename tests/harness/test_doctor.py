"""What the doctor makes of a snapshot."""

from dataclasses import replace
from pathlib import Path

import pytest

from oildrop.harness.doctor import advise, examine
from oildrop.harness.doctor_snapshot import Snapshot, live_runs
from oildrop.harness.meters.interface import MeterInfo
from oildrop.results.layout import StoreLayout
from oildrop.results.liveness import RunLock

GIB = 2**30

WELL = Snapshot(
    logical_cores=8,
    usable_cores=8,
    cpu_quota_cores=None,
    other_cpu_fraction=0.01,
    heavy_processes=0,
    governor="performance",
    governor_is_adaptive=False,
    on_battery=False,
    memory_available_bytes=8 * GIB,
    swap_used_bytes=0,
    store_free_bytes=50 * GIB,
    throttle_count=0,
    accelerator_processes=0,
    clock_source="tsc",
    virtualisation="none",
    steal_fraction=0.0,
    frameworks={"torch": "2.13.0"},
    cxx_compiler="g++",
    python_header=True,
    live_runs=(),
    meters=(MeterInfo(name="rapl", status="measured", device="package-0", method="powercap energy counter"),),
)


def test_all_is_good_on_a_well_kept_machine() -> None:
    advice = advise(WELL)
    assert {a.status for a in advice} == {"good"}
    assert all(a.evidence and not a.fix for a in advice)
    assert len({a.id for a in advice}) == len(advice) == 16


@pytest.mark.parametrize(
    ("change", "id", "status", "says"),
    [
        ({"other_cpu_fraction": 0.2}, "cpu-load", "warn", "20%"),
        ({"other_cpu_fraction": 0.9}, "cpu-load", "bad", "90%"),
        ({"usable_cores": 1}, "cores", "warn", "1 of 8"),
        ({"cpu_quota_cores": 1.5}, "cpu-quota", "warn", "1.5"),
        ({"cpu_quota_cores": 8.0}, "cpu-quota", "good", "8"),
        ({"governor": "powersave"}, "governor", "warn", "powersave"),
        ({"governor": "performance+powersave"}, "governor", "warn", "powersave"),
        ({"governor": "powersave", "governor_is_adaptive": True}, "governor", "good", "powersave"),
        ({"governor": None}, "governor", "unknown", "cpufreq"),
        ({"on_battery": True}, "battery", "bad", "not plugged in"),
        ({"on_battery": None}, "battery", "unknown", "no sensor"),
        ({"swap_used_bytes": GIB}, "swap", "warn", "1.00 GiB"),
        ({"memory_available_bytes": GIB}, "memory", "bad", "1.00 GiB"),
        ({"store_free_bytes": GIB - 1}, "disk", "bad", "1.00 GiB"),
        ({"store_free_bytes": GIB}, "disk", "good", "1.00 GiB"),
        ({"store_free_bytes": None}, "disk", "unknown", "no answer"),
        ({"frameworks": {}}, "framework", "bad", "neither torch"),
        ({"cxx_compiler": None}, "compiler", "warn", "compiler: none"),
        ({"python_header": False}, "compiler", "warn", "Python.h: absent"),
        ({"clock_source": "hpet"}, "clock-source", "warn", "hpet"),
        ({"clock_source": None}, "clock-source", "unknown", "no clocksource"),
        ({"virtualisation": "kvm", "steal_fraction": 0.1}, "virtualisation", "warn", "10.0%"),
        ({"virtualisation": "kvm", "steal_fraction": None}, "virtualisation", "good", "kvm"),
        ({"virtualisation": None}, "virtualisation", "unknown", "nothing"),
        ({"live_runs": ("run-1",)}, "other-run", "bad", "run-1"),
        ({"throttle_count": 4}, "throttling", "warn", "4 events"),
        ({"throttle_count": None}, "throttling", "unknown", "no counter"),
        ({"accelerator_processes": 2}, "accelerator-use", "warn", "2 compute"),
        ({"accelerator_processes": None}, "accelerator-use", "unknown", "no accelerator"),
    ],
)
def test_each_trouble_is_named_with_evidence_and_a_way_out(change: dict, id: str, status: str, says: str) -> None:
    advice = {a.id: a for a in advise(replace(WELL, **change))}
    assert advice[id].status == status
    assert says in advice[id].evidence
    assert bool(advice[id].fix) == (status in ("warn", "bad") or change.get("store_free_bytes", 0) is None)
    assert all(a.status == "good" for other, a in advice.items() if other != id)


def test_a_silent_meter_comes_with_how_to_wake_it() -> None:
    meters = (
        MeterInfo(name="rapl", status="not_measured", device="package-0", reason="root only; allow it with `chmod`"),
        MeterInfo(name="energy", status="not_measured", reason="rapl: root only"),
    )
    advice = {a.id: a for a in advise(replace(WELL, meters=meters))}
    rapl = advice["meter-rapl-package-0"]
    assert (rapl.status, rapl.evidence, rapl.fix) == ("warn", "root only", "allow it with `chmod`")
    assert advice["meter-energy"].status == "warn" and "not_measured" in advice["meter-energy"].what


def test_a_live_run_is_found_by_its_lock_and_a_dead_ones_file_is_not(tmp_path: Path) -> None:
    layout = StoreLayout(tmp_path)
    layout.ensure()
    layout.lock_file("dead").touch()
    with RunLock(layout.lock_file("alive")):
        assert live_runs(tmp_path) == ("alive",)
    assert live_runs(tmp_path) == ()


def test_this_machine_is_examined(tmp_path: Path) -> None:
    advice = {a.id: a for a in examine(tmp_path / "no-store-yet")}
    assert advice["framework"].status in ("good", "bad")
    assert advice["disk"].status in ("good", "bad")
    assert {"meter-process-worker", "other-run", "cores"} <= set(advice)
    assert not (tmp_path / "no-store-yet").exists()
