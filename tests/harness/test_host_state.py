"""The snapshot of the host: on sample files, and of this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oildrop.harness.host_state import _shares, accelerators_now, free_bytes, host_state, others, throttle_count
from oildrop.harness.meters.isolation import Answer
from oildrop.harness.system.source import Host


def host(root: Path, files: dict[str, str]) -> Host:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return Host(
        root=root, system="Linux", machine="x86_64", release="6", cpu_count=4, affinity_count=None, environment={},
        run=lambda _: None,
    )  # fmt: skip


def test_a_package_and_a_core_are_counted_once_however_many_threads_repeat_them(tmp_path: Path) -> None:
    files = {}
    # One package, two cores of two threads; core 0 was throttled 3 times, core 1 never, the package 5 times.
    for cpu, core in ((0, 0), (1, 1), (2, 0), (3, 1)):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        files |= {
            f"{folder}/topology/physical_package_id": "0",
            f"{folder}/topology/core_id": str(core),
            f"{folder}/thermal_throttle/core_throttle_count": "3" if core == 0 else "0",
            f"{folder}/thermal_throttle/package_throttle_count": "5",
        }
    assert throttle_count(host(tmp_path, files)) == 3 + 0 + 5


def test_without_counters_throttling_is_unknown_not_zero(tmp_path: Path) -> None:
    assert throttle_count(host(tmp_path, {})) is None


def test_sample_files_become_units(tmp_path: Path) -> None:
    files = {
        "proc/loadavg": "1.50 0.70 0.30 2/345 6789",
        "proc/meminfo": "MemAvailable: 2048 kB\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "3000000",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2000000",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    }
    state = host_state(tmp_path / "store", host=host(tmp_path, files), window_s=0.01)
    assert state["load_1m"] == 1.5
    assert state["memory_available_bytes"] == 2048 * 1024
    assert state["cpu_frequency_hz"] == 2.5e9
    assert state["governor"] == "powersave"
    assert state["throttle_count"] is None and state["accelerator_processes"] is None
    assert state["store_free_bytes"] > 0


def test_this_machines_state_is_json_and_names_nobody() -> None:
    state = host_state(window_s=0.01, describe=lambda: Answer(reason="not asked"))
    assert json.loads(json.dumps(state)) == state
    assert state["store_free_bytes"] is None
    texts = {key for key, value in state.items() if isinstance(value, str)}
    assert texts <= {"governor", "frequency_driver"}


def test_shares_by_hand() -> None:
    before = {(1, 0.0): 5.0, (2, 0.0): 1.0, (3, 0.0): 7.0}
    after = {(1, 0.0): 5.5, (2, 0.0): 1.05, (4, 9.0): 100.0}
    # 0.55 s used in 1 s on 4 processors; only the first used more than a tenth of a core. 3 ended, 4 is new.
    shares = _shares(before, after, 1.0, 4)
    assert shares == {"heavy_processes": 1, "other_cpu_fraction": pytest.approx(0.55 / 4)}


def test_own_processes_are_not_others() -> None:
    code = "print('up', flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as burner:
        assert burner.stdout is not None
        burner.stdout.readline()
        mine = others((), 0.0)
        assert set(mine) == {"heavy_processes", "other_cpu_fraction"}
        from oildrop.harness.host_state import _process_times

        assert burner.pid in {pid for pid, _ in _process_times({os.getpid()})}
        assert burner.pid not in {pid for pid, _ in _process_times({burner.pid})}
        burner.kill()


@pytest.mark.parametrize(("counts", "expected"), [([1, 2], 3), ([0], 0), ([1, None], None), ([], None)])
def test_processes_on_nvidia_accelerators(tmp_path: Path, counts: list[int | None], expected: int | None) -> None:
    machine = host(tmp_path, {"dev/nvidiactl": ""})
    answer = Answer(value={"devices": [{"compute_processes": count} for count in counts]})
    assert accelerators_now(machine, lambda: answer)["accelerator_processes"] == expected
    unknown = accelerators_now(machine, lambda: Answer(reason="hung"))
    assert set(unknown.values()) == {None} and len(unknown) == 3


def test_power_caps_of_accelerators_stand_beside_their_makers(tmp_path: Path) -> None:
    machine = host(tmp_path / "nvidia", {"dev/nvidiactl": ""})
    devices = [{"power_limit_w": 400.0, "default_power_limit_w": 700.0}, {"power_limit_w": 700.0}]
    state = accelerators_now(machine, lambda: Answer(value={"devices": devices}))
    assert state["accelerator_power_limits_w"] == [400.0, 700.0]
    assert state["accelerator_default_limits_w"] == [700.0, None]


def test_amd_devices_are_read_from_the_kernel_and_no_library_is_asked(tmp_path: Path) -> None:
    folder = "sys/bus/pci/devices/0000:41:00.0"
    files = {
        f"{folder}/vendor": "0x1002", f"{folder}/device": "0x74a1", f"{folder}/class": "0x120000",
        f"{folder}/mem_info_vram_total": "206141652992",
        f"{folder}/hwmon/hwmon3/power1_cap": "600000000", f"{folder}/hwmon/hwmon3/power1_cap_default": "750000000",
        "sys/class/kfd/kfd/proc/4711/pasid": "32770",
    }  # fmt: skip
    assert accelerators_now(host(tmp_path, files), lambda: Answer(reason="nobody asks")) == {
        "accelerator_processes": 1,
        "accelerator_power_limits_w": [600.0],
        "accelerator_default_limits_w": [750.0],
    }


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    space = os.statvfs(tmp_path)
    found = free_bytes(tmp_path / "a/b/c")
    assert found == pytest.approx(space.f_bavail * space.f_frsize, rel=0.1)
