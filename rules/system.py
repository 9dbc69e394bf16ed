"""A machine in words and numbers; every unknown is None with its reason in `missing`."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import Field

from oildrop.rules.canonical import sha256_of
from oildrop.rules.records import Record


class Cpu(Record):
    """The processor. Frequencies in hertz, caches in bytes."""

    model: str | None
    vendor: str | None
    architecture: str
    sockets: int | None
    physical_cores: int | None
    logical_cores: int
    usable_cores: int
    max_frequency_hz: int | None
    l3_cache_bytes: int | None
    governor: str | None
    features: tuple[str, ...] = ()


class Memory(Record):
    """Main memory in bytes; `limit_bytes` is a container's limit where one holds."""

    total_bytes: int
    swap_bytes: int | None
    limit_bytes: int | None


class OperatingSystem(Record):
    """The operating system; `virtualisation` names the hypervisor or container, `none` on bare metal."""

    name: str
    release: str
    kernel: str
    virtualisation: str | None


class Accelerator(Record):
    """One accelerator; `device_id` is its UUID or PCI address, salted and hashed."""

    vendor: str
    model: str
    device_id: str
    memory_bytes: int | None
    power_limit_w: float | None
    driver: str | None
    peer_links: str | None = None


class Software(Record):
    """What ran: versions by distribution name; `frameworks` only those that can run a workload."""

    oildrop: str
    python: str
    frameworks: dict[str, str]
    libraries: dict[str, str]
    drivers: dict[str, str]
    git_revision: str | None
    image: str | None
    environment: dict[str, str] = Field(default={}, description="by allow-list only")


class Declared(Record):
    """A server's machine as its owner describes it; nobody measured any of it.

    Attributes:
        endpoint_id: The server's address, salted and hashed: it tells servers of one store apart and names none.
        name: What its owner calls it.
        accelerators: A model each, as `2 x NVIDIA H100 80GB` or one a line.
        software: Versions by name: the server, its framework, its driver.
    """

    endpoint_id: str
    name: str | None = None
    cpu: str | None = None
    accelerators: tuple[str, ...] = ()
    memory_bytes: int | None = Field(default=None, gt=0)
    software: dict[str, str] = {}

    @property
    def hardware(self) -> list[object]:
        """What tells its hardware from another's: the description where there is one, else the address."""
        described: list[object] = [self.cpu, list(self.accelerators), self.memory_bytes]
        return described if any(described) else [self.endpoint_id]


class System(Record):
    """`system.json` of a bundle. `missing` maps a dotted field to the reason why it is None."""

    schema_id: Literal["oildrop.system/1"] = Field(default="oildrop.system/1", alias="schema")
    cpu: Cpu
    memory: Memory
    os: OperatingSystem
    accelerators: tuple[Accelerator, ...]
    power_cap_w: float | None
    software: Software
    declared: Declared | None = Field(default=None, description="the server's machine, where a server was measured")
    missing: dict[str, str] = {}

    model_config = Record.model_config | {"populate_by_name": True}

    def system_id(self) -> str:
        """16 hex digits over device models and counts, topology, power cap and CPU."""
        return self._system_id

    def software_id(self) -> str:
        """16 hex digits over framework, driver, harness and image versions."""
        return self._software_id

    @cached_property
    def _system_id(self) -> str:
        return sha256_of(
            {
                "cpu": [self.cpu.model, self.cpu.architecture, self.cpu.sockets, self.cpu.usable_cores],
                "memory_gib": round(self.memory.total_bytes / 2**30),
                "accelerators": [[a.vendor, a.model, a.power_limit_w, a.peer_links] for a in self.accelerators],
                "power_cap_w": self.power_cap_w,
                **({"declared": self.declared.hardware} if self.declared else {}),
            }
        )[:16]

    @cached_property
    def _software_id(self) -> str:
        software = self.software
        return sha256_of(
            {
                "oildrop": software.oildrop,
                "frameworks": software.frameworks,
                "drivers": software.drivers,
                "image": software.image,
                **({"declared": self.declared.software} if self.declared else {}),
            }
        )[:16]


SAVING_GOVERNORS = frozenset({"powersave", "conservative"})

ADAPTIVE_DRIVERS = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose governor `powersave` is the ordinary one: it lets the processor raise its own frequency.

Source: Linux kernel administration guide, pages on intel_pstate and amd-pstate.
"""


def saves_power(governor: str | None, driver: str | None) -> bool:
    """Whether a frequency governor (several joined by `+`) keeps clocks low; False where it is not known."""
    return governor is not None and bool(SAVING_GOVERNORS & set(governor.split("+"))) and driver not in ADAPTIVE_DRIVERS
