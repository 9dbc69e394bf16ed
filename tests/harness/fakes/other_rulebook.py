"""The real worker, but rank 1 has a benchmark file of its own."""

from __future__ import annotations

import sys
from dataclasses import replace

from oildrop.harness import phases, worker
from oildrop.rules.loading import load_rulebook
from oildrop.rules.rulebook import Rulebook


def other_rulebook() -> Rulebook:
    rulebook = load_rulebook()
    changed = {
        name: benchmark.model_copy(update={"sha256": "f" * 64}) for name, benchmark in rulebook.benchmarks.items()
    }
    return replace(rulebook, benchmarks=changed)


if sys.argv[sys.argv.index("--rank") + 1] == "1":
    phases.load_rulebook = other_rulebook  # type: ignore[attr-defined]
worker.main()
