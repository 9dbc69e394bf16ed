"""How tokens are counted and spread over pieces, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oildrop.harness.endpoint.answer import CLOSED, Answer
from oildrop.harness.endpoint.openai import Usage
from oildrop.harness.endpoint.outcomes import CUT, OK, Outcome
from oildrop.harness.endpoint.prometheus import MOST_SAMPLES, changes, known_samples
from oildrop.harness.endpoint.prompts import Prompt
from oildrop.harness.endpoint.table import Changes, CountedBy, Ledger, gaps_ns
from oildrop.results.bundle.requests import read_requests
from oildrop.results.bundle.requests_merged import merged


@pytest.mark.parametrize(
    ("stamps", "tokens", "gaps"),
    [
        ([10, 20, 30], 3, (10, 10)),
        ([10, 30], 4, (0, 20, 0)),  # two pieces of two tokens
        ([10, 30], 3, (20, 0)),  # one piece of one, one of two
        ([10, 20, 40, 50], 2, (40,)),  # pieces that are less than a token
        ([10], 3, (0, 0)),
        ([10, 20], 1, ()),
        ([], 3, ()),
        ([10, 20], 0, ()),
    ],
)
def test_tokens_are_spread_over_the_pieces(stamps: list[int], tokens: int, gaps: tuple[int, ...]) -> None:
    assert gaps_ns(stamps, tokens) == gaps


@given(steps=st.lists(st.integers(0, 10**9), min_size=1, max_size=40), tokens=st.integers(2, 60))
def test_gaps_are_one_fewer_than_tokens_and_add_up(steps: list[int], tokens: int) -> None:
    stamps = [sum(steps[:number]) for number in range(len(steps))]
    gaps = gaps_ns(stamps, tokens)
    assert len(gaps) == tokens - 1
    assert all(gap >= 0 for gap in gaps)
    assert sum(gaps) == stamps[-1] - stamps[0]


def ledger_of(
    count: CountedBy, *, pieces: int, usage: Usage | None, reason: str = "length", outcome: Outcome = OK, asked: int = 4
) -> Ledger:
    ledger = Ledger(count=count, count_tokens=lambda text: len(text) // 2)
    answer = Answer(asked_tokens=asked, issued_ns=105, usage=usage, finish_reason=reason, outcome=outcome)
    answer.stamps_ns = [110 + 10 * number for number in range(pieces)]
    answer.texts = ["abcd"] * pieces
    ledger.begin(0, 100, Prompt(text="a b", input_tokens=2, output_tokens=asked), answer)
    ledger.end(0)
    return ledger


@pytest.mark.parametrize(
    ("count", "pieces", "told", "reason", "outcome", "output", "expected"),
    [
        ("usage", 4, 4, "length", "ok", 4, 4),
        ("usage", 2, 4, "length", "ok", 4, 4),
        ("usage", 4, 3, "length", "truncated", 3, 4),
        ("usage", 4, 5, "length", "too_long", 5, 4),
        ("usage", 3, 3, "stop", "ok", 3, 3),
        ("usage", 2, None, "length", "ok", 4, 4),  # the server did not say: the tokenizer counts
        ("chunks", 3, 4, "length", "ok", 3, 3),
        ("tokenizer", 2, 9, "length", "ok", 4, 4),
        ("tokenizer", 1, 4, "length", "truncated", 2, 4),
    ],
)
def test_who_counts_decides(
    count: CountedBy, pieces: int, told: int | None, reason: str, outcome: str, output: int, expected: int
) -> None:
    usage = Usage(prompt_tokens=7, completion_tokens=told)
    ledger = ledger_of(count, pieces=pieces, usage=usage, reason=reason)
    table = ledger.table(100)
    assert (table.outcome, table.output_tokens, table.expected_tokens) == ((outcome,), (output,), (expected,))
    assert table.input_tokens == (7 if count == "usage" and told is not None else 2,)
    assert (table.scheduled_ns, table.issued_ns, table.first_ns) == ((0,), (5,), (10,))
    assert ledger.errors.total() == (outcome != "ok")


def test_without_any_count_nobody_can_say_that_an_answer_is_short() -> None:
    ledger = ledger_of("usage", pieces=3, usage=None)
    ledger.count_tokens = None
    assert (ledger.table(100).outcome, ledger.table(100).expected_tokens) == (("ok",), (3,))
    assert ledger.counted_by == {"chunks": 1}


def test_two_counts_of_an_answer_are_compared() -> None:
    """Two pieces of four letters are four tokens of two."""
    for told, found in ((4, (1, 0, 0)), (7, (1, 1, 3)), (None, (0, 0, 0))):
        ledger = ledger_of("usage", pieces=2, usage=Usage(prompt_tokens=7, completion_tokens=told))
        assert ledger.counted_twice == dict(zip(("answers", "differ", "most"), found, strict=True))


def test_a_failed_request_keeps_what_it_got() -> None:
    table = ledger_of("chunks", pieces=2, usage=None, outcome=CUT).table(100)
    assert (table.outcome, table.output_tokens, table.expected_tokens) == (("cut",), (2,), (4,))
    assert (table.first_ns, table.last_ns, table.gaps_ns) == ((10,), (20,), ((10,),))
    nothing = ledger_of("chunks", pieces=0, usage=None, outcome=CUT).table(100)
    assert (nothing.first_ns, nothing.last_ns, nothing.gaps_ns) == ((None,), (None,), ((),))


def test_one_token_in_two_pieces_is_first_and_last() -> None:
    usage = Usage(prompt_tokens=2, completion_tokens=1)
    table = ledger_of("usage", pieces=2, usage=usage, asked=1).table(100)
    assert (table.outcome, table.first_ns, table.last_ns, table.gaps_ns) == (("ok",), (10,), (10,), ((),))


def test_known_families_of_a_servers_metrics() -> None:
    text = (
        "# HELP vllm:e2e_request_latency_seconds x\n# TYPE vllm:e2e_request_latency_seconds histogram\n"
        'vllm:e2e_request_latency_seconds_bucket{le="0.3"} 1\nvllm:e2e_request_latency_seconds_sum 2.5\n'
        'vllm:cache_config_info{block_size="16"} 1\nsglang:token_usage{m="a b"} 0.28 1700000000000\n'
        "llamacpp:prompt_tokens_total 12\ntgi_queue_size 3\nprocess_cpu_seconds_total 9\nllamacpp:kv NaN\nbroken\n"
    )
    assert known_samples(text) == {
        "vllm:e2e_request_latency_seconds_sum": 2.5, 'sglang:token_usage{m="a b"}': 0.28,
        "llamacpp:prompt_tokens_total": 12.0, "tgi_queue_size": 3.0,
    }  # fmt: skip
    many = "\n".join(f"vllm:x{number} 1" for number in range(MOST_SAMPLES + 9))
    assert len(known_samples(many)) == MOST_SAMPLES
    assert changes({"a": 1.0, "b": 2.0}, {"b": 5.0, "c": 1.0}) == {"b": 3.0}


def test_a_request_that_has_ended_keeps_neither_prompt_nor_stream_and_is_counted_once() -> None:
    asked: list[str] = []
    ledger = Ledger(count="tokenizer", count_tokens=lambda text: asked.append(text) or 4)
    answer = Answer(asked_tokens=4, issued_ns=105, finish_reason="length", outcome=OK)
    answer.stamps_ns, answer.texts = [110, 120], ["ab", "cd"]
    ledger.begin(0, 100, Prompt(text="a long prompt", input_tokens=3, output_tokens=4), answer)
    ledger.end(0)
    assert ledger.open == {}
    assert (ledger.errors.total(), ledger.ended_by_model, ledger.table(0).output_tokens) == (0, 0, (4,))
    assert asked == ["abcd"]
    assert ledger.rows[0].prompt.text == "" and answer._events is CLOSED


def test_changes_tell_open_requests_as_they_stand_and_ended_ones_once(tmp_path: Path) -> None:
    ledger = Ledger(count="tokenizer", count_tokens=lambda text: len(text) // 2)
    changes = Changes(ledger=ledger, start_ns=100)
    answers = [Answer(asked_tokens=4, keep_texts=True) for _ in range(3)]
    for index, answer in enumerate(answers):
        ledger.begin(index, 100, Prompt(text="a b", input_tokens=2, output_tokens=4), answer)
    paths = [tmp_path / f"{number}.arrow" for number in range(5)]
    assert not changes.write(paths[0])  # nobody was asked yet
    answers[0].issued_ns, answers[1].issued_ns = 105, 106
    answers[1].stamps_ns, answers[1].texts = [110], ["abcd"]
    assert changes.write(paths[1])
    first = read_requests(paths[1])
    assert (first.index, first.outcome, first.output_tokens) == ((0, 1), ("unfinished",) * 2, (0, 1))
    assert not changes.write(paths[2])
    answers[1].stamps_ns.append(120)
    answers[1].texts.append("abcd")
    answers[1].finish_reason, answers[1].outcome = "length", OK
    ledger.end(1)
    answers[2].issued_ns = 130
    assert changes.write(paths[3])
    second = read_requests(paths[3])
    assert (second.index, second.outcome, second.output_tokens) == ((1, 2), ("ok", "unfinished"), (4, 0))
    for index in (0, 2):
        answers[index].failed(CUT)
        ledger.end(index)
    assert changes.write(paths[4])
    chunks = [read_requests(paths[number]) for number in (1, 3, 4)]
    assert merged(chunks) == ledger.table(100)
