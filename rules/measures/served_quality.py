"""Quality of the answers that were given while the clock ran."""

from __future__ import annotations

import math
from collections.abc import Iterator

from oildrop.rules.case import Case
from oildrop.rules.measures.making import absent, present
from oildrop.rules.records import Metric


def answer_metrics(case: Case) -> Iterator[Metric]:
    """`final_quality` and `greedy_agreement`, recomputed from the assessed answers."""
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
    if answers is None or case.agreement is None:
        reason = "no answer was compared with the reference"
        yield absent("greedy_agreement", reason, formula="agreement/1", scope="run")
    else:
        compared = sum(answers.compared_count)
        yield present("greedy_agreement", case.agreement, formula="agreement/1", scope="run", sample_count=compared)
