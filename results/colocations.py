"""Runs of a store that were measured two at once, by the measurement that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oildrop.results.rows import RunRow
from oildrop.rules.colocation import ColocationResult, Figure, Part, colocation_of


def colocations_of(rows: Iterable[RunRow]) -> dict[str, list[RunRow]]:
    """By the id of each measurement its runs, in order of pair and time; other runs are left out."""
    found: dict[str, list[RunRow]] = {}
    for row in rows:
        if row.spec.colocation is not None:
            found.setdefault(row.spec.colocation.experiment_id, []).append(row)
    for group in found.values():
        group.sort(key=lambda row: (row.spec.colocation.pair if row.spec.colocation else 0, row.run_id))
    return found


def result_of(rows: Sequence[RunRow]) -> ColocationResult:
    """What the runs of one measurement say together."""
    return colocation_of(
        [
            Part(
                pair=row.spec.colocation.pair,
                trains=row.spec.scenario is None,
                beside=row.spec.beside_run_id is not None,
                run_id=row.run_id,
                outcome=row.outcome,
                metrics=row.judgement.metrics,
            )
            for row in rows
            if row.spec.colocation is not None
        ]
    )


def colocation_document(result: ColocationResult) -> dict[str, Any]:
    """The figures over all pairs and each pair, as `oildrop.colocate/1` has them."""
    return {"figures": list(result.figures), "pairs": list(result.pairs)}


SUBJECTS = {
    "train_tokens_per_s": "training loses",
    "train_samples_per_s": "training loses",
    "requests_per_s": "serving loses",
    "latency_s_p99": "p99 latency is",
    "energy_j": "energy of both is",
}
UNKNOWN = {
    "train_tokens_per_s": "what training loses",
    "train_samples_per_s": "what training loses",
    "requests_per_s": "what serving loses",
    "latency_s_p99": "p99 latency beside that alone",
    "energy_j": "energy of both beside that alone",
}
OF_WHAT = {
    "train_tokens_per_s": "of its tokens/s",
    "train_samples_per_s": "of its samples/s",
    "requests_per_s": "of its requests/s",
    "latency_s_p99": "times that alone",
    "energy_j": "times that of the same work one after the other",
}


def figure_sentence(figure: Figure) -> str:
    """`training loses 41.2 % (95 % interval 38.0 to 44.1 %) of its tokens/s`, or why that is not known."""
    if figure.value is None:
        return f"{UNKNOWN[figure.of]} is not known: {figure.reason}"
    share = figure.name == "colocation_loss_fraction"
    value = _text(figure.value, share)
    interval = ", without an interval: " + str(figure.reason or "equal values")
    if figure.low is not None and figure.high is not None:
        interval = f" (95 % interval {_text(figure.low, share)} to {_text(figure.high, share)})"
        return f"{SUBJECTS[figure.of]} {value}{interval} {OF_WHAT[figure.of]}"
    return f"{SUBJECTS[figure.of]} {value} {OF_WHAT[figure.of]}{interval}"


def _text(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else f"{value:.3g}"
