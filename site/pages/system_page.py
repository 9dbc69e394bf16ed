"""One page a machine: what it is, the software seen on it, and everything that it ran."""

from __future__ import annotations

from collections.abc import Sequence

from oildrop.results.rows import RunRow
from oildrop.rules.system import Declared, System
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import slug, system_address
from oildrop.site.pages.boards import Board
from oildrop.site.pages.ceilings_table import CEILINGS_HEADER, ceiling_lines
from oildrop.site.pages.configuration_lines import ConfigurationLine, configuration_line
from oildrop.site.pages.context import Site
from oildrop.site.pages.formats import bytes_text, number
from oildrop.site.pages.index_page import run_tally

Facts = list[tuple[str, str]]

_SOFTWARE_HEADER = ("software_id", "oildrop", "python", "frameworks", "drivers", "libraries", "git_revision", "runs")


def write_system_pages(site: Site, boards: Sequence[Board], rows: Sequence[RunRow]) -> None:
    """Write `systems/<system_id>.html` for every system of `rows`."""
    lines: dict[str, list[ConfigurationLine]] = {}
    for board in boards:
        for configuration in board.configurations:
            lines.setdefault(configuration.summary.system_id, []).append(configuration_line(configuration, board))
    members: dict[str, list[RunRow]] = {}
    for row in rows:
        members.setdefault(row.spec.system_id, []).append(row)
    for system_id, runs in members.items():
        _write_system(site, system_id, runs, lines[system_id])


def _write_system(site: Site, system_id: str, rows: Sequence[RunRow], lines: list[ConfigurationLine]) -> None:
    stem = slug(system_id)
    system = next((row.system for row in rows if row.system is not None), None)
    software = _software_rows(rows)
    ceilings = ceiling_lines(rows, site.rulebook)
    values = {
        "name": labels.system_name(system, system_id),
        "system_id": system_id,
        "system": system,
        "sections": sections(system) if system else [],
        "missing": sorted(system.missing.items()) if system else [],
        "lines": lines,
        "ceilings": ceilings,
        "software": software,
        "tally": run_tally(rows),
        "stem": stem,
    }
    site.page(system_address(system_id), "system.html.j2", values)
    cells = [
        (
            line.board_name, line.backend, line.framework, line.settings, line.division, line.estimate, line.interval,
            line.unit, line.standing, line.reason,
        )
        for line in lines
    ]  # fmt: skip
    header = (
        "benchmark",
        "backend",
        "framework",
        "settings",
        "division",
        "estimate",
        "ci95",
        "unit",
        "standing",
        "reason",
    )
    site.csv(f"systems/{stem}.configurations.csv", header, cells)
    site.csv(f"systems/{stem}.software.csv", _SOFTWARE_HEADER, software)
    if ceilings:
        site.csv(f"systems/{stem}.ceilings.csv", CEILINGS_HEADER, [line.cells for line in ceilings])


def _software_rows(rows: Sequence[RunRow]) -> list[tuple[str, str, str, str, str, str, str, int]]:
    """One line a software id: what it was made of and how many runs used it."""
    counts: dict[str, int] = {}
    systems: dict[str, System | None] = {}
    for row in rows:
        key = row.spec.software_id
        counts[key] = counts.get(key, 0) + 1
        systems[key] = systems.get(key) or row.system
    return [_software_row(key, systems[key], count) for key, count in counts.items()]


def _software_row(key: str, system: System | None, count: int) -> tuple[str, str, str, str, str, str, str, int]:
    if system is None:
        return (key, *["not readable"] * 6, count)  # type: ignore[return-value]
    software = system.software
    return (
        key,
        software.oildrop,
        software.python,
        _versions(software.frameworks),
        _versions(software.drivers),
        _versions(software.libraries),
        software.git_revision or "unknown",
        count,
    )


def _versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "none"


def sections(system: System) -> list[tuple[str, Facts]]:
    """A machine's facts under headings; an unknown one says why."""
    found = [
        ("Processor", _processor(system)),
        ("Memory", _memory(system)),
        ("Operating system", _operating_system(system)),
    ]
    if not system.accelerators:
        found.insert(0, ("Accelerators", [("Count", "none found")]))
    for index, accelerator in enumerate(system.accelerators):
        why = f"accelerators.{index}"
        facts = [
            ("Model", accelerator.model),
            ("Vendor", accelerator.vendor),
            ("Device id", f"{accelerator.device_id} (salted)"),
            ("Memory", _known(system, f"{why}.memory_bytes", bytes_text(accelerator.memory_bytes))),
            ("Power limit", _known(system, f"{why}.power_limit_w", _with_unit(accelerator.power_limit_w, "W"))),
            ("Driver", _known(system, f"{why}.driver", accelerator.driver)),
            ("Peer links", _known(system, f"{why}.peer_links", accelerator.peer_links)),
        ]
        found.insert(index, (f"Accelerator {index}", facts))
    if system.declared is not None:
        return [
            ("The server's machine, as declared", _declared(system.declared)),
            *((f"The load's machine: {title}", facts) for title, facts in found),
        ]
    return found


def _declared(declared: Declared) -> Facts:
    """What the owner of a server says of it; nobody measured this."""
    unsaid = "not said"
    return [
        ("Name", declared.name or unsaid),
        ("Accelerators", ", ".join(declared.accelerators) or unsaid),
        ("Processor", declared.cpu or unsaid),
        ("Memory", bytes_text(declared.memory_bytes) or unsaid),
        ("Software", _versions(declared.software) if declared.software else unsaid),
        ("Address", f"{declared.endpoint_id} (salted)"),
    ]


def _processor(system: System) -> Facts:
    cpu = system.cpu
    frequency = None if cpu.max_frequency_hz is None else _with_unit(cpu.max_frequency_hz / 1e9, "GHz")
    return [
        ("Model", _known(system, "cpu.model", cpu.model)),
        ("Architecture", cpu.architecture),
        ("Sockets", _known(system, "cpu.sockets", cpu.sockets)),
        ("Physical cores", _known(system, "cpu.physical_cores", cpu.physical_cores)),
        ("Logical cores", str(cpu.logical_cores)),
        ("Usable cores", str(cpu.usable_cores)),
        ("Highest frequency", _known(system, "cpu.max_frequency_hz", frequency)),
        ("Last-level cache", _known(system, "cpu.l3_cache_bytes", bytes_text(cpu.l3_cache_bytes))),
        ("Governor", _known(system, "cpu.governor", cpu.governor)),
        ("Features", ", ".join(cpu.features) or "none listed"),
    ]


def _memory(system: System) -> Facts:
    memory = system.memory
    return [
        ("Total", bytes_text(memory.total_bytes) or ""),
        ("Swap", _known(system, "memory.swap_bytes", bytes_text(memory.swap_bytes))),
        ("Limit of the container", _known(system, "memory.limit_bytes", bytes_text(memory.limit_bytes))),
    ]


def _operating_system(system: System) -> Facts:
    operating = system.os
    return [
        ("Name", f"{operating.name} {operating.release}"),
        ("Kernel", operating.kernel),
        ("Virtualisation", _known(system, "os.virtualisation", operating.virtualisation)),
        ("Power cap", _known(system, "power_cap_w", _with_unit(system.power_cap_w, "W"))),
    ]


def _with_unit(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{number(value)} {unit}"


def _known(system: System, field: str, value: object) -> str:
    """`value` as text, or that it is unknown and why."""
    if value is not None:
        return str(value)
    reason = system.missing.get(field)
    return f"unknown: {reason}" if reason else "unknown"
