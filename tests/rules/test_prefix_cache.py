"""Runs with a prefix cache: what was found is no work done, and they are kept apart."""

from __future__ import annotations

from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.judge import judge
from oildrop.rules.prefix_cache import cache_track


def with_cache(run: Any, **counts: int) -> None:
    run.spec = run.spec.model_copy(update={"settings": {**run.spec.settings, "execution.prefix_cache": "on"}})
    run.find(keys.SERVED)["meta"].update({f"prompt_tokens_{name}": count for name, count in counts.items()})


def headlines(run: Any) -> dict[str, Any]:
    return {metric.name: metric for metric in judge(run.evidence(), run.rulebook).metrics if not metric.dims}


def test_without_a_cache_there_is_no_hit_rate_and_every_prompt_token_is_work(served_run: Any) -> None:
    found = headlines(served_run)
    assert (found["prefix_cache_hit_rate"].value, found["prefix_cache_hit_rate"].status) == (None, "not_applicable")
    assert found["prefill_tokens_per_s"].formula == "median_prefill_rate/1"
    assert found["model_flop_per_s"].value is not None


def test_the_hit_rate_is_cached_over_asked_and_cached_tokens_are_no_work(served_run: Any) -> None:
    """100 prompts of 8 tokens; the first token comes 20 to 29 ms after a request was due, 0.1 ms before its issue."""
    with_cache(served_run, asked=800, cached=600)
    found = headlines(served_run)
    assert (found["prefix_cache_hit_rate"].value, found["prefix_cache_hit_rate"].sample_count) == (0.75, 800)
    assert found["prefill_tokens_per_s"].value == pytest.approx(200 / (100 * (0.0245 - 0.0001)))
    assert found["prefill_tokens_per_s"].formula == "uncached_prefill_rate/1"
    assert found["model_flop_per_s"].value is None and "prefix cache" in found["model_flop_per_s"].reason
    assert found["mfu"].value is None


def test_an_engines_steps_read_what_was_not_found(served_run: Any) -> None:
    """Prompts of 800 tokens in steps of half a second together, 600 of them found."""
    steps = {f"engine_{phase}_{name}": value for phase, tokens in (("prefill", 800), ("decode", 400))
             for name, value in (("ns", 500_000_000), ("steps", 50), ("tokens", tokens))}  # fmt: skip
    served_run.find(keys.SERVED)["meta"].update(steps)
    assert headlines(served_run)["engine_prefill_tokens_per_s"].value == pytest.approx(1600)
    with_cache(served_run, asked=800, cached=600)
    assert headlines(served_run)["engine_prefill_tokens_per_s"].value == pytest.approx(400)
    assert headlines(served_run)["engine_decode_tokens_per_s"].value == pytest.approx(800)


def test_a_request_that_failed_leaves_no_rate_of_what_was_read(served_run: Any) -> None:
    with_cache(served_run, asked=800, cached=600)
    served_run.fail(5, "cut")
    found = headlines(served_run)["prefill_tokens_per_s"]
    assert found.value is None and "1 of 100 requests failed" in found.reason


def test_a_server_does_not_say_what_it_found(served_run: Any) -> None:
    settings = {**served_run.spec.settings, "endpoint.prefix_cache": "on"}
    served_run.spec = served_run.spec.model_copy(update={"settings": settings, "backend": "endpoint"})
    found = headlines(served_run)
    for name in ("prefix_cache_hit_rate", "prefill_tokens_per_s"):
        assert found[name].value is None and found[name].reason.startswith("the server does not say")


@pytest.mark.parametrize(
    ("settings", "track"),
    [
        ({}, None),
        ({"execution.prefix_cache": "off", "requests.shared_prefix_tokens": 0}, None),
        ({"execution.prefix_cache": "on"}, "prefix cache"),
        ({"endpoint.prefix_cache": "on"}, "prefix cache"),
        ({"requests.shared_prefix_tokens": 16}, "16 shared tokens"),
        ({"execution.prefix_cache": "on", "requests.shared_prefix_tokens": 16}, "prefix cache, 16 shared tokens"),
    ],
)
def test_runs_are_kept_apart_by_cache_and_by_what_prompts_share(settings: dict[str, Any], track: str | None) -> None:
    assert cache_track(settings) == track
