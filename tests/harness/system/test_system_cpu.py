"""The processor, read from sample texts of two architectures and of macOS."""

import pytest

from oildrop.harness.system.cpu import governor, parse_size, read_cpu, usable_cores
from oildrop.harness.system.cpuinfo import parse_cpuinfo
from oildrop.harness.system.source import Gaps

X86_BLOCK = """processor\t: {cpu}
vendor_id\t: GenuineIntel
model name\t: Imaginary Xeon 9000 @ 2.40GHz
physical id\t: {package}
core id\t\t: {core}
flags\t\t: fpu sse4_2 avx2 fma avx512f hypervisor amx_bf16
"""

# Two packages of two cores with two threads each.
X86 = "\n".join(
    X86_BLOCK.format(cpu=cpu, package=cpu // 2 % 2, core=cpu % 2) for cpu in range(8)
)  # fmt: skip

ARM = """processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd sve sve2 bf16 i8mm
CPU implementer\t: 0x41
CPU part\t: 0xd4f

processor\t: 1
CPU implementer\t: 0x41
CPU part\t: 0xd4f
"""

SYSCTL = """machdep.cpu.brand_string: Apple M9 Max
hw.physicalcpu: 12
hw.logicalcpu: 12
hw.packages: 1
hw.memsize: 68719476736
vm.swapusage: total = 2048.00M  used = 512.25M  free = 1535.75M  (encrypted)
kern.osproductversion: 16.2
kern.hv_vmm_present: 0
"""


def test_x86_topology_counts_distinct_packages_and_cores() -> None:
    info = parse_cpuinfo(X86)
    assert (info.sockets, info.physical_cores) == (2, 4)
    assert info.model == "Imaginary Xeon 9000 @ 2.40GHz"
    assert info.features == ("sse4_2", "avx2", "fma", "avx512f", "amx_bf16")
    assert info.hypervisor is True


def test_arm_names_its_core_by_part_number_and_cannot_tell_a_hypervisor() -> None:
    info = parse_cpuinfo(ARM)
    assert (info.model, info.vendor) == ("Arm Neoverse V2", "Arm")
    assert info.features == ("asimd", "bf16", "i8mm", "sve", "sve2")
    assert info.sockets is None and info.hypervisor is None


def test_an_unknown_arm_core_keeps_its_numbers() -> None:
    assert parse_cpuinfo(ARM.replace("0xd4f", "0xfff")).model == "Arm implementer 0x41 part 0xfff"


def test_an_empty_cpuinfo_is_all_unknown() -> None:
    info = parse_cpuinfo("")
    assert (info.model, info.vendor, info.sockets, info.features, info.hypervisor) == (None, None, None, (), None)


@pytest.mark.parametrize(
    ("text", "size"), [("32K", 32768), ("8M", 8388608), ("512", 512), ("", None), (None, None), ("8X", None)]
)
def test_cache_sizes(text: str | None, size: int | None) -> None:
    assert parse_size(text) == size


def test_a_shared_level_3_cache_counts_once_and_separate_ones_add_up(make_host) -> None:
    files = {"proc/cpuinfo": X86}
    for cpu in range(4):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        files[f"{folder}/cache/index3/level"] = "3\n"
        files[f"{folder}/cache/index3/size"] = "16384K\n"
        files[f"{folder}/cache/index3/shared_cpu_list"] = "0-1\n" if cpu < 2 else "2-3\n"
        files[f"{folder}/cache/index2/level"] = "2\n"
        files[f"{folder}/cache/index2/size"] = "1024K\n"
        files[f"{folder}/cpufreq/cpuinfo_max_freq"] = "3500000\n" if cpu else "3600000\n"
        files[f"{folder}/cpufreq/scaling_governor"] = "performance\n" if cpu else "powersave\n"
    gaps = Gaps()
    cpu = read_cpu(make_host(files), gaps)
    assert cpu.l3_cache_bytes == 2 * 16384 * 1024
    assert cpu.max_frequency_hz == 3_600_000_000
    assert cpu.governor == "performance+powersave"
    assert gaps.reasons == {}


def test_sysfs_topology_has_precedence_and_negative_ids_do_not_count(make_host) -> None:
    files = {"proc/cpuinfo": ARM}
    for cpu in range(4):
        folder = f"sys/devices/system/cpu/cpu{cpu}/topology"
        files |= {f"{folder}/physical_package_id": "0\n", f"{folder}/core_id": f"{cpu // 2}\n"}
    host = make_host(files)
    cpu = read_cpu(host, Gaps())
    assert (cpu.sockets, cpu.physical_cores) == (1, 2)
    make_host({"sys/devices/system/cpu/cpu3/topology/physical_package_id": "-1\n"})
    assert read_cpu(host, Gaps()).sockets is None


def test_usable_cores_by_affinity_and_quota(make_host) -> None:
    v2 = {"proc/self/cgroup": "0::/work.slice/job\n"}
    assert usable_cores(make_host(v2, cpu_count=64, affinity_count=48)) == 48
    host = make_host({**v2, "sys/fs/cgroup/work.slice/cpu.max": "250000 100000\n"}, cpu_count=64, affinity_count=48)
    assert usable_cores(host) == 3
    make_host({"sys/fs/cgroup/work.slice/job/cpu.max": "50000 100000\n"})
    assert usable_cores(host) == 1


def test_every_unknown_has_its_reason(make_host) -> None:
    gaps = Gaps()
    cpu = read_cpu(make_host(), gaps)
    unknown = {f"cpu.{name}" for name, value in cpu.model_dump().items() if value is None}
    assert unknown == set(gaps.reasons)
    assert "cpu.model" in unknown and governor(make_host()) is None


def test_a_mac_by_sysctl(make_host) -> None:
    names = (
        "machdep.cpu.brand_string machdep.cpu.vendor hw.physicalcpu hw.logicalcpu hw.packages hw.cpufrequency_max "
        "hw.l3cachesize hw.memsize vm.swapusage kern.osproductversion kern.hv_vmm_present"
    )
    gaps = Gaps()
    host = make_host(system="Darwin", machine="arm64", cpu_count=12, commands={f"sysctl {names}": SYSCTL})
    cpu = read_cpu(host, gaps)
    assert (cpu.model, cpu.vendor, cpu.physical_cores, cpu.usable_cores) == ("Apple M9 Max", "Apple", 12, 12)
    assert set(gaps.reasons) == {"cpu.max_frequency_hz", "cpu.l3_cache_bytes", "cpu.governor"}
