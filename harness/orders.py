"""What a worker is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Orders:
    """The worker's command line.

    Attributes:
        channel: Where the supervisor listens: an inherited descriptor's number, or a socket's path.
        rank: This process's among those that train together.
        checkpoints: Folder of checkpoints; None takes none.
        keep_weights: File that gets the trained weights after the clock; None keeps none.
        meet: Folder in which the worker of the run beside this one is met before the clock starts; None: none is.
        resume: Whether the run's clock is running already: go on from the newest checkpoint, or from the first step.
    """

    run_dir: Path
    channel: str
    rank: int
    checkpoints: Path | None
    keep_weights: Path | None
    resume: bool
    meet: Path | None = None


def parse_orders() -> Orders:
    """The orders of this process; ends it with a usage message where there are none."""
    parser = argparse.ArgumentParser(prog="oildrop.harness.worker", description="Run one rank of one run.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("channel")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--keep-weights", type=Path)
    parser.add_argument("--meet", type=Path)
    parser.add_argument("--resume", action="store_true")
    return Orders(**vars(parser.parse_args()))
