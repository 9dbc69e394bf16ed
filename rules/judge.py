"""The judge: a pure function from a run's evidence and its rulebook to metrics, findings and outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oildrop.rules.canonical import json_number
from oildrop.rules.case import Case
from oildrop.rules.catalogue import metrics_of
from oildrop.rules.checks import (
    answer_checks,
    cache_checks,
    colocation_checks,
    convergence_checks,
    draft_checks,
    log_checks,
    machine_checks,
    power_checks,
    rank_checks,
    serving_checks,
    task_checks,
    trust_checks,
)
from oildrop.rules.checks.registry import CHECKS, Judged
from oildrop.rules.evidence import Evidence
from oildrop.rules.measures.by_kind import all_metrics
from oildrop.rules.outcomes import Verdict
from oildrop.rules.records import Finding, Judgement, Metric
from oildrop.rules.rulebook import Rulebook
from oildrop.rules.verdict import derive

JUDGE_VERSION = "6"
"""Rises whenever the same evidence may be judged differently."""

CHECK_FILES = (
    log_checks, task_checks, convergence_checks, machine_checks, power_checks,
    rank_checks, serving_checks, answer_checks,
    cache_checks, draft_checks, colocation_checks, trust_checks,
)  # fmt: skip
"""The files whose import fills the table of checks."""


def judge(evidence: Evidence, rulebook: Rulebook) -> Judgement:
    """Metrics, findings and outcome of one run. Pure: the same bundle gives the same judgement everywhere."""
    return judge_case(Case(evidence, rulebook))


def judge_case(case: Case) -> Judgement:
    """As `judge`, over a case that others read too."""
    verdict = derive(case)
    metrics = measure(case, verdict)
    findings = examine(
        Judged(case=case, verdict=verdict, metrics={metric.name: metric for metric in metrics if not metric.dims})
    )
    final = weigh(verdict, findings)
    if final.outcome != verdict.outcome:
        metrics = measure(case, final)
    return Judgement(
        run_id=case.evidence.spec.run_id,
        outcome=final.outcome,
        reason=final.reason,
        metrics=metrics,
        findings=findings,
        judge_version=JUDGE_VERSION,
        tables_sha256=case.rulebook.tables_sha256,
    )


def measure(case: Case, verdict: Verdict) -> tuple[Metric, ...]:
    """Every metric of the run's kind in the catalogue's order, the headline of a name first."""
    made: dict[str, list[Metric]] = {}
    for metric in all_metrics(case, verdict):
        made.setdefault(metric.name, []).append(metric)
    return tuple(metric for name in metrics_of(case.evidence.spec.kind) for metric in made[name])


def examine(judged: Judged) -> tuple[Finding, ...]:
    """All findings of all rules, in the rulebook's order."""
    findings = []
    for rule in judged.case.rulebook.rules.values():
        check = CHECKS.get(rule.id)
        if check is None or judged.case.evidence.spec.kind not in rule.kinds:
            continue  # Not for this kind, or of a rulebook newer than this judge; `oildrop check` names both versions.
        for found in check(judged):
            findings.append(
                Finding(
                    rule=rule.id,
                    severity=rule.severity,
                    message=found.message,
                    evidence=_plain(found.evidence),
                    fix=found.fix,
                )
            )
    return tuple(findings)


def _plain(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence as JSON can hold it: NaN and infinity by name."""
    return {key: json_number(value) if isinstance(value, float) else value for key, value in evidence.items()}


def weigh(verdict: Verdict, findings: tuple[Finding, ...]) -> Verdict:
    """The outcome after the findings: a broken rule makes a run invalid unless it failed on its own."""
    grave = [finding for finding in findings if finding.severity in ("broken", "invalid")]
    if not grave or verdict.outcome not in ("ok", "target_missed", "invalid"):
        return verdict
    more = f" (and {len(grave) - 1} more)" if len(grave) > 1 else ""
    return Verdict(outcome="invalid", reason=f"{grave[0].rule}: {grave[0].message}{more}")
