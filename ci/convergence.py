"""Reference runs of one benchmark: `python -m oildrop.ci.convergence BENCHMARK --store DIR > reference.toml`.

Starts the `oildrop` executable for the rulebook's own seeds, and prints the reference file that belongs into
`rules/v1/reference/`: samples to target of each run, their spread, and how they were made.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

MINIMUM_RUNS = 20


def reference_runs(benchmark: str, tier: str, backend: str, runs: int, store: Path) -> list[dict[str, Any]]:
    """Runs that `oildrop run` made just now, as its JSON document gives them.

    Raises:
        SystemExit: Some did not end `ok`; reference points need every run.
    """
    executable = Path(sys.executable).with_name("oildrop")
    words = ["run", benchmark, "--tier", tier, "--backend", backend, "--runs", str(runs), "--store", str(store)]
    done = subprocess.run([str(executable), *words, "--json"], stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        raise SystemExit(f"oildrop run ended with exit code {done.returncode} and no document")
    found: list[dict[str, Any]] = json.loads(done.stdout)["runs"]
    failed = [f"{run['run_id']}: {run['outcome']}" for run in found if run["outcome"] != "ok"]
    if failed:
        raise SystemExit("not every run ended ok, so there is no reference: " + "; ".join(failed))
    return found


def samples_to_target(run: dict[str, Any]) -> float:
    """The interpolated samples to target of one run."""
    values = [metric["value"] for metric in run["metrics"] if metric["name"] == "samples_to_target"]
    return float(values[0])


def reference_file(benchmark: str, tier: str, framework: str, dtype: str, runs: list[dict[str, Any]], day: str) -> str:
    """The text of the reference file; seeds and samples in the order of the seeds."""
    ordered = sorted(runs, key=lambda run: int(run["seed_index"]))
    samples = [round(samples_to_target(run), 1) for run in ordered]
    variation = statistics.stdev(samples) / statistics.fmean(samples)
    seeds = ", ".join(str(run["seed"]) for run in ordered)
    return f"""schema = "oildrop.reference/1"
benchmark = "{benchmark}"
tier = "{tier}"
framework = "{framework}"
dtype = "{dtype}"
measured = "{day}"
seeds = [{seeds}]
samples_to_target = [{", ".join(str(value) for value in samples)}]
coefficient_of_variation = {variation:.5f}
how = "{len(runs)} runs of the released harness on the rulebook's seeds {ordered[0]["seed_index"]} to \
{ordered[-1]["seed_index"]}, made by ci/convergence.py; samples at the interpolated crossing."
"""


def main() -> None:
    """Make the runs and print the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("benchmark")
    parser.add_argument("--tier", default="nano")
    parser.add_argument("--backend", default="torch-cpu")
    parser.add_argument("--runs", type=int, default=MINIMUM_RUNS)
    parser.add_argument("--store", type=Path, required=True)
    words = parser.parse_args()
    if words.runs < MINIMUM_RUNS:
        parser.error(f"--runs {words.runs} is under {MINIMUM_RUNS}, the least for a reference")
    runs = reference_runs(words.benchmark, words.tier, words.backend, words.runs, words.store)
    bundle = words.store / "runs" / runs[0]["run_id"]
    spec = json.loads((bundle / "spec.json").read_text())
    system = json.loads((bundle / "system.json").read_text())
    framework = words.backend.split("-")[0]
    version = system["software"]["frameworks"][framework]
    dtype = str(spec["settings"]["execution.dtype"])
    day = spec["created_utc"][:10]
    sys.stdout.write(reference_file(words.benchmark, words.tier, f"{framework} {version}", dtype, runs, day))


if __name__ == "__main__":
    main()
