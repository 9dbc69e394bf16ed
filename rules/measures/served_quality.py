"""Quality of the answers that were given while the clock ran."""

from __future__ import annotations

import math
from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric
from oildrop.rules.statistics import Estimate


def answer_metrics(case: Case) -> Iterator[Metric]:
    """`final_quality`, `final_accuracy` and `greedy_agreement`, recomputed from the assessed answers."""
    answers, quality = case.evidence.answers, case.answer_quality
    formula = f"{case.benchmark.quality.metric}/1" if case.benchmark else "quality/1"
    if answers is None or quality is None or not math.isfinite(quality):
        reason = "no answer was assessed" if quality is None else "the loss of an assessed answer was not finite"
        yield absent("final_quality", reason, formula=formula, scope="run")
    elif not case.has_checkpoint:
        reason = "the weights are random: the loss of their answers says nothing"
        yield absent("final_quality", reason, formula=formula, scope="run", status="not_applicable")
    else:
        yield present("final_quality", quality, formula=formula, scope="run", sample_count=len(answers.index))
    yield from _accuracy(case)
    if answers is None or case.agreement is None:
        reason = "no answer was compared with the reference"
        yield absent("greedy_agreement", reason, formula="agreement/1", scope="run")
    else:
        compared = sum(answers.compared_count)
        yield present("greedy_agreement", case.agreement, formula="agreement/1", scope="run", sample_count=compared)


def _accuracy(case: Case) -> Iterator[Metric]:
    """The headline, and beside it the reference's accuracy over the same answers."""
    name, found, reference = "final_accuracy", case.answer_accuracy, case.reference_accuracy
    accuracy = case.benchmark.quality.accuracy if case.benchmark else None
    formula = f"{accuracy or 'accuracy'}/1"
    if accuracy is None:
        reason = "this benchmark calls no answer right or wrong"
        yield absent(name, reason, formula=formula, scope="run", status="not_applicable")
    elif not case.has_checkpoint:
        reason = "the weights are random: what they answer is right by chance alone"
        yield absent(name, reason, formula=formula, scope="run", status="not_applicable")
    elif found is None:
        yield absent(name, "no answer was found right or wrong", formula=formula, scope="run")
    else:
        yield _share(name, found, formula)
        if reference is not None:
            yield _share(name, reference, formula, model="reference")


def _share(name: str, found: Estimate, formula: str, **dims: str) -> Metric:
    """With the wider half of its interval as uncertainty."""
    ends = [abs(found.value - end) for end in (found.low, found.high) if end is not None]
    return present(
        name, found.value, formula=formula, scope="run", uncertainty=max(ends), sample_count=found.count, dims=dims
    )
