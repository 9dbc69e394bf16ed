"""A run against a server as its worker makes it: events in their order, every request in the table, nothing private."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from mock_server import Exchange, MockServer, serving

from oildrop.harness.endpoint.drive import Driver
from oildrop.harness.endpoint.environment import API_KEYS
from oildrop.harness.endpoint.settled import Settled, settle
from oildrop.results.bundle.requests import read_requests
from oildrop.rules import keys
from oildrop.rules.errors import Unsupported
from oildrop.rules.formulas.arrivals import arrivals_ns

KEY = "sk-secret-0123456789"


def test_events_come_in_the_order_of_every_served_run(make: Any) -> None:
    with serving(MockServer(metrics=True)) as server:
        made = make(server.url, "concurrency", scenario__concurrency="3")
    names = [key if key != keys.PHASE else f"phase {value}" for key, value, _ in made.log.events]
    assert names == [
        "process", "phase data", "phase init", "seed", "phase warmup", "serve", "init_stop", "run_start", "phase serve",
        "run_stop", "served", "chunk", "server_metrics", "server_metrics", "phase teardown",
    ]  # fmt: skip
    assert (made.end.claim, made.log.one(keys.RUN_STOP)[1]["status"]) == ("ok", "success")
    served, meta = made.log.one(keys.SERVED)
    assert served == meta["requests"] == len(made.table.index) >= 6
    assert (meta["errors"], meta["stopped_by"], meta["tokens_counted_by"]) == (0, "minimum", {"usage": served})
    scenario, terms = made.log.one(keys.SERVE)
    assert (scenario, terms["concurrency"], terms["tokens_counted_by"]) == ("concurrency", 3, "usage")
    assert terms["endpoint"] == f"http://localhost:{server.port}/v1"
    samples = [meta for key, _, meta in made.log.events if key == keys.SERVER_METRICS]
    assert samples == [{'vllm:num_requests_running{model_name="good"}': 2.0,
                        'vllm:generation_tokens_total{model_name="good"}': 320.0}] * 2  # fmt: skip


def test_the_table_says_what_was_asked_and_what_came(make: Any) -> None:
    with serving(MockServer()) as server:
        made = make(server.url, "single-stream")
    table, asked = made.table, server.asked[1:]  # the first was asked before the clock
    assert table.index == table.query == tuple(range(len(asked)))
    assert table.expected_tokens == table.output_tokens == tuple(body["max_tokens"] for body in asked)
    assert table.input_tokens == tuple(len(body["prompt"].split()) for body in asked)
    assert all(16 <= tokens <= 32 for tokens in table.expected_tokens)
    assert all(32 <= tokens <= 96 for tokens in table.input_tokens)
    assert len({body["prompt"] for body in asked}) == len(asked)
    assert set(table.outcome) == {"ok"}
    for row in range(len(asked)):
        first, last = table.first_ns[row], table.last_ns[row]
        assert first is not None and last is not None
        assert 0 <= table.scheduled_ns[row] <= table.issued_ns[row] < first <= last
        assert len(table.gaps_ns[row]) == table.output_tokens[row] - 1
        assert sum(table.gaps_ns[row]) == last - first
    # One at a time: each was due when the one before it had its last token, or later.
    assert all(due >= last for due, last in zip(table.scheduled_ns[1:], table.last_ns, strict=False))


def test_what_was_answered_before_the_load_failed_is_kept(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ask = Driver._ask

    async def failing(self: Driver, due_ns: int) -> Any:
        if self.reserve.taken == 3:
            raise RuntimeError("a tokenizer that fails")
        return await ask(self, due_ns)

    monkeypatch.setattr(Driver, "_ask", failing)
    with serving(MockServer()) as server, pytest.raises(RuntimeError, match=r"^a tokenizer that fails$"):
        make(server.url, "single-stream")
    table = read_requests(tmp_path / "samples" / "0000.arrow")
    assert table.index == (0, 1, 2) and set(table.outcome) == {"ok"}


@pytest.mark.parametrize(("ways", "wanted"), [(3, 3), (1, 1)])
def test_a_closed_loop_never_has_more_in_flight_than_asked(make: Any, ways: int, wanted: int) -> None:
    with serving(MockServer(delay_s=0.02)) as server:
        made = make(server.url, "concurrency", scenario__concurrency=str(ways))
    edges = [(at, 1) for at in made.table.issued_ns] + [(at, -1) for at in made.table.last_ns if at is not None]
    in_flight = most = 0
    for _, step in sorted(edges):
        in_flight += step
        most = max(most, in_flight)
    assert most == wanted


def test_offline_requests_are_all_due_at_the_start(make: Any) -> None:
    with serving(MockServer()) as server:
        made = make(server.url, "offline", scenario__concurrency="4")
    assert set(made.table.scheduled_ns) == {0}


def test_arrivals_are_those_of_seed_and_rate_and_wait_for_nobody(make: Any) -> None:
    with serving(MockServer(delay_s=0.3)) as server:
        made = make(server.url, "server", rate_per_s=40.0)
    due = made.table.scheduled_ns
    assert list(due) == arrivals_ns(11, 40.0, len(due))
    assert len(due) >= 6 and due[-1] >= 200_000_000
    assert all(issued >= at for issued, at in zip(made.table.issued_ns, due, strict=True))
    assert made.table.issued_ns[-1] < min(first for first in made.table.first_ns if first is not None)


def test_what_exceeds_the_connections_is_an_overflow_and_stays(make: Any) -> None:
    with serving(MockServer(delay_s=0.3)) as server:
        made = make(server.url, "server", rate_per_s=40.0, endpoint__connections="2")
    ends = Counter(made.table.outcome)
    assert ends["ok"] == 2 and ends["overflow"] == len(made.table.index) - 2 > 0
    assert len(server.asked) == 1 + 2  # the one before the clock, and two


@pytest.mark.parametrize(
    ("way", "outcome"),
    [
        ("short", "truncated"),
        ("long", "too_long"),
        ("cut", "cut"),
        ("401", "http_401"),
        ("429", "http_429"),
        ("500", "http_500"),
        ("not-json", "malformed"),
        ("noise", "malformed"),
        ("empty", "empty"),
        ("error-event", "server_error"),
        ("too-many-requests", "server_error"),
        ("forever", "too_long"),
        ("no-stream", "malformed"),
        ("aborts", "server_error"),
    ],
)
def test_errors_stay_in_the_table_with_their_word(make: Any, way: str, outcome: str) -> None:
    with serving(MockServer("good", *(["good", way] * 2000))) as server:
        made = make(server.url, "concurrency", scenario__concurrency="2")
    ends = Counter(made.table.outcome)
    assert set(ends) == {"ok", outcome}
    _, meta = made.log.one(keys.SERVED)
    assert meta["errors_by_outcome"] == {outcome: ends[outcome]}
    assert meta["requests"] == len(made.table.index)
    assert made.end.claim == "ok"
    assert made.end.reason == f"{ends[outcome]} of {len(made.table.index)} requests failed: {ends[outcome]} {outcome}"
    assert made.log.answered + made.log.failed == len(made.table.index)
    if outcome in ("cut", "http_429", "malformed"):  # that an answer is short or long shows once its tokens are counted
        assert made.log.failed == ends[outcome]


def test_no_answer_at_all_is_no_ok(make: Any) -> None:
    with serving(MockServer("good", "500")) as server:
        made = make(server.url, "concurrency", scenario__concurrency="2")
    assert set(made.table.outcome) == {"http_500"}
    assert made.end.claim == "crash" and "no request was answered" in str(made.end.reason)
    assert len(made.table.index) <= 10  # a server that only fails is not hammered


def test_a_model_that_ends_by_itself_is_held_to_what_it_gave(make: Any) -> None:
    with serving(MockServer("stops")) as server:
        made = make(server.url, "concurrency")
    assert made.table.expected_tokens == made.table.output_tokens
    assert made.log.one(keys.SERVED)[1]["ended_by_model"] == len(made.table.index)


def test_without_usage_pieces_are_counted_and_said_to_be(make: Any) -> None:
    with serving(MockServer("no-usage")) as server:
        made = make(server.url, "concurrency")
    assert made.log.one(keys.SERVE)[1]["tokens_counted_by"] == "chunks"
    assert made.log.one(keys.SERVED)[1]["tokens_counted_by"] == {"chunks": len(made.table.index)}


def test_what_a_server_refuses_is_left_out(make: Any) -> None:
    with serving(MockServer("no-usage-option")) as server:
        made = make(server.url, "concurrency")
    _, meta = made.log.one(keys.SERVE)
    assert (meta["usage_asked"], meta["ignore_eos_asked"], meta["tokens_counted_by"]) == (False, False, "chunks")
    assert set(made.table.outcome) == {"ok"}
    assert "ignore_eos" in server.asked[0] and "ignore_eos" not in server.asked[-1]


@pytest.mark.parametrize(
    ("way", "usage", "ignore_eos", "count"),
    [("no-stream-options", False, True, "chunks"), ("no-ignore-eos", True, False, "usage")],
)
def test_only_what_is_refused_is_left_out(make: Any, way: str, usage: bool, ignore_eos: bool, count: str) -> None:
    with serving(MockServer(way)) as server:
        made = make(server.url, "single-stream")
    _, meta = made.log.one(keys.SERVE)
    assert (meta["usage_asked"], meta["ignore_eos_asked"], meta["tokens_counted_by"]) == (usage, ignore_eos, count)
    assert set(made.table.outcome) == {"ok"}


@pytest.mark.parametrize(
    ("way", "count", "by", "twice"),
    [
        ("good", "usage", "usage", {"differ": 0, "most": 0}), ("no-usage", "usage", "tokenizer", None),
        ("good", "tokenizer", "tokenizer", None), ("good", "chunks", "chunks", None),
    ],
)  # fmt: skip
def test_the_server_counts_else_the_tokenizer_else_pieces(
    make: Any, words_tokenizer: Path, way: str, count: str, by: str, twice: dict[str, int] | None
) -> None:
    with serving(MockServer(way)) as server:
        made = make(server.url, "single-stream", tokenizer=words_tokenizer, tokens__count=count)
    served, meta = made.log.one(keys.SERVED)
    assert meta["tokens_counted_by"] == {by: served}
    if twice is not None:
        assert meta["tokens_counted_twice"] == {"answers": served, **twice}


def test_two_tokens_in_a_piece_share_its_stamp(make: Any) -> None:
    with serving(MockServer("doubles", pace_s=0.001)) as server:
        made = make(server.url, "single-stream", requests__output_tokens_min="8", requests__output_tokens_max="8")
    assert made.table.output_tokens[0] == 8
    gaps = made.table.gaps_ns[0]
    assert [gap == 0 for gap in gaps] == [True, False, True, False, True, False, True]


def test_a_deadline_leaves_a_table_with_what_was_unfinished(make: Any) -> None:
    with serving(MockServer("good", "silent")) as server:
        made = make(server.url, "concurrency", deadline_s=5.6, scenario__concurrency="2")
    assert made.table.outcome == ("unfinished", "unfinished")
    assert made.log.one(keys.RUN_STOP)[1]["status"] == "aborted"
    assert made.end.claim in ("timeout", "crash")


def test_time_spent_before_the_clock_is_taken_off_the_deadline(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow(*given: Any) -> Settled:
        await asyncio.sleep(2)
        return await settle(*given)

    monkeypatch.setattr("oildrop.harness.endpoint.run.settle", slow)
    with serving(MockServer("good", "silent")) as server:
        begun_s = time.monotonic()
        made = make(server.url, "concurrency", deadline_s=7.3, scenario__concurrency="2")
    assert time.monotonic() - begun_s < 3.5  # 2.3 s are for settling and load together
    assert made.table.outcome == ("unfinished", "unfinished")


@pytest.mark.parametrize(
    ("way", "models", "model", "said"),
    [
        ("good", ("a", "b"), "", r"has 2 models \(a, b\); name one by --model"),
        ("good", ("llama-3", "qwen"), "lama-3", r"has no model 'lama-3'; did you mean llama-3"),
        ("good", None, "", "status 404 .*give the address up to /v1"),
        ("401", ("good",), "", r"status 401 \(no, because 401\); set the server's key as OILDROP_API_KEY"),
        ("html", ("good",), "", r"no stream of completions \(content-type is text/html.*; give the address of the API"),
        ("429", ("good",), "", r"status 429 \(no, because 429\); the server limits how often it is asked"),
        ("cut", ("good",), "", "closed before the answer was complete"),
    ],
)
def test_what_is_wrong_before_the_clock_is_told_with_its_fix(
    make: Any, way: str, models: tuple[str, ...] | None, model: str, said: str
) -> None:
    with serving(MockServer(way, models=models)) as server, pytest.raises(Unsupported, match=said):
        make(server.url, "concurrency", model=model)


def test_no_server_is_told_with_its_fix(make: Any) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(Unsupported, match=r"nothing listens .*start the server, or give its address"):
            make(f"http://127.0.0.1:{held.getsockname()[1]}", "concurrency")


@pytest.mark.parametrize("name", API_KEYS)
def test_the_key_goes_to_the_server_and_into_no_event(make: Any, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, KEY)
    with serving(MockServer()) as server:
        made = make(server.url, "concurrency")
    assert all(f"Authorization: Bearer {KEY}" in head for head in server.heads)
    assert KEY not in json.dumps(made.log.events)


def test_a_server_that_repeats_the_key_does_not_bring_it_into_a_reason(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it looks, and where the words of the server are cut in the middle of it."""
    key = "Plum-" + "3f" * 100
    monkeypatch.setenv(API_KEYS[0], key)
    monkeypatch.setattr(Exchange, "refuse", lambda self, status: self.refuse_with(status, f"no model for {key}"))
    with serving(MockServer("401")) as server, pytest.raises(Unsupported) as refused:
        make(server.url, "concurrency")
    assert "status 401 (no model for <secret>)" in str(refused.value)


def test_prompts_are_the_same_for_a_seed_and_repeated_where_asked(make: Any) -> None:
    with serving(MockServer()) as server:
        make(server.url, "single-stream")
        once, server.asked = [body["prompt"] for body in server.asked], []
        make(server.url, "single-stream")
        again, server.asked = [body["prompt"] for body in server.asked], []
        make(server.url, "single-stream", requests__prompts="repeated")
    common = min(len(once), len(again))
    assert once[:common] == again[:common]
    assert len({body["prompt"] for body in server.asked[1:]}) == 1
