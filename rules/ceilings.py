"""What share of a machine's measured ceilings a run reached: worked out over two runs, when one of them is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from oildrop.rules.measures.making import present
from oildrop.rules.records import Judgement, Metric, RunSpec
from oildrop.rules.rulebook import Rulebook

FLOP, READ = "ceiling_flop_fraction", "ceiling_read_fraction"

Key = tuple[str, str, str, object]
"""Whose ceilings: system, software, backend, and threads of a processor."""


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """What one calibration found.

    Attributes:
        flop_per_s: Of products, by number format.
        read_bytes_per_s: Of the device's memory; None where it was not measured.
    """

    run_id: str
    flop_per_s: Mapping[str, float]
    read_bytes_per_s: float | None


def key_of(spec: RunSpec) -> Key:
    """Runs of one key are held against one another's ceilings: another framework's best product is another's."""
    return spec.system_id, spec.software_id, spec.backend, spec.settings.get("execution.threads", 0)


def shows_ceilings(spec: RunSpec, outcome: str, rulebook: Rulebook) -> bool:
    """Whether a run is a calibration that is `ok` and of a tier that is not provisional."""
    return spec.kind == "calibrate" and outcome == "ok" and not _is_provisional(spec, rulebook)


def newest_ceilings(runs: Iterable[tuple[RunSpec, Judgement]], rulebook: Rulebook) -> dict[Key, Ceilings]:
    """Of each key the ceilings of the newest calibration that shows any."""
    found: dict[Key, tuple[str, Ceilings]] = {}
    for spec, judgement in runs:
        if not shows_ceilings(spec, judgement.outcome, rulebook):
            continue
        when, key = f"{spec.created_utc} {spec.run_id}", key_of(spec)
        if key not in found or when > found[key][0]:
            found[key] = (when, _ceilings(spec.run_id, judgement.metrics))
    return {key: ceilings for key, (_, ceilings) in found.items()}


def shares_of(spec: RunSpec, headlines: Mapping[str, Metric], ceilings: Ceilings | None) -> tuple[Metric, ...]:
    """`ceiling_flop_fraction` and `ceiling_read_fraction` of a run, those that can be known.

    Several accelerators share their work: each is held against one ceiling. A processor's ceiling is that of all cores.
    """
    if ceilings is None or spec.kind == "calibrate":
        return ()
    devices = 1 if spec.backend.endswith("-cpu") else int(spec.settings.get("execution.devices", 1))
    dtype = str(spec.settings.get("execution.dtype"))
    pairs = (
        (FLOP, headlines.get("model_flop_per_s"), ceilings.flop_per_s.get(dtype)),
        (READ, headlines.get("decode_read_bytes_per_s"), ceilings.read_bytes_per_s),
    )
    return tuple(
        present(
            name,
            metric.value / (ceiling * devices),
            formula=f"{name}/1",
            scope="device",
            status="derived",
            dims={"calibration": ceilings.run_id},
        )
        for name, metric, ceiling in pairs
        if metric is not None and metric.value is not None and ceiling
    )


def _is_provisional(spec: RunSpec, rulebook: Rulebook) -> bool:
    benchmark = rulebook.benchmarks.get(spec.benchmark)
    tier = benchmark.tiers.get(spec.tier) if benchmark else None
    return tier is None or tier.provisional is not None


def _ceilings(run_id: str, metrics: Iterable[Metric]) -> Ceilings:
    flop_per_s: dict[str, float] = {}
    read = None
    for metric in metrics:
        if metric.value is None:
            continue
        if metric.name == "matmul_flop_per_s" and "dtype" in metric.dims:
            flop_per_s[metric.dims["dtype"]] = metric.value
        elif metric.name == "read_bandwidth_bytes_per_s":
            read = metric.value
    return Ceilings(run_id=run_id, flop_per_s=flop_per_s, read_bytes_per_s=read)
