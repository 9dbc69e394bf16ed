"""Percentiles and early stopping: published least counts, exact binomial sums, and MLCommons' own load generator."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oildrop.rules.formulas.early_stopping import estimate, is_enough, least_queries, least_queries_for_estimate
from oildrop.rules.formulas.latency import percentile, rate_per_s, time_per_output_token_s

DRIVER = '''
import sys, time
import mlperf_loadgen as lg

scenario, out = sys.argv[1], sys.argv[5]
share, queries, per_query = float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
served = 0

def issue(samples):
    """Answers request k after 20 + 37 k mod 101 microseconds: latencies in no order."""
    global served
    for sample in samples:
        until = time.perf_counter_ns() + 1000 * (20 + 37 * served % 101)
        served += 1
        while time.perf_counter_ns() < until:
            pass
        lg.QuerySamplesComplete([lg.QuerySampleResponse(sample.id, 0, 0)])

settings = lg.TestSettings()
settings.scenario = getattr(lg.TestScenario, scenario)
settings.mode = lg.TestMode.PerformanceOnly
settings.min_query_count = settings.max_query_count = queries
settings.min_duration_ms = 0
settings.single_stream_target_latency_percentile = share
settings.multi_stream_target_latency_percentile = share
settings.multi_stream_samples_per_query = per_query
settings.server_target_latency_percentile = share
settings.server_target_latency_ns = 150_000
settings.server_target_qps = 3000
output = lg.LogOutputSettings()
output.outdir = out
logs = lg.LogSettings()
logs.log_output, logs.enable_trace = output, True
system, library = lg.ConstructSUT(issue, lambda: None), lg.ConstructQSL(16, 16, lambda k: None, lambda k: None)
lg.StartTestWithLogSettings(system, library, settings, logs)
'''


def binomial_chance(over: int, queries: int, share: Fraction) -> Fraction:
    """P(X <= over) of X binomial with `queries` and `share`, in exact fractions."""
    terms = (math.comb(queries, k) * share**k * (1 - share) ** (queries - k) for k in range(over + 1))
    return sum(terms, Fraction(0))


@pytest.mark.parametrize(("share", "least"), [(0.9, 64), (0.99, 662), (0.999, 6636)])
def test_least_counts_are_the_published_ones(share: float, least: int) -> None:
    assert least_queries_for_estimate(share) == least


@pytest.mark.parametrize(("over", "least"), [(0, 459), (1, 662), (2, 838)])
def test_least_queries_at_p99_are_where_the_exact_chance_falls_under_one_in_a_hundred(over: int, least: int) -> None:
    assert least_queries(over, 0.99) == least
    assert binomial_chance(over, least, Fraction(1, 100)) <= Fraction(1, 100)
    assert binomial_chance(over, least - 1, Fraction(1, 100)) > Fraction(1, 100)


@settings(deadline=None, max_examples=50, derandomize=True)
@given(queries=st.integers(1, 3000), share=st.sampled_from([0.5, 0.9, 0.99]))
def test_an_estimate_discards_as_many_values_as_the_bound_allows(queries: int, share: float) -> None:
    found = estimate([float(k) for k in range(queries)], share)
    if found is None:
        assert queries < least_queries(1, share)
    else:
        over = queries - int(found)
        assert is_enough(queries, over, share) and not is_enough(queries, over + 1, share)


def test_a_percentile_is_one_of_the_values() -> None:
    ordered = [float(k) for k in range(100)]
    assert [percentile(ordered, share) for share in (0.0, 0.5, 0.9, 0.99)] == [0.0, 50.0, 90.0, 99.0]
    assert percentile([1.0, math.inf], 0.5) == math.inf
    with pytest.raises(ValueError, match="one value"):
        percentile([], 0.5)


def test_time_a_token_leaves_the_first_out() -> None:
    assert time_per_output_token_s(10**9, 4 * 10**9, 4) == 1.0
    with pytest.raises(ValueError, match="1 tokens"):
        time_per_output_token_s(0, 0, 1)
    assert rate_per_s(6, 2 * 10**9) == 3.0 and rate_per_s(6, 0) == math.inf


def load_generator(
    tmp_path: Path, scenario: str, share: float, queries: int, per_query: int = 1
) -> tuple[list[float], str]:
    """Latencies in ns by query as the load generator traced them, and its summary. Its logger needs its own process."""
    pytest.importorskip("mlperf_loadgen", reason="mlcommons-loadgen is not installed")
    command = [sys.executable, "-P", "-c", DRIVER, scenario, str(share), str(queries), str(per_query), str(tmp_path)]
    subprocess.run(command, check=True, timeout=60)
    trace = (tmp_path / "mlperf_log_trace.json").read_text()  # no valid JSON as a whole
    latencies: dict[str, float] = {}
    for query, latency_ns in re.findall(r'"name":"Sample",.*"query_seq":(\d+),.*"complete_ns":(\d+)', trace):
        latencies[query] = max(latencies.get(query, 0.0), float(latency_ns))
    assert len(latencies) == queries
    return sorted(latencies.values()), (tmp_path / "mlperf_log_summary.txt").read_text()


def said(summary: str, pattern: str) -> float:
    found = re.search(pattern, summary)
    assert found is not None, summary
    return float(found.group(1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "share", "queries", "per_query"),
    [("SingleStream", 0.9, 64, 1), ("SingleStream", 0.9, 1111, 1), ("MultiStream", 0.99, 1500, 2)],
)
def test_percentiles_and_estimates_equal_the_load_generators(
    tmp_path: Path, scenario: str, share: float, queries: int, per_query: int
) -> None:
    latencies, summary = load_generator(tmp_path, scenario, share, queries, per_query)
    for at in (0.5, 0.9, 0.95, 0.97, 0.99, 0.999):
        assert percentile(latencies, at) == said(summary, rf"{100 * at:.2f} percentile latency \(ns\) +: (\d+)"), at
    assert percentile(latencies, share) == said(summary, r"th percentile latency \(ns\) : (\d+)")
    assert "Early stopping satisfied: Yes" in summary
    assert estimate(latencies, share) == said(
        summary, rf"Early stopping {100 * share:.1f}th percentile estimate: (\d+)"
    )


@pytest.mark.slow
def test_one_query_too_few_is_too_few_for_the_load_generator_too(tmp_path: Path) -> None:
    latencies, summary = load_generator(tmp_path, "SingleStream", 0.9, 63)
    assert estimate(latencies, 0.9) is None
    assert "Early stopping satisfied: NO" in summary


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_servers_validity_is_the_load_generators(tmp_path: Path, share: float) -> None:
    latencies, summary = load_generator(tmp_path, "Server", share, 300)
    over = sum(latency > 150_000 for latency in latencies)
    assert ("Early stopping satisfied: Yes" in summary) == is_enough(len(latencies), over, share)
    if "at least" in summary:
        missing = said(summary, r"at least (\d+) more queries")
        assert least_queries(over, share) - len(latencies) == missing
