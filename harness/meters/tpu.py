"""TPU chips through libtpu's monitoring: duty cycle, tensor cores, memory. TPUs have no energy interface.

`python -P -m oildrop.harness.meters.tpu` says as JSON what can be asked; with `stream` it prints a line of values a
second until it is killed. The library retries for minutes where there is no TPU, so it is only ever asked in a child.

Source: descriptions of the metrics in libtpu 0.0.52, `libtpu.sdk.tpumonitoring`, read 2026-11-28.
"""

from __future__ import annotations

import json
import math
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oildrop.harness.meters.empty import EmptyMeter
from oildrop.harness.meters.interface import Meter, MeterError, MeterInfo, Reading
from oildrop.harness.meters.isolation import ANSWER_LIMIT_S, Answer, ask_module
from oildrop.harness.meters.lines import Changes, Lines, of_program

METRICS = {
    "duty_cycle_pct": ("busy_fraction", "chip", 0.01),
    "tensorcore_util": ("tensor_active_fraction", "core", 0.01),
    "hbm_util": ("dram_bandwidth_fraction", "chip", 0.01),
    "hbm_capacity_usage": ("memory_used_bytes", "chip", 1.0),
}
"""libtpu's names: our quantity, what each value in the list belongs to, and the factor to its unit."""

NO_ENERGY = "TPUs have no energy interface; an outside meter (OILDROP_METER) would measure the machine"
PERIOD_S = 1.0


def driver_present(root: Path) -> bool:
    """Whether a chip left a trace: `accelN` up to v4, `vfio/N` from v5 on (`tpu-info`'s README, read 2026-11-28)."""
    return any((root / "dev").glob("accel[0-9]*")) or any((root / "dev/vfio").glob("[0-9]*"))


class TpuMeter:
    """Utilisation of all chips that the machine's TPU runtime drives, in the runtime's order."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._changes = Changes()

    def info(self) -> MeterInfo:
        """It measures utilization, never energy."""
        return MeterInfo(
            name="tpu",
            status="measured",
            scope="device",
            method="libtpu monitoring: duty cycle, tensor cores, memory (no energy interface), chips in its order",
            update_period_s=self._changes.period_s,
        )

    @property
    def measures_energy(self) -> bool:
        """Never."""
        return False

    def sample(self) -> Sequence[Reading]:
        """What the newest line says; nothing before a program runs on the chips. Raises MeterError at the end."""
        readings: tuple[Reading, ...] = ()
        for line in self._lines.take():
            readings = parse(line)
            if readings:
                self._changes.note(math.fsum(reading.value for reading in readings))
        return readings

    def close(self) -> None:
        """End the child."""
        self._lines.close()


def parse(line: str) -> tuple[Reading, ...]:
    """Readings of a line `{"duty_cycle_pct": ["12.50", …], …}`; what is no number is left out."""
    try:
        said = json.loads(line)
    except ValueError:
        return ()
    if not isinstance(said, dict):
        return ()
    readings = []
    for name, (quantity, part, factor) in METRICS.items():
        for index, value in enumerate(said.get(name) or ()):
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            readings.append(Reading(quantity, f"tpu-{part}-{index}", "device", number * factor))
    return tuple(readings)


def describe_in_child(limit_s: float = ANSWER_LIMIT_S) -> Answer:
    """Names that the library offers, from a child that may hang or die."""
    return ask_module(__name__, limit_s=limit_s)


def start_stream() -> Lines:
    """The child that asks once a second."""
    return of_program([sys.executable, "-P", "-m", __name__, "stream"], "libtpu's monitoring")


def open_tpu(
    describe: Callable[[], Answer] = describe_in_child, start: Callable[[], Lines] = start_stream
) -> list[Meter]:
    """The meter of all chips, or an empty one with the reason."""
    answer = describe()
    if answer.reason is not None:
        return [EmptyMeter("tpu", f"{NO_ENERGY}; libtpu's monitoring: {answer.reason}")]
    if "error" in answer.value:
        return [EmptyMeter("tpu", f"{NO_ENERGY}; {answer.value['error']}")]
    if not set(METRICS) & set(answer.value["metrics"]):
        return [EmptyMeter("tpu", f"{NO_ENERGY}; this libtpu offers no utilization: update it")]
    try:
        return [TpuMeter(start())]
    except MeterError as error:
        return [EmptyMeter("tpu", f"{NO_ENERGY}; {error}")]


def ask(monitoring: Any) -> Mapping[str, list[str]]:
    """The values of each metric that the library offers now; [] where no program runs on the chips."""
    values = {}
    for name in set(METRICS) & set(monitoring.list_supported_metrics()):
        try:
            values[name] = [str(value) for value in monitoring.get_metric(name).data()]
        except RuntimeError:
            continue  # The runtime does not answer this one now.
    return values


def main(arguments: Sequence[str]) -> None:
    """Say what can be asked, or stream it."""
    streams = list(arguments) == ["stream"]
    if not streams:
        signal.alarm(round(ANSWER_LIMIT_S) + 5)  # If nobody is left to kill this child, the kernel does.
    try:
        from libtpu.sdk import tpumonitoring
    except (ImportError, OSError) as error:
        sys.stdout.write(json.dumps({"error": f"libtpu cannot be loaded ({error}); install the extra [tpu]"}) + "\n")
        return
    if not streams:
        sys.stdout.write(json.dumps({"metrics": tpumonitoring.list_supported_metrics()}) + "\n")
        return
    while True:
        sys.stdout.write(json.dumps(ask(tpumonitoring)) + "\n")
        sys.stdout.flush()  # Raises once nobody reads any more, which ends this child.
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main(sys.argv[1:])
