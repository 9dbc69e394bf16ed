"""Rules on the work: gates, quality, settings, identity, seeds, schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.formulas.quality import CHEAT_BOUND_NATS, source_score_nats
from oildrop.rules.identity import rulebook_seed, workload_id
from oildrop.rules.rulebook import settings_of

REPEAT = "repeat the run with an unchanged harness"
QUALITY_TOLERANCE = 1e-9
SOURCE_METRIC = "excess_loss"


@rule("R004")
def gates_passed(judged: Judged) -> Iterator[Broken]:
    """Every gate passed before run_start, one in fp32 among them."""
    evidence = judged.case.evidence
    start = evidence.first(keys.RUN_START)
    gates = evidence.all(keys.GATE)
    for event in gates:
        if event.meta.get("passed") is not True:
            name, value, limit = event.value, event.meta.get("value"), event.meta.get("limit")
            dtype = event.meta.get("dtype")
            message = f"gate {name} in {dtype}: {value} is over the limit {limit}"
            yield broken(
                message, "this implementation or its libraries compute something else: see output.log", **event.meta
            )
    if start is None or (judged.case.benchmark is not None and judged.case.benchmark.gates is None):
        return
    in_time = [event for event in gates if event.seq < start.seq]
    if not any(event.meta.get("dtype") == "fp32" for event in in_time):
        yield broken("no fp32 gate was passed before run_start", REPEAT, gates=len(in_time))


@rule("R005")
def quality_recomputed(judged: Judged) -> Iterator[Broken]:
    """The logged quality of each kept evaluation follows from its documents."""
    case = judged.case
    marks = case.timeline.evaluations
    if judged.ended_itself and (not marks or marks[-1].samples not in case.kept):
        yield broken("the last evaluation's per-document losses are not in the bundle", REPEAT)
    for mark in marks:
        quality = case.recomputed(mark)
        if quality is None or (math.isnan(quality) and math.isnan(mark.quality)):
            continue
        if not abs(quality - mark.quality) <= QUALITY_TOLERANCE * max(1.0, abs(quality)):
            message = f"after {mark.samples} samples the log says {mark.quality!r}, its documents give {quality!r}"
            yield broken(message, REPEAT, samples=mark.samples, logged=mark.quality, recomputed=quality)


@rule("R006")
def nobody_beats_the_source(judged: Judged) -> Iterator[Broken]:
    """The score against a source of known entropy stays under ln 10^9."""
    case = judged.case
    if case.benchmark is None or case.benchmark.quality.metric != SOURCE_METRIC:
        return
    answers = (case.evidence.answers,) if case.evidence.answers is not None else ()
    for table in (*case.evidence.evaluations, *answers):
        score = source_score_nats(table.loss_nats, table.source_nats)
        if score > CHEAT_BOUND_NATS:
            message = (
                f"the model beats the source by {score:.1f} nats; an honest one stays under {CHEAT_BOUND_NATS:.1f}"
            )
            yield broken(message, "look for evaluation documents leaking into training", score_nats=score)


@rule("R007")
def locked_settings_kept(judged: Judged) -> Iterator[Broken]:
    """In closed every locked setting has its tier's value."""
    case, spec = judged.case, judged.case.evidence.spec
    if spec.division != "closed" or case.benchmark is None or case.tier is None:
        return
    expected = settings_of(case.tier)
    for key in sorted({*expected, *spec.settings}):
        if case.benchmark.is_free_in_closed(key):
            continue
        if expected.get(key) != spec.settings.get(key):
            message = f"{key} is {spec.settings.get(key)!r}; division closed locks it at {expected.get(key)!r}"
            yield broken(message, "run it with --division open", key=key)


@rule("R008")
def benchmark_is_the_rulebooks(judged: Judged) -> Iterator[Broken]:
    """Benchmark, tier and division are known, and the hash is that of the file."""
    case, spec = judged.case, judged.case.evidence.spec
    if case.benchmark is None or case.tier is None:
        yield broken(
            f"the rulebook has no {spec.benchmark} --tier {spec.tier}", "judge it with the rulebook it ran under"
        )
        return
    if spec.division not in case.rulebook.divisions:
        yield broken(f"the rulebook has no division {spec.division}", "use closed or open", division=spec.division)
    if spec.benchmark_sha256 != case.benchmark.sha256:
        message = (
            f"the run says benchmark {spec.benchmark_sha256[:12]}, its rulebook file is {case.benchmark.sha256[:12]}"
        )
        yield broken(message, "judge it with the rulebook it ran under", expected=case.benchmark.sha256)


@rule("R009")
def names_follow_from_content(judged: Judged) -> Iterator[Broken]:
    """workload_id, system_id, software_id are the hashes of their content."""
    spec, system = judged.case.evidence.spec, judged.case.evidence.system
    beside = None if spec.colocation is None else spec.colocation.beside_workload_id
    found = {"workload_id": workload_id(spec.benchmark_sha256, spec.tier, spec.division, spec.settings, beside)}
    if system is not None:
        found |= {"system_id": system.system_id(), "software_id": system.software_id()}
    for name, expected in found.items():
        given = getattr(spec, name)
        if given != expected:
            yield broken(f"{name} is {given}, its content hashes to {expected}", REPEAT, given=given, expected=expected)


@rule("R010")
def seeds_are_the_rulebooks(judged: Judged) -> Iterator[Broken]:
    """A numbered seed is the rulebook's, and the worker used it."""
    spec = judged.case.evidence.spec
    if spec.seed_index is not None:
        expected = rulebook_seed(spec.benchmark_sha256, spec.seed_index)
        if spec.seed != expected:
            message = f"seed {spec.seed_index} of this benchmark is {expected}, the run says {spec.seed}"
            yield broken(message, REPEAT, expected=expected, given=spec.seed)
    used = judged.case.evidence.last(keys.SEED)
    if used is not None and used.value != spec.seed:
        yield broken(f"the worker used seed {used.value}, planned was {spec.seed}", REPEAT, used=used.value)


@rule("R030")
def seeds_not_chosen(judged: Judged) -> Iterator[Broken]:
    """The seed was not named by hand."""
    if judged.case.evidence.spec.seeds_chosen:
        yield broken("the seed was chosen with --seeds; the run is not ranked", "run without --seeds to be ranked")


@rule("R015")
def evaluations_follow_schedule(judged: Judged) -> Iterator[Broken]:
    """Evaluations at the schedule's samples, none left out."""
    case = judged.case
    if case.tier is None or case.tier.schedule is None or not case.timeline.blocks:
        return
    block = case.timeline.blocks[0]
    per_step = block.samples // max(block.steps, 1)
    if per_step == 0:
        return
    schedule, made = case.tier.schedule, [mark.samples for mark in case.timeline.evaluations]
    last = made[-1] if made else 0
    due = [s for s in range(per_step, last + 1, per_step) if schedule.evaluates_after(s)]
    at_cap = case.cap_samples is not None and last + per_step > case.cap_samples
    expected = due if not at_cap or (due and due[-1] == last) else [*due, last]
    if made != expected:
        message = f"{len(made)} evaluations were made, the schedule asks for {len(expected)} up to {last} samples"
        first = next((a for a, b in zip(expected, made, strict=False) if a != b), None)
        yield broken(message, REPEAT, first_difference_at=first)


@rule("R016")
def samples_counted(judged: Judged) -> Iterator[Broken]:
    """Blocks follow each other; one batch a step; nothing past the cap."""
    case, consumed = judged.case, 0
    for block in case.timeline.blocks:
        if block.samples_before != consumed:
            message = f"a block begins after {block.samples_before} samples, {consumed} were consumed before it"
            yield broken(message, REPEAT, begins=block.samples_before, consumed=consumed)
            return
        consumed += block.samples
    digest = case.evidence.last(keys.BATCH_SHA256)
    steps = sum(block.steps for block in case.timeline.blocks)
    if digest is not None and digest.meta.get("batches") != steps:
        yield broken(f"{digest.meta.get('batches')} batches were hashed in {steps} steps", REPEAT, steps=steps)
    if case.cap_samples is not None and consumed > case.cap_samples:
        yield broken(f"{consumed} samples were consumed, the cap is {case.cap_samples}", REPEAT, consumed=consumed)


@rule("R017")
def set_up_under_cap(judged: Judged) -> Iterator[Broken]:
    """Set-up within the tier's cap."""
    metric, tier = judged.metrics.get("setup_s"), judged.case.tier
    if tier is None or metric is None or metric.value is None:
        return
    if metric.value > tier.init_limit_s:
        message = f"set-up took {metric.value:.1f} s, the cap is {tier.init_limit_s:g} s"
        yield broken(
            message, "find what is slow before run_start (disk, compile); see the phases", setup_s=metric.value
        )


@rule("R018")
def limits_not_lowered(judged: Judged) -> Iterator[Broken]:
    """A timeout under a deadline shorter than the tier's."""
    spec, tier = judged.case.evidence.spec, judged.case.tier
    if tier is not None and judged.verdict.outcome == "timeout" and spec.limits.deadline_s < tier.deadline_s:
        message = f"the run had {spec.limits.deadline_s:g} s, the tier gives {tier.deadline_s:g} s"
        yield broken(message, "repeat it without --timeout", deadline_s=spec.limits.deadline_s)


@rule("R019")
def warm_up_restored(judged: Judged) -> Iterator[Broken]:
    """Weights after warm-up equal those before."""
    hashes = {str(event.meta.get("when")): event.value for event in judged.case.evidence.all(keys.WEIGHTS_SHA256)}
    if judged.case.timeline.run_start_ns is None:
        return
    if hashes.get("init") is None or hashes.get("init") != hashes.get("warmup"):
        message = "the weights after warm-up are not those of the seed"
        yield broken(message, REPEAT, init=hashes.get("init"), warmup=hashes.get("warmup"))


@rule("R028")
def crossing_between_evaluations(judged: Judged) -> Iterator[Broken]:
    """The first evaluation does not meet the target."""
    if judged.verdict.outcome == "ok" and judged.case.meeting == 0:
        message = "the first evaluation already met the target; the raw time stands for the interpolated one"
        yield broken(message, "evaluate earlier (division open) or report the benchmark's schedule")
