"""What MLX can be told about compiler and threads: nothing that it does not do by itself."""

from __future__ import annotations

from oildrop.rules.errors import Unsupported
from oildrop.workloads.protocols import Settings


def require_supported(settings: Settings) -> None:
    """Refuse `execution.compile` and `execution.threads` that MLX cannot be told. Raises Unsupported."""
    compiler, threads = settings["execution.compile"], int(settings["execution.threads"])
    if compiler != "eager":
        raise Unsupported(
            f"execution.compile is {compiler}: MLX has only its own compiler, which is always on; "
            "use execution.compile=eager"
        )
    if threads != 0:
        raise Unsupported(
            f"execution.threads is {threads}: MLX has no setting for its threads; use execution.threads=0"
        )
