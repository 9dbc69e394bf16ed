"""What the doctor makes of a snapshot."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from oildrop.harness.doctor.examine import advise, examine
from oildrop.harness.doctor.snapshot import (
    AcceleratorNow,
    CanarySpread,
    Snapshot,
    _accelerators,
    _listed,
    live_runs,
    numa_nodes,
    spread_of,
)
from oildrop.harness.meters.interface import MeterInfo
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.system.source import Host
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
    frequency_driver="acpi-cpufreq",
    on_battery=False,
    memory_available_bytes=8 * GIB,
    swap_used_bytes=0,
    store_free_bytes=50 * GIB,
    throttle_count=0,
    accelerators=(
        AcceleratorNow(
            model="Imaginary H900",
            compute_processes=0,
            power_limit_w=700.0,
            default_power_limit_w=700.0,
            throttle_bits=0x1,
            temperature_celsius=40.0,
            slowdown_celsius=93.0,
            persistence_mode=True,
            ecc_mode=True,
            mig_mode=False,
            clock_offset_hz=0.0,
        ),
    ),
    canary=CanarySpread(count=6, ratio=1.01, log_sd=0.004, window_s=2.0),
    numa_nodes=1,
    shared_memory_bytes=4 * GIB,
    wait_policy=None,
    unlisted=(),
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
    assert len({a.id for a in advice}) == len(advice) == 28


@pytest.mark.parametrize(
    ("change", "id", "status", "says"),
    [
        ({"other_cpu_fraction": 0.2, "wait_policy": "passive"}, "cpu-load", "warn", "20%"),
        ({"other_cpu_fraction": 0.9, "wait_policy": "PASSIVE"}, "cpu-load", "bad", "90%"),
        ({"numa_nodes": 2}, "numa", "warn", "2 memory nodes"),
        ({"numa_nodes": None}, "numa", "unknown", "no node"),
        ({"shared_memory_bytes": 64 * 2**20}, "shared-memory", "warn", "0.06 GiB"),
        ({"shared_memory_bytes": None}, "shared-memory", "unknown", "no /dev/shm"),
        ({"unlisted": ("Toy 1",)}, "peaks", "warn", "Toy 1"),
        ({"canary": None}, "canary", "unknown", "no reading"),
        ({"usable_cores": 1}, "cores", "warn", "1 of 8"),
        ({"cpu_quota_cores": 1.5}, "cpu-quota", "warn", "1.5"),
        ({"cpu_quota_cores": 8.0}, "cpu-quota", "good", "8"),
        ({"governor": "powersave"}, "governor", "warn", "powersave"),
        ({"governor": "performance+powersave"}, "governor", "warn", "powersave"),
        ({"governor": "powersave", "frequency_driver": "intel_pstate"}, "governor", "good", "powersave"),
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
    ],
)
def test_each_trouble_is_named_with_evidence_and_a_way_out(change: dict, id: str, status: str, says: str) -> None:
    advice = {a.id: a for a in advise(replace(WELL, **change))}
    assert advice[id].status == status
    assert says in advice[id].evidence
    assert bool(advice[id].fix) == (status in ("warn", "bad") or change.get("store_free_bytes", 0) is None)
    assert all(a.status == "good" for other, a in advice.items() if other != id)


@pytest.mark.parametrize(
    ("change", "id", "status", "says"),
    [
        ({"compute_processes": 2}, "accelerator-use", "warn", "device 1: 2 compute"),
        ({"throttle_bits": 0x40}, "accelerator-clocks", "bad", "device 1: heat (hardware)"),
        ({"throttle_bits": 0x2}, "accelerator-clocks", "warn", "clocks set by hand"),
        ({"throttle_bits": 0x4}, "accelerator-clocks", "good", "power cap"),
        ({"temperature_celsius": 84.0}, "accelerator-heat", "warn", "84 °C, slows itself at 93 °C"),
        ({"temperature_celsius": 83.0}, "accelerator-heat", "good", "83 °C"),
        ({"power_limit_w": 500.0}, "power-cap", "warn", "device 1: 500 W (maker's limit 700 W)"),
        ({"power_limit_w": 500.0, "default_power_limit_w": None}, "power-cap", "good", "500 W"),
        ({"clock_offset_hz": 150e6}, "clock-offset", "warn", "+150 MHz"),
        ({"persistence_mode": False}, "persistence-mode", "warn", "device 1: off"),
        ({"ecc_mode": False}, "ecc", "warn", "device 1: off"),
        ({"ecc_mode": None}, "ecc", "good", "device 0: on"),
        ({"mig_mode": True}, "mig", "warn", "device 1: on"),
    ],
)
def test_trouble_of_one_accelerator_is_named_with_its_number(change: dict, id: str, status: str, says: str) -> None:
    (well,) = WELL.accelerators
    advice = {a.id: a for a in advise(replace(WELL, accelerators=(well, replace(well, **change))))}
    assert advice[id].status == status
    assert says in advice[id].evidence and bool(advice[id].fix) == (status != "good")
    assert all(a.status == "good" for other, a in advice.items() if other != id)


def test_an_accelerator_that_tells_nothing_is_unknown_and_none_is_not_asked() -> None:
    silent = [a for a in advise(replace(WELL, accelerators=(AcceleratorNow(),))) if a.status == "unknown"]
    assert len(silent) == 8
    assert len(advise(replace(WELL, accelerators=()))) == 28 - 8


def test_threads_that_spin_on_shared_processors_are_warned_of() -> None:
    advice = {a.id: a for a in advise(replace(WELL, other_cpu_fraction=0.3))}
    assert advice["spinning-threads"].status == advice["cpu-load"].status == "warn"
    assert "OMP_WAIT_POLICY is not set" in advice["spinning-threads"].evidence


@pytest.mark.parametrize(("ratio", "status"), [(1.03, "good"), (1.04, "warn"), (1.10, "warn"), (1.14, "bad")])
def test_the_canarys_spread_says_how_many_runs_it_takes(ratio: float, status: str) -> None:
    """Normal approximation of two sets: 2 (1.96 + 0.84)^2 (0.05 / ln 1.03)^2 = 44.9 runs; Student's t wants 46."""
    spread = CanarySpread(count=6, ratio=ratio, log_sd=0.05, window_s=2.0)
    (found,) = [a for a in advise(replace(WELL, canary=spread)) if a.id == "canary"]
    assert found.status == status
    assert f"differ by {ratio - 1:.1%}" in found.evidence and "46 runs on each side" in found.evidence


def test_the_spread_of_looks_by_hand() -> None:
    found = spread_of([1.0, math.e], 2.0)
    assert (found.count, found.ratio) == (2, pytest.approx(math.e))
    assert found.log_sd == pytest.approx(1 / math.sqrt(2))  # of 0 and 1


def test_memory_nodes_count_where_a_usable_processor_lies_in_them(tmp_path: Path) -> None:
    for node, cpus in enumerate(("0-3,8", "4-7", "")):
        folder = tmp_path / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        (folder / "cpulist").write_text(cpus + "\n")
    host = bare_host(tmp_path)
    assert (numa_nodes(host, None), numa_nodes(host, {8}), numa_nodes(host, {3, 4})) == (2, 1, 2)
    assert numa_nodes(bare_host(tmp_path / "none"), None) is None
    assert _listed("0-2,8") == {0, 1, 2, 8} and _listed("") == set()


def test_what_nvidias_library_says_and_nothing_more_is_kept(tmp_path: Path) -> None:
    told = {"model": "Imaginary H900", "uuid": "GPU-0", "ecc_mode": None, "power_limit_w": 700.0, "missing": {}}
    found = _accelerators(bare_host(tmp_path), Answer(value={"devices": [told]}))
    assert found == (AcceleratorNow(model="Imaginary H900", power_limit_w=700.0),)
    assert _accelerators(bare_host(tmp_path), Answer(reason="no driver")) == ()


def bare_host(root: Path) -> Host:
    return Host(
        root=root, system="Linux", machine="x86_64", release="6", cpu_count=4, affinity_count=None, environment={},
        run=lambda _: None,
    )  # fmt: skip


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
