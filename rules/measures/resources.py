"""Memory and busy fraction from what meters and the worker said."""

from __future__ import annotations

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.evidence import Series
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric


def memory_metric(case: Case) -> Metric:
    """`memory_peak_bytes`: what the device says of its high-water mark, else the worker's largest resident set."""
    formula = "memory_peak/1"
    reported = [event for event in case.evidence.all(keys.MEMORY) if isinstance(event.value, int)]
    if not reported:
        return absent(
            "memory_peak_bytes", "nobody reported a high-water mark before the end", formula=formula, scope="process"
        )
    # The worker's own mark comes from the device or the kernel; the supervisor's is sampled and may miss a peak.
    own = [event for event in reported if event.meta.get("by") != "supervisor"] or reported
    event = own[-1]
    return present("memory_peak_bytes", event.value, formula=formula, scope=str(event.meta.get("scope", "process")))


def busy_metric(case: Case) -> Metric:
    """`busy_fraction`: a device's own counter where a meter reads it, else processor time of the worker."""
    if not case.evidence.spec.backend.endswith("-cpu"):
        return _device_busy(case)
    formula, timeline, system = "busy_cpu/1", case.timeline, case.evidence.system
    series = find_series(case, "process", "cpu_s", device="worker")
    if timeline.run_start_ns is None or timeline.run_stop_ns is None:
        return absent("busy_fraction", "the run has no run_start or no run_stop", formula=formula, scope="process")
    if timeline.restarts:
        reason = "the workers were restarted, and the count of their processor time with them"
        return absent("busy_fraction", reason, formula=formula, scope="process")
    if series is None or system is None:
        return absent("busy_fraction", "no meter read the worker's processor time", formula=formula, scope="process")
    window = (timeline.run_start_ns, timeline.run_stop_ns)
    inside = [(t, value) for t, value in zip(series.t_ns, series.values, strict=True) if window[0] <= t <= window[1]]
    if len(inside) < 2 or inside[-1][0] == inside[0][0]:
        return absent(
            "busy_fraction", "fewer than two samples between run_start and run_stop", formula=formula, scope="process"
        )
    (first_ns, first_s), (last_ns, last_s) = inside[0], inside[-1]
    passed_s = (last_ns - first_ns) / 1e9
    if last_s <= first_s:
        reason = f"the count of the worker's processor time, kept in ticks, did not move in {passed_s:.3g} s of samples"
        return absent("busy_fraction", reason, formula=formula, scope="process")
    share = (last_s - first_s) / (passed_s * system.cpu.usable_cores)
    return present(
        "busy_fraction",
        share,
        formula=formula,
        scope="process",
        sample_count=len(inside),
        window_ns=(first_ns, last_ns),
    )


def _device_busy(case: Case) -> Metric:
    formula, timeline = "busy_device/1", case.timeline
    if timeline.run_start_ns is None or timeline.run_stop_ns is None:
        return absent("busy_fraction", "the run has no run_start or no run_stop", formula=formula, scope="device")
    window = (timeline.run_start_ns, timeline.run_stop_ns)
    values = [
        value
        for series in case.evidence.series
        if series.quantity == "busy_fraction" and series.scope == "device"
        for t, value in zip(series.t_ns, series.values, strict=True)
        if window[0] <= t <= window[1]
    ]
    if not values:
        return absent(
            "busy_fraction", "no meter of this machine reads the device's busy time", formula=formula, scope="device"
        )
    mean = sum(values) / len(values)
    return present("busy_fraction", mean, formula=formula, scope="device", sample_count=len(values), window_ns=window)


def find_series(case: Case, meter: str, quantity: str, *, device: str) -> Series | None:
    """The series of one quantity of one device, or None."""
    for series in case.evidence.series:
        if (series.meter, series.quantity, series.device) == (meter, quantity, device):
            return series
    return None
