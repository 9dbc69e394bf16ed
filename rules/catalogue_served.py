"""Metrics that only served runs list.

A request that failed counts as the worst: infinite time, no rate. A percentile that falls on one is null.
"""

from __future__ import annotations

from typing import Literal

from oildrop.rules.metric_meaning import SERVE, MetricMeaning

_TIMES = {
    "latency_s": ("Latency", "From the scheduled time of a request to its last token, so that time in a queue counts. "
                  "In scenario multi-stream that of a query: its slowest answer"),
    "ttft_s": ("TTFT", "Time to first token: from the scheduled time of a request to its first token"),
    "tpot_s": ("TPOT", "Time per output token of a request, the first left out: (last - first) / (n - 1)"),
    "itl_s": ("ITL", "Inter-token latency: times between neighbouring tokens, those of all requests pooled. Tokens of "
              "one step of a model with a draft share a time stamp: their gaps are 0 and are pooled too"),
}  # fmt: skip
"""Label and text by name; each has a mean and three percentiles."""

_STATISTICS = {"": "mean", "_p50": "50th percentile", "_p90": "90th percentile", "_p99": "99th percentile"}


def _times() -> dict[str, MetricMeaning]:
    return {
        name + ending: MetricMeaning(
            label=f"{label}{ending.replace('_', ', ') or ', mean'}",
            unit="s",
            better="lower",
            kinds=SERVE,
            text=f"{text}; {statistic}.",
        )
        for name, (label, text) in _TIMES.items()
        for ending, statistic in _STATISTICS.items()
    }


def _m(label: str, unit: str, better: Literal["lower", "higher"] | None, text: str) -> MetricMeaning:
    return MetricMeaning(label=label, unit=unit, better=better, kinds=SERVE, text=text)


SERVED: dict[str, MetricMeaning] = {
    **_times(),
    "requests_per_s": _m(
        "Requests a second", "requests/s", "higher",
        "Requests answered in full over the time from run_start to the last answer, or to run_stop where a request "
        "failed.",
    ),
    "goodput_per_s": _m(
        "Goodput", "requests/s", "higher",
        "Requests answered in full and within the scenario's bounds over the same time as requests "
        "a second; beside it at the bounds of each scenario of the tier.",
    ),
    "output_tokens_per_s": _m(
        "Output tokens a second", "tokens/s", "higher",
        "All tokens of requests answered in full over the same time as requests a second.",
    ),
    "output_tokens_per_s_per_user": _m(
        "Output tokens a second a user", "tokens/s", "higher",
        "One over the median time per output token: how fast text appears to one user.",
    ),
    "output_tokens_per_s_per_device": _m(
        "Output tokens a second a device", "tokens/s", "higher",
        "Output tokens a second over the devices that serve.",
    ),
    "prefill_tokens_per_s": _m(
        "Prefill tokens a second", "tokens/s", "higher",
        "Prompt tokens of a request over the time from its issue to its first token, waiting included; median over "
        "requests. With a prefix cache tokens that were not found in it, of all requests, over the sum of these times.",
    ),
    "prefix_cache_hit_rate": _m(
        "Prefix cache hits", "1", "higher",
        "Prompt tokens that were read before and found in a declared prefix cache, over all prompt tokens.",
    ),
    "decode_tokens_per_s": _m(
        "Decode tokens a second", "tokens/s", "higher",
        "(n - 1) / (last - first) of a request, n its output tokens; median over requests.",
    ),
    "engine_prefill_tokens_per_s": _m(
        "Prefill tokens a second of engine time", "tokens/s", "higher",
        "Prompt tokens that were read over the time of the steps that read them, whatever waited meanwhile.",
    ),
    "engine_decode_tokens_per_s": _m(
        "Decode tokens a second of engine time", "tokens/s", "higher",
        "Tokens of all requests that steps of decoding said over the time of these steps; the first token of an answer "
        "comes from the reading of its prompt.",
    ),
    "decode_read_bytes_per_s": _m(
        "Bytes read a second while decoding", "bytes/s", "higher",
        "Bytes of weights and cache that decode steps must read, by formula, over the time of these steps.",
    ),
    "engine_time_fraction": _m(
        "Time of the engine in steps", "1", None,
        "Time in steps that read prompts or decode over the time from run_start to run_stop, and each of the two by "
        "phase; in the rest the engine was idle or the load generator worked.",
    ),
    "error_fraction": _m(
        "Failed requests", "1", "lower", "Requests that were not answered in full over all that were issued.",
    ),
    "offered_rate_per_s": _m(
        "Offered rate", "queries/s", None, "Mean rate of the arrivals, which were fixed before the run.",
    ),
    "dispatch_lateness_s_p99": _m(
        "Dispatch lateness, p99", "s", "lower",
        "From the time at which a request was due to that at which the load generator handed it over; 99th percentile.",
    ),
    "transfer_s": _m(
        "Cache transfer time", "s", "lower",
        "Where prompts are read in a process of their own: from the moment that a prompt's cache is on that process's "
        "host to the moment that it stands in the decoder's device; mean over requests.",
    ),
    "transfer_bytes": _m(
        "Cache bytes sent", "bytes", "lower",
        "Where prompts are read in a process of their own: bytes of keys and values sent to the decoder; mean over "
        "requests.",
    ),
    "draft_acceptance_rate": _m(
        "Draft tokens accepted", "1", "higher",
        "Where a draft proposes: tokens that it proposed and the served model accepted, over all that it proposed, "
        "those after the first that fell included.",
    ),
    "draft_acceptance_length": _m(
        "Tokens a step with a draft", "tokens/step", "higher",
        "Where a draft proposes: tokens that one step of the served model brought a request, its own included; mean "
        "over requests and steps.",
    ),
    "greedy_agreement": _m(
        "Agreement with the reference", "1", "higher",
        "Share of compared output tokens (or answers) of the timed run that equal those of the reference in fp32 or "
        "better.",
    ),
}  # fmt: skip
