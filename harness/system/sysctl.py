"""The text of macOS's `sysctl`; pure apart from `read_sysctl`."""

from __future__ import annotations

import re

from oildrop.harness.system.source import Host, as_integer

NAMES = (
    "machdep.cpu.brand_string", "machdep.cpu.vendor", "hw.physicalcpu", "hw.logicalcpu", "hw.packages",
    "hw.cpufrequency_max", "hw.l3cachesize", "hw.memsize", "vm.swapusage", "kern.osproductversion",
    "kern.hv_vmm_present",
)  # fmt: skip

_SUFFIXES = {"K": 2**10, "M": 2**20, "G": 2**30}


def read_sysctl(host: Host) -> dict[str, str]:
    """The values of NAMES by name; what this Mac does not know is left out (empty off macOS)."""
    return parse_sysctl(host.run(("sysctl", *NAMES)) or "") if host.system == "Darwin" else {}


def parse_sysctl(text: str) -> dict[str, str]:
    """Lines of `name: value`."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name: value.strip() for name, separator, value in pairs if separator}


def swap_total_bytes(values: dict[str, str]) -> int | None:
    """Size of swap in bytes out of `vm.swapusage`, such as `total = 2048.00M  used = 1.25M …`."""
    match = re.search(r"total = ([\d.]+)([KMG])", values.get("vm.swapusage", ""))
    return round(float(match[1]) * _SUFFIXES[match[2]]) if match else None


def number(values: dict[str, str], name: str) -> int | None:
    """One value as a whole number; None when absent, or 0 as Macs say for what they do not have."""
    return as_integer(values.get(name)) or None
