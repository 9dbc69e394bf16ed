"""Runs at their address: everything known of one run, in the words and numbers of its judgement."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup, escape

from oildrop.results.rows import RunRow
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import shard_of, system_address
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import csv_line
from oildrop.site.pages.formats import escaped, scalar_text, scaled
from oildrop.site.pages.metric_rows import METRICS_HEADER, STATUS_WORDS, metrics_csv, metrics_html
from oildrop.site.pages.run_charts import curve_figure, phases_html, trace_figures

_FIGURES = {
    "to_target": ("time_to_target_s", "train_tokens_per_s", "power_w", "busy_fraction", "memory_peak_bytes"),
    "fixed_work": ("train_samples_per_s", "train_tokens_per_s", "power_w", "busy_fraction", "memory_peak_bytes"),
}

@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run as its template takes it; texts are escaped by the template, `Markup` was escaped when made."""

    row: RunRow
    system_name: str
    system_href: str
    settings_text: str
    anchor: str
    figures: Markup
    curve: Markup | None
    phases: Markup
    traces: list[Markup]
    power_reason: str | None
    meters: Markup
    metrics: Markup
    settings: Markup
    facts: Markup
    command: str


def write_run_pages(site: Site, rows: Sequence[RunRow], anchors: dict[str, str]) -> None:
    """Write `r/<shard>/index.html` and `metrics.csv` beside it, which holds the metrics of all runs on that page.

    Args:
        anchors: Anchor of each run's configuration on the index, by run id.
    """
    shards: dict[str, list[RunRow]] = {}
    for row in rows:
        shards.setdefault(shard_of(row.run_id), []).append(row)
    template = site.template("run.html.j2")
    for shard, members in shards.items():
        views = [run_view(row, site.rulebook, anchors[row.run_id]) for row in sorted(members, key=lambda row: row.run_id)]
        path = f"r/{shard}/index.html"
        text = template.render(runs=views, rules=site.rulebook.rules, shard=shard, root="../../", path=path, built_utc=site.built_utc)
        site.output.write(path, text)
        lines = [metrics_csv(view.row.run_id, view.row.judgement.metrics) for view in views]
        site.output.write(f"r/{shard}/metrics.csv", "".join([csv_line(METRICS_HEADER), *lines]))


def run_view(row: RunRow, rulebook: Rulebook, anchor: str) -> RunView:
    """Everything that a run's page shows."""
    spec, digest = row.spec, row.digest
    power = row.headlines.get("power_w")
    return RunView(
        row=row,
        system_name=labels.device_name(row),
        system_href=system_address(spec.system_id),
        settings_text=labels.settings_text(spec),
        anchor=anchor,
        figures=_figures(row),
        curve=curve_figure(row, rulebook.benchmarks.get(spec.benchmark)),
        phases=phases_html(digest.phases),
        traces=trace_figures(digest.traces),
        power_reason=power.reason if power is not None and power.value is None else None,
        meters=Markup("".join([_meter(part.name, part.status, part.reason, part.method) for part in digest.meters])),
        metrics=metrics_html(row.judgement.metrics),
        settings=_settings(tuple(spec.settings.items()), tuple(spec.changed.items())),
        facts=_facts(row),
        command=shlex.join(spec.command) if spec.command else "",
    )


def _figures(row: RunRow) -> Markup:
    """The numbers at the head of a run; a missing one says why."""
    found = []
    for name in _FIGURES.get(row.spec.kind, ()):
        metric = row.headlines.get(name)
        if metric is None or (metric.status == "not_applicable" and name == "train_tokens_per_s"):
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


@lru_cache(maxsize=1024)
def _settings(settings: tuple[tuple[str, Scalar], ...], changes: tuple[tuple[str, tuple[Scalar, Scalar]], ...]) -> Markup:
    """Every setting by key; a changed one beside the tier's own."""
    changed = dict(changes)
    line = Markup("<dt>{}</dt><dd>{}</dd>\n")
    return Markup().join(
        line.format(key, labels.scalar_change(*changed[key]) if key in changed else scalar_text(value))
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
    benchmark: str, workload: str, system: str, software: str, set_: str, session: str, judge: str, tables: str, version: str
) -> str:
    """What many runs of a store have in common."""
    facts = {
        "benchmark_sha256": benchmark, "workload_id": workload, "system_id": system, "software_id": software,
        "set_id": set_, "session_id": session, "judge": f"{judge}, tables {tables}", "oildrop": version,
    }  # fmt: skip
    return "".join(_fact(key, value) for key, value in facts.items())


def _fact(key: str, value: str) -> str:
    return f"<dt>{key}</dt><dd><code>{escape(value)}</code></dd>\n"
