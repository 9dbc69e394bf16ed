"""Rules on what a served run answered: in full, in order, assessed, and by which weights."""

from __future__ import annotations

from collections.abc import Iterator

from oildrop.rules import keys
from oildrop.rules.case import Case
from oildrop.rules.checks.registry import Broken, Judged, broken, rule
from oildrop.rules.evidence import AnswerTable
from oildrop.rules.formulas.assessed import picked
from oildrop.rules.served import FAILED_REQUESTS, Served
from oildrop.rules.verdict_served import least_agreement

REPEAT = "repeat the run with an unchanged harness"
TRUNCATED = "truncated"


@rule("R038")
def answers_as_long_as_asked(judged: Judged) -> Iterator[Broken]:
    """Output tokens are those asked for."""
    served = judged.case.served
    if served is None:
        return
    table = served.table
    other = [row for row in served.answered if _is_other(table.output_tokens[row], table.expected_tokens[row])]
    cut = [row for row, outcome in enumerate(table.outcome) if outcome == TRUNCATED]
    if other or cut:
        row = (other or cut)[0]
        message = (
            f"{len(other) + len(cut)} of {served.count} answers are not as long as asked; request {table.index[row]} "
            f"has {table.output_tokens[row]} tokens of {table.expected_tokens[row]}"
        )
        yield broken(
            message, "let the system under test ignore the end of text, and send all tokens", requests=len(other)
        )


def _is_other(received: int, asked: int) -> bool:
    """Whether an answer has another length than asked; one that comes whole may count as a token or none."""
    return received != asked and max(received, asked) > 1


@rule("R039")
def times_go_forward(judged: Judged) -> Iterator[Broken]:
    """Issue, first token, last token, run_stop in this order; gaps fit them."""
    served, run_s = judged.case.served, judged.case.timeline.run_s
    if served is None:
        return
    stop_ns = None if run_s is None else round(run_s * 1e9)
    wrong = [row for row in served.answered if not _in_order(served, row, stop_ns)]
    if wrong:
        index = served.table.index[wrong[0]]
        message = f"the times of {len(wrong)} answered requests do not follow each other; request {index} is the first"
        yield broken(message, REPEAT, requests=len(wrong), first=index)


def _in_order(served: Served, row: int, stop_ns: int | None) -> bool:
    table, span = served.table, served.spans_ns[row]
    if span is None:
        return True
    first, last = span
    gaps, received, tokens = table.gaps_ns[row], table.output_tokens[row], table.tokens[row]
    return (
        0 <= table.issued_ns[row] <= first <= last
        and (stop_ns is None or last <= stop_ns)
        and len(gaps) == max(received - 1, 0)
        and all(gap >= 0 for gap in gaps)
        and sum(gaps) == last - first
        and len(tokens) in (0, received)
    )


@rule("R040")
def answers_assessed(judged: Judged) -> Iterator[Broken]:
    """The answers that the seed picks were assessed, each once: scored, and compared whole where they must agree."""
    case, served, answers = judged.case, judged.case.served, judged.case.evidence.answers
    asked = case.evidence.spec.settings.get("assess.least")
    if served is None or not case.has_checkpoint or not isinstance(asked, int):
        return
    least = min(asked, len(served.answered))
    found = len(answers.index) if answers is not None else 0
    if judged.ended_itself and found < least:
        message = f"{found} answers were assessed; the benchmark asks for {least}"
        yield broken(message, REPEAT, assessed=found, least=least)
    if answers is None:
        return
    received = {served.table.index[row]: max(served.table.output_tokens[row], 1) for row in served.answered}
    compared = dict(zip(answers.index, zip(answers.agreed_count, answers.compared_count, strict=True), strict=True))
    wrong = [index for index, (agreed, of) in compared.items() if not 0 <= agreed <= of <= received.get(index, -1)]
    if wrong or len(compared) < found:
        message = "assessed answers are not those of the timed run, or stand more than once"
        yield broken(message, REPEAT, first=next(iter(wrong), None), requests=len(wrong))
        return
    yield from _picked_by_seed(case, list(received), set(compared))
    partly = [index for index, (_, of) in compared.items() if of < received[index]]
    if partly and least_agreement(case) is not None:
        message = f"{len(partly)} assessed answers were not compared whole; request {partly[0]} is the first"
        yield broken(message, REPEAT, first=partly[0], requests=len(partly))
    if found and _accuracy_is_asked(case) and not _say_which_were_right(answers):
        yield broken("the assessed answers do not say which of them were right", REPEAT, assessed=found)
    if found and case.answer_quality is None:
        yield broken("the assessed answers were not scored: they hold no token", REPEAT, assessed=found)


def _picked_by_seed(case: Case, answered: list[int], found: set[int]) -> Iterator[Broken]:
    """Whether those that were assessed are those that the seed picks among the answered."""
    spec = case.evidence.spec
    share, least, most = (spec.settings.get(f"assess.{key}") for key in ("share", "least", "most"))
    if not (isinstance(share, int) and isinstance(least, int) and isinstance(most, int)):
        return
    wanted = set(picked(spec.seed, answered, share=max(share, 1), least=least, most=most))
    if found != wanted:
        missing = sorted(wanted - found)
        first = missing[0] if missing else min(found - wanted)
        message = (
            f"other answers were assessed than those that the seed picks: request {first} "
            f"{'is one of these' if missing else 'is none of these'}"
        )
        yield broken(message, REPEAT, picked=len(wanted), missing=len(missing), first=first)


def _accuracy_is_asked(case: Case) -> bool:
    return case.benchmark is not None and case.benchmark.quality.least_relative_accuracy is not None


def _say_which_were_right(answers: AnswerTable) -> bool:
    """Of the served model's and the reference's, from none to all that were scored of each."""
    columns = (answers.correct_count, answers.reference_correct_count)
    return all(
        right is not None and all(0 <= n <= of for n, of in zip(right, answers.token_count, strict=True))
        for right in columns
    )


@rule("R041")
def weights_are_the_checkpoints(judged: Judged) -> Iterator[Broken]:
    """The hash of the served weights is the tier's."""
    case = judged.case
    checkpoint = case.tier.checkpoint if case.tier is not None else None
    hashes = [event.value for event in case.evidence.all(keys.WEIGHTS_SHA256) if event.meta.get("when") == "init"]
    if checkpoint is None or not case.has_checkpoint or (case.timeline.run_start_ns is None and not hashes):
        return
    if hashes != [checkpoint.weights_sha256] * max(len(hashes), 1):
        found = str(hashes[0] or "damaged")[:12] if hashes else "not logged"
        message = f"the weights served are {found}, checkpoint {checkpoint.name} is {checkpoint.weights_sha256[:12]}"
        yield broken(message, "install oildrop again: its checkpoint is damaged", expected=checkpoint.weights_sha256)


@rule(FAILED_REQUESTS)
def every_request_answered(judged: Judged) -> Iterator[Broken]:
    """No request failed."""
    served = judged.case.served
    if served is not None and served.failed:
        yield broken(
            served.failures_in_words, "see what the system under test logged at that time", outcomes=served.failures
        )


@rule("R043")
def prompts_unique(judged: Judged) -> Iterator[Broken]:
    """Repeated prompts are said to be."""
    if judged.case.evidence.spec.settings.get("requests.prompts") == "repeated":
        yield broken(
            "one prompt was repeated; the run is not ranked",
            "nothing to do; a run of unique prompts says whether answers come from a cache",
        )


@rule("R044")
def weights_trained(judged: Judged) -> Iterator[Broken]:
    """Random weights are said to be."""
    if judged.case.evidence.spec.settings.get("weights.source") == "random":
        yield broken("random weights were served: nothing is known of the answers", "nothing to do; it is not ranked")


@rule("R046")
def tokens_counted(judged: Judged) -> Iterator[Broken]:
    """Tokens counted by the pieces of answers are said to be."""
    pieces = _said(judged, "tokens_counted_by").get("chunks")
    if pieces:
        yield broken(
            f"tokens of {pieces} answers were counted by the pieces in which they came",
            "let the server report usage, or give its tokenizer with --tokenizer",
            requests=pieces,
        )


@rule("R053")
def counts_agree(judged: Judged) -> Iterator[Broken]:
    """The server's count of tokens is the tokenizer's, where both are there."""
    twice = _said(judged, "tokens_counted_twice")
    differ = twice.get("differ", 0)
    if differ > 0:
        most = twice.get("most", 0)
        yield broken(
            f"server and tokenizer count differently in {differ} of {twice.get('answers', 0)} answers, by up to {most}",
            "the server's count is used; see that --tokenizer names its model's tokenizer",
            requests=differ, most=most,
        )  # fmt: skip


@rule("R047")
def not_ended_early(judged: Judged) -> Iterator[Broken]:
    """No answer was ended by the model itself."""
    event = judged.case.evidence.last(keys.SERVED)
    ended = event.meta.get("ended_by_model") if event is not None else None
    if isinstance(ended, int) and ended > 0:
        message = f"the model ended {ended} answers before the tokens that were asked for"
        yield broken(message, "let the server ignore the end of text, where it can", requests=ended)


def _said(judged: Judged, name: str) -> dict[str, int]:
    """Counts by word that the generator logged under `name` when it had served; {} where it did not."""
    event = judged.case.evidence.last(keys.SERVED)
    found = event.meta.get(name) if event is not None else None
    return (
        {str(word): count for word, count in found.items() if isinstance(count, int)} if isinstance(found, dict) else {}
    )
