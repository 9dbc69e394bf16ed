"""The processor: model, cores, caches, frequency, governor."""

from __future__ import annotations

import math
import re

from oildrop.harness.system.cgroups import cpu_quota_cores
from oildrop.harness.system.cpuinfo import CpuInfo, parse_cpuinfo
from oildrop.harness.system.source import Gaps, Host
from oildrop.harness.system.sysctl import number, read_sysctl
from oildrop.rules.system import Cpu

_CPUS = "sys/devices/system/cpu"
NO_SCALING = "no frequency scaling is visible (usual in a virtual machine)"
_SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def read_cpu(host: Host, gaps: Gaps) -> Cpu:
    """The processor of `host`; what cannot be known is None, its reason in `gaps`."""
    return _read_mac(host, gaps) if host.system == "Darwin" else _read_linux(host, gaps)


def usable_cores(host: Host) -> int:
    """Logical processors that this process can keep busy: by affinity, and by quota rounded up."""
    cores = host.affinity_count or host.cpu_count
    quota = cpu_quota_cores(host)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def frequency_driver(host: Host) -> str | None:
    """The kernel's driver of the first processor's frequency; None where there is none."""
    return host.text(f"{_CPUS}/cpu0/cpufreq/scaling_driver")


def governor(host: Host) -> str | None:
    """Frequency governor of all processors, several joined by `+`; None where there is none."""
    texts = {host.text(path) for path in host.matches(f"{_CPUS}/cpu[0-9]*/cpufreq/scaling_governor")}
    return "+".join(sorted(text for text in texts if text)) or None


def parse_size(text: str | None) -> int | None:
    """A cache size such as `32768K` in bytes; None when it is no size."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text or "")
    return int(match[1]) * _SIZE_UNITS[match[2]] if match else None


def _read_linux(host: Host, gaps: Gaps) -> Cpu:
    info = parse_cpuinfo(host.text("proc/cpuinfo") or "")
    sockets, cores = _topology(host, info)
    return Cpu(
        model=gaps.known("cpu.model", info.model, "/proc/cpuinfo names no model"),
        vendor=gaps.known("cpu.vendor", info.vendor, "/proc/cpuinfo names no vendor"),
        architecture=host.machine,
        sockets=gaps.known("cpu.sockets", sockets, "the kernel shows no processor topology"),
        physical_cores=gaps.known("cpu.physical_cores", cores, "the kernel shows no processor topology"),
        logical_cores=host.cpu_count,
        usable_cores=usable_cores(host),
        max_frequency_hz=gaps.known("cpu.max_frequency_hz", _max_frequency_hz(host), NO_SCALING),
        l3_cache_bytes=gaps.known("cpu.l3_cache_bytes", l3_bytes(host), "the kernel shows no level-3 cache"),
        governor=gaps.known("cpu.governor", governor(host), NO_SCALING),
        features=info.features,
    )


def _topology(host: Host, info: CpuInfo) -> tuple[int | None, int | None]:
    """Sockets and physical cores, by sysfs first because Arm's /proc/cpuinfo names neither."""
    pairs = set()
    for folder in host.matches(f"{_CPUS}/cpu[0-9]*/topology"):
        package, core = host.integer(f"{folder}/physical_package_id"), host.integer(f"{folder}/core_id")
        if package is None or core is None or package < 0 or core < 0:
            return info.sockets, info.physical_cores
        pairs.add((package, core))
    if not pairs:
        return info.sockets, info.physical_cores
    return len({package for package, _ in pairs}), len(pairs)


def _max_frequency_hz(host: Host) -> int | None:
    kilohertz = [host.integer(path) for path in host.matches(f"{_CPUS}/cpu[0-9]*/cpufreq/cpuinfo_max_freq")]
    return max((value * 1000 for value in kilohertz if value), default=None)


def l3_bytes(host: Host) -> int | None:
    """All level-3 caches together; one that several processors share is counted once."""
    caches: dict[str, int] = {}
    for folder in host.matches(f"{_CPUS}/cpu[0-9]*/cache/index[0-9]*"):
        size = parse_size(host.text(f"{folder}/size"))
        if host.text(f"{folder}/level") == "3" and size:
            caches[host.text(f"{folder}/shared_cpu_list") or folder] = size
    return sum(caches.values()) or None


def _read_mac(host: Host, gaps: Gaps) -> Cpu:
    values = read_sysctl(host)
    model = values.get("machdep.cpu.brand_string")
    vendor = values.get("machdep.cpu.vendor") or ("Apple" if (model or "").startswith("Apple") else None)
    return Cpu(
        model=gaps.known("cpu.model", model, "sysctl names no model"),
        vendor=gaps.known("cpu.vendor", vendor, "sysctl names no vendor"),
        architecture=host.machine,
        sockets=gaps.known("cpu.sockets", number(values, "hw.packages"), "sysctl has no hw.packages"),
        physical_cores=gaps.known(
            "cpu.physical_cores", number(values, "hw.physicalcpu"), "sysctl has no hw.physicalcpu"
        ),
        logical_cores=number(values, "hw.logicalcpu") or host.cpu_count,
        usable_cores=usable_cores(host),
        max_frequency_hz=gaps.known(
            "cpu.max_frequency_hz", number(values, "hw.cpufrequency_max"), "Apple silicon does not tell its frequency"
        ),
        l3_cache_bytes=gaps.known(
            "cpu.l3_cache_bytes", number(values, "hw.l3cachesize"), "Apple silicon tells of no level-3 cache"
        ),
        governor=gaps.known("cpu.governor", None, "macOS has no frequency governor"),
    )
