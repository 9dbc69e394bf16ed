"""What JAX can be told about compiler and threads: nothing that it does not do by itself."""

from __future__ import annotations

import os

from oildrop.rules.errors import Unsupported
from oildrop.workloads.protocols import Settings


def require_supported(settings: Settings) -> None:
    """Refuse `execution.compile` and `execution.threads` that XLA cannot be told. Raises Unsupported."""
    compiler, threads = settings["execution.compile"], int(settings["execution.threads"])
    if compiler != "eager":
        raise Unsupported(
            f"execution.compile is {compiler}: JAX has only its own compiler, which is always on; "
            "use execution.compile=eager"
        )
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if threads not in (0, available):
        raise Unsupported(
            f"execution.threads is {threads}: XLA keeps a thread for each of the {available} processors that this "
            f"process may use; use execution.threads=0, and for fewer start it under `taskset --cpu-list`"
        )
