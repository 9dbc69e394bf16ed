"""MLCommons' load generator, package `mlcommons-loadgen`, around a Python system that does nothing."""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

SAMPLES = 1024
"""Of its sample library; nothing is read from it."""


class TheirLoad:
    """Runs its generator for `seconds` at a time; raises ImportError where it is not installed."""

    def __init__(self, seconds: float) -> None:
        import mlperf_loadgen

        self._loadgen: Any = mlperf_loadgen
        self._seconds = seconds
        self._last_rate = 500_000.0

    def single_stream_per_s(self) -> float:
        """Queries a second, each issued when the one before was answered."""
        _, stamps = self._run("SingleStream", single_stream_expected_latency_ns=4000)
        return (len(stamps) - 1) / (stamps[-1][0] - stamps[0][0]) * 1e9

    def offline_per_s(self) -> float:
        """Samples a second of one query that holds all; it has to be told what to expect, and takes a tenth more."""
        summary, _ = self._run("Offline", offline_expected_qps=self._last_rate)
        self._last_rate = _number(summary, "Samples per second")
        return self._last_rate

    def lateness_p99_s(self, rate_per_s: float) -> float:
        """99th percentile of the time from a query's due time until the system is called, seconds.

        What it states is latency, up to the answer; the median time of the answer is taken off.
        """
        summary, stamps = self._run("Server", server_target_qps=rate_per_s, server_target_latency_ns=10**9)
        latency_ns = _number(summary, "99.00 percentile latency (ns)")
        return max(latency_ns - statistics.median(after - before for before, after in stamps), 1.0) / 1e9

    def _run(self, scenario: str, **settings: float) -> tuple[str, list[tuple[int, int]]]:
        """Its summary, and when each call of the system began and had answered, nanoseconds."""
        loadgen = self._loadgen
        asked = loadgen.TestSettings()
        asked.scenario = getattr(loadgen.TestScenario, scenario)
        asked.mode = loadgen.TestMode.PerformanceOnly
        asked.min_duration_ms = round(self._seconds * 1000)
        asked.min_query_count = 64
        for name, value in settings.items():
            setattr(asked, name, value)
        stamps: list[tuple[int, int]] = []

        def issue(samples: Any) -> None:
            before = time.monotonic_ns()
            loadgen.QuerySamplesComplete([loadgen.QuerySampleResponse(sample.id, 0, 0) for sample in samples])
            stamps.append((before, time.monotonic_ns()))

        system = loadgen.ConstructSUT(issue, lambda: None)
        library = loadgen.ConstructQSL(SAMPLES, SAMPLES, lambda indices: None, lambda indices: None)
        with tempfile.TemporaryDirectory() as folder:
            log = loadgen.LogSettings()
            log.enable_trace = False
            log.log_output.outdir = folder
            log.log_output.copy_summary_to_stdout = False
            loadgen.StartTestWithLogSettings(system, library, asked, log, "")
            loadgen.DestroyQSL(library)
            loadgen.DestroySUT(system)
            return (Path(folder) / "mlperf_log_summary.txt").read_text(), stamps


def _number(summary: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)}\s*:\s*(\S+)", summary, re.MULTILINE)
    if found is None:
        raise ValueError(f"the summary does not state {name}")
    return float(found[1])
