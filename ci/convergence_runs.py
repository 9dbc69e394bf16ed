"""Make and find the runs of a series: everything that starts the `oildrop` executable or reads a store."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oildrop.ci.convergence_plan import Command, Series
from oildrop.rules.errors import OildropError
from oildrop.rules.reference import ReferenceRun
from oildrop.rules.system import System

STOPPED = ("cancelled", "lost", "started", "unsupported", "withdrawn")
"""Outcomes that say nothing of convergence: such a seed is run again. Any other but `ok` spoils its point."""

CALLED_WRONGLY = 2


@dataclass(frozen=True, kw_only=True)
class Farm:
    """Where runs are made and kept.

    Attributes:
        executable: The `oildrop` that makes them.
        store: The folder that keeps them.
    """

    executable: Path
    store: Path
    benchmark: str
    tier: str


@dataclass(frozen=True, kw_only=True)
class Attempts:
    """All registered runs of one series.

    Attributes:
        ok: The first good run of each planned seed number, by ascending seed number.
        failed: Runs that did not reach the target or broke a rule.
        stopped: Runs that ended by other means; their seeds are run again.
        missing: Planned seed numbers without a good run.
    """

    series: Series
    ok: tuple[dict[str, Any], ...]
    failed: tuple[dict[str, Any], ...]
    stopped: tuple[dict[str, Any], ...]
    missing: tuple[int, ...]


def attempts_of(series: Series, command: Command, runs: Sequence[dict[str, Any]]) -> Attempts:
    """The runs of `series` among those of an `oildrop.runs/1` document."""
    own = [run for run in runs if (run["workload_id"], run["backend"]) == (command.workload_id, series.backend)]
    own.sort(key=lambda run: str(run["run_id"]))
    good: dict[int, dict[str, Any]] = {}
    for run in own:
        if run["outcome"] == "ok" and run["seed_index"] in series.seeds:
            good.setdefault(run["seed_index"], run)
    return Attempts(
        series=series,
        ok=tuple(good[index] for index in sorted(good)),
        failed=tuple(run for run in own if run["outcome"] not in ("ok", *STOPPED)),
        stopped=tuple(run for run in own if run["outcome"] in STOPPED),
        missing=tuple(index for index in series.seeds if index not in good),
    )


def runs_in(farm: Farm) -> list[dict[str, Any]]:
    """Every run of the benchmark and tier in the store, failed ones too. Raises OildropError when it cannot be read."""
    words = ["runs", "--benchmark", farm.benchmark, "--store", str(farm.store), "--json"]
    runs: list[dict[str, Any]] = _document(farm, words)["runs"]
    return [run for run in runs if run["tier"] == farm.tier]


def make_runs(farm: Farm, series: Series, command: Command, seeds: Sequence[int]) -> None:
    """Have the runs of these seed numbers made; how they ended is read from the store.

    Raises:
        OildropError: The executable was called wrongly or gave no document.
    """
    settings = [word for key, value in command.settings.items() for word in ("--set", f"{key}={value}")]
    words = ["run", farm.benchmark, "--tier", farm.tier, "--backend", series.backend, "--division", command.division]
    _document(farm, [*words, *settings, "--seeds", ",".join(map(str, seeds)), "--store", str(farm.store), "--json"])


def _document(farm: Farm, words: Sequence[str]) -> dict[str, Any]:
    with subprocess.Popen([str(farm.executable), *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            text, _ = process.communicate()
        except KeyboardInterrupt:
            process.wait()  # the signal reached it too: it records its run as cancelled
            raise
    if process.returncode == CALLED_WRONGLY or not text:
        called, code = " ".join(["oildrop", *words]), process.returncode
        raise OildropError(f"`{called}` ended with exit code {code} and no document; see its message above")
    document: dict[str, Any] = json.loads(text)
    return document


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Which harness made a run, where and when."""

    oildrop_version: str
    git_revision: str | None
    day: str
    system: str


def reference_run(farm: Farm, series: Series, run: dict[str, Any]) -> tuple[ReferenceRun, Provenance]:
    """A good run as a reference point keeps it, and its provenance from its bundle."""
    folder = farm.store / "runs" / str(run["run_id"])
    system = System.model_validate_json((folder / "system.json").read_bytes())
    spec = json.loads((folder / "spec.json").read_bytes())
    framework = series.backend.split("-")[0]
    kept = ReferenceRun(
        seed_index=run["seed_index"],
        seed=run["seed"],
        framework=f"{framework} {system.software.frameworks[framework]}",
        backend=series.backend,
        dtype=series.dtype,
        samples_to_target=round(_samples_to_target(run), 1),
    )
    return kept, Provenance(
        oildrop_version=spec["oildrop_version"],
        git_revision=system.software.git_revision,
        day=spec["created_utc"][:10],
        system=_words(system),
    )


def _samples_to_target(run: dict[str, Any]) -> float:
    value = next(metric["value"] for metric in run["metrics"] if metric["name"] == "samples_to_target")
    return float(value)


def _words(system: System) -> str:
    """A machine in words: accelerators, processor and its cores, operating system."""
    devices = [f"{device.vendor} {device.model}" for device in system.accelerators]
    counted = [f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices)]
    cpu = f"{system.cpu.model or system.cpu.architecture}, {system.cpu.usable_cores} logical cores"
    return "; ".join([*counted, cpu, f"{system.os.name} {system.os.release}"])
