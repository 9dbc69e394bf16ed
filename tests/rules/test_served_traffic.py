"""Model FLOPs of a served run for each byte that it must read, by hand: of decoding, and of answers that come whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from oildrop.rules import keys
from oildrop.rules.ceilings import Ceilings
from oildrop.rules.judge import judge
from oildrop.rules.records import Metric
from oildrop.rules.roofs import roofline_of

NAME = "arithmetic_intensity_flop_per_byte"
# The toy's answers have five tokens, so that four positions are decoded, which see 9, 10, 11 and 12 positions, each
# other and themselves, through 2 layers of width 8: 2 FLOPs a weight, 4 a position seen, 20 tokens in the vocabulary.
MATRICES = 2 * (2 * 8 * 8 + 2 * 8 * 4 + 3 * 8 * 16)
DECODED_FLOPS = 100 * (4 * 2 * (MATRICES + 20 * 8) + 4 * 2 * 8 * (9 + 10 + 11 + 12))


def metrics_of(run: Any) -> dict[str, Metric]:
    return {metric.name: metric for metric in judge(run.evidence(), run.rulebook).metrics if not metric.dims}


def steps(run: Any, decode_ns: int) -> None:
    """The log parts the engine's time: 200 steps said the 400 tokens after each answer's first."""
    told = {"prefill_ns": 1, "prefill_steps": 50, "prefill_tokens": 800, "decode_steps": 200, "decode_tokens": 400}
    meta = {f"engine_{name}": value for name, value in {**told, "decode_ns": decode_ns}.items()}
    run.find(keys.SERVED)["meta"].update(meta)


def one_pass(run: Any, **served: Any) -> None:
    """Requests of eight tokens go through an encoder of one layer and are answered at once, in 25 batches."""
    name, count = run.spec.benchmark, run.COUNT
    benchmark = run.rulebook.benchmarks[name].model_copy(update={"flops_formula": "encoder_serve/1"})
    run.rulebook = replace(run.rulebook, benchmarks={**run.rulebook.benchmarks, name: benchmark})
    sizes = {"model.layers": 1, "model.width": 8, "model.hidden": 16}
    run.spec = run.spec.model_copy(update={"settings": {**run.spec.settings, **sizes}})
    answer = {"expected_tokens": 1, "output_tokens": 1, "gaps_ns": (), "tokens": (1,)}
    for column, value in answer.items():
        run.requests[column] = [value] * count
    run.find(keys.SERVED)["meta"].update({"steps": 25, **served})


def test_decoding_of_one_request_at_a_time(served_run: Any) -> None:
    found = metrics_of(served_run)[NAME]
    read = 100 * (4 * 4_000_000 + 1000 * (9 + 10 + 11 + 12))
    assert found.value == pytest.approx(DECODED_FLOPS / read)
    assert (found.formula, found.status, found.scope) == ("decode_intensity/1", "modelled", "device")


def test_requests_that_share_steps_share_the_weights(make_served: Any) -> None:
    run = make_served("offline")
    assert "share decode steps" in str(metrics_of(run)[NAME].reason)
    steps(run, 260_000_000)
    read = 200 * 4_000_000 + 100 * 1000 * (9 + 10 + 11 + 12)
    assert metrics_of(run)[NAME].value == pytest.approx(DECODED_FLOPS / read)


@pytest.mark.parametrize("scenario", ["single-stream", "offline", "server"])
@pytest.mark.parametrize("damage", [None, "weight_bytes", "cache_bytes_per_token"])
def test_where_nothing_is_known_of_the_reads_the_reason_is_theirs(make_served: Any, scenario: str, damage: Any) -> None:
    run = make_served(scenario, 20.0 if scenario == "server" else None)
    run.find(keys.SERVE)["meta"].pop(damage, None)
    found = metrics_of(run)
    read, intensity = found["decode_read_bytes_per_s"], found[NAME]
    assert (intensity.value is None, intensity.reason) == (read.value is None, read.reason)


def test_a_prefix_cache_spares_prompts_and_not_decoding(served_run: Any) -> None:
    plain = metrics_of(served_run)[NAME].value
    shared = {**served_run.spec.settings, "execution.prefix_cache": "on"}
    served_run.spec = served_run.spec.model_copy(update={"settings": shared})
    assert metrics_of(served_run)["model_flop_per_s"].value is None
    assert metrics_of(served_run)[NAME].value == plain is not None


def test_answers_that_come_whole_read_the_weights_once_a_batch(served_run: Any) -> None:
    one_pass(served_run)
    request = 8 * 2 * (4 * 8 * 8 + 2 * 8 * 16) + 8 * 8 * 4 * 8  # matrices, and each token sees all eight
    found = metrics_of(served_run)[NAME]
    assert found.value == pytest.approx(100 * request / (25 * 4_000_000))
    assert (found.formula, found.status) == ("one_pass_intensity/1", "modelled")


@pytest.mark.parametrize("counted", [None, 0, "many", True])
def test_without_a_count_of_batches_there_is_none(served_run: Any, counted: Any) -> None:
    one_pass(served_run, steps=counted)
    found = metrics_of(served_run)[NAME]
    assert (found.value, found.formula) == (None, "one_pass_intensity/1")
    assert "how many batches" in str(found.reason)


def test_a_roofline_of_decoding_has_the_rate_of_its_steps(make_served: Any) -> None:
    """400 tokens said in 0.26 s of steps, whatever the run did besides; bytes at 3.1 GB/s of the 10 GB/s measured."""
    run = make_served("offline")
    steps(run, 260_000_000)
    headlines = metrics_of(run)
    ceilings = Ceilings(run_id="c", flop_per_s={"fp32": 1e12}, read_bytes_per_s=10e9)
    found = roofline_of(run.spec, None, headlines, run.rulebook, ceilings)
    assert found is not None and found.decoding and found.exceeded == ()
    assert found.flop_per_s == pytest.approx(DECODED_FLOPS / 0.26)
    attainable = found.roofs[0].attainable_flop_per_s(found.intensity)
    assert found.flop_per_s / attainable == pytest.approx(headlines["mbu"].value)


def test_a_point_over_a_slope_is_kept_and_said_to_be_there(make_served: Any) -> None:
    run = make_served("offline")
    steps(run, 26_000_000)
    ceilings = Ceilings(run_id="c", flop_per_s={"fp32": 1e12}, read_bytes_per_s=10e9)
    found = roofline_of(run.spec, None, metrics_of(run), run.rulebook, ceilings)
    assert found is not None and found.exceeded == ("measured",)


def test_a_roofline_of_answers_that_come_whole_has_the_runs_rate(served_run: Any) -> None:
    one_pass(served_run)
    headlines = metrics_of(served_run)
    ceilings = Ceilings(run_id="c", flop_per_s={"fp32": 1e12}, read_bytes_per_s=10e9)
    found = roofline_of(served_run.spec, None, headlines, served_run.rulebook, ceilings)
    assert found is not None and not found.decoding
    assert found.flop_per_s == headlines["model_flop_per_s"].value
