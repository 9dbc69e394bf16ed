"""Runs at their address: everything known of one run, in the words and numbers of its judgement."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import TypeVar

from markupsafe import Markup, escape

from oildrop.results.rows import RunRow
from oildrop.rules.records import Finding, RunSpec
from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import shard_of, system_address
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import csv_lines
from oildrop.site.pages.formats import escaped, scalar_text, scaled, time_element
from oildrop.site.pages.metric_rows import METRICS_HEADER, STATUS_WORDS, metric_rows
from oildrop.site.pages.rendering import Value, fill, render
from oildrop.site.pages.run_charts import phases_html, run_figures
from oildrop.site.pages.run_table import has_tokens

T = TypeVar("T")

_ROOT = "../../"

SHARDS_AT_ONCE = 128
"""Pages whose charts are drawn together."""

_FIGURES = ("power_w", "busy_fraction", "memory_peak_bytes")


def write_run_pages(site: Site, rows: Sequence[RunRow], anchors: dict[str, str]) -> None:
    """Write `r/<shard>/index.html` and `metrics.csv` beside it, which holds the metrics of all runs on that page.

    Args:
        anchors: Anchor of each run's configuration on the index, by run id.
    """
    shards: dict[str, list[RunRow]] = {}
    for row in sorted(rows, key=lambda row: row.run_id):
        shards.setdefault(shard_of(row.run_id), []).append(row)
    for some in batched(shards.items(), SHARDS_AT_ONCE):
        members = [row for _, group in some for row in group]
        figures = dict(zip([row.run_id for row in members], run_figures(members, site.rulebook), strict=True))
        for shard, group in some:
            _write_shard(site, shard, [(row, anchors[row.run_id], *figures[row.run_id]) for row in group])


def _write_shard(site: Site, shard: str, runs: Sequence[tuple[RunRow, str, Markup | None, Markup]]) -> None:
    alone = len(runs) == 1
    articles, lines, contents = [], csv_lines([METRICS_HEADER]), []
    for row, anchor, curve, traces in runs:
        metrics, csv = metric_rows(row.run_id, row.judgement.metrics)
        pieces: dict[str, Value] = {"curve": curve, "traces": traces, "metrics": metrics, "alone": alone}
        articles.append(fill("run.html.j2", run_values(row, site.rulebook, anchor) | pieces))
        badge = labels.outcome_badge(row.outcome)
        contents.append(f'<li><a href="#run-{row.run_id}">{row.run_id}</a> <span>{badge}</span></li>\n')
        lines.append(csv)
    shared = (("root", _ROOT), ("path", ""), ("built_utc", site.built_utc))
    page: dict[str, Value] = {
        "title": f"Run {runs[0][0].run_id}" if alone else f"Runs {shard}",
        "contents": None if alone else Markup("".join(contents)),
        "count": str(len(runs)),
        "articles": Markup("".join(articles)),
    }
    site.output.write(f"r/{shard}/index.html", fill("runs_shard.html.j2", page, shared))
    site.output.write(f"r/{shard}/metrics.csv", "".join(lines))


def run_values(row: RunRow, rulebook: Rulebook, anchor: str) -> dict[str, Value]:
    """What the template of one run shows beside drawings and metrics."""
    spec, digest, judgement = row.spec, row.digest, row.judgement
    power = row.headlines.get("power_w")
    return {
        "id": spec.run_id,
        "badge": labels.outcome_badge(row.outcome),
        "meaning": labels.outcome_text(row.outcome),
        "reason": judgement.reason,
        "place": _place(spec.benchmark, spec.tier, anchor, labels.device_name(row), spec.system_id),
        "variant": labels.variant_text(spec),
        "created": time_element(spec.created_utc),
        "note": spec.note,
        "sealed": row.sealed,
        "figures": _figures(row),
        "phases": phases_html(digest.phases),
        "power_reason": power.reason if power is not None and power.value is None else None,
        "meters": Markup("".join([_meter(part.name, part.status, part.reason, part.method) for part in digest.meters])),
        "findings": _findings(judgement.findings, rulebook) if judgement.findings else None,
        "changed": bool(spec.changed),
        "settings": _settings(*_typed(spec)),
        "facts": _facts(row),
        "command": " ".join(map(_quoted, spec.command)),
    }


_quoted = lru_cache(maxsize=4096)(shlex.quote)


@lru_cache(maxsize=4096)
def _place(benchmark: str, tier: str, anchor: str, machine: str, system_id: str) -> Markup:
    """Links to a run's configuration and system."""
    link = Markup('<a href="{}{}">{}</a>')
    results = link.format(_ROOT, f"index.html#{anchor}", f"{benchmark} {tier}")
    return results + " · " + link.format(_ROOT, system_address(system_id), machine)


def _findings(findings: Sequence[Finding], rulebook: Rulebook) -> Markup:
    return render("findings.html.j2", {"findings": [(found, rulebook.rules.get(found.rule)) for found in findings]})


def _figures(row: RunRow) -> Markup:
    """The numbers at the head of a run; a missing one says why."""
    headline = ("time_to_target_s",) if row.spec.kind == "to_target" else ()
    rate = "train_tokens_per_s" if has_tokens(row) else "train_samples_per_s"
    found = []
    for name in (*headline, rate, *_FIGURES):
        metric = row.headlines.get(name)
        if metric is None:
            continue
        if metric.value is None:
            words, reason = STATUS_WORDS[metric.status], escaped(metric.reason or "")
            shown = f'<span class="null">{words}</span> <small>{reason}</small>'
        else:
            text, unit = scaled(metric.value, metric.unit)
            shown = f"<b>{text}</b> {escaped(unit)}"
        found.append(f"<div><dt>{escaped(labels.metric_label(name))}</dt><dd>{shown}</dd></div>\n")
    return Markup("".join(found))


@lru_cache(maxsize=1024)
def _meter(name: str, status: str, reason: str | None, method: str | None) -> str:
    how = f" ({reason})" if reason else f" by {method}" if method else ""
    return f"<li>{escape(name)}: {escape(status.replace('_', ' '))}{escape(how)}</li>\n"


Texts = tuple[tuple[str, str], ...]


def _typed(spec: RunSpec) -> tuple[Texts, Texts]:
    """Settings as texts, and the defaults of the changed ones: as keys of a cache 1, 1.0 and True would be one."""
    settings = tuple([(key, scalar_text(value)) for key, value in spec.settings.items()])
    return settings, tuple([(key, scalar_text(default)) for key, (default, _) in spec.changed.items()])


@lru_cache(maxsize=1024)
def _settings(settings: Texts, defaults: Texts) -> Markup:
    """Every setting by key; a changed one beside the tier's own."""
    was = dict(defaults)
    line = Markup("<dt>{}</dt><dd>{}</dd>\n")
    return Markup().join(
        line.format(key, labels.scalar_change(was[key], value) if key in was else value)
        for key, value in sorted(settings)
    )


def _facts(row: RunRow) -> Markup:
    """Ids and hashes, so that a run can be found and checked again."""
    spec, judgement = row.spec, row.judgement
    index = "chosen by hand" if spec.seed_index is None else f"k = {spec.seed_index}"
    bundle = row.bundle_id or ("not known" if row.sealed else "none: this bundle was never sealed")
    shared = _shared_facts(
        spec.benchmark_sha256, spec.workload_id, spec.system_id, spec.software_id, spec.set_id, spec.session_id,
        judgement.judge_version, judgement.tables_sha256, spec.oildrop_version,
    )  # fmt: skip
    parent = _fact("parent_run_id", spec.parent_run_id) if spec.parent_run_id else ""
    return Markup(f"{_fact('seed', f'{spec.seed} ({index})')}{_fact('bundle_id', bundle)}{parent}{shared}")


@lru_cache(maxsize=4096)
def _shared_facts(
    benchmark: str,
    workload: str,
    system: str,
    software: str,
    set_: str,
    session: str,
    judge: str,
    tables: str,
    version: str,
) -> str:
    """What many runs of a store have in common."""
    facts = {
        "benchmark_sha256": benchmark, "workload_id": workload, "system_id": system, "software_id": software,
        "set_id": set_, "session_id": session, "judge": f"{judge}, tables {tables}", "oildrop": version,
    }  # fmt: skip
    return "".join(_fact(key, value) for key, value in facts.items())


def _fact(key: str, value: str) -> str:
    return f"<dt>{key}</dt><dd><code>{escape(value)}</code></dd>\n"


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """`items` in lists of `size`, the last one shorter."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
