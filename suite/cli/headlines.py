"""The one number by which a run is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oildrop.suite.cli.numbers import show_value

if TYPE_CHECKING:
    from oildrop.results.rows import RunRow
    from oildrop.rules.records import RunSpec


def headline(row: RunRow) -> str | None:
    """What speaks for runs of its kind and scenario; None for one that did not end `ok` or did not measure it."""
    metric = row.headlines.get(_metric_of(row.spec) or "")
    if row.outcome != "ok" or metric is None or metric.value is None:
        return None
    return show_value(metric.value, metric.unit)


def _metric_of(spec: RunSpec) -> str | None:
    """The kind's headline; a calibration is never ranked and has none, and is known by its products in fp32."""
    from oildrop.rules.headline import headline_of

    return "matmul_flop_per_s" if spec.kind == "calibrate" else headline_of(spec.kind, spec.scenario)


def what_came_of(row: RunRow) -> str:
    """The headline with its name and what else the judge has to say of it, else the reason why there is none."""
    value, metric = headline(row), _metric_of(row.spec)
    reason = row.judgement.reason or ""
    if row.spec.kind == "probe" and row.outcome == "ok":
        value_text = "held its bounds"
    elif value is None or metric is None:
        return reason
    else:
        value_text = named(metric, value)
    return f"{value_text}; {reason}" if reason else value_text


def what_was_run(spec: RunSpec) -> str:
    """`lm-pretrain nano torch-cpu`, and of a served run how its requests arrived: `server at 20 queries/s (probe)`.

    Then how they were answered, where that is not the usual way: `concurrency 4, pp512 tg128, batch 4, int8 weights`.
    """
    probe = "(probe)" if spec.kind == "probe" else ""
    asked = ", ".join(words for words in (arrivals(spec), how_answered(spec)) if words)
    return " ".join(word for word in (spec.benchmark, spec.tier, spec.backend, asked, probe) if word)


def how_answered(spec: RunSpec) -> str:
    """Fixed lengths, depth and batch of requests, scheme of weights, draft and transfer; empty where none is set."""
    from oildrop.suite.sweep import fixed_shape, means_of

    if spec.scenario is None:
        return ""
    return ", ".join(words for words in (fixed_shape(spec), means_of(spec.settings)) if words)


def arrivals(spec: RunSpec) -> str:
    """How requests arrive, in words, and what sets the run apart; empty for a training."""
    from oildrop.rules.tracks import track_of

    words = spec.scenario or ""
    if spec.rate_per_s is not None:
        words += f" at {spec.rate_per_s:g} queries/s"
    if spec.scenario == "concurrency":
        words += f" {spec.settings.get('scenario.concurrency')}"
    track = track_of(spec)
    return ", ".join(word for word in (words, track) if word)


def named(metric: str, value: str) -> str:
    """`time to target 21.3 s`; a rate goes without its name, which its unit says already."""
    from oildrop.rules.catalogue import CATALOGUE

    meaning = CATALOGUE[metric]
    return value if meaning.unit.endswith("/s") else f"{meaning.label[0].lower()}{meaning.label[1:]} {value}"
