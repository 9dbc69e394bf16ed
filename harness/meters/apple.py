"""Apple silicon: power of processor, GPU and neural engine, as macOS models it.

`macmon pipe` needs no root, `powermetrics` does. Both say what IOReport says, in which the processor counts in mJ and
the GPU in nJ: a reading whose parts do not add up is refused.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.harness.meters.lines import Changes, Lines, of_program

MACMON = ("macmon", "pipe", "--interval", "1000")
POWERMETRICS = ("powermetrics", "--samplers", "cpu_power,gpu_power", "--sample-rate", "1000", "--buffer-size", "1")
NOTHING = "neither macmon nor root for powermetrics; install macmon (`brew install macmon`), which needs no root"
LEAST_WINDOW_S = 60.0
"""The newest chips update about every 2 s, so that shorter windows say little."""

UNEQUAL_LIMIT = 5
"""So many readings in a row whose parts do not add up end the meter."""

_COMBINED = re.compile(r"^Combined Power \(CPU \+ GPU \+ ANE\): ([0-9.]+) mW$")
_BUSY = re.compile(r"^GPU HW active residency: +([0-9.]+)%")

Parse = Callable[[str], Sequence[Reading]]


class UnequalParts(MeterError):
    """Processor, GPU and neural engine do not add up to what is said of all."""


class AppleMeter:
    """Power of the chip (scope `soc`), and of the whole machine (`node`) where macOS tells it."""

    def __init__(self, lines: Lines, parse: Parse, method: str) -> None:
        self._lines, self._parse, self._method = lines, parse, method
        self._changes = Changes()
        self._unequal = 0

    def info(self) -> MeterInfo:
        """Modelled, not measured."""
        return MeterInfo(
            name="apple",
            status="modelled",
            scope="soc",
            method=self._method,
            update_period_s=self._changes.period_s,
            least_window_s=LEAST_WINDOW_S,
        )

    def sample(self) -> Sequence[Reading]:
        """What the newest line says; nothing when none has come. Raises MeterError at the end or over a wrong unit."""
        newest: dict[tuple[str, str], Reading] = {}
        for line in self._lines.take():
            try:
                readings = self._parse(line)
            except UnequalParts as error:
                self._unequal += 1
                if self._unequal >= UNEQUAL_LIMIT:
                    raise MeterError(f"{error}; one of them has the wrong unit, update the program") from error
                continue
            if readings:
                self._unequal = 0
            newest |= {(reading.quantity, reading.device): reading for reading in readings}
        power = newest.get(("power_w", "soc"))
        if power is not None:
            self._changes.note(power.value)
        return tuple(newest.values())

    def close(self) -> None:
        """End the program."""
        self._lines.close()


def open_apple(
    find: Callable[[str], str | None] = shutil.which,
    is_root: Callable[[], bool] = lambda: os.geteuid() == 0,
    start: Callable[[Sequence[str], str], Lines] = of_program,
) -> list[Meter]:
    """The meter by macmon, else by powermetrics, else an empty one with the reason."""
    try:
        if find(MACMON[0]):
            method = "macmon: IOReport, modelled by macOS; of the whole machine by its management controller"
            return [AppleMeter(start(MACMON, "macmon"), parse_macmon, method)]
        if is_root() and find(POWERMETRICS[0]):
            method = "powermetrics: IOReport, modelled by macOS"
            return [AppleMeter(start(POWERMETRICS, "powermetrics"), parse_powermetrics, method)]
    except MeterError as error:
        return [EmptyMeter("apple", str(error))]
    return [EmptyMeter("apple", NOTHING)]


def parse_macmon(line: str) -> Sequence[Reading]:
    """One JSON object a line, power in watts. Source: macmon's README, section "Output", read 2026-11-28."""
    try:
        said = json.loads(line)
    except ValueError:
        return ()
    if not isinstance(said, dict):
        return ()
    whole_w = _number(said, "all_power")
    parts_w = [_number(said, name) for name in ("cpu_power", "gpu_power", "ane_power")]
    if whole_w is None or None in parts_w:
        return ()
    sum_w = sum(part for part in parts_w if part is not None)
    if abs(sum_w - whole_w) > 0.01 * whole_w + 0.02:
        raise UnequalParts(f"processor, GPU and neural engine draw {sum_w:.4g} W together, all of them {whole_w:.4g} W")
    readings = [Reading("power_w", "soc", "soc", whole_w)]
    machine_w = _number(said, "sys_power")
    if machine_w:
        readings.append(Reading("power_w", "machine", "node", machine_w))
    return (*readings, *_gpu(said))


def _gpu(said: Mapping[str, Any]) -> list[Reading]:
    readings = []
    usage = said.get("gpu_usage")
    if isinstance(usage, list) and len(usage) == 2 and all(isinstance(value, int | float) for value in usage):
        readings = [
            Reading("gpu_clock_hz", "gpu", "device", usage[0] * 1e6),
            Reading("busy_fraction", "gpu", "device", float(usage[1])),
        ]
    temperature = said.get("temp")
    celsius = _number(temperature, "gpu_temp_avg") if isinstance(temperature, dict) else None
    return readings + ([Reading("temperature_celsius", "gpu", "device", celsius)] if celsius else [])


def parse_powermetrics(line: str) -> Sequence[Reading]:
    """The lines of powermetrics' text that name the sum of powers (mW) and the GPU's busy share (percent)."""
    if found := _COMBINED.match(line):
        return (Reading("power_w", "soc", "soc", float(found[1]) / 1000),)
    if found := _BUSY.match(line):
        return (Reading("busy_fraction", "gpu", "device", float(found[1]) / 100),)
    return ()


def _number(said: Mapping[str, Any], name: str) -> float | None:
    value = said.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
