"""What several devices did together: rates a device, and restarts."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.measures.speed import rate_metrics
from oildrop.rules.records import Metric

FORMULA = "throughput_per_device/1"


def devices_of(case: Case) -> int:
    """How many devices share each batch; 1 where the benchmark has no such setting."""
    devices = case.evidence.spec.settings.get("execution.devices", 1)
    return devices if isinstance(devices, int) and devices > 0 else 1


def device_metrics(case: Case) -> Iterator[Metric]:
    """Rates a device, `scaling_efficiency` (never of one run), and `restarts`."""
    devices = devices_of(case)
    for whole in rate_metrics(case):
        name = f"{whole.name}_per_device"
        if whole.value is None:
            yield absent(name, str(whole.reason), formula=FORMULA, scope="run")
            continue
        yield present(
            name,
            whole.value / devices,
            formula=FORMULA,
            scope="run",
            status="derived",
            uncertainty=None if whole.uncertainty is None else whole.uncertainty / devices,
            sample_count=whole.sample_count,
            window_ns=whole.window_ns,
        )
    reason = "one run says nothing of it: compare a run of N devices with one of 1 (`oildrop compare`)"
    yield absent("scaling_efficiency", reason, formula="scaling_efficiency/1", scope="run", status="not_applicable")
    yield present("restarts", len(case.timeline.restarts), formula="restarts/1", scope="run")
