"""An outside meter at the wall: it sends a line a reading, by serial line or network (docs/measure-power.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.harness.meters.lines import Changes, Lines, of_address
from oildrop.harness.meters.wall_file import WallMeterFile, read_wall_meter, wall_meter_files

BAD_LIMIT = 5
"""So many lines in a row that cannot be read end the meter; the first after opening may be a half one."""


class WallReading(NamedTuple):
    """One line: the meter's own time in seconds, power in watts, energy in joules since whenever it began."""

    time_s: float | None
    power_w: float
    energy_j: float | None


class BadLine(ValueError):
    """A line that is no reading."""


class WallMeter:
    """Everything that hangs on the meter (scope `wall`). Energy counts from the first reading."""

    def __init__(self, file: WallMeterFile, lines: Lines) -> None:
        self._file, self._lines = file, lines
        self._parse = parse_json if file.format == "json" else parse_csv
        self._changes = Changes()
        self._bad = 0
        self._energy_base_j: float | None = None
        self._last_time_s: float | None = None

    def info(self) -> MeterInfo:
        """With what its file says of its calibration."""
        file = self._file
        return MeterInfo(
            name="wall",
            status="measured",
            scope="wall",
            method=f"outside meter {file.model or file.name}; certificate {file.certificate or 'not named'}",
            device=file.name,
            update_period_s=file.update_period_s or self._changes.period_s,
            power_limit_w=file.power_limit_w,
            uncertainty=file.uncertainty,
            certificate=file.certificate,
        )

    def sample(self) -> Sequence[Reading]:
        """Mean power of the readings since the last sample, and the newest energy; nothing when none has come."""
        readings = [reading for line in self._lines.take() if (reading := self._read(line)) is not None]
        if not readings:
            return ()
        device = self._file.name
        mean_w = math.fsum(reading.power_w for reading in readings) / len(readings)
        answer = [Reading("power_w", device, "wall", mean_w)]
        energy_j = readings[-1].energy_j
        if energy_j is not None:
            if self._energy_base_j is None:
                self._energy_base_j = energy_j
            answer.append(Reading("energy_j", device, "wall", energy_j - self._energy_base_j))
        return tuple(answer)

    def close(self) -> None:
        """Let the line go."""
        self._lines.close()

    def _read(self, line: str) -> WallReading | None:
        """The reading of a line; None for a comment, a repeated one, or one that cannot be read."""
        if not line or line.startswith("#"):
            return None
        try:
            reading = self._parse(line)
        except BadLine as error:
            self._bad += 1
            if self._bad >= BAD_LIMIT:
                raise MeterError(f"{self._bad} lines in a row are no readings, the last because {error}") from error
            return None
        self._bad = 0
        if reading.time_s is not None and reading.time_s == self._last_time_s:
            return None
        self._last_time_s = reading.time_s
        self._changes.note(reading.power_w if reading.time_s is None else reading.time_s)
        return reading


def open_wall(environment: Mapping[str, str], connect: Callable[[str, str, int], Lines] = of_address) -> list[Meter]:
    """A meter for each file that the environment names, or an empty one with the reason."""
    return [_open(path, connect) for path in wall_meter_files(environment)]


def _open(path: Path, connect: Callable[[str, str, int], Lines]) -> Meter:
    try:
        file = read_wall_meter(path)
        return WallMeter(file, connect(file.address, f"the outside meter {file.name}", file.baud))
    except MeterError as error:
        return EmptyMeter("wall", str(error), device=path.stem)


def parse_json(line: str) -> WallReading:
    """`{"time_s": 12.5, "power_w": 403.1, "energy_j": 5021.0}`; time and energy may be left out or null."""
    try:
        said = json.loads(line)
    except ValueError as error:
        raise BadLine(f"{line[:60]!r} is not JSON") from error
    if not isinstance(said, dict):
        raise BadLine(f"{line[:60]!r} is no object")
    return _reading([said.get(name) for name in WallReading._fields], line)


def parse_csv(line: str) -> WallReading:
    """`12.5,403.1,5021.0`: time, power, energy; time may be empty, energy empty or left out."""
    cells = [cell.strip() or None for cell in line.split(",")]
    if len(cells) not in (2, 3):
        raise BadLine(f"{line[:60]!r} has {len(cells)} cells, not time_s,power_w[,energy_j]")
    return _reading([*cells, None][:3], line)


def _reading(cells: Sequence[object], line: str) -> WallReading:
    """Raises BadLine where power is missing, or a cell is no finite number."""
    try:
        time_s, power_w, energy_j = (None if cell is None else float(str(cell)) for cell in cells)
    except ValueError as error:
        raise BadLine(f"{line[:60]!r} holds what is no number") from error
    if power_w is None:
        raise BadLine(f"{line[:60]!r} holds no power_w")
    if not all(math.isfinite(value) for value in (time_s, power_w, energy_j) if value is not None):
        raise BadLine(f"{line[:60]!r} holds what is not finite")
    return WallReading(time_s, power_w, energy_j)
