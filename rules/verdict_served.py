"""How a served run ended by itself: answered well enough, and soon enough."""

from __future__ import annotations

import math

from oildrop.rules import keys
from oildrop.rules.bounds_text import bounds_text
from oildrop.rules.case import Case
from oildrop.rules.formulas.early_stopping import is_enough, least_queries, least_queries_for_estimate
from oildrop.rules.outcomes import Verdict
from oildrop.rules.rulebook_parts import Bounds, Terms
from oildrop.rules.served import Served


def served_ending(case: Case) -> Verdict | None:
    """The outcome that requests and answers show; None where the run was ended before it could show one.

    A run that its generator gave up (`run_stop` aborted: the queue had grown over its limit) has missed its bounds.
    """
    stop, served = case.evidence.first(keys.RUN_STOP), case.served
    if stop is None or served is None or not served.count:
        return None
    if not served.answered:
        return Verdict(outcome="crash", reason=f"no request was answered; {served.failures_in_words}")
    wrong = _wrong_answers(case)
    if wrong is not None:
        return Verdict(outcome="accuracy_fail", reason=wrong)
    late = late_answers(case)
    if late is not None:
        return Verdict(outcome="target_missed", reason=late)
    if stop.meta.get("status") != "success" or _assessment_is_missing(case):
        return None
    return Verdict(outcome="ok", reason=served.failures_in_words if served.failed else None)


def _assessment_is_missing(case: Case) -> bool:
    """Whether answers were to be assessed and the run ended before they were: a table that is damaged was announced."""
    announced = any("first_ns" not in event.meta for event in case.evidence.all(keys.CHUNK))  # requests have times
    return case.evidence.answers is None and not announced and "assess.least" in case.evidence.spec.settings


def _wrong_answers(case: Case) -> str | None:
    """Why the answers are not good enough; None where they are, or where nothing is known of them."""
    quality, target, benchmark = case.answer_quality, case.target, case.benchmark
    if not case.has_checkpoint:
        return None
    if benchmark is not None and quality is not None and target is not None:
        unit = benchmark.quality.unit
        if not math.isfinite(quality):
            return "the loss of the assessed answers was not finite"
        if not case.meets(quality):
            return f"quality {quality:.4g} {unit} of the assessed answers is not within {target:g} {unit}"
    too_few = _too_few_right(case)
    if too_few is not None:
        return too_few
    least, agreement = least_agreement(case), case.agreement
    if least is not None and agreement is not None and agreement < least:
        return f"{agreement:.2%} of the compared answers agree with the reference; at least {least:.2%} must"
    return None


def _too_few_right(case: Case) -> str | None:
    """Why fewer answers are right than the reference's accuracy asks; None where enough may be, or nothing is asked.

    The share is that of a sample, so it fails only where even the upper end of its Wilson interval is too low.
    """
    found, reference = case.answer_accuracy, case.reference_accuracy
    least = case.benchmark.quality.least_relative_accuracy if case.benchmark else None
    if least is None or found is None or found.high is None or reference is None:
        return None
    if found.high >= least * reference.value:
        return None
    return (
        f"{found.value:.2%} of {found.count} assessed answers are right, at most {found.high:.2%} of all are; the "
        f"reference has {reference.value:.2%}, of which {least:.0%} must be reached"
    )


def least_agreement(case: Case) -> float | None:
    """Least share of answers that must equal the reference's at the run's numeric format; None where none is stated."""
    settings = case.evidence.spec.settings
    weights = str(settings.get("execution.weights", "as-trained"))
    numbers = str(settings.get("execution.dtype")) if weights == "as-trained" else weights
    return case.benchmark.quality.least_agreement.get(numbers) if case.benchmark else None


def late_answers(case: Case) -> str | None:
    """Why the scenario's bounds were not held at its percentile; None where they were, or where it has none."""
    terms, served = case.terms, case.served
    if terms is None or served is None or terms.bounds == Bounds():
        return None
    over, count = served.missed(terms.bounds)
    if not over_limit(over, count, terms):
        return None
    rate = case.evidence.spec.rate_per_s
    at = f" at {rate:g} queries/s" if rate is not None else ""
    held = f"{(count - over) / count:.2%} of {count} were answered within {bounds_text(terms.bounds)}{at}"
    if (count - over) / count >= terms.percentile:
        least = least_queries(over, terms.percentile)
        return f"{held}: with {over} over, {terms.percentile:.1%} is sure from {least} on"
    return f"{held}; {terms.percentile:.1%} must be{_failures(served)}"


def over_limit(over: int, count: int, terms: Terms) -> bool:
    """Whether `over` late answers of `count` miss the percentile.

    Where the tier asks for enough queries to be confident of its percentile, the early-stopping bound decides; where it
    asks for fewer (it is never ranked then), the share itself.
    """
    if terms.minimum_queries >= least_queries_for_estimate(terms.percentile):
        return not is_enough(count, over, terms.percentile)
    return (count - over) / count < terms.percentile


def _failures(served: Served) -> str:
    return f"; {served.failures_in_words}" if served.failed else ""
