"""One run before the judge: its evidence beside the rulebook that it ran under."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from oildrop.rules import keys
from oildrop.rules.events import Event
from oildrop.rules.evidence import EvaluationTable, Evidence
from oildrop.rules.formulas.quality import excess_loss
from oildrop.rules.metered import Metered
from oildrop.rules.rulebook import Benchmark, Rulebook, Tier
from oildrop.rules.rulebook_parts import Terms
from oildrop.rules.served import UNFINISHED, Served
from oildrop.rules.statistics import Estimate, wilson_interval
from oildrop.rules.timeline import EvaluationMark, Timeline, timeline_of


@dataclass(frozen=True)
class Case:
    """Evidence and rulebook, and what both together say; worked out once when first asked for."""

    evidence: Evidence
    rulebook: Rulebook

    @cached_property
    def timeline(self) -> Timeline:
        """Marks, blocks, evaluations and phases."""
        return timeline_of(self.evidence)

    @cached_property
    def benchmark(self) -> Benchmark | None:
        """The rulebook's benchmark of this run; None when it does not know it."""
        return self.rulebook.benchmarks.get(self.evidence.spec.benchmark)

    @cached_property
    def tier(self) -> Tier | None:
        """The rulebook's tier of this run; None when it does not know it."""
        return self.benchmark.tiers.get(self.evidence.spec.tier) if self.benchmark else None

    @property
    def target(self) -> float | None:
        """Quality to reach, or that a served model must keep; None for fixed work."""
        return self.tier.target if self.tier else None

    def meets(self, quality: float) -> bool:
        """Whether `quality` is at or beyond the target; NaN never is."""
        if self.benchmark is None or self.target is None:
            return False
        return quality <= self.target if self.benchmark.quality.better == "lower" else quality >= self.target

    @cached_property
    def meeting(self) -> int | None:
        """Index of the first evaluation whose logged quality meets the target, or None."""
        marks = self.timeline.evaluations
        return next((index for index, mark in enumerate(marks) if self.meets(mark.quality)), None)

    @cached_property
    def kept(self) -> dict[int, EvaluationTable]:
        """Per-document evidence by samples consumed."""
        return {table.samples: table for table in self.evidence.evaluations}

    def recomputed(self, mark: EvaluationMark) -> float | None:
        """Quality of `mark` worked out from its kept documents; None where none were kept."""
        table = self.kept.get(mark.samples)
        if table is None:
            return None
        return excess_loss(table.loss_nats, table.source_nats, table.token_count)

    @cached_property
    def final_quality(self) -> float | None:
        """Quality of the last evaluation, recomputed; None when that cannot be done or is not finite."""
        if not self.timeline.evaluations:
            return None
        quality = self.recomputed(self.timeline.evaluations[-1])
        return quality if quality is not None and math.isfinite(quality) else None

    @cached_property
    def terms(self) -> Terms | None:
        """The terms of the run's scenario at its tier; None for a training, or where the rulebook knows none."""
        return self.tier.scenarios.get(self.evidence.spec.scenario or "") if self.tier else None

    @cached_property
    def served(self) -> Served | None:
        """What its requests say together; None where no table of them was kept."""
        if self.evidence.requests is None:
            return None
        start_ns, stop_ns = self.timeline.run_start_ns, self.timeline.run_stop_ns
        return Served(
            self.evidence.requests,
            by_query=self.evidence.spec.scenario == "multi-stream",
            by_token="requests.output_tokens_max" in self.evidence.spec.settings,
            stop_ns=self.kept_until_ns if start_ns is None or stop_ns is None else stop_ns - start_ns,
        )

    @cached_property
    def kept_until_ns(self) -> int | None:
        """Of a served run without run_stop: until when, since run_start, all that happened is in its table of requests.

        That is when the last chunk was made, and beyond it the last heartbeat that counts no more ends than are kept.
        """
        start_ns, requests = self.timeline.run_start_ns, self.evidence.requests
        if start_ns is None or requests is None:
            return None
        ended = len(requests.outcome) - requests.outcome.count(UNFINISHED)
        kept = [event.meta.get("kept_ns") for event in self.evidence.all(keys.CHUNK)]
        beats = [event.t_ns - start_ns for event in self.evidence.all(keys.HEARTBEAT) if _ended(event) == ended]
        return max([at for at in kept if isinstance(at, int)] + beats, default=None)

    @cached_property
    def metered(self) -> Metered:
        """What its meters say together of energy and power."""
        return Metered(self.evidence, self.timeline)

    @cached_property
    def has_checkpoint(self) -> bool:
        """Whether trained weights are served, so that the quality of answers says something."""
        source = self.evidence.spec.settings.get("weights.source")
        return source == "checkpoint" or (source is None and self.tier is not None and self.tier.checkpoint is not None)

    @cached_property
    def answer_quality(self) -> float | None:
        """Excess loss over the assessed answers, recomputed; None where none were kept. May be NaN."""
        answers = self.evidence.answers
        if answers is None or not sum(answers.token_count):
            return None
        return excess_loss(answers.loss_nats, answers.source_nats, answers.token_count)

    @cached_property
    def agreement(self) -> float | None:
        """Share of compared output tokens (or answers) that equal the reference's; None where none were compared."""
        answers = self.evidence.answers
        compared = sum(answers.compared_count) if answers is not None else 0
        return sum(answers.agreed_count) / compared if answers is not None and compared else None

    @cached_property
    def answer_accuracy(self) -> Estimate | None:
        """Share of scored answers that were right, with Wilson's 95 % interval; None where none were kept as such."""
        answers = self.evidence.answers
        return None if answers is None else _share(answers.correct_count, answers.token_count)

    @cached_property
    def reference_accuracy(self) -> Estimate | None:
        """Likewise of the reference's answers to the same requests."""
        answers = self.evidence.answers
        return None if answers is None else _share(answers.reference_correct_count, answers.token_count)

    @property
    def cap_samples(self) -> int | None:
        """Samples at which the run stops for good: the cap, or fixed work's steps; None when unknown."""
        settings = self.evidence.spec.settings
        steps, cap = settings.get("limit.steps"), settings.get("limit.cap_samples")
        if isinstance(cap, int):
            return cap
        blocks = self.timeline.blocks
        if isinstance(steps, int) and blocks and blocks[0].steps:
            return steps * (blocks[0].samples // blocks[0].steps)
        return None


def _share(right: tuple[int, ...] | None, scored: tuple[int, ...]) -> Estimate | None:
    """Those that were right among the scored; None without a row, or for counts that cannot be (rule R040)."""
    if right is None or not sum(scored) or not 0 <= sum(right) <= sum(scored):
        return None
    return wilson_interval(sum(right), sum(scored))


def _ended(heartbeat: Event) -> int | None:
    """Requests that had ended, well or not, when a worker gave this sign; None where it does not say."""
    counts = [heartbeat.meta.get("answered"), heartbeat.meta.get("failed", 0)]
    known = [count for count in counts if isinstance(count, int)]
    return sum(known) if len(known) == len(counts) else None
