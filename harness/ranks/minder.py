"""Stands over one rank and tells the supervisor how it ended: `... minder FRAMEWORK ADDRESS COMMAND...`.

The launchers tell exit statuses in prose, if at all. The minder is the rank's parent, so the kernel tells it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from oildrop.harness.messages import RANK_ENDED, Emitter, open_channel
from oildrop.harness.ranks.lineage import die_with_parent

RANK_VARIABLES = {"torch": "RANK", "mlx": "MLX_RANK"}
"""Where each framework's launcher says which rank a process is."""


def main() -> int:
    """Run the worker as the rank that the launcher says; returns an exit status as shells give it."""
    die_with_parent()
    framework, address, *command = sys.argv[1:]
    rank = int(os.environ[RANK_VARIABLES[framework]])
    status = subprocess.call([*command, "--rank", str(rank)])
    emitter = Emitter(open_channel(address, rank))
    emitter.emit(RANK_ENDED, rank, {"status": status})
    emitter.flush()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
