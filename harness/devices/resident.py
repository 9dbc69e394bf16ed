"""The process's own memory, for devices that are the processor."""

from __future__ import annotations

import resource
import sys


def resident_peak_bytes() -> int:
    """Largest resident set of this process so far, bytes. Source: getrusage(2): kilobytes, on macOS bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
