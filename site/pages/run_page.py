"""Runs at their address: everything known of one run, in the words and numbers of its judgement."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from oildrop.results.rows import RunRow
from oildrop.rules.records import Scalar
from oildrop.rules.rulebook import Rulebook
from oildrop.site.pages import labels
from oildrop.site.pages.addresses import shard_of, system_address
from oildrop.site.pages.context import Site
from oildrop.site.pages.csvs import csv_line
from oildrop.site.pages.formats import scalar_text, scaled
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
    figures: list[tuple[str, str, str, str | None]]
    curve: Markup | None
    phases: Markup
    traces: list[Markup]
    power_reason: str | None
    meters: list[str]
    metrics: Markup
    settings: Markup
    facts: list[tuple[str, str]]
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
        meters=[_meter_text(meter.name, meter.status, meter.reason, meter.method) for meter in digest.meters],
        metrics=metrics_html(row.judgement.metrics),
        settings=_settings(tuple(spec.settings.items()), tuple(spec.changed.items())),
        facts=_facts(row),
        command=shlex.join(spec.command) if spec.command else "",
    )


def _figures(row: RunRow) -> list[tuple[str, str, str, str | None]]:
    """Label, value, unit and reason of the numbers at the head of a run."""
    found = []
    for name in _FIGURES.get(row.spec.kind, ()):
        metric = row.headlines.get(name)
        if metric is None or (metric.status == "not_applicable" and name == "train_tokens_per_s"):
            continue
        if metric.value is None:
            found.append((labels.metric_label(name), STATUS_WORDS[metric.status], "", metric.reason))
        else:
            found.append((labels.metric_label(name), *scaled(metric.value, metric.unit), None))
    return found


def _meter_text(name: str, status: str, reason: str | None, method: str | None) -> str:
    status = status.replace("_", " ")
    return f"{name}: {status}" + (f" ({reason})" if reason else f" by {method}" if method else "")


@lru_cache(maxsize=1024)
def _settings(settings: tuple[tuple[str, Scalar], ...], changes: tuple[tuple[str, tuple[Scalar, Scalar]], ...]) -> Markup:
    """Every setting by key; a changed one beside the tier's own."""
    changed = dict(changes)
    line = Markup("<dt>{}</dt><dd>{}</dd>\n")
    return Markup().join(
        line.format(key, labels.scalar_change(*changed[key]) if key in changed else scalar_text(value))
        for key, value in sorted(settings)
    )


def _facts(row: RunRow) -> list[tuple[str, str]]:
    """Ids and hashes, so that a run can be found and checked again."""
    spec, judgement = row.spec, row.judgement
    index = "chosen by hand" if spec.seed_index is None else f"k = {spec.seed_index}"
    facts = [
        ("seed", f"{spec.seed} ({index})"),
        ("benchmark_sha256", spec.benchmark_sha256),
        ("workload_id", spec.workload_id),
        ("system_id", spec.system_id),
        ("software_id", spec.software_id),
        ("set_id", spec.set_id),
        ("session_id", spec.session_id),
        ("bundle_id", row.bundle_id or ("unsealed: this bundle was never closed" if not row.sealed else "not known")),
        ("judge", f"{judgement.judge_version}, tables {judgement.tables_sha256}"),
        ("oildrop", spec.oildrop_version),
    ]
    return facts + ([("parent run", spec.parent_run_id)] if spec.parent_run_id else [])
