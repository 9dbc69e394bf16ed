"""Which measures a kind of run has; each yields some of the metrics that the catalogue lists for it."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.measures.ceilings import ceiling_metrics
from oildrop.rules.measures.devices import device_metrics
from oildrop.rules.measures.energy_parts import energy_metrics
from oildrop.rules.measures.overlap import beside_another
from oildrop.rules.measures.resources import busy_metric, memory_metric
from oildrop.rules.measures.served_cache import hit_rate_metrics
from oildrop.rules.measures.served_devices import resource_metrics
from oildrop.rules.measures.served_draft import draft_metrics
from oildrop.rules.measures.served_energy import served_energy_metrics
from oildrop.rules.measures.served_latency import latency_metrics, lateness_metric
from oildrop.rules.measures.served_phases import phase_metrics
from oildrop.rules.measures.served_quality import answer_metrics
from oildrop.rules.measures.served_rates import served_rate_metrics
from oildrop.rules.measures.served_traffic import served_traffic_metrics
from oildrop.rules.measures.served_transfer import transfer_metrics
from oildrop.rules.measures.served_work import served_work_metrics
from oildrop.rules.measures.speed import eval_metric, overhead_metric, rate_metrics, setup_metrics
from oildrop.rules.measures.target import quality_metrics, target_metrics
from oildrop.rules.measures.utilization import (
    counter_metrics,
    served_memory_metrics,
    train_memory_metrics,
    waiting_metrics,
)
from oildrop.rules.measures.work import work_metrics
from oildrop.rules.metric_meaning import CALIBRATE, SERVE
from oildrop.rules.outcomes import Verdict
from oildrop.rules.records import Metric


def all_metrics(case: Case, verdict: Verdict) -> Iterator[Metric]:
    """Every metric of the run's kind, in no order; the headline of a name before those with dims."""
    metrics = _own_metrics(case, verdict)
    yield from metrics if case.evidence.spec.beside_run_id is None else beside_another(case, metrics)


def _own_metrics(case: Case, verdict: Verdict) -> Iterator[Metric]:
    kind = case.evidence.spec.kind
    if kind in SERVE:
        yield from _served(case)
    elif kind in CALIBRATE:
        yield from _calibrated(case, verdict)
    else:
        yield from _trained(case, verdict)
    yield from setup_metrics(case)
    yield overhead_metric(case)


def _calibrated(case: Case, verdict: Verdict) -> Iterator[Metric]:
    yield from ceiling_metrics(case)
    yield from energy_metrics(case, verdict)
    yield busy_metric(case)
    yield memory_metric(case)
    yield from counter_metrics(case)


def _trained(case: Case, verdict: Verdict) -> Iterator[Metric]:
    yield from target_metrics(case, verdict)
    yield from quality_metrics(case)
    yield from rate_metrics(case)
    yield from device_metrics(case)
    yield eval_metric(case)
    yield from energy_metrics(case, verdict)
    yield from work_metrics(case)
    yield busy_metric(case)
    yield memory_metric(case)
    yield from counter_metrics(case)
    yield from train_memory_metrics(case)
    yield from waiting_metrics(case)


def _served(case: Case) -> Iterator[Metric]:
    yield from latency_metrics(case)
    yield lateness_metric(case)
    yield from served_rate_metrics(case)
    yield from phase_metrics(case)
    yield from answer_metrics(case)
    yield from transfer_metrics(case)
    yield from draft_metrics(case)
    yield from hit_rate_metrics(case)
    yield from served_energy_metrics(case)
    yield from served_work_metrics(case)
    yield from served_traffic_metrics(case)
    yield from resource_metrics(case)
    yield from counter_metrics(case)
    yield from served_memory_metrics(case)
