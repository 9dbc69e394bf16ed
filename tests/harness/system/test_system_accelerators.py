"""Accelerators, with the vendor's answer and the bus given."""

import hashlib

from oildrop.harness.meters.isolation import Answer
from oildrop.harness.system.accelerators import read_accelerators
from oildrop.harness.system.power_cap import read_power_cap
from oildrop.harness.system.source import Gaps

NVIDIA_ANSWER = {
    "driver": "999.10",
    "cuda": "13.2",
    "devices": [
        {
            "uuid": "GPU-1",
            "model": "Imaginary H900",
            "memory_bytes": 2**36,
            "power_limit_w": 700.0,
            "nvlinks": 18,
            "compute_processes": 0,
            "missing": {},
        },
        {
            "uuid": "GPU-2",
            "model": "Imaginary T1",
            "memory_bytes": 2**33,
            "power_limit_w": None,
            "nvlinks": None,
            "compute_processes": None,
            "missing": {"power_limit_w": "the device does not offer it", "nvlinks": "the device does not offer it"},
        },
    ],
    "unreadable": ["device 2: the device fell off the bus; restart the machine"],
}


def never() -> Answer:
    raise AssertionError("no child may be started without a driver")


def pci(address: str, vendor: str, device: str, kind: str, **files: str) -> dict[str, str]:
    folder = f"sys/bus/pci/devices/{address}"
    own = {"vendor": vendor, "device": device, "class": kind}
    return {f"{folder}/{name.replace('__', '/')}": text for name, text in {**own, **files}.items()}


def test_no_accelerator_costs_no_child(make_host) -> None:
    gaps = Gaps()
    host = make_host(pci("0000:00:1f.6", "0x8086", "0x15bc", "0x020000"))
    assert read_accelerators(host, "", gaps, describe=never) == ((), {})
    assert gaps.reasons == {}


def test_nvidia_devices_by_the_childs_answer(make_host) -> None:
    gaps = Gaps()
    found, drivers = read_accelerators(
        make_host({"dev/nvidiactl": ""}), "salt", gaps, describe=lambda: Answer(value=NVIDIA_ANSWER)
    )
    assert drivers == {"nvidia": "999.10", "cuda": "13.2"}
    assert [a.model for a in found] == ["Imaginary H900", "Imaginary T1"]
    assert found[0].device_id == hashlib.sha256(b"saltGPU-1").hexdigest()[:16]
    assert (found[0].power_limit_w, found[0].peer_links) == (700.0, "nvlink x18")
    assert (found[1].power_limit_w, found[1].peer_links) == (None, None)
    assert gaps.reasons == {
        "accelerators.1.power_limit_w": "the device does not offer it",
        "accelerators.1.peer_links": "the device does not offer it",
        "accelerators.nvidia": "device 2: the device fell off the bus; restart the machine",
    }


def test_a_child_without_answer_leaves_its_reason(make_host) -> None:
    gaps = Gaps()
    host = make_host({"dev/nvidiactl": ""})
    assert read_accelerators(host, "", gaps, describe=lambda: Answer(reason="hung for 5 s")) == ((), {})
    assert gaps.reasons == {"accelerators.nvidia": "hung for 5 s"}


def test_an_nvidia_device_without_driver_is_told_of(make_host) -> None:
    gaps = Gaps()
    host = make_host(pci("0000:01:00.0", "0x10de", "0x2330", "0x030200"))
    assert read_accelerators(host, "", gaps, describe=never)[0] == ()
    assert "without a driver" in gaps.reasons["accelerators.nvidia"]


def test_an_amd_device_by_sysfs(make_host) -> None:
    gaps = Gaps()
    files = pci(
        "0000:03:00.0", "0x1002", "0x74a1", "0x120000",
        unique_id="abc123", mem_info_vram_total=str(2**37), product_name="Imaginary MI900",
        hwmon__hwmon4__power1_cap="750000000",
    )  # fmt: skip
    found, drivers = read_accelerators(
        make_host({**files, "sys/module/amdgpu/version": "6.12.1\n"}), "s", gaps, describe=never
    )
    (device,) = found
    assert (device.model, device.memory_bytes, device.power_limit_w) == ("Imaginary MI900", 2**37, 750.0)
    assert device.device_id == hashlib.sha256(b"sabc123").hexdigest()[:16]
    assert drivers == {"amdgpu": "6.12.1"}
    assert set(gaps.reasons) == {"accelerators.0.peer_links"}


def test_tpus_by_their_pci_ids(make_host) -> None:
    gaps = Gaps()
    files = pci("0000:00:04.0", "0x1ae0", "0x0063", "0xff0000") | pci("0000:00:05.0", "0x1ae0", "0x001f", "0x020000")
    found, _ = read_accelerators(make_host(files), "", gaps, describe=never)
    assert [a.model for a in found] == ["TPU v5e"]
    assert {name.rpartition(".")[2] for name in gaps.reasons} == {
        "memory_bytes", "power_limit_w", "driver", "peer_links"
    }  # fmt: skip


def test_apple_silicon_has_one_accelerator_and_an_intel_mac_none(make_host) -> None:
    found, _ = read_accelerators(make_host(system="Darwin", machine="arm64"), "", Gaps(), describe=never)
    assert [a.vendor for a in found] == ["apple"]
    assert read_accelerators(make_host(system="Darwin", machine="x86_64"), "", Gaps(), describe=never)[0] == ()


def test_the_power_cap_is_the_sum_of_the_packages_long_term_limits(make_host) -> None:
    files = {}
    for package, limit_uw in ((0, 250_000_000), (1, 240_000_000)):
        zone = f"sys/class/powercap/intel-rapl:{package}"
        files |= {
            f"{zone}/name": f"package-{package}\n",
            f"{zone}/constraint_0_name": "short_term\n",
            f"{zone}/constraint_0_power_limit_uw": "400000000\n",
            f"{zone}/constraint_1_name": "long_term\n",
            f"{zone}/constraint_1_power_limit_uw": f"{limit_uw}\n",
        }
    files |= {
        "sys/class/powercap/intel-rapl:0:0/name": "dram\n",
        "sys/class/powercap/intel-rapl:0:0/constraint_0_name": "long_term\n",
        "sys/class/powercap/intel-rapl:0:0/constraint_0_power_limit_uw": "99000000\n",
    }
    host = make_host(files)
    assert read_power_cap(host, Gaps()) == 490.0
    gaps = Gaps()
    make_host({"sys/class/powercap/intel-rapl:1/constraint_1_power_limit_uw": "0\n"})
    assert read_power_cap(host, gaps) is None and "power_cap_w" in gaps.reasons
