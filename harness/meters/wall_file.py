"""The file that describes an outside meter: where it is, how it speaks, who calibrated it (docs/measure-power.md)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from oildrop.harness.meters.interface import MeterError

FILES = "OILDROP_METER"
"""Files of outside meters, separated as in PATH."""

SCHEMA = "oildrop.meter/1"
FORMATS = ("json", "csv")


@dataclass(frozen=True, kw_only=True)
class WallMeterFile:
    """What the file says; `address` never enters a bundle.

    Attributes:
        name: Which meter, unique among those of a machine; it becomes the device of its readings.
        address: `/dev/tty…` or `tcp://host:port`.
        model: Maker and type.
        certificate: Number and date of the calibration, and who made it.
        uncertainty: Of a reading of power, as a share (0.01 is 1 %).
        power_limit_w: End of its range, watts.
        update_period_s: Time between two readings, seconds; measured where it is left out.
    """

    name: str
    address: str
    format: str = "json"
    baud: int = 9600
    model: str | None = None
    certificate: str | None = None
    uncertainty: float | None = None
    power_limit_w: float | None = None
    update_period_s: float | None = None


def wall_meter_files(environment: Mapping[str, str]) -> list[Path]:
    """The files that $OILDROP_METER names; none where it is not set."""
    return [Path(name) for name in environment.get(FILES, "").split(os.pathsep) if name]


def read_wall_meter(path: Path) -> WallMeterFile:
    """Read one file. Raises MeterError that names the key, what it holds and what it may hold."""
    what = f"the meter file {path.name}"
    try:
        said = tomllib.loads(path.read_text())
    except OSError as error:
        raise MeterError(f"{what} cannot be read ({error.strerror or error}); {FILES} names it") from error
    except ValueError as error:
        raise MeterError(f"{what} is not TOML ({error})") from error
    if said.pop("schema", None) != SCHEMA:
        raise MeterError(f'{what} must begin with schema = "{SCHEMA}"')
    known = {field.name: field for field in fields(WallMeterFile)}
    for key, value in said.items():
        if key not in known:
            raise MeterError(f"{what} holds {key!r}; it may hold {', '.join(known)}")
        _check(what, key, value, str(known[key].type))
    for key in ("name", "address"):
        if key not in said:
            raise MeterError(f"{what} lacks {key!r}")
    if said.get("format", "json") not in FORMATS:
        raise MeterError(f"{what}: format is {said['format']!r}, it may be {' or '.join(FORMATS)}")
    return WallMeterFile(**said)


def _check(what: str, key: str, value: Any, kind: str) -> None:
    """Texts hold something, numbers are over 0, and an uncertainty is a share."""
    if kind.startswith("str"):
        if not isinstance(value, str) or not value:
            raise MeterError(f"{what}: {key} is {value!r}, it must be a text")
        return
    numeric = isinstance(value, int) if kind.startswith("int") else isinstance(value, int | float)
    if not numeric or isinstance(value, bool) or not value > 0:
        raise MeterError(f"{what}: {key} is {value!r}, it must be a number over 0")
    if key == "uncertainty" and value >= 1:
        raise MeterError(f"{what}: uncertainty is {value}, it must be a share under 1 (1 % is 0.01)")
