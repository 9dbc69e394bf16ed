"""Stands in for the `oildrop` executable: `run` writes what a run leaves behind, `runs` reads it back.

The store's `known.json` names the workloads that may be asked for, by their words, and how each seed ends.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any


def main(words: list[str]) -> int:
    options: dict[str, str] = {}
    settings = []
    for name, value in pairwise(words):
        if name == "--set":
            settings.append(value)
        elif name.startswith("--"):
            options[name] = value
    store = Path(options["--store"])
    (store / "calls.txt").open("a").write(" ".join(words) + "\n")
    document = store / "document.json"
    runs = json.loads(document.read_text()) if document.exists() else []
    if words[0] == "run":
        known = json.loads((store / "known.json").read_text())
        asked = " ".join([options["--division"], *sorted(settings)])
        if asked not in known:
            sys.stderr.write(f"unknown: {asked}\n")
            return 2
        for seed in map(int, options["--seeds"].split(",")):
            runs.append(one_run(store, words[1], options, known[asked], seed, len(runs)))
        document.write_text(json.dumps(runs))
    sys.stdout.write(json.dumps({"schema": "oildrop.runs/1", "runs": runs}))
    return 0


def one_run(store: Path, benchmark: str, options: dict[str, str], known: Any, seed: int, number: int) -> dict[str, Any]:
    run_id = f"20261124-000000-{number:06d}-aaaaaa"
    folder = store / "runs" / run_id
    folder.mkdir(parents=True)
    system = json.loads((store / "system.json").read_text())
    (folder / "system.json").write_text(json.dumps(system))
    spec = {"oildrop_version": system["software"]["oildrop"], "created_utc": "2026-11-24T10:00:00.000Z"}
    (folder / "spec.json").write_text(json.dumps(spec))
    outcome = known["outcomes"].pop(str(seed), "ok")
    samples = known["samples"][seed] if outcome == "ok" else None
    return {
        "run_id": run_id, "benchmark": benchmark, "tier": options["--tier"], "backend": options["--backend"],
        "seed": known["seeds"][seed], "seed_index": seed, "outcome": outcome, "reason": "as planned",
        "workload_id": known["workload_id"], "metrics": [{"name": "samples_to_target", "value": samples}],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
