"""A server is asked prompts again after its load; one that keeps its answers is found out."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest
from mock_server import MockServer, serving

from oildrop.rules import keys
from oildrop.rules.formulas.repeats import speedup


def repeats_of(made: Any) -> tuple[list[int], list[int]]:
    pairs, meta = made.log.one(keys.REPEATS)
    assert pairs == len(meta["new_ns"]) == len(meta["repeated_ns"]) == len(meta["input_tokens"])
    return meta["new_ns"], meta["repeated_ns"]


def test_it_comes_after_the_load_and_each_pair_is_asked_three_times(make: Any) -> None:
    with serving(MockServer(delay_s=0.005)) as server:
        made = make(server.url, "concurrency", probed=True)
    names = [key if key != keys.PHASE else f"phase {value}" for key, value, _ in made.log.events]
    assert names[-5:] == ["served", "chunk", "phase probe", "repeats", "phase teardown"]
    new_ns, _ = repeats_of(made)
    prompts = [body["prompt"] for body in server.asked[1 + len(made.table.index) :]]
    assert len(prompts) == 3 * len(new_ns) == 72
    assert sorted(prompts.count(prompt) for prompt in set(prompts)) == [1] * 24 + [2] * 24
    assert not set(prompts) & {body["prompt"] for body in server.asked[: 1 + len(made.table.index)]}
    assert {body["max_tokens"] for body in server.asked[-72:]} == {4}


def test_a_server_that_reads_every_prompt_is_no_faster_the_second_time(make: Any) -> None:
    with serving(MockServer(delay_s=0.005)) as server:
        new_ns, repeated_ns = repeats_of(make(server.url, "single-stream", probed=True))
    assert median(new_ns) >= 5_000_000 and median(repeated_ns) >= 5_000_000
    found = speedup(new_ns, repeated_ns)
    assert found is not None and not found.is_from_a_cache


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_a_server_that_keeps_its_answers_shows(make: Any, api: str) -> None:
    with serving(MockServer("remembers", delay_s=0.01)) as server:
        found = speedup(*repeats_of(make(server.url, "single-stream", probed=True, endpoint__api=api)))
    assert found is not None and found.is_from_a_cache and found.value > 2


def test_a_cache_that_is_declared_is_not_looked_for(make: Any) -> None:
    with serving(MockServer("remembers")) as server:
        made = make(server.url, "single-stream", probed=True, endpoint__prefix_cache="on")
    assert keys.REPEATS not in {key for key, _, _ in made.log.events}


def test_a_server_that_has_gone_is_not_asked_for_ever(make: Any) -> None:
    with serving(MockServer(*["good"] * 7, "500")) as server:
        made = make(server.url, "offline", probed=True, scenario__concurrency="1")
    _, meta = made.log.one(keys.REPEATS)
    assert (meta["failed"], meta["new_ns"]) == (3, [])


def test_a_silent_server_does_not_use_up_the_deadline(make: Any) -> None:
    before_s = time.monotonic()
    with serving(MockServer(*["good"] * 7, "silent")) as server:
        made = make(server.url, "concurrency", probed=True, deadline_s=7.0, requests__limit_s="0.3")
    assert time.monotonic() - before_s < 7.0
    assert made.log.one(keys.REPEATS)[1]["new_ns"] == []
