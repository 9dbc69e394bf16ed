"""All of the doctor's advice. Judging is pure; `snapshot` does the reading."""

from __future__ import annotations

from pathlib import Path

from oildrop.harness.doctor.accelerator_points import ACCELERATOR_POINTS
from oildrop.harness.doctor.host_points import HOST_POINTS
from oildrop.harness.doctor.point import Advice
from oildrop.harness.doctor.processor_points import PROCESSOR_POINTS
from oildrop.harness.doctor.snapshot import Snapshot, take_snapshot
from oildrop.harness.meters.interface import MeterInfo


def examine(store_root: Path) -> list[Advice]:
    """All advice for a run that would be kept in `store_root`."""
    return advise(take_snapshot(store_root))


def advise(snapshot: Snapshot) -> list[Advice]:
    """Judge a snapshot; the order is fixed. What an accelerator could have is asked only where there is one."""
    points = [*HOST_POINTS, *PROCESSOR_POINTS, *(ACCELERATOR_POINTS if snapshot.accelerators else ())]
    return [*(point.advise(snapshot) for point in points), *(_meter(meter) for meter in snapshot.meters)]


def _meter(meter: MeterInfo) -> Advice:
    """A silent meter costs metrics, not the run."""
    name = f"meter-{meter.name}" + (f"-{meter.device}" if meter.device else "")
    if meter.status != "not_measured":
        return Advice(
            id=name, status="good", what=f"The {meter.name} meter answers.", evidence=meter.method or "it answers"
        )
    if meter.name == "energy":
        return Advice(
            id=name,
            status="warn",
            what="Nothing measures energy or power here: those metrics will be not_measured.",
            evidence=meter.reason or "",
            fix="Enable one of the meters above where the machine has it.",
        )
    evidence, _, fix = (meter.reason or "").partition("; ")
    return Advice(id=name, status="warn", what=f"The {meter.name} meter does not measure.", evidence=evidence, fix=fix)
