"""The text of /proc/cpuinfo, on x86 and on Arm; pure."""

from __future__ import annotations

from dataclasses import dataclass

FEATURES = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
    "asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve", "sve2", "svebf16", "sme", "sme2",
)  # fmt: skip
"""Instruction set extensions that decide how fast a matrix product can be; others are left out of the record."""

ARM_CORES = {
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse N1",
    ("0x41", "0xd40"): "Arm Neoverse V1",
    ("0x41", "0xd49"): "Arm Neoverse N2",
    ("0x41", "0xd4f"): "Arm Neoverse V2",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}
"""Names by (implementer, part). Source: util-linux `sys-utils/lscpu-arm.c`, read 2026-11-22."""

ARM_VENDORS = {"0x41": "Arm", "0x48": "HiSilicon", "0x4e": "NVIDIA", "0x61": "Apple", "0xc0": "Ampere"}


@dataclass(frozen=True, kw_only=True)
class CpuInfo:
    """What /proc/cpuinfo says of the first processor, and the topology of all of them.

    Attributes:
        sockets: Count of distinct `physical id`; None where the text names none (Arm).
        physical_cores: Count of distinct (`physical id`, `core id`); None likewise.
        features: Those of FEATURES that the processor has, in that order.
        hypervisor: Whether the processor says that it runs under one; None where the text cannot tell (Arm).
    """

    model: str | None
    vendor: str | None
    sockets: int | None
    physical_cores: int | None
    features: tuple[str, ...]
    hypervisor: bool | None


def parse_cpuinfo(text: str) -> CpuInfo:
    """Read the text of /proc/cpuinfo; a field that it lacks is None."""
    blocks = [_fields(block) for block in text.split("\n\n")]
    processors = [block for block in blocks if "processor" in block]
    first = processors[0] if processors else {}
    flags = set((first.get("flags") or first.get("Features") or "").split())
    packages = {block["physical id"] for block in processors if "physical id" in block}
    cores = {(b["physical id"], b["core id"]) for b in processors if "physical id" in b and "core id" in b}
    return CpuInfo(
        model=first.get("model name") or _arm_model(first),
        vendor=first.get("vendor_id") or ARM_VENDORS.get(first.get("CPU implementer", "")),
        sockets=len(packages) or None,
        physical_cores=len(cores) or None,
        features=tuple(name for name in FEATURES if name in flags),
        hypervisor=("hypervisor" in flags) if "flags" in first else None,
    )


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in block.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def _arm_model(first: dict[str, str]) -> str | None:
    implementer, part = first.get("CPU implementer"), first.get("CPU part")
    if implementer is None or part is None:
        return None
    return ARM_CORES.get((implementer, part)) or f"Arm implementer {implementer} part {part}"
